//! Who has heard what: the whole verdict rests on this count.

use std::collections::BTreeSet;

/// What one listener has heard of the messages 0, 1, 2, ...
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    heard: BTreeSet<u64>,
    /// Heard a second time.
    pub(super) doubled: u64,
    /// Heard after a later one.
    pub(super) late: u64,
    /// Of other speakers, or nothing that was ever said.
    pub(super) foreign: u64,
}

impl Tally {
    /// Takes in a message by its number; `None`: one that nobody here has said.
    pub(super) fn take(&mut self, number: Option<u64>) {
        let Some(number) = number else {
            self.foreign += 1;
            return;
        };
        let latest = self.heard.last().copied();
        if !self.heard.insert(number) {
            self.doubled += 1;
        } else if latest.is_some_and(|latest| latest > number) {
            self.late += 1;
        }
    }

    /// How many different messages were heard.
    pub(super) fn heard(&self) -> u64 {
        self.heard.len() as u64
    }

    /// Whether this one was heard.
    pub(super) fn has(&self, number: u64) -> bool {
        self.heard.contains(&number)
    }

    /// How many of the first `said` messages are not there though a later one
    /// is: one speaker's messages come in order.
    pub(super) fn skipped(&self) -> u64 {
        self.heard.last().map_or(0, |latest| latest + 1 - self.heard())
    }

    /// How many of the first `said` messages were not heard.
    pub(super) fn missing(&self, said: u64) -> u64 {
        said - self.heard.range(..said).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        numbers.iter().for_each(|&number| tally.take(Some(number)));
        tally
    }

    #[test]
    fn what_is_heard_once_and_in_order_is_neither_lost_nor_doubled() {
        let good = tally(&[0, 1, 2]);
        assert_eq!((good.heard(), good.skipped(), good.doubled, good.late), (3, 0, 0, 0));
        assert_eq!((good.missing(3), good.missing(5)), (0, 2), "two more are still on their way");
    }

    #[test]
    fn a_hole_is_lost_a_repetition_doubled_and_a_straggler_late() {
        let holed = tally(&[0, 2, 3]);
        assert_eq!((holed.skipped(), holed.missing(4), holed.doubled), (1, 1, 0));
        assert!(holed.has(2) && !holed.has(1));
        let doubled = tally(&[0, 1, 1, 0]);
        assert_eq!((doubled.heard(), doubled.doubled, doubled.missing(2)), (2, 2, 0));
        let late = tally(&[0, 2, 1]);
        assert_eq!((late.late, late.missing(3), late.doubled), (1, 0, 0));
    }

    #[test]
    fn what_nobody_here_has_said_is_counted_apart() {
        let mut tally = tally(&[0]);
        tally.take(None);
        assert_eq!((tally.heard(), tally.foreign, tally.missing(1)), (1, 1, 0));
    }
}

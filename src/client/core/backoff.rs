use std::time::Duration;

use super::chance::Chance;

/// The shortest wait before a connection is tried again.
pub(in crate::client) const WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest one.
pub(in crate::client) const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long to wait before the next try: twice as long each time, the upper
/// half of it by chance, so that clients which lost one router do not all come
/// back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { ceiling: WAIT_MIN.saturating_mul(2) }
    }

    /// The next wait, within [`WAIT_MIN`] and [`WAIT_MAX`].
    pub(super) fn next(&mut self, chance: &mut Chance) -> Duration {
        let half = self.ceiling / 2;
        self.ceiling = (self.ceiling * 2).min(WAIT_MAX);
        half + chance.up_to(half)
    }

    /// The connection was good: the next loss is a new one.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_quarter_second_to_five_seconds_and_start_again() {
        let mut chance = Chance::new(1);
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..100).map(|_| backoff.next(&mut chance)).collect();
        assert!(waits.iter().all(|wait| (WAIT_MIN..=WAIT_MAX).contains(wait)), "{waits:?}");
        assert!(waits[0] <= WAIT_MIN * 2 && waits[10] >= WAIT_MAX / 2, "{waits:?}");
        assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter: {waits:?}");
        backoff.reset();
        assert!(backoff.next(&mut chance) <= WAIT_MIN * 2);
    }
}

//! What is held of each origin's records.

use std::collections::BTreeMap;
use std::time::Duration;

use fau3_election::Time;

use crate::router::Position;
use crate::wire::fau3e::{Holding, STATE_HOLDINGS_MAX};
use crate::wire::{Origin, RecordId};

/// Origins known at one time; beyond it those of which nothing is held are
/// forgotten first, then whoever was heard least recently. As many as fit into
/// one State with a gap each.
const ORIGINS_MAX: usize = STATE_HOLDINGS_MAX / 2;

/// All origins of which a record was held not too long ago.
#[derive(Debug, Default)]
pub(in crate::router) struct Origins(BTreeMap<Origin, Held>);

/// What is held of one.
#[derive(Debug, Default)]
struct Held {
    /// Where each of its records stands in the log.
    positions: BTreeMap<u64, Position>,
    /// The newest ever held; older ones are not taken in any more.
    top: u64,
    /// When that one came in.
    since: Time,
}

impl Held {
    /// Runs without a gap, rising, of what stands below a position.
    fn runs(&self, below: Position) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (&sequence, _) in self.positions.iter().filter(|(_, position)| **position < below) {
            match runs.last_mut() {
                Some((_, top)) if *top + 1 == sequence => *top = sequence,
                _ => runs.push((sequence, sequence)),
            }
        }
        if runs.is_empty() {
            // What is on its way to the disk has not gone: it comes next.
            let next = self.positions.first_key_value().map_or(self.top + 1, |(sequence, _)| *sequence);
            runs.push((next, next - 1));
        }
        runs
    }
}

impl Origins {
    /// The newest that was ever held.
    pub(in crate::router) fn top(&self, origin: &Origin) -> u64 {
        self.0.get(origin).map_or(0, |held| held.top)
    }

    /// Whether anything is known of it.
    #[cfg(test)]
    pub(in crate::router) fn knows(&self, origin: &Origin) -> bool {
        self.0.contains_key(origin)
    }

    pub(in crate::router) fn insert(&mut self, id: &RecordId, position: Position, now: Time) {
        if !self.0.contains_key(&id.origin) && self.0.len() >= ORIGINS_MAX {
            let least = |held: &Held| (!held.positions.is_empty(), held.since);
            let oldest = self.0.iter().min_by_key(|(_, held)| least(held)).map(|(origin, _)| *origin);
            oldest.and_then(|origin| self.0.remove(&origin));
        }
        let held = self.0.entry(id.origin).or_default();
        held.positions.insert(id.sequence, position);
        held.top = held.top.max(id.sequence);
        held.since = now;
    }

    /// A record that is not to be held: what comes after it is the next one.
    pub(in crate::router) fn skip(&mut self, id: &RecordId, now: Time) {
        self.insert(id, 0, now);
        self.remove(id);
    }

    /// A record has left the log.
    pub(in crate::router) fn remove(&mut self, id: &RecordId) {
        if let Some(held) = self.0.get_mut(&id.origin) {
            held.positions.remove(&id.sequence);
        }
    }

    /// Forgets lives of which nothing has been held for so long that no other
    /// router holds anything either.
    pub(in crate::router) fn forget(&mut self, now: Time, after: Duration, own: &Origin) {
        self.0.retain(|origin, held| {
            !held.positions.is_empty() || origin == own || now.since(held.since) < after
        });
    }

    pub(in crate::router) fn position(&self, id: &RecordId) -> Option<Position> {
        self.0.get(&id.origin)?.positions.get(&id.sequence).copied()
    }

    /// Positions of an origin's records from a sequence on.
    pub(in crate::router) fn from(&self, id: &RecordId) -> impl Iterator<Item = Position> + '_ {
        let held = self.0.get(&id.origin).into_iter();
        let from = id.sequence;
        held.flat_map(move |held| held.positions.range(from..).map(|(_, position)| *position))
    }

    /// For a State: what can be given to others. From `below` on, records are
    /// still on their way to the disk.
    pub(in crate::router) fn holdings(&self, below: Option<Position>) -> Vec<Holding> {
        let below = below.unwrap_or(Position::MAX);
        let runs = self.0.iter().flat_map(|(origin, held)| {
            held.runs(below).into_iter().map(|(floor, top)| Holding { origin: *origin, floor, top })
        });
        runs.take(STATE_HOLDINGS_MAX).collect()
    }

    /// Each origin with the newest that was ever held of it.
    pub(in crate::router) fn tops(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.0.iter().map(|(origin, held)| (origin, held.top))
    }
}

#[cfg(test)]
mod tests {
    use fau3_election::{Incarnation, RouterId};

    use super::*;

    fn id(sequence: u64) -> RecordId {
        let origin = Origin { router: RouterId([1; 16]), incarnation: Incarnation::default() };
        RecordId { origin, sequence }
    }

    fn runs(origins: &Origins) -> Vec<(u64, u64)> {
        origins.holdings(None).iter().map(|holding| (holding.floor, holding.top)).collect()
    }

    #[test]
    fn holdings_are_runs_and_what_has_left_is_still_known_to_have_been_there() {
        let mut origins = Origins::default();
        for sequence in [1, 2, 5] {
            origins.insert(&id(sequence), 10 + sequence, Time::ZERO);
        }
        assert_eq!(runs(&origins), [(1, 2), (5, 5)]);
        let below: Vec<_> = origins.holdings(Some(15)).iter().map(|holding| holding.top).collect();
        assert_eq!(below, [2], "what is not on the disk yet is not offered");
        let none = origins.holdings(Some(0));
        assert_eq!((none[0].floor, none[0].top), (1, 0), "nor said to have been there and gone");
        assert_eq!(origins.from(&id(2)).collect::<Vec<_>>(), [12, 15]);
        [1, 2, 5].iter().for_each(|sequence| origins.remove(&id(*sequence)));
        assert_eq!((runs(&origins), origins.top(&id(0).origin)), (vec![(6, 5)], 5));
    }

    #[test]
    fn lives_without_records_are_forgotten_and_the_table_is_bounded() {
        let mut origins = Origins::default();
        for random in 0..ORIGINS_MAX as u64 + 1 {
            let mut id = id(1);
            id.origin.incarnation.random = random;
            origins.insert(&id, random, Time::from_millis(random));
        }
        assert_eq!(origins.0.len(), ORIGINS_MAX);
        assert!(!origins.knows(&id(1).origin), "the one heard least recently has gone");
        let mut second = id(1);
        second.origin.incarnation.random = 1;
        origins.remove(&second);
        origins.forget(Time::from_secs(60), Duration::from_secs(59), &id(1).origin);
        assert!(!origins.knows(&second.origin));
    }
}

//! The table of the records that a router holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use super::io::StoredRecord;
use crate::wire::{ClientId, Origin, Record, RecordId, Settled};

/// A moment on the router's clock in ms; before its start if negative, as for
/// what an earlier life took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    /// The moment `age_ms` before `now`.
    pub(super) fn before(now: Time, age_ms: u64) -> Self {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Self(ms(now.as_millis()).saturating_sub(ms(age_ms)))
    }

    pub(super) fn age_ms(self, now: Time) -> u64 {
        u64::try_from(self.age(now).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn age(self, now: Time) -> Duration {
        let Self(now_ms) = Self::before(now, 0);
        Duration::from_millis(u64::try_from(now_ms.saturating_sub(self.0)).unwrap_or(0))
    }

    pub(super) fn later_by(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// When it will be `age` old; zero if it was so before the start.
    fn reaches(self, age: Duration) -> Time {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Time::from_millis(u64::try_from(self.0.saturating_add(age_ms)).unwrap_or(0))
    }
}

/// A record's place among all that a router holds: counts up as they come in.
pub type Position = u64;

/// All records held here in the order in which they came, bounded by bytes and age.
#[derive(Debug, Default)]
pub(super) struct Log {
    held: VecDeque<Held>,
    /// When each was said: one that came late may be older than those before it.
    by_age: BTreeSet<(Moment, Position)>,
    bytes: usize,
    /// The highest position given out.
    top: Position,
    /// The latest record of each sender with its Lamport time, for `previous`.
    /// Bounded by the records held: an entry goes with its record.
    newest_of: BTreeMap<ClientId, (u64, RecordId)>,
    /// Of messages that were taken in at several routers which did not hear each
    /// other: all ids by which one goes. An entry goes with the last of them.
    twins: BTreeMap<u128, Vec<RecordId>>,
}

#[derive(Debug)]
struct Held {
    position: Position,
    /// Where it stands in its room; `None` while clients do not hear it.
    place: Option<Position>,
    since: Moment,
    record: Arc<Record>,
}

/// A record that has left the log.
pub(super) struct Dropped {
    pub(super) place: Option<Position>,
    pub(super) record: Arc<Record>,
}

impl Log {
    /// An empty log whose next position follows `top`.
    pub(super) fn after(top: Position) -> Self {
        Self { top, ..Self::default() }
    }

    pub(super) fn next_position(&mut self) -> Position {
        self.top += 1;
        self.top
    }

    /// Positions must rise.
    pub(super) fn push(&mut self, position: Position, since: Moment, record: Arc<Record>) {
        debug_assert!(self.held.back().is_none_or(|last| last.position < position), "positions rise");
        self.top = self.top.max(position);
        self.bytes += record.cost_bytes();
        self.by_age.insert((since, position));
        self.held.push_back(Held { position, place: None, since, record });
    }

    /// A message of its sender's that is new here: the latest, unless it comes late.
    /// One taken in again elsewhere is as old as it was.
    pub(super) fn is_new(&mut self, record: &Record) {
        let stamp = (record.lamport, record.id);
        if self.newest_of(&record.client_id).is_none_or(|newest| newest <= stamp) {
            self.newest_of.insert(record.client_id.clone(), stamp);
        }
    }

    /// Clients hear it from now on, at this place among the room's records.
    pub(super) fn set_place(&mut self, position: Position, place: Position) {
        if let Ok(at) = self.held.binary_search_by_key(&position, |held| held.position) {
            self.held[at].place = Some(place);
        }
    }

    /// A record, and how old it is.
    pub(super) fn get(&self, position: Position, now: Time) -> Option<(&Arc<Record>, Duration)> {
        let held = self.at(position)?;
        Some((&held.record, held.since.age(now)))
    }

    /// Where a record stands in its room, if clients hear it.
    pub(super) fn place(&self, position: Position) -> Option<Position> {
        self.at(position)?.place
    }

    /// When a record was taken in.
    pub(super) fn since(&self, position: Position) -> Option<Moment> {
        self.at(position).map(|held| held.since)
    }

    fn at(&self, position: Position) -> Option<&Held> {
        let at = self.held.binary_search_by_key(&position, |held| held.position).ok()?;
        self.held.get(at)
    }

    /// The record that a message has become.
    pub(super) fn of_message(&self, message: u128) -> Option<&Arc<Record>> {
        self.held.iter().map(|held| &held.record).find(|record| record.key() == message)
    }

    /// The message of this record was also taken in as another one.
    pub(super) fn add_twin(&mut self, record: &Record) {
        let first = self.held.iter().find(|held| held.record.key() == record.key());
        let first = first.map(|held| held.record.id);
        let ids = self.twins.entry(record.key()).or_default();
        for id in first.into_iter().chain([record.id]) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }

    /// Two records are one message although its sender did not give them the same
    /// MessageUuid. Each by its [`Record::key`] and id; they need not be held yet.
    pub(super) fn link(&mut self, one: (u128, RecordId), other: (u128, RecordId)) {
        for (key, _) in [one, other] {
            let ids = self.twins.entry(key).or_default();
            for (_, id) in [one, other] {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
    }

    /// All of them, oldest first.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.held.iter().map(|held| &held.record)
    }

    /// All of them as they are put on disk, oldest first.
    pub(super) fn stored(&self, now: Time) -> impl Iterator<Item = StoredRecord> {
        self.held.iter().map(move |held| StoredRecord {
            position: held.position,
            record: held.record.clone(),
            age_ms: held.since.age_ms(now),
        })
    }

    /// The highest position given out.
    pub(super) const fn top(&self) -> Position {
        self.top
    }

    /// All ids of this record's message.
    pub(super) fn ids_of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a RecordId> {
        let twins = self.twins.get(&record.key()).into_iter().flatten().filter(|id| **id != record.id);
        std::iter::once(&record.id).chain(twins)
    }

    /// Whether a client that has settled so much needs this record no more.
    pub(super) fn is_settled(&self, settled: &BTreeMap<Origin, Settled>, record: &Record) -> bool {
        let is_settled =
            |id: &RecordId| settled.get(&id.origin).is_some_and(|settled| settled.contains(id.sequence));
        self.ids_of(record).any(is_settled)
    }

    /// Takes out a record that is over a bound: the oldest if it is older than
    /// `age_max`, or the first that came if all have more than `bytes_max` together.
    pub(super) fn pop_over(&mut self, now: Time, age_max: Duration, bytes_max: usize) -> Option<Dropped> {
        let &(said, oldest) = self.by_age.first()?;
        let at = if said.age(now) >= age_max {
            self.held.binary_search_by_key(&oldest, |held| held.position).ok()?
        } else if self.bytes > bytes_max {
            0
        } else {
            return None;
        };
        let Held { position, place, since, record } = self.held.remove(at)?;
        self.by_age.remove(&(since, position));
        self.bytes -= record.cost_bytes();
        if self.newest_of.get(&record.client_id) == Some(&(record.lamport, record.id)) {
            self.newest_of.remove(&record.client_id);
        }
        // Seldom more than a few, and a message may be known by several keys.
        self.twins.retain(|_, ids| {
            ids.retain(|id| *id != record.id);
            !ids.is_empty()
        });
        Some(Dropped { place, record })
    }

    /// When the oldest one will be too old.
    pub(super) fn due(&self, age_max: Duration) -> Option<Time> {
        self.by_age.first().map(|(said, _)| said.reaches(age_max))
    }

    /// The position below which nothing is held.
    pub(super) fn floor(&self) -> Position {
        self.held.front().map_or(self.top + 1, |held| held.position)
    }

    /// The latest record of a sender, behind its Lamport time.
    pub(super) fn newest_of(&self, client_id: &ClientId) -> Option<(u64, RecordId)> {
        self.newest_of.get(client_id).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.held.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use fau3_election::{Incarnation, RouterId};

    use super::*;
    use crate::wire::{Message, Origin, RoomId};

    fn record(sequence: u64) -> Record {
        let origin = Origin { router: RouterId([1; 16]), incarnation: Incarnation::default() };
        let message = Message {
            room: RoomId::new("r").unwrap(),
            client_id: ClientId::new("sender").unwrap(),
            message_uuid: "u".into(),
            payload: [1; 100].into(),
        };
        Record::new(RecordId { origin, sequence }, None, 0, message)
    }

    #[test]
    fn the_oldest_goes_first_and_only_over_a_bound() {
        let mut log = Log::default();
        for sequence in 1..=3 {
            let position = log.next_position();
            log.push(position, Moment::before(Time::from_secs(sequence), 0), Arc::new(record(sequence)));
        }
        let (age, bytes) = (Duration::from_secs(10), 3 * record(1).cost_bytes());
        assert!(log.pop_over(Time::from_secs(10), age, bytes).is_none());
        assert_eq!(log.pop_over(Time::from_secs(11), age, bytes).unwrap().record.id.sequence, 1, "by age");
        assert_eq!(
            log.pop_over(Time::from_secs(11), age, bytes / 2).unwrap().record.id.sequence,
            2,
            "by bytes"
        );
        assert_eq!((log.count(), log.floor()), (1, 3));
    }

    #[test]
    fn one_that_came_late_goes_when_it_is_too_old_and_not_behind_younger_ones() {
        let (now, age) = (Time::from_secs(20), Duration::from_secs(10));
        let mut log = Log::default();
        for (sequence, age_ms) in [(1, 1_000), (2, 9_000), (3, 500)] {
            let position = log.next_position();
            log.push(position, Moment::before(now, age_ms), Arc::new(record(sequence)));
        }
        assert_eq!(log.due(age), Some(Time::from_secs(21)));
        let next = Time::from_secs(21);
        assert_eq!(log.pop_over(next, age, usize::MAX).unwrap().record.id.sequence, 2);
        assert!(log.pop_over(next, age, usize::MAX).is_none());
        assert_eq!((log.count(), log.get(1, next).is_some(), log.get(2, next).is_some()), (2, true, false));
    }
}

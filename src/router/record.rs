//! One voice message, and the table of those that a router holds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Incarnation, RouterId, Time};
use xxhash_rust::xxh3::xxh3_128;

use crate::wire::{ClientId, RoomId, Uuid};

/// One life of one router, as the maker of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Which router.
    pub router: RouterId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

/// Names a record everywhere and for ever: the same from whichever router it
/// is delivered. Ordered by origin, then by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Who made it.
    pub origin: Origin,
    /// Counts an origin's records from 1, whatever their rooms.
    pub sequence: u64,
}

/// One voice message, as it was taken from its sender. Never changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// Where it is to be heard.
    pub room: RoomId,
    /// Who spoke.
    pub client_id: ClientId,
    /// The sender's own name for it.
    pub message_uuid: Box<str>,
    /// The same sender's record before this one, if this origin made one.
    pub previous: Option<RecordId>,
    /// Later than every record that the origin knew of (Lamport 1978).
    pub lamport: u64,
    /// The message.
    pub payload: Box<[u8]>,
}

/// What a record costs beyond its payload, in bytes: an upper estimate of its
/// ids, names and places in tables.
const RECORD_OVERHEAD_BYTES: usize = 384;

impl Record {
    /// What it counts towards `clients.storage_max_kib`, in bytes.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        self.payload.len() + RECORD_OVERHEAD_BYTES
    }

    /// The MessageUuid of the Playlist that brings this record to `receiver`
    /// (PROTOCOLS.md, "Playlist.Records"). The bytes hashed are the same on
    /// every machine: little-endian numbers, then the client id.
    #[must_use]
    pub fn playlist_uuid(&self, receiver: &ClientId) -> Uuid {
        let mut bytes = [0; 36 + crate::wire::CLIENT_ID_CHARS_MAX];
        let origin = &self.id.origin;
        bytes[..16].copy_from_slice(&origin.router.0);
        bytes[16..20].copy_from_slice(&origin.incarnation.counter.to_le_bytes());
        bytes[20..28].copy_from_slice(&origin.incarnation.random.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.id.sequence.to_le_bytes());
        let name = receiver.as_str().as_bytes();
        bytes[36..36 + name.len()].copy_from_slice(name);
        Uuid::from_hash(xxh3_128(&bytes[..36 + name.len()]))
    }
}

/// By what a resent Propogate is recognised: (client id, MessageUuid, payload).
/// The same on every machine.
#[must_use]
pub fn propogate_key(client_id: &ClientId, message_uuid: &str, payload: &[u8]) -> u128 {
    let name = client_id.as_str();
    let mut bytes = Vec::with_capacity(name.len() + message_uuid.len() + 32);
    // Lengths first, so that no two triples run together into the same bytes.
    bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&(message_uuid.len() as u64).to_le_bytes());
    bytes.extend_from_slice(message_uuid.as_bytes());
    bytes.extend_from_slice(&xxh3_128(payload).to_le_bytes());
    xxh3_128(&bytes)
}

/// A moment on the router's clock in ms; before its start if negative, as for
/// what an earlier life took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(i64);

impl Moment {
    /// The moment `age_ms` before `now`.
    pub(super) fn before(now: Time, age_ms: u64) -> Self {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Self(ms(now.as_millis()).saturating_sub(ms(age_ms)))
    }

    pub(super) fn age(self, now: Time) -> Duration {
        let Self(now_ms) = Self::before(now, 0);
        Duration::from_millis(u64::try_from(now_ms.saturating_sub(self.0)).unwrap_or(0))
    }

    /// When it will be `age` old; zero if it was so before the start.
    fn reaches(self, age: Duration) -> Time {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Time::from_millis(u64::try_from(self.0.saturating_add(age_ms)).unwrap_or(0))
    }
}

/// A record's place among all that a router holds: counts up as they come in.
pub type Position = u64;

/// All records held here, oldest first, bounded by bytes and age.
#[derive(Debug, Default)]
pub(super) struct Log {
    held: VecDeque<(Position, Moment, Arc<Record>)>,
    bytes: usize,
    /// The highest position given out.
    top: Position,
    /// The newest record of each sender, for `previous`. Bounded by the records
    /// held: an entry goes with its record.
    newest_of: BTreeMap<ClientId, RecordId>,
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
        debug_assert!(self.held.back().is_none_or(|(last, ..)| *last < position), "positions rise");
        self.top = self.top.max(position);
        self.bytes += record.cost_bytes();
        self.newest_of.insert(record.client_id.clone(), record.id);
        self.held.push_back((position, since, record));
    }

    /// Takes out the oldest record if it is over a bound: older than
    /// `age_max`, or one of more than `bytes_max` together.
    pub(super) fn pop_over(
        &mut self,
        now: Time,
        age_max: Duration,
        bytes_max: usize,
    ) -> Option<(Position, Arc<Record>)> {
        let (_, since, _) = self.held.front()?;
        if self.bytes <= bytes_max && since.age(now) < age_max {
            return None;
        }
        let (position, _, record) = self.held.pop_front()?;
        self.bytes -= record.cost_bytes();
        if self.newest_of.get(&record.client_id) == Some(&record.id) {
            self.newest_of.remove(&record.client_id);
        }
        Some((position, record))
    }

    /// When the oldest one will be too old.
    pub(super) fn due(&self, age_max: Duration) -> Option<Time> {
        self.held.front().map(|(_, since, _)| since.reaches(age_max))
    }

    /// The position below which nothing is held.
    pub(super) fn floor(&self) -> Position {
        self.held.front().map_or(self.top + 1, |(position, ..)| *position)
    }

    pub(super) fn newest_of(&self, client_id: &ClientId) -> Option<RecordId> {
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
    use super::*;

    fn record(sequence: u64) -> Record {
        let incarnation = Incarnation { counter: 2, random: 3 };
        Record {
            id: RecordId { origin: Origin { router: RouterId([1; 16]), incarnation }, sequence },
            room: RoomId::new("r").unwrap(),
            client_id: ClientId::new("sender").unwrap(),
            message_uuid: "u".into(),
            previous: None,
            lamport: 0,
            payload: [1; 100].into(),
        }
    }

    #[test]
    fn playlist_uuid_differs_by_receiver_and_record_and_is_the_same_on_every_machine() {
        let [a, b] = ["a", "b"].map(|name| ClientId::new(name).unwrap());
        let uuid = record(1).playlist_uuid(&a);
        assert_eq!(uuid.to_string(), "bcd3a8fd-1f9c-878b-bba2-cea9578194de");
        assert_ne!(uuid, record(1).playlist_uuid(&b));
        assert_ne!(uuid, record(2).playlist_uuid(&a));
    }

    #[test]
    fn propogate_key_takes_all_three_into_account() {
        let [a, ab] = ["a", "ab"].map(|name| ClientId::new(name).unwrap());
        let key = propogate_key(&a, "bc", b"payload");
        assert_ne!(key, propogate_key(&ab, "c", b"payload"), "names do not run together");
        assert_ne!(key, propogate_key(&a, "bc", b"other"));
        assert_eq!(key, propogate_key(&a, "bc", b"payload"));
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
        assert_eq!(log.pop_over(Time::from_secs(11), age, bytes).unwrap().0, 1, "by age");
        assert_eq!(log.pop_over(Time::from_secs(11), age, bytes / 2).unwrap().0, 2, "by bytes");
        assert_eq!((log.count(), log.floor()), (1, 3));
    }
}

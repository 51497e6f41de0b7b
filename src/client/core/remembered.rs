use std::collections::{BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fau3_election::Time;
use xxhash_rust::xxh3::Xxh3;

use crate::wire::fau3d::from_router::Record;

/// For how long a Playlist is known again: as long as a router keeps a session
/// for a client that went away.
pub(in crate::client) const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// How many are; beyond it the one seen longest ago is forgotten.
pub(in crate::client) const REMEMBERED_MAX: usize = 4_096;

/// The Playlists that were kept lately, so that one which comes again (its
/// Confirm was lost, or another router sends it) is answered and not shown.
///
/// Known by MessageUuid and contents together: the server in use today gives
/// one MessageUuid to several messages.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    known: BTreeSet<Key>,
    by_age: VecDeque<(Time, Key)>,
}

/// 128 bits of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) struct Key(u128);

impl Key {
    pub(super) fn of(message_uuid: &str, records: &[Record]) -> Self {
        let mut hasher = Xxh3::new();
        message_uuid.hash(&mut hasher);
        records.hash(&mut hasher);
        // Ends the last field; the digest is read from the same state.
        hasher.write_u8(0);
        Self(hasher.digest128())
    }
}

impl Remembered {
    pub(super) fn knows(&mut self, now: Time, key: Key) -> bool {
        while self.by_age.front().is_some_and(|&(at, _)| now.since(at) >= REMEMBERED_FOR) {
            self.forget_oldest();
        }
        self.known.contains(&key)
    }

    pub(super) fn insert(&mut self, now: Time, key: Key) {
        if !self.known.insert(key) {
            return;
        }
        self.by_age.push_back((now, key));
        if self.by_age.len() > REMEMBERED_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_front() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_60_seconds_and_at_most_4096() {
        let mut remembered = Remembered::default();
        let key = |number: usize| Key::of(&number.to_string(), &[]);
        remembered.insert(Time::ZERO, key(0));
        assert!(remembered.knows(Time::from_millis(59_999), key(0)));
        assert!(!remembered.knows(Time::from_secs(60), key(0)));

        for number in 0..=REMEMBERED_MAX {
            remembered.insert(Time::from_secs(60), key(number));
        }
        assert!(!remembered.knows(Time::from_secs(60), key(0)), "the oldest gives way");
        assert!(remembered.knows(Time::from_secs(60), key(1)));
        assert_eq!(remembered.known.len(), remembered.by_age.len());
    }

    #[test]
    fn one_message_uuid_on_two_messages_does_not_make_them_one() {
        let record = |payload: &[u8]| [Record { client_id: "c".into(), payload: payload.to_vec() }];
        assert_eq!(Key::of("u", &record(b"a")), Key::of("u", &record(b"a")));
        assert_ne!(Key::of("u", &record(b"a")), Key::of("u", &record(b"b")));
        assert_ne!(Key::of("u", &record(b"a")), Key::of("v", &record(b"a")));
    }
}

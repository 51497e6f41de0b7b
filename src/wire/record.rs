//! One voice message, and the names by which it is known everywhere.

use std::collections::BTreeSet;
use std::fmt;

use fau3_election::{Incarnation, RouterId};
use xxhash_rust::xxh3::xxh3_128;

use super::{CLIENT_ID_CHARS_MAX, ClientId, RoomId, Uuid};

/// One life of one router, as the maker of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Which router.
    pub router: RouterId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

/// Names a record everywhere and for ever. Ordered by origin, then by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Who made it.
    pub origin: Origin,
    /// Counts an origin's records from 1, whatever their rooms.
    pub sequence: u64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.origin.router, self.origin.incarnation, self.sequence)
    }
}

/// One voice message, as it was taken from its sender. Never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// Where it is to be heard.
    pub room: RoomId,
    /// Who spoke.
    pub client_id: ClientId,
    /// The sender's own name for it.
    pub message_uuid: Box<str>,
    /// The same sender's record before this one, as far as the origin knew.
    pub previous: Option<RecordId>,
    /// Later than every record that the origin knew of (Lamport 1978).
    pub lamport: u64,
    /// The message.
    pub payload: Box<[u8]>,
    /// Made from four of the above; kept, since every delivery needs it.
    key: u128,
}

/// The longest payload of a message, in bytes: in base64 it fits a frame of 1 MiB,
/// whoever says it.
pub const BODY_BYTES_MAX: usize = (1_024 * 1_024 - 1_024) / 4 * 3;
/// What of a session is settled beyond a gap, of one origin; beyond it the
/// oldest gap is given up and counted.
pub const SETTLED_BEYOND_MAX: usize = 256;

/// What of one origin's records is settled for a client: all up to `prefix`,
/// and some beyond it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What was said up to this sequence is not for the client: it came before
    /// the client entered its room. At most `prefix`. Of two routers where it did so,
    /// without their knowing of each other, the lower one counts; a router that did not
    /// know the origin then does not count.
    pub before: u64,
    /// Every record of the client's room up to this sequence.
    pub prefix: u64,
    /// Settled ones beyond; at most [`SETTLED_BEYOND_MAX`].
    pub beyond: BTreeSet<u64>,
}

/// What a sender says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// To whom.
    pub room: RoomId,
    /// Who.
    pub client_id: ClientId,
    /// By which it knows it again.
    pub message_uuid: Box<str>,
    /// What.
    pub payload: Box<[u8]>,
}

impl Message {
    /// By what it is recognised: [`propogate_key`].
    #[must_use]
    pub fn key(&self) -> u128 {
        propogate_key(&self.client_id, &self.room, &self.message_uuid, &self.payload)
    }
}

/// What a record costs beyond its payload, in bytes: an upper estimate of its
/// ids, names and places in tables.
const RECORD_OVERHEAD_BYTES: usize = 384;

impl Record {
    /// A record of `message` by this id.
    #[must_use]
    pub fn new(id: RecordId, previous: Option<RecordId>, lamport: u64, message: Message) -> Self {
        let key = message.key();
        Self::keyed(id, previous, lamport, message, key)
    }

    /// As [`Self::new`], where the message's [`Message::key`] is known already: it takes a
    /// look at the whole payload.
    #[must_use]
    pub fn keyed(
        id: RecordId,
        previous: Option<RecordId>,
        lamport: u64,
        message: Message,
        key: u128,
    ) -> Self {
        let Message { room, client_id, message_uuid, payload } = message;
        Self { id, room, client_id, message_uuid, previous, lamport, payload, key }
    }

    /// What it counts towards `clients.storage_max_kib`, in bytes.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        self.payload.len() + RECORD_OVERHEAD_BYTES
    }

    /// By what it is recognised when its sender brings it to another router
    /// again.
    #[must_use]
    pub const fn key(&self) -> u128 {
        self.key
    }
}

/// The MessageUuid of the Playlist that brings a message to `receiver` (PROTOCOLS.md,
/// "Playlist.Records"): usually its [`Record::key`], what the sender said, rather than
/// the record's id, so that it is also the same where two routers that did not hear
/// each other have both taken the message in. The bytes hashed are the same on every
/// machine.
#[must_use]
pub fn playlist_uuid(message: u128, receiver: &ClientId) -> Uuid {
    let mut bytes = [0; 16 + CLIENT_ID_CHARS_MAX];
    bytes[..16].copy_from_slice(&message.to_le_bytes());
    let name = receiver.as_str().as_bytes();
    bytes[16..16 + name.len()].copy_from_slice(name);
    Uuid::from_hash(xxh3_128(&bytes[..16 + name.len()]))
}

/// By what a resent Propogate is recognised: (client id, room, MessageUuid,
/// payload). Whom a message is for is part of it: the same words under the same
/// MessageUuid to another room are another message. The same on every machine.
#[must_use]
pub fn propogate_key(client_id: &ClientId, room: &RoomId, message_uuid: &str, payload: &[u8]) -> u128 {
    let names = [client_id.as_str(), room.as_str(), message_uuid];
    let length: usize = names.iter().map(|name| name.len() + 8).sum();
    let mut bytes = Vec::with_capacity(length + 16);
    for name in names {
        // Lengths first, so that no two of them run together into the same bytes.
        bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&xxh3_128(payload).to_le_bytes());
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlists_uuid_differs_by_receiver_and_message_and_is_the_same_on_every_machine() {
        let [a, b] = ["a", "b"].map(|name| ClientId::new(name).unwrap());
        let record = |router, uuid: &str| {
            let origin = Origin { router: RouterId([router; 16]), incarnation: Incarnation::default() };
            let message = Message {
                room: RoomId::new("r").unwrap(),
                client_id: ClientId::new("sender").unwrap(),
                message_uuid: uuid.into(),
                payload: [1; 100].into(),
            };
            Record::new(RecordId { origin, sequence: 1 }, None, 0, message)
        };
        let uuid = playlist_uuid(record(1, "u").key(), &a);
        assert_eq!(uuid.to_string(), "19d5aacc-842a-8a4c-9409-71403ed23b5c");
        assert_ne!(uuid, playlist_uuid(record(1, "u").key(), &b), "another receiver");
        assert_ne!(uuid, playlist_uuid(record(1, "v").key(), &a), "another message");
        assert_eq!(uuid, playlist_uuid(record(2, "u").key(), &a), "the same message, taken in twice");
    }

    #[test]
    fn propogate_key_takes_all_four_into_account() {
        let [a, ab] = ["a", "ab"].map(|name| ClientId::new(name).unwrap());
        let [r, br] = ["r", "br"].map(|name| RoomId::new(name).unwrap());
        let key = propogate_key(&a, &br, "c", b"payload");
        assert_ne!(key, propogate_key(&ab, &r, "c", b"payload"), "names do not run together");
        assert_ne!(propogate_key(&a, &r, "c", b"payload"), key, "another room");
        assert_ne!(key, propogate_key(&a, &br, "d", b"payload"), "another MessageUuid");
        assert_ne!(key, propogate_key(&a, &br, "c", b"other"));
        assert_eq!(key, propogate_key(&a, &br, "c", b"payload"));
    }
}

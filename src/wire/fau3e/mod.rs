//! FAU3VOM-E: router and router (seed 000, PROTOCOLS.md section 2). The
//! vocabulary of FAU3VOM-D in CBOR (RFC 8949), one map a frame, with payloads
//! as bytes. Knows no connection and no router: only what stands on the wire.
//!
//! Unknown fields are ignored, and a message of an unknown type can be answered,
//! so that versions mix.

mod bytes;
mod code;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use fau3_election::{Belief, Epoch, ListVersion, Role, RouterId, ServerEntry};

use super::fau3d::Status;
use super::{ClientId, Origin, Record, RecordId, RoomId, Settled, Uuid};

pub(crate) use code::LAMPORT_MAX;
pub use code::{decode, encode};

/// The largest frame, in bytes: a Playlist with the largest message that
/// FAU3VOM-D takes, and its names.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024 + 64 * 1024;
/// Most clients in one State; one that has more to say says it in several.
pub const STATE_SESSIONS_MAX: usize = 256;
/// Most origins in one State.
pub const STATE_HOLDINGS_MAX: usize = 1_024;
/// Most connections to the main server of all routers together: a legacy
/// server takes 255, and has clients of its own.
pub const UPSTREAM_LINES_MAX: usize = 250;
/// Most routers that one says to be reached through it: a few segments, each
/// as large as one may be.
pub const STATE_REACH_MAX: usize = 4 * fau3_election::ROUTERS_MAX;
/// The longest peer id, in bytes; those of Ed25519 keys have 52.
pub const PEER_ID_BYTES_MAX: usize = 64;
/// How much of another router's clock is believed, in ms: 139 years, then an hour a word.
pub(crate) const TIMES: Belief = Belief { at_once: 1 << 42, step: 3_600_000, last: 1 << 49 };
/// How much of a count of records, or of changes of a session or of a router's words on the
/// main server: a million each second for 12 days, then as many as nobody loses at a time.
pub(crate) const COUNTS: Belief = Belief { at_once: 1 << 40, step: 1 << 16, last: 1 << 49 };
/// Most records in one Playlist.
pub const PLAYLIST_RECORDS_MAX: usize = 64;

/// What one router says to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender is and holds: pushed when it changes, or the answer to
    /// [`Message::AskState`].
    State(Box<State>),
    /// A State without content: asks for all of the other's.
    AskState,
    /// Records: pushed when they are new, or the answer to [`Message::Want`].
    Playlist(Playlist),
    /// Asks for an origin's records from this sequence on, as many as fit into
    /// one Playlist.
    Want(RecordId),
    /// Live audio; never confirmed, never stored, dropped rather than queued.
    Stream(Stream),
    /// What a router does at a main server that speaks FAU3VOM-D only; goes
    /// from router to router until all have it.
    Upstream(UpstreamState),
    /// The answer to a Playlist that asked for one.
    Confirm {
        /// The Playlist's.
        message_uuid: Uuid,
        /// What became of it.
        status: Status,
    },
}

/// What a router is, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The sender's configured name.
    pub name: Box<str>,
    /// What the sender is to its clients.
    pub mode: Role,
    /// Who leads, as the sender sees it; `None`: no router does.
    pub coordinator: Option<RouterId>,
    /// The term of leading.
    pub epoch: Option<Epoch>,
    /// The ExtraServers list that it holds.
    pub list: ListVersion,
    /// Its own place in that list, 0 the highest.
    pub priority: Option<u8>,
    /// The routers that it is connected to.
    pub neighbours: Vec<Neighbour>,
    /// Of each origin known, the records that it holds.
    pub holdings: Vec<Holding>,
    /// The sessions that have changed, or all of them in several States.
    pub sessions: Vec<SessionState>,
    /// Hash of the versions of all sessions that the sender knows: while it
    /// differs, something is on its way or was lost.
    pub digest: u64,
    /// The mesh's clock, in ms: runs on by itself, and is never behind what
    /// was heard (a hybrid logical clock, Kulkarni et al. 2014, without wall
    /// clocks). Orders attachments.
    pub clock_ms: u64,
    /// The sender is a main server: it joins no segments, and is in none's map.
    pub leaf: bool,
    /// The routers, each in its life, that are reached through the sender and
    /// stand on no map of the receiver's component; `None`: as said before.
    pub reach: Option<Vec<Origin>>,
    /// A main server's ExtraServers list, highest priority first; `None`:
    /// as said before.
    pub servers: Option<Vec<ServerEntry>>,
}

/// A router that another one is connected to, and how it is reached from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which one.
    pub router: RouterId,
    /// How to find it, as far as that is known.
    pub contact: Option<Contact>,
}

/// How to find a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// libp2p's name for it; at most [`PEER_ID_BYTES_MAX`] long.
    pub peer_id: Box<str>,
    /// Where its beacons come from. Without a zone: that is a matter of the
    /// host that hears them.
    pub address: SocketAddr,
}

/// A run of one origin's records that a router holds: all from `floor` to `top`.
/// Where nothing is left, `floor` = `top` + 1. An origin has several in rising
/// order where records between them are lost everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Whose.
    pub origin: Origin,
    /// The oldest.
    pub floor: u64,
    /// The newest that was ever held.
    pub top: u64,
}

/// Which state of a session is the newer one: the newest attachment wins, and
/// of one attachment the highest revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionVersion {
    /// When the client attached, by the mesh's clock, and later than every
    /// attachment before that was known there.
    pub generation: u64,
    /// Where it attached: decides between two of the same moment.
    pub holder: Origin,
    /// Counts up with each change made there.
    pub revision: u64,
}

/// One client's session, as routers tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// Whose.
    pub client_id: ClientId,
    /// Its room; `None` before its first Subscribe.
    pub room: Option<RoomId>,
    /// Period of Monitor messages in seconds; 0: none.
    pub monitor_period_s: u32,
    /// Period of Ping messages in seconds; 0: none.
    pub ping_period_s: u32,
    /// How long ago the session began, in ms.
    pub age_ms: u64,
    /// How long ago the client lost its connection, in ms; `None`: it has one.
    pub detached_ms: Option<u64>,
    /// Which state this is, and where the client is attached.
    pub version: SessionVersion,
    /// The version at which it entered its room: what is settled counts from
    /// there, and two that entered alike may be put together.
    pub entered: SessionVersion,
    /// The version at which it last said, as far as was known there, that it was in
    /// another room: states up to it say nothing of its time in this one.
    pub moved_over: SessionVersion,
    /// How long ago the client came to its room, in ms; `None`: nobody knows.
    /// What is older is not for it.
    pub room_age_ms: Option<u64>,
    /// What is settled for it, for each origin.
    pub settled: BTreeMap<Origin, Settled>,
    /// The newest record that it has sent, behind its Lamport time.
    pub last: Option<(u64, RecordId)>,
}

/// Records, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playlist {
    /// To be confirmed, once they are held, with this; `None`: not to be.
    pub confirm: Option<Uuid>,
    /// The records, each with how old it is, in ms.
    pub records: Vec<(Arc<Record>, u64)>,
}

/// One piece of live audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The router that took it from its client, and this router's count.
    pub id: RecordId,
    /// Routers that it may still pass.
    pub hops: u8,
    /// Where it is to be heard.
    pub room: RoomId,
    /// Who speaks.
    pub client_id: ClientId,
    /// As it came, marks included.
    pub frame: Arc<[u8]>,
}

/// What a router does at a main server that speaks FAU3VOM-D only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamState {
    /// Whose this is.
    pub origin: Origin,
    /// Counts up with each change; of one life the highest counts.
    pub revision: u64,
    /// For how long that life has been out of reach of whoever passes this on, in ms.
    pub gone_ms: Option<u64>,
    /// In whose names it is connected there, or the server may think so: nobody else may be
    /// meanwhile.
    pub lines: Vec<ClientId>,
    /// In whose names it is about to connect. Nobody else may be meanwhile, as long as it
    /// lives.
    pub claims: Vec<ClientId>,
    /// Of the deputy: up to which revision it has heard whom, where that named other
    /// clients than the one before.
    pub heard: Vec<(Origin, u64)>,
    /// Records that the server has taken in, as far as this router knows, or that it
    /// is not to have: from `floor` to `top` each. To one that comes, or has lost something,
    /// all; else those that are new.
    pub pushed: Vec<Holding>,
}

/// A frame that is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its MessageUuid, if it had one: then it is answered FAU3_INVALID.
    pub message_uuid: Option<Uuid>,
    /// What is wrong with it, for logs and counters.
    pub reason: &'static str,
    /// Its type is unknown: a newer version's, perhaps, and no fault.
    pub is_unknown: bool,
}

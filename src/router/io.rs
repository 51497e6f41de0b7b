//! What goes into a router and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use fau3_election::{Datagram, RouterId, SavedState, ServerEntry, View, Warning};

use super::session::SavedSession;
use super::settings::Settings;
use super::upstream::{UpstreamInput, UpstreamOutput};
use super::words::{CloseReason, Refusal, Says, Told};
use crate::wire::{ClientId, Record, fau3e};

/// One connection of a client, for as long as it lasts. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A frame's number on its connection: the first [`Output::Tell`] is 1.
pub type FrameNo = u64;

/// All that can happen to a router.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks to be let in. Answered by `Accept` or `Refuse`.
    Connect {
        /// The new connection.
        conn: ConnId,
        /// Who it says it is.
        client_id: ClientId,
        /// Where it comes from.
        address: IpAddr,
    },
    /// A client says something.
    Says {
        /// On which connection.
        conn: ConnId,
        /// What.
        what: Says,
    },
    /// All frames up to this one have left the connection's socket buffer.
    Left {
        /// On which connection.
        conn: ConnId,
        /// The newest frame that is gone.
        frame: FrameNo,
    },
    /// The answer to a probe came in.
    Pong {
        /// On which connection.
        conn: ConnId,
        /// The probe's number.
        probe: u32,
    },
    /// The client has shown life without saying anything: by its connection's own means,
    /// or by answering [`Output::Close`].
    Alive {
        /// On which connection, which may have been closed.
        conn: ConnId,
    },
    /// The connection is gone, whoever ended it.
    Disconnected {
        /// Which one.
        conn: ConnId,
    },
    /// The store has committed or given up this and every earlier commit.
    Stored {
        /// The newest one that is done with.
        commit: u64,
        /// False: none of its records is on disk. What it says of sessions goes
        /// with the next transaction that succeeds.
        ok: bool,
    },
    /// What the store had committed is there no more, and it has begun anew:
    /// asks for a commit of everything ([`Commit::whole`]).
    StoreLost,
    /// The configuration was read again.
    Configure(Box<Settings>),
    /// A beacon came in whose authentication was right. Here and below: without
    /// effect on a router that is in no mesh.
    Beacon(Box<[u8]>),
    /// A connection to another router stands, the only one to it.
    PeerUp {
        /// Which one.
        router: RouterId,
    },
    /// A connection stood whose other end has this router's identity key, and is another
    /// router.
    CloneMet,
    /// How another router is found has become known, or has changed.
    Contact {
        /// Which one.
        router: RouterId,
        /// How.
        contact: fau3e::Contact,
    },
    /// It is gone.
    PeerDown {
        /// Which one.
        router: RouterId,
        /// The other side has closed it (FIN or RST): news at once. Else it
        /// fell silent, or this side gave it up.
        closed: bool,
    },
    /// A frame of another router came in, decoded.
    FromPeer {
        /// Whose.
        router: RouterId,
        /// What it says.
        message: Result<fau3e::Message, fau3e::Invalid>,
    },
    /// The last [`Output::ToPeer`] found no place in the queue to this router,
    /// and is lost.
    PeerFull {
        /// Which one.
        router: RouterId,
    },
    /// There is place again.
    PeerDrained {
        /// Which one.
        router: RouterId,
    },
    /// The state of [`Output::Persist`] is on flash.
    Persisted {
        /// Its ticket.
        ticket: u64,
    },
    /// The UCI file's ExtraServers list was read again, highest priority first.
    ListConfigured(Vec<ServerEntry>),
    /// This router has another name from now on.
    Renamed(String),
    /// Something happened between the router and the main server.
    Upstream(UpstreamInput),
    /// The router is going down: say goodbye.
    Shutdown,
    /// The moment that [`super::Router::poll_timeout`] named has come.
    Tick,
}

/// All that a router asks for.
#[derive(Debug)]
pub enum Output {
    /// Let the connection in; frames may follow.
    Accept {
        /// Which one.
        conn: ConnId,
    },
    /// Turn the connection away.
    Refuse {
        /// Which one.
        conn: ConnId,
        /// What to say.
        why: Refusal,
    },
    /// Tell a client something.
    Tell {
        /// On which connection.
        conn: ConnId,
        /// What.
        what: Told,
    },
    /// Ask the connection itself for a sign of life, with this number, behind all frames sent before.
    Probe {
        /// On which connection.
        conn: ConnId,
        /// Its number.
        probe: u32,
    },
    /// End the connection. Nothing more is sent on it.
    Close {
        /// Which one.
        conn: ConnId,
        /// What to say.
        why: CloseReason,
    },
    /// Tell people: a client sends what is invalid. Asked for once a
    /// connection, so that nobody can flood the log.
    Invalid {
        /// On which connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// What is wrong.
        reason: &'static str,
    },
    /// Tell people: connections of a client have ended again and again while this
    /// record was on its way to it. It waits behind the others from now on.
    PutBehind {
        /// Who.
        client_id: ClientId,
        /// Which one.
        record: Arc<Record>,
    },
    /// Put this on disk, all or nothing, and answer with [`Input::Stored`].
    Store(Box<Commit>),
    /// Tell people who want to know exactly: FAU3_STORED was said of a record
    /// that only this router holds, as far as it knows.
    ConfirmedAlone {
        /// Which one.
        record: Arc<Record>,
        /// Why no other one was waited for any longer.
        why: Alone,
    },
    /// Send a beacon.
    Beacon {
        /// To the address from which this router's come; `None`: to every
        /// address at which a router is known or suspected.
        to: Option<RouterId>,
        /// What, before authentication.
        datagram: Datagram,
    },
    /// Send a frame to another router, at once or not at all.
    ToPeer {
        /// Which one; its connection stands.
        router: RouterId,
        /// What. The same `Arc` goes to several, one right after the other, so
        /// that it is encoded once.
        message: Arc<fau3e::Message>,
    },
    /// Put this into the state file, and answer with [`Input::Persisted`], also
    /// when that failed.
    Persist {
        /// Counts up.
        ticket: u64,
        /// What must not be lost with the power.
        state: Box<SavedState>,
    },
    /// Another router tells how a third one is found.
    Told {
        /// Who tells it.
        by: RouterId,
        /// How.
        contact: fau3e::Contact,
    },
    /// Something to do towards the main server.
    Upstream(UpstreamOutput),
    /// Keep a connection to the main server that is a fau3 node, or let go.
    Uplink {
        /// Dial until it stands, and again when it is gone.
        keep: bool,
    },
    /// Who leads, as it is from now on.
    View(View),
    /// Something that people should know.
    Warning(Warning),
}

/// Why a router confirms what no other one holds (DESIGN.md, "Confirm").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// No other router is connected.
    NoRouter,
    /// None of those that were asked has answered in time.
    NoAnswer,
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRouter => "no other router is connected",
            Self::NoAnswer => "no other router has answered",
        })
    }
}

/// What shall be on disk together. Applied in order of `number`; several may be
/// grouped into one transaction.
#[derive(Debug, Default, Clone)]
pub struct Commit {
    /// Counts up by one from 1.
    pub number: u64,
    /// The router's clock, in ms since its start: ages of what is stored are
    /// reckoned from it.
    pub clock_ms: u64,
    /// New records, oldest first.
    pub records: Vec<StoredRecord>,
    /// Records at positions below this one are gone.
    pub floor: u64,
    /// Sessions as they are now.
    pub sessions: Vec<SavedSession>,
    /// Sessions that have ended; one of the same client in `sessions` is newer.
    pub ended: Vec<ClientId>,
    /// All records that a legacy main server has; `None`: as before.
    pub pushed: Option<Vec<fau3e::Holding>>,
    /// This is everything that is held: whatever is on disk gives way to it.
    pub whole: Option<Box<Whole>>,
}

/// What a commit of everything has beside the records that are held, all
/// sessions, and what a main server has.
#[derive(Debug, Default, Clone)]
pub struct Whole {
    /// Messages remembered whose records are gone, oldest first: key, age in ms.
    pub remembered: Vec<(u128, u64)>,
    /// The highest position ever used.
    pub top: u64,
}

/// A record with what its row needs.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// Its place among all records held here: counts up, never reused.
    pub position: u64,
    /// The record.
    pub record: Arc<Record>,
    /// How old it is already, in ms.
    pub age_ms: u64,
}

/// What a router held in its life before this one, ages reckoned until its last
/// commit.
#[derive(Debug, Default, Clone)]
pub struct Restored {
    /// Records, by position.
    pub records: Vec<StoredRecord>,
    /// Sessions, all of them detached.
    pub sessions: Vec<SavedSession>,
    /// Remembered messages, oldest first: key, age in ms.
    pub remembered: Vec<(u128, u64)>,
    /// The highest position ever used.
    pub top: u64,
    /// Records that a legacy main server has.
    pub pushed: Vec<fau3e::Holding>,
}

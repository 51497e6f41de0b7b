//! What clients say and are told, in the router's own words. How a protocol says it is
//! its door's affair.

use std::fmt;
use std::sync::Arc;

use crate::wire::{Present, Record, RoomId, Uuid};

/// By which a client knows a message of its own again: chosen by it or its door, given
/// back as it came.
pub type Token = Box<str>;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// Is the router there?
    Ask {
        /// For the answer.
        token: Token,
    },
    /// About something that it was told ([`Told`]). Never answered.
    Settles {
        /// What it was; `None`: nothing that any router has told.
        item: Option<Uuid>,
        /// It has come; else that was a failed try.
        is_taken: bool,
    },
    /// Something for all of a room, kept until each of them has it.
    Post {
        /// For the answer.
        token: Token,
        /// Where it shall be heard.
        room: RoomId,
        /// What; at least one byte.
        body: Box<[u8]>,
    },
    /// It moves to a room.
    Enter {
        /// For the answer.
        token: Token,
        /// Where it moves to.
        room: RoomId,
        /// How often it wants to be told who is there, in seconds; 0: never.
        monitor_period_s: u32,
        /// How often it wants to be asked whether it is there, in seconds; 0: never.
        ping_period_s: u32,
    },
    /// For whoever listens in its room now.
    Live(Box<[u8]>),
    /// Nothing that its door could make a word of.
    Nonsense {
        /// For the answer; `None`: it must have none.
        token: Option<Token>,
        /// What is wrong with it, for logs and counters.
        reason: &'static str,
    },
}

/// What became of what a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The router is there.
    Here,
    /// The list of who is there has come: said to servers alone.
    Noted,
    /// It is kept, and will be told to all whom it is for.
    Stored,
    /// That was not possible: worth trying again later.
    Failed,
    /// It makes no sense.
    Invalid,
}

/// What a client is told. Parts with an `Arc` are the same for many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The answer to what it has said.
    Answer {
        /// Its own.
        token: Token,
        /// What became of it.
        answer: Answer,
    },
    /// Is it there?
    Ask {
        /// Fresh for each.
        item: Uuid,
    },
    /// Who is there.
    Present {
        /// Fresh for each, the same when told again.
        item: Uuid,
        /// All of them.
        clients: Arc<[Present]>,
    },
    /// Something that was posted.
    Item {
        /// Derived from client and record.
        item: Uuid,
        /// What, and whose.
        record: Arc<Record>,
    },
    /// Live, as it came.
    Live(Arc<[u8]>),
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `clients.max_clients` are connected.
    Full,
    /// One address holds all places but those kept for others.
    AddressFull,
    /// `clients.allow_client` does not name it.
    NotAllowed,
    /// Several devices take this id from each other.
    Contested,
    /// The router is going down.
    ShuttingDown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "this router serves as many clients as it may (clients.max_clients)",
            Self::AddressFull => "too many clients from your address; the last places are for others",
            Self::NotAllowed => "this client id is not in the list clients.allow_client",
            Self::Contested => "several devices use this client id; give each its own, then wait 30 s",
            Self::ShuttingDown => "this router is going down",
        })
    }
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The same client id has connected again.
    TakenOver,
    /// Several devices take this id from each other.
    Contested,
    /// [`Told::Ask`] was not answered for two periods.
    PingUnanswered,
    /// No sign of life at all.
    Silent,
    /// The router is going down.
    ShuttingDown,
    /// `clients.allow_client` no longer names it.
    NotAllowed,
}

impl CloseReason {
    /// One line for people, of at most 123 bytes.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::TakenOver => "the same client id connected again",
            Self::Contested => "several devices use this client id; give each its own, then wait 30 s",
            Self::PingUnanswered => "a Ping was not answered for two periods",
            Self::Silent => "no sign of life",
            Self::ShuttingDown => "the router is going down",
            Self::NotAllowed => "this client id is not in the list clients.allow_client",
        }
    }
}

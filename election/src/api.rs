//! What goes into the state machine and what comes out of it.

use crate::epoch::Epoch;
use crate::id::RouterId;
use crate::list::{ListVersion, ServerEntry};
use crate::map::Coordinator;
use crate::record::Datagram;
use crate::state::SavedState;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The time of [`Election::poll_timeout`](crate::Election::poll_timeout) has come. Every other input does
    /// the same on the way.
    Timeout,
    /// A datagram of UDP 8902 whose authentication tag was right. What does
    /// not decode is counted and dropped.
    Datagram(&'a [u8]),
    /// A connection to this router stands: it is told at once who is here. With the
    /// own id: its other end has proved to have this router's identity, and is
    /// another router.
    Connected(RouterId),
    /// The other side closed its last connection (FIN or RST; not our own
    /// time-out, not a duplicate): its link is gone at once.
    Closed(RouterId),
    /// Whether this router itself reaches the main server. Counts for the
    /// component only while this router is the deputy.
    DefaultServer(bool),
    /// This router has stopped looking for the main server: what it said
    /// is void.
    DefaultServerUnwatched,
    /// The UCI file's list was read again; gets number 0.
    ListConfigured(&'a [ServerEntry]),
    /// This router has another name from now on.
    Renamed(&'a str),
    /// The main server's list was fetched. Only the deputy gives it the
    /// next number, if it differs; elsewhere it is ignored.
    ListFetched(&'a [ServerEntry]),
    /// The state of [`Output::Persist`] with this ticket is on flash. Also to
    /// be said, with a warning to people, when flash cannot be written: then a restart may
    /// repeat an epoch's number, but never a whole epoch.
    Persisted {
        /// The ticket of the output.
        ticket: u64,
    },
    /// SIGTERM: say goodbye. Done once `poll_timeout` returns `None`, three
    /// flood gaps later.
    Leave,
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send to every address at which a router is known or suspected.
    Broadcast(Datagram),
    /// Send to the address from which this router's datagrams come.
    Send(RouterId, Datagram),
    /// Write to flash, then answer [`Input::Persisted`].
    Persist {
        /// Counts up. There is no other before this one is answered.
        ticket: u64,
        /// What to write.
        state: SavedState,
    },
    /// The view changed; this is the new one.
    View(View),
    /// Something that people should know; said once each time it begins.
    Warning(Warning),
}

/// What a router is to its clients (modes of PROTOCOLS.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// No one leads that this router knows of: it listens after its start, or
    /// waits for its state to reach flash.
    Waiting,
    /// The main server leads ("default").
    Default,
    /// Another router leads ("follower").
    Follower,
    /// This router leads ("server").
    Server,
    /// This router has left, or found its identity cloned: it sends nothing more.
    Stopped,
}

/// Who leads, as this router sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// What this router is.
    pub role: Role,
    /// Who leads the component.
    pub coordinator: Coordinator,
    /// Who does what needs exactly one router.
    pub deputy: Option<RouterId>,
    /// The term of leading: own if this router leads, else as the coordinator
    /// reports it.
    pub epoch: Option<Epoch>,
    /// The list that this router holds.
    pub list: ListVersion,
    /// Routers in this one's two-way component, itself included.
    pub members: u16,
    /// Whether this router may lead (listening is over, flash has answered).
    pub ready: bool,
    /// Whether this router's neighbours hold it down after flaps.
    pub held: bool,
}

impl View {
    /// True if this router leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == Role::Server
    }
}

/// Something that people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warning {
    /// This identity is alive elsewhere. This router has stopped; give one of
    /// the two a new identity key and restart.
    ClonedIdentity,
    /// This identity is heard from elsewhere, but no connection has shown anybody who
    /// has its key: this router goes on.
    IdentityHeard,
    /// More than [`ROUTERS_MAX`](crate::ROUTERS_MAX) routers: this one is ignored.
    TableFull(RouterId),
    /// Two lists with the same number but different entries; `used` wins.
    ListConflict {
        /// The number that both have.
        number: u64,
        /// Hash of the list that counts.
        used: u64,
        /// Hash of the other one.
        other: u64,
    },
    /// Two routers with one name: the lower id takes the list's place.
    NameTwice(RouterId, RouterId),
    /// An epoch that was already superseded tried to write.
    StaleEpoch(Epoch),
}

/// What happened since the start, for `/metrics` and for checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counters {
    /// Heartbeats sent (one for all neighbours counts one).
    pub heartbeats: u64,
    /// Own records sent.
    pub records: u64,
    /// Records of others sent on as they came in.
    pub relayed_records: u64,
    /// Records of others sent to one that asked, or whose summary lacked them.
    pub repaired_records: u64,
    /// Heartbeats of others sent on to one that asked.
    pub relayed_heartbeats: u64,
    /// Questions about a silent router sent.
    pub probes: u64,
    /// Summaries sent because two maps differed.
    pub summaries: u64,
    /// Datagrams that did not decode.
    pub malformed: u64,
    /// Routers refused because the table was full.
    pub refused: u64,
    /// Stale epochs refused.
    pub stale_epochs: u64,
    /// Times at which a flap of another was held against it.
    pub hold_downs: u64,
    /// Times the decision function ran.
    pub decisions: u64,
}

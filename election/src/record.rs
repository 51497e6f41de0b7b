//! What travels: heartbeats, records (full beacons) and the few datagrams
//! that repair what was lost. All types here are plain data; `codec` puts
//! them into bytes.

use alloc::string::String;
use alloc::vec::Vec;

use crate::epoch::Epoch;
use crate::id::{Incarnation, RouterId};
use crate::list::{ListVersion, ServerList};

/// The small beacon, sent every interval to all neighbours, never flooded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// Whose sign of life this is.
    pub origin: RouterId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Counts up by one each interval, within the incarnation.
    pub sequence: u32,
    /// Revision of the origin's own record: who holds an older one asks.
    pub revision: u32,
    /// Sum over all (router, incarnation, revision) of the origin's component:
    /// equal maps, equal digests.
    pub digest: u64,
}

/// The full beacon: all that a router says about itself. Flooded when it
/// changes or is asked for; the newest (incarnation, revision) replaces others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who says this.
    pub origin: RouterId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Counts up with each change, within the incarnation.
    pub revision: u32,
    /// Its configured name, for lists and people.
    pub name: String,
    /// May it lead: listening is over, flash has answered.
    pub ready: bool,
    /// It says goodbye.
    pub leaving: bool,
    /// A main server of several segments: nothing is relayed through it.
    pub leaf: bool,
    /// What it says about the main server.
    pub default_server: Report,
    /// Its ExtraServers list.
    pub list: ListVersion,
    /// Its own place in that list, 0 the highest.
    pub place: Option<u8>,
    /// Number of its epoch, 0 while it does not lead.
    pub leading: u64,
    /// The highest epoch that it knows of.
    pub seen: Option<Epoch>,
    /// Whom it hears, sorted by id, at most [`ROUTERS_MAX`](crate::ROUTERS_MAX) less one.
    pub links: Vec<Link>,
}

/// One router that a record's origin hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The router heard.
    pub to: RouterId,
    /// The origin holds it down for its flaps.
    pub held: bool,
    /// How often it flapped lately, at most 127.
    pub flaps: u8,
}

/// What a router says about the main server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Report {
    /// It has not looked.
    #[default]
    Unknown,
    /// It cannot reach it.
    Unreachable,
    /// It reaches it.
    Reachable,
}

/// One datagram, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Packet {
    /// A heartbeat, from its origin.
    Heartbeat(Heartbeat),
    /// A heartbeat of another router, sent on to one that asked for it.
    Relayed {
        /// Who sends it on.
        sender: RouterId,
        /// What it heard.
        heartbeat: Heartbeat,
        /// How long ago, in ms. Ages travel; clocks are never compared.
        age_ms: u16,
    },
    /// A record, from its origin or sent on.
    Record {
        /// Who sends it.
        sender: RouterId,
        /// Whoever it is about.
        record: Record,
    },
    /// Asks for records.
    Request {
        /// Who asks.
        sender: RouterId,
        /// Of whom.
        origins: Vec<RouterId>,
    },
    /// What the sender holds of ids `from..=to`: the other side sends what is
    /// newer and asks for what is older.
    Summary {
        /// Who holds it.
        sender: RouterId,
        /// First id covered.
        from: RouterId,
        /// Last id covered.
        to: RouterId,
        /// Sorted by id.
        entries: Vec<(RouterId, Incarnation, u32)>,
    },
    /// Asks a neighbour for a sign of life of `target` newer than these; the
    /// target itself answers with a heartbeat.
    Probe {
        /// Who asks.
        sender: RouterId,
        /// About whom.
        target: RouterId,
        /// The life last heard.
        incarnation: Incarnation,
        /// The sequence last heard.
        sequence: u32,
    },
    /// Asks for the ExtraServers list.
    ListRequest {
        /// Who asks.
        sender: RouterId,
    },
    /// The ExtraServers list.
    List {
        /// Who holds it.
        sender: RouterId,
        /// The list.
        list: ServerList,
    },
}

/// Bytes to be sent, before authentication. Heartbeats need no allocation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Datagram(pub(crate) Bytes);

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Bytes {
    Small([u8; Heartbeat::BYTES]),
    Large(Vec<u8>),
}

impl Datagram {
    /// What to send.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Small(bytes) => bytes,
            Bytes::Large(bytes) => bytes,
        }
    }
}

impl core::fmt::Debug for Datagram {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match Packet::decode(self.as_bytes()) {
            Ok(packet) => packet.fmt(f),
            Err(error) => write!(f, "Datagram({error})"),
        }
    }
}

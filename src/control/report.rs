//! What a node tells of itself, for whoever shows it: the status, the metrics, the page.

use std::collections::BTreeMap;
use std::time::Duration;

use fau3_election::RouterId;

use crate::gateway::DoorReport;
use crate::mesh::Counts;
use crate::router::{ServerKind, Snapshot};
use crate::store::Counters;
use crate::upstream::WatchReport;

/// Who a node is, for people.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name in the configuration.
    pub name: String,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// What the mesh knows it by.
    pub router_id: RouterId,
}

/// The doors to other routers, for people.
#[derive(Debug, Clone, Default)]
pub struct MeshReport {
    /// What was dropped there since the start.
    pub counts: Counts,
    /// What does not work between this router and others.
    pub troubles: Vec<MeshTrouble>,
    /// libp2p's names of others, as far as they are known: of those that are or
    /// were connected, and of those that they tell of.
    pub peer_ids: BTreeMap<RouterId, String>,
}

/// What does not work between this router and another one, or a place where one
/// should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshTrouble {
    /// Which router, where that is known.
    pub router: Option<RouterId>,
    /// The line of the configuration, or the address.
    pub place: String,
    /// One word for what it is, of [`TROUBLE_KINDS`].
    pub kind: &'static str,
    /// What it is, and what to do.
    pub text: String,
}

/// All kinds of [`MeshTrouble`].
pub const TROUBLE_KINDS: [&str; 9] =
    ["address", "large", "refused", "setting", "tcp", "udp", "udp_in", "udp_out", "unreachable"];

/// The main server, for people.
#[derive(Debug, Clone, Default)]
pub struct DefaultServerReport {
    /// The name by which clients look it up.
    pub name: String,
    /// Where it is; `None`: the configuration names none.
    pub url: Option<String>,
    /// What it is.
    pub kind: Option<ServerKind>,
    /// Whether the component reaches it, and for how long it has been so;
    /// `None`: nobody has said it yet.
    pub reachable: Option<(bool, Duration)>,
    /// What this router has seen of it, if it is the one that looks.
    pub watch: WatchReport,
    /// Live audio that it did not take in time.
    pub streams_dropped: u64,
}

/// The doors to clients, for people: what was turned away there before the router
/// was asked, since the start.
#[derive(Debug, Clone, Default)]
pub struct DoorsReport {
    /// What has passed through each of them.
    pub each: Vec<DoorReport>,
    /// Requests of pages that may not connect, or that were sent to a name that is
    /// not this router's.
    pub pages: usize,
    /// Connections for which there was no place.
    pub crowded_out: usize,
}

/// A node at one moment: what `status`, the console and the metrics show.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who.
    pub identity: Identity,
    /// Since its start.
    pub uptime: Duration,
    /// The doors to clients.
    pub doors: DoorsReport,
    /// The router's part.
    pub router: Snapshot,
    /// The store's, with storage `disk`.
    pub store: Option<Counters>,
    /// Small files written since the start: the identity, and what must outlive
    /// the power.
    pub files_written: u32,
    /// Lines of the log that nobody read.
    pub log_lines_dropped: u32,
    /// The doors to other routers, if this router is in a mesh.
    pub mesh: Option<MeshReport>,
    /// The server that leads while it is there.
    pub default_server: DefaultServerReport,
}

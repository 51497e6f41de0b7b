use std::collections::BTreeMap;
use std::time::Duration;

use fau3_election::RouterId;

use crate::mesh::Counts;
use crate::router::Snapshot;
use crate::store::Counters;

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
    /// libp2p's names of others, as far as they are known: of those that are or
    /// were connected, and of those that they tell of.
    pub peer_ids: BTreeMap<RouterId, String>,
}

/// A node at one moment: what `status`, the console and the metrics show.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who.
    pub identity: Identity,
    /// Since its start.
    pub uptime: Duration,
    /// The router's part.
    pub router: Snapshot,
    /// The store's, with storage `disk`.
    pub store: Option<Counters>,
    /// Small files written since the start: the identity, and what must outlive
    /// the power.
    pub files_written: u32,
    /// The doors to other routers, if this router is in a mesh.
    pub mesh: Option<MeshReport>,
    /// The name by which clients look up the default server.
    pub default_server: String,
}

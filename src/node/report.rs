use std::time::Duration;

use crate::router::Snapshot;
use crate::store::Counters;

/// Who a node is, for people.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name in the configuration.
    pub name: String,
    /// Its libp2p peer id.
    pub peer_id: String,
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
}

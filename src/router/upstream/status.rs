//! What the router tells people about the main server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{LEGACY_CLIENT_ID_MAX, ServerKind};
use crate::router::Router;
use crate::wire::ClientId;
use crate::wire::Present;

/// For how long the server's list of its clients is believed.
const LIST_AGE_MAX: Duration = Duration::from_secs(60);

/// The main server at one moment, as this router sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// What it is.
    pub kind: ServerKind,
    /// It leads.
    pub leads: bool,
    /// Clients here that have a connection to it.
    pub carried: usize,
    /// Clients here that it cannot take, by id: they are served by the mesh alone.
    pub mesh_only: Vec<ClientId>,
    /// Records that wait to be pushed to it.
    pub waiting: usize,
    /// What they cost, in bytes.
    pub waiting_bytes: usize,
}

impl Router {
    pub(in crate::router) fn upstream_status(&self) -> Option<UpstreamStatus> {
        let kind = self.upstream.kind?;
        let waiting = || self.upstream.clients.values().flat_map(|carried| carried.waiting.values());
        let here = self.by_conn.values().map(|key| &self.sessions[*key].client_id);
        let is_mesh_only = |client_id: &&ClientId| {
            let carried = self.upstream.clients.get(client_id);
            client_id.as_str().len() > LEGACY_CLIENT_ID_MAX
                || carried.is_some_and(|carried| carried.has_no_place)
        };
        let mesh_only = here.filter(|client_id| self.upstream.leads && is_mesh_only(client_id));
        Some(UpstreamStatus {
            kind,
            leads: self.upstream.leads || (kind == ServerKind::Node && self.upstream.reach == Some(true)),
            carried: self.upstream.by_conn.len(),
            mesh_only: mesh_only.cloned().collect(),
            waiting: waiting().count(),
            waiting_bytes: waiting().map(|record| record.cost_bytes()).sum(),
        })
    }

    /// Clients of the server that are not of the mesh.
    pub(in crate::router) fn clients_of_the_server(&self, of_mesh: &[Present]) -> Vec<Present> {
        let list: Option<&Arc<[Present]>> = self
            .upstream
            .there
            .as_ref()
            .filter(|(at, _)| self.upstream.leads && self.now.since(*at) < LIST_AGE_MAX)
            .map(|(_, list)| list);
        let known: BTreeSet<&ClientId> = of_mesh.iter().map(|client| &client.client_id).collect();
        let there = list.into_iter().flat_map(|list| list.iter());
        there.filter(|client| !known.contains(&client.client_id)).cloned().collect()
    }
}

//! The election inside the router: everything it needs passes through here.

use fau3_election::{Input, Output as Asks, Role};

use crate::router::mutants::mutated;
use crate::router::{CloseReason, ConnId, Output, Router};

impl Router {
    /// Lets the election handle something, and passes on what it asks for.
    pub(in crate::router) fn elect(&mut self, input: Input<'_>) {
        let Some(mesh) = &mut self.mesh else { return };
        let led = mesh.election.view().role == Role::Server;
        mesh.election.handle(self.now, input);
        let is_leaf = mesh.is_leaf();
        let mut view_changed = false;
        while let Some(asks) = mesh.election.poll_output() {
            if is_leaf && matches!(asks, Asks::Broadcast(_) | Asks::Send(..)) {
                continue; // It is on nobody's map.
            }
            self.outputs.push_back(match asks {
                Asks::Broadcast(datagram) => Output::Beacon { to: None, datagram },
                Asks::Send(to, datagram) => Output::Beacon { to: Some(to), datagram },
                Asks::Persist { ticket, state } => Output::Persist { ticket, state: Box::new(state) },
                Asks::View(view) => {
                    view_changed = true;
                    if led && view.role == Role::Default && mutated!(self.settings, LeadsOn) {
                        continue;
                    }
                    Output::View(view)
                }
                Asks::Warning(warning) => Output::Warning(warning),
            });
        }
        if view_changed {
            if mutated!(self.settings, ClientsDropped) {
                let conns: Vec<ConnId> = self.by_conn.keys().copied().collect();
                conns.into_iter().for_each(|conn| self.close(conn, CloseReason::Silent));
            }
            self.tell_own_soon();
            self.upstream_may_lead();
            self.look_at_all_carried();
        }
        self.map_may_have_changed();
    }

    pub(super) fn election_due(&mut self) {
        let due = self.mesh.as_ref().and_then(|mesh| mesh.election.poll_timeout());
        if due.is_some_and(|at| at <= self.now) {
            self.elect(Input::Timeout);
        }
    }

    pub(in crate::router) fn beacon(&mut self, bytes: &[u8]) {
        if self.mesh.as_ref().is_some_and(|mesh| !mesh.is_leaf()) {
            self.elect(Input::Datagram(bytes));
        }
    }

    /// Looks anew who is in reach if the map is new.
    fn map_may_have_changed(&mut self) {
        let Some(mesh) = &mut self.mesh else { return };
        let version = mesh.election.counters().decisions;
        if mesh.map_seen != version {
            mesh.map_seen = version;
            self.look_who_is_in_reach();
        }
    }
}

//! The election inside the router: everything it needs passes through here.

use std::collections::BTreeMap;

use fau3_election::{Input, Output as Asks};

use super::copies::PATIENCE;
use crate::router::{Output, Router};

impl Router {
    /// Lets the election handle something, and passes on what it asks for.
    pub(in crate::router) fn elect(&mut self, input: Input<'_>) {
        let Some(mesh) = &mut self.mesh else { return };
        mesh.election.handle(self.now, input);
        let mut view_changed = false;
        while let Some(asks) = mesh.election.poll_output() {
            self.outputs.push_back(match asks {
                Asks::Broadcast(datagram) => Output::Beacon { to: None, datagram },
                Asks::Send(to, datagram) => Output::Beacon { to: Some(to), datagram },
                Asks::Persist { ticket, state } => Output::Persist { ticket, state: Box::new(state) },
                Asks::View(view) => {
                    view_changed = true;
                    Output::View(view)
                }
                Asks::Warning(warning) => Output::Warning(warning),
            });
        }
        if view_changed {
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
        self.elect(Input::Datagram(bytes));
    }

    /// Takes the routers in reach from a map that is new, and draws the
    /// consequences for what was held by those that are gone.
    fn map_may_have_changed(&mut self) {
        let Some(mesh) = &mut self.mesh else { return };
        let version = mesh.election.counters().decisions;
        if mesh.map_seen == version {
            return;
        }
        mesh.map_seen = version;
        let map = mesh.election.map();
        let members = map.component(mesh.election.id());
        let lives = members.iter().filter_map(|id| Some((*id, map.get(*id)?.incarnation)));
        let members: BTreeMap<_, _> = lives.collect();
        if mesh.members.len() < 2 && members.len() > 1 && mesh.peers.is_empty() {
            mesh.reunion_until = self.now + PATIENCE;
        }
        if mesh.members != members {
            mesh.members = members;
            self.holders_changed();
            self.upstream_members_changed();
        }
    }
}

//! Records that wait for the same sender's previous one (DESIGN.md,
//! "Session": delivery waits at most 2 s for it while a router that holds it
//! is reachable).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use crate::router::mutants::mutated;
use crate::router::{Position, Router};
use crate::wire::{Record, RecordId};

/// See the module's text.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Records that wait at one time; beyond it they are delivered as they come.
const WAITING_MAX: usize = 256;

/// They are held already, and may be passed on, but no client hears them yet.
#[derive(Debug, Default)]
pub(in crate::router) struct Waiting(BTreeMap<RecordId, Held>);

#[derive(Debug)]
struct Held {
    position: Position,
    record: Arc<Record>,
    until: Time,
}

impl Waiting {
    pub(super) fn timeout(&self) -> Option<Time> {
        self.0.values().map(|held| held.until).min()
    }

    /// One that left the log meanwhile.
    pub(in crate::router) fn remove(&mut self, id: &RecordId) {
        self.0.remove(id);
    }
}

impl Router {
    /// Whether clients must not hear this record yet; then it is kept until
    /// they may.
    pub(in crate::router) fn waits_for_previous(&mut self, position: Position, record: &Arc<Record>) -> bool {
        let Some(previous) = record.previous else { return false };
        let is_on_its_way = self.is_awaited(&previous);
        let until = self.now + WAIT_MAX;
        let Some(mesh) = &mut self.mesh else { return false };
        let is_on_its_way = is_on_its_way && !mutated!(self.settings, OrderNotWaited);
        if !is_on_its_way || mesh.waiting.0.len() >= WAITING_MAX {
            return false;
        }
        self.stats.order_waits += 1;
        mesh.waiting.0.insert(record.id, Held { position, record: record.clone(), until });
        true
    }

    /// Whether a record is not heard here yet, but will be.
    fn is_awaited(&self, id: &RecordId) -> bool {
        let Some(mesh) = &self.mesh else { return false };
        if mesh.waiting.0.contains_key(id) {
            return true;
        }
        let top = self.origins.top(&id.origin);
        let held_by_a_neighbour = || {
            mesh.peers
                .iter()
                .any(|(_, peer)| peer.next_above(&id.origin, id.sequence - 1) == Some(id.sequence))
        };
        let origin = &id.origin.router;
        let is_in_reach = mesh.members.contains_key(origin) || mesh.peers.contains(*origin);
        id.sequence > top && (is_in_reach || held_by_a_neighbour())
    }

    /// A record was put into its room: whatever waited for it follows, and what
    /// waited for that.
    pub(in crate::router) fn previous_came(&mut self, id: RecordId) {
        let mut came = vec![id];
        while let Some(id) = came.pop() {
            let Some(mesh) = &mut self.mesh else { return };
            let next = mesh.waiting.0.iter().find(|(_, held)| held.record.previous == Some(id));
            let Some(next) = next.map(|(id, _)| *id) else { continue };
            if let Some(held) = mesh.waiting.0.remove(&next) {
                self.put_into_room(held.position, held.record);
                came.extend([id, next]);
            }
        }
    }

    pub(super) fn waiting_due(&mut self) {
        loop {
            let now = self.now;
            let Some(mesh) = &mut self.mesh else { return };
            let due = mesh.waiting.0.iter().find(|(_, held)| held.until <= now).map(|(id, _)| *id);
            let Some(held) = due.and_then(|id| mesh.waiting.0.remove(&id)) else { return };
            self.stats.order_given_up += 1;
            let id = held.record.id;
            self.put_into_room(held.position, held.record);
            self.previous_came(id);
        }
    }
}

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
        if self.waiting_as(id).is_some() || self.is_on_its_way_to_disk(id) {
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

    /// The record that waits here with this one's message: itself, or its twin.
    fn waiting_as(&self, id: &RecordId) -> Option<RecordId> {
        let waiting = &self.mesh.as_ref()?.waiting.0;
        if waiting.contains_key(id) {
            return Some(*id);
        }
        let (record, _) = self.log.get(self.origins.position(id)?, self.now)?;
        self.log.ids_of(record).find(|id| waiting.contains_key(id)).copied()
    }

    fn is_on_its_way_to_disk(&self, id: &RecordId) -> bool {
        let floor = self.uncommitted_floor();
        self.origins.position(id).zip(floor).is_some_and(|(position, floor)| position >= floor)
    }

    /// A record is heard here from now on, and so is whatever waited for it,
    /// and what waited for that. Not so one whose message still waits as another.
    pub(in crate::router) fn previous_came(&mut self, record: &Arc<Record>) {
        if self.waiting_as(&record.id).is_some() {
            return;
        }
        let mut came: Vec<RecordId> = self.log.ids_of(record).copied().collect();
        while let Some(id) = came.pop() {
            let Some(mesh) = &mut self.mesh else { return };
            let next = mesh.waiting.0.iter().find(|(_, held)| held.record.previous == Some(id));
            let Some(next) = next.map(|(id, _)| *id) else { continue };
            if let Some(held) = mesh.waiting.0.remove(&next) {
                came.push(id);
                came.extend(self.log.ids_of(&held.record));
                self.put_into_room(held.position, held.record);
            }
        }
    }

    /// Whoever has waited long enough takes along what it waits for, as far as
    /// that is here: the oldest one first.
    pub(super) fn waiting_due(&mut self) {
        loop {
            let now = self.now;
            let Some(mesh) = &self.mesh else { return };
            let due = mesh.waiting.0.iter().find(|(_, held)| held.until <= now).map(|(id, _)| *id);
            let Some(first) = due.map(|due| self.first_before(due)) else { return };
            let Some(held) = self.mesh.as_mut().and_then(|mesh| mesh.waiting.0.remove(&first)) else {
                return;
            };
            self.stats.order_given_up += 1;
            self.put_into_room(held.position, held.record.clone());
            self.previous_came(&held.record);
        }
    }

    /// The oldest of those that wait for each other up to this one.
    fn first_before(&self, mut id: RecordId) -> RecordId {
        // Records that name each other in a circle are a liar's: it ends all the same.
        for _ in 0..WAITING_MAX {
            let held = self.mesh.as_ref().and_then(|mesh| mesh.waiting.0.get(&id));
            let previous = held.and_then(|held| self.waiting_as(&held.record.previous?));
            match previous {
                Some(previous) => id = previous,
                None => break,
            }
        }
        id
    }
}

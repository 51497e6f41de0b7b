//! Records that wait for the same sender's previous one (DESIGN.md,
//! "Session": delivery waits at most 2 s for it while a router that holds it
//! is reachable).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Incarnation, RouterId, Time};

use crate::router::mutants::mutated;
use crate::router::{Position, Router};
use crate::wire::{Origin, Record, RecordId};

/// See the module's text.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Records that wait at one time; beyond it those that have waited longest go on.
pub(in crate::router) const WAITING_MAX: usize = 4_096;

/// They are held already, and may be passed on, but no client hears them yet.
#[derive(Debug, Default)]
pub(in crate::router) struct Waiting {
    held: BTreeMap<RecordId, Held>,
    /// Each behind the one that it names.
    behind: BTreeSet<(RecordId, RecordId)>,
    /// By when each has waited long enough.
    due: BTreeSet<(Time, RecordId)>,
}

#[derive(Debug)]
struct Held {
    position: Position,
    record: Arc<Record>,
    /// Whom it waits for.
    previous: RecordId,
    until: Time,
}

impl Waiting {
    pub(super) fn timeout(&self) -> Option<Time> {
        self.due.first().map(|(until, _)| *until)
    }

    fn insert(&mut self, held: Held) {
        let id = held.record.id;
        self.behind.insert((held.previous, id));
        self.due.insert((held.until, id));
        self.held.insert(id, held);
    }

    fn take(&mut self, id: &RecordId) -> Option<Held> {
        let held = self.held.remove(id)?;
        self.behind.remove(&(held.previous, *id));
        self.due.remove(&(held.until, *id));
        Some(held)
    }

    /// One that left the log meanwhile.
    pub(in crate::router) fn remove(&mut self, id: &RecordId) {
        self.take(id);
    }

    /// One that waits for this one.
    fn next_behind(&self, id: RecordId) -> Option<RecordId> {
        let first = Origin { router: RouterId([0; 16]), incarnation: Incarnation::default() };
        let from = (id, RecordId { origin: first, sequence: 0 });
        self.behind.range(from..).next().filter(|(previous, _)| *previous == id).map(|(_, next)| *next)
    }
}

impl Router {
    /// Whether clients must not hear this record yet; then it is kept until
    /// they may.
    pub(in crate::router) fn waits_for_previous(&mut self, position: Position, record: &Arc<Record>) -> bool {
        let Some(previous) = record.previous else { return false };
        if mutated!(self.settings, OrderNotWaited) {
            return false;
        }
        while self.is_awaited(&previous) {
            let until = self.now + WAIT_MAX;
            let Some(mesh) = &mut self.mesh else { return false };
            if mesh.waiting.held.len() < WAITING_MAX {
                self.stats.order_waits += 1;
                mesh.waiting.insert(Held { position, record: record.clone(), previous, until });
                return true;
            }
            let Some((_, longest)) = mesh.waiting.due.first().copied() else { return false };
            self.wait_no_more(longest);
        }
        false
    }

    /// Whether a record is not heard here yet, but will be.
    fn is_awaited(&self, id: &RecordId) -> bool {
        let Some(mesh) = &self.mesh else { return false };
        if self.waiting_as(id).is_some() || self.is_on_its_way_to_disk(id) {
            return true;
        }
        let top = self.origins.top(&id.origin);
        let held_by_a_neighbour = || {
            mesh.peers.iter().any(|(_, peer)| {
                peer.next_above(&id.origin, id.sequence.saturating_sub(1)) == Some(id.sequence)
            })
        };
        let origin = &id.origin.router;
        let is_in_reach = mesh.members.contains_key(origin) || mesh.peers.contains(*origin);
        id.sequence > top && (is_in_reach || held_by_a_neighbour())
    }

    /// The record that waits here with this one's message: itself, or its twin.
    fn waiting_as(&self, id: &RecordId) -> Option<RecordId> {
        let waiting = &self.mesh.as_ref()?.waiting.held;
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
            let Some(held) = mesh.waiting.next_behind(id).and_then(|next| mesh.waiting.take(&next)) else {
                continue;
            };
            came.push(id);
            came.extend(self.log.ids_of(&held.record));
            self.put_into_room(held.position, held.record);
        }
    }

    pub(super) fn waiting_due(&mut self) {
        let now = self.now;
        while let Some((until, longest)) =
            self.mesh.as_ref().and_then(|mesh| mesh.waiting.due.first().copied())
            && until <= now
        {
            self.wait_no_more(longest);
        }
    }

    /// One that has waited long enough takes along what it waits for, as far as
    /// that is here: the oldest one first.
    fn wait_no_more(&mut self, longest: RecordId) {
        let first = self.earliest_beside(self.first_before(longest));
        let Some(held) = self.mesh.as_mut().and_then(|mesh| mesh.waiting.take(&first)) else { return };
        self.stats.order_given_up += 1;
        self.put_into_room(held.position, held.record.clone());
        self.previous_came(&held.record);
    }

    /// The sender's earliest that waits as well: what links it to this one is missing here.
    fn earliest_beside(&self, id: RecordId) -> RecordId {
        let Some(mesh) = &self.mesh else { return id };
        let Some(of) = mesh.waiting.held.get(&id).map(|held| &held.record.client_id) else { return id };
        let beside = mesh.waiting.held.iter().filter(|(_, held)| held.record.client_id == *of);
        beside.min_by_key(|(id, held)| (self.first_said(&held.record), **id)).map_or(id, |(id, _)| *id)
    }

    /// The Lamport time at which a message was first taken in, as far as known here: as
    /// a twin it is taken in later.
    fn first_said(&self, record: &Record) -> u64 {
        let twin = |id: &RecordId| Some(self.log.get(self.origins.position(id)?, self.now)?.0.lamport);
        self.log.ids_of(record).filter_map(twin).fold(record.lamport, u64::min)
    }

    /// The oldest of those that wait for each other up to this one. Messages that are
    /// brought again elsewhere wait for the last one of the first time, and so in a
    /// circle: then it is the one that has waited longest.
    fn first_before(&self, longest: RecordId) -> RecordId {
        let mut id = longest;
        // A circle that this one is not in is a liar's: it ends all the same.
        for _ in 0..WAITING_MAX {
            let held = self.mesh.as_ref().and_then(|mesh| mesh.waiting.held.get(&id));
            match held.and_then(|held| self.waiting_as(&held.previous)) {
                Some(previous) if previous == longest => return longest,
                Some(previous) => id = previous,
                None => break,
            }
        }
        id
    }
}

//! FAU3_STORED is said once enough routers hold a record (DESIGN.md,
//! "Confirm"): one after the other is asked to say so, until enough have or
//! none is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{RouterId, Time};

use crate::router::mutants::mutated;
use crate::router::{Alone, Answer, ConnId, Router};
use crate::wire::{Record, Status, Uuid};

/// A router that has not answered after this long is passed over for the next
/// (DESIGN.md, "Confirm").
const ANSWER_WAIT: Duration = Duration::from_millis(250);
/// Routers asked for one record; that makes a second at most.
const ASKED_MAX: usize = 4;
/// For how long a router that has just started, hears of another one again, or
/// whose neighbours have not spoken yet, waits for one to ask: it does not know
/// yet that it is alone.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// For how long one that has just lost all of them does: whoever was there lately
/// is dialled again every 250 ms. A process that stood still finds all its
/// connections closed when it goes on.
const REUNION_MAX: Duration = Duration::from_millis(500);
/// How often it looks whether there is one now.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Records that wait for others to hold them, by what their sender said. At
/// most [`AWAITED_MAX`](crate::router::UNCOMMITTED_MAX).
#[derive(Debug, Default)]
pub(in crate::router) struct Copies {
    awaited: BTreeMap<u128, Awaited>,
    /// Questions that are out: whose answer means which record.
    asked: BTreeMap<Uuid, u128>,
}

#[derive(Debug)]
struct Awaited {
    record: Arc<Record>,
    /// Who waits for the Confirm: the sender's newest connection.
    confirm_to: ConnId,
    /// It is on the disk here, where that is asked for.
    is_committed: bool,
    held_by: BTreeSet<RouterId>,
    /// Those asked that are still connected.
    tried: BTreeSet<RouterId>,
    /// How often somebody was asked; at most [`ASKED_MAX`].
    asked: usize,
    /// When the next one is asked; `None` once all have been.
    next_at: Option<Time>,
    /// Until when one to ask may still appear.
    patient_until: Time,
}

impl Copies {
    pub(super) fn timeout(&self) -> Option<Time> {
        self.awaited.values().filter_map(|awaited| awaited.next_at).min()
    }

    pub(in crate::router) fn len(&self) -> usize {
        self.awaited.len()
    }

    /// The same message came again: its Confirm goes to where the newest one
    /// came from. False if none is awaited.
    pub(in crate::router) fn came_again(&mut self, message: u128, conn: ConnId) -> bool {
        let awaited = self.awaited.get_mut(&message);
        let found = awaited.is_some();
        if let Some(awaited) = awaited {
            awaited.confirm_to = conn;
        }
        found
    }

    fn remove(&mut self, message: u128) -> Option<Awaited> {
        self.asked.retain(|_, of| *of != message);
        self.awaited.remove(&message)
    }
}

impl Router {
    /// Begins to wait for copies of a record that a client has just brought,
    /// and pushes it to all. Answered by a Confirm to `confirm_to`.
    pub(in crate::router) fn await_copies(
        &mut self,
        record: &Arc<Record>,
        confirm_to: ConnId,
        is_committed: bool,
    ) {
        let Some(mesh) = &mut self.mesh else { return };
        let awaited = Awaited {
            record: record.clone(),
            confirm_to,
            is_committed,
            held_by: BTreeSet::new(),
            tried: BTreeSet::new(),
            asked: 0,
            next_at: Some(self.now),
            patient_until: self.now + PATIENCE,
        };
        mesh.copies.awaited.insert(record.key(), awaited);
        let confirmer = self.next_confirmer(record.key());
        self.push_on(record, 0, None, confirmer);
        self.settle_copies(record.key());
    }

    /// Whom to ask next, and by what its answer will be known.
    fn next_confirmer(&mut self, message: u128) -> Option<(RouterId, Uuid)> {
        let uuid = self.fresh_uuid();
        let (now, may_appear) = (self.now, self.a_peer_may_appear());
        let mesh = self.mesh.as_mut()?;
        let awaited = mesh.copies.awaited.get_mut(&message)?;
        let untried = mesh
            .peers
            .iter()
            .filter(|(router, peer)| !peer.full && peer.has_spoken && !awaited.tried.contains(router));
        // Whoever was quick so far; who is near; among equals spread by the message.
        let next = untried.min_by_key(|(router, peer)| {
            (peer.slow, peer.leaf, (u128::from_le_bytes(router.0) ^ message).count_ones(), *router)
        });
        let next = next.map(|(router, _)| router).filter(|_| awaited.asked < ASKED_MAX);
        awaited.next_at = next.map(|_| now + ANSWER_WAIT);
        let may_ask = awaited.tried.is_empty() && awaited.asked < ASKED_MAX;
        if next.is_none() && may_ask && may_appear && now < awaited.patient_until {
            awaited.next_at = Some(now + LOOK_EVERY);
        }
        let router = next?;
        awaited.tried.insert(router);
        awaited.asked += 1;
        mesh.copies.asked.insert(uuid, message);
        Some((router, uuid))
    }

    /// Whether a router to ask may still appear: this one has just started, has
    /// just lost the last one or hears of one again, or others are connected that
    /// have not said what they hold.
    pub(in crate::router) fn a_peer_may_appear(&self) -> bool {
        let Some(mesh) = &self.mesh else { return false };
        let listens = self.now.since(Time::ZERO) < mesh.election.config().detection();
        listens || self.now < mesh.reunion_until || mesh.peers.iter().any(|(_, peer)| !peer.has_spoken)
    }

    /// It is on the disk here.
    pub(in crate::router) fn copy_committed(&mut self, message: u128, ok: bool) {
        let Some(mesh) = &mut self.mesh else { return };
        if !ok {
            let awaited = mesh.copies.remove(message);
            if let Some(awaited) = awaited {
                self.answer_post(&awaited, Answer::Failed);
            }
            return;
        }
        if let Some(awaited) = mesh.copies.awaited.get_mut(&message) {
            awaited.is_committed = true;
        }
        self.settle_copies(message);
    }

    /// Another router says what became of its copy.
    pub(super) fn copy_confirmed(&mut self, router: RouterId, uuid: Uuid, status: Status) {
        let Some(mesh) = &mut self.mesh else { return };
        let Some(message) = mesh.copies.asked.remove(&uuid) else { return };
        let Some(awaited) = mesh.copies.awaited.get_mut(&message) else { return };
        if status.settles() {
            awaited.held_by.insert(router);
            if let Some(peer) = mesh.peers.get_mut(router) {
                peer.slow = 0;
            }
            self.settle_copies(message);
        } else {
            awaited.next_at = Some(self.now);
            self.copies_due();
        }
    }

    /// What another router says it holds is as good as its Confirm.
    pub(super) fn confirm_by_holdings(&mut self, router: RouterId) {
        let Some(mesh) = &mut self.mesh else { return };
        let Some(peer) = mesh.peers.get(router) else { return };
        let mut held = Vec::new();
        for (message, awaited) in &mut mesh.copies.awaited {
            let id = awaited.record.id;
            if peer.next_above(&id.origin, id.sequence - 1) == Some(id.sequence)
                && awaited.held_by.insert(router)
            {
                held.push(*message);
            }
        }
        held.into_iter().for_each(|message| self.settle_copies(message));
    }

    /// Those who waited for this router ask the next one; or this one again, if it
    /// is the last one and comes back.
    pub(super) fn copies_lost(&mut self, router: RouterId) {
        let now = self.now;
        let Some(mesh) = &mut self.mesh else { return };
        if mesh.peers.is_empty() {
            mesh.reunion_until = now + REUNION_MAX;
        }
        for awaited in mesh.copies.awaited.values_mut() {
            if awaited.tried.remove(&router) && !awaited.held_by.contains(&router) {
                awaited.next_at = awaited.next_at.map(|_| now);
            }
        }
        self.copies_due();
    }

    pub(super) fn copies_due(&mut self) {
        let now = self.now;
        let Some(mesh) = &mut self.mesh else { return };
        let due =
            mesh.copies.awaited.iter().filter(|(_, awaited)| awaited.next_at.is_some_and(|at| at <= now));
        let due: Vec<(u128, Arc<Record>)> =
            due.map(|(message, awaited)| (*message, awaited.record.clone())).collect();
        for (message, record) in due {
            self.passed_over(message);
            if let Some((router, uuid)) = self.next_confirmer(message) {
                let records = vec![(record, 0)];
                self.send_records(router, crate::wire::fau3e::Playlist { confirm: Some(uuid), records });
            }
            self.settle_copies(message);
        }
    }

    /// Whoever was asked last and has not answered is slower than the others.
    fn passed_over(&mut self, message: u128) {
        let Some(mesh) = &mut self.mesh else { return };
        let Some(awaited) = mesh.copies.awaited.get(&message) else { return };
        for router in awaited.tried.difference(&awaited.held_by) {
            if let Some(peer) = mesh.peers.get_mut(*router) {
                peer.slow = peer.slow.saturating_add(1);
            }
        }
    }

    /// Answers the sender if enough hold it, or if nobody is left to ask.
    fn settle_copies(&mut self, message: u128) {
        let copies = if mutated!(self.settings, StoredAlone) { 1 } else { self.settings.copies };
        let Some(mesh) = &mut self.mesh else { return };
        let Some(awaited) = mesh.copies.awaited.get(&message) else { return };
        let enough = awaited.held_by.len() + 1 >= copies;
        if !awaited.is_committed || !(enough || awaited.next_at.is_none()) {
            return;
        }
        let Some(awaited) = mesh.copies.remove(message) else { return };
        if awaited.held_by.is_empty() && copies > 1 {
            let why = if awaited.asked == 0 { Alone::NoRouter } else { Alone::NoAnswer };
            self.confirmed_alone(&awaited.record, why);
        }
        self.answer_post(&awaited, Answer::Stored);
    }

    fn answer_post(&mut self, awaited: &Awaited, answer: Answer) {
        if let Some(&key) = self.by_conn.get(&awaited.confirm_to) {
            self.answer(key, awaited.record.message_uuid.clone(), answer);
        }
    }
}

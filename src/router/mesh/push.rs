//! Records from router to router: those that are new go on at once, and each
//! is taken in once, in the order in which its origin made them.

use std::sync::Arc;

use fau3_election::RouterId;

use crate::router::Router;
use crate::router::mutants::mutated;
use crate::router::settings::UNCOMMITTED_MAX;
use crate::wire::fau3e::{COUNTS, Message, Playlist};
use crate::wire::{Origin, Record, RecordId, Status, Uuid};

impl Router {
    /// A record was taken in here, from a client or from `via`: the next
    /// routers on the way from its origin hear of it, `confirmer` with the wish
    /// to say so.
    pub(in crate::router) fn push_on(
        &mut self,
        record: &Arc<Record>,
        age_ms: u64,
        via: Option<RouterId>,
        confirmer: Option<(RouterId, Uuid)>,
    ) {
        if self.mesh.is_none() {
            return;
        }
        let mut targets = self.next_hops(record.id.origin.router, via, None);
        if let Some((router, _)) = confirmer
            && !targets.contains(&router)
        {
            targets.push(router);
        }
        let plain =
            Arc::new(Message::Playlist(Playlist { confirm: None, records: vec![(record.clone(), age_ms)] }));
        for router in targets {
            let id = record.id;
            let Some(mesh) = &mut self.mesh else { return };
            let Some(peer) = mesh.peers.get(router) else { continue };
            // One that lacks the record before it asks for both.
            let is_next = peer.has_all_before(&id);
            let confirm = confirmer.filter(|(who, _)| *who == router).map(|(_, uuid)| uuid);
            if Some(router) == via || (!is_next && confirm.is_none()) {
                continue;
            }
            if confirm.is_some() {
                let records = vec![(record.clone(), age_ms)];
                self.send_records(router, Playlist { confirm, records });
            } else if self.tell_peer(router, plain.clone()) {
                self.peer_sent(router, record);
            }
        }
    }

    pub(super) fn send_records(&mut self, router: RouterId, playlist: Playlist) {
        let message = Arc::new(Message::Playlist(playlist));
        if !self.tell_peer(router, message.clone()) {
            return;
        }
        let Message::Playlist(Playlist { records, .. }) = &*message else { return };
        for (record, _) in records {
            self.peer_sent(router, record);
        }
    }

    fn peer_sent(&mut self, router: RouterId, record: &Record) {
        if let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) {
            peer.sent(record.id);
        }
        self.stats.records_sent += 1;
    }

    /// Records came from another router.
    pub(super) fn records_heard(&mut self, router: RouterId, playlist: Playlist) {
        let mut all_held = true;
        self.pace(router, &playlist);
        for (record, age_ms) in playlist.records {
            let origin = record.id.origin;
            if let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) {
                peer.got(origin, record.id.sequence);
            }
            self.fetched(&record.id);
            let confirm = playlist.confirm.map(|uuid| (router, uuid));
            all_held &= self.take_in_from(router, record, age_ms, confirm);
        }
        if all_held && let Some(message_uuid) = playlist.confirm {
            self.confirm_to_peer(router, message_uuid, Status::STORED);
        }
        self.fetch_missing();
    }

    /// Somebody holds a record of this very life up to `top`. What this router has not
    /// said itself would keep the others from hearing it: it goes on above.
    pub(super) fn own_sequence_heard(&mut self, origin: &Origin, top: u64) {
        if *origin == self.origin && !mutated!(self.settings, AllBelieved) {
            self.sequence = self.sequence.max(COUNTS.of(self.sequence, top));
        }
    }

    /// Takes in a record if it is the next one of its origin. True: it is held
    /// here, now or already.
    fn take_in_from(
        &mut self,
        router: RouterId,
        record: Arc<Record>,
        age_ms: u64,
        confirm: Option<(RouterId, Uuid)>,
    ) -> bool {
        let (origin, sequence) = (record.id.origin, record.id.sequence);
        let top = self.origins.top(&origin);
        if sequence <= top {
            return self.origins.position(&record.id).is_some();
        }
        if sequence > COUNTS.of(top, sequence) && !mutated!(self.settings, AllBelieved) {
            // Nobody comes there by counting, and what is held is counted on from.
            let believed = RecordId { origin, sequence: COUNTS.of(top, sequence) };
            self.origins.skip(&believed, self.now);
            self.stats.peer_invalid += 1;
            return false;
        }
        // What is older and still held by a neighbour comes first.
        if sequence > top + 1 && !mutated!(self.settings, GapJumped) {
            let Some(mesh) = &self.mesh else { return false };
            let older = mesh.peers.iter().filter_map(|(_, peer)| peer.next_above(&origin, top)).min();
            if older.is_some_and(|older| older < sequence) {
                return false;
            }
            self.stats.records_expired = self.stats.records_expired.saturating_add(sequence - top - 1);
        }
        // Its own earlier life's, or a life's that is its own: never made twice.
        if origin == self.origin && sequence > self.sequence {
            self.own_sequence_heard(&origin, sequence);
            self.stats.peer_invalid += 1;
            return false;
        }
        if record.cost_bytes() > self.settings.storage_bytes_max {
            // It will never fit, and what comes after it must not wait.
            self.origins.skip(&record.id, self.now);
            self.stats.records_expired += 1;
            return false;
        }
        if self.uncommitted.len() >= UNCOMMITTED_MAX {
            return false; // Asked for again once the disk has caught up.
        }
        self.stats.records_replicated += 1;
        self.lamport_heard(record.lamport);
        self.push_on(&record, age_ms, Some(router), None);
        let is_held = self.replicate(record.clone(), age_ms, confirm);
        #[cfg(feature = "mutants")]
        if mutated!(self.settings, BacklogAnew) && age_ms > 2_000 {
            self.take_in_anew(&record);
        }
        is_held
    }

    /// A wrong variant: a main server makes a message of its own of it.
    #[cfg(feature = "mutants")]
    fn take_in_anew(&mut self, record: &Record) {
        let message = crate::wire::Message {
            room: record.room.clone(),
            client_id: record.client_id.clone(),
            message_uuid: record.message_uuid.clone(),
            payload: record.payload.clone(),
        };
        if self.mesh.as_ref().is_some_and(|mesh| mesh.is_leaf()) {
            let key = message.key();
            let anew = self.make_record(None, message, key);
            self.take_in_own(Arc::new(anew));
        }
    }
}

//! Asking for records that another router holds and this one lacks.
//!
//! One question an origin at a time, to one router: whoever is slow slows
//! nobody but itself, and nothing is sent twice that was not lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{RouterId, Time};

use crate::router::Router;
use crate::router::mutants::mutated;
use crate::router::settings::UNCOMMITTED_MAX;
use crate::wire::fau3e::{Message, PLAYLIST_RECORDS_MAX, Playlist};
use crate::wire::{Origin, RecordId};

/// For how long an answer is awaited before the next router is asked. Many
/// round trips, and the time that a slow link takes for the largest answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Questions out at one time, over all origins.
const FETCHES_MAX: usize = 16;
/// What one answer carries at most unless a single record is larger, in bytes.
const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// What one answer carries at most on the way to or from a main server: two seconds of a slow one (64
/// kbit/s), so that it is there before it is asked for again.
const ANSWER_BYTES_MAX_FAR: usize = 16 * 1024;
/// What a backlog may take of the way to or from a main server, in bytes a
/// second: what is said now passes it.
const BACKLOG_RATE: u32 = 256 * 1024;
/// For how long an answer is awaited on that way, which may be a slow one.
const ANSWER_WAIT_FAR: Duration = Duration::from_secs(6);

/// Questions that are out, by origin.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    out: BTreeMap<Origin, Fetch>,
    /// On the way to or from a main server: not before.
    pauses: BTreeMap<RouterId, Time>,
}

#[derive(Debug)]
struct Fetch {
    from: RouterId,
    /// The first one that was asked for.
    sequence: u64,
    asked_at: Time,
    /// Until when an answer is awaited.
    until: Time,
}

impl Fetches {
    pub(super) fn timeout(&self) -> Option<Time> {
        self.out.values().map(|fetch| fetch.until).chain(self.pauses.values().copied()).min()
    }

    /// A router that was asked is gone.
    pub(super) fn lost(&mut self, router: RouterId) {
        self.out.retain(|_, fetch| fetch.from != router);
        self.pauses.remove(&router);
    }

    fn count(&self, router: RouterId) -> usize {
        self.out.values().filter(|fetch| fetch.from == router).count()
    }
}

impl Router {
    /// Asks for whatever any neighbour holds beyond what is held here.
    pub(in crate::router) fn fetch_missing(&mut self) {
        if mutated!(self.settings, NoAntiEntropy) {
            return;
        }
        let Some(mesh) = &self.mesh else { return };
        let mut lacking: BTreeMap<Origin, u64> = BTreeMap::new();
        for (_, peer) in mesh.peers.iter() {
            for origin in peer.holds.keys() {
                let top = self.origins.top(origin);
                // Whoever knows more of what this router says than it does is wrong.
                let is_own = *origin == self.origin;
                if peer.top(origin) > top && !is_own && !mesh.fetches.out.contains_key(origin) {
                    lacking.insert(*origin, top);
                }
            }
        }
        for (origin, top) in lacking {
            self.fetch(origin, top, None);
        }
    }

    /// Asks for an origin's next record after `top`, `not` the router that has
    /// just let it down if another one holds it.
    fn fetch(&mut self, origin: Origin, top: u64, not: Option<RouterId>) {
        let Some(mesh) = &mut self.mesh else { return };
        if mesh.fetches.out.len() >= FETCHES_MAX || self.uncommitted.len() >= UNCOMMITTED_MAX / 2 {
            return;
        }
        let (is_leaf, main) = (mesh.is_leaf(), mesh.main.router());
        let is_paced = !mutated!(self.settings, BacklogUnpaced);
        let is_far = |router| is_paced && (is_leaf || Some(router) == main);
        // One question at a time goes there, and then a pause.
        let may_ask = |router| {
            !is_far(router) || mesh.fetches.count(router) == 0 && !mesh.fetches.pauses.contains_key(&router)
        };
        let held_by = mesh.peers.iter().filter(|(router, peer)| !peer.full && may_ask(*router));
        let held_by = held_by.filter_map(|(router, peer)| Some((router, peer.next_above(&origin, top)?)));
        // The oldest one first, wherever it is; then who made it; then who has
        // been asked for the least.
        let best = held_by.min_by_key(|(router, next)| {
            let failed = Some(*router) == not;
            (failed, *next, *router != origin.router, mesh.fetches.count(*router), *router)
        });
        let Some((router, next)) = best else { return };
        if is_far(router) && mutated!(self.settings, BacklogNotAsked) {
            return;
        }
        let wait = if is_far(router) { ANSWER_WAIT_FAR } else { ANSWER_WAIT };
        let fetch = Fetch { from: router, sequence: next, asked_at: self.now, until: self.now + wait };
        mesh.fetches.out.insert(origin, fetch);
        self.stats.fetches += 1;
        self.tell_peer(router, Arc::new(Message::Want(RecordId { origin, sequence: next })));
    }

    /// What was asked for on the way to or from a main server came: the next
    /// question waits until this one has taken as long as it may.
    pub(super) fn pace(&mut self, router: RouterId, playlist: &Playlist) {
        let now = self.now;
        let Some(mesh) = &mut self.mesh else { return };
        let first = playlist.records.first().map(|(record, _)| record.id);
        let asked = first.and_then(|id| {
            let fetch = mesh.fetches.out.get(&id.origin);
            fetch.filter(|fetch| fetch.from == router && fetch.sequence == id.sequence)
        });
        if let Some(asked_at) = asked.map(|fetch| fetch.asked_at)
            && (mesh.is_leaf() || mesh.main.router() == Some(router))
        {
            let bytes: usize = playlist.records.iter().map(|(record, _)| record.cost_bytes()).sum();
            let pause = Duration::from_micros(bytes as u64 * 1_000_000 / u64::from(BACKLOG_RATE));
            mesh.fetches.pauses.insert(router, now.max(asked_at + pause));
        }
    }

    /// The record that was asked for came, from whomever.
    pub(super) fn fetched(&mut self, id: &RecordId) {
        let Some(mesh) = &mut self.mesh else { return };
        if mesh.fetches.out.get(&id.origin).is_some_and(|fetch| fetch.sequence == id.sequence) {
            mesh.fetches.out.remove(&id.origin);
        }
    }

    /// A router has said what it holds: what it was asked for and lacks is not
    /// awaited from it any more.
    pub(super) fn fetches_answered(&mut self, router: RouterId) {
        let Some(mesh) = &mut self.mesh else { return };
        let Some(peer) = mesh.peers.get(router) else { return };
        mesh.fetches.out.retain(|origin, fetch| {
            let before = fetch.sequence - 1;
            fetch.from != router || peer.next_above(origin, before) == Some(fetch.sequence)
        });
    }

    pub(super) fn fetches_due(&mut self) {
        let now = self.now;
        let Some(mesh) = &mut self.mesh else { return };
        let paused = mesh.fetches.pauses.len();
        mesh.fetches.pauses.retain(|_, until| *until > now);
        if mesh.fetches.pauses.len() < paused {
            self.fetch_missing();
        }
        let Some(mesh) = &mut self.mesh else { return };
        let due = mesh.fetches.out.iter().filter(|(_, fetch)| fetch.until <= now);
        let due: Vec<_> = due.map(|(origin, fetch)| (*origin, fetch.from)).collect();
        mesh.fetches.out.retain(|_, fetch| fetch.until > now);
        for (origin, from) in due {
            self.stats.fetches_unanswered += 1;
            self.fetch(origin, self.origins.top(&origin), Some(from));
        }
    }

    /// Another router asks: it gets as many as fit. If what it asked for has
    /// gone meanwhile, it hears first what is held, so that it waits no more.
    pub(super) fn wanted(&mut self, router: RouterId, from: RecordId) {
        if let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) {
            peer.lacks(from);
        }
        let is_far =
            self.mesh.as_ref().is_some_and(|mesh| mesh.is_leaf() || mesh.main.router() == Some(router));
        let is_paced = !mutated!(self.settings, BacklogUnpaced);
        let most = if is_far && is_paced { ANSWER_BYTES_MAX_FAR } else { ANSWER_BYTES_MAX };
        let mut records = Vec::new();
        let mut bytes = 0;
        for position in self.origins.from(&from).take(PLAYLIST_RECORDS_MAX) {
            let Some((record, age)) = self.log.get(position, self.now) else { continue };
            bytes += record.cost_bytes();
            if bytes > most && !records.is_empty() {
                break;
            }
            records.push((record.clone(), u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
        }
        if records.first().is_none_or(|(record, _)| record.id != from) {
            self.tell_holdings(router);
        }
        if records.is_empty() {
            return;
        }
        self.send_records(router, Playlist { confirm: None, records });
    }
}

//! What routers tell each other about themselves, and how they find out that
//! something was lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Coordinator, RouterId, ServerEntry};
use xxhash_rust::xxh3::xxh3_64;

use super::COALESCE;
use crate::router::mutants::mutated;
use crate::router::{Router, SessionKey};
use crate::wire::Origin;
use crate::wire::fau3e::{Holding, Message, STATE_SESSIONS_MAX, SessionState, State};

/// Holdings are compared this often while they change.
const COMPARE_INTERVAL: Duration = Duration::from_secs(1);
/// And this often while they do not.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// A State comes at most so long after it was sent: behind what else goes over a
/// slow link, or after a silence.
const UNDER_WAY_MAX_MS: u64 = 30_000;
/// A router is asked for all it knows at most this often.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

impl Router {
    /// The others hear of what this router itself is now, together with what
    /// changes next.
    pub(super) fn tell_own_soon(&mut self) {
        if let Some(mesh) = &mut self.mesh {
            mesh.is_own_news = true;
        }
        self.tell_soon();
    }

    /// The others hear of sessions that have changed, together with what
    /// changes next.
    pub(super) fn tell_soon(&mut self) {
        let at = self.now + COALESCE;
        if let Some(mesh) = &mut self.mesh {
            mesh.tell_at = Some(mesh.tell_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// They hear of it at the end of this input.
    pub(super) fn tell_now(&mut self) {
        if let Some(mesh) = &mut self.mesh {
            mesh.tell_at = Some(self.now);
        }
    }

    pub(super) fn tell_if_due(&mut self) {
        let Some(mesh) = &mut self.mesh else { return };
        if mesh.tell_at.is_none_or(|at| at > self.now) {
            return;
        }
        mesh.tell_at = None;
        let mut changed = std::mem::take(&mut mesh.changed);
        if mutated!(self.settings, SessionsNotTold) {
            changed.clear();
        }
        let neighbours: Vec<RouterId> = mesh.peers.ids().collect();
        if neighbours.is_empty() {
            return;
        }
        // What each router holds goes along the tree from that router.
        let mut by_holder: BTreeMap<RouterId, Vec<SessionKey>> = BTreeMap::new();
        let me = self.origin.router;
        if std::mem::take(&mut mesh.is_own_news) {
            by_holder.entry(me).or_default();
        }
        for key in changed {
            if let Some(session) = self.sessions.get(key) {
                by_holder.entry(session.version.holder.router).or_default().push(key);
            }
        }
        for (holder, keys) in by_holder {
            let targets = if holder == me { neighbours.clone() } else { self.next_hops(holder, None, None) };
            self.tell_peers(&targets, &keys);
        }
    }

    /// Sends a State, or several if there are many sessions in it.
    fn tell_peers(&mut self, targets: &[RouterId], keys: &[SessionKey]) {
        if targets.is_empty() {
            return;
        }
        let mut rest = keys;
        loop {
            let (now, later) = rest.split_at(rest.len().min(STATE_SESSIONS_MAX));
            let sessions = now.iter().map(|key| self.session_state(*key)).collect();
            let Some(state) = self.state(sessions) else { return };
            self.tell_state(targets, state);
            rest = later;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Sends one State, to each with what is news to it alone: who is reached
    /// through this router, and a main server's list.
    fn tell_state(&mut self, targets: &[RouterId], state: State) {
        let plain = Arc::new(Message::State(Box::new(state)));
        for router in targets {
            let (reach, servers) = self.news_for(*router);
            let message = match &*plain {
                Message::State(state) if reach.is_some() || servers.is_some() => {
                    Arc::new(Message::State(Box::new(State { reach, servers, ..(**state).clone() })))
                }
                _ => plain.clone(),
            };
            if !self.tell_peer(*router, message)
                && let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(*router))
            {
                peer.owed_all = true;
            }
        }
    }

    /// What a router has not been told yet, as far as that is not the same for
    /// all. It counts as told from now on.
    fn news_for(&mut self, router: RouterId) -> (Option<Vec<Origin>>, Option<Vec<ServerEntry>>) {
        let Some(mesh) = &mut self.mesh else { return (None, None) };
        let (reach, is_leaf, list) = (mesh.reach_for(router), mesh.is_leaf(), mesh.election.list());
        let Some(peer) = mesh.peers.get_mut(router) else { return (None, None) };
        let is_news = peer.told_reach.as_ref().map_or(!reach.is_empty(), |told| *told != reach);
        let reach = is_news.then(|| peer.told_reach.insert(reach).clone());
        let is_news = is_leaf && peer.told_list.replace(list.version()) != Some(list.version());
        (reach, is_news.then(|| list.entries().into()))
    }

    /// Everything that this router knows, to one that has just come, or asks.
    pub(super) fn tell_all(&mut self, router: RouterId) {
        let keys: Vec<SessionKey> = self.by_client.values().copied().collect();
        if let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) {
            // What it was told may have been lost with a full queue.
            peer.told_reach = peer.told_reach.take().map(|_| vec![self.origin; 2]);
            peer.told_list = None;
        }
        self.tell_peers(&[router], &keys);
        self.tell_upstream_to(router);
    }

    /// What is held here, without sessions.
    pub(super) fn tell_holdings(&mut self, router: RouterId) {
        self.tell_peers(&[router], &[]);
    }

    fn state(&self, sessions: Vec<SessionState>) -> Option<State> {
        let mesh = self.mesh.as_ref()?;
        let view = mesh.election.view();
        let own = mesh.election.map().get(self.origin.router);
        Some(State {
            name: mesh.election.config().name.as_str().into(),
            mode: view.role,
            coordinator: match view.coordinator {
                Coordinator::Router(router) => Some(router),
                Coordinator::DefaultServer | Coordinator::None => None,
            },
            epoch: view.epoch,
            list: view.list,
            priority: own.and_then(|record| record.place),
            neighbours: if mesh.is_leaf() { Vec::new() } else { mesh.peers.neighbours(false) },
            holdings: self.origins.holdings(self.uncommitted_floor()),
            sessions,
            digest: self.sessions_digest(),
            clock_ms: mesh.clock.now(self.now),
            leaf: mesh.is_leaf(),
            reach: None,
            servers: None,
        })
    }

    /// A digest that is one for the same sessions, in whatever order they were heard of.
    fn sessions_digest(&self) -> u64 {
        let hash = |key: &SessionKey| {
            let session = &self.sessions[*key];
            let version = session.version;
            let mut bytes = Vec::with_capacity(96);
            bytes.extend_from_slice(&version.generation.to_le_bytes());
            bytes.extend_from_slice(&version.revision.to_le_bytes());
            bytes.extend_from_slice(&version.holder.router.0);
            bytes.extend_from_slice(session.client_id.as_str().as_bytes());
            xxh3_64(&bytes)
        };
        self.by_client.values().map(hash).fold(0, u64::wrapping_add)
    }

    /// Another router says what it is and holds.
    pub(super) fn state_heard(&mut self, router: RouterId, mut state: State) {
        let now = self.now;
        let Some(mesh) = &mut self.mesh else { return };
        let sessions = std::mem::take(&mut state.sessions);
        if let Some(peer) = mesh.peers.get_mut(router) {
            peer.ahead_ms = state.clock_ms.saturating_sub(now.as_millis());
        }
        let backed_ms = now.as_millis().saturating_add(mesh.peers.most_ahead_ms());
        let jump_ms = mesh.clock.heard(now, state.clock_ms, backed_ms);
        let behind_ms = mesh.clock.now(now).saturating_sub(state.clock_ms);
        let mut under_way_ms = 0;
        if let Some(peer) = mesh.peers.get_mut(router) {
            // With its first word it may not know the mesh's clock yet.
            if peer.has_spoken && behind_ms < UNDER_WAY_MAX_MS {
                under_way_ms = behind_ms;
            }
            peer.said(&state);
        }
        self.attachments_move_with_the_clock(jump_ms);
        for Holding { origin, top, .. } in &state.holdings {
            self.own_sequence_heard(origin, *top);
        }
        let neighbours = std::mem::take(&mut state.neighbours);
        self.look_for_main();
        self.list_heard(router, state.servers.take());
        if state.reach.is_some() {
            self.look_who_is_in_reach();
        }
        let is_news = !sessions.is_empty();
        for mut session in sessions {
            session.room_age_ms = session.room_age_ms.map(|age_ms| age_ms.saturating_add(under_way_ms));
            self.session_heard(session);
        }
        self.told(router, neighbours);
        self.confirm_by_holdings(router);
        self.fetches_answered(router);
        self.fetch_missing();
        if !is_news {
            self.ask_if_something_was_lost(router);
        }
    }

    /// Its hash of all sessions differs from ours, though nothing is under way.
    fn ask_if_something_was_lost(&mut self, router: RouterId) {
        let (now, digest) = (self.now, self.sessions_digest());
        let Some(mesh) = &mut self.mesh else { return };
        if !mesh.changed.is_empty() {
            return;
        }
        let Some(peer) = mesh.peers.get_mut(router) else { return };
        let asked_lately = peer.asked_at.is_some_and(|at| now.since(at) < ASK_INTERVAL);
        if peer.digest == digest || asked_lately {
            return;
        }
        peer.asked_at = Some(now);
        self.stats.states_asked += 1;
        self.tell_peer(router, Arc::new(Message::AskState));
    }

    /// Tells everyone what is held here, often while that changes.
    pub(super) fn compare_if_due(&mut self) {
        let (now, held) = (self.now, self.stats.records_stored + self.stats.records_replicated);
        let Some(mesh) = &mut self.mesh else { return };
        if mesh.compare_at > now {
            return;
        }
        mesh.compare_at = now + COMPARE_INTERVAL;
        let half_believed: Vec<RouterId> = mesh.peers.ids_ahead_of(mesh.clock.ahead_ms()).collect();
        for router in half_believed {
            // Its clock is followed step by step, and what clients did by it is not known here yet.
            self.stats.states_asked += 1;
            self.tell_peer(router, Arc::new(Message::AskState));
        }
        let Some(mesh) = &mut self.mesh else { return };
        self.origins.forget(now, self.settings.storage_age_max.saturating_mul(2), &self.origin);
        let is_idle = std::mem::replace(&mut mesh.compared, held) == held;
        if is_idle && now.since(mesh.compared_at) < IDLE_INTERVAL {
            return;
        }
        mesh.compared_at = now;
        let neighbours: Vec<RouterId> = mesh.peers.ids().collect();
        self.tell_peers(&neighbours, &[]);
    }
}

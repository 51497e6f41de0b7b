//! Routers beyond the election's map: a main server that is a fau3 node (a
//! leaf), and whoever is reached through it.
//!
//! Each segment's deputy has the one connection to it. Who is reached through
//! whom is said in States (`Reach`): the deputy tells the leaf who is in its
//! component, the leaf tells each deputy of itself and of the other segments,
//! and within a segment that goes on along the tree from the deputy. Nobody
//! is told what it has said itself, so nothing outlives its source.

use std::collections::{BTreeMap, BTreeSet};

use fau3_election::{Incarnation, RouterId};

use super::Mesh;
use super::copies::PATIENCE;
use crate::router::Router;
use crate::wire::fau3e::STATE_REACH_MAX;
use crate::wire::{Origin, RoomId};

/// Routers, each in its life.
pub(super) type Lives = BTreeMap<RouterId, Incarnation>;

impl Mesh {
    pub(super) fn is_leaf(&self) -> bool {
        self.election.config().leaf
    }

    /// Whom this router has what lies beyond its map from.
    fn source_of_beyond(&self) -> Option<RouterId> {
        if self.main.router().is_some() || !self.peers.iter().any(|(_, peer)| !peer.reach.is_empty()) {
            return self.main.router();
        }
        let deputy = self.election.view().deputy?;
        super::routes::parent(self.election.map(), deputy, self.election.id())
    }

    /// What lies beyond the component of this router.
    fn find_beyond(&self, component: &Lives) -> Lives {
        let source = self.source_of_beyond();
        let is_source = |router| if self.is_leaf() { true } else { Some(router) == source };
        let told = self.peers.iter().filter(|(router, _)| is_source(*router));
        let told = told.flat_map(|(_, peer)| peer.reach.iter().map(|(router, life)| (*router, *life)));
        told.filter(|(router, _)| !component.contains_key(router)).take(STATE_REACH_MAX).collect()
    }

    /// Whom another router reaches through this one.
    pub(super) fn reach_for(&self, router: RouterId) -> Vec<Origin> {
        let Some(peer) = self.peers.get(router) else { return Vec::new() };
        let origin =
            |(router, life): (&RouterId, &Incarnation)| Origin { router: *router, incarnation: *life };
        let component = || self.members.iter().filter(|(id, _)| !self.beyond.contains_key(id));
        if self.is_leaf() {
            let others = self.beyond.iter().filter(|(id, _)| **id != router && !peer.reach.contains_key(id));
            return component().chain(others).map(origin).take(STATE_REACH_MAX).collect();
        }
        if self.main.router() == Some(router) {
            return component().map(origin).collect();
        }
        if peer.leaf || self.source_of_beyond() == Some(router) {
            return Vec::new();
        }
        self.beyond.iter().map(origin).collect()
    }
}

impl Router {
    /// Takes the routers in reach from what is known now, and draws the
    /// consequences for what was held by those that are gone.
    pub(super) fn look_who_is_in_reach(&mut self) {
        let Some(mesh) = &mut self.mesh else { return };
        let (map, me) = (mesh.election.map(), mesh.election.id());
        let lives = map.component(me).into_iter().filter_map(|id| Some((id, map.get(id)?.incarnation)));
        let component: Lives = lives.collect();
        let beyond = mesh.find_beyond(&component);
        let mut members = component;
        members.extend(&beyond);
        if mesh.members.len() < 2 && members.len() > 1 && mesh.peers.is_empty() {
            mesh.reunion_until = self.now + PATIENCE;
        }
        if mesh.members == members && mesh.beyond == beyond {
            return;
        }
        // Nobody else's State depends on who is in the component, which all know.
        let is_told = mesh.main.router().is_some() || mesh.beyond != beyond;
        mesh.beyond = beyond;
        mesh.members = members;
        if is_told {
            self.tell_own_soon();
        }
        self.holders_changed();
        self.upstream_members_changed();
    }

    /// Where to pass on what `root` made and `via` has brought: the next
    /// routers on the tree from it; to what lies beyond the map through the
    /// deputy. With a room, only to where somebody listens there.
    pub(super) fn next_hops(
        &mut self,
        root: RouterId,
        via: Option<RouterId>,
        room: Option<&RoomId>,
    ) -> Vec<RouterId> {
        let Some(mesh) = &mut self.mesh else { return Vec::new() };
        let (me, is_leaf, version) = (mesh.election.id(), mesh.is_leaf(), mesh.map_seen);
        let Mesh { audience, beyond, election, main, peers, routes, .. } = &mut **mesh;
        let heard_at = |is_there: &dyn Fn(&RouterId) -> bool| {
            room.is_none_or(|room| audience.of(room).any(|router| is_there(&router)))
        };
        if is_leaf {
            // A segment has one tree; where its deputy changes, two may be connected.
            let segments = peers
                .iter()
                .filter(|(id, peer)| Some(*id) != via && *id != root && !peer.reach.contains_key(&root));
            let segments =
                segments.filter(|(id, peer)| heard_at(&|at| at == id || peer.reach.contains_key(at)));
            return segments.map(|(id, _)| id).collect();
        }
        let is_from_beyond = beyond.contains_key(&root);
        let deputy = election.view().deputy;
        let root = match (is_from_beyond, main.router()) {
            (false, _) => Some(root),
            (true, Some(main)) if via.is_none_or(|via| via == main) => Some(me),
            (true, _) => deputy,
        };
        let is_there = |behind: &BTreeSet<RouterId>, at: &RouterId| {
            let leads_out = || !is_from_beyond && deputy.is_some_and(|deputy| behind.contains(&deputy));
            behind.contains(at) || beyond.contains_key(at) && leads_out()
        };
        let mut next: Vec<RouterId> = Vec::new();
        if let Some(root) = root {
            let branches = routes.from(root, me, election.map(), version).iter();
            let heard = branches.filter(|(_, behind)| heard_at(&|at| is_there(behind, at)));
            next.extend(heard.map(|(to, _)| *to).filter(|to| Some(*to) != via));
        }
        let out = main.router().filter(|main| !is_from_beyond && Some(*main) != via);
        next.extend(out.filter(|_| heard_at(&|at| beyond.contains_key(at))));
        next
    }
}

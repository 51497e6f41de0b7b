//! The routers that this one has a connection to.

use std::collections::BTreeMap;

use fau3_election::{Incarnation, ListVersion, ROUTERS_MAX, RouterId, Time};

use crate::router::{Output, Router};
use crate::wire::fau3e::{Contact, Holding, Neighbour, State};
use crate::wire::{Origin, RecordId};

/// Origins of which it is remembered what was sent to one router: more than
/// there are routers, since each has many lives.
const SENT_MAX: usize = 1_024;

/// All of them, by id; at most [`ROUTERS_MAX`] less this one, as many as the election knows.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<RouterId, Peer>);

/// One of them, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The queue to it is full: nothing is sent until it has drained.
    pub(super) full: bool,
    /// Something that it should know could not be sent.
    pub(super) owed_all: bool,
    /// It has said what it holds.
    pub(super) has_spoken: bool,
    /// What it holds, as far as known here: runs in rising order.
    pub(super) holds: BTreeMap<Origin, Vec<(u64, u64)>>,
    /// The newest of each origin that was sent to it. What it says may be
    /// older than what is on the way to it.
    sent: BTreeMap<Origin, u64>,
    /// How far its clock is ahead of this router's own, in ms, as it said last.
    pub(super) ahead_ms: u64,
    /// The hash of all sessions that it knows.
    pub(super) digest: u64,
    /// When it was last asked for all of its State.
    pub(super) asked_at: Option<Time>,
    /// What it said of itself last.
    pub(super) name: Box<str>,
    /// How it is found.
    pub(super) contact: Option<Contact>,
    /// Times in a row at which it was too slow to confirm a record.
    pub(super) slow: u32,
    /// It is a main server.
    pub(super) leaf: bool,
    /// Who is reached through it beyond the map.
    pub(super) reach: BTreeMap<RouterId, Incarnation>,
    /// What it was told last of who is reached through this router.
    pub(super) told_reach: Option<Vec<Origin>>,
    /// Which list it was told, by a main server.
    pub(super) told_list: Option<ListVersion>,
}

impl Peers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, router: RouterId) -> bool {
        self.0.contains_key(&router)
    }

    /// Whether something can be sent to it.
    pub(super) fn takes(&self, router: RouterId) -> bool {
        self.0.get(&router).is_some_and(|peer| !peer.full)
    }

    pub(super) fn get(&self, router: RouterId) -> Option<&Peer> {
        self.0.get(&router)
    }

    pub(super) fn get_mut(&mut self, router: RouterId) -> Option<&mut Peer> {
        self.0.get_mut(&router)
    }

    /// False where there is no place for one more; what it says is then not heard.
    pub(super) fn insert(&mut self, router: RouterId) -> bool {
        let has_place = self.0.len() < ROUTERS_MAX - 1 || self.0.contains_key(&router);
        if has_place {
            self.0.insert(router, Peer::default());
        }
        has_place
    }

    pub(super) fn remove(&mut self, router: RouterId) -> bool {
        self.0.remove(&router).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RouterId, &Peer)> {
        self.0.iter().map(|(router, peer)| (*router, peer))
    }

    /// As others are told, or with main servers, which nobody else shall
    /// look for.
    pub(super) fn neighbours(&self, with_leaves: bool) -> Vec<Neighbour> {
        let neighbour =
            |(router, peer): (&RouterId, &Peer)| Neighbour { router: *router, contact: peer.contact.clone() };
        self.0.iter().filter(|(_, peer)| with_leaves || !peer.leaf).map(neighbour).collect()
    }

    /// How far ahead half of them say to be, and two at least, in ms: no word of one
    /// alone.
    pub(super) fn most_ahead_ms(&self) -> u64 {
        let mut ahead: Vec<u64> = self.0.values().map(|peer| peer.ahead_ms).collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        ahead.get(1.max(ahead.len() / 2)).copied().unwrap_or(0)
    }

    /// Those whose clock is further ahead than that, in ms, as they said last.
    pub(super) fn ids_ahead_of(&self, ahead_ms: u64) -> impl Iterator<Item = RouterId> + '_ {
        self.0.iter().filter(move |(_, peer)| peer.ahead_ms > ahead_ms).map(|(id, _)| *id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RouterId> + '_ {
        self.0.keys().copied()
    }
}

impl Peer {
    /// Takes over what it says it holds.
    pub(super) fn said(&mut self, state: &State) {
        self.has_spoken = true;
        self.digest = state.digest;
        self.name = state.name.clone();
        self.leaf = state.leaf;
        if let Some(reach) = &state.reach {
            self.reach = reach.iter().map(|origin| (origin.router, origin.incarnation)).collect();
        }
        self.holds.clear();
        for Holding { origin, floor, top } in &state.holdings {
            self.holds.entry(*origin).or_default().push((*floor, *top));
        }
    }

    /// This one came from there; and, until it says otherwise, it holds what
    /// lies between this and the last one.
    pub(super) fn got(&mut self, origin: Origin, sequence: u64) {
        if self.holds.len() >= SENT_MAX && !self.holds.contains_key(&origin) {
            return; // What it holds it says in its next State.
        }
        let runs = self.holds.entry(origin).or_default();
        match runs.last_mut() {
            Some((_, top)) => *top = sequence.max(*top),
            None => runs.push((1, sequence)),
        }
    }

    /// This one is on its way to it.
    pub(super) fn sent(&mut self, id: RecordId) {
        let sent = self.sent_of(id.origin);
        *sent = id.sequence.max(*sent);
    }

    fn sent_of(&mut self, origin: Origin) -> &mut u64 {
        if self.sent.len() >= SENT_MAX && !self.sent.contains_key(&origin) {
            self.sent.clear(); // The next records are asked for instead of pushed, once.
        }
        self.sent.entry(origin).or_default()
    }

    /// It lacks this one, whatever was sent.
    pub(super) fn lacks(&mut self, id: RecordId) {
        *self.sent_of(id.origin) = id.sequence.saturating_sub(1);
    }

    /// Whether it has everything before this one, or will have.
    pub(super) fn has_all_before(&self, id: &RecordId) -> bool {
        let sent = self.sent.get(&id.origin).copied().unwrap_or(0);
        self.has_spoken && self.top(&id.origin).max(sent) + 1 == id.sequence
    }

    /// The newest that it ever held of an origin.
    pub(super) fn top(&self, origin: &Origin) -> u64 {
        self.holds.get(origin).and_then(|runs| runs.last()).map_or(0, |(_, top)| *top)
    }

    /// The oldest above `sequence` that it holds.
    pub(super) fn next_above(&self, origin: &Origin, sequence: u64) -> Option<u64> {
        let runs = self.holds.get(origin)?;
        let (floor, top) = runs.iter().find(|(floor, top)| floor <= top && *top > sequence)?;
        debug_assert!(floor <= top, "an empty run holds nothing");
        Some((*floor).max(sequence + 1))
    }
}

impl Router {
    pub(in crate::router) fn peer_up(&mut self, router: RouterId) {
        let Some(mesh) = &mut self.mesh else { return };
        if !mesh.peers.insert(router) {
            self.stats.peers_refused += 1;
            return;
        }
        self.elect(fau3_election::Input::Connected(router));
        self.upstream_peer_came();
        self.tell_all(router);
    }

    /// Whether two routers hear each other.
    pub(in crate::router) fn are_neighbours(&self, one: RouterId, other: RouterId) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| mesh.election.map().two_way(one, other))
    }

    /// Whether one is heard that is not connected.
    pub(in crate::router) fn has_unconnected_neighbour(&self) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| {
            let (me, map) = (self.origin.router, mesh.election.map());
            let heard = map.records().iter().map(|record| record.origin).filter(|to| map.two_way(me, *to));
            heard.into_iter().any(|router| !mesh.peers.contains(router))
        })
    }

    pub(in crate::router) fn contact(&mut self, router: RouterId, contact: Contact) {
        let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) else { return };
        if peer.contact.replace(contact.clone()) != Some(contact) {
            self.tell_own_soon();
        }
    }

    /// The router's neighbours tell who theirs are: hints for finding them.
    pub(super) fn told(&mut self, by: RouterId, neighbours: Vec<Neighbour>) {
        let Some(mesh) = &self.mesh else { return };
        // Segments are joined by their main server, not by each other's routers.
        if mesh.is_leaf() || mesh.peers.get(by).is_some_and(|peer| peer.leaf) {
            return;
        }
        for Neighbour { router, contact } in neighbours {
            let is_new = router != self.origin.router && !mesh.peers.contains(router);
            if let (true, Some(contact)) = (is_new, contact) {
                self.outputs.push_back(Output::Told { by, contact });
            }
        }
    }

    pub(in crate::router) fn peer_down(&mut self, router: RouterId, closed: bool) {
        let Some(mesh) = &mut self.mesh else { return };
        if !mesh.peers.remove(router) {
            return;
        }
        mesh.fetches.lost(router);
        self.look_for_main();
        self.look_who_is_in_reach();
        if closed {
            self.upstream_peer_closed(router);
            self.elect(fau3_election::Input::Closed(router));
        }
        // What waited for this router's word goes to the next one.
        self.copies_lost(router);
        self.fetch_missing();
    }

    /// The last frame found no place.
    pub(in crate::router) fn peer_full(&mut self, router: RouterId) {
        if let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) {
            peer.full = true;
            peer.owed_all = true;
            self.stats.peer_full += 1;
        }
    }

    /// There is place again: what was lost is told anew.
    pub(in crate::router) fn peer_drained(&mut self, router: RouterId) {
        let Some(peer) = self.mesh.as_mut().and_then(|mesh| mesh.peers.get_mut(router)) else { return };
        peer.full = false;
        if std::mem::take(&mut peer.owed_all) {
            self.tell_all(router);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_peers_are_kept_than_a_mesh_has_and_one_of_them_may_come_back() {
        let mut peers = Peers::default();
        let id = |number: u16| RouterId(u128::from(number).to_be_bytes());
        let kept = (0..1_000).filter(|number| peers.insert(id(*number))).count();
        assert_eq!((kept, peers.ids().count()), (ROUTERS_MAX - 1, ROUTERS_MAX - 1));
        assert!(peers.insert(id(0)) && !peers.insert(id(999)));
    }
}

//! Beacons on their way: sealed, sent to where routers are, received, opened.
//! What is no beacon of this mesh is counted, and not spoken of.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fau3_election::RouterId;
use rustix::net::SendFlags;
use tokio::net::UdpSocket;

use super::address::{canonical, mapped};
use super::api::{BeaconTarget, MeshEvent};
use super::beacon::{self, BeaconKey, SEALED_MAX_BYTES, Stamp};
use super::hub::{Hub, State};
use super::link::Link;

/// A router that was heard in this time is sent beacons.
pub const HEARD_LATELY: Duration = Duration::from_secs(60);
/// Most addresses without a proved router that one beacon goes to; the next
/// one goes to the next of them.
pub const SUSPECTS_MAX: usize = 16;

/// How often a router is told that none of its datagrams arrives.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What a default server is asked with, and answers. No beacon looks like it.
const HERE: &[u8] = b"?";

/// The beacons' sockets and keys.
pub(super) struct Datagrams {
    sockets: Vec<Socket>,
    keys: Vec<BeaconKey>,
}

struct Socket {
    socket: Arc<UdpSocket>,
    is_ipv6: bool,
}

impl Datagrams {
    pub(super) fn new(sockets: Vec<Arc<UdpSocket>>, keys: Vec<BeaconKey>) -> Self {
        let is_ipv6 = |socket: &UdpSocket| socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let sockets =
            sockets.into_iter().map(|socket| Socket { is_ipv6: is_ipv6(&socket), socket }).collect();
        Self { sockets, keys }
    }

    /// Sends a beacon, at once or not at all.
    pub(super) fn send(&self, hub: &Hub, to: BeaconTarget, payload: &[u8]) {
        let mut state = hub.state();
        state.sequence = state.sequence.saturating_add(1);
        let sequence = state.sequence;
        let stamp = Stamp { sender: hub.terms.router, incarnation: state.incarnation, sequence };
        let targets = targets(hub, &state, to);
        // Each is sealed with the key that the receiver has; hardly ever two.
        let mut sealed: Vec<Option<Vec<u8>>> = vec![None; self.keys.len()];
        for (address, key) in targets {
            let Some(slot) = sealed.get_mut(key) else { continue };
            let bytes = match slot {
                Some(bytes) => bytes,
                None => match self.keys[key].seal(&stamp, payload) {
                    Some(bytes) => slot.insert(bytes),
                    None => return,
                },
            };
            if !hub.may_talk_to(address.ip()) || !self.send_to(address, bytes) {
                state.counts.beacons_unsent = state.counts.beacons_unsent.saturating_add(1);
            }
        }
        let now = hub.now();
        let is_meant = |link: &&Arc<Link>| match to {
            BeaconTarget::Everywhere => true,
            BeaconTarget::Router(router) => router == link.router,
            BeaconTarget::Address(_) => false,
        };
        // Those that datagrams do not reach get them over the connection, too: they
        // still go the usual way, so that its end is seen.
        let deaf = state.links.values().filter(is_meant).filter(|link| state.paths.is_deaf(now, link.router));
        deaf.filter(|link| link.uplink.is_none()).for_each(|link| link.carry(payload));
    }

    fn send_to(&self, address: SocketAddr, bytes: &[u8]) -> bool {
        let of = |is_ipv6| self.sockets.iter().find(|socket| socket.is_ipv6 == is_ipv6);
        // An IPv6 socket speaks IPv4, too.
        let (socket, address) = match of(address.is_ipv6()) {
            Some(own_family) => (own_family, address),
            None => match of(true) {
                Some(socket) => (socket, mapped(address)),
                None => return false,
            },
        };
        // Not tokio's: that takes a socket for full until it was waited for.
        rustix::net::sendto(&socket.socket, bytes, SendFlags::DONTWAIT, &address).is_ok()
    }

    /// Asks the default server whether it is there whenever its connection may
    /// be stuck, until the mesh ends.
    pub(super) async fn ask_uplink(self: Arc<Self>, hub: Arc<Hub>) {
        loop {
            tokio::select! {
                () = hub.uplink_doubted() => {}
                () = hub.closing() => return,
            }
            let uplink = hub.state().links.values().find(|link| link.uplink.is_some()).cloned();
            if let Some(uplink) = uplink {
                self.send(&hub, BeaconTarget::Address(uplink.listens), HERE);
            }
        }
    }

    /// Receives on one of the sockets until the mesh ends.
    pub(super) async fn receive(self: Arc<Self>, hub: Arc<Hub>, number: usize) {
        let Some(Socket { socket, .. }) = self.sockets.get(number) else { return };
        let mut buffer = vec![0; SEALED_MAX_BYTES + 1];
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                () = hub.closing() => return,
            };
            // Errors here are ICMP's answers to what was sent: no news.
            if let Ok((length, from)) = received {
                self.take(&hub, canonical(from), &buffer[..length]);
            }
        }
    }

    fn take(&self, hub: &Hub, from: SocketAddr, bytes: &[u8]) {
        let opened = if hub.may_talk_to(from.ip()) { beacon::open(&self.keys, bytes) } else { None };
        let mut state = hub.state();
        let Some((stamp, payload)) = opened else {
            state.counts.beacons_strange = state.counts.beacons_strange.saturating_add(1);
            return;
        };
        let own = stamp.sender == hub.terms.router;
        if own && stamp.incarnation.random == state.incarnation.random {
            return;
        }
        if !state.replays.is_new(hub.now(), &stamp, from) {
            state.counts.beacons_replayed = state.counts.beacons_replayed.saturating_add(1);
            return;
        }
        let link = state.links.get(&stamp.sender).cloned();
        if hub.leaf {
            // Beacons are nothing to it; who asks whether it is there is answered.
            drop(state);
            return if link.is_some() {
                self.send(hub, BeaconTarget::Address(from), HERE)
            };
        }
        if let Some(link) = link.filter(|link| link.uplink.is_some()) {
            drop(state);
            return link.heard(hub);
        }
        if !own {
            state.paths.heard(hub.now(), stamp.sender, from);
        }
        // A router that is not connected shall be; so shall someone else with this
        // router's own identity: the handshake shows whether it has the key of it.
        let unknown = !state.links.contains_key(&stamp.sender);
        let beacon = MeshEvent::Beacon { router: stamp.sender, from, bytes: Bytes::copy_from_slice(payload) };
        if !hub.events().beacon(beacon) {
            state.counts.beacons_late = state.counts.beacons_late.saturating_add(1);
        }
        drop(state);
        if unknown {
            hub.with_book(|book, now| book.alive(now, from));
        }
    }
}

/// Tells routers over their connections while none of their datagrams arrives, until
/// the mesh ends.
pub(super) async fn tell_the_unheard(hub: Arc<Hub>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = hub.closing() => return,
        }
        let (now, state) = (hub.now(), hub.state());
        let neighbours = state.links.values().filter(|link| link.uplink.is_none());
        neighbours.filter(|link| state.paths.is_unheard(now, link.router)).for_each(|link| link.say_deaf());
    }
}

/// Addresses, and which key is used there.
fn targets(hub: &Hub, state: &State, to: BeaconTarget) -> BTreeSet<(SocketAddr, usize)> {
    let key_of = |router: RouterId| state.links.get(&router).map_or(0, |link| link.key);
    match to {
        BeaconTarget::Address(address) => {
            let address = canonical(address);
            let at = state.links.values().find(|link| link.listens == address);
            [(address, at.map_or(0, |link| link.key))].into()
        }
        // A default server hears no beacons.
        BeaconTarget::Router(router) if state.mains.contains(&router) => BTreeSet::new(),
        BeaconTarget::Router(router) => {
            let linked = state.links.get(&router).map(|link| link.listens);
            let address = state.replays.address(router).or(linked);
            address.map(|address| (address, key_of(router))).into_iter().collect()
        }
        BeaconTarget::Everywhere => {
            let since = hub.now() - HEARD_LATELY;
            let mut all: BTreeSet<_> = state
                .replays
                .heard(since)
                .filter(|(router, _)| *router != hub.terms.router && !state.mains.contains(router))
                .map(|(router, address)| (address, key_of(router)))
                .collect();
            let unheard = state.links.values().filter(|link| state.replays.address(link.router).is_none());
            let unheard = unheard.filter(|link| link.uplink.is_none());
            all.extend(unheard.map(|link| (link.listens, link.key)));
            let suspects: Vec<_> = state.book.suspected().collect();
            let first = state.sequence as usize % suspects.len().max(1);
            let (later, now) = suspects.split_at(first);
            let turn = now.iter().chain(later).take(SUSPECTS_MAX);
            for address in turn {
                if !all.iter().any(|(known, _)| known == address) {
                    all.insert((*address, 0));
                }
            }
            all
        }
    }
}

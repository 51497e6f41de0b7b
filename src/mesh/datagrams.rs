//! Beacons on their way: sealed, sent to where routers are, received, opened.
//! What is no beacon of this mesh is counted, and not spoken of.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fau3_election::{RouterId, Time};
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::address::{canonical, mapped};
use super::api::{BeaconTarget, MeshEvent};
use super::asked::{self, Asked, Own};
use super::beacon::{self, BeaconKey, SEALED_MAX_BYTES, Stamp};
use super::hub::{Hub, State};
use super::link::Link;
use super::sockets::open_udp;
use super::warm::{HEARD_LATELY, Interfaces, PATH_SILENT, Path, TRY_EVERY, warm};
use crate::net::Follower;

/// Most addresses without a proved router that one beacon goes to; the next
/// one goes to the next of them.
pub const SUSPECTS_MAX: usize = 16;

/// How often a router is told that none of its datagrams arrives.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What a main server is asked with, and answers. No beacon looks like it.
const HERE: &[u8] = b"?";

/// The beacons' sockets and keys.
pub(super) struct Datagrams {
    sockets: Vec<Socket>,
    keys: Vec<BeaconKey>,
    ways: Mutex<Ways>,
    asked: Mutex<Asked>,
}

/// What decides which addresses are kept warm.
#[derive(Default)]
struct Ways {
    interfaces: Interfaces,
    /// When dead addresses were tried last, and how many times.
    tried: Option<Time>,
    turn: usize,
}

struct Socket {
    /// Another one, once its interface was made anew.
    socket: Mutex<Arc<UdpSocket>>,
    is_ipv6: bool,
}

impl Socket {
    fn new(socket: UdpSocket) -> Self {
        let is_ipv6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let opened = Self { socket: Mutex::new(Arc::new(socket)), is_ipv6 };
        opened.set_up();
        opened
    }

    fn get(&self) -> Arc<UdpSocket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, socket: UdpSocket) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(socket);
        self.set_up();
    }

    fn set_up(&self) {
        // Where the system cannot, it chooses from which address an answer goes.
        let _ = asked::tell(self.get().as_ref(), self.is_ipv6);
    }
}

impl Datagrams {
    pub(super) fn new(sockets: Vec<UdpSocket>, keys: Vec<BeaconKey>) -> Self {
        let sockets = sockets.into_iter().map(Socket::new).collect();
        Self { sockets, keys, ways: Mutex::default(), asked: Mutex::default() }
    }

    /// Sends a beacon, at once or not at all.
    pub(super) fn send(&self, hub: &Hub, to: BeaconTarget, payload: &[u8]) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match to {
            BeaconTarget::Everywhere => Some(std::mem::replace(&mut ways.interfaces, Interfaces::now())),
            BeaconTarget::Router(_) | BeaconTarget::Address(_) => None,
        };
        let mut state = hub.state();
        let dead_turn = before.as_ref().and_then(|_| ways.next_turn(hub.now()));
        if let Some(before) = before {
            leave_dead_paths(hub.now(), &mut state, &before, &ways.interfaces);
        }
        state.sequence = state.sequence.saturating_add(1);
        let sequence = state.sequence;
        let stamp = Stamp { sender: hub.terms.router, incarnation: state.incarnation, sequence };
        let targets = targets(hub, &state, to, &ways.interfaces, dead_turn);
        drop(ways);
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
            if !hub.may_talk_to(address.ip()) || !self.send_to(hub.now(), address, bytes) {
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

    /// Only who has a key and says something new may set what it asked.
    fn note(&self, now: Time, from: SocketAddr, asked: Option<(usize, Own)>) {
        if let Some((socket, own)) = asked {
            self.asked().note(now, from, socket, own);
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_to(&self, now: Time, address: SocketAddr, bytes: &[u8]) -> bool {
        let asked = self.asked().from(now, address);
        if let Some((number, own)) = asked
            && let Some(socket) = self.sockets.get(number)
        {
            let to = if socket.is_ipv6 { mapped(address) } else { address };
            match asked::send(socket.get().as_ref(), bytes, to, own) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The own address is gone, most likely: the system chooses another one.
                Err(_) => self.asked().forget(address),
            }
        }
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
        rustix::net::sendto(socket.get().as_ref(), bytes, SendFlags::DONTWAIT, &address).is_ok()
    }

    /// Asks the main server whether it is there whenever its connection may
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
        let Some(place) = self.sockets.get(number) else { return };
        let mut socket = place.get();
        let mut follower = Follower::new(socket.local_addr());
        let mut buffer = vec![0; SEALED_MAX_BYTES + 1];
        loop {
            let received = tokio::select! {
                anew = follower.anew(open_udp) => {
                    place.replace(anew);
                    socket = place.get();
                    continue;
                }
                received = socket.async_io(Interest::READABLE, || asked::receive(socket.as_ref(), &mut buffer)) => received,
                () = hub.closing() => return,
            };
            // Errors here are ICMP's answers to what was sent: no news.
            if let Ok((length, from, own)) = received {
                self.take(&hub, canonical(from), own.map(|own| (number, own)), &buffer[..length]);
            }
        }
    }

    fn take(&self, hub: &Hub, from: SocketAddr, asked: Option<(usize, Own)>, bytes: &[u8]) {
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
            let peer = state.links.get(&stamp.sender).map(|link| link.peer_id);
            let is_its = peer.is_some_and(|peer| state.book.addresses(peer).any(|known| known == from));
            if is_its && state.replays.is_copy(hub.now(), &stamp, from) {
                self.note(hub.now(), from, asked);
                return;
            }
            state.counts.beacons_replayed = state.counts.beacons_replayed.saturating_add(1);
            return;
        }
        self.note(hub.now(), from, asked);
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
        let from = state.replays.address(stamp.sender).unwrap_or(from);
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

impl Ways {
    /// Whether dead addresses are to be tried now, and whose turn it is.
    fn next_turn(&mut self, now: Time) -> Option<usize> {
        let is_time = self.tried.is_none_or(|tried| now.since(tried) >= TRY_EVERY);
        is_time.then(|| {
            self.tried = Some(now);
            self.turn = self.turn.wrapping_add(1);
            self.turn
        })
    }
}

/// Ends each connection whose path is dead while beacons pass over another one:
/// nothing was heard there for [`PATH_SILENT`], or its own interface went down.
fn leave_dead_paths(now: Time, state: &mut State, before: &Interfaces, interfaces: &Interfaces) {
    let State { links, book, replays, .. } = state;
    for link in links.values().filter(|link| link.uplink.is_none()) {
        let paths = replays.paths(link.router);
        let is_used = |path: &&(SocketAddr, Time)| path.0.ip() == link.listens.ip();
        // What was not heard in its own time says nothing of this connection.
        let heard = paths.iter().filter(is_used).map(|path| path.1).max().filter(|heard| *heard > link.since);
        let is_silent = heard.is_some_and(|heard| now.since(heard) >= PATH_SILENT);
        let is_cut = before.of(link.listens).is_some() && interfaces.of(link.listens).is_none();
        let others = paths.iter().filter(|path| !is_used(path) && now.since(path.1) < PATH_SILENT);
        let others = others.filter(|path| !is_cut || interfaces.of(path.0).is_some());
        if let (true, Some(other)) = (is_silent || is_cut, others.max_by_key(|path| path.1)) {
            book.prefer(link.peer_id, link.listens, other.0);
            link.move_away();
        }
    }
}

/// All addresses of a connected router, and when it was heard from there.
fn paths_of(state: &State, link: &Link) -> Vec<Path> {
    let heard = state.replays.paths(link.router);
    let mut all: Vec<Path> = heard.iter().map(|(address, heard)| (*address, Some(*heard))).collect();
    for address in state.book.addresses(link.peer_id) {
        if !all.iter().any(|path| path.0 == address) {
            all.push((address, None));
        }
    }
    all
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
fn targets(
    hub: &Hub,
    state: &State,
    to: BeaconTarget,
    interfaces: &Interfaces,
    dead_turn: Option<usize>,
) -> BTreeSet<(SocketAddr, usize)> {
    let kept_warm = |link: &Arc<Link>| {
        let addresses = warm(interfaces, hub.now(), &paths_of(state, link), Some(link.listens), dead_turn);
        let key = link.key;
        addresses.into_iter().map(move |address| (address, key))
    };
    let key_of = |router: RouterId| state.links.get(&router).map_or(0, |link| link.key);
    match to {
        BeaconTarget::Address(address) => {
            let address = canonical(address);
            let at = state.links.values().find(|link| link.listens == address);
            [(address, at.map_or(0, |link| link.key))].into()
        }
        // A main server hears no beacons.
        BeaconTarget::Router(router) if state.mains.contains(&router) => BTreeSet::new(),
        BeaconTarget::Router(router) => match state.links.get(&router) {
            Some(link) => kept_warm(link).collect(),
            None => {
                state.replays.address(router).map(|address| (address, key_of(router))).into_iter().collect()
            }
        },
        BeaconTarget::Everywhere => {
            let since = hub.now() - HEARD_LATELY;
            let mut all: BTreeSet<_> = state
                .replays
                .heard(since)
                .filter(|(router, _)| *router != hub.terms.router && !state.mains.contains(router))
                .filter(|(router, _)| !state.links.contains_key(router))
                .map(|(router, address)| (address, key_of(router)))
                .collect();
            all.extend(state.links.values().filter(|link| link.uplink.is_none()).flat_map(kept_warm));
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

//! Whom to dial, when, and at which of its addresses. Pure: no sockets, no
//! clock; chance comes from a seed.
//!
//! What discovery says is a hint, often wrong: who lives at an address is known
//! once a handshake has proved it, and an entry without a proved router may go
//! when the book is full.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fau3_election::Time;
use libp2p_identity::PeerId;

use entry::{Entry, State};

/// Most routers, proved or suspected, that are remembered.
pub const BOOK_MAX: usize = 256;
/// Most addresses of one router.
pub const ADDRESSES_MAX: usize = 8;
/// Most dials at a time.
pub const DIALS_MAX: usize = 16;
/// A router that was there in this time is dialled often.
pub const LATELY: Duration = Duration::from_secs(60);
/// How often one that was there lately is dialled.
pub const LATELY_EVERY: Duration = Duration::from_millis(250);
/// The first wait for one that was not; doubles each time.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// How long a router that was there lately may take to answer the first packet.
pub const PATIENCE_LATELY: Duration = Duration::from_secs(1);
/// How long any other may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Most own addresses that are remembered as such.
const OWN_MAX: usize = 16;
/// So often in vain, and an entry may go for another one.
const IN_VAIN: u32 = 3;

/// A dial to start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) address: SocketAddr,
    /// How long to wait for the first answer.
    pub(super) patience: Duration,
}

/// Routers and where they may be.
#[derive(Debug)]
pub(super) struct Book {
    own: PeerId,
    /// Where this router found itself.
    own_addresses: BTreeSet<SocketAddr>,
    entries: BTreeMap<u32, Entry>,
    next: u32,
    chance: u64,
}

impl Book {
    pub(super) fn new(own: PeerId, seed: u64) -> Self {
        Self { own, own_addresses: BTreeSet::new(), entries: BTreeMap::new(), next: 0, chance: seed }
    }

    /// Someone says that there is a router.
    pub(super) fn hint(&mut self, now: Time, address: SocketAddr, peer: Option<PeerId>) {
        if peer == Some(self.own) || self.own_addresses.contains(&address) {
            return;
        }
        if let Some(known) = self.at(address) {
            // Whose it is, a proof says, or else the latest hint.
            if known.peer.is_none() && peer.is_some_and(|peer| self.of(peer).is_none()) {
                self.at(address).into_iter().for_each(|known| known.peer = peer);
            }
            return;
        }
        match peer.and_then(|peer| self.of(peer)) {
            Some(entry) => entry.add(address),
            None => {
                if self.entries.len() >= BOOK_MAX && !self.drop_one_in_vain() {
                    return;
                }
                self.entries.insert(self.next, Entry::new(peer, address, now));
                self.next = self.next.wrapping_add(1);
            }
        }
    }

    /// A beacon came from there: a router is alive.
    pub(super) fn alive(&mut self, now: Time, address: SocketAddr) {
        self.hint(now, address, None);
        let every = self.jittered(LATELY_EVERY);
        let Some(entry) = self.at(address) else { return };
        entry.seen = Some(now);
        if let State::Waiting(at) = &mut entry.state {
            *at = (*at).min(now + every);
        }
    }

    /// The dial whose time has come.
    pub(super) fn next_dial(&mut self, now: Time) -> Option<Dial> {
        if self.entries.values().filter(|entry| matches!(entry.state, State::Dialling(_))).count()
            >= DIALS_MAX
        {
            return None;
        }
        let due = self.entries.values_mut().filter(|entry| entry.due().is_some_and(|at| at <= now));
        let entry = due.min_by_key(|entry| entry.due())?;
        let address = entry.best_address()?;
        entry.state = State::Dialling(address);
        let patience = if entry.seen_lately(now) { PATIENCE_LATELY } else { PATIENCE };
        Some(Dial { address, patience })
    }

    /// When [`next_dial`](Self::next_dial) has something next, unless as many
    /// dials as may be are under way.
    pub(super) fn timeout(&self) -> Option<Time> {
        let dialling = self.entries.values().filter(|entry| matches!(entry.state, State::Dialling(_)));
        if dialling.count() >= DIALS_MAX {
            return None;
        }
        self.entries.values().filter_map(Entry::due).min()
    }

    /// A connection stands, whoever opened it. `listens` is where the router
    /// listens; the second result of a dial to it counts as one, too.
    pub(super) fn connected(&mut self, now: Time, peer: PeerId, listens: SocketAddr) {
        self.give_address(now, listens, peer);
        let Some(entry) = self.of(peer) else { return };
        entry.state = State::Connected;
        entry.failures = 0;
        entry.seen = Some(now);
        entry.succeeded(listens);
    }

    /// A dial found a router that is connected already.
    pub(super) fn duplicate(&mut self, now: Time, peer: PeerId, address: SocketAddr) {
        self.give_address(now, address, peer);
        let every = self.jittered(LATELY_EVERY);
        let Some(entry) = self.of(peer) else { return };
        entry.seen = Some(now);
        if entry.state == State::Dialling(address) {
            // Unless the other connection shows up here, too: try again.
            entry.state = State::Waiting(now + every);
        }
    }

    /// A router's connection is gone.
    pub(super) fn closed(&mut self, now: Time, peer: PeerId) {
        let every = self.jittered(LATELY_EVERY);
        let Some(entry) = self.of(peer) else { return };
        entry.seen = Some(now);
        entry.state = State::Waiting(now + every.min(LATELY_EVERY));
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, now: Time, address: SocketAddr) {
        let (lately, first) = (self.jittered(LATELY_EVERY), self.jittered(BACK_OFF_MIN));
        let Some(entry) = self.at(address) else { return };
        entry.failed(address);
        if entry.state != State::Dialling(address) {
            return;
        }
        // All addresses are tried before it waits longer.
        let addresses = entry.addresses.len() as u32;
        let rounds = entry.failures / addresses.max(1);
        let wait = if entry.seen_lately(now) || !entry.failures.is_multiple_of(addresses) {
            lately
        } else {
            (first * 2_u32.pow(rounds.saturating_sub(1).min(6))).min(BACK_OFF_MAX)
        };
        entry.state = State::Waiting(now + wait);
    }

    /// A dial found this router itself; whether another one was said to be there.
    pub(super) fn oneself(&mut self, address: SocketAddr) -> bool {
        let claimed = self.at(address).is_some_and(|entry| entry.peer.is_some());
        self.take_address(address);
        if self.own_addresses.len() < OWN_MAX {
            self.own_addresses.insert(address);
        }
        claimed
    }

    /// Whether this router found itself there.
    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
        self.own_addresses.contains(&address)
    }

    /// Addresses at which a router is suspected that is not connected.
    pub(super) fn suspected(&self) -> impl Iterator<Item = SocketAddr> {
        let waiting = self.entries.values().filter(|entry| entry.state != State::Connected);
        waiting.filter_map(Entry::best_address)
    }

    /// A connection's path is dead, another one is not: that is dialled first.
    pub(super) fn prefer(&mut self, peer: PeerId, dead: SocketAddr, alive: SocketAddr) {
        if let Some(entry) = self.of(peer) {
            entry.failed(dead);
            entry.succeeded(alive);
        }
    }

    /// All addresses that a router is believed to have.
    pub(super) fn addresses(&self, peer: PeerId) -> impl Iterator<Item = SocketAddr> {
        let entry = self.entries.values().find(|entry| entry.peer == Some(peer));
        entry.into_iter().flat_map(|entry| entry.addresses.iter().map(|known| known.address))
    }

    /// Whether somebody has told of a router at this address.
    pub(super) fn knows(&self, ip: IpAddr) -> bool {
        self.entries.values().any(|entry| entry.addresses.iter().any(|known| known.address.ip() == ip))
    }

    /// All that is believed to be one router's with this address, itself included.
    pub(super) fn aliases(&self, ip: IpAddr) -> BTreeSet<IpAddr> {
        let ips = |entry: &Entry| entry.addresses.iter().map(|known| known.address.ip()).collect::<Vec<_>>();
        let own = self.entries.values().map(ips).filter(|ips| ips.contains(&ip));
        own.flatten().chain([ip]).collect()
    }

    fn of(&mut self, peer: PeerId) -> Option<&mut Entry> {
        self.entries.values_mut().find(|entry| entry.peer == Some(peer))
    }

    fn at(&mut self, address: SocketAddr) -> Option<&mut Entry> {
        self.entries.values_mut().find(|entry| entry.has(address))
    }

    /// It is proved that `peer` lives at `address`.
    fn give_address(&mut self, now: Time, address: SocketAddr, peer: PeerId) {
        let known = self.at(address).is_some_and(|entry| entry.peer == Some(peer));
        if !known {
            let state = self.take_address(address);
            self.hint(now, address, Some(peer));
            // A dial that was under way is this peer's now.
            if let (Some(State::Dialling(at)), Some(entry)) = (state, self.of(peer))
                && entry.state != State::Connected
            {
                entry.state = State::Dialling(at);
            }
        }
    }

    /// Takes an address from whoever has it, and says what that one was doing.
    fn take_address(&mut self, address: SocketAddr) -> Option<State> {
        let number = *self.entries.iter().find(|(_, entry)| entry.has(address))?.0;
        let entry = self.entries.get_mut(&number)?;
        entry.addresses.retain(|known| known.address != address);
        let state = entry.state;
        if entry.addresses.is_empty() && state != State::Connected {
            self.entries.remove(&number);
        } else if state == State::Dialling(address) {
            entry.state = State::Waiting(Time::ZERO);
        }
        Some(state)
    }

    /// Makes room: the entry that was dialled in vain most often goes.
    fn drop_one_in_vain(&mut self) -> bool {
        let in_vain = |entry: &Entry| {
            entry.seen.is_none() && matches!(entry.state, State::Waiting(_)) && entry.failures >= IN_VAIN
        };
        let candidates = self.entries.iter().filter(|(_, entry)| in_vain(entry));
        let worst = candidates.max_by_key(|(_, entry)| entry.failures).map(|(number, _)| *number);
        worst.is_some_and(|number| self.entries.remove(&number).is_some())
    }

    /// A span of 80 to 120 %, so that routers do not dial in step. Splitmix64.
    fn jittered(&mut self, span: Duration) -> Duration {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.chance;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        span * (800 + ((mixed ^ mixed >> 31) % 401) as u32) / 1_000
    }
}

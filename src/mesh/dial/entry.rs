//! One router, proved or suspected, and its addresses.

use std::cmp::Reverse;
use std::net::SocketAddr;

use fau3_election::Time;
use libp2p_identity::PeerId;

use super::{ADDRESSES_MAX, LATELY};

#[derive(Debug)]
pub(super) struct Entry {
    /// Who it is, or is said to be.
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Known>,
    pub(super) state: State,
    /// Dials in vain since the last success.
    pub(super) failures: u32,
    /// When it was last there.
    pub(super) seen: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) address: SocketAddr,
    /// Counts successes and failures: the best address is tried first.
    successes: u32,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be dialled then.
    Waiting(Time),
    /// A dial to this address is under way.
    Dialling(SocketAddr),
    Connected,
}

impl Entry {
    pub(super) fn new(peer: Option<PeerId>, address: SocketAddr, now: Time) -> Self {
        let addresses = vec![Known { address, successes: 0, failures: 0 }];
        Self { peer, addresses, state: State::Waiting(now), failures: 0, seen: None }
    }

    pub(super) fn has(&self, address: SocketAddr) -> bool {
        self.addresses.iter().any(|known| known.address == address)
    }

    /// One more address; where there is no room, instead of the worst one.
    pub(super) fn add(&mut self, address: SocketAddr) {
        if self.addresses.len() >= ADDRESSES_MAX {
            let worst = self.addresses.iter().enumerate().max_by_key(|(_, known)| known.rank());
            // One that works is not given up for a rumour.
            match worst.map(|(at, known)| (at, known.failures)) {
                Some((at, 1..)) => drop(self.addresses.remove(at)),
                _ => return,
            }
        }
        self.addresses.push(Known { address, successes: 0, failures: 0 });
    }

    pub(super) fn due(&self) -> Option<Time> {
        match self.state {
            State::Waiting(at) => Some(at),
            State::Dialling(_) | State::Connected => None,
        }
    }

    pub(super) fn best_address(&self) -> Option<SocketAddr> {
        self.addresses.iter().min_by_key(|known| known.rank()).map(|known| known.address)
    }

    pub(super) fn seen_lately(&self, now: Time) -> bool {
        self.seen.is_some_and(|seen| now.since(seen) < LATELY)
    }

    pub(super) fn succeeded(&mut self, address: SocketAddr) {
        for known in self.addresses.iter_mut().filter(|known| known.address == address) {
            known.successes = known.successes.saturating_add(1);
            known.failures = 0;
        }
    }

    pub(super) fn failed(&mut self, address: SocketAddr) {
        self.failures = self.failures.saturating_add(1);
        for known in self.addresses.iter_mut().filter(|known| known.address == address) {
            known.failures = known.failures.saturating_add(1);
        }
    }
}

impl Known {
    /// Fewest failures in a row first, among those the one that worked most.
    fn rank(&self) -> (u32, Reverse<u32>) {
        (self.failures, Reverse(self.successes))
    }
}

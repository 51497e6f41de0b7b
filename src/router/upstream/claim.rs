//! At most one router at a time is connected to the server in a client's name: a
//! legacy server ends if one id connects twice.
//!
//! Routers in reach of each other ask: whoever is about to connect claims the id in
//! what it tells the others, and goes on once the deputy has said that it has heard, if
//! nobody else has it. The deputy passes on what it hears in that order, so of two that claim
//! the same id at least one has heard of the other by then. Who is cut off, and
//! does not know it yet, hears nothing from the deputy. Out of reach of each other
//! routers go by the clock: while one is out of reach, a connection is kept only as
//! long as its client shows life ([`LEASE`]), and whoever gets a client waits until
//! the other one must have let go ([`LET_GO`]).

use std::time::Duration;

use fau3_election::Time;

use super::lines::RETRY_MAX;
use super::others::{Elsewhere, LINGER};
use crate::router::mutants::mutated;
use crate::router::{Router, SessionKey};
use crate::wire::ClientId;

/// From a router's coming into reach until a connection is opened: it has told of its
/// own by then, and all have agreed on who is the deputy.
const SETTLE: Duration = Duration::from_millis(500);
/// While a router is out of reach, a client without a sign of life for so long may be
/// there, and has no connection from here.
pub(super) const LEASE: Duration = Duration::from_secs(8);
/// So often it is asked for one.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// A router that has been out of reach for so long, without a word, is off: nobody
/// waits for it any more.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(600);
/// From a client's leaving a router until the server has no connection from there
/// any more, whatever that router knows: its lease, the goodbye (1 s), the server's own
/// Pings where that does not arrive, and as much as clocks differ.
const LET_GO: Duration = LEASE.saturating_add(LINGER).saturating_add(Duration::from_secs(2));

/// A client's right to a connection from here.
#[derive(Debug, Default)]
pub(super) struct Claim {
    /// The others are told that there may be one.
    stands: bool,
    /// In which revision of what this router tells they were, once they have been.
    told: Option<u64>,
    /// The client has not been anywhere else since it came, nor can a router that is
    /// out of reach have a connection of it.
    is_sure: bool,
    /// Until when one may.
    doubt_until: Option<Time>,
}

/// Whether a connection may be opened, or kept.
pub(super) enum May {
    Yes,
    /// It is looked at again then, or when something changes.
    Not(Option<Time>),
}

impl Claim {
    pub(super) fn stands(&self) -> bool {
        self.stands
    }

    /// What the others are told from that revision on names the client. True if they had
    /// not been told.
    pub(super) fn told(&mut self, revision: u64) -> bool {
        let is_new = self.stands() && self.told.is_none();
        if is_new {
            self.told = Some(revision);
        }
        is_new
    }

    /// True if the others have to hear of it.
    pub(super) fn withdraw(&mut self) -> bool {
        self.told = None;
        std::mem::take(&mut self.stands)
    }

    /// The client is not here, or nobody knows whether it is.
    pub(super) fn doubt(&mut self) {
        (self.is_sure, self.doubt_until) = (false, None);
    }
}

impl Router {
    /// Whether a client that is connected here may have a connection to the server now.
    pub(super) fn may_serve(&mut self, key: SessionKey) -> May {
        let now = self.now;
        if mutated!(self.settings, LineBesideAnother) {
            return May::Yes;
        }
        let client_id = self.sessions[key].client_id.clone();
        let lapses_at = self.lease_of(key);
        let led_since = self.upstream.led_since;
        let elsewhere = self.upstream.others.holds(&client_id, now, led_since);
        let has_silent = self.upstream.others.has_silent(now);
        let carried = self.upstream.clients.entry(client_id.clone()).or_default();
        if lapses_at.is_some_and(|at| at <= now) {
            carried.claim.doubt();
            self.withdraw_claim(&client_id);
            return May::Not(Some(now + ASKED_EVERY));
        }
        if carried.line.is_some() {
            carried.claim.is_sure = true;
            return May::Yes;
        }
        match elsewhere {
            // Whoever has it in reach would not have it if anybody out of reach did: in
            // doubt it is not claimed.
            Elsewhere::Yes => {
                carried.claim.is_sure = true;
                return self.beside_another(&client_id);
            }
            Elsewhere::Until(at) => {
                if has_silent {
                    carried.claim.is_sure = false;
                    carried.claim.doubt_until.get_or_insert(now + LET_GO);
                    self.withdraw_claim(&client_id);
                }
                return May::Not(Some(at));
            }
            Elsewhere::No => {}
        }
        if has_silent && !carried.claim.is_sure {
            let until = *carried.claim.doubt_until.get_or_insert(now + LET_GO);
            if now < until {
                self.withdraw_claim(&client_id);
                return May::Not(Some(until));
            }
        }
        let may = self.claim(&client_id);
        if let (May::Yes, Some(carried)) = (&may, self.upstream.clients.get_mut(&client_id)) {
            (carried.claim.is_sure, carried.claim.doubt_until) = (true, None);
        }
        may
    }

    /// Whether this router may connect for a client that is connected nowhere, in whose name the deputy speaks.
    pub(super) fn may_speak_for(&mut self, client_id: &ClientId) -> May {
        let (now, led_since) = (self.now, self.upstream.led_since);
        match self.upstream.others.holds(client_id, now, led_since) {
            Elsewhere::Yes => self.beside_another(client_id),
            Elsewhere::Until(at) => May::Not(Some(at)),
            // It may be at one that is out of reach.
            Elsewhere::No if self.upstream.others.has_silent(now) => May::Not(Some(now + LET_GO)),
            Elsewhere::No => self.claim(client_id),
        }
    }

    /// Another router has a connection in its name, or is about to. Of two that are,
    /// the one of the lower id goes first.
    fn beside_another(&mut self, client_id: &ClientId) -> May {
        if !self.upstream.others.all_above(self.origin.router, client_id) {
            self.withdraw_claim(client_id);
        }
        May::Not(None)
    }

    /// Without a connection nothing is claimed from here any more.
    fn withdraw_claim(&mut self, client_id: &ClientId) {
        let carried = self.upstream.clients.get_mut(client_id).filter(|carried| carried.line.is_none());
        if carried.is_some_and(|carried| carried.claim.withdraw()) {
            self.tell_upstream_soon();
        }
    }

    /// Claims the id, if that has not been done.
    fn claim(&mut self, client_id: &ClientId) -> May {
        let now = self.now;
        if self.is_alone() {
            return May::Yes;
        }
        if let Some(until) = self.upstream.others.unheard_until(now) {
            return May::Not(Some(until));
        }
        let changed_at = self.upstream.others.came_at;
        // Beacons pass where connections do not yet: who is heard by them alone has not
        // told what it has done while it was out of reach.
        if now < changed_at + LINGER && self.has_unconnected_neighbour() {
            return May::Not(Some(now + SETTLE));
        }
        let carried = self.upstream.clients.entry(client_id.clone()).or_default();
        if !carried.claim.stands() && !self.has_place_there(client_id) {
            return May::Not(Some(now + RETRY_MAX));
        }
        let carried = self.upstream.clients.entry(client_id.clone()).or_default();
        let (stood, told) = (std::mem::replace(&mut carried.claim.stands, true), carried.claim.told);
        if !stood {
            self.tell_upstream_soon();
        }
        let due = changed_at + SETTLE;
        if now < due {
            return May::Not(Some(due));
        }
        let Some(told) = told else { return May::Not(None) };
        let (me, others) = (self.origin, &self.upstream.others);
        let is_heard = |deputy| deputy == me.router || others.has_heard(deputy, &me, told);
        if self.deputy().is_some_and(is_heard) { May::Yes } else { May::Not(None) }
    }

    /// There is nobody to ask, nor has there been, nor does anybody seem to come.
    fn is_alone(&self) -> bool {
        self.mesh.is_none() || self.upstream.others.are_none() && !self.a_peer_may_appear()
    }

    /// While a router is out of reach: until when a client has to show life. It
    /// is asked for it.
    fn lease_of(&mut self, key: SessionKey) -> Option<Time> {
        let now = self.now;
        let missing_since = self.upstream.others.missing_since(now)?;
        if mutated!(self.settings, LeaseForgotten) {
            return None;
        }
        let link = self.sessions[key].link.as_ref()?;
        let (heard_at, asked_at) = (link.heard_at, link.probe.map(|(_, at)| at));
        let ask_at = heard_at.max(asked_at.unwrap_or(Time::ZERO)) + ASKED_EVERY;
        if ask_at <= now {
            self.probe(key);
        }
        let client_id = self.sessions[key].client_id.clone();
        // One that was quiet before nobody asked it is asked twice first.
        let lapses_at = (heard_at + LEASE).max(missing_since + 2 * ASKED_EVERY);
        let again_at = if ask_at > now { ask_at } else { now + ASKED_EVERY };
        self.wake_at(&client_id, if lapses_at > now { again_at.min(lapses_at) } else { again_at });
        Some(lapses_at)
    }
}

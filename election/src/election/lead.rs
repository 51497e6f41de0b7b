//! What follows from the map: members and their flaps, deputy and
//! coordinator, terms of leading.

use alloc::vec::Vec;

use super::Election;
use super::flood::digest_part;
use crate::api::{Output, Role, View};
use crate::bits::Bits;
use crate::config::mutated;
use crate::epoch::{EPOCH_BLOCK, Epoch, NUMBER_MAX, NUMBERS};
use crate::id::RouterId;
use crate::map::{Coordinator, Decision};
use crate::record::{Record, Report};
use crate::time::Time;

/// Epochs: what was seen, what may be used, what is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Term {
    /// The highest known.
    pub(super) seen: Option<Epoch>,
    /// The one in which this router leads.
    pub(super) own: Option<Epoch>,
    /// What the own record says of `seen`: only what a leader does not know.
    pub(super) published: Option<Epoch>,
    /// Used by this router, or maybe used before it restarted.
    floor: u64,
    /// To be reserved on flash.
    pub(super) reserved: u64,
    /// Reserved by the write that is under way.
    pub(super) written: u64,
    /// Reserved for certain.
    pub(super) usable: u64,
}

impl Term {
    pub(super) fn new(saved_ceiling: u64) -> Self {
        Self {
            seen: None,
            own: None,
            published: None,
            floor: saved_ceiling,
            reserved: saved_ceiling,
            written: saved_ceiling,
            usable: saved_ceiling,
        }
    }

    fn highest(&self) -> u64 {
        self.seen.map_or(0, |seen| seen.number).max(self.floor)
    }
}

impl Election {
    /// Decides anew after the map has changed.
    pub(super) fn decide(&mut self, now: Time) {
        let members = self.count_members(now);
        let mut decision = self.map.decide_among(members);
        if self.config.leaf && self.is_ready() {
            // It is the main server itself, and no segment's deputy.
            decision.coordinator = Coordinator::DefaultServer;
        }
        self.counters.decisions += 1;
        if self.inherit_report(now, &decision) {
            // The deputy says something else than it just did: once more with that.
            return;
        }
        self.take_term(&decision);
        self.relay();
        self.ask_for_list(now);
        self.publish(&decision);
    }

    /// Who belongs to the component, who has come, who has gone; its digest.
    /// The members' slots.
    fn count_members(&mut self, now: Time) -> Bits {
        let members = self.map.members(self.me);
        let mut digest: u64 = 0;
        let mut present = members.iter().map(|slot| &self.map.records()[slot]).peekable();
        let alone_before = !self.peers.iter().any(|peer| peer.member);
        let (mut joined, mut gone): (Vec<RouterId>, Vec<RouterId>) = (Vec::new(), Vec::new());
        let mut highest: Option<Epoch> = None;
        for peer in self.peers.iter_mut() {
            // Both are sorted by id.
            while let Some(record) = present.next_if(|record| record.origin < peer.id) {
                digest = digest.wrapping_add(digest_part(record));
            }
            let found = present.next_if(|record| record.origin == peer.id);
            digest = digest.wrapping_add(found.map_or(0, digest_part));
            let member = found.is_some();
            highest = highest.max(found.and_then(|record| record.epoch().max(record.seen)));
            if member && peer.departed {
                let held = peer.flap(now, &self.config);
                self.counters.hold_downs += u64::from(held);
                self.deadline = if held { self.deadline.min(peer.held_until) } else { self.deadline };
                self.own_changed = true;
            }
            if member && !peer.member {
                joined.push(peer.id);
            }
            if !member && peer.member {
                peer.departed = true;
                peer.absent_since = now;
                // Others have lost it: what it said before is not true when it
                // comes back. But what it says itself of its loss is news to others.
                if !peer.hears && peer.revision == peer.member_revision {
                    peer.forget_record();
                    gone.push(peer.id);
                }
            }
            peer.member = member;
            if member {
                peer.member_revision = peer.revision;
            }
        }
        for record in present {
            digest = digest.wrapping_add(digest_part(record));
        }
        self.digest = digest;
        // Epochs of members only: a leader that is merely overheard, on a link
        // that works one way, is another component's, and the two would
        // outnumber each other for ever.
        self.see_epoch(highest);
        self.forget_records(&gone);
        // Two components have met: each learns at once whom the other holds.
        // Where a whole room starts, a few tell it all; digests do the rest.
        if !alone_before {
            let met = joined.into_iter().filter(|id| self.map.two_way(self.me, *id));
            let met: Vec<RouterId> = met.take(usize::from(self.summaries_left)).collect();
            self.summaries_left -= met.len() as u8;
            met.iter().for_each(|id| self.summarise(*id));
        }
        // Whoever was taken off the map has moved the slots of the others.
        if gone.is_empty() { members } else { self.map.members(self.me) }
    }

    /// Takes records off the map whose peers have forgotten them.
    pub(super) fn forget_records(&mut self, gone: &[RouterId]) {
        if !mutated!(self.config, StaleDefaultServer) {
            gone.iter().for_each(|id| self.map.remove(*id));
        }
    }

    /// What the own record says of the main server.
    pub(super) fn report(&self) -> Report {
        match self.own_report {
            Some(true) => Report::Reachable,
            Some(false) => Report::Unreachable,
            None => self.inherited,
        }
    }

    /// A new deputy passes on the word of the one before for a while: nobody
    /// leads in between just because it has not looked yet. The next deputy
    /// says it beforehand, so that all see it the moment the present one goes.
    /// True if this router is the deputy and what it says has changed.
    fn inherit_report(&mut self, now: Time, decision: &Decision) -> bool {
        let before = self.report();
        if decision.deputy == Some(self.me) {
            let takes_over = self.view.deputy != Some(self.me);
            if takes_over && self.view.coordinator == Coordinator::DefaultServer {
                self.inherited = Report::Reachable;
                self.inherited_until = now + self.config.default_grace;
            }
        } else {
            let reachable = decision.coordinator == Coordinator::DefaultServer;
            let next = decision.runner_up == Some(self.me) && reachable;
            self.inherited = if next { Report::Reachable } else { Report::Unknown };
            self.inherited_until = Time::MAX;
        }
        let changed = before != self.report();
        self.own_changed |= changed;
        changed && decision.deputy == Some(self.me)
    }

    /// Begins a term if this router is to lead, ends it if not.
    fn take_term(&mut self, decision: &Decision) {
        let before = (self.term.own, self.term.published);
        if decision.coordinator == Coordinator::Router(self.me) {
            // Another partition's term may be above the own one: go beyond it,
            // or those who saw it would refuse this router's writes.
            if self.term.own.is_none() || self.term.own < self.term.seen {
                self.begin_term();
            }
        } else {
            self.term.own = None;
            if let Coordinator::Router(leader) = decision.coordinator {
                self.tell_higher_epoch(leader);
            }
        }
        self.own_changed |= before != (self.term.own, self.term.published);
    }

    fn begin_term(&mut self) {
        let number = (self.term.highest() + 1).min(NUMBER_MAX);
        let reserved = number <= self.term.usable || mutated!(self.config, EpochNotPersisted);
        let believes_all = mutated!(self.config, AllBelieved);
        let number = if believes_all { self.term.highest() + 1 } else { number };
        if reserved {
            let epoch = Epoch { number, router: self.me, incarnation: self.incarnation };
            self.term.own = Some(epoch);
            self.term.seen = Some(epoch);
            self.term.floor = number;
        }
        self.reserve_epochs();
    }

    /// Asks for the next block before the present one is used up.
    pub(super) fn reserve_epochs(&mut self) {
        let highest = self.term.highest();
        if highest + EPOCH_BLOCK / 2 >= self.term.reserved {
            self.term.reserved = highest + EPOCH_BLOCK;
            self.persist();
        }
    }

    /// A leader that does not know of a higher epoch is told by its followers.
    fn tell_higher_epoch(&mut self, leader: RouterId) {
        let leads_in = self.map.get(leader).and_then(Record::epoch);
        if leads_in.is_some() && leads_in < self.term.seen {
            self.term.published = self.term.seen;
        }
    }

    /// As much of an epoch's number as is believed when it comes in: what stands on the
    /// map is believed already, or each look at it would go on by a step.
    pub(super) fn believed_number(&self, known: u64, number: u64) -> u64 {
        let known = known.max(self.term.highest());
        if mutated!(self.config, AllBelieved) { number } else { NUMBERS.of(known, number) }
    }

    /// Notes an epoch, and keeps a block above it reserved.
    pub(super) fn see_epoch(&mut self, epoch: Option<Epoch>) {
        if epoch > self.term.seen {
            self.term.seen = epoch;
            self.reserve_epochs();
        }
    }

    /// Makes the view known if it changed.
    fn publish(&mut self, decision: &Decision) {
        let role = match decision.coordinator {
            Coordinator::None => Role::Waiting,
            Coordinator::DefaultServer => Role::Default,
            Coordinator::Router(id) if id != self.me => Role::Follower,
            Coordinator::Router(_) if self.term.own.is_some() => Role::Server,
            Coordinator::Router(_) => Role::Waiting,
        };
        let epoch = match decision.coordinator {
            Coordinator::Router(id) if id == self.me => self.term.own,
            Coordinator::Router(id) => self.map.get(id).and_then(Record::epoch),
            _ => None,
        };
        let view = View {
            role,
            coordinator: decision.coordinator,
            deputy: decision.deputy,
            epoch,
            list: self.list.version(),
            members: 1 + self.peers.iter().filter(|peer| peer.member).count() as u16,
            ready: self.is_ready(),
            held: self.map.held(self.me),
        };
        self.show(view);
    }

    fn show(&mut self, view: View) {
        if view != self.view {
            self.view = view;
            self.outputs.push_back(Output::View(view));
        }
    }

    /// Leads no more, follows no one.
    pub(super) fn stop_leading(&mut self, role: Role) {
        self.term.own = None;
        let (coordinator, deputy, epoch) = (Coordinator::None, None, None);
        self.show(View { role, coordinator, deputy, epoch, ready: false, ..self.view });
    }
}

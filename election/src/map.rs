//! The map of the mesh, and the rule that names who leads. No time in here:
//! whatever ages has been taken out of the map before.

use alloc::vec::Vec;

use crate::bits::Bits;
use crate::config::{ROUTERS_MAX, mutated};
use crate::epoch::Epoch;
use crate::id::RouterId;
use crate::list::ListVersion;
use crate::record::{Record, Report};

/// Who leads a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coordinator {
    /// No router is ready.
    None,
    /// The main server, which the deputy reaches.
    DefaultServer,
    /// This router.
    Router(RouterId),
}

/// What [`Map::decide`] finds for one router's component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Does what needs exactly one router; leads where no main server does.
    pub deputy: Option<RouterId>,
    /// Who leads.
    pub coordinator: Coordinator,
    /// Would be the deputy next.
    pub runner_up: Option<RouterId>,
}

/// Neighbours that may send on one record to the same router: a second copy
/// for the case that one is lost, no third.
const RELAY_COPIES: u32 = 2;

/// What all records say about one router, as sets of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Row {
    /// Whom its own record reports.
    says: Bits,
    /// Whose records report it.
    said_by: Bits,
    /// Whose records hold it down.
    held_by: Bits,
}

/// The newest record of each known router, sorted by id, at most
/// [`ROUTERS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Map {
    records: Vec<Record>,
    /// As long as `records`.
    rows: Vec<Row>,
    #[cfg(feature = "mutants")]
    pub(crate) mutant: Option<crate::config::Mutant>,
    #[cfg(feature = "mutants")]
    arrivals: Vec<RouterId>,
}

impl Map {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records, sorted by origin.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record of a router.
    #[must_use]
    pub fn get(&self, id: RouterId) -> Option<&Record> {
        self.slot(id).map(|slot| &self.records[slot])
    }

    /// Puts a record in the place of any other of the same origin, whichever
    /// is newer. False, and nothing done, if the map is full.
    pub fn insert(&mut self, record: Record) -> bool {
        match self.records.binary_search_by(|known| known.origin.cmp(&record.origin)) {
            Ok(slot) => {
                self.records[slot] = record;
                self.link_slot(slot);
            }
            Err(_) if self.records.len() >= ROUTERS_MAX => return false,
            Err(slot) => {
                #[cfg(feature = "mutants")]
                self.arrivals.push(record.origin);
                self.records.insert(slot, record);
                self.link_all();
            }
        }
        true
    }

    /// Forgets a router.
    pub fn remove(&mut self, id: RouterId) {
        if let Some(slot) = self.slot(id) {
            self.records.remove(slot);
            self.link_all();
        }
        #[cfg(feature = "mutants")]
        self.arrivals.retain(|known| *known != id);
    }

    /// True if both routers report the other.
    #[must_use]
    pub fn two_way(&self, a: RouterId, b: RouterId) -> bool {
        match (self.slot(a), self.slot(b)) {
            (Some(a), Some(b)) => self.two_way_of(a).contains(b),
            _ => false,
        }
    }

    /// The routers of `me`'s two-way component, sorted, `me` included; empty
    /// if `me` is not on the map.
    #[must_use]
    pub fn component(&self, me: RouterId) -> Vec<RouterId> {
        self.members(me).iter().map(|slot| self.records[slot].origin).collect()
    }

    /// True if most of a router's two-way neighbours hold it down. Only those
    /// that are ready have a voice: one that listens has not seen its flaps.
    /// Most, not any: a router with a loose cable sees all others flap.
    #[must_use]
    pub fn held(&self, id: RouterId) -> bool {
        self.slot(id).is_some_and(|slot| self.held_slot(slot))
    }

    /// Who leads `me`'s component: the same answer for each of its members.
    ///
    /// Deputy is, among those that are ready and hold the newest list of any
    /// that is ready, the first that is not held down, by place in the list,
    /// then by id; where all are held down, the first.
    #[must_use]
    pub fn decide(&self, me: RouterId) -> Decision {
        self.decide_among(self.members(me))
    }

    /// As [`decide`](Self::decide), for the component with these slots.
    pub(crate) fn decide_among(&self, members: Bits) -> Decision {
        let ready = || members.iter().filter(|slot| self.ready(&self.records[*slot]));
        let newest = ready().map(|slot| self.records[slot].list).max().unwrap_or_default();
        let (mut best, mut second) = (None, None);
        for slot in ready() {
            let Some(rank) = self.rank(slot, newest) else { continue };
            if best.is_none_or(|(first, _)| rank < first) {
                second = best;
                best = Some((rank, slot));
            } else if second.is_none_or(|(next, _)| rank < next) {
                second = Some((rank, slot));
            }
        }
        let id = |found: (_, usize)| self.records[found.1].origin;
        let coordinator = match best {
            None => Coordinator::None,
            Some(_) if self.stale_default_server() => Coordinator::DefaultServer,
            Some((_, slot)) if self.records[slot].default_server == Report::Reachable => {
                Coordinator::DefaultServer
            }
            Some(found) => Coordinator::Router(id(found)),
        };
        Decision { deputy: best.map(id), coordinator, runner_up: second.map(id) }
    }

    /// Lower is better; `None` for one without the newest list.
    fn rank(&self, slot: usize, newest: ListVersion) -> Option<(bool, u8, u32, RouterId)> {
        let record = &self.records[slot];
        if record.list != newest && !mutated!(self, ListVersionIgnored) {
            return None;
        }
        let place = record.place.unwrap_or(u8::MAX);
        Some((self.held_slot(slot), place, self.arrival(record.origin), record.origin))
    }

    fn ready(&self, record: &Record) -> bool {
        let leaving = record.leaving && !mutated!(self, LeaveIgnored);
        record.ready && !leaving && !record.leaf
    }

    fn held_slot(&self, slot: usize) -> bool {
        let row = &self.rows[slot];
        if row.held_by == Bits::default() {
            return false;
        }
        let voters = self.two_way_of(slot).iter().filter(|voter| self.records[*voter].ready);
        let (mut all, mut against) = (0, 0);
        for voter in voters {
            all += 1;
            against += u32::from(row.held_by.contains(voter));
        }
        against * 2 > all
    }

    #[cfg(feature = "mutants")]
    fn arrival(&self, id: RouterId) -> u32 {
        let known = || self.arrivals.iter().position(|known| *known == id).unwrap_or(0) as u32;
        if mutated!(self, TieByArrival) { known() } else { 0 }
    }

    #[cfg(not(feature = "mutants"))]
    fn arrival(&self, _: RouterId) -> u32 {
        0
    }

    fn stale_default_server(&self) -> bool {
        mutated!(self, StaleDefaultServer)
            && self.records.iter().any(|record| record.default_server == Report::Reachable)
    }

    /// Where a router stands in `records`.
    pub(crate) fn slot(&self, id: RouterId) -> Option<usize> {
        self.records.binary_search_by(|record| record.origin.cmp(&id)).ok()
    }

    /// Slots of the routers that a slot has a two-way link with.
    pub(crate) fn two_way_of(&self, slot: usize) -> Bits {
        let row = &self.rows[slot];
        if mutated!(self, OneWayTrusted) {
            return row.says.union(&row.said_by);
        }
        row.says.both(&row.said_by)
    }

    /// Slots of `me`'s component. A leaf belongs to it, but nothing beyond does.
    pub(crate) fn members(&self, me: RouterId) -> Bits {
        let Some(start) = self.slot(me) else { return Bits::default() };
        let mut members = Bits::one(start);
        let mut frontier = members;
        while frontier != Bits::default() {
            let mut next = Bits::default();
            for slot in frontier.iter().filter(|slot| !self.records[*slot].leaf) {
                next = next.union(&self.two_way_of(slot));
            }
            frontier = next.without(&members);
            members = members.union(&frontier);
        }
        members
    }

    /// Slots to which `me` sends on what it has from `origin`: neighbours
    /// that do not hear the origin themselves, unless enough others with
    /// lower ids, which hear it, can tell them.
    pub(crate) fn relay_targets(&self, me: RouterId, origin: RouterId) -> Bits {
        let (Some(me), Some(origin)) = (self.slot(me), self.slot(origin)) else {
            return Bits::default();
        };
        let mut targets = self.two_way_of(me);
        if mutated!(self, RelayToEveryone) {
            return targets;
        }
        if self.records[me].leaf || mutated!(self, RelayNone) {
            return Bits::default();
        }
        let hear_it = self.rows[origin].said_by;
        targets = targets.without(&hear_it);
        targets.remove(origin);
        for target in targets.iter() {
            let tellers = self.two_way_of(target).both(&hear_it);
            let before_me = tellers.iter().take_while(|teller| *teller < me).count();
            if before_me as u32 >= RELAY_COPIES {
                targets.remove(target);
            }
        }
        targets
    }

    /// Neighbours of `me` that report to hear `target`: whom to ask about it.
    pub(crate) fn helpers(&self, me: RouterId, target: RouterId) -> Bits {
        match (self.slot(me), self.slot(target)) {
            (Some(me), Some(target)) => self.two_way_of(me).both(&self.rows[target].said_by),
            _ => Bits::default(),
        }
    }

    /// Brings the sets up to date with one record whose links may have changed.
    fn link_slot(&mut self, slot: usize) {
        for row in &mut self.rows {
            row.said_by.remove(slot);
            row.held_by.remove(slot);
        }
        self.rows[slot].says = Bits::default();
        let record = &self.records[slot];
        // Both are sorted: one walk over the two finds all that is known.
        let mut others = self.records.iter().enumerate().peekable();
        for link in &record.links {
            while others.next_if(|(_, other)| other.origin < link.to).is_some() {}
            let Some((to, _)) = others.next_if(|(_, other)| other.origin == link.to) else { continue };
            self.rows[slot].says.insert(to);
            self.rows[to].said_by.insert(slot);
            if link.held {
                self.rows[to].held_by.insert(slot);
            }
        }
    }

    /// Slots have moved: everything anew. Rare, only when a router comes or goes.
    fn link_all(&mut self) {
        self.rows.clear();
        self.rows.resize(self.records.len(), Row::default());
        (0..self.records.len()).for_each(|slot| self.link_slot(slot));
    }
}

impl Record {
    /// The term of leading that the record reports.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        let epoch = Epoch { number: self.leading, router: self.origin, incarnation: self.incarnation };
        (self.leading > 0).then_some(epoch)
    }
}

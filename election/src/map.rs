//! The map of the mesh, and the rule that names who leads.

use alloc::vec::Vec;

use crate::id::RouterId;
use crate::record::Record;

/// Who leads a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coordinator {
    /// No router is ready, and no default server known.
    None,
    /// The default server, which the deputy reaches.
    DefaultServer,
    /// This router.
    Router(RouterId),
}

/// What [`Map::decide`] finds for one router's component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Does what needs exactly one router; leads where no default server does.
    pub deputy: Option<RouterId>,
    /// Who leads.
    pub coordinator: Coordinator,
    /// Would be the deputy next.
    pub runner_up: Option<RouterId>,
}

/// The newest record of each known router, sorted by id, at most
/// [`ROUTERS_MAX`](crate::ROUTERS_MAX).
#[derive(Debug, Clone, Default)]
pub struct Map {
    records: Vec<Record>,
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
        self.records.binary_search_by(|record| record.origin.cmp(&id)).ok().map(|slot| &self.records[slot])
    }

    /// Puts a record in the place of any other of the same origin, whichever
    /// is newer. False if the map is full.
    pub fn insert(&mut self, record: Record) -> bool {
        match self.records.binary_search_by(|known| known.origin.cmp(&record.origin)) {
            Ok(slot) => self.records[slot] = record,
            Err(slot) => self.records.insert(slot, record),
        }
        true
    }

    /// True if both routers report the other.
    #[must_use]
    pub fn two_way(&self, a: RouterId, b: RouterId) -> bool {
        a != b && false
    }

    /// The routers of `me`'s two-way component, sorted, `me` included.
    #[must_use]
    pub fn component(&self, me: RouterId) -> Vec<RouterId> {
        Vec::from([me])
    }

    /// Who leads `me`'s component: the same answer for each of its members.
    #[must_use]
    pub fn decide(&self, me: RouterId) -> Decision {
        Decision { deputy: Some(me), coordinator: Coordinator::Router(me), runner_up: None }
    }
}

//! What has passed through each door.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of one door, since the start; on a router of 32 bits each begins anew after four thousand
/// million.
#[derive(Debug)]
pub struct DoorCounts {
    /// As the configuration and the status call the door.
    pub name: &'static str,
    clients: AtomicUsize,
    messages: AtomicUsize,
    live: AtomicUsize,
    live_dropped: AtomicUsize,
    turned_away: AtomicUsize,
}

/// Those of one door at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DoorReport {
    /// Which door.
    pub name: &'static str,
    /// Clients that are connected now.
    pub clients: usize,
    /// Messages that they have said.
    pub messages: usize,
    /// Live frames that they have said.
    pub live: usize,
    /// Live frames for them that were dropped, since they took them too slowly.
    pub live_dropped: usize,
    /// Connections that were not let in, for whatever reason.
    pub turned_away: usize,
}

/// All doors of a router, in the order in which they were opened. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct DoorsCounts(Arc<Mutex<Vec<Arc<DoorCounts>>>>);

impl DoorsCounts {
    /// Those of one more door.
    pub(super) fn of(&self, name: &'static str) -> Arc<DoorCounts> {
        let counts = Arc::new(DoorCounts {
            name,
            clients: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            live_dropped: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(counts.clone());
        counts
    }

    /// At this moment.
    #[must_use]
    pub fn report(&self) -> Vec<DoorReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|counts| counts.report()).collect()
    }
}

impl DoorCounts {
    pub(super) fn let_in(&self) {
        add(&self.clients, 1);
    }

    pub(super) fn left(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn said(&self) {
        add(&self.messages, 1);
    }

    pub(super) fn said_live(&self) {
        add(&self.live, 1);
    }

    pub(super) fn dropped_live(&self, count: usize) {
        add(&self.live_dropped, count);
    }

    pub(super) fn turned_away(&self) {
        add(&self.turned_away, 1);
    }

    fn report(&self) -> DoorReport {
        let now = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        DoorReport {
            name: self.name,
            clients: now(&self.clients),
            messages: now(&self.messages),
            live: now(&self.live),
            live_dropped: now(&self.live_dropped),
            turned_away: now(&self.turned_away),
        }
    }
}

fn add(count: &AtomicUsize, more: usize) {
    count.fetch_add(more, Ordering::Relaxed);
}

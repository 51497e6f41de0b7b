//! What goes wrong in a run, as data: a list of faults with their times, drawn
//! from the seed before anything happens. A fault can be left out without
//! moving the others, which is how a failing run is shrunk to what matters.
//!
//! Knows the engine's network, nothing of elections.

mod describe;
mod generate;
mod words;

use fau3_election::Time;

use crate::engine::{Network, NodeSet, Quality};

pub use describe::{lane_of, set_text};
pub use generate::{FaultOptions, generate};
pub use words::{extreme, words};

/// One fault, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub from: Time,
    /// When it is over; after it the node or link is healthy again.
    pub until: Time,
    /// What it is.
    pub kind: FaultKind,
}

/// What a router finds on its flash when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What it wrote last.
    Kept,
    /// Nothing.
    Lost,
    /// A backup made some time before: old counter, old epochs, old list.
    Backup,
    /// Its newest counters, but the list that it had at its first start.
    OldList,
}

/// Everything that can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Links that lose, repeat, reorder or delay.
    Rough {
        /// Senders.
        from: NodeSet,
        /// Receivers.
        to: NodeSet,
        /// How bad.
        quality: Quality,
    },
    /// Connections between two sets carry little; datagrams pass as ever.
    Slow {
        /// One side.
        from: NodeSet,
        /// The other one.
        to: NodeSet,
        /// What they carry, in bytes a millisecond.
        rate: u32,
    },
    /// Nothing passes from one set to the other, nor back if `both`.
    Cut {
        /// Senders.
        from: NodeSet,
        /// Receivers.
        to: NodeSet,
        /// Both directions.
        both: bool,
    },
    /// Only the links of a drawn graph are left: a ring, a bridge, anything.
    Shape {
        /// How people call it.
        name: &'static str,
        /// For each node whom it still reaches.
        reaches: Vec<NodeSet>,
    },
    /// A cut that comes and goes.
    Flap {
        /// One side.
        from: NodeSet,
        /// The other one.
        to: NodeSet,
        /// Cut for so long, then open for so long, in ms.
        period_ms: u32,
    },
    /// The process stands still and runs in turns; what arrives meanwhile waits.
    Stall {
        /// Who.
        node: usize,
        /// Standing still, in ms.
        frozen_ms: u32,
        /// Running, in ms.
        running_ms: u32,
    },
    /// Down, and started again at the end.
    Crash {
        /// Who.
        node: usize,
        /// Power loss (true): no connection is closed. Else the kernel closes all.
        silent: bool,
        /// What it comes back with.
        disk: Disk,
    },
    /// The same router crashes again and again: down half of each period.
    CrashLoop {
        /// Who.
        node: usize,
        /// From start to start, in ms.
        period_ms: u32,
    },
    /// Says goodbye, and is started again at the end.
    Leave {
        /// Who.
        node: usize,
    },
    /// Not there from the beginning: joins at the end, with an empty flash.
    Absent {
        /// Who.
        node: usize,
    },
    /// A second machine with this router's identity (key copied) runs meanwhile;
    /// at the end people take it away and restart the router.
    Clone {
        /// Whose.
        node: usize,
    },
    /// Runs under another router's name; restarted at beginning and end.
    SameName {
        /// Who.
        node: usize,
        /// Whose name it has.
        as_of: usize,
    },
    /// Somebody who has the key of the mesh says numbers at the bounds of what is
    /// read, in this router's name and over its connections.
    Words {
        /// In whose name.
        node: usize,
    },
    /// Its clock runs wrong for the whole run.
    ClockError {
        /// Who.
        node: usize,
        /// Parts a million, fast if positive.
        ppm: i32,
    },
    /// These routers do not reach the main server.
    DefaultServer {
        /// Who.
        nodes: NodeSet,
    },
    /// People change the list in the UCI files, one router after the other,
    /// from the beginning to the end.
    ListConfigured {
        /// The new order, highest priority first.
        order: Vec<usize>,
    },
    /// The main server has a new list; the deputy fetches it.
    ListFetched {
        /// The new order, highest priority first.
        order: Vec<usize>,
    },
}

impl Fault {
    /// True while it does something to the network or to a process's speed.
    #[must_use]
    pub fn active(&self, now: Time) -> bool {
        if now < self.from || now >= self.until {
            return false;
        }
        let turn = now.as_micros() - self.from.as_micros();
        match self.kind {
            FaultKind::Flap { period_ms, .. } => (turn / (u64::from(period_ms) * 1_000)).is_multiple_of(2),
            FaultKind::Stall { frozen_ms, running_ms, .. } => {
                turn % (u64::from(frozen_ms + running_ms) * 1_000) < u64::from(frozen_ms) * 1_000
            }
            FaultKind::CrashLoop { period_ms, .. } => {
                turn % (u64::from(period_ms) * 1_000) < u64::from(period_ms) * 500
            }
            _ => true,
        }
    }

    /// The next moment after `now` at which `active` may change.
    #[must_use]
    pub fn next_change(&self, now: Time) -> Option<Time> {
        if now < self.from {
            return Some(self.from);
        }
        if now >= self.until {
            return None;
        }
        let turn = now.as_micros() - self.from.as_micros();
        let to_next = |period_us: u64| period_us - turn % period_us;
        let ahead = match self.kind {
            FaultKind::Flap { period_ms, .. } => to_next(u64::from(period_ms) * 1_000),
            FaultKind::Stall { frozen_ms, running_ms, .. } => {
                let (frozen, cycle) =
                    (u64::from(frozen_ms) * 1_000, u64::from(frozen_ms + running_ms) * 1_000);
                if turn % cycle < frozen { frozen - turn % cycle } else { to_next(cycle) }
            }
            FaultKind::CrashLoop { period_ms, .. } => to_next(u64::from(period_ms) * 500),
            _ => return Some(self.until),
        };
        Some(Time::from_micros(now.as_micros() + ahead).min(self.until))
    }

    /// Does to the network what the fault does to it.
    pub fn apply(&self, network: &mut Network) {
        match &self.kind {
            FaultKind::Rough { from, to, quality } => network.worsen(*from, *to, *quality),
            FaultKind::Cut { from, to, both } => {
                network.cut(*from, *to);
                if *both {
                    network.cut(*to, *from);
                }
            }
            FaultKind::Flap { from, to, .. } => {
                network.cut(*from, *to);
                network.cut(*to, *from);
            }
            FaultKind::Shape { reaches, .. } => {
                for (node, reached) in reaches.iter().enumerate() {
                    network.draw(node, *reached);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault { from: Time::from_secs(10), until: Time::from_secs(20), kind }
    }

    #[test]
    fn a_flapping_link_is_cut_and_open_in_turns() {
        let flap = fault(FaultKind::Flap { from: 1, to: 2, period_ms: 3_000 });
        let active = |second| flap.active(Time::from_secs(second));
        assert_eq!(
            [9, 10, 12, 13, 15, 16, 19, 20].map(active),
            [false, true, true, false, false, true, false, false]
        );
        assert_eq!(flap.next_change(Time::from_secs(10)), Some(Time::from_secs(13)));
        assert_eq!(flap.next_change(Time::from_secs(19)), Some(Time::from_secs(20)));
        assert_eq!(flap.next_change(Time::from_secs(20)), None);
    }

    #[test]
    fn a_stalled_process_runs_between_its_pauses() {
        let stall = fault(FaultKind::Stall { node: 0, frozen_ms: 400, running_ms: 100 });
        assert!(stall.active(Time::from_millis(10_399)) && !stall.active(Time::from_millis(10_400)));
        assert_eq!(stall.next_change(Time::from_millis(10_000)), Some(Time::from_millis(10_400)));
        assert_eq!(stall.next_change(Time::from_millis(10_400)), Some(Time::from_millis(10_500)));
    }
}

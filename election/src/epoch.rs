//! Epochs: which term of leading a write belongs to.

use core::fmt;

use crate::id::{Incarnation, RouterId};

/// Numbers reserved on flash at one time: a router writes its state file once
/// for so many terms of leading, not once for each.
pub const EPOCH_BLOCK: u64 = 1_024;

/// Greatest number of an epoch or a list that is not refused.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// Numbers that routers count on from (of epochs, lists, lives, heartbeats and records)
/// are taken in far below what anybody refuses, since what is taken in is counted on from
/// ("no word of one router may stop another one", DESIGN.md). Up to `at_once` a number
/// is believed as it stands; nobody comes there by counting. Beyond it each word moves
/// what is known by `step` at most, and never above `last`, which leaves room below what
/// is refused. Who counts on by itself goes by less than a step, so that it is followed.
#[derive(Debug, Clone, Copy)]
pub struct Belief {
    /// Believed as it stands, whatever was known.
    pub at_once: u64,
    /// By so much one word may go beyond both.
    pub step: u64,
    /// Nothing above is believed.
    pub last: u64,
}

/// Of epochs and lists. A step is more than a restart goes on by: some blocks.
pub(crate) const NUMBERS: Belief = Belief { at_once: 1 << 48, step: 4 * EPOCH_BLOCK, last: NUMBER_MAX / 2 };
/// Of what has 32 bits: lives, heartbeats, records. 17 years of heartbeats, and
/// 67 million words from there to the end.
pub(crate) const COUNTS: Belief = Belief { at_once: 1 << 31, step: 16, last: 3 << 30 };

/// A router that was lied to word by word has numbers above those believed at once, and
/// goes on above them after a restart: so far nobody comes by words (a million of them).
const SAVED_ABOVE: u64 = 1 << 32;

impl Belief {
    /// What is known once `heard` was heard: `heard` itself, or as much of it as is believed.
    #[must_use]
    pub const fn of(self, known: u64, heard: u64) -> u64 {
        let base = if known > self.at_once { known } else { self.at_once };
        let most = base.saturating_add(self.step);
        let most = if most < self.last { most } else { self.last };
        if heard < most { heard } else { most }
    }

    /// What is believed of what this router itself is said to have written before it
    /// lost its power: nobody else's word is there to go by.
    pub(crate) const fn of_saved(self, saved: u64) -> u64 {
        let by_words = self.at_once + SAVED_ABOVE;
        if saved > by_words || saved > self.last { self.at_once } else { saved }
    }

    /// As [`of`](Self::of), in 32 bits.
    pub(crate) const fn of_u32(self, known: u32, heard: u32) -> u32 {
        // What is believed is at most what was heard.
        self.of(known as u64, heard as u64) as u32
    }
}

/// One term of leading. Ordered by number first; router and incarnation tell
/// apart what two partitions numbered alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Highest number seen, plus one. At least 1.
    pub number: u64,
    /// Who leads.
    pub router: RouterId,
    /// In which of its lives.
    pub incarnation: Incarnation,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.number, self.router, self.incarnation)
    }
}

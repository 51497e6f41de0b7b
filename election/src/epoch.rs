//! Epochs: which term of leading a write belongs to.

use core::fmt;

use crate::id::{Incarnation, RouterId};

/// Numbers reserved on flash at one time: a router writes its state file once
/// for so many terms of leading, not once for each.
pub const EPOCH_BLOCK: u64 = 1_024;

/// Greatest number of an epoch or a list that is believed: others count on
/// from it, so there must be room above. Never reached by counting.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

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

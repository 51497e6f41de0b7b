use core::fmt;

use crate::epoch::COUNTS;

/// A router's identity, for as long as its key file lives: the first 16 bytes
/// of the SHA-256 of its public key. Ordered, since the lowest id decides
/// where no list does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub [u8; 16]);

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouterId({self})")
    }
}

/// One life of a router, from start to end. A part of every id that a router
/// makes, so that one which lost its disk or came back from a backup never
/// uses an id twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation {
    /// How many times this router has started: kept on flash, or the highest
    /// of its own that it hears, plus one.
    pub counter: u32,
    /// Drawn anew at each start: two lives with the same counter differ here.
    pub random: u64,
}

impl Incarnation {
    /// The life that is believed in when this one was heard of a router whose latest
    /// known was `known`: its counter is not taken in near what nobody can outbid.
    #[must_use]
    pub fn believed(self, known: Self) -> Self {
        Self { counter: COUNTS.of_u32(known.counter, self.counter), ..self }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.counter, self.random)
    }
}

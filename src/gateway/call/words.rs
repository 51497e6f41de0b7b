//! What the two ends of a call say to each other, wherever they are: through the
//! router's core, in order, to a client by its name.

use std::fmt;
use std::sync::Arc;

use fau3_election::RouterId;

use crate::wire::Origin;
use crate::wire::call::{Parameters, Username};

/// One end, as the other one addresses it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// Under a name, which others can call.
    Named(Username),
    /// A connection without a name: it may call, and is only answered.
    Nameless {
        /// Where it is.
        router: RouterId,
        /// Which of its connections, never used again.
        number: u64,
    },
}

impl Party {
    /// What the other one's client sees; empty for one without a name.
    #[must_use]
    pub fn shown(&self) -> &[u8] {
        match self {
            Self::Named(name) => name.as_str().as_bytes(),
            Self::Nameless { .. } => &[],
        }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => fmt::Debug::fmt(name, f),
            Self::Nameless { router, number } => write!(f, "{router:?}#{number}"),
        }
    }
}

/// One call, never a second time: the life of the caller's router, and a count there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The caller's router.
    pub origin: Origin,
    /// Counts up from 1.
    pub number: u64,
}

/// What one end says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Of which.
    pub call: CallId,
    /// What.
    pub says: Says,
}

/// See [`Signal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// It calls.
    Offer {
        /// How it wants the audio.
        parameters: Parameters,
        /// As its client sent it.
        data: Box<[u8]>,
    },
    /// Not like this, but like that.
    Wishes {
        /// That.
        parameters: Parameters,
        /// As its client sent it.
        data: Box<[u8]>,
    },
    /// It takes the call as it was offered last.
    Accepted(Box<[u8]>),
    /// It does not.
    Refused(Box<[u8]>),
    /// The call is over.
    Ended(Box<[u8]>),
    /// Nobody here has that name.
    NoSuchUser,
}

impl Says {
    /// Whether nothing more is said of the call after it.
    #[must_use]
    pub const fn ends_it(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Ended(_) | Self::NoSuchUser)
    }

    /// What it is answered with where nobody has the name that it is said to.
    #[must_use]
    pub fn to_nobody(&self) -> Option<Self> {
        match self {
            Self::Offer { .. } => Some(Self::NoSuchUser),
            says if says.ends_it() => None,
            _ => Some(Self::Ended(b"lost"[..].into())),
        }
    }
}

/// What an end asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Tell the other end, in order; what cannot be handed over comes back.
    Signal(Party, Signal),
    /// Audio for the other end, now or not at all.
    Live(Party, CallId, Arc<[u8]>),
}

//! The timers, why each has its value, and the bounds that follow from them.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::list::ServerEntry;

/// Most routers known at one time, this one included. Those beyond it are
/// refused with [`Warning::TableFull`](crate::Warning::TableFull).
pub const ROUTERS_MAX: usize = 256;

/// What a router is told about itself and the mesh. All routers of a mesh
/// should have the same timers; a difference of 5 % (clocks) does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// The name by which ExtraServers lists know this router; cut to
    /// [`NAME_MAX_BYTES`](crate::NAME_MAX_BYTES).
    pub name: String,
    /// Time between two heartbeats. 250 ms: seven of them fit into the
    /// detection time, which is what makes random loss harmless.
    pub beacon: Duration,
    /// Heartbeats missed in a row before others are asked for signs of life.
    /// Three: at 10 % loss that is one link in a thousand at any moment.
    pub missed_weak: u32,
    /// Intervals of silence, direct and through others, before a link is
    /// gone. Seven: a silent death is seen 1.5 to 1.75 s after it.
    pub missed_gone: u32,
    /// Least time between two floods of this router's own record. A fifth of
    /// an interval: a burst of changes becomes one datagram, a single change
    /// waits for nothing.
    pub flood_gap: Duration,
    /// Hold-down after the second flap; each further one doubles it.
    /// Four seconds: longer than listening and joining take together.
    pub hold_base: Duration,
    /// Longest hold-down. One minute: people who mended a cable do not wait longer.
    pub hold_max: Duration,
    /// Quiet time after which a router's flaps are forgotten. Twice the
    /// longest hold-down, so that a slow flapper is still remembered.
    pub hold_forget: Duration,
    /// How long a new deputy believes its predecessor's word about the
    /// main server while it has none of its own. Four checks of 250 ms.
    pub default_grace: Duration,
    /// True for a main server that is a fau3 node of several segments: it
    /// never leads, never relays, and no component extends through it.
    pub leaf: bool,
    /// The ExtraServers list of the UCI file (version number 0), highest
    /// priority first; beyond [`LIST_MAX_ENTRIES`](crate::LIST_MAX_ENTRIES) cut.
    pub list: Vec<ServerEntry>,
    /// The wrong variant to run, for checks that must catch it.
    #[cfg(feature = "mutants")]
    pub mutant: Option<Mutant>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            beacon: Duration::from_millis(250),
            missed_weak: 3,
            missed_gone: 7,
            flood_gap: Duration::from_millis(50),
            hold_base: Duration::from_secs(4),
            hold_max: Duration::from_secs(60),
            hold_forget: Duration::from_secs(120),
            default_grace: Duration::from_secs(1),
            leaf: false,
            list: Vec::new(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}

impl Config {
    /// Silence after which a link is weak and others are asked about it.
    #[must_use]
    pub fn weak_after(&self) -> Duration {
        // Half an interval late is jitter, not a miss.
        self.beacon * self.missed_weak + self.beacon / 2
    }

    /// Detection time: silence after which a router that no other hears
    /// either is gone. Also how long a router listens after its start.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.beacon * self.missed_gone
    }

    /// Longest time for which a link stays reported on the word of others
    /// alone (they still hear the router, this one does not).
    #[must_use]
    pub fn vouched_max(&self) -> Duration {
        self.detection() * 2
    }

    /// From a router's silent death until another leads, without loss:
    /// detection, and one interval for a flood that waits its turn.
    #[must_use]
    pub fn failover_max(&self) -> Duration {
        self.detection() + self.beacon
    }

    /// From a closed connection until another leads, without loss.
    #[must_use]
    pub fn closed_max(&self) -> Duration {
        self.beacon
    }

    /// From the heal of a partition until one of the two leaders has given
    /// up, without loss: a heartbeat crosses, both ends flood, both sides compare.
    #[must_use]
    pub fn heal_max(&self, hops: u32) -> Duration {
        self.beacon * 3 + self.flood_gap * (hops + 2)
    }

    /// From the start of the better router until it leads, the first time:
    /// listening, then one flood.
    #[must_use]
    pub fn hand_back_max(&self, hops: u32) -> Duration {
        self.detection() + self.heal_max(hops)
    }

    /// From the last change of anything until all routers of a component
    /// that is `hops` wide agree and one leads. Hold-down may still keep the
    /// best entry from leading: for that add [`hold_max`](Self::hold_max).
    #[must_use]
    pub fn converged_max(&self, hops: u32) -> Duration {
        self.vouched_max() + self.hand_back_max(hops) + self.beacon * 2
    }
}

/// True if the wrong variant `$mutant` is to run. Without the feature it is
/// the constant `false`, and the variant does not exist.
#[cfg(feature = "mutants")]
macro_rules! mutated {
    ($config:expr, $mutant:ident) => {
        $config.mutant == Some($crate::config::Mutant::$mutant)
    };
}
#[cfg(not(feature = "mutants"))]
macro_rules! mutated {
    ($config:expr, $mutant:ident) => {{
        let _ = &$config;
        false
    }};
}
pub(crate) use mutated;

/// Wrong variants of the rules, one at a time; each must be caught by a check.
#[cfg(feature = "mutants")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// A link counts if one end reports it.
    OneWayTrusted,
    /// Ready at once after a start.
    NoListening,
    /// Flaps are never held against a router.
    NoHoldDown,
    /// A hold-down never ends.
    EndlessHoldDown,
    /// Places count even in an old list.
    ListVersionIgnored,
    /// Sequence and revision are compared without the incarnation.
    IncarnationIgnored,
    /// Epochs begin at what is heard, not above the saved ceiling.
    EpochNotPersisted,
    /// A leaving router still counts as ready.
    LeaveIgnored,
    /// Records are relayed to everyone, those who heard the origin included.
    RelayToEveryone,
    /// Records are never relayed.
    RelayNone,
    /// Equal candidates: the one known first wins.
    TieByArrival,
    /// Any record's word about the main server counts, however old.
    StaleDefaultServer,
    /// Numbers are believed up to what others refuse.
    AllBelieved,
    /// Heartbeats in its name stop a router, without a connection that proves them.
    CloneByWords,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::OneWayTrusted,
        Self::NoListening,
        Self::NoHoldDown,
        Self::EndlessHoldDown,
        Self::ListVersionIgnored,
        Self::IncarnationIgnored,
        Self::EpochNotPersisted,
        Self::LeaveIgnored,
        Self::RelayToEveryone,
        Self::RelayNone,
        Self::TieByArrival,
        Self::StaleDefaultServer,
        Self::AllBelieved,
        Self::CloneByWords,
    ];

    /// True if it shows only where somebody says what is not so.
    #[must_use]
    pub const fn is_of_words(self) -> bool {
        matches!(self, Self::AllBelieved | Self::CloneByWords)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_timers_keep_what_is_promised() {
        let config = Config::default();
        let ms = Duration::from_millis;
        assert_eq!(config.detection(), ms(1_750));
        assert!(config.failover_max() <= ms(2_200));
        assert!(config.closed_max() <= ms(400));
        assert!(config.heal_max(1) <= ms(1_000));
        assert!(config.hand_back_max(1) <= ms(3_000));
        assert!(config.weak_after() < config.detection() && config.detection() < config.vouched_max());
        assert!(config.hold_forget > config.hold_max, "a slow flapper is remembered");
    }
}

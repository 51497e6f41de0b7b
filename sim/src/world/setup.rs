use std::time::Duration;

use fau3_election::{Config, RouterId, ServerEntry, Time};

use crate::engine::{Delay, NODES_MAX, Quality, Random};
use crate::faults::{Fault, FaultOptions, generate, words};

/// The ExtraServers list with which all routers begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// None: the lowest id leads.
    None,
    /// Routers by their names, highest priority first.
    Names(Vec<usize>),
    /// Routers by name and identity.
    Ids(Vec<usize>),
}

/// Everything that a run depends on. Two runs with equal setups are equal.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where all random numbers come from.
    pub seed: u64,
    /// How many routers: with the place for a clone, at most [`NODES_MAX`];
    /// 64 of them leave no place for one.
    pub routers: usize,
    /// Timers (and the wrong variant, if one is to run).
    pub config: Config,
    /// The list at the beginning.
    pub list: List,
    /// Whether there is a main server at all.
    pub default_server: bool,
    /// What links do where no fault is.
    pub base: Quality,
    /// How long flash takes, in microseconds.
    pub flash: Flash,
    /// Routers start within this time from the beginning, in ms.
    pub start_spread_ms: u64,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// All faults are over by then.
    pub fault_phase: Duration,
    /// So long a healthy mesh must converge and stay so.
    pub quiet_phase: Duration,
    /// Whether the invariants look.
    pub checked: bool,
}

/// How long a write to flash takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flash(pub Delay);

impl Flash {
    pub(crate) fn draw_span(self, random: &mut Random) -> Duration {
        Duration::from_micros(self.0.draw(random))
    }
}

impl Setup {
    /// Five routers, 540 s with faults and 120 s without, all of it drawn from
    /// the seed: what `run`, `sweep` and `replay` run.
    #[must_use]
    pub fn from_seed(seed: u64, config: &Config) -> Self {
        Self::drawn(seed, 5, config, &FaultOptions::default())
    }

    /// As [`from_seed`](Self::from_seed), with another size and other faults.
    #[must_use]
    pub fn drawn(seed: u64, routers: usize, config: &Config, options: &FaultOptions) -> Self {
        let mut random = Random::new(seed).child(100);
        let mut order: Vec<usize> = (0..routers).collect();
        random.shuffle(&mut order);
        let list = match random.below(4) {
            0 => List::None,
            1 => List::Ids(order),
            _ => List::Names(order),
        };
        let fault_phase = Duration::from_secs(540);
        Self {
            list,
            default_server: random.chance(500_000),
            faults: generate(options, routers, Time::ZERO + fault_phase, random.child(1)),
            fault_phase,
            quiet_phase: Duration::from_secs(120),
            checked: true,
            ..Self::healthy(seed, routers, config)
        }
    }

    /// With somebody who says extreme numbers besides.
    #[must_use]
    pub fn with_words(mut self) -> Self {
        let random = Random::new(self.seed).child(101);
        self.faults.extend(words(self.routers, Time::ZERO + self.fault_phase, random));
        self
    }

    /// Routers that nothing happens to, without a list or a main server;
    /// for measurements, which add what they need.
    #[must_use]
    pub fn healthy(seed: u64, routers: usize, config: &Config) -> Self {
        Self {
            seed,
            routers,
            config: config.clone(),
            list: List::None,
            default_server: false,
            base: Quality::HEALTHY,
            flash: Flash(Delay::LongTail { min: 500, max: 8_000, tail_ppm: 20_000, tail_max: 60_000 }),
            start_spread_ms: 2_000,
            faults: Vec::new(),
            fault_phase: Duration::ZERO,
            quiet_phase: Duration::from_secs(60),
            checked: false,
        }
    }

    /// When the run is over.
    #[must_use]
    pub fn end(&self) -> Time {
        Time::ZERO + self.fault_phase + self.quiet_phase
    }

    /// Places for machines: one more than routers, for a clone, if there is room.
    pub(crate) fn places(&self) -> usize {
        (self.routers + 1).min(NODES_MAX)
    }

    /// A router's identity: drawn, so that the order of ids is not that of numbers.
    pub(crate) fn id_of(&self, node: usize) -> RouterId {
        let mut random = Random::new(self.seed).child(1_000 + node as u64);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&random.bits().to_be_bytes());
        id[8..].copy_from_slice(&random.bits().to_be_bytes());
        RouterId(id)
    }

    /// The entries of a list that puts the routers in this order.
    pub(crate) fn entries(&self, order: &[usize]) -> Vec<ServerEntry> {
        let with_id = matches!(self.list, List::Ids(_));
        let entry =
            |node: &usize| ServerEntry { name: name_of(*node), id: with_id.then(|| self.id_of(*node)) };
        order.iter().map(entry).collect()
    }

    pub(crate) fn first_order(&self) -> Vec<usize> {
        match &self.list {
            List::None => Vec::new(),
            List::Names(order) | List::Ids(order) => order.clone(),
        }
    }
}

/// `r0`, `r1`, ...
pub(crate) fn name_of(node: usize) -> String {
    format!("r{node}")
}

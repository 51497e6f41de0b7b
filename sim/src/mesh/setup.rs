use std::time::Duration;

use fau3::router::Settings;
use fau3_election::{Config, RouterId, ServerEntry, Time};

use super::main_node::{self, MainSetup};
use super::server::{Above, ServerSetup};
use crate::engine::{Delay, NodeSet, Random};
use crate::faults::{Fault, FaultOptions, generate, words};

/// Most routers of a run.
pub const ROUTERS_MAX: usize = 12;
/// With a main server, which is one, too.
pub(super) const NODES_MAX: usize = ROUTERS_MAX + 1;
/// Most clients of a run.
pub const CLIENTS_MAX: usize = 60;

/// Everything that a run of whole routers depends on. Two runs with equal
/// setups are equal.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where all random numbers come from.
    pub seed: u64,
    /// How many routers, at most [`ROUTERS_MAX`].
    pub routers: usize,
    /// How many clients, at most [`CLIENTS_MAX`].
    pub clients: usize,
    /// Clients that do nothing: how a failing run is shrunk to those that matter.
    pub idle: NodeSet,
    /// How many rooms.
    pub rooms: usize,
    /// What every router is configured with.
    pub settings: Settings,
    /// Timers of the election.
    pub config: Config,
    /// The ExtraServers list at the beginning, highest priority first.
    pub list: Vec<usize>,
    /// Mean time between two acts of a client, in ms.
    pub pace_ms: u64,
    /// Messages go from router to router as frames, encoded and decoded.
    pub encoded: bool,
    /// The main server, if there is one.
    pub server: Option<ServerSetup>,
    /// The main server, if the main server is a router, too.
    pub main: Option<MainSetup>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// All faults are over by then.
    pub fault_phase: Duration,
    /// After it, clients still talk and roam for so long.
    pub calm_phase: Duration,
}

/// How long a write to flash or disk takes, in microseconds.
pub(super) const FLASH: Delay = Delay::LongTail { min: 500, max: 8_000, tail_ppm: 20_000, tail_max: 60_000 };

impl Setup {
    /// Two to eight routers, now and then twelve, with clients that talk,
    /// listen and roam; all of it drawn from the seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::from_seed_with(seed, Above::default())
    }

    /// A setup drawn from the seed, with a main server or without.
    #[must_use]
    pub fn from_seed_with(seed: u64, above: Above) -> Self {
        let mut random = Random::new(seed).child(200);
        let routers = if random.chance(40_000) { ROUTERS_MAX } else { random.between(2, 8) as usize };
        let fault_phase = Duration::from_secs(random.between(30, 90));
        let clients = random.between(3, 10) as usize;
        let mut list: Vec<usize> = (0..routers).collect();
        random.shuffle(&mut list);
        list.truncate(random.below(routers as u64 + 1) as usize);
        Self {
            list,
            rooms: random.between(1, 3) as usize,
            settings: settings(&mut random),
            pace_ms: random.pick(&[500, 1_500, 1_500, 4_000]),
            // Reading and writing frames is half of a run's work.
            encoded: seed.is_multiple_of(4),
            server: (above == Above::Legacy)
                .then(|| ServerSetup::draw(random.child(2), routers, clients, Time::ZERO + fault_phase)),
            main: (above == Above::Node)
                .then(|| MainSetup::draw(random.child(3), routers, clients, Time::ZERO + fault_phase)),
            faults: faults(above, routers, Time::ZERO + fault_phase, &random),
            fault_phase,
            calm_phase: Duration::from_secs(15),
            ..Self::healthy(seed, routers, clients)
        }
    }

    /// With a router that says extreme numbers besides.
    #[must_use]
    pub fn with_words(mut self) -> Self {
        let random = Random::new(self.seed).child(201);
        self.faults.extend(words(self.routers, Time::ZERO + self.fault_phase, random));
        self
    }

    /// Sixty clients on three routers that talk, listen and roam, and in each minute an outage of the
    /// main server of 5 to 30 s.
    #[must_use]
    pub fn outages(seed: u64, above: Above, minutes: u64) -> Self {
        let (routers, clients) = (3, CLIENTS_MAX);
        let mut random = Random::new(seed).child(300);
        let mut spans = Vec::new();
        for minute in 0..minutes {
            let from = Time::from_secs(60 * minute + 15);
            spans.push((from, from + Duration::from_millis(random.between(5_000, 30_000))));
        }
        Self {
            rooms: 6,
            pace_ms: 4_000,
            encoded: false,
            server: (above == Above::Legacy).then(|| ServerSetup::with_outages(random.child(2), &spans)),
            main: (above == Above::Node).then(|| MainSetup::with_outages(random.child(3), routers, &spans)),
            fault_phase: Duration::from_secs(60 * minutes),
            ..Self::healthy(seed, routers, clients)
        }
    }

    /// Routers that nothing happens to, and clients that do what clients do.
    #[must_use]
    pub fn healthy(seed: u64, routers: usize, clients: usize) -> Self {
        Self {
            seed,
            routers,
            clients,
            idle: 0,
            rooms: 1,
            settings: Settings::default(),
            config: Config::default(),
            list: Vec::new(),
            pace_ms: 1_500,
            server: None,
            main: None,
            encoded: true,
            faults: Vec::new(),
            fault_phase: Duration::ZERO,
            calm_phase: Duration::from_secs(30),
        }
    }

    /// All routers, a main server included.
    pub(super) fn nodes(&self) -> usize {
        self.routers + usize::from(self.main.is_some())
    }

    /// A router's name.
    #[must_use]
    pub fn name_of(&self, node: usize) -> String {
        if node < self.routers { name_of(node) } else { main_node::NAME.into() }
    }

    /// A router's identity: drawn, so that the order of ids is not that of numbers.
    pub(super) fn id_of(&self, node: usize) -> RouterId {
        let mut random = Random::new(self.seed).child(1_000 + node as u64);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&random.bits().to_be_bytes());
        id[8..].copy_from_slice(&random.bits().to_be_bytes());
        RouterId(id)
    }

    /// The entries of a list that puts the routers in this order.
    pub(super) fn entries(&self, order: &[usize]) -> Vec<ServerEntry> {
        order.iter().map(|node| ServerEntry { name: name_of(*node), id: None }).collect()
    }

    /// When clients stop talking and roaming.
    pub(super) fn talk_until(&self) -> Time {
        Time::ZERO + self.fault_phase + self.calm_phase
    }
}

/// `r0`, `r1`, ...
fn name_of(node: usize) -> String {
    format!("r{node}")
}

/// What befalls the segment. Below a main server often nothing: how soon it is missed
/// and followed again is held against bounds only where nothing else happens.
fn faults(above: Above, routers: usize, end: Time, random: &Random) -> Vec<Fault> {
    let faults = generate(&options(), routers, end, random.child(1));
    if above == Above::Node && random.child(4).chance(500_000) { Vec::new() } else { faults }
}

fn settings(random: &mut Random) -> Settings {
    let defaults = Settings::default();
    Settings {
        disk: random.chance(300_000),
        copies: random.pick(&[2, 2, 2, 2, 1, 3]),
        storage_bytes_max: random.pick(&[defaults.storage_bytes_max, defaults.storage_bytes_max, 60 * 1_024]),
        storage_age_max: if random.chance(150_000) {
            Duration::from_secs(40)
        } else {
            defaults.storage_age_max
        },
        ..defaults
    }
}

/// What may befall whole routers. The main server is not theirs to watch, and
/// clones and names are the election's affair.
fn options() -> FaultOptions {
    FaultOptions {
        count: (1, 7),
        length_ms: (100, 30_000),
        clone: 0,
        same_name: 0,
        default_server: 0,
        list_fetched: 0,
        slow: 8,
        ..FaultOptions::default()
    }
}

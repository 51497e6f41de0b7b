use std::fmt;
use std::time::Duration;

use fau3_election::Time;

use crate::engine::{NodeSet, Random, nodes_of};

/// The main server above the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Above {
    /// None.
    #[default]
    None,
    /// One that speaks FAU3VOM-D only.
    Legacy,
    /// One more router, elsewhere.
    Node,
}

/// Connections that a legacy server takes.
pub(in crate::mesh) const PLACES_MAX: usize = 255;

/// The main server of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSetup {
    /// Clients of its own, that talk and listen there.
    pub own_clients: usize,
    /// Devices of the mesh whose ids it cannot bear.
    pub long_ids: NodeSet,
    /// Connections that it has left for the mesh.
    pub places: usize,
    /// How long anything is under way to it, in microseconds.
    pub delay_us: u64,
    /// What befalls it and the ways to it.
    pub faults: Vec<ServerFault>,
}

/// Something that befalls the server for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFault {
    /// From then.
    pub from: Time,
    /// Until then.
    pub until: Time,
    /// What.
    pub kind: ServerFaultKind,
}

/// What befalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFaultKind {
    /// Its process ends: all connections are closed, and none is taken.
    Ends,
    /// Nothing gets there or back; `forgets`: it has lost all connections meanwhile.
    Silent {
        /// Its power went.
        forgets: bool,
    },
    /// Nothing gets there or back, for these routers only.
    Cut {
        /// Which.
        nodes: NodeSet,
    },
    /// Its process stands still: it reads and says nothing.
    Stuck,
    /// So many of a million Propogates are stored and not confirmed.
    Mute {
        /// How many.
        ppm: u32,
    },
    /// So many of a million Propogates are neither stored nor answered, or fail.
    Deaf {
        /// How many.
        ppm: u32,
    },
    /// Its answers come up to 9 s late.
    Late {
        /// How many.
        ppm: u32,
    },
    /// So many of a million Propogates are stored, and then the connection is closed.
    Drops {
        /// How many.
        ppm: u32,
    },
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {}", self.from, self.until, self.kind)
    }
}

impl fmt::Display for ServerFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends => write!(f, "the server ends"),
            Self::Silent { forgets: false } => write!(f, "nothing gets to the server or back"),
            Self::Silent { forgets: true } => write!(f, "the server's power is off"),
            Self::Cut { nodes } => {
                let names: Vec<String> = nodes_of(*nodes).map(|node| format!("r{node}")).collect();
                write!(f, "nothing gets from {} to the server or back", names.join(" "))
            }
            Self::Stuck => write!(f, "the server stands still"),
            Self::Mute { ppm } => write!(f, "the server confirms {} % not", 100 - ppm / 10_000),
            Self::Deaf { ppm } => write!(f, "the server loses {} %", ppm / 10_000),
            Self::Late { ppm } => write!(f, "the server answers {} % late", ppm / 10_000),
            Self::Drops { ppm } => {
                write!(f, "the server closes instead of {} % of its answers", ppm / 10_000)
            }
        }
    }
}

impl ServerSetup {
    /// One for so many routers and clients, whose faults are over by `end`.
    pub(in crate::mesh) fn draw(mut random: Random, routers: usize, clients: usize, end: Time) -> Self {
        let faults = (0..random.between(1, 4)).map(|_| fault(&mut random, routers, end)).collect();
        let is_narrow = random.chance(80_000);
        Self {
            own_clients: random.between(1, 3) as usize,
            long_ids: if random.chance(300_000) { 1 << random.below(clients as u64) } else { 0 },
            places: if is_narrow { clients / 2 } else { PLACES_MAX },
            delay_us: random.pick(&[1_000, 8_000, 8_000, 30_000]),
            faults,
        }
    }
}

impl ServerSetup {
    /// One that is gone in each of these spans, in one way or another.
    pub(in crate::mesh) fn with_outages(mut random: Random, spans: &[(Time, Time)]) -> Self {
        let kinds = [
            ServerFaultKind::Ends,
            ServerFaultKind::Silent { forgets: false },
            ServerFaultKind::Silent { forgets: true },
            ServerFaultKind::Stuck,
        ];
        let outage = |&(from, until): &(Time, Time)| ServerFault { from, until, kind: random.pick(&kinds) };
        let faults = spans.iter().map(outage).collect();
        Self { own_clients: 3, long_ids: 0, places: PLACES_MAX, delay_us: 1_000, faults }
    }
}

fn fault(random: &mut Random, routers: usize, end: Time) -> ServerFault {
    let ppm = random.pick(&[100_000, 300_000, 1_000_000]);
    let (kind, length_ms) = match random.below(22) {
        0..4 => (ServerFaultKind::Ends, (5_000, 30_000)),
        4..7 => (ServerFaultKind::Silent { forgets: random.chance(300_000) }, (5_000, 30_000)),
        7..8 => (ServerFaultKind::Silent { forgets: false }, (200, 5_000)),
        8..12 => (ServerFaultKind::Cut { nodes: 1 << random.below(routers as u64) }, (500, 25_000)),
        12..14 => (ServerFaultKind::Stuck, (300, 12_000)),
        14..16 => (ServerFaultKind::Mute { ppm }, (3_000, 20_000)),
        16..18 => (ServerFaultKind::Deaf { ppm }, (3_000, 15_000)),
        18..20 => (ServerFaultKind::Late { ppm }, (3_000, 20_000)),
        _ => (ServerFaultKind::Drops { ppm: ppm / 2 }, (3_000, 15_000)),
    };
    let length = Duration::from_millis(random.between(length_ms.0, length_ms.1));
    let latest = end.as_millis().saturating_sub(length.as_millis() as u64).max(6_000);
    let from = Time::from_millis(random.between(5_000, latest));
    ServerFault { from, until: (from + length).min(end.max(from + Duration::from_millis(200))), kind }
}

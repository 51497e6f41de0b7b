use std::fmt;
use std::time::Duration;

use fau3_election::Time;

use crate::engine::{CLOCK_ERROR_PPM_MAX, Delay, NodeSet, Quality, Random, nodes_of};

/// The main server of a run, one more router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MainSetup {
    /// Its place among all routers: behind those of the segment.
    pub node: usize,
    /// The first clients are at home there, and at the segment only now and then.
    pub at_home: usize,
    /// The ExtraServers list that it gives to segments, highest priority first.
    pub list: Vec<usize>,
    /// How long anything is under way to it at least, in microseconds.
    pub delay_us: u32,
    /// What connections to it carry, in bytes a millisecond.
    pub rate: u32,
    /// Datagrams get through, not just connections.
    pub datagrams: bool,
    /// How wrong its clock is, in parts a million.
    pub clock_ppm: i32,
    /// What befalls it and the ways to it.
    pub faults: Vec<MainFault>,
}

/// Something that befalls it for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MainFault {
    /// From then.
    pub from: Time,
    /// Until then.
    pub until: Time,
    /// What.
    pub kind: MainFaultKind,
}

/// What befalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainFaultKind {
    /// Its process is killed: the kernel closes its connections, and refuses new ones.
    Killed {
        /// It comes back with nothing on its flash and disk.
        wiped: bool,
    },
    /// Its power goes: nobody is told.
    PowerOff,
    /// It is told to end, and says goodbye.
    Leaves,
    /// Its process stands still; its kernel does not.
    Stuck,
    /// Nothing passes between it and these routers.
    Cut {
        /// Which.
        nodes: NodeSet,
    },
    /// Nothing gets from these routers to it, or from it to them.
    HalfOpen {
        /// Which.
        nodes: NodeSet,
        /// What they say is lost; else what it says.
        to_main: bool,
    },
    /// So much is lost each way.
    Lossy {
        /// Parts a million.
        ppm: u32,
    },
    /// Everything takes longer.
    Far {
        /// At most so long, in microseconds.
        delay_us: u32,
    },
    /// Connections carry little.
    Slow {
        /// Bytes a millisecond.
        rate: u32,
    },
    /// So many Confirms on the uplink are lost with the connection, which something between
    /// resets.
    Resets {
        /// Parts a million.
        ppm: u32,
    },
}

impl fmt::Display for MainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {}", self.from, self.until, self.kind)
    }
}

impl fmt::Display for MainFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |nodes: NodeSet| nodes_of(nodes).map(|node| format!("r{node}")).collect::<Vec<_>>().join(" ");
        match *self {
            Self::Killed { wiped: false } => write!(f, "the main server is killed"),
            Self::Killed { wiped: true } => write!(f, "the main server is killed, and loses its disk"),
            Self::PowerOff => write!(f, "the main server's power is off"),
            Self::Leaves => write!(f, "the main server is told to end"),
            Self::Stuck => write!(f, "the main server stands still"),
            Self::Cut { nodes } => write!(f, "nothing passes between {} and the main server", names(nodes)),
            Self::HalfOpen { nodes, to_main: true } => {
                write!(f, "nothing gets from {} to the main server", names(nodes))
            }
            Self::HalfOpen { nodes, to_main: false } => {
                write!(f, "nothing gets from the main server to {}", names(nodes))
            }
            Self::Lossy { ppm } => write!(f, "the uplink loses {} %", ppm / 10_000),
            Self::Far { delay_us } => write!(f, "the uplink takes up to {} ms", delay_us / 1_000),
            Self::Slow { rate } => write!(f, "the uplink carries {} kbit/s", rate * 8),
            Self::Resets { ppm } => {
                write!(f, "the uplink resets connections instead of {} % of Confirms", ppm / 10_000)
            }
        }
    }
}

impl MainFault {
    /// Whether it is on.
    pub(super) fn is_on(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}

impl MainFaultKind {
    /// Routers that it parts from the main server while it is on: from them, and to them.
    pub(super) fn cuts(self) -> [NodeSet; 2] {
        match self {
            Self::Cut { nodes } => [nodes; 2],
            Self::HalfOpen { nodes, to_main: true } => [nodes, 0],
            Self::HalfOpen { nodes, to_main: false } => [0, nodes],
            _ => [0; 2],
        }
    }

    /// What it makes of the uplink.
    pub(super) fn quality(self) -> Quality {
        match self {
            Self::Lossy { ppm } => Quality { loss_ppm: ppm, ..Quality::HEALTHY },
            Self::Far { delay_us } => {
                Quality { delay: Delay::Uniform { min: delay_us / 2, max: delay_us }, ..Quality::HEALTHY }
            }
            _ => Quality::HEALTHY,
        }
    }

    /// How many Confirms cost the connection.
    pub(super) fn resets_ppm(self) -> u32 {
        if let Self::Resets { ppm } = self { ppm } else { 0 }
    }

    /// What it lets connections carry, in bytes a millisecond.
    pub(super) fn rate(self) -> Option<u32> {
        if let Self::Slow { rate } = self { Some(rate) } else { None }
    }

    /// It delays what is said, for longer than it lasts itself.
    pub(super) fn is_slowing(self) -> bool {
        matches!(self, Self::Slow { .. } | Self::Far { .. } | Self::Lossy { .. })
    }
}

impl MainSetup {
    /// One for so many routers and clients, whose faults are over by `end`.
    pub(in crate::mesh) fn draw(mut random: Random, routers: usize, clients: usize, end: Time) -> Self {
        let mut list: Vec<usize> = (0..routers).collect();
        random.shuffle(&mut list);
        list.truncate(if random.chance(300_000) { random.between(1, routers as u64) as usize } else { 0 });
        let error = CLOCK_ERROR_PPM_MAX as u64;
        Self {
            node: routers,
            at_home: random.below(3.min(clients as u64 - 1)) as usize,
            list,
            delay_us: random.pick(&[1_000, 8_000, 20_000, 40_000]),
            rate: random.pick(&[250, 500, 1_000, 4_000]),
            datagrams: random.chance(850_000),
            clock_ppm: if random.chance(300_000) { random.below(error * 2) as i32 - error as i32 } else { 0 },
            faults: (0..random.between(1, 4)).map(|_| fault(&mut random, routers, end)).collect(),
        }
    }

    /// One that is gone in each of these spans, in one way or another.
    pub(in crate::mesh) fn with_outages(mut random: Random, routers: usize, spans: &[(Time, Time)]) -> Self {
        let nodes = (1 << routers) - 1;
        let kinds = [
            MainFaultKind::Killed { wiped: false },
            MainFaultKind::PowerOff,
            MainFaultKind::Leaves,
            MainFaultKind::Stuck,
            MainFaultKind::Cut { nodes },
            MainFaultKind::HalfOpen { nodes, to_main: true },
            MainFaultKind::HalfOpen { nodes, to_main: false },
        ];
        let outage = |&(from, until): &(Time, Time)| MainFault { from, until, kind: random.pick(&kinds) };
        let faults = spans.iter().map(outage).collect();
        let (at_home, list, datagrams, clock_ppm) = (2, Vec::new(), true, 0);
        Self { node: routers, at_home, list, delay_us: 8_000, rate: 1_000, datagrams, clock_ppm, faults }
    }

    /// What the uplink does where no fault is.
    pub(super) fn quality(&self) -> Quality {
        let delay = Delay::Uniform { min: self.delay_us, max: self.delay_us * 2 };
        Quality { delay, ..Quality::HEALTHY }
    }

    /// Where a client connects to next.
    pub(in crate::mesh) fn place(&self, client: usize, random: &mut Random) -> usize {
        let stays = random.chance(950_000);
        if (client < self.at_home) == stays { self.node } else { random.below(self.node as u64) as usize }
    }
}

fn fault(random: &mut Random, routers: usize, end: Time) -> MainFault {
    let all = (1 << routers) - 1;
    let nodes = if random.chance(700_000) { all } else { 1 << random.below(routers as u64) };
    let outage = (5_000, 30_000);
    let (kind, length_ms) = match random.below(30) {
        0..5 => (MainFaultKind::Killed { wiped: random.chance(200_000) }, outage),
        5..8 => (MainFaultKind::PowerOff, outage),
        8..10 => (MainFaultKind::Leaves, outage),
        10..14 => (MainFaultKind::Cut { nodes }, outage),
        14..16 => (MainFaultKind::Cut { nodes }, (100, 4_000)),
        16..20 => (MainFaultKind::HalfOpen { nodes, to_main: random.chance(500_000) }, outage),
        20..22 => (MainFaultKind::Stuck, (300, 12_000)),
        22..25 => (MainFaultKind::Lossy { ppm: random.pick(&[10_000, 100_000, 200_000]) }, (5_000, 30_000)),
        25..26 => (MainFaultKind::Far { delay_us: random.pick(&[200_000, 600_000]) }, outage),
        26..28 => (MainFaultKind::Slow { rate: random.pick(&[8, 32, 64]) }, outage),
        _ => (MainFaultKind::Resets { ppm: random.pick(&[50_000, 300_000]) }, (3_000, 15_000)),
    };
    let length = Duration::from_millis(random.between(length_ms.0, length_ms.1));
    let latest = end.as_millis().saturating_sub(length.as_millis() as u64).max(6_000);
    let from = Time::from_millis(random.between(5_000, latest));
    MainFault { from, until: (from + length).min(end.max(from + Duration::from_millis(200))), kind }
}

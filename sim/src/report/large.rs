use std::time::Duration;

use fau3_election::{Config, Heartbeat, Time};

use super::{Row, seconds};
use crate::engine::NodeSet;
use crate::faults::{Fault, FaultKind};
use crate::world::{List, Setup, World};

/// One place of the simulation is kept for clones.
const ROUTERS: usize = 64;
const SIDE: usize = 8;
/// Tag, UDP, IPv6 and Ethernet around each datagram, in bytes.
const AROUND_BYTES: u64 = 16 + 8 + 40 + 14;
/// A heartbeat with all of that is to be at most so long.
const HEARTBEAT_BYTES_MAX: u64 = 130;

/// What a large mesh came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Large {
    /// From the last start until all agree; `None` if they never do.
    pub converged: Option<Duration>,
    /// From the leader's silent death until all others agree again.
    pub fail_over: Option<Duration>,
    /// Bytes that a router sends a second at rest, each address counted.
    pub sent_bytes_s: u64,
    /// Bytes that a router receives a second at rest.
    pub received_bytes_s: u64,
    /// Datagrams received from one neighbour in one interval, in thousandths.
    pub received_milli: u64,
}

/// 64 routers that all hear each other.
#[must_use]
pub fn mesh(config: &Config) -> Large {
    measure(config, vec![NodeSet::MAX; ROUTERS])
}

/// 64 routers in eight rows of eight; each hears those beside, above and below it.
#[must_use]
pub fn grid(config: &Config) -> Large {
    let reach = |node: usize| {
        let (row, column) = (node / SIDE, node % SIDE);
        let mut set: NodeSet = 0;
        if row > 0 {
            set |= 1 << (node - SIDE);
        }
        if row + 1 < SIDE {
            set |= 1 << (node + SIDE);
        }
        if column > 0 {
            set |= 1 << (node - 1);
        }
        if column + 1 < SIDE {
            set |= 1 << (node + 1);
        }
        set
    };
    measure(config, (0..ROUTERS).map(reach).collect())
}

fn measure(config: &Config, reaches: Vec<NodeSet>) -> Large {
    let neighbours: u64 =
        (0..ROUTERS).map(|node| u64::from((reaches[node] & !(1 << node)).count_ones())).sum();
    let kind = FaultKind::Shape { name: "the wiring", reaches };
    let faults = vec![Fault { from: Time::ZERO, until: Time::MAX, kind }];
    let list = List::Names((0..ROUTERS).rev().collect());
    let mut world = World::new(Setup { faults, list, ..Setup::healthy(1, ROUTERS, config) });
    let last_start = Time::from_secs(2);
    let converged = agreed(&mut world, last_start);
    world.run_until(Time::from_secs(60));
    let before = traffic(&world);
    let rest_s = 60;
    world.run_until(Time::from_secs(60 + rest_s));
    let after = traffic(&world);
    let moment = world.now();
    let leader = world.nodes().iter().position(crate::world::Node::leads);
    let fail_over = leader.and_then(|leader| {
        world.power_off(leader, true);
        agreed(&mut world, moment)
    });
    let routers = ROUTERS as u64;
    let [sent, sent_bytes, received, received_bytes] =
        std::array::from_fn(|index| after[index] - before[index]);
    let intervals = rest_s * 1_000_000 / config.beacon.as_micros() as u64;
    Large {
        converged,
        fail_over,
        sent_bytes_s: (sent_bytes + sent * AROUND_BYTES) * neighbours / routers / routers / rest_s,
        received_bytes_s: (received_bytes + received * AROUND_BYTES) / routers / rest_s,
        received_milli: received * 1_000 / (neighbours * intervals).max(1),
    }
}

fn traffic(world: &World) -> [u64; 4] {
    world.nodes().iter().fold([0; 4], |[sent, sent_bytes, received, received_bytes], node| {
        [
            sent + node.sent,
            sent_bytes + node.sent_bytes,
            received + node.received,
            received_bytes + node.received_bytes,
        ]
    })
}

/// How long after `since` all routers agree on the right leader, to 10 ms;
/// `None` after half a minute.
fn agreed(world: &mut World, since: Time) -> Option<Duration> {
    let step = Duration::from_millis(10);
    let mut now = since;
    while now < since + Duration::from_secs(30) {
        now += step;
        world.run_until(now);
        let (components, leaders, broken) = world.verdict();
        let all_ready = world.nodes().iter().filter(|node| node.runs()).all(|node| node.view.ready);
        if components == 1 && leaders == 1 && broken.is_none() && all_ready {
            return Some(now.since(since));
        }
    }
    None
}

pub(super) fn rows(config: &Config) -> Vec<Row> {
    let heartbeat = Heartbeat::BYTES as u64 + AROUND_BYTES;
    let mut rows = vec![Row {
        what: "heartbeat with its headers".into(),
        target: format!("at most {HEARTBEAT_BYTES_MAX} bytes"),
        measured: format!("{heartbeat} bytes"),
        good: heartbeat <= HEARTBEAT_BYTES_MAX,
    }];
    let hops = 2 * (SIDE as u32 - 1);
    for (name, large, hops) in [("full mesh", mesh(config), 1), ("8x8 grid", grid(config), hops)] {
        let bound = config.detection() + config.heal_max(hops);
        let time = |span: Option<Duration>| span.map_or_else(|| "never".into(), seconds);
        let in_time = |span: Option<Duration>| span.is_some_and(|span| span <= bound);
        rows.push(Row {
            what: format!("64 routers, {name}: agree after start, after a death"),
            target: format!("{} each ({hops} hops)", seconds(bound)),
            measured: format!("{}, {}", time(large.converged), time(large.fail_over)),
            good: in_time(large.converged) && in_time(large.fail_over),
        });
        rows.push(Row {
            what: format!("64 routers, {name}: sent, received a second at rest"),
            target: "printed".into(),
            measured: format!("{} B, {} B", large.sent_bytes_s, large.received_bytes_s),
            good: true,
        });
        rows.push(Row {
            what: format!("64 routers, {name}: datagrams a neighbour and interval"),
            target: "at most 1".into(),
            measured: format!("{}.{:03}", large.received_milli / 1_000, large.received_milli % 1_000),
            // Sixty seconds hold one beacon more or less at either end.
            good: large.received_milli <= 1_005,
        });
    }
    rows
}

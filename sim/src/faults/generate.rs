use fau3_election::Time;

use super::{Disk, Fault, FaultKind};
use crate::engine::{CLOCK_ERROR_PPM_MAX, Delay, NodeSet, Quality, Random};

/// Which faults a run may have and how bad they get: everything that can be
/// turned about a fault phase, in one place. A weight of 0 turns a kind off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultOptions {
    /// Fewest and most faults of a run (clock errors not counted).
    pub count: (u64, u64),
    /// Shortest and longest fault, in ms.
    pub length_ms: (u64, u64),
    /// Bursts: chance that a fault begins within five seconds of the one before.
    pub burst_ppm: u32,
    /// Weight of links that lose, repeat, reorder and delay.
    pub rough: u32,
    /// Greatest loss on them.
    pub loss_ppm_max: u32,
    /// Weight of partitions into two sets, both ways.
    pub halves: u32,
    /// Weight of cuts in one direction.
    pub one_way: u32,
    /// Weight of single nodes cut off.
    pub single: u32,
    /// Weight of drawn shapes: rings, lines, bridges, any directed graph.
    pub shape: u32,
    /// Weight of flapping links.
    pub flap: u32,
    /// Weight of stalled processes.
    pub stall: u32,
    /// Weight of crashes.
    pub crash: u32,
    /// Weight of crash loops.
    pub crash_loop: u32,
    /// Weight of goodbyes.
    pub leave: u32,
    /// Weight of late joins.
    pub absent: u32,
    /// Weight of cloned identities.
    pub clone: u32,
    /// Weight of two routers with one name.
    pub same_name: u32,
    /// Weight of the main server going away.
    pub default_server: u32,
    /// Weight of list changes in the UCI files.
    pub list_configured: u32,
    /// Weight of list changes at the main server.
    pub list_fetched: u32,
    /// Weight of slow connections, which matter to whole routers only.
    pub slow: u32,
    /// Chance that a router's clock is wrong.
    pub clock_ppm: u32,
}

impl Default for FaultOptions {
    fn default() -> Self {
        Self {
            count: (4, 14),
            length_ms: (100, 40_000),
            burst_ppm: 300_000,
            rough: 10,
            loss_ppm_max: 600_000,
            halves: 10,
            one_way: 8,
            single: 8,
            shape: 10,
            flap: 6,
            stall: 8,
            crash: 14,
            crash_loop: 4,
            leave: 6,
            absent: 3,
            clone: 2,
            same_name: 2,
            default_server: 12,
            list_configured: 4,
            list_fetched: 6,
            slow: 0,
            clock_ppm: 500_000,
        }
    }
}

impl FaultOptions {
    /// Nothing ever goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self { count: (0, 0), clock_ppm: 0, ..Self::default() }
    }

    fn weights(&self) -> [u32; 17] {
        [
            self.rough,
            self.halves,
            self.one_way,
            self.single,
            self.shape,
            self.flap,
            self.stall,
            self.crash,
            self.crash_loop,
            self.leave,
            self.absent,
            self.clone,
            self.same_name,
            self.default_server,
            self.list_configured,
            self.list_fetched,
            self.slow,
        ]
    }
}

/// Draws the faults of a run with `nodes` routers, all over by `end`, ordered
/// by their beginning.
#[must_use]
pub fn generate(options: &FaultOptions, nodes: usize, end: Time, mut random: Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    for node in 0..nodes {
        if random.chance(options.clock_ppm) {
            let ppm = random.below(2 * CLOCK_ERROR_PPM_MAX as u64 + 1) as i32 - CLOCK_ERROR_PPM_MAX;
            faults.push(Fault {
                from: Time::ZERO,
                until: Time::MAX,
                kind: FaultKind::ClockError { node, ppm },
            });
        }
    }
    let weights = options.weights();
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let count = if total == 0 { 0 } else { random.between(options.count.0, options.count.1) };
    let mut last_ms = 0;
    for index in 0..count {
        // Each fault has a generator of its own, so that kinds do not disturb each other.
        let mut own = random.child(index);
        let kind = pick_kind(&weights, own.below(total), nodes, options, &mut own);
        let length_ms = match kind {
            // Long enough for hold-downs to grow, if its starts come to anything.
            FaultKind::CrashLoop { period_ms, .. } => u64::from(period_ms) * own.between(4, 14),
            _ => length(options, &mut own),
        };
        let latest = end.as_millis().saturating_sub(length_ms + 1);
        let from_ms = if own.chance(options.burst_ppm) {
            (last_ms + own.below(5_000)).min(latest)
        } else {
            own.below(latest + 1)
        };
        last_ms = from_ms;
        let absent = matches!(kind, FaultKind::Absent { .. });
        let from = if absent { Time::ZERO } else { Time::from_millis(from_ms) };
        faults.push(Fault {
            from,
            until: Time::from_millis((from_ms + length_ms).min(end.as_millis())),
            kind,
        });
    }
    faults.sort_by_key(|fault| fault.from);
    faults
}

/// Short ones are as frequent as long ones: the exponent is drawn, not the length.
fn length(options: &FaultOptions, random: &mut Random) -> u64 {
    let (low, high) = options.length_ms;
    let doublings = (high / low.max(1)).max(1).ilog2();
    let step = random.below(u64::from(doublings) + 1);
    random.between(low << step, (low << (step + 1)).min(high))
}

fn pick_kind(
    weights: &[u32; 17],
    mut ticket: u64,
    nodes: usize,
    options: &FaultOptions,
    random: &mut Random,
) -> FaultKind {
    let mut index = 0;
    while ticket >= u64::from(weights[index]) {
        ticket -= u64::from(weights[index]);
        index += 1;
    }
    let node = random.below(nodes as u64) as usize;
    let other = (node + 1 + random.below(nodes as u64 - 1) as usize) % nodes;
    let (part, rest) = two_parts(nodes, random);
    match index {
        0 => rough(nodes, options, random),
        1 => FaultKind::Cut { from: part, to: rest, both: true },
        2 if random.chance(500_000) => FaultKind::Cut { from: 1 << node, to: 1 << other, both: false },
        2 => FaultKind::Cut { from: part, to: rest, both: false },
        3 => FaultKind::Cut { from: 1 << node, to: all(nodes) & !(1 << node), both: true },
        4 => shape(nodes, random),
        5 => FaultKind::Flap {
            from: 1 << node,
            to: (rest | 1 << other) & !(1 << node),
            period_ms: random.between(150, 9_000) as u32,
        },
        6 => FaultKind::Stall {
            node,
            frozen_ms: random.between(200, 6_000) as u32,
            running_ms: random.between(20, 2_000) as u32,
        },
        7 => FaultKind::Crash {
            node,
            silent: random.chance(600_000),
            disk: random.pick(&[Disk::Kept, Disk::Kept, Disk::Lost, Disk::Backup, Disk::OldList]),
        },
        8 => FaultKind::CrashLoop { node, period_ms: random.between(4_000, 10_000) as u32 },
        9 => FaultKind::Leave { node },
        10 => FaultKind::Absent { node },
        11 => FaultKind::Clone { node },
        12 => FaultKind::SameName { node, as_of: other },
        13 if random.chance(300_000) => FaultKind::DefaultServer { nodes: 1 << node },
        13 => FaultKind::DefaultServer { nodes: all(nodes) },
        14 => FaultKind::ListConfigured { order: order(nodes, random) },
        15 => FaultKind::ListFetched { order: order(nodes, random) },
        _ => {
            let (from, to) = if random.chance(500_000) { (1 << node, 1 << other) } else { (part, rest) };
            FaultKind::Slow { from, to, rate: random.pick(&[1, 4, 20]) as u32 }
        }
    }
}

fn all(nodes: usize) -> NodeSet {
    if nodes == 64 { NodeSet::MAX } else { (1 << nodes) - 1 }
}

/// Two sets, neither empty, all nodes in one of them.
fn two_parts(nodes: usize, random: &mut Random) -> (NodeSet, NodeSet) {
    let part = 1 + random.below(all(nodes) - 1);
    (part, all(nodes) & !part)
}

fn rough(nodes: usize, options: &FaultOptions, random: &mut Random) -> FaultKind {
    let everywhere = random.chance(400_000);
    let (from, to) = if everywhere { (all(nodes), all(nodes)) } else { two_parts(nodes, random) };
    let max = random.between(1_000, 400_000) as u32;
    let delay = if random.chance(500_000) {
        Delay::Uniform { min: 200, max }
    } else {
        Delay::LongTail { min: 200, max: 20_000, tail_ppm: 50_000, tail_max: max * 4 }
    };
    let quality = Quality {
        // Mostly little: what is bad enough to break a link is a cut.
        loss_ppm: random.pick(&[
            0,
            options.loss_ppm_max / 10,
            options.loss_ppm_max / 3,
            options.loss_ppm_max,
        ]),
        duplicate_ppm: random.pick(&[0, 100_000, 500_000]),
        reorder_ppm: random.pick(&[0, 50_000, 300_000]),
        reorder_us: 600_000,
        delay,
    };
    FaultKind::Rough { from, to, quality }
}

/// The nodes in a random order, some left out: a list is rarely complete.
fn order(nodes: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes).collect();
    random.shuffle(&mut order);
    order.truncate(random.between(1, nodes as u64) as usize);
    order
}

fn shape(nodes: usize, random: &mut Random) -> FaultKind {
    let mut round: Vec<usize> = (0..nodes).collect();
    random.shuffle(&mut round);
    let mut reaches = vec![0; nodes];
    let mut join = |a: usize, b: usize| {
        reaches[a] |= 1 << b;
        reaches[b] |= 1 << a;
    };
    let name = match random.below(5) {
        0 => {
            (0..nodes).for_each(|i| join(round[i], round[(i + 1) % nodes]));
            "a ring"
        }
        1 => {
            (1..nodes).for_each(|i| join(round[i - 1], round[i]));
            "a line"
        }
        2 => {
            (1..nodes).for_each(|i| join(round[0], round[i]));
            "a star"
        }
        3 => {
            // Two groups that only one router of each joins.
            let middle = nodes / 2;
            for i in 0..nodes {
                (0..i).filter(|j| (*j < middle) == (i < middle)).for_each(|j| join(round[i], round[j]));
            }
            join(round[0], round[nodes - 1]);
            "a bridge"
        }
        _ => {
            for (node, reached) in reaches.iter_mut().enumerate() {
                *reached = random.bits() & all(nodes) & !(1 << node);
            }
            "a drawn graph"
        }
    };
    FaultKind::Shape { name, reaches }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_over_in_time_and_the_same_for_the_same_seed() {
        let end = Time::from_secs(540);
        for seed in 0..200 {
            let faults = generate(&FaultOptions::default(), 5, end, Random::new(seed));
            assert_eq!(faults, generate(&FaultOptions::default(), 5, end, Random::new(seed)));
            for fault in &faults {
                let lasting = matches!(fault.kind, FaultKind::ClockError { .. });
                assert!(fault.from < fault.until && (lasting || fault.until <= end), "{fault}");
            }
        }
    }

    #[test]
    fn every_kind_is_drawn_within_a_thousand_seeds() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..1_000 {
            for fault in generate(&FaultOptions::default(), 5, Time::from_secs(540), Random::new(seed)) {
                kinds.insert(format!("{:?}", fault.kind).split([' ', '{']).next().map(String::from));
            }
        }
        assert_eq!(kinds.len(), 15, "of the 15 kinds only {kinds:?}");
    }
}

//! All 4,096 directed graphs of four routers, one mesh each: who leads in the
//! end, wherever links go one way only or not everyone hears everyone.

use fau3_election::{Config, Time};

use crate::engine::NodeSet;
use crate::faults::{Fault, FaultKind};
use crate::invariants::Limits;
use crate::world::{List, Setup, World};

/// Directed links among four routers.
const LINKS: u32 = 12;
/// Graphs of them.
pub const GRAPHS: u32 = 1 << LINKS;
const ROUTERS: usize = 4;

/// What all graphs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// Graphs looked at.
    pub graphs: u32,
    /// Two-way components in all of them.
    pub components: u32,
    /// Routers that led in the end.
    pub leaders: u32,
    /// Graphs in which a rule was broken, and how.
    pub broken: Vec<(u32, String)>,
    /// Graphs in which VRRP's rule has more masters than there are components.
    pub vrrp_more: u32,
}

/// Whom each router reaches in graph number `graph`.
#[must_use]
pub fn graph(graph: u32) -> Vec<NodeSet> {
    let mut reaches = vec![0; ROUTERS];
    let pairs = (0..ROUTERS).flat_map(|a| (0..ROUTERS).filter(move |b| *b != a).map(move |b| (a, b)));
    for (bit, (from, to)) in pairs.enumerate() {
        reaches[from] |= u64::from(graph >> bit & 1) << to;
    }
    reaches
}

/// Runs one graph: routers start within two seconds, and have until the
/// settled rules hold. Components, leaders, and the rule broken, if any.
#[must_use]
pub fn run(number: u32, config: &Config) -> (u32, u32, Option<String>) {
    let limits = Limits::of(config, ROUTERS);
    let shape = FaultKind::Shape { name: "a drawn graph", reaches: graph(number) };
    let mut setup = Setup::healthy(u64::from(number), ROUTERS, config);
    // With and without a list, whose order is not that of the ids.
    setup.list = if number.is_multiple_of(2) { List::None } else { List::Names(vec![2, 0, 3, 1]) };
    setup.checked = true;
    setup.faults = vec![Fault { from: Time::ZERO, until: Time::MAX, kind: shape }];
    let mut world = World::new(setup);
    world.run_until(Time::from_secs(2) + limits.settle + limits.grace + config.detection());
    let (components, leaders, broken) = world.verdict();
    (components, leaders, broken.map(|violation| violation.to_string()))
}

/// Runs all of `numbers`.
#[must_use]
pub fn survey(numbers: impl Iterator<Item = u32>, config: &Config) -> Surveyed {
    let mut surveyed = Surveyed::default();
    for number in numbers {
        let (components, leaders, broken) = run(number, config);
        surveyed.graphs += 1;
        surveyed.components += components;
        surveyed.leaders += leaders;
        surveyed.broken.extend(broken.map(|text| (number, text)));
        surveyed.vrrp_more += u32::from(vrrp_masters(number) > components);
    }
    surveyed
}

/// Masters by the rule of RFC 9568: whoever hears no master of higher priority is one.
fn vrrp_masters(number: u32) -> u32 {
    let reaches = graph(number);
    let mut masters: NodeSet = 0;
    for node in 0..ROUTERS {
        let outranked =
            (0..node).any(|higher| masters >> higher & 1 == 1 && reaches[higher] >> node & 1 == 1);
        masters |= u64::from(!outranked) << node;
    }
    masters.count_ones()
}

impl Surveyed {
    /// Adds another part of the graphs.
    pub fn add(&mut self, part: Self) {
        self.graphs += part.graphs;
        self.components += part.components;
        self.leaders += part.leaders;
        self.broken.extend(part.broken);
        self.vrrp_more += part.vrrp_more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_graph_of_four_is_met_once() {
        assert_eq!(graph(0), [0; 4]);
        assert_eq!(graph(GRAPHS - 1), [0b1110, 0b1101, 0b1011, 0b0111]);
        let all: std::collections::BTreeSet<_> = (0..GRAPHS).map(graph).collect();
        assert_eq!(all.len(), GRAPHS as usize);
    }
}

use fau3_election::Time;

use super::node::Node;
use crate::engine::{Network, NodeSet, Quality, nodes_of};

/// A link that loses more, in parts a million, is one that no bound can be
/// promised for: at 5 %, seven heartbeats in a row are lost once in 10^9.
const LOSS_PPM_FIRM: u32 = 50_000;
/// As is one that takes longer, in microseconds: a tenth of a second.
const DELAY_US_FIRM: u32 = 100_000;

/// What is really the case: who runs and reaches whom in both directions. The
/// routers do not know it; the invariants measure them by it.
#[derive(Debug, Clone)]
pub struct Truth {
    two_way: Vec<NodeSet>,
    /// Links that exist in some way, but are too bad for promises.
    doubtful: Vec<NodeSet>,
    /// Links in both directions that nothing at all is wrong with.
    faultless: Vec<NodeSet>,
    running: NodeSet,
    /// When the last change came that a node could notice.
    changed_at: Vec<Time>,
}

impl Truth {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            two_way: vec![0; nodes],
            doubtful: vec![0; nodes],
            faultless: vec![0; nodes],
            running: 0,
            changed_at: vec![Time::ZERO; nodes],
        }
    }

    /// Works it out anew; the nodes for which something changed.
    pub(super) fn update(
        &mut self,
        network: &Network,
        nodes: &[Node],
        wobbly: NodeSet,
        deceived: bool,
        now: Time,
    ) -> NodeSet {
        let alive = set_of(nodes, Node::runs);
        let running = set_of(nodes, |node| node.runs() && !node.frozen && !node.leaving);
        let all = if deceived { NodeSet::MAX } else { 0 };
        let unsteady = set_of(nodes, |node| node.stalling > 0) | wobbly | twins(nodes) | all;
        let mut changed = running ^ self.running;
        self.running = running;
        for a in 0..nodes.len() {
            // Who is lied to may believe in links that do not exist.
            let (mut two_way, mut doubtful, mut faultless) = (0, alive & NodeSet::from(deceived) << a, 0);
            for b in nodes_of(alive & !(1 << a)) {
                let there = network.reaches(a) & (1 << b) != 0;
                let back = network.reaches(b) & (1 << a) != 0;
                if alive & (1 << a) == 0 || !(there || back) {
                    continue;
                }
                let both_run = running & (1 << a) != 0 && running & (1 << b) != 0;
                if there && back && both_run {
                    two_way |= 1 << b;
                }
                let firm = |from, to| {
                    let quality = network.quality(from, to);
                    let late =
                        quality.delay.max().max(quality.reorder_us * u32::from(quality.reorder_ppm > 0));
                    quality.loss_ppm <= LOSS_PPM_FIRM && late <= DELAY_US_FIRM
                };
                let shaky = unsteady & (1 << a | 1 << b) != 0;
                if shaky || !firm(a, b) || !firm(b, a) {
                    doubtful |= 1 << b;
                }
                let flawless = |from, to| network.quality(from, to) == Quality::HEALTHY;
                if two_way & (1 << b) != 0 && !shaky && flawless(a, b) && flawless(b, a) {
                    faultless |= 1 << b;
                }
            }
            let known = (self.two_way[a], self.doubtful[a], self.faultless[a]);
            if (two_way, doubtful, faultless) != known {
                changed |= 1 << a;
            }
            self.faultless[a] = faultless;
            self.two_way[a] = two_way;
            self.doubtful[a] = doubtful;
        }
        nodes_of(changed).for_each(|node| self.changed_at[node] = now);
        changed
    }

    /// Running nodes that a node has a link with in both directions.
    #[must_use]
    pub fn two_way(&self, node: usize) -> NodeSet {
        self.two_way[node]
    }

    /// Running nodes that a node shares a healthy link with.
    #[must_use]
    pub fn faultless(&self, node: usize) -> NodeSet {
        self.faultless[node]
    }

    /// Nodes that run, do not stand still and are not leaving.
    #[must_use]
    pub fn running(&self) -> NodeSet {
        self.running
    }

    /// When a node's links or its state last changed.
    #[must_use]
    pub fn changed_at(&self, node: usize) -> Time {
        self.changed_at[node]
    }

    /// True if any link of these nodes is too bad for promises.
    #[must_use]
    pub fn is_doubtful(&self, nodes: NodeSet) -> bool {
        nodes_of(nodes).any(|node| self.doubtful[node] != 0)
    }

    /// The two-way component of a node; empty if it does not run.
    #[must_use]
    pub fn component(&self, node: usize) -> NodeSet {
        let mut members = self.running & (1 << node);
        let mut frontier = members;
        while frontier != 0 {
            let next = nodes_of(frontier).fold(0, |set, member| set | self.two_way[member]);
            frontier = next & !members;
            members |= next;
        }
        members
    }

    /// All components, each once.
    pub fn components(&self) -> impl Iterator<Item = NodeSet> {
        let mut left = self.running;
        std::iter::from_fn(move || {
            (left != 0).then(|| {
                let members = self.component(left.trailing_zeros() as usize);
                left &= !members;
                members
            })
        })
    }
}

fn set_of(nodes: &[Node], holds: impl Fn(&Node) -> bool) -> NodeSet {
    nodes.iter().enumerate().fold(0, |set, (index, node)| set | NodeSet::from(holds(node)) << index)
}

/// Machines that run under one identity.
fn twins(nodes: &[Node]) -> NodeSet {
    let twin = |(index, node): (usize, &Node)| {
        let other = nodes[..index].iter().position(|other| other.id == node.id)?;
        (node.election.is_some()).then_some(1 << index | 1 << other)
    };
    // Only the last place ever holds one.
    nodes.iter().enumerate().next_back().and_then(twin).unwrap_or(0)
}

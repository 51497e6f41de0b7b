use fau3_election::Time;

use super::random::Random;

/// Most nodes of one simulation: a set of them fits one word.
pub const NODES_MAX: usize = 64;

/// A set of nodes, node 0 the lowest bit.
pub type NodeSet = u64;

/// The nodes of a set, in ascending order.
pub fn nodes_of(mut set: NodeSet) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let node = set.trailing_zeros() as usize;
        (set != 0).then(|| {
            set &= set - 1;
            node
        })
    })
}

/// How long a datagram is under way, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// Anything from `min` to `max`, each as likely.
    Uniform {
        /// Shortest delay.
        min: u32,
        /// Longest delay.
        max: u32,
    },
    /// As `Uniform`, but some wait much longer, up to `tail_max`: a busy air
    /// interface that tries again.
    LongTail {
        /// Shortest delay.
        min: u32,
        /// Longest usual delay.
        max: u32,
        /// How many of a million are in the tail.
        tail_ppm: u32,
        /// Longest delay of those.
        tail_max: u32,
    },
}

impl Delay {
    /// Draws one, in microseconds.
    #[inline]
    pub fn draw(self, random: &mut Random) -> u64 {
        match self {
            Self::Uniform { min, max } => random.between(u64::from(min), u64::from(max)),
            Self::LongTail { min, max, tail_ppm, tail_max } => {
                let top = if random.chance(tail_ppm) { tail_max } else { max };
                random.between(u64::from(min), u64::from(top))
            }
        }
    }

    /// The longest that can be drawn, in microseconds.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::Uniform { max, .. } => max,
            Self::LongTail { max, tail_max, .. } => max.max(tail_max),
        }
    }
}

/// What a directed link does to datagrams. Chances in parts a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Lost.
    pub loss_ppm: u32,
    /// Delivered twice, each copy with a delay of its own.
    pub duplicate_ppm: u32,
    /// Held back by up to `reorder_us`, so that later ones overtake it.
    pub reorder_ppm: u32,
    /// Longest time that one is held back.
    pub reorder_us: u32,
    /// How long all the others take.
    pub delay: Delay,
}

impl Quality {
    /// A quiet local network: nothing lost, 0.2 to 2 ms.
    pub const HEALTHY: Self = Self {
        loss_ppm: 0,
        duplicate_ppm: 0,
        reorder_ppm: 0,
        reorder_us: 0,
        delay: Delay::Uniform { min: 200, max: 2_000 },
    };

    /// The worse of the two in every respect: how overlapping faults add up.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            loss_ppm: self.loss_ppm.max(other.loss_ppm),
            duplicate_ppm: self.duplicate_ppm.max(other.duplicate_ppm),
            reorder_ppm: self.reorder_ppm.max(other.reorder_ppm),
            reorder_us: self.reorder_us.max(other.reorder_us),
            delay: if other.delay.max() > self.delay.max() { other.delay } else { self.delay },
        }
    }
}

/// Which directed links exist at this moment, and what each does.
///
/// A datagram to many over healthy links is one transmission that all of them
/// hear at the same moment, as on a switch or in the air; over any other link each
/// copy has its own fate.
#[derive(Debug, Clone)]
pub struct Network {
    nodes: usize,
    /// Nodes whose links no drawn graph is about.
    beside: NodeSet,
    /// For each sender, whom it reaches at all.
    open: Vec<NodeSet>,
    /// Of those, over links that are not healthy.
    rough: Vec<NodeSet>,
    /// For each sender and receiver; looked at only where rough.
    quality: Vec<Quality>,
    base: Quality,
    random: Random,
}

impl Network {
    /// `nodes` (at most [`NODES_MAX`]) that all reach each other with the
    /// quality `base`.
    ///
    /// # Panics
    /// If there are more nodes than that.
    #[must_use]
    pub fn new(nodes: usize, base: Quality, random: Random) -> Self {
        assert!(nodes <= NODES_MAX, "at most {NODES_MAX} nodes fit one set, not {nodes}");
        let mut network = Self {
            nodes,
            beside: 0,
            open: vec![0; nodes],
            rough: vec![0; nodes],
            quality: vec![base; nodes * nodes],
            base,
            random,
        };
        network.heal();
        network
    }

    /// These have links of another kind to the others, of which no drawn graph says
    /// anything.
    #[must_use]
    pub fn with_beside(self, beside: NodeSet) -> Self {
        Self { beside, ..self }
    }

    /// Only these of a node's links are left, as in a drawn graph, until the next `heal`.
    pub fn draw(&mut self, node: usize, reached: NodeSet) {
        self.cut(1 << node, !reached & !self.beside);
    }

    /// Everyone reaches everyone again.
    pub fn heal(&mut self) {
        let all = if self.nodes == NODES_MAX { NodeSet::MAX } else { (1 << self.nodes) - 1 };
        for from in 0..self.nodes {
            self.open[from] = all & !(1 << from);
            self.rough[from] = if is_shared(self.base) { 0 } else { self.open[from] };
        }
        self.quality.fill(self.base);
    }

    /// Nothing gets from any of `from` to any of `to` until the next `heal`.
    pub fn cut(&mut self, from: NodeSet, to: NodeSet) {
        nodes_of(from).for_each(|sender| self.open[sender] &= !to);
    }

    /// Makes the links from `from` to `to` as bad as `quality`, at least.
    pub fn worsen(&mut self, from: NodeSet, to: NodeSet, quality: Quality) {
        for sender in nodes_of(from) {
            self.rough[sender] |= to & !(1 << sender);
            for receiver in nodes_of(to) {
                let link = &mut self.quality[sender * self.nodes + receiver];
                *link = link.worse(quality);
            }
        }
    }

    /// Whom a node's datagrams reach, be it badly.
    #[must_use]
    pub fn reaches(&self, from: usize) -> NodeSet {
        self.open[from]
    }

    /// What the link between two nodes does.
    #[must_use]
    pub fn quality(&self, from: usize, to: usize) -> Quality {
        self.quality[from * self.nodes + to]
    }

    /// Sends one datagram from a node to all of `to` and calls `arrive` with
    /// every moment at which it comes to some of them.
    #[inline]
    pub fn transmit(&mut self, now: Time, from: usize, to: NodeSet, mut arrive: impl FnMut(Time, NodeSet)) {
        let reached = to & self.open[from];
        let shared = reached & !self.rough[from];
        if shared != 0 {
            let delay = self.base.delay.draw(&mut self.random);
            arrive(Time::from_micros(now.as_micros() + delay), shared);
        }
        for receiver in nodes_of(reached & self.rough[from]) {
            self.transmit_rough(now, from, receiver, &mut arrive);
        }
    }

    fn transmit_rough(
        &mut self,
        now: Time,
        from: usize,
        receiver: usize,
        arrive: &mut impl FnMut(Time, NodeSet),
    ) {
        let quality = self.quality[from * self.nodes + receiver];
        if self.random.chance(quality.loss_ppm) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(quality.duplicate_ppm));
        for _ in 0..copies {
            let mut delay = quality.delay.draw(&mut self.random);
            if self.random.chance(quality.reorder_ppm) {
                delay += self.random.below(u64::from(quality.reorder_us));
            }
            arrive(Time::from_micros(now.as_micros() + delay), 1 << receiver);
        }
    }
}

/// True if one draw can decide for all receivers.
fn is_shared(quality: Quality) -> bool {
    let Quality { loss_ppm, duplicate_ppm, reorder_ppm, .. } = quality;
    u64::from(loss_ppm) + u64::from(duplicate_ppm) + u64::from(reorder_ppm) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(network: &mut Network, from: usize) -> Vec<(Time, NodeSet)> {
        let mut all = Vec::new();
        network.transmit(Time::from_secs(1), from, NodeSet::MAX, |at, to| all.push((at, to)));
        all
    }

    #[test]
    fn a_healthy_network_delivers_to_all_others_at_one_moment() {
        let mut network = Network::new(5, Quality::HEALTHY, Random::new(1));
        let all = arrivals(&mut network, 2);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1, 0b11011);
        assert!(all[0].0 > Time::from_secs(1) && all[0].0 <= Time::from_millis(1_002));
    }

    #[test]
    fn a_cut_is_one_way_until_it_is_healed() {
        let mut network = Network::new(3, Quality::HEALTHY, Random::new(1));
        network.cut(0b001, 0b010);
        assert_eq!(arrivals(&mut network, 0)[0].1, 0b100);
        assert_eq!(arrivals(&mut network, 1)[0].1, 0b101, "the way back stays open");
        network.heal();
        assert_eq!(network.reaches(0), 0b110);
    }

    #[test]
    fn losses_and_duplicates_come_as_often_as_asked() {
        let mut network = Network::new(2, Quality::HEALTHY, Random::new(1));
        let bad = Quality { loss_ppm: 300_000, duplicate_ppm: 500_000, ..Quality::HEALTHY };
        network.worsen(0b01, 0b10, bad);
        let count: usize = (0..10_000).map(|_| arrivals(&mut network, 0).len()).sum();
        assert!((10_200..10_800).contains(&count), "0.7 * 1.5 of 10,000, not {count}");
        assert_eq!((0..100).map(|_| arrivals(&mut network, 1).len()).sum::<usize>(), 100);
    }
}

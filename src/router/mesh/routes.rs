//! Along which connections something travels that one router made: the
//! shortest-path tree from it over the election's map of two-way links.
//!
//! All routers of a component hold the same map, so they agree on the tree
//! without a word. While they do not, comparing holdings fills the gaps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fau3_election::{Map, RouterId};

/// Trees of which this router's part is kept; more than there are routers.
const TREES_MAX: usize = fau3_election::ROUTERS_MAX;

/// This router's part of each tree.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Which map they were made from.
    version: u64,
    trees: BTreeMap<RouterId, BTreeMap<RouterId, BTreeSet<RouterId>>>,
}

impl Routes {
    /// Where `me` passes on what `root` made: each next router, with all that
    /// lie behind it, itself included. `version` changes whenever the map does.
    pub(super) fn from(
        &mut self,
        root: RouterId,
        me: RouterId,
        map: &Map,
        version: u64,
    ) -> &BTreeMap<RouterId, BTreeSet<RouterId>> {
        if self.version != version || self.trees.len() >= TREES_MAX {
            self.version = version;
            self.trees.clear();
        }
        self.trees.entry(root).or_insert_with(|| branches(&parents(map, root), me))
    }
}

/// The router before each one on the way from `root`: of those that are
/// nearest to it, the one with the lowest id.
fn parents(map: &Map, root: RouterId) -> BTreeMap<RouterId, RouterId> {
    let mut rest: BTreeSet<RouterId> = map.records().iter().map(|record| record.origin).collect();
    rest.remove(&root);
    let mut parents = BTreeMap::new();
    let mut ring = BTreeSet::from([root]);
    while !ring.is_empty() {
        let mut next = BTreeSet::new();
        // Sorted: the lowest id comes first and stays.
        for from in ring {
            if map.get(from).is_some_and(|record| record.leaf) && from != root {
                continue; // A leaf passes nothing on.
            }
            for to in rest.iter().copied().filter(|to| map.two_way(from, *to)).collect::<VecDeque<_>>() {
                rest.remove(&to);
                parents.insert(to, from);
                next.insert(to);
            }
        }
        ring = next;
    }
    parents
}

/// The router before `me` on the way from `root`.
pub(super) fn parent(map: &Map, root: RouterId, me: RouterId) -> Option<RouterId> {
    parents(map, root).get(&me).copied()
}

/// Whom `me` is the parent of, each with everyone behind it.
fn branches(parents: &BTreeMap<RouterId, RouterId>, me: RouterId) -> BTreeMap<RouterId, BTreeSet<RouterId>> {
    let mut branches: BTreeMap<RouterId, BTreeSet<RouterId>> = BTreeMap::new();
    for &leaf in parents.keys() {
        let mut at = leaf;
        while let Some(&parent) = parents.get(&at) {
            if parent == me {
                branches.entry(at).or_default().insert(leaf);
                break;
            }
            at = parent;
        }
    }
    branches
}

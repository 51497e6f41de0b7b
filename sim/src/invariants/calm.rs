use fau3_election::{Coordinator, Time};

use super::limits::Limits;
use crate::engine::{NodeSet, nodes_of};
use crate::world::{Node, Truth};

pub(super) const GOODBYE: &str = "goodbye";
pub(super) const RELAY: &str = "needless-relay";

/// What holds where nothing at all is wrong with the links: a full mesh that
/// loses nothing, settled. There goodbyes are heard by all at once, and
/// nothing needs to be sent on.
#[derive(Debug)]
pub(super) struct Calm {
    /// For each node: since when its mesh is faultless, and what it had relayed by then.
    since: Vec<Option<(Time, u64)>>,
    /// Who must have heard the goodbye that is being said.
    farewell: Vec<NodeSet>,
}

impl Calm {
    pub(super) fn new(nodes: usize) -> Self {
        Self { since: vec![None; nodes], farewell: vec![0; nodes] }
    }

    pub(super) fn leaves(&mut self, _: &[Node], truth: &Truth, node: usize, settled: bool) {
        let hear_it = if settled { truth.faultless(node) } else { 0 };
        self.farewell[node] = hear_it;
    }

    pub(super) fn left(&mut self, nodes: &[Node], truth: &Truth, node: usize) -> Result<(), (&'static str, String)> {
        let id = nodes[node].id;
        let still = nodes_of(self.farewell[node] & truth.faultless(node) & truth.running())
            .find(|other| nodes[*other].view.deputy == Some(id) || nodes[*other].view.coordinator == Coordinator::Router(id));
        match still {
            Some(other) => Err((GOODBYE, format!("r{node} has left, but r{other} still follows it"))),
            None => Ok(()),
        }
    }

    /// Notes when a faultless time begins, and judges it while it lasts.
    pub(super) fn look(
        &mut self,
        nodes: &[Node],
        truth: &Truth,
        members: NodeSet,
        limits: &Limits,
        now: Time,
    ) -> Result<(), (&'static str, String)> {
        let last = nodes_of(members).map(|node| truth.changed_at(node)).max().unwrap_or_default();
        // One outside who is heard one way only would have to be told about.
        let whole = members == truth.running()
            && nodes_of(members).all(|node| truth.faultless(node) | 1 << node == members);
        for node in nodes_of(members) {
            let relayed = relayed(&nodes[node]);
            match self.since[node] {
                _ if !whole || last + limits.settle > now => self.since[node] = None,
                Some((since, before)) if since >= last => {
                    if relayed > before {
                        let text = format!(
                            "r{node} relayed {} records since {since}, though all hear all",
                            relayed - before
                        );
                        return Err((RELAY, text));
                    }
                }
                _ => self.since[node] = Some((now, relayed)),
            }
        }
        Ok(())
    }
}

fn relayed(node: &Node) -> u64 {
    node.election.as_ref().map_or(0, |election| election.counters().relayed_records)
}

/// The last look, at the end of a run.
pub(super) fn all_relays(calm: &Calm, nodes: &[Node], truth: &Truth) -> Result<(), (&'static str, String)> {
    for node in nodes_of(truth.running()) {
        if let Some((since, before)) = calm.since[node] {
            if relayed(&nodes[node]) > before && since >= truth.changed_at(node) {
                return Err((RELAY, format!("r{node} relayed records since {since}, though all hear all")));
            }
        }
    }
    Ok(())
}

use fau3_election::{Coordinator, Counters, Election, Time};

use super::limits::Limits;
use crate::engine::{NodeSet, nodes_of};
use crate::world::{Node, Truth};

pub(super) const GOODBYE: &str = "goodbye";
pub(super) const RELAY: &str = "needless-relay";

/// Where all hear all, at most one record in so many is sent on.
const RELAYED_PART: u64 = 16;

/// What holds where nothing at all is wrong with the links: a full mesh that
/// loses nothing, settled. There goodbyes are heard by all at once, and
/// nothing needs to be sent on.
#[derive(Debug)]
pub(super) struct Calm {
    /// For each node: since when its mesh is faultless, and what it had relayed
    /// and all its members had flooded by then.
    since: Vec<Option<(Time, u64, u64)>>,
    /// Who must hear the goodbye that is being said, and since when.
    farewell: Vec<(NodeSet, Time)>,
}

impl Calm {
    pub(super) fn new(nodes: usize) -> Self {
        Self { since: vec![None; nodes], farewell: vec![(0, Time::ZERO); nodes] }
    }

    pub(super) fn leaves(&mut self, truth: &Truth, node: usize, settled: bool, now: Time) {
        self.farewell[node] = (if settled { truth.faultless(node) } else { 0 }, now);
    }

    /// The last word has been said: all that heard it without any fault follow another.
    pub(super) fn left(
        &self,
        nodes: &[Node],
        truth: &Truth,
        node: usize,
    ) -> Result<(), (&'static str, String)> {
        let id = nodes[node].id;
        let (hear_it, at) = self.farewell[node];
        // One that stands still before it has heard it keeps it on the others' maps.
        if hear_it & !truth.running() != 0 || nodes_of(hear_it).any(|other| truth.changed_at(other) > at) {
            return Ok(());
        }
        let believes = |other: &usize| {
            let machine = &nodes[*other];
            let counts = |election: &Election| election.map().component(machine.id).contains(&id);
            let follows =
                machine.view.deputy == Some(id) || machine.view.coordinator == Coordinator::Router(id);
            follows || machine.election.as_ref().is_some_and(counts)
        };
        match nodes_of(hear_it & truth.running()).find(believes) {
            Some(other) => Err((GOODBYE, format!("r{node} has left, but r{other} still counts on it"))),
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
        let flooded = nodes_of(members).map(|node| counters(&nodes[node]).records).sum::<u64>();
        for node in nodes_of(members) {
            let relayed = counters(&nodes[node]).relayed_records;
            match self.since[node] {
                _ if !whole || last + limits.settle > now => self.since[node] = None,
                Some((since, before, floods)) if since >= last => {
                    // A heartbeat that overtakes a flood makes one ask; that is rare.
                    if relayed - before > 1 + (flooded - floods) / RELAYED_PART {
                        let text = format!(
                            "r{node} relayed {} of {} records since {since}, though all hear all",
                            relayed - before,
                            flooded - floods
                        );
                        return Err((RELAY, text));
                    }
                }
                _ => self.since[node] = Some((now, relayed, flooded)),
            }
        }
        Ok(())
    }
}

fn counters(node: &Node) -> Counters {
    node.election.as_ref().map_or_else(Counters::default, Election::counters)
}

use fau3_election::{Coordinator, Time, View};

use super::limits::Limits;
use crate::engine::nodes_of;
use crate::world::{Node, Truth};

pub(super) const HAND_BACKS: &str = "hand-backs";

/// A router that comes and goes gets the lead back quickly once, then ever
/// more slowly; and no hold-down lasts for ever.
#[derive(Debug)]
pub(super) struct Flapping {
    /// For each node, when it took the lead from one that lived on.
    taken: Vec<Vec<Time>>,
    /// It has been away since it last took the lead: restarted, or cut off from all.
    away: Vec<bool>,
    /// Since when it is held down.
    held: Vec<Option<Time>>,
}

impl Flapping {
    pub(super) fn new(nodes: usize) -> Self {
        Self { taken: vec![Vec::new(); nodes], away: vec![false; nodes], held: vec![None; nodes] }
    }

    /// It starts, or has no link left.
    pub(super) fn gone(&mut self, node: usize) {
        self.away[node] = true;
    }

    pub(super) fn viewed(
        &mut self,
        limits: &Limits,
        nodes: &[Node],
        truth: &Truth,
        node: usize,
        before: &View,
        now: Time,
    ) -> Result<(), (&'static str, String)> {
        let after = &nodes[node].view;
        if after.held != before.held {
            self.held[node] = after.held.then_some(now);
        }
        let from_another = matches!(before.coordinator, Coordinator::Router(id)
            if nodes_of(truth.component(node)).any(|other| other != node && nodes[other].id == id));
        if !after.leads() || before.leads() || !from_another || truth.is_doubtful(truth.component(node)) {
            return Ok(());
        }
        if !std::mem::take(&mut self.away[node]) {
            return Ok(()); // It was others that came and went.
        }
        // Who has just started remembers nobody's flaps: most must have seen them.
        let others = truth.component(node) & !(1 << node);
        let saw =
            nodes_of(others).filter(|other| nodes[*other].started + limits.flapping_window <= now).count();
        if saw * 2 <= others.count_ones() as usize {
            return Ok(());
        }
        let taken = &mut self.taken[node];
        taken.retain(|at| *at + limits.flapping_window > now);
        taken.push(now);
        if taken.len() > limits.hand_backs_max {
            let text = format!(
                "r{node} took the lead back {} times within {:?}",
                taken.len(),
                limits.flapping_window
            );
            return Err((HAND_BACKS, text));
        }
        Ok(())
    }

    pub(super) fn next_look(&self, limits: &Limits, truth: &Truth) -> Time {
        let due = |(node, since): (usize, &Option<Time>)| {
            since.map(|since| since.max(truth.changed_at(node)) + limits.held_max)
        };
        self.held.iter().enumerate().filter_map(due).min().unwrap_or(Time::MAX)
    }

    pub(super) fn look(
        &mut self,
        limits: &Limits,
        truth: &Truth,
        now: Time,
    ) -> Result<(), (&'static str, String)> {
        for (node, since) in self.held.iter_mut().enumerate() {
            if truth.running() >> node & 1 == 0 {
                *since = None;
            }
            let Some(began) = *since else { continue };
            let members = truth.component(node);
            let last = nodes_of(members).map(|member| truth.changed_at(member)).max().unwrap_or(began);
            if truth.is_doubtful(members) || last.max(began) + limits.held_max > now {
                continue;
            }
            return Err((
                HAND_BACKS,
                format!("r{node} is held down since {began}, its links are firm since {last}"),
            ));
        }
        Ok(())
    }
}

use std::collections::BTreeSet;

use fau3_election::{Epoch, Time, View};

use super::limits::Limits;
use crate::engine::nodes_of;
use crate::world::{Node, Truth};

pub(super) const CAUSE: &str = "cause";
pub(super) const NEWEST_LIST: &str = "newest-list";
pub(super) const LISTENING: &str = "listening";
pub(super) const EPOCH_ORDER: &str = "epoch-order";
pub(super) const EPOCH_UNIQUE: &str = "epoch-unique";

/// What must hold under any fault, at each change of a view.
#[derive(Debug)]
pub(super) struct Always {
    /// All terms of leading that ever began.
    used: BTreeSet<Epoch>,
    /// For each node its latest term and the life of the state file it had.
    latest: Vec<Option<(u64, u32)>>,
    /// Role changes that wait for their cause to be looked for.
    changes: Vec<(usize, Time)>,
    /// Role changes of each node since the last cause.
    count: Vec<(Time, u32)>,
}

impl Always {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            used: BTreeSet::new(),
            latest: vec![None; nodes],
            changes: Vec::new(),
            count: vec![(Time::ZERO, 0); nodes],
        }
    }

    pub(super) fn epochs(&self) -> &BTreeSet<Epoch> {
        &self.used
    }

    pub(super) fn started(&mut self, node: usize) {
        self.changes.retain(|(changed, _)| *changed != node);
    }

    /// The state file is not this node's alone.
    pub(super) fn forget(&mut self, node: usize) {
        self.latest[node] = None;
    }

    pub(super) fn viewed(
        &mut self,
        limits: &Limits,
        nodes: &[Node],
        node: usize,
        before: &View,
        now: Time,
    ) -> Result<(), (&'static str, String)> {
        let machine = &nodes[node];
        let after = &machine.view;
        newest_list(machine, node)?;
        if !after.leads() {
            return Ok(());
        }
        let age = machine.clock.local(now);
        if age < Time::ZERO + limits.listening {
            return Err((LISTENING, format!("r{node} leads {age} s after its start")));
        }
        if before.leads() && before.epoch == after.epoch {
            return Ok(());
        }
        let Some(epoch) = after.epoch.filter(|epoch| epoch.router == machine.id) else {
            return Err((
                EPOCH_UNIQUE,
                format!("r{node} leads without an epoch of its own: {:?}", after.epoch),
            ));
        };
        if !self.used.insert(epoch) {
            return Err((EPOCH_UNIQUE, format!("r{node} uses epoch {epoch} a second time")));
        }
        let before = self.latest[node].filter(|(_, disk)| *disk == machine.disk_lives);
        if let Some((number, _)) = before.filter(|(number, _)| epoch.number <= *number) {
            return Err((EPOCH_ORDER, format!("r{node} leads with epoch {} after {number}", epoch.number)));
        }
        self.latest[node] = Some((epoch.number, machine.disk_lives));
        Ok(())
    }

    /// A role changed, in a component to which something last happened at `cause`.
    pub(super) fn note_change(
        &mut self,
        limits: &Limits,
        node: usize,
        cause: Time,
        now: Time,
    ) -> Result<(), (&'static str, String)> {
        self.changes.push((node, now));
        let (since, count) = &mut self.count[node];
        *count = if *since == cause { *count + 1 } else { 1 };
        *since = cause;
        if *count > limits.changes_max {
            return Err((CAUSE, format!("r{node} changed its role {count} times since {cause}")));
        }
        Ok(())
    }

    /// Causes are looked for a little later: two routers may learn of one
    /// thing in either order.
    pub(super) fn next_look(&self, limits: &Limits) -> Time {
        self.changes.first().map_or(Time::MAX, |(_, at)| *at + limits.grace)
    }

    pub(super) fn look(
        &mut self,
        limits: &Limits,
        truth: &Truth,
        touched: &[Time],
        now: Time,
    ) -> Result<(), (&'static str, String)> {
        while let Some((node, at)) = self.changes.first().copied() {
            if at + limits.grace > now {
                return Ok(());
            }
            self.changes.remove(0);
            let members = truth.component(node) | 1 << node;
            let cause = nodes_of(members).map(|member| touched[member]).max().unwrap_or_default();
            if truth.is_doubtful(members) {
                continue;
            }
            if cause + limits.cause < at {
                let text = format!("r{node} changed its role at {at}; nothing has happened since {cause}");
                return Err((CAUSE, text));
            }
        }
        Ok(())
    }
}

/// Whatever a router knows at this moment, it may not prefer an older list to
/// its own while it could lead itself.
fn newest_list(machine: &Node, node: usize) -> Result<(), (&'static str, String)> {
    let view = &machine.view;
    let Some(deputy) = view.deputy.filter(|deputy| *deputy != machine.id && view.ready) else {
        return Ok(());
    };
    let record = machine.election.as_ref().and_then(|election| election.map().get(deputy));
    match record {
        Some(record) if record.list < view.list => {
            let text = format!("r{node} holds {:?} and follows a router with {:?}", view.list, record.list);
            Err((NEWEST_LIST, text))
        }
        _ => Ok(()),
    }
}

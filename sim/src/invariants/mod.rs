//! What must hold, whatever goes wrong. Each rule has a name, a file or a
//! function of its own, and a bound that follows from the timers ([`Limits`]).
//!
//! *Always* rules are checked at each change of a view, under any fault.
//! *Settled* rules hold for a two-way component in which nothing has changed
//! for [`Limits::settle`]: they are looked at when that time is over and
//! a moment ([`Limits::grace`]) after each change of a view. *Final* rules hold at the end of the quiet phase.
//!
//! Knows the truth about the network, which no router does; changes nothing.

mod always;
mod calm;
mod flapping;
mod limits;
mod settled;
#[cfg(test)]
mod tests;

use std::fmt;

use fau3_election::{Time, View};

use crate::engine::{NodeSet, nodes_of};
use crate::faults::set_text;
use crate::world::{Node, Setup, Truth};

pub use limits::Limits;

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name, one of [`NAMES`].
    pub invariant: &'static str,
    /// When it was seen.
    pub at: Time,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.invariant, self.at, self.text)
    }
}

/// All rules: name, and what it says.
pub const NAMES: [(&str, &str); 16] = [
    (settled::ONE_LEADER, "settled: one router leads, or none where the main server does"),
    (settled::AGREEMENT, "settled: all members name the same deputy and coordinator"),
    (
        settled::HIGHEST,
        "settled: the deputy is the highest ready entry of the newest list that is not held down",
    ),
    (settled::FOLLOWING, "settled: whoever is followed leads"),
    (settled::DEFAULT_SERVER, "settled: the main server leads exactly where the deputy reaches it"),
    (settled::ONE_LIST, "settled: all members hold one list"),
    (settled::FENCING, "settled: all know the leader's epoch, and refuse each older one"),
    (
        always::NEWEST_LIST,
        "always: no one with the newest list follows a router that it knows to hold an older one",
    ),
    (
        always::CAUSE,
        "always: a role changes only after a change of reachability, list, readiness or restart, a few times for each",
    ),
    (always::LISTENING, "always: no router leads before one detection time after its start"),
    (always::EPOCH_ORDER, "always: a router's epochs go up while its state file lives"),
    (always::EPOCH_UNIQUE, "always: no epoch is used twice, lost disks and clones included"),
    (flapping::HAND_BACKS, "always: a flapping router gets the lead back ever more slowly, but gets it"),
    (calm::GOODBYE, "calm: a router that has said goodbye is followed by no one, nor on anyone's map"),
    (calm::RELAY, "calm: where all hear all, nothing is relayed"),
    (CONVERGED, "final: the healthy mesh has settled, nobody is held down, and the settled rules hold"),
];

/// Name of the final rule.
pub const CONVERGED: &str = "converged";

/// Looks at one run.
#[derive(Debug)]
pub(crate) struct Checker {
    limits: Limits,
    active: bool,
    routers: usize,
    /// The first rule that did not hold.
    pub(crate) violation: Option<Violation>,
    /// When to look next, if nothing happens before.
    pub(crate) next_look: Time,
    /// When anything that may move a leader last happened to a node.
    touched: Vec<Time>,
    /// When a node's view last changed.
    stirred: Vec<Time>,
    /// Since when views of a settled component keep changing; by its first member.
    restless: Vec<Option<Time>>,
    /// When old epochs were last tried in a component; by its first member.
    fenced_at: Vec<Time>,
    always: always::Always,
    calm: calm::Calm,
    flapping: flapping::Flapping,
    /// Writes of old epochs that were refused as they must be.
    pub(crate) stale_refused: u64,
}

impl Checker {
    pub(crate) fn new(setup: &Setup) -> Self {
        let nodes = setup.places();
        Self {
            limits: Limits::of(&setup.config, setup.routers),
            active: setup.checked,
            routers: setup.routers,
            violation: None,
            next_look: Time::MAX,
            touched: vec![Time::ZERO; nodes],
            stirred: vec![Time::ZERO; nodes],
            restless: vec![None; nodes],
            fenced_at: vec![Time::ZERO; nodes],
            always: always::Always::new(nodes),
            calm: calm::Calm::new(nodes),
            flapping: flapping::Flapping::new(nodes),
            stale_refused: 0,
        }
    }

    fn fail(&mut self, invariant: &'static str, at: Time, text: String) {
        if self.active && self.violation.is_none() {
            self.violation = Some(Violation { invariant, at, text });
        }
    }

    fn judge(&mut self, at: Time, found: Result<(), (&'static str, String)>) {
        if let Err((invariant, text)) = found {
            self.fail(invariant, at, text);
        }
    }

    /// The truth about these nodes changed.
    pub(crate) fn traced(&mut self, truth: &Truth, nodes: NodeSet, now: Time) {
        nodes_of(nodes).filter(|node| truth.two_way(*node) == 0).for_each(|node| self.flapping.gone(node));
        self.touched(nodes, now);
    }

    /// Something happened to these nodes after which a leader may change.
    pub(crate) fn touched(&mut self, nodes: NodeSet, now: Time) {
        nodes_of(nodes).for_each(|node| self.touched[node] = now);
        self.next_look = self.next_look.min(now + self.limits.settle);
    }

    /// A life begins.
    pub(crate) fn started(&mut self, node: usize, now: Time) {
        self.always.started(node);
        self.flapping.gone(node);
        self.touched(1 << node, now);
    }

    /// A node's identity runs twice from now on: it has no state file of its own.
    pub(crate) fn cloned(&mut self, node: usize, spare: usize) {
        self.always.forget(node);
        self.always.forget(spare);
    }

    /// It is alone again, and may have seen its clone's counters meanwhile.
    pub(crate) fn uncloned(&mut self, node: usize) {
        self.always.forget(node);
    }

    /// A node's view changed.
    pub(crate) fn viewed(&mut self, nodes: &[Node], truth: &Truth, node: usize, before: &View, now: Time) {
        if !self.active {
            return;
        }
        let after = &nodes[node].view;
        if (after.ready, after.held, after.list) != (before.ready, before.held, before.list) {
            self.touched(1 << node, now);
        }
        let found = self.always.viewed(&self.limits, nodes, node, before, now);
        self.judge(now, found);
        let found = self.flapping.viewed(&self.limits, nodes, truth, node, before, now);
        self.judge(now, found);
        if after.role != before.role {
            let members = self.believed(truth, node, now);
            let cause = nodes_of(members).map(|member| self.touched[member]).max().unwrap_or_default();
            if !truth.is_doubtful(members) {
                let found = self.always.note_change(&self.limits, node, cause, now);
                self.judge(now, found);
            }
        }
        self.stirred[node] = now;
        self.next_look = self.next_look.min(now + self.limits.grace);
    }

    /// Whose doings may move a node: its component, and until it has settled all
    /// that it was connected with before.
    fn believed(&self, truth: &Truth, node: usize, now: Time) -> NodeSet {
        if truth.changed_at(node) + self.limits.settle > now {
            truth.running() | 1 << node
        } else {
            truth.component(node)
        }
    }

    /// A router is asked to leave.
    pub(crate) fn leaves(&mut self, truth: &Truth, node: usize, now: Time) {
        let settled = self.settled_since(truth, truth.component(node)).is_some_and(|since| since <= now);
        self.calm.leaves(truth, node, settled, now);
    }

    /// Its election has nothing more to say.
    pub(crate) fn left(&mut self, nodes: &[Node], truth: &Truth, node: usize, now: Time) {
        let found = self.calm.left(nodes, truth, node);
        self.judge(now, found);
    }

    /// From when on the settled rules hold for a component; `None` if its
    /// links are too bad for that.
    fn settled_since(&self, truth: &Truth, members: NodeSet) -> Option<Time> {
        let last = nodes_of(members).map(|node| self.touched[node]).max()?;
        (!truth.is_doubtful(members)).then_some(last + self.limits.settle)
    }

    /// Looks at all components.
    pub(crate) fn look(&mut self, nodes: &mut [Node], truth: &Truth, now: Time) {
        if !self.active {
            self.next_look = Time::MAX;
            return;
        }
        let mut next = Time::MAX;
        for members in truth.components() {
            match self.settled_since(truth, members) {
                Some(since) if since <= now => next = next.min(self.look_at(nodes, members, now)),
                Some(since) => next = next.min(since),
                None => {}
            }
            let due = self.calm.look(nodes, truth, members, &self.limits, now);
            self.judge(now, due);
        }
        let found = self.always.look(&self.limits, truth, &self.touched, now);
        self.judge(now, found);
        let found = self.flapping.look(&self.limits, truth, now);
        self.judge(now, found);
        next =
            next.min(self.always.next_look(&self.limits)).min(self.flapping.next_look(&self.limits, truth));
        self.next_look = next.max(Time::from_micros(now.as_micros() + 1));
    }

    fn look_at(&mut self, nodes: &mut [Node], members: NodeSet, now: Time) -> Time {
        let first = members.trailing_zeros() as usize;
        let stirred = nodes_of(members).map(|node| self.stirred[node]).max().unwrap_or_default();
        if stirred + self.limits.grace > now {
            // Views change one after the other, but not for ever.
            let since = *self.restless[first].get_or_insert(now);
            if since + self.limits.settle <= now {
                let text = format!("views keep changing in {} since {since}", set_text(members));
                self.fail(settled::AGREEMENT, now, text);
            }
            return stirred + self.limits.grace;
        }
        self.restless[first] = None;
        let found = settled::check(nodes, members);
        self.judge(now, found);
        // Trying old epochs is not cheap: once each time a component settles.
        let last = nodes_of(members).map(|node| self.touched[node]).max().unwrap_or_default();
        if self.violation.is_none() && self.fenced_at[first] <= last {
            self.fenced_at[first] = now;
            match settled::fencing(nodes, members, self.always.epochs()) {
                Ok(refused) => self.stale_refused += refused,
                Err(found) => self.judge(now, Err(found)),
            }
        }
        Time::MAX
    }

    /// The settled rules as they stand now, for all components.
    pub(crate) fn standing(&self, nodes: &[Node], truth: &Truth, at: Time) -> Option<Violation> {
        let broken = truth.components().find_map(|members| settled::check(nodes, members).err());
        broken.map(|(invariant, text)| Violation { invariant, at, text })
    }

    /// The end of the quiet phase.
    pub(crate) fn finish(&mut self, nodes: &[Node], truth: &Truth, now: Time) {
        if !self.active {
            return;
        }
        for members in truth.components() {
            let found = self.calm.look(nodes, truth, members, &self.limits, now);
            self.judge(now, found);
        }
        for members in truth.components() {
            let settled = self.settled_since(truth, members).is_some_and(|since| since <= now);
            let held = nodes_of(members).find(|node| nodes[*node].view.held);
            if !settled {
                self.fail(CONVERGED, now, format!("still changing after the quiet phase: {members:b}"));
            } else if let Some(node) = held {
                self.fail(CONVERGED, now, format!("r{node} is still held down"));
            }
            let found = settled::check(nodes, members);
            self.judge(now, found);
        }
        let down = nodes.iter().take(self.routers).position(|node| !node.runs());
        if let Some(node) = down {
            self.fail(
                CONVERGED,
                now,
                format!("r{node} does not run at the end: {:?}", nodes[node].view.role),
            );
        }
        if truth.components().count() > 1 {
            self.fail(CONVERGED, now, "more than one component of a healthy network".into());
        }
    }
}

use std::time::Duration;

use fau3_election::Input;

use super::World;
use super::events::Event;
use crate::engine::nodes_of;
use crate::faults::{Fault, FaultKind};

/// The standing connection to the main server is looked at this often, in
/// microseconds (`check_interval_ms` of the UCI file).
const CHECK_US: u64 = 250_000;
/// First check by a new deputy: a connection must be opened.
const CONNECT_US: (u64, u64) = (5_000, 80_000);

/// What is around the elections: the network's state, connections, the
/// main server and the people who change lists.
impl World {
    /// Works out anew who reaches whom, after anything about it changed.
    pub(super) fn retrace(&mut self) {
        self.network.heal();
        for (fault, on) in self.setup.faults.iter().zip(&self.on) {
            if *on {
                fault.apply(&mut self.network);
            }
        }
        // Half a flap, or the pause of a stall: open, but nothing to build on.
        let wobbly = self.setup.faults.iter().fold(0, |set, fault| set | wobbles(fault, self.now));
        let is_lie = |(fault, on): (&Fault, &bool)| *on && matches!(fault.kind, FaultKind::Words { .. });
        let deceived = self.setup.faults.iter().zip(&self.on).any(is_lie);
        let changed = self.truth.update(&self.network, &self.nodes, wobbly, deceived, self.now);
        if changed != 0 {
            self.checker.traced(&self.truth, changed, self.now);
            self.dial_around();
            self.look();
        }
    }

    /// Two-way neighbours that are not connected try it within 250 ms.
    fn dial_around(&mut self) {
        for a in 0..self.nodes.len() {
            for b in nodes_of(self.truth.two_way(a) & !self.connected[a]).filter(|b| *b > a) {
                let at = self.now + Duration::from_micros(self.random.between(5_000, 255_000));
                self.queue.push(at, Event::Dial { a: a as u8, b: b as u8 });
            }
        }
    }

    pub(super) fn dial(&mut self, a: usize, b: usize) {
        if self.truth.two_way(a) & (1 << b) == 0 || self.connected[a] & (1 << b) != 0 {
            return;
        }
        self.connected[a] |= 1 << b;
        self.connected[b] |= 1 << a;
        let (id_a, id_b) = (self.nodes[a].id, self.nodes[b].id);
        self.feed(a, Input::Connected(id_b));
        self.feed(b, Input::Connected(id_a));
    }

    /// True if the main server is up and this router has a way to it.
    pub(crate) fn reaches_default(&self, node: usize) -> bool {
        let away = |(fault, on): (&Fault, &bool)| {
            *on && matches!(fault.kind, FaultKind::DefaultServer { nodes } if nodes & (1 << node) != 0)
        };
        self.setup.default_server && !self.setup.faults.iter().zip(&self.on).any(away)
    }

    /// The main server came, went or changed its list: each router that
    /// watches it finds out with its next check.
    pub(super) fn recheck(&mut self) {
        for node in 0..self.nodes.len() {
            let reach = self.reaches_default(node);
            if self.nodes[node].default_reached != reach {
                self.nodes[node].default_reached = reach;
                self.checker.touched(1 << node, self.now);
            }
            if self.nodes[node].watching {
                self.check_within(node, (1_000, CHECK_US));
            }
        }
    }

    /// A router that has become the deputy begins to look; one that no longer
    /// is stops.
    pub(super) fn watch(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let is_deputy = machine.view.deputy == Some(machine.id);
        if self.setup.default_server && is_deputy != machine.watching {
            self.nodes[node].watching = is_deputy;
            self.check_within(node, if is_deputy { CONNECT_US } else { (0, 0) });
        }
    }

    fn check_within(&mut self, node: usize, (low, high): (u64, u64)) {
        let at = self.now + Duration::from_micros(self.random.between(low, high));
        let boot = self.nodes[node].boot;
        self.queue.push(at, Event::Checked { node: node as u8, boot });
    }

    pub(super) fn checked(&mut self, node: usize) {
        if self.nodes[node].frozen {
            let boot = self.nodes[node].boot;
            self.nodes[node].keep(Event::Checked { node: node as u8, boot });
            return;
        }
        if !self.nodes[node].watching {
            self.feed(node, Input::DefaultServerUnwatched);
            return;
        }
        let reached = self.nodes[node].default_reached;
        self.feed(node, Input::DefaultServer(reached));
        if reached && self.server_list.is_some() {
            let at = self.now + Duration::from_micros(self.random.between(2_000, 50_000));
            let boot = self.nodes[node].boot;
            self.queue.push(at, Event::Fetched { node: node as u8, boot });
        }
    }

    pub(super) fn fetched(&mut self, node: usize) {
        if self.nodes[node].watching && !self.nodes[node].frozen && self.nodes[node].default_reached {
            let order = self.server_list.clone().unwrap_or_default();
            let entries = self.setup.entries(&order);
            self.feed(node, Input::ListFetched(&entries));
        }
    }

    /// People go from router to router between the fault's beginning and end.
    pub(super) fn spread_configuration(&mut self, index: usize, fault: &Fault) {
        let span = fault.until.since(fault.from).as_micros() as u64;
        for node in 0..self.setup.routers {
            let at = self.now + Duration::from_micros(self.random.below(span.max(1)));
            self.queue.push(at, Event::Configured { node: node as u8, fault: index as u16 });
        }
    }

    pub(super) fn configured(&mut self, node: usize, fault: usize) {
        let FaultKind::ListConfigured { order } = &self.setup.faults[fault].kind else { return };
        self.nodes[node].uci = order.clone();
        if !self.nodes[node].frozen {
            let entries = self.setup.entries(&self.nodes[node].uci);
            self.feed(node, Input::ListConfigured(&entries));
        }
    }
}

/// Nodes whose links may be open at this moment but will not stay so.
fn wobbles(fault: &Fault, now: fau3_election::Time) -> u64 {
    match fault.kind {
        FaultKind::Flap { from, to, .. } if now >= fault.from && now < fault.until => from | to,
        _ => 0,
    }
}

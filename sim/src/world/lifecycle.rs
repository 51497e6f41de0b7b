use std::time::Duration;

use fau3_election::{Config, Election, Input, SavedState, Time};

use super::World;
use super::events::Event;
use super::node::Node;
use crate::engine::{Clock, nodes_of};
use crate::faults::{Disk, Fault, FaultKind};
use crate::timeline::What;

/// What is on flash at this time is the backup that a router may come back with.
const BACKUP_UNTIL: Time = Time::from_secs(30);

/// Starting, crashing, leaving, and the connections in between.
impl World {
    /// Powers everything on and lines up the faults.
    pub(super) fn begin(&mut self) {
        for index in 0..self.setup.faults.len() {
            let fault = &self.setup.faults[index];
            if !matches!(fault.kind, FaultKind::ClockError { .. }) {
                self.queue.push(fault.from, Event::Fault { index: index as u16 });
            }
        }
        // The place for clones stays empty until one comes.
        if let Some(spare) = self.nodes.get_mut(self.setup.routers) {
            spare.down = 1;
        }
        for node in 0..self.setup.routers {
            let at = Time::from_millis(self.random.below(self.setup.start_spread_ms + 1));
            self.queue.push(at, Event::Start { node: node as u8 });
        }
        self.retrace();
    }

    pub(super) fn handle_rare(&mut self, event: Event) {
        match event {
            Event::Start { node } => self.start(usize::from(node)),
            Event::Fault { index } => self.turn(usize::from(index)),
            Event::Written { node, boot } => self.written(node.into(), boot),
            Event::Dial { a, b } => self.dial(a.into(), b.into()),
            Event::Closed { node, boot, peer } if self.nodes[usize::from(node)].boot == boot => {
                if self.nodes[usize::from(node)].frozen {
                    self.nodes[usize::from(node)].keep(Event::Closed { node, boot, peer });
                } else {
                    let id = self.nodes[usize::from(peer)].id;
                    self.feed(node.into(), Input::Closed(id));
                }
            }
            Event::Checked { node, boot } if self.nodes[usize::from(node)].boot == boot => {
                self.checked(node.into());
            }
            Event::Fetched { node, boot } if self.nodes[usize::from(node)].boot == boot => {
                self.fetched(node.into());
            }
            Event::Lie { fault } => self.lie(fault.into()),
            Event::Configured { node, fault } => self.configured(node.into(), fault.into()),
            Event::Deliver { .. } | Event::Wake { .. } => self.handle(event),
            Event::Closed { .. } | Event::Checked { .. } | Event::Fetched { .. } => {}
        }
    }

    /// A fault begins, ends, or comes to its next turn.
    fn turn(&mut self, index: usize) {
        let fault = self.setup.faults[index].clone();
        let active = fault.active(self.now);
        if active != self.on[index] {
            self.on[index] = active;
            self.note(None, || What::Fault { index, begins: active });
            if active {
                self.strike(index, &fault);
            } else {
                self.mend(&fault);
            }
        }
        match &fault.kind {
            // Between two turns a flapping thing is still not to be relied upon.
            FaultKind::Stall { node, .. } if self.now == fault.from => self.nodes[*node].stalling += 1,
            FaultKind::Stall { node, .. } if self.now >= fault.until => self.nodes[*node].stalling -= 1,
            _ => {}
        }
        if let Some(next) = fault.next_change(self.now) {
            self.queue.push(next, Event::Fault { index: index as u16 });
        }
        self.retrace();
    }

    fn strike(&mut self, index: usize, fault: &Fault) {
        match &fault.kind {
            FaultKind::Stall { node, .. } => self.nodes[*node].frozen = true,
            FaultKind::Crash { node, silent, .. } => self.power_off(*node, *silent),
            FaultKind::CrashLoop { node, .. } => self.power_off(*node, true),
            FaultKind::Absent { node } => self.power_off(*node, true),
            FaultKind::Leave { node } => self.leave(*node),
            FaultKind::Clone { node } => self.clone_of(*node),
            FaultKind::SameName { node, as_of } => self.rename(*node, *as_of),
            FaultKind::Words { .. } => self.lie(index),
            FaultKind::DefaultServer { .. } => self.recheck(),
            FaultKind::ListConfigured { .. } => self.spread_configuration(index, fault),
            FaultKind::ListFetched { order } => {
                self.server_list = Some(order.clone());
                self.recheck();
            }
            _ => {}
        }
    }

    fn mend(&mut self, fault: &Fault) {
        match &fault.kind {
            FaultKind::Stall { node, .. } => self.thaw(*node),
            FaultKind::Crash { node, disk, .. } => {
                self.replace_disk(*node, *disk);
                self.power_on(*node);
            }
            FaultKind::CrashLoop { node, .. } => self.power_on(*node),
            FaultKind::Absent { node } => {
                self.replace_disk(*node, Disk::Lost);
                self.power_on(*node);
            }
            FaultKind::Leave { node } => {
                self.power_off(*node, false);
                self.nodes[*node].down -= 1; // `leave` has counted it once.
                self.power_on(*node);
            }
            FaultKind::Clone { node } => self.unclone(*node),
            FaultKind::SameName { node, .. } => self.rename(*node, *node),
            FaultKind::DefaultServer { .. } => self.recheck(),
            _ => {}
        }
    }

    /// Starts a machine that has no reason left to be down.
    fn start(&mut self, node: usize) {
        let seed = self.random.bits();
        let config = self.config_of(node);
        let machine = &mut self.nodes[node];
        if machine.down > 0 || machine.election.is_some() {
            return;
        }
        machine.boot += 1;
        machine.started = self.now;
        machine.clock = Clock::new(self.now, machine.clock_ppm);
        (machine.wake_at, machine.due) = (Time::MAX, Time::MAX);
        machine.leaving = false;
        machine.watching = false;
        let election = Election::new(config, machine.id, machine.disk.clone(), seed, Time::ZERO);
        machine.view = election.view();
        machine.election = Some(election);
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0x40);
        self.note(Some(node), || What::Started);
        self.checker.started(node, self.now);
        while let Some(output) = self.nodes[node].election.as_mut().and_then(Election::poll_output) {
            self.carry_out(node, output);
        }
        self.schedule(node);
        self.retrace();
    }

    fn config_of(&self, node: usize) -> Config {
        let machine = &self.nodes[node];
        Config { name: machine.name(), list: self.setup.entries(&machine.uci), ..self.setup.config.clone() }
    }

    /// One more reason to be down. Where it ran, its kernel closes its
    /// connections, unless the power went.
    pub(crate) fn power_off(&mut self, node: usize, silent: bool) {
        self.nodes[node].down += 1;
        self.halt(node, silent);
    }

    /// One reason less.
    pub(crate) fn power_on(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        machine.down = machine.down.saturating_sub(1);
        self.start(node);
    }

    fn halt(&mut self, node: usize, silent: bool) {
        let machine = &mut self.nodes[node];
        let Some(election) = machine.election.take() else { return };
        machine.counters.push(election.counters());
        machine.boot += 1;
        machine.writing.clear();
        for event in std::mem::take(&mut machine.kept) {
            if let Event::Deliver { letter, .. } = event {
                self.mail.drop(letter);
            }
        }
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0xc0);
        self.note(Some(node), || What::Stopped { silent });
        let peers = std::mem::take(&mut self.connected[node]);
        for peer in nodes_of(peers) {
            self.connected[peer] &= !(1 << node);
            if !silent && self.network.reaches(node) & (1 << peer) != 0 {
                let at = self.now + Duration::from_micros(self.random.between(200, 2_000));
                let boot = self.nodes[peer].boot;
                self.queue.push(at, Event::Closed { node: peer as u8, boot, peer: node as u8 });
            }
        }
        self.retrace();
    }

    /// SIGTERM. The machine is down from when its election has said goodbye.
    pub(crate) fn leave(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        machine.down += 1;
        if machine.frozen || machine.election.is_none() {
            self.halt(node, false);
            return;
        }
        machine.leaving = true;
        self.note(Some(node), || What::Leaves);
        self.checker.leaves(&self.truth, node, self.now);
        self.retrace();
        self.feed(node, Input::Leave);
    }

    /// The election has nothing more to do: the process ends, if it was asked
    /// to leave; one that found its identity cloned stays and says so.
    pub(super) fn exit(&mut self, node: usize) {
        if self.nodes[node].leaving {
            self.checker.left(&self.nodes, &self.truth, node, self.now);
            self.halt(node, false);
        } else {
            self.retrace();
        }
    }

    /// A process that stood still finds what has arrived, in order.
    fn thaw(&mut self, node: usize) {
        self.nodes[node].frozen = false;
        let kept = std::mem::take(&mut self.nodes[node].kept);
        for event in kept {
            if let Event::Wake { node, boot } = event {
                let machine = &mut self.nodes[usize::from(node)];
                if machine.boot == boot {
                    (machine.wake_at, machine.due) = (self.now, Time::ZERO);
                }
            }
            self.queue.push(self.now, event);
        }
    }

    fn replace_disk(&mut self, node: usize, disk: Disk) {
        let first_list = fau3_election::ServerList::new(0, self.setup.entries(&self.setup.first_order()));
        let machine = &mut self.nodes[node];
        if machine.election.is_some() {
            return; // Another fault's start came first: flash is in use.
        }
        match disk {
            Disk::Kept => return,
            Disk::Lost => machine.disk = SavedState::default(),
            Disk::Backup => machine.disk = machine.backup.clone(),
            Disk::OldList => machine.disk.list = first_list,
        }
        if disk != Disk::OldList {
            machine.disk_lives += 1;
        }
    }

    fn written(&mut self, node: usize, boot: u32) {
        let machine = &mut self.nodes[node];
        if machine.boot != boot {
            return; // The power went before.
        }
        if machine.frozen {
            machine.keep(Event::Written { node: node as u8, boot });
            return;
        }
        let Some((ticket, state)) = machine.writing.pop_front() else { return };
        if self.now < BACKUP_UNTIL {
            machine.backup = state.clone();
        }
        machine.disk = state;
        self.tally.writes += 1;
        self.feed(node, Input::Persisted { ticket });
    }

    /// A second machine with the same key, name and flash.
    fn clone_of(&mut self, node: usize) {
        let spare = self.setup.routers;
        if self.nodes.get(spare).is_none_or(|twin| twin.down == 0) {
            return; // No place, or one clone is there already.
        }
        let Node { id, name_as, ref uci, ref disk, .. } = self.nodes[node];
        let (uci, disk) = (uci.clone(), disk.clone());
        let twin = &mut self.nodes[spare];
        (twin.id, twin.name_as, twin.uci, twin.disk) = (id, name_as, uci, disk);
        twin.disk_lives += 1;
        self.checker.cloned(node, spare);
        self.power_on(spare);
    }

    /// People take the clone away and restart the router, which has stopped.
    fn unclone(&mut self, node: usize) {
        let spare = self.setup.routers;
        if self.nodes.get(spare).is_none_or(|twin| twin.id != self.nodes[node].id || twin.down > 0) {
            return;
        }
        self.power_off(spare, true);
        self.nodes[spare].id = self.setup.id_of(spare);
        self.power_off(node, false);
        self.power_on(node);
        self.checker.uncloned(node);
    }

    fn rename(&mut self, node: usize, name_as: usize) {
        self.nodes[node].name_as = name_as;
        self.power_off(node, false);
        self.power_on(node);
    }
}

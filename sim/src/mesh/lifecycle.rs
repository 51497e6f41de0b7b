//! Starting, crashing, leaving, flash and disk, and what faults do.

use std::time::Duration;

use fau3::router::{Commit, Input, Restored, Router};
use fau3_election::{Config, Election, SavedState, ServerList, Time};

use super::World;
use super::connections::RATE;
use super::device::NOTICE_US;
use super::events::Event;
use super::line::Down;
use super::setup::FLASH;
use crate::engine::{Clock, NodeSet, nodes_of};
use crate::faults::{Disk, Fault, FaultKind};

/// What is on flash at this time is the backup that a router may come back with.
const BACKUP_UNTIL: Time = Time::from_secs(10);
/// From SIGTERM until the process ends: three floods of its goodbye, and a little more.
const GOODBYE: Duration = Duration::from_millis(400);
/// Routers start within this time from the beginning, in ms.
const START_SPREAD_MS: u64 = 2_000;

impl World {
    /// Powers everything on and lines up the faults.
    pub(super) fn begin(&mut self) {
        for index in 0..self.setup.faults.len() {
            let fault = &self.setup.faults[index];
            if !matches!(fault.kind, FaultKind::ClockError { .. }) {
                self.queue.push(fault.from, Event::Fault { index: index as u16 });
            }
        }
        for node in 0..self.setup.routers {
            let at = Time::from_millis(self.random.below(START_SPREAD_MS + 1));
            self.queue.push(at, Event::Start { node: node as u8 });
        }
        self.begin_clients();
        self.begin_server();
        self.begin_main();
        self.queue.push(self.setup.talk_until(), Event::Look);
    }

    /// A fault begins, ends, or comes to its next turn.
    pub(super) fn turn(&mut self, index: usize) {
        let fault = self.setup.faults[index].clone();
        let active = fault.active(self.now);
        if active != self.on[index] {
            self.on[index] = active;
            self.note(None, || format!("{} {}", if active { "+++" } else { "---" }, fault.kind));
            if active {
                self.strike(&fault);
            } else {
                self.mend(&fault);
            }
            self.segment_changed();
        }
        if let Some(next) = fault.next_change(self.now) {
            self.queue.push(next, Event::Fault { index: index as u16 });
        }
        self.retrace();
    }

    fn strike(&mut self, fault: &Fault) {
        match &fault.kind {
            FaultKind::Stall { node, .. } => self.machines[*node].frozen = true,
            FaultKind::Crash { node, silent, .. } => self.power_off(*node, *silent),
            FaultKind::CrashLoop { node, .. } | FaultKind::Absent { node } => self.power_off(*node, true),
            FaultKind::Leave { node } => self.leave(*node),
            FaultKind::ListConfigured { order } => {
                let entries = self.setup.entries(order);
                for node in 0..self.setup.routers {
                    if self.machines[node].is_awake() {
                        self.feed(node, Input::ListConfigured(entries.clone()));
                    }
                }
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
            FaultKind::Absent { node } => {
                self.replace_disk(*node, Disk::Lost);
                self.power_on(*node);
            }
            FaultKind::CrashLoop { node, .. } | FaultKind::Leave { node } => self.power_on(*node),
            _ => {}
        }
    }

    /// Works out anew who reaches whom, after anything about it changed.
    pub(super) fn retrace(&mut self) {
        self.network.heal();
        for (fault, on) in self.setup.faults.iter().zip(&self.on) {
            if *on {
                fault.apply(&mut self.network);
            }
        }
        self.retrace_main();
        self.note_ways();
        self.truth_changed();
        self.watch_silence();
        self.truth_changed();
        self.dial_around();
    }

    /// Bytes a millisecond from one router to another.
    pub(super) fn rate(&self, a: usize, b: usize) -> u32 {
        if let Some(main) = self.main.as_ref().filter(|_| a.max(b) == self.setup.routers) {
            return main.rate();
        }
        let slow = |(fault, on): (&Fault, &bool)| match fault.kind {
            FaultKind::Slow { from, to, rate }
                if *on && ((from >> a & 1 & to >> b) | (from >> b & 1 & to >> a)) & 1 == 1 =>
            {
                Some(rate)
            }
            _ => None,
        };
        self.setup.faults.iter().zip(&self.on).filter_map(slow).min().unwrap_or(RATE)
    }

    /// A fault is on that may keep routers from hearing each other.
    pub(super) fn is_rough(&self) -> bool {
        let is_harmless = |kind: &FaultKind| {
            matches!(
                kind,
                FaultKind::ClockError { .. } | FaultKind::Slow { .. } | FaultKind::ListConfigured { .. }
            )
        };
        self.setup.faults.iter().zip(&self.on).any(|(fault, on)| *on && !is_harmless(&fault.kind))
    }

    /// Running routers of the segment that this one has a link with in both directions.
    pub(super) fn two_way(&self, node: usize) -> NodeSet {
        if !self.machines[node].is_awake() || node >= self.setup.routers {
            return 0;
        }
        let reached = nodes_of(self.network.reaches(node) & self.segment());
        let answers = |other: &usize| {
            self.machines[*other].is_awake() && self.network.reaches(*other) & (1 << node) != 0
        };
        reached.filter(answers).fold(0, |set, other| set | 1 << other)
    }

    /// Notes who is connected with whom, over however many hops.
    pub(super) fn truth_changed(&mut self) {
        self.disturbed_at = self.now;
        let mut near: Vec<NodeSet> = (0..self.machines.len()).map(|node| 1 << node).collect();
        for connection in &self.standing {
            if let Some([a, b]) = self.sound(*connection) {
                near[a] |= 1 << b;
                near[b] |= 1 << a;
            }
        }
        for a in 0..near.len() {
            let mut reached = near[a];
            let mut all = 0;
            while all != reached {
                all = reached;
                reached = nodes_of(all).fold(all, |set, node| set | near[node]);
            }
            for b in 0..near.len() {
                let is_apart = all & (1 << b) == 0;
                let until = &mut self.apart_until[a][b];
                if is_apart {
                    *until = Time::MAX;
                } else if *until == Time::MAX {
                    *until = self.now;
                }
            }
        }
        self.note_meetings();
    }

    /// Whether two routers had no connection at some time since then.
    pub(super) fn was_apart(&self, a: usize, b: usize, since: Time) -> bool {
        self.apart_until[a][b] >= since
            || [a, b].iter().any(|node| self.lives[*node].is_some_and(|died| died >= since))
    }

    /// Whether any two running routers have no connection now.
    pub(super) fn is_parted(&self) -> bool {
        let running: Vec<usize> =
            (0..self.machines.len()).filter(|node| self.machines[*node].router.is_some()).collect();
        running.iter().any(|a| running.iter().any(|b| self.apart_until[*a][*b] == Time::MAX))
    }

    /// Starts a machine that has no reason left to be down.
    pub(super) fn start(&mut self, node: usize) {
        let seed = self.random.bits();
        let machine = &mut self.machines[node];
        if machine.down > 0 || machine.router.is_some() {
            return;
        }
        machine.boot += 1;
        machine.clock = Clock::new(self.now, machine.clock_ppm);
        (machine.wake_at, machine.due) = (Time::MAX, Time::MAX);
        machine.frozen = false;
        let above = self.setup.main.as_ref().filter(|main| main.node == node);
        let list = self.setup.entries(above.map_or(&self.setup.list, |main| &main.list));
        let (name, leaf) = (self.setup.name_of(node), above.is_some());
        let config = Config { name, list, leaf, ..self.setup.config.clone() };
        let election = Election::new(config, machine.id, machine.flash.clone(), seed, Time::ZERO);
        let restored = if self.setup.settings.disk { machine.disk.restored() } else { Restored::default() };
        machine.router = Some(Router::in_mesh(election, self.setup.settings.clone(), restored));
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0x40);
        self.note(Some(node), || "starts".into());
        self.drain(node);
        self.tell_of_server(node);
        self.tell_of_main(node);
        self.segment_changed_by(node);
        self.retrace();
    }

    /// One more reason to be down. Where it ran, its kernel closes its
    /// connections, unless the power went.
    pub(super) fn power_off(&mut self, node: usize, silent: bool) {
        self.machines[node].down += 1;
        self.halt(node, silent);
    }

    pub(super) fn power_on(&mut self, node: usize) {
        self.machines[node].down = self.machines[node].down.saturating_sub(1);
        self.start(node);
    }

    fn halt(&mut self, node: usize, silent: bool) {
        let machine = &mut self.machines[node];
        let Some(router) = machine.router.take() else { return };
        self.tally.add_stats(router.stats());
        machine.boot += 1;
        machine.frozen = false;
        machine.writing.clear();
        machine.storing.clear();
        for event in std::mem::take(&mut machine.kept) {
            if let Event::Beacon { letter, .. } = event {
                self.mail.drop(letter);
            }
        }
        self.lives[node] = Some(self.now);
        self.segment_changed_by(node);
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0xc0);
        self.note(Some(node), || if silent { "is gone without a word".into() } else { "ends".into() });
        self.forget_held(node);
        self.drop_lines(node, silent);
        self.forsake_uplines(node, silent);
        for connection in self.standing.clone() {
            let ends = self.connections[connection as usize].ends;
            if let Some(end) = ends.iter().position(|end| *end == node) {
                if silent {
                    self.lose_end(connection, end, None);
                } else {
                    self.close_end(connection, end, None);
                }
            }
        }
        self.retrace();
    }

    /// Its clients find out sooner or later.
    fn drop_lines(&mut self, node: usize, silent: bool) {
        for line in 0..self.lines.len() {
            let place = &self.lines[line];
            let is_open =
                place.node == node && !place.is_dead && self.devices[place.client].line == Some(line as u32);
            if !is_open {
                continue;
            }
            if silent {
                self.lines[line].is_dead = true;
                let at = self.now + Duration::from_micros(self.random.between(NOTICE_US.0, NOTICE_US.1));
                self.queue.push(at, Event::Notice { line: line as u32 });
            } else {
                self.send_down(line as u32, Down::Gone);
            }
        }
    }

    /// SIGTERM. The machine is down from when its router has said goodbye.
    pub(super) fn leave(&mut self, node: usize) {
        self.machines[node].down += 1;
        if !self.machines[node].is_awake() {
            return self.halt(node, false);
        }
        self.note(Some(node), || "is asked to leave".into());
        let boot = self.machines[node].boot;
        self.queue.push(self.now + GOODBYE, Event::Exit { node: node as u8, boot });
        self.feed(node, Input::Shutdown);
    }

    pub(super) fn exit(&mut self, node: usize, boot: u32) {
        if self.machines[node].boot == boot {
            self.halt(node, false);
            self.start(node);
        }
    }

    /// A process that stood still finds what has arrived, in order.
    pub(super) fn thaw(&mut self, node: usize) {
        self.machines[node].frozen = false;
        if self.main.is_some() {
            // Its timers come before what has arrived, and before what ends its connections.
            self.feed(node, Input::Tick);
        }
        let kept = std::mem::take(&mut self.machines[node].kept);
        for event in kept {
            if let Event::Wake { node, boot } = event {
                let machine = &mut self.machines[usize::from(node)];
                if machine.boot == boot {
                    (machine.wake_at, machine.due) = (self.now, Time::ZERO);
                }
            }
            self.queue.push(self.now, event);
        }
        self.drained_meanwhile(node);
    }

    pub(super) fn replace_disk(&mut self, node: usize, disk: Disk) {
        let first_list = ServerList::new(0, self.setup.entries(&self.setup.list));
        let machine = &mut self.machines[node];
        if machine.router.is_some() {
            return; // Another fault's start came first: flash is in use.
        }
        match disk {
            Disk::Kept => {}
            Disk::Lost => {
                machine.flash = SavedState::default();
                machine.disk = super::disk::Disk::default();
                self.forget_held(node);
            }
            Disk::Backup => machine.flash = machine.backup.clone(),
            Disk::OldList => machine.flash.list = first_list,
        }
    }

    /// What a machine that is down will still know.
    fn forget_held(&mut self, node: usize) {
        let disk = &self.machines[node].disk;
        let keys: std::collections::BTreeSet<u128> =
            disk.records().map(|stored| stored.record.key()).collect();
        let ledger = &mut self.judge.ledger;
        let kept: Vec<usize> = keys.iter().filter_map(|key| ledger.number_of(*key)).collect();
        for (number, said) in ledger.said.iter_mut().enumerate() {
            if said.held & (1 << node) == 0 || kept.contains(&number) {
                continue;
            }
            said.held &= !(1 << node);
            said.came_at.remove(&node);
            if said.held == 0 && said.confirmed_at.is_some() && !said.is_lost {
                said.is_lost = true;
                self.tally.lost_single += u64::from(said.is_single);
                self.tally.lost_all += u64::from(!said.is_single);
            }
        }
    }

    pub(super) fn persist(&mut self, node: usize, ticket: u64, state: SavedState) {
        let machine = &mut self.machines[node];
        let written = machine.flash_free.max(self.now) + Duration::from_micros(FLASH.draw(&mut self.random));
        machine.flash_free = written;
        machine.writing.push_back((ticket, state));
        self.queue.push(written, Event::Written { node: node as u8, boot: machine.boot });
    }

    pub(super) fn written(&mut self, node: usize, boot: u32) {
        let machine = &mut self.machines[node];
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
        machine.flash = state;
        self.feed(node, Input::Persisted { ticket });
    }

    pub(super) fn store(&mut self, node: usize, commit: Commit) {
        let machine = &mut self.machines[node];
        for stored in &commit.records {
            self.judge.ledger.learn(&stored.record);
            let is_twin = self.judge.ledger.held(stored.record.key(), stored.record.id, node, self.now);
            self.tally.twins += u64::from(is_twin);
        }
        let done = machine.disk_free.max(self.now) + Duration::from_micros(FLASH.draw(&mut self.random));
        machine.disk_free = done;
        machine.storing.push_back(commit);
        self.queue.push(done, Event::Stored { node: node as u8, boot: machine.boot });
    }

    pub(super) fn stored(&mut self, node: usize, boot: u32) {
        let machine = &mut self.machines[node];
        if machine.boot != boot {
            return;
        }
        if machine.frozen {
            machine.keep(Event::Stored { node: node as u8, boot });
            return;
        }
        let Some(commit) = machine.storing.pop_front() else { return };
        let number = commit.number;
        // Clients hear of it only now.
        for stored in &commit.records {
            self.judge.ledger.committed(stored.record.key(), node, self.now);
        }
        machine.disk.apply(commit);
        self.feed(node, Input::Stored { commit: number, ok: true });
    }
}

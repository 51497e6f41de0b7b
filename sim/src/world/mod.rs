//! Many elections in virtual time: routers with clocks, flash and
//! connections, the main server, and the faults that befall them.
//!
//! Drives [`fau3_election::Election`] through the engine exactly as a router's
//! shell does, and tells the invariants what happens. Nothing here decides who
//! leads, and nothing here judges it.

mod events;
mod lies;
mod lifecycle;
mod node;
mod setup;
mod surroundings;
mod tally;
mod truth;

use fau3_election::{Input, Output, RouterId, Time, View};

use crate::engine::{EventQueue, Mail, Network, NodeSet, Random, TraceHash};
use crate::invariants::{Checker, Violation};
use crate::timeline::{Entry, What};

pub use node::Node;
pub use setup::{List, Setup};
pub use tally::Tally;
pub use truth::Truth;

use events::Event;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first invariant that did not hold; the run ends there.
    pub violation: Option<Violation>,
    /// Hash over everything that happened.
    pub trace: u64,
    /// How far the run came.
    pub ended: Time,
    /// What happened how often.
    pub tally: Tally,
}

/// One run.
#[derive(Debug)]
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) truth: Truth,
    pub(crate) tally: Tally,
    queue: EventQueue<Event>,
    mail: Mail,
    network: Network,
    checker: Checker,
    trace: TraceHash,
    random: Random,
    /// For each fault, whether it is on.
    on: Vec<bool>,
    /// Whom each node has a standing connection with.
    connected: Vec<NodeSet>,
    /// The main server's list, once it has one.
    server_list: Option<Vec<usize>>,
    /// Kept only where someone wants to see it.
    timeline: Option<Vec<Entry>>,
}

impl World {
    /// The world before its first event.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let random = Random::new(setup.seed);
        let nodes = node::all(&setup);
        let mut network = Network::new(nodes.len(), setup.base, random.child(1));
        network.heal();
        let mut world = Self {
            now: Time::ZERO,
            truth: Truth::new(nodes.len()),
            tally: Tally::default(),
            queue: EventQueue::default(),
            mail: Mail::default(),
            checker: Checker::new(&setup),
            trace: TraceHash::default(),
            random: random.child(2),
            on: vec![false; setup.faults.len()],
            connected: vec![0; nodes.len()],
            server_list: None,
            timeline: None,
            network,
            nodes,
            setup,
        };
        world.begin();
        world
    }

    /// Records a timeline from now on, to be taken with [`timeline`](Self::timeline).
    #[must_use]
    pub fn with_timeline(mut self) -> Self {
        self.timeline = Some(Vec::new());
        self
    }

    /// What was recorded, in order.
    #[must_use]
    pub fn timeline(&self) -> &[Entry] {
        self.timeline.as_deref().unwrap_or_default()
    }

    /// What the run depends on.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The routers, the slot for clones last.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// True time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Runs to the end of the quiet phase, or to the first violation.
    pub fn run(&mut self) -> Outcome {
        let end = self.setup.end();
        self.run_until(end);
        if self.checker.violation.is_none() {
            self.checker.finish(&self.nodes, &self.truth, end);
        }
        Outcome {
            violation: self.checker.violation.clone(),
            trace: self.trace.value(),
            ended: self.now,
            tally: self.counted(),
        }
    }

    /// Runs all events up to and including `end`; stops early at a violation.
    pub fn run_until(&mut self, end: Time) {
        while let Some((at, event)) = self.queue.pop_until(end) {
            if at >= self.checker.next_look {
                self.now = self.checker.next_look.max(self.now);
                self.look();
            }
            self.now = at;
            self.handle(event);
            if self.checker.violation.is_some() {
                return;
            }
        }
        if !self.queue.is_empty() {
            self.now = end; // The next call goes on from there.
        }
    }

    /// How things stand now, whatever the network is like: components, routers
    /// that lead, and the settled rule that does not hold, if any.
    #[must_use]
    pub fn verdict(&self) -> (u32, u32, Option<Violation>) {
        let broken = self
            .checker
            .violation
            .clone()
            .or_else(|| self.checker.standing(&self.nodes, &self.truth, self.now));
        let leaders = self.nodes.iter().filter(|node| node.leads()).count() as u32;
        (self.truth.components().count() as u32, leaders, broken)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, letter } => {
                self.trace.fold(self.now.as_micros() << 8 | u64::from(from));
                self.trace.fold(to);
                self.deliver(from, to, letter);
            }
            Event::Wake { node, boot } => self.wake(usize::from(node), boot),
            other => self.handle_rare(other),
        }
    }

    /// Gives a letter to its receivers, one after the other, each of which
    /// may answer before the next one gets it.
    #[inline]
    fn deliver(&mut self, from: u8, mut to: NodeSet, letter: u32) {
        while let Some((node, said)) = self.hand_out(&mut to, letter) {
            if self.nodes[node].frozen {
                if self.nodes[node].keep(Event::Deliver { from, to: 1 << node, letter }) {
                    self.mail.keep(letter, 1);
                }
                continue;
            }
            if let Some(output) = said {
                self.carry_out(node, output);
            }
            self.drain(node);
        }
        self.mail.drop(letter);
    }

    /// Hands a letter out up to the first receiver that has something to say
    /// or to wait for, or stands still. Nearly always there is none.
    #[inline]
    fn hand_out(&mut self, to: &mut NodeSet, letter: u32) -> Option<(usize, Option<Output>)> {
        let Self { now, nodes, mail, .. } = self;
        let bytes = mail.bytes(letter);
        while *to != 0 {
            let node = to.trailing_zeros() as usize;
            *to &= *to - 1;
            let receiver = &mut nodes[node];
            if receiver.frozen {
                return Some((node, None));
            }
            let Some(election) = &mut receiver.election else { continue };
            receiver.received += 1;
            receiver.received_bytes += bytes.len() as u64;
            election.handle(receiver.clock.local(*now), Input::Datagram(bytes));
            let said = election.poll_output();
            if said.is_some() || election.poll_timeout() != Some(receiver.due) {
                return Some((node, said));
            }
        }
        None
    }

    fn wake(&mut self, node: usize, boot: u32) {
        let sleeper = &mut self.nodes[node];
        if sleeper.boot != boot || sleeper.wake_at != self.now {
            return; // An earlier wake has been set since, or it was another life.
        }
        if sleeper.frozen {
            sleeper.keep(Event::Wake { node: node as u8, boot });
            return;
        }
        (sleeper.wake_at, sleeper.due) = (Time::MAX, Time::MAX);
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0x80);
        let local = sleeper.clock.local(self.now);
        let due = sleeper.election.as_ref().and_then(fau3_election::Election::poll_timeout);
        if due.is_some_and(|due| due <= local) {
            self.feed(node, Input::Timeout);
        } else {
            self.schedule(node);
        }
    }

    /// Gives a router an input and does what it says.
    #[inline]
    pub(crate) fn feed(&mut self, node: usize, input: Input<'_>) {
        let target = &mut self.nodes[node];
        let local = target.clock.local(self.now);
        let Some(election) = target.election.as_mut() else { return };
        election.handle(local, input);
        self.drain(node);
    }

    /// Does what a router says, and notes when it wants to be called again.
    #[inline]
    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].election.as_mut().and_then(|it| it.poll_output()) {
            self.carry_out(node, output);
        }
        self.schedule(node);
    }

    /// Sets a wake for the router's next deadline, unless one is set that comes before.
    #[inline]
    fn schedule(&mut self, node: usize) {
        let sleeper = &mut self.nodes[node];
        let Some(election) = &sleeper.election else { return };
        match election.poll_timeout() {
            Some(due) if due == sleeper.due => {}
            Some(due) => {
                sleeper.due = due;
                let at = sleeper.clock.when(due).max(self.now);
                if at < sleeper.wake_at {
                    sleeper.wake_at = at;
                    self.queue.push(at, Event::Wake { node: node as u8, boot: sleeper.boot });
                }
            }
            None => self.exit(node),
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Broadcast(datagram) => self.send(node, NodeSet::MAX, datagram),
            Output::Send(to, datagram) => {
                let to = self.nodes_with(to) & !(1 << node);
                self.send(node, to, datagram);
            }
            Output::View(view) => self.viewed(node, view),
            Output::Persist { ticket, state } => {
                // One after the other: a file is not replaced by an older one.
                let machine = &mut self.nodes[node];
                let written = machine.flash_free.max(self.now) + self.setup.flash.draw_span(&mut self.random);
                machine.flash_free = written;
                machine.writing.push_back((ticket, state));
                self.queue.push(written, Event::Written { node: node as u8, boot: machine.boot });
            }
            Output::Warning(warning) => {
                self.tally.warned(&warning);
                self.note(Some(node), || What::Warning(warning));
            }
        }
    }

    #[inline]
    fn send(&mut self, node: usize, to: NodeSet, datagram: fau3_election::Datagram) {
        let bytes = datagram.as_bytes();
        let sender = &mut self.nodes[node];
        sender.sent += 1;
        sender.sent_bytes += bytes.len() as u64;
        if bytes.len() != fau3_election::Heartbeat::BYTES {
            self.trace.fold_bytes(bytes);
        }
        let (queue, mail) = (&mut self.queue, &mut self.mail);
        let letter = mail.put(datagram);
        let (from, mut copies) = (node as u8, 0);
        self.network.transmit(self.now, node, to, |at, to| {
            copies += 1;
            queue.push(at, Event::Deliver { from, to, letter });
        });
        mail.keep(letter, copies);
    }

    fn viewed(&mut self, node: usize, view: View) {
        let before = std::mem::replace(&mut self.nodes[node].view, view);
        self.tally.changed(&before, &view, self.nodes[node].id);
        if view.leads() && !before.leads() {
            self.tally.two_leaders += u64::from(self.nodes.iter().filter(|other| other.leads()).count() > 1);
        }
        self.trace.fold(self.now.as_micros());
        self.trace.fold((node as u64) << 32 | (view.role as u64) << 16 | u64::from(view.members));
        self.trace.fold(view.epoch.map_or(0, |epoch| epoch.number));
        self.trace.fold(view.list.number ^ view.list.hash);
        self.note(Some(node), || What::View(view));
        self.watch(node);
        self.checker.viewed(&self.nodes, &self.truth, node, &before, self.now);
    }

    /// Lets the invariants look at the whole.
    pub(crate) fn look(&mut self) {
        self.checker.look(&mut self.nodes, &self.truth, self.now);
    }

    /// The machines that run under this identity, a clone included.
    pub(crate) fn nodes_with(&self, id: RouterId) -> NodeSet {
        let own = self.nodes.iter().enumerate().filter(|(_, node)| node.id == id);
        own.fold(0, |set, (index, _)| set | 1 << index)
    }

    /// Adds to the timeline, if there is one.
    pub(crate) fn note(&mut self, node: Option<usize>, what: impl FnOnce() -> What) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push(Entry { at: self.now, node, what: what() });
        }
    }

    /// What happened so far, as the world itself saw it.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn counted(&self) -> Tally {
        let mut tally = self.tally.clone();
        for node in &self.nodes {
            node.counters.iter().for_each(|counters| tally.add_counters(counters));
            if let Some(election) = &node.election {
                tally.add_counters(&election.counters());
            }
        }
        tally.stale_tries_refused += self.checker.stale_refused;
        tally
    }
}

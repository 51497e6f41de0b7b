//! Many whole routers in virtual time: machines with clocks, flash and disks,
//! connections between them, clients that talk, listen, roam and forget, and the
//! faults that befall them.
//!
//! Drives [`fau3::router::Router`] exactly as a node's shell does. Nothing here
//! decides what a router does: `judge` and `observe` hold what comes out
//! against what was said (`ledger`), which no router knows.

mod connections;
mod device;
mod disk;
mod events;
mod finish;
mod judge;
mod ledger;
mod lies;
mod lifecycle;
mod line;
mod machine;
mod main_node;
mod observe;
mod order;
mod server;
mod setup;
mod tally;

use std::collections::BTreeMap;

use fau3::router::{ConnId, Input, Output, Router, Told};
use fau3_election::Time;

use crate::engine::{EventQueue, Mail, Network, NodeSet, Quality, Random, TraceHash, nodes_of};
use crate::invariants::Violation;
use crate::sweep::{Ran, Swept, sweep_of};
use connections::{Connection, Encoded};
use device::Device;
use events::Event;
use judge::{BOUNDS, CODEC, CONNECTED, Judge, SPIN};
use line::{Down, Line};
use machine::Machine;
use main_node::MainSide;
use server::Server;

pub use crate::sweep::Plan;
pub use fau3::router::Mutant;
pub use judge::NAMES;
pub use main_node::{MainFault, MainFaultKind, MainSetup};
pub use server::{Above, ServerFault, ServerFaultKind, ServerSetup};
pub use setup::{CLIENTS_MAX, ROUTERS_MAX, Setup};
pub use tally::Tally;

/// Runs many seeds on all cores; see [`sweep_of`].
pub fn sweep(
    plan: Plan,
    setup: impl Fn(u64) -> Setup + Sync,
    progress: impl Fn(u64, u64) + Sync,
) -> Swept<Tally> {
    let run = |seed| {
        let Outcome { violation, ended, tally, .. } = World::new(setup(seed)).run();
        Ran { violation, ended, tally }
    };
    sweep_of(plan, run, progress)
}

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

/// One thing that happened, for people.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, in true time.
    pub at: Time,
    /// To which router; `None` if to none in particular.
    pub node: Option<usize>,
    /// What.
    pub text: String,
}

/// One run.
#[derive(Debug)]
pub struct World {
    setup: Setup,
    now: Time,
    queue: EventQueue<Event>,
    mail: Mail,
    network: Network,
    random: Random,
    trace: TraceHash,
    machines: Vec<Machine>,
    connections: Vec<Connection>,
    /// Those that at least one end takes as standing.
    standing: Vec<u32>,
    /// Whom each router is about to dial.
    dialling: Vec<NodeSet>,
    encoded: Encoded,
    lines: Vec<Line>,
    devices: Vec<Device>,
    /// The main server, if there is one.
    server: Option<Box<Server>>,
    /// The main server, if it is a router, too.
    main: Option<Box<MainSide>>,
    judge: Judge,
    tally: Tally,
    /// For each fault, whether it is on.
    on: Vec<bool>,
    /// When anything that routers notice last went wrong or was mended.
    disturbed_at: Time,
    /// For each two routers, until when they had no connection, over however many hops.
    apart_until: Vec<Vec<Time>>,
    /// When each router last died.
    lives: Vec<Option<Time>>,
    /// The moment at which everything was as it must be, and what was sent by then.
    rest: Option<(Time, Vec<(u64, u64)>)>,
    /// When a router that says extreme numbers last did, and to whom.
    lied_at: BTreeMap<(usize, usize), Time>,
    /// When anyone last heard a message.
    heard_at: Time,
    is_over: bool,
    /// Kept only where someone wants to see it.
    notes: Option<Vec<Entry>>,
}

impl World {
    /// The world before its first event.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let random = Random::new(setup.seed);
        let routers = setup.nodes();
        let main = (setup.routers..routers).fold(0, |set, node| set | 1 << node);
        let mut world = Self {
            now: Time::ZERO,
            queue: EventQueue::default(),
            mail: Mail::default(),
            network: Network::new(routers, Quality::HEALTHY, random.child(1)).with_beside(main),
            random: random.child(2),
            trace: TraceHash::default(),
            machines: machine::all(&setup),
            connections: Vec::new(),
            standing: Vec::new(),
            dialling: vec![0; routers],
            encoded: Encoded::default(),
            lines: Vec::new(),
            devices: Device::all(&setup),
            server: setup.server.as_ref().map(|server| Server::new(server, random.child(3), routers)),
            main: setup.main.as_ref().map(|main| MainSide::new(main, random.child(5))),
            judge: Judge::new(&setup),
            tally: Tally::default(),
            on: vec![false; setup.faults.len()],
            disturbed_at: Time::ZERO,
            apart_until: vec![vec![Time::MAX; routers]; routers],
            lives: vec![None; routers],
            rest: None,
            lied_at: BTreeMap::new(),
            heard_at: Time::ZERO,
            is_over: false,
            notes: None,
            setup,
        };
        world.begin();
        world
    }

    /// Records a timeline from now on, to be taken with [`timeline`](Self::timeline).
    #[must_use]
    pub fn with_timeline(mut self) -> Self {
        self.notes = Some(Vec::new());
        self
    }

    /// What was recorded, in order.
    #[must_use]
    pub fn timeline(&self) -> &[Entry] {
        self.notes.as_deref().unwrap_or_default()
    }

    /// What the run depends on.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Runs until everything is as it must be in the end, or to the first violation.
    pub fn run(&mut self) -> Outcome {
        while !self.is_over
            && self.judge.violation.is_none()
            && let Some((at, event)) = self.queue.pop_until(Time::MAX)
        {
            self.now = at;
            self.handle(event);
        }
        Outcome {
            violation: self.judge.violation.clone(),
            trace: self.trace.value(),
            ended: self.now,
            tally: self.counted(),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Beacon { from, to, letter } => {
                self.trace.fold(self.now.as_micros() << 8 | u64::from(from));
                nodes_of(to).for_each(|node| self.beacon(node, from, letter));
                self.mail.drop(letter);
            }
            Event::Wake { node, boot } => self.wake(node.into(), boot),
            Event::Written { node, boot } => self.written(node.into(), boot),
            Event::Stored { node, boot } => self.stored(node.into(), boot),
            Event::Fault { index } => self.turn(index.into()),
            Event::Start { node } => self.start(node.into()),
            Event::Exit { node, boot } => self.exit(node.into(), boot),
            Event::Dial { a, b } => self.dial(a.into(), b.into()),
            Event::Frame { connection, from } => self.frame(connection, from.into()),
            Event::Closed { connection, end } => self.closed(connection, end.into()),
            Event::GiveUp { connection, end, quiet } => self.give_up(connection, end.into(), quiet),
            Event::ToRouter { line } => self.carry_to_router(line),
            Event::ToDevice { line } => self.carry_to_device(line),
            Event::Left { line, frame } => self.left(line, frame),
            Event::Notice { line } => self.notice(line),
            Event::Act { client } => self.act(client.into()),
            Event::Resend { client, turn } => self.resend(client.into(), turn),
            Event::Attach { client, turn } => self.attach(client.into(), turn),
            Event::Server(event) => self.server_event(event),
            Event::Main(event) => self.main_event(event),
            Event::Look => self.look(),
        }
    }

    fn beacon(&mut self, node: usize, from: u8, letter: u32) {
        let machine = &mut self.machines[node];
        if machine.frozen {
            if machine.keep(Event::Beacon { from, to: 1 << node, letter }) {
                self.mail.keep(letter, 1);
            }
        } else if machine.router.is_some() {
            let bytes = self.mail.bytes(letter).into();
            self.feed(node, Input::Beacon(bytes));
        }
    }

    fn wake(&mut self, node: usize, boot: u32) {
        let machine = &mut self.machines[node];
        if machine.boot != boot || machine.wake_at != self.now {
            return; // An earlier wake has been set since, or it was another life.
        }
        if machine.frozen {
            machine.keep(Event::Wake { node: node as u8, boot });
            return;
        }
        (machine.wake_at, machine.due) = (Time::MAX, Time::MAX);
        let local = machine.clock.local(self.now);
        if machine.router.as_ref().and_then(Router::poll_timeout).is_some_and(|due| due <= local) {
            self.feed(node, Input::Tick);
        } else {
            self.schedule(node);
        }
    }

    /// Gives a router an input and does what it says.
    fn feed(&mut self, node: usize, input: Input) {
        let machine = &mut self.machines[node];
        let local = machine.clock.local(self.now);
        let Some(router) = &mut machine.router else { return };
        router.handle(local, input);
        self.drain(node);
        let machine = &self.machines[node];
        let Some(router) = &machine.router else { return };
        let local = machine.clock.local(self.now);
        if let Some(due) = router.poll_timeout().filter(|due| *due <= local) {
            self.broken(SPIN, format!("r{node} wants to be called at {due} and it is {local}"));
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.machines[node].router.as_mut().and_then(Router::poll_output) {
            self.carry_out(node, output);
        }
        self.schedule(node);
    }

    /// Sets a wake for the router's next deadline, unless one is set that comes before.
    fn schedule(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let Some(due) = machine.router.as_ref().and_then(Router::poll_timeout) else { return };
        if due == machine.due {
            return;
        }
        machine.due = due;
        let at = machine.clock.when(due).max(self.now);
        if at < machine.wake_at {
            machine.wake_at = at;
            self.queue.push(at, Event::Wake { node: node as u8, boot: machine.boot });
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Beacon { to, datagram } => {
                let all = |set, (index, machine): (usize, &Machine)| {
                    set | NodeSet::from(to.is_none_or(|to| machine.id == to)) << index
                };
                let to = self.machines.iter().enumerate().fold(0, all) & self.segment() & !(1 << node);
                self.send_beacon(node, to, datagram);
            }
            Output::ToPeer { router, message } => {
                self.observe_sent(node, &message);
                let local = self.machines[node].clock.local(self.now);
                if !self.send_to_peer(node, router, message)
                    && let Some(own) = &mut self.machines[node].router
                {
                    own.handle(local, Input::PeerFull { router });
                }
            }
            Output::Tell { conn, what: frame } => self.carry_to_client(node, conn, frame),
            Output::Accept { conn } => self.send_down(conn.0 as u32, Down::Accepted),
            Output::Probe { conn, probe } => self.send_down(conn.0 as u32, Down::Probe(probe)),
            Output::Refuse { conn, .. } | Output::Close { conn, .. } => {
                let line = conn.0 as u32;
                if let Output::Close { why, .. } = output {
                    self.observe_close(node, line, why);
                }
                self.lines[line as usize].is_ended = true;
                self.send_down(line, Down::Gone);
            }
            Output::Store(commit) => self.store(node, *commit),
            Output::Persist { ticket, state } => self.persist(node, ticket, *state),
            Output::View(view) => {
                self.trace.fold(self.now.as_micros() << 8 | node as u64);
                self.trace.fold((view.role as u64) << 16 | u64::from(view.members));
                let before = self.machines[node].view.replace(view);
                self.note_view(node, before, view);
                self.note(Some(node), || {
                    format!("{}, {} here", crate::timeline::role_text(view.role), view.members)
                });
                self.watch_if_deputy(node);
            }
            Output::Invalid { reason, .. } => {
                self.broken(CODEC, format!("r{node} finds a client invalid: {reason}"))
            }
            Output::ConfirmedAlone { record, why } => {
                self.note(Some(node), || format!("confirms {} alone: {why}", record.message_uuid));
                self.observe_alone(&record.message_uuid);
            }
            Output::PutBehind { client_id, record } => {
                self.note(Some(node), || format!("puts {} behind for {client_id}", record.message_uuid));
                let client = self.devices.iter().position(|device| device.client_id == client_id);
                let number = self.judge.ledger.number_of(record.key());
                self.judge.ledger.put_behind.extend(client.zip(number));
            }
            Output::Upstream(output) => self.carry_up(node, output),
            Output::Uplink { keep } => self.keep_uplink(node, keep),
            // All routers know where the others are.
            Output::Told { .. } => {}
            Output::Warning(warning) => self.note(Some(node), || format!("warns: {warning:?}")),
        }
    }

    fn carry_to_client(&mut self, node: usize, conn: ConnId, frame: Told) {
        let line = conn.0 as u32;
        if self.lines[line as usize].is_ended {
            self.broken(CONNECTED, format!("r{node} sends on {conn:?}, which has ended"));
        }
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0x80);
        match &frame {
            Told::Item { item: message_uuid, record } => {
                self.trace.fold(record.id.sequence << 32 | conn.0);
                self.observe_playlist(node, line, *message_uuid, record);
            }
            Told::Answer { token: message_uuid, answer } => {
                self.trace.fold_bytes(message_uuid.as_bytes());
                self.observe_confirm(node, conn, message_uuid, *answer);
            }
            Told::Live(frame) => self.observe_stream(node, line, frame),
            Told::Ask { .. } | Told::Present { .. } => self.trace.fold(conn.0),
        }
        self.send_down(line, Down::Frame(frame));
    }

    fn send_beacon(&mut self, node: usize, to: NodeSet, datagram: fau3_election::Datagram) {
        let machine = &mut self.machines[node];
        machine.sent += 1;
        machine.sent_bytes += datagram.as_bytes().len() as u64;
        let letter = self.mail.put(datagram);
        let (queue, mail) = (&mut self.queue, &mut self.mail);
        let (from, mut copies) = (node as u8, 0);
        self.network.transmit(self.now, node, to, |at, to| {
            copies += 1;
            queue.push(at, Event::Beacon { from, to, letter });
        });
        mail.keep(letter, copies);
    }

    /// Tables stay within their bounds.
    fn check_bounds(&mut self) {
        for node in 0..self.machines.len() {
            let machine = &self.machines[node];
            let Some(router) = &machine.router else { continue };
            let snapshot = router.snapshot(machine.clock.local(self.now));
            if snapshot.record_bytes > self.setup.settings.storage_bytes_max {
                self.broken(BOUNDS, format!("r{node} holds {} bytes of records", snapshot.record_bytes));
            } else if snapshot.detached + snapshot.clients.len() > self.setup.clients {
                self.broken(BOUNDS, format!("r{node} knows more sessions than there are clients"));
            }
        }
    }

    /// Adds to the timeline, if there is one.
    fn note(&mut self, node: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(Entry { at: self.now, node, text: text() });
        }
    }

    fn counted(&self) -> Tally {
        let mut tally = self.tally.clone();
        for machine in &self.machines {
            if let Some(router) = &machine.router {
                tally.add_stats(router.stats());
            }
        }
        tally
    }
}

//! A network of routers in one queue of events.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{
    Config, Coordinator, Counters, Datagram, Election, Input, Output, Packet, RouterId, SavedState,
    ServerEntry, Time, View, Warning,
};

/// How long a datagram travels.
pub(super) const DELAY: Duration = Duration::from_millis(5);
/// How long flash takes.
const FLASH: Duration = Duration::from_millis(20);

pub(super) struct Node {
    pub(super) election: Option<Election>,
    pub(super) config: Config,
    pub(super) id: RouterId,
    pub(super) saved: SavedState,
    pub(super) flash_works: bool,
    /// It runs, but handles nothing before.
    pub(super) stalled_until: Time,
    /// Counts its starts, so that what was on the way to an earlier life is lost.
    life: u64,
    pub(super) warnings: Vec<Warning>,
    /// Every view it had, with the time.
    pub(super) views: Vec<(Time, View)>,
}

enum Event {
    Datagram(usize, Datagram),
    Persisted(usize, u64, u64, SavedState),
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) nodes: Vec<Node>,
    /// `up[a][b]`: b hears a.
    pub(super) up: Vec<Vec<bool>>,
    /// Percent of datagrams lost.
    pub(super) loss: u64,
    /// No record arrives, while heartbeats do.
    pub(super) drop_records: bool,
    /// Those on the way, by time and order.
    queue: BTreeMap<(Time, u64), Event>,
    order: u64,
    random: u64,
    /// Bytes and number of datagrams that reached someone.
    pub(super) delivered: (u64, u64),
}

pub(super) fn id(index: usize) -> RouterId {
    RouterId([index as u8 + 1; 16])
}

pub(super) fn entries(names: &str) -> Vec<ServerEntry> {
    names.chars().map(|name| ServerEntry { name: format!("{name}"), id: None }).collect()
}

impl Net {
    /// So many routers A, B, C.. in one room, none started. Ids ascend; the
    /// list is the same for all.
    pub(super) fn new(count: usize, list: &str) -> Self {
        let node = |index: usize| {
            let name = format!("{}", char::from(b'A' + index as u8));
            let config = Config { name, list: entries(list), ..Config::default() };
            Node {
                election: None,
                config,
                id: id(index),
                saved: SavedState::default(),
                flash_works: true,
                stalled_until: Time::ZERO,
                life: 0,
                warnings: Vec::new(),
                views: Vec::new(),
            }
        };
        Self {
            now: Time::ZERO,
            nodes: (0..count).map(node).collect(),
            up: (0..count).map(|a| (0..count).map(|b| a != b).collect()).collect(),
            loss: 0,
            drop_records: false,
            queue: BTreeMap::new(),
            order: 0,
            random: 1,
            delivered: (0, 0),
        }
    }

    /// A net of routers that were all started five seconds ago.
    pub(super) fn running(count: usize, list: &str) -> Self {
        let mut net = Self::new(count, list);
        (0..count).for_each(|index| net.start(index));
        net.run(5_000);
        net
    }

    pub(super) fn start(&mut self, index: usize) {
        let seed = self.draw();
        let node = &mut self.nodes[index];
        node.life += 1;
        node.election = Some(Election::new(node.config.clone(), node.id, node.saved.clone(), seed, self.now));
        self.drain(index);
    }

    /// Power off, without a word.
    pub(super) fn kill(&mut self, index: usize) {
        self.nodes[index].election = None;
    }

    /// The process dies, and the kernel closes its connections.
    pub(super) fn crash(&mut self, index: usize) {
        self.kill(index);
        let closed = self.nodes[index].id;
        self.now += DELAY;
        for other in 0..self.nodes.len() {
            if self.up[index][other] {
                self.input(other, Input::Closed(closed));
            }
        }
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        if let Some(election) = &mut self.nodes[index].election {
            election.handle(now, input);
            self.drain(index);
        }
    }

    pub(super) fn link(&mut self, a: usize, b: usize, up: bool) {
        self.up[a][b] = up;
        self.up[b][a] = up;
    }

    /// Only the links `wanted`, both ways.
    pub(super) fn topology(&mut self, wanted: &[(usize, usize)]) {
        self.up.iter_mut().flatten().for_each(|up| *up = false);
        wanted.iter().for_each(|(a, b)| self.link(*a, *b, true));
    }

    pub(super) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until a condition holds; how long it took, at most `millis`.
    pub(super) fn run_until(&mut self, millis: u64, done: impl Fn(&Self) -> bool) -> u64 {
        let start = self.now;
        let end = start + Duration::from_millis(millis);
        while !done(self) {
            assert!(self.step(end), "not within {millis} ms; leaders {:?}", self.leaders());
        }
        self.now.since(start).as_millis() as u64
    }

    /// The next event up to `end`; false if there is none.
    fn step(&mut self, end: Time) -> bool {
        let due = |node: &Node| {
            let at = node.election.as_ref()?.poll_timeout()?;
            Some(at.max(node.stalled_until).max(self.now))
        };
        let timers = self.nodes.iter().enumerate().filter_map(|(index, node)| Some((due(node)?, index)));
        let timer = timers.min();
        let event = self.queue.keys().next().map(|key| key.0);
        match (timer, event) {
            (Some((at, index)), event) if at <= end && event.is_none_or(|other| at <= other) => {
                self.now = at;
                self.input(index, Input::Timeout);
            }
            (_, Some(at)) if at <= end => {
                self.now = self.now.max(at);
                let (_, event) = self.queue.pop_first().unwrap();
                self.event(event);
            }
            _ => return false,
        }
        true
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Datagram(to, datagram) => {
                let stalled = self.nodes[to].stalled_until;
                if stalled > self.now {
                    return self.push(stalled, Event::Datagram(to, datagram));
                }
                if self.nodes[to].election.is_some() {
                    self.delivered.0 += datagram.as_bytes().len() as u64;
                    self.delivered.1 += 1;
                }
                self.input(to, Input::Datagram(datagram.as_bytes()));
            }
            Event::Persisted(index, life, ticket, state) => {
                if self.nodes[index].life == life && self.nodes[index].election.is_some() {
                    self.nodes[index].saved = state;
                    self.input(index, Input::Persisted { ticket });
                }
            }
        }
    }

    fn drain(&mut self, index: usize) {
        loop {
            let Some(election) = &mut self.nodes[index].election else { return };
            let Some(output) = election.poll_output() else { return };
            match output {
                Output::Broadcast(datagram) => {
                    (0..self.nodes.len()).for_each(|to| self.carry(index, to, &datagram));
                }
                Output::Send(to, datagram) => {
                    for other in 0..self.nodes.len() {
                        if self.nodes[other].id == to {
                            self.carry(index, other, &datagram);
                        }
                    }
                }
                Output::Persist { ticket, state } if self.nodes[index].flash_works => {
                    let life = self.nodes[index].life;
                    self.push(self.now + FLASH, Event::Persisted(index, life, ticket, state));
                }
                Output::Persist { .. } => {}
                Output::View(view) => self.nodes[index].views.push((self.now, view)),
                Output::Warning(warning) => self.nodes[index].warnings.push(warning),
            }
        }
    }

    fn carry(&mut self, from: usize, to: usize, datagram: &Datagram) {
        let lost = self.loss > 0 && self.draw() % 100 < self.loss;
        let is_record = || matches!(Packet::decode(datagram.as_bytes()), Ok(Packet::Record { .. }));
        if self.up[from][to] && !lost && !(self.drop_records && is_record()) {
            self.push(self.now + DELAY, Event::Datagram(to, datagram.clone()));
        }
    }

    fn push(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// From here on, another course of events.
    pub(super) fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.random = super::super::mix(self.random);
        self.random
    }

    pub(super) fn election(&self, index: usize) -> &Election {
        self.nodes[index].election.as_ref().unwrap()
    }

    pub(super) fn view(&self, index: usize) -> View {
        self.election(index).view()
    }

    pub(super) fn counters(&self, index: usize) -> Counters {
        self.election(index).counters()
    }

    /// Who leads, in the eyes of those who do.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |node: &Node| node.election.as_ref().is_some_and(|election| election.view().leads());
        self.nodes.iter().enumerate().filter(|(_, node)| leads(node)).map(|(index, _)| index).collect()
    }

    /// True if this router leads and all `members` follow it.
    pub(super) fn led_by(&self, leader: usize, members: &[usize]) -> bool {
        let follows =
            |member: &usize| self.view(*member).coordinator == Coordinator::Router(self.nodes[leader].id);
        self.view(leader).leads() && members.iter().all(follows)
    }

    /// What everyone thinks, for a message of a failed test.
    pub(super) fn describe(&self) -> alloc::string::String {
        let mut text = alloc::string::String::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(election) = &node.election else { continue };
            text += &format!("\n{index}: {:?}\n   digest {:x}", election.view(), election.digest);
            for record in election.map().records() {
                let links: Vec<u8> = record.links.iter().map(|link| link.to.0[0] - 1).collect();
                let origin = record.origin.0[0] - 1;
                text += &format!("\n   {origin} {} r{} {links:?}", record.incarnation, record.revision);
            }
        }
        text
    }

    /// How often a router began to lead from a time on.
    pub(super) fn times_led(&self, index: usize, from: Time) -> usize {
        let mut led = false;
        let mut times = 0;
        for (at, view) in &self.nodes[index].views {
            times += usize::from(view.leads() && !led && *at >= from);
            led = view.leads();
        }
        times
    }
}

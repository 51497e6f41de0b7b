//! Routers, the links between them, and their clients in virtual time.
//!
//! Links carry beacons and connections, each taking [`LATENCY`]; every message
//! between routers is encoded and decoded on its way. Lines of clients take no
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use fau3_election::{Config, Election, RouterId, SavedState, Time};

use super::super::device::{Device, Manner};
use super::super::harness::{ms, room, secs};
use super::super::upstream::server::Server;
use crate::gateway::fau3d::says;
use crate::router::{
    ConnId, Input, MainNode, Output, Restored, Router, Settings, StoredRecord, Told, UpstreamInput,
    UpstreamOutput,
};
use crate::wire::Uuid;
use crate::wire::fau3d::FromClient;
use crate::wire::fau3e::{Message, decode, encode};

/// From one router to the next.
pub(in crate::router::tests) const LATENCY: Duration = Duration::from_millis(1);
/// What is to be stored is on the disk after this long. What is read from it is `on_disk`.
pub(in crate::router::tests) const COMMIT: Duration = Duration::from_millis(20);
/// After which a connection over a cut link is given up.
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
/// After which one to a main server is, and how often one is dialled.
const MAIN_GIVEN_UP_AFTER: Duration = Duration::from_secs(2);
const DIAL_EVERY: Duration = Duration::from_millis(250);
/// What a main server in a [`MeshNet`] is called.
pub(super) const MAIN: &str = "main";

/// A router in a [`MeshNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::router::tests) struct R(pub(in crate::router::tests) usize);

/// A device in a [`MeshNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::router::tests) struct D(usize);

pub(in crate::router::tests) enum Event {
    Input(R, Input),
    ToServer(R, UpstreamOutput),
    Frame(ConnId, Told),
    Beacon {
        from: R,
        to: R,
        bytes: Box<[u8]>,
    },
    /// Of the connection with this number.
    Frames {
        from: R,
        to: R,
        connection: u64,
        bytes: Vec<u8>,
    },
    Dial {
        from: R,
    },
    GiveUp {
        a: R,
        b: R,
        connection: u64,
    },
}

#[derive(Default)]
struct Node {
    /// `None` while it is off.
    router: Option<Router>,
    /// When its clock stood at zero.
    since: Time,
    flash: SavedState,
    lives: u64,
    /// It is a main server.
    is_leaf: bool,
    /// It shall have a connection to the main server.
    keeps_main: bool,
    /// Who that is.
    main: Option<R>,
}

impl Node {
    fn dials(&self, main: R) -> bool {
        self.keeps_main && self.main == Some(main)
    }
}

pub(in crate::router::tests) struct MeshNet {
    pub(in crate::router::tests) now: Time,
    nodes: Vec<Node>,
    devices: Vec<Device>,
    /// Where each line goes.
    lines: BTreeMap<ConnId, (D, R)>,
    cut: BTreeSet<(R, R)>,
    /// Standing connections, by both ends, lower first.
    connections: BTreeMap<(R, R), u64>,
    events: BTreeMap<(Time, u64), Event>,
    serial: u64,
    settings: Settings,
    /// What a router finds on its disk when it starts.
    pub(super) on_disk: Vec<StoredRecord>,
    /// Messages sent from router to router.
    pub(in crate::router::tests) messages: Vec<(R, R, Message)>,
    /// Routers that answer nothing: frames to them stay in their queue.
    pub(in crate::router::tests) deaf: BTreeSet<R>,
    /// No beacons arrive; connections work.
    pub(in crate::router::tests) silent: bool,
    pub(in crate::router::tests) server: Server,
}

impl MeshNet {
    /// So many routers, each linked with each, running long enough to agree.
    pub(in crate::router::tests) fn new(routers: usize) -> Self {
        Self::with(routers, Settings::default())
    }

    pub(in crate::router::tests) fn with(routers: usize, settings: Settings) -> Self {
        let mut net = Self {
            now: Time::from_secs(1),
            nodes: (0..routers).map(|_| Node::default()).collect(),
            devices: Vec::new(),
            lines: BTreeMap::new(),
            cut: BTreeSet::new(),
            connections: BTreeMap::new(),
            events: BTreeMap::new(),
            serial: 0,
            settings,
            on_disk: Vec::new(),
            messages: Vec::new(),
            deaf: BTreeSet::new(),
            silent: false,
            server: Server::default(),
        };
        (0..routers).for_each(|router| net.start(R(router)));
        net.run(secs(4));
        net
    }

    /// In a row: each router hears only those beside it.
    pub(in crate::router::tests) fn line(routers: usize) -> Self {
        let mut net = Self::new(0);
        net.nodes = (0..routers).map(|_| Node::default()).collect();
        for a in 0..routers {
            net.cut.extend((a + 2..routers).map(|b| (R(a), R(b))));
        }
        (0..routers).for_each(|router| net.start(R(router)));
        net.run(secs(6));
        net
    }

    pub(in crate::router::tests) fn all(&self) -> Vec<R> {
        (0..self.nodes.len()).map(R).collect()
    }

    pub(in crate::router::tests) fn id(router: R) -> RouterId {
        RouterId([u8::try_from(router.0).unwrap() + 1; 16])
    }

    pub(in crate::router::tests) fn start(&mut self, at: R) {
        let node = &mut self.nodes[at.0];
        node.lives += 1;
        node.since = self.now;
        let leaf = node.is_leaf;
        let name = if leaf { MAIN.into() } else { format!("router-{}", at.0) };
        let config = Config { name, leaf, ..Config::default() };
        let seed = at.0 as u64 * 1_000 + node.lives;
        let election = Election::new(config, Self::id(at), node.flash.clone(), seed, Time::ZERO);
        let restored = Restored { records: self.on_disk.clone(), ..Restored::default() };
        node.router = Some(Router::in_mesh(election, self.settings.clone(), restored));
        node.keeps_main = false;
        if node.main.is_some() {
            let main = Some(MainNode { name: MAIN.into(), router: None, hold: secs(3) });
            self.after(Duration::ZERO, Event::Input(at, Input::Upstream(UpstreamInput::Node(main))));
        }
        self.drain(at);
        for other in (0..self.nodes.len()).map(R) {
            self.connect_routers(at, other);
        }
        self.settle();
    }

    /// Its process dies; the others' kernels tell them.
    pub(in crate::router::tests) fn kill(&mut self, at: R) {
        self.nodes[at.0].router = None;
        self.server_loses(at);
        for (a, b) in self.connections.keys().copied().collect::<Vec<_>>() {
            if a == at || b == at {
                self.connections.remove(&(a, b));
                let other = if a == at { b } else { a };
                self.after(
                    LATENCY,
                    Event::Input(other, Input::PeerDown { router: Self::id(at), closed: true }),
                );
            }
        }
        let lost: Vec<ConnId> =
            self.lines.iter().filter(|(_, (_, r))| *r == at).map(|(conn, _)| *conn).collect();
        for conn in lost {
            let Some((device, _)) = self.lines.remove(&conn) else { continue };
            self[device].conn = None;
        }
    }

    /// Nothing passes between the two any more, and nobody is told.
    pub(in crate::router::tests) fn cut(&mut self, a: R, b: R) {
        let pair = (a.min(b), a.max(b));
        self.cut.insert(pair);
        if let Some(&connection) = self.connections.get(&pair) {
            let far = self.nodes[a.0].is_leaf || self.nodes[b.0].is_leaf;
            let after = if far { MAIN_GIVEN_UP_AFTER } else { GIVEN_UP_AFTER };
            self.after(after, Event::GiveUp { a: pair.0, b: pair.1, connection });
        }
    }

    pub(in crate::router::tests) fn mend(&mut self, a: R, b: R) {
        let pair = (a.min(b), a.max(b));
        self.cut.remove(&pair);
        if let Some(connection) = self.connections.get(&pair).copied() {
            self.give_up(pair.0, pair.1, connection);
        }
        self.connect_routers(a, b);
    }

    /// Beacons pass again; connections do not yet.
    pub(in crate::router::tests) fn mend_beacons(&mut self, a: R, b: R) {
        self.cut.remove(&(a.min(b), a.max(b)));
    }

    fn connect_routers(&mut self, a: R, b: R) {
        let pair = (a.min(b), a.max(b));
        let is_wanted = |one: R, other: R| !self.nodes[other.0].is_leaf || self.nodes[one.0].dials(other);
        if !is_wanted(a, b) || !is_wanted(b, a) {
            return;
        }
        let both = self.nodes[a.0].router.is_some() && self.nodes[b.0].router.is_some();
        if a == b || !both || self.cut.contains(&pair) || self.connections.contains_key(&pair) {
            return;
        }
        self.serial += 1;
        self.connections.insert(pair, self.serial);
        self.after(LATENCY, Event::Input(a, Input::PeerUp { router: Self::id(b) }));
        self.after(LATENCY, Event::Input(b, Input::PeerUp { router: Self::id(a) }));
    }

    /// Segments of routers, each linked with each in its own, with one default
    /// server that all of them can reach: it comes last.
    pub(in crate::router::tests) fn with_main(segments: &[usize]) -> Self {
        let mut net = Self::new(0);
        let main = R(segments.iter().sum());
        let mut first = 0;
        for size in segments {
            for a in (first..first + size).map(R) {
                net.nodes.push(Node { main: Some(main), ..Node::default() });
                net.cut.extend((first + size..main.0).map(|b| (a, R(b))));
            }
            first += size;
        }
        net.nodes.push(Node { is_leaf: true, ..Node::default() });
        (0..=main.0).for_each(|router| net.start(R(router)));
        net.run(secs(6));
        net
    }

    /// Tries again and again while it is to have a connection.
    fn dial_main(&mut self, from: R) {
        let Node { keeps_main, main: Some(main), .. } = self.nodes[from.0] else { return };
        if keeps_main && self.nodes[from.0].router.is_some() {
            self.connect_routers(from, main);
            self.after(DIAL_EVERY, Event::Dial { from });
        }
    }

    fn keep_main(&mut self, at: R, keep: bool) {
        self.nodes[at.0].keeps_main = keep;
        self.dial_main(at);
        let Some(main) = self.nodes[at.0].main.filter(|_| !keep) else { return };
        if self.connections.remove(&(at, main)).is_some() {
            let down = |of: R, closed| Input::PeerDown { router: Self::id(of), closed };
            self.after(Duration::ZERO, Event::Input(at, down(main, false)));
            self.after(LATENCY, Event::Input(main, down(at, true)));
        }
    }

    /// Who has a connection to the main server.
    pub(in crate::router::tests) fn keepers(&self) -> Vec<R> {
        let to_main = self.connections.keys().filter(|(_, main)| self.nodes[main.0].is_leaf);
        to_main.map(|(from, _)| *from).collect()
    }

    fn give_up(&mut self, a: R, b: R, connection: u64) {
        if self.connections.get(&(a, b)) == Some(&connection) {
            self.connections.remove(&(a, b));
            for (end, other) in [(a, b), (b, a)] {
                let down = Input::PeerDown { router: Self::id(other), closed: false };
                self.after(Duration::ZERO, Event::Input(end, down));
            }
        }
    }

    pub(in crate::router::tests) fn device(&mut self, name: &str) -> D {
        self.devices.push(Device::new(name, Manner::Desktop));
        D(self.devices.len() - 1)
    }

    /// A connected device that listens to a room.
    pub(in crate::router::tests) fn listener(&mut self, name: &str, at: R, room: &str) -> D {
        let device = self.device(name);
        self.attach(device, at);
        self.subscribe(device, room);
        device
    }

    /// Connects; an earlier line is left as it is, unclosed.
    pub(in crate::router::tests) fn attach(&mut self, device: D, at: R) {
        self.serial += 1;
        let conn = ConnId(self.serial);
        self.lines.insert(conn, (device, at));
        self[device].connecting(conn);
        let address = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + device.0 as u32));
        let client_id = self[device].client_id.clone();
        self.input(at, Input::Connect { conn, client_id, address });
        self.input(at, Input::Alive { conn }); // Its first word.
    }

    /// Closes its line.
    pub(in crate::router::tests) fn detach(&mut self, device: D) {
        let Some(conn) = self[device].conn.take() else { return };
        if let Some((_, at)) = self.lines.remove(&conn) {
            self.input(at, Input::Disconnected { conn });
        }
    }

    pub(in crate::router::tests) fn subscribe(&mut self, device: D, name: &str) {
        let message_uuid = self.uuid();
        let room = room(name);
        let message = FromClient::Subscribe { message_uuid, room, monitor_period_s: 0, ping_period_s: 0 };
        self.send(device, message);
    }

    pub(in crate::router::tests) fn say(&mut self, device: D, name: &str, payload: &str) -> Box<str> {
        let message_uuid = self.uuid();
        self.say_as(device, name, payload, &message_uuid);
        message_uuid
    }

    pub(in crate::router::tests) fn say_as(&mut self, device: D, name: &str, payload: &str, uuid: &str) {
        let payload = payload.as_bytes().into();
        let message = FromClient::Propogate { message_uuid: uuid.into(), room: room(name), payload };
        self[device].unconfirmed.push((uuid.into(), message.clone()));
        self.send(device, message);
    }

    /// Sends again what was not confirmed.
    pub(in crate::router::tests) fn resend(&mut self, device: D) {
        for (_, message) in self[device].unconfirmed.clone() {
            self.send(device, message);
        }
    }

    pub(in crate::router::tests) fn uuid(&mut self) -> Box<str> {
        self.serial += 1;
        Uuid::from_hash(xxhash_rust::xxh3::xxh3_128(&self.serial.to_le_bytes())).to_string().into()
    }

    pub(in crate::router::tests) fn send(&mut self, device: D, message: FromClient) {
        let Some(conn) = self[device].conn else { return };
        let Some(&(_, at)) = self.lines.get(&conn) else { return };
        self.input(at, Input::Says { conn, what: says(Ok(message)) });
    }

    pub(in crate::router::tests) fn input(&mut self, at: R, input: Input) {
        self.after(Duration::ZERO, Event::Input(at, input));
        self.settle();
    }

    pub(in crate::router::tests) fn router(&self, at: R) -> &Router {
        self.nodes[at.0].router.as_ref().unwrap()
    }

    /// Clients that a router knows to be connected to others.
    pub(in crate::router::tests) fn elsewhere(&self, at: R) -> usize {
        self.router(at).snapshot(self.now).mesh.unwrap().elsewhere.len()
    }

    /// Lets time pass.
    pub(in crate::router::tests) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        let (mut moment, mut steps) = (self.now, 0);
        while let Some(next) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            steps = if self.now == moment { steps + 1 } else { 0 };
            moment = self.now;
            assert!(steps < self.steps_max(), "going round in circles at {}", self.now);
            self.step();
        }
        self.now = until;
    }

    /// More steps at one moment are a circle. What each router tells all its neighbours
    /// goes on to all of theirs.
    fn steps_max(&self) -> usize {
        (2 * self.nodes.len().pow(3)).max(100_000)
    }

    pub(in crate::router::tests) fn settle(&mut self) {
        self.run(Duration::ZERO);
    }

    fn due(&self, node: &Node) -> Option<Time> {
        let due = node.router.as_ref()?.poll_timeout()?;
        Some(node.since + due.since(Time::ZERO))
    }

    fn next_at(&self) -> Option<Time> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        self.nodes.iter().filter_map(|node| self.due(node)).chain(event).min()
    }

    fn step(&mut self) {
        let is_due = |node: &Node| self.due(node).is_some_and(|at| at <= self.now);
        if let Some(at) = self.nodes.iter().position(is_due) {
            return self.feed(R(at), Input::Tick);
        }
        let Some((_, event)) = self.events.pop_first() else { return };
        match event {
            Event::Input(at, input) => self.feed(at, input),
            Event::Frame(conn, frame) => self.arrive(conn, &frame),
            Event::Beacon { from, to, bytes } => {
                if !self.silent && !self.cut.contains(&(from.min(to), from.max(to))) {
                    self.feed(to, Input::Beacon(bytes));
                }
            }
            Event::Frames { from, to, connection, bytes } => {
                let pair = (from.min(to), from.max(to));
                if self.connections.get(&pair) == Some(&connection) && !self.cut.contains(&pair) {
                    self.feed(to, Input::FromPeer { router: Self::id(from), message: decode(&bytes) });
                }
            }
            Event::ToServer(at, asks) => self.server_hears(at, asks),
            Event::Dial { from } => self.dial_main(from),
            Event::GiveUp { a, b, connection } => self.give_up(a, b, connection),
        }
    }

    fn arrive(&mut self, conn: ConnId, frame: &Told) {
        let Some(&(device, at)) = self.lines.get(&conn) else { return };
        if self[device].conn != Some(conn) {
            return; // The device has moved on without closing this line.
        }
        let now = self.now.since(Time::ZERO);
        if let Some(message) = self[device].receive(now, frame) {
            self.after(Duration::ZERO, Event::Input(at, Input::Says { conn, what: says(Ok(message)) }));
        }
    }

    fn feed(&mut self, at: R, input: Input) {
        let now = self.now;
        let node = &mut self.nodes[at.0];
        let Some(router) = &mut node.router else { return };
        router.handle(Time::ZERO + now.since(node.since), input);
        self.drain(at);
        let node = &self.nodes[at.0];
        assert!(self.due(node).is_none_or(|due| due > now), "router {at:?} would spin at {now}");
    }

    fn drain(&mut self, at: R) {
        while let Some(output) = self.nodes[at.0].router.as_mut().and_then(Router::poll_output) {
            self.carry_out(at, output);
        }
    }

    fn carry_out(&mut self, at: R, output: Output) {
        match output {
            Output::Tell { conn, what: frame } => self.after(Duration::ZERO, Event::Frame(conn, frame)),
            Output::Close { conn, why } => {
                if let Some((device, _)) = self.lines.remove(&conn)
                    && self[device].conn == Some(conn)
                {
                    self[device].conn = None;
                    self[device].closed = Some(why);
                    self.after(LATENCY, Event::Input(at, Input::Alive { conn })); // It answers that.
                }
            }
            Output::Refuse { conn, why } => {
                if let Some((device, _)) = self.lines.remove(&conn) {
                    self[device].refused = Some(why);
                    self[device].conn = None;
                }
            }
            Output::Beacon { to, datagram } => {
                for other in (0..self.nodes.len()).map(R).filter(|other| *other != at) {
                    if to.is_none_or(|to| to == Self::id(other)) {
                        let bytes = datagram.as_bytes().into();
                        self.after(LATENCY, Event::Beacon { from: at, to: other, bytes });
                    }
                }
            }
            Output::ToPeer { router, message } => self.frame(at, router, &message),
            Output::Persist { ticket, state } => {
                self.nodes[at.0].flash = *state;
                self.after(ms(1), Event::Input(at, Input::Persisted { ticket }));
            }
            Output::Uplink { keep } => self.keep_main(at, keep),
            Output::Upstream(asks) => self.asks_server(at, asks),
            Output::Store(commit) => {
                self.after(COMMIT, Event::Input(at, Input::Stored { commit: commit.number, ok: true }));
            }
            // A device answers on its own line; one that it has left unclosed is dead.
            Output::Probe { conn, probe } => {
                if self.lines.get(&conn).is_some_and(|(device, _)| self[*device].conn == Some(conn)) {
                    self.after(LATENCY, Event::Input(at, Input::Pong { conn, probe }));
                }
            }
            Output::Accept { .. }
            | Output::Invalid { .. }
            | Output::Told { .. }
            | Output::View(_)
            | Output::ConfirmedAlone { .. }
            | Output::PutBehind { .. }
            | Output::Warning(_) => {}
        }
    }

    fn frame(&mut self, from: R, to: RouterId, message: &Message) {
        let to = R(usize::from(to.0[0]) - 1);
        self.messages.push((from, to, message.clone()));
        if self.deaf.contains(&to) {
            return;
        }
        let Some(&connection) = self.connections.get(&(from.min(to), from.max(to))) else { return };
        self.after(LATENCY, Event::Frames { from, to, connection, bytes: encode(message) });
    }

    pub(in crate::router::tests) fn after(&mut self, span: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((self.now + span, self.serial), event);
    }
}

impl Index<D> for MeshNet {
    type Output = Device;

    fn index(&self, device: D) -> &Device {
        &self.devices[device.0]
    }
}

impl IndexMut<D> for MeshNet {
    fn index_mut(&mut self, device: D) -> &mut Device {
        &mut self.devices[device.0]
    }
}

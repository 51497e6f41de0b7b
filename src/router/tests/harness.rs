//! A router, its clients, their lines and its disk in virtual time.
//!
//! Lines carry frames in order, each taking `leave` to get out of the router's
//! socket buffer and `latency` from there to the device. With both zero, as
//! they are unless a test says otherwise, everything that follows from a call
//! has happened when it returns.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use fau3_election::{Incarnation, RouterId, Time};
use xxhash_rust::xxh3::xxh3_64;

use super::device::{Device, Manner};
use super::disk::Disk;
use super::watch::Watch;
use crate::gateway::fau3d::says;
use crate::router::{ConnId, FrameNo, Input, Origin, Output, Restored, Router, Settings, Told};
use crate::wire::fau3d::{FromClient, parse};
use crate::wire::{RoomId, Uuid};

/// T, as the settings' default has it.
pub(super) const T: Duration = Duration::from_secs(5);
/// Steps without the clock moving, after which something must be going round in
/// circles.
const STEPS_AT_ONE_MOMENT_MAX: u32 = 200_000;

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

/// A device in a [`Net`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) usize);

/// What is under way.
enum Event {
    /// To the router.
    Input(Input),
    /// To the device at the other end.
    Frame(ConnId, Told),
    Probe(ConnId, u32),
    Closed(ConnId),
    /// The oldest commit is done with.
    Disk,
}

/// One connection, as the router's end sees it.
struct Line {
    device: Id,
    frames: FrameNo,
    /// When the newest frame is out of the socket buffer.
    out_at: Time,
    /// When it is at the device.
    there_at: Time,
    /// When the newest one from the device reaches the router.
    in_at: Time,
    /// Held back while the device does not read.
    held: VecDeque<Sent>,
}

enum Sent {
    Frame(FrameNo, Told),
    Probe(u32),
}

pub(super) struct Net {
    pub(super) router: Router,
    pub(super) now: Time,
    pub(super) disk: Disk,
    pub(super) watch: Watch,
    /// A hash over everything that the router has put out.
    pub(super) fingerprint: u64,
    /// What people are told of: who sends what is invalid, and why it is.
    pub(super) told: Vec<(ConnId, &'static str)>,
    /// Time that passed in the router's earlier lives.
    past: Duration,
    devices: Vec<Device>,
    lines: BTreeMap<ConnId, Line>,
    events: BTreeMap<(Time, u64), Event>,
    /// Orders events of one moment.
    serial: u64,
    conns: u64,
    uuids: u128,
    lives: u32,
    settings: Settings,
}

impl Net {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            router: Router::new(origin(1), settings.clone(), Restored::default()),
            now: Time::ZERO,
            disk: Disk::default(),
            watch: Watch::default(),
            fingerprint: 0,
            told: Vec::new(),
            past: Duration::ZERO,
            devices: Vec::new(),
            lines: BTreeMap::new(),
            events: BTreeMap::new(),
            serial: 0,
            conns: 0,
            uuids: 0,
            lives: 1,
            settings,
        }
    }

    /// A device, connected.
    pub(super) fn join(&mut self, name: &str, manner: Manner) -> Id {
        let id = self.add(name, manner);
        self.connect(id);
        id
    }

    /// A connected device that listens to a room.
    pub(super) fn listener(&mut self, name: &str, manner: Manner, room: &str) -> Id {
        let id = self.join(name, manner);
        self.subscribe(id, room);
        id
    }

    /// A device that is not connected yet.
    pub(super) fn add(&mut self, name: &str, manner: Manner) -> Id {
        self.devices.push(Device::new(name, manner));
        Id(self.devices.len() - 1)
    }

    /// Connects from an address of the device's own.
    pub(super) fn connect(&mut self, id: Id) -> ConnId {
        let number = u32::try_from(id.0).unwrap();
        self.connect_from(id, Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    pub(super) fn connect_from(&mut self, id: Id, address: IpAddr) -> ConnId {
        self.drop_line(id);
        self.conns += 1;
        let conn = ConnId(self.conns);
        let line = Line {
            device: id,
            frames: 0,
            out_at: self.now,
            there_at: self.now,
            in_at: self.now,
            held: VecDeque::new(),
        };
        self.lines.insert(conn, line);
        let device = &mut self[id];
        device.connecting(conn);
        let client_id = device.client_id.clone();
        self.input(Input::Connect { conn, client_id, address });
        if self[id].speaks {
            self.input(Input::Alive { conn });
        }
        conn
    }

    /// Connects anew while the router still holds the old connection.
    pub(super) fn connect_over(&mut self, id: Id) -> ConnId {
        self[id].conn = None;
        self.connect(id)
    }

    /// The line breaks and the router learns of it at once.
    pub(super) fn drop_line(&mut self, id: Id) {
        if let Some(conn) = self[id].conn.take() {
            self.lines.remove(&conn);
            self.input(Input::Disconnected { conn });
        }
    }

    pub(super) fn subscribe(&mut self, id: Id, name: &str) -> Box<str> {
        self.subscribe_with(id, name, 0, 0)
    }

    /// Periods in seconds.
    pub(super) fn subscribe_with(&mut self, id: Id, name: &str, monitor: u32, ping: u32) -> Box<str> {
        let message_uuid = self.uuid();
        let message = FromClient::Subscribe {
            message_uuid: message_uuid.clone(),
            room: room(name),
            monitor_period_s: monitor,
            ping_period_s: ping,
        };
        self.send(id, message);
        message_uuid
    }

    /// A voice message with a fresh MessageUuid, which is returned.
    pub(super) fn say(&mut self, id: Id, name: &str, payload: &str) -> Box<str> {
        let message_uuid = self.uuid();
        self.say_as(id, name, payload, &message_uuid);
        message_uuid
    }

    pub(super) fn say_as(&mut self, id: Id, name: &str, payload: &str, message_uuid: &str) {
        let message = FromClient::Propogate {
            message_uuid: message_uuid.into(),
            room: room(name),
            payload: payload.as_bytes().into(),
        };
        self[id].unconfirmed.push((message_uuid.into(), message.clone()));
        self.send(id, message);
    }

    /// Sends again what has not been confirmed, in order.
    pub(super) fn resend(&mut self, id: Id) {
        for (_, message) in self[id].unconfirmed.clone() {
            self.send(id, message);
        }
    }

    /// A frame as it stands on the wire.
    pub(super) fn frame(&mut self, id: Id, frame: &[u8]) {
        if let Some(conn) = self[id].conn {
            self.input(Input::Says { conn, what: says(parse(frame)) });
        }
    }

    pub(super) fn uuid(&mut self) -> Box<str> {
        self.uuids += 1;
        Uuid::from_hash(xxhash_rust::xxh3::xxh3_128(&self.uuids.to_le_bytes())).to_string().into()
    }

    pub(super) fn send(&mut self, id: Id, message: FromClient) {
        self.post(id, message);
        self.settle();
    }

    fn post(&mut self, id: Id, message: FromClient) {
        let Some(conn) = self[id].conn else { return };
        self.post_input(conn, Input::Says { conn, what: says(Ok(message)) });
    }

    /// Puts something on its way from a device to the router.
    fn post_input(&mut self, conn: ConnId, input: Input) {
        let Some(line) = self.lines.get(&conn) else { return };
        let at = line.in_at.max(self.now + self[line.device].latency);
        if let Some(line) = self.lines.get_mut(&conn) {
            line.in_at = at;
        }
        self.at(at, Event::Input(input));
    }

    /// Something happens to the router now.
    pub(super) fn input(&mut self, input: Input) {
        self.at(self.now, Event::Input(input));
        self.settle();
    }

    pub(super) fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        self.input(Input::Configure(Box::new(self.settings.clone())));
    }

    /// The device no longer takes anything from its line.
    pub(super) fn stop_reading(&mut self, id: Id) {
        self[id].reads = false;
    }

    /// What was held back gets away now.
    pub(super) fn read_again(&mut self, id: Id) {
        self[id].reads = true;
        let Some(conn) = self[id].conn else { return };
        let held = self.lines.get_mut(&conn).map(|line| std::mem::take(&mut line.held));
        for sent in held.into_iter().flatten() {
            self.carry(conn, sent);
        }
        self.settle();
    }

    /// The power fails and comes back: what is on disk is all there is.
    pub(super) fn restart(&mut self) {
        self.events.clear();
        self.lines.clear();
        for device in &mut self.devices {
            device.conn = None;
        }
        self.disk.crash();
        self.past += self.now.since(Time::ZERO);
        self.now = Time::ZERO;
        self.lives += 1;
        self.router = Router::new(origin(self.lives), self.settings.clone(), self.disk.restored());
        self.watch.restarted(&self.router);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        let (mut moment, mut steps) = (self.now, 0);
        while let Some(next) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            steps = if self.now == moment { steps + 1 } else { 0 };
            moment = self.now;
            assert!(steps < STEPS_AT_ONE_MOMENT_MAX, "going round in circles at {}", self.now);
            self.step();
        }
        self.now = until;
    }

    /// Lets happen what happens now.
    pub(super) fn settle(&mut self) {
        self.run(Duration::ZERO);
    }

    fn next_at(&self) -> Option<Time> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        event.into_iter().chain(self.router.poll_timeout()).min()
    }

    fn step(&mut self) {
        // What the clock brings comes before what a line brings.
        if self.router.poll_timeout().is_some_and(|at| at <= self.now) {
            return self.feed(Input::Tick);
        }
        let Some((_, event)) = self.events.pop_first() else { return };
        match event {
            Event::Input(input) => self.feed(input),
            Event::Frame(conn, frame) => self.arrive(conn, &frame),
            Event::Probe(conn, probe) => {
                if self.lines.get(&conn).is_some_and(|line| self[line.device].pongs) {
                    self.post_input(conn, Input::Pong { conn, probe });
                }
            }
            Event::Closed(conn) => {
                if let Some(line) = self.lines.remove(&conn)
                    && self[line.device].conn == Some(conn)
                {
                    self[line.device].conn = None;
                    self.feed(Input::Alive { conn }); // It answers that.
                }
            }
            Event::Disk => {
                let (commit, ok) = self.disk.finish();
                self.feed(Input::Stored { commit, ok });
            }
        }
    }

    fn arrive(&mut self, conn: ConnId, frame: &Told) {
        let Some(id) = self.lines.get(&conn).map(|line| line.device) else { return };
        if self[id].conn != Some(conn) {
            return; // The device has given this line up.
        }
        let now = self.past + self.now.since(Time::ZERO);
        let answer = self[id].receive(now, frame);
        if let Some(answer) = answer {
            self.post(id, answer);
        }
    }

    fn feed(&mut self, input: Input) {
        self.watch.input(&self.router, &input);
        self.router.handle(self.now, input);
        while let Some(output) = self.router.poll_output() {
            let text = format!("{} {output:?}", self.fingerprint);
            self.fingerprint = xxh3_64(text.as_bytes());
            self.watch.output(&self.router, &output);
            self.carry_out(output);
        }
        self.watch.tables(&self.router, self.now);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Beacon { .. }
            | Output::Told { .. }
            | Output::ToPeer { .. }
            | Output::Persist { .. }
            | Output::View(_)
            | Output::ConfirmedAlone { .. }
            | Output::PutBehind { .. }
            | Output::Uplink { .. }
            | Output::Warning(_)
            | Output::Upstream(_)
            | Output::Accept { .. } => {}
            Output::Refuse { conn, why } => {
                if let Some(line) = self.lines.remove(&conn) {
                    let device = &mut self[line.device];
                    device.refused = Some(why);
                    device.conn = None;
                }
            }
            Output::Tell { conn, what: frame } => {
                let Some(line) = self.lines.get_mut(&conn) else { return };
                line.frames += 1;
                let sent = Sent::Frame(line.frames, frame);
                self.carry(conn, sent);
            }
            Output::Probe { conn, probe } => self.carry(conn, Sent::Probe(probe)),
            Output::Close { conn, why } => {
                let Some(line) = self.lines.get(&conn) else { return };
                let (id, there_at) = (line.device, line.there_at);
                self[id].closed = Some(why);
                self.at(there_at.max(self.now + self[id].latency), Event::Closed(conn));
            }
            Output::Invalid { conn, reason, .. } => self.told.push((conn, reason)),
            Output::Store(commit) => {
                let at = self.disk.begin(self.now, *commit);
                self.at(at, Event::Disk);
            }
        }
    }

    fn carry(&mut self, conn: ConnId, sent: Sent) {
        let Some(id) = self.lines.get(&conn).map(|line| line.device) else { return };
        let (reads, leave, latency) = (self[id].reads, self[id].leave, self[id].latency);
        let Some(line) = self.lines.get_mut(&conn) else { return };
        if !reads {
            return line.held.push_back(sent);
        }
        line.out_at = line.out_at.max(self.now) + leave;
        line.there_at = line.there_at.max(line.out_at + latency);
        let (out_at, there_at) = (line.out_at, line.there_at);
        match sent {
            Sent::Frame(number, frame) => {
                self.at(out_at, Event::Input(Input::Left { conn, frame: number }));
                self.at(there_at, Event::Frame(conn, frame));
            }
            Sent::Probe(probe) => self.at(there_at, Event::Probe(conn, probe)),
        }
    }

    fn at(&mut self, at: Time, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }
}

impl Index<Id> for Net {
    type Output = Device;

    fn index(&self, id: Id) -> &Device {
        &self.devices[id.0]
    }
}

impl IndexMut<Id> for Net {
    fn index_mut(&mut self, id: Id) -> &mut Device {
        &mut self.devices[id.0]
    }
}

pub(super) fn origin(life: u32) -> Origin {
    let incarnation = Incarnation { counter: life, random: 0x5eed };
    Origin { router: RouterId([7; 16]), incarnation }
}

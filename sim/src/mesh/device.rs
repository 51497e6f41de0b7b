//! A client's device: connects, talks, listens, confirms, remembers
//! MessageUuids, sends again what is unconfirmed, and roams as people do.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fau3::gateway::fau3d::says;
use fau3::router::{Answer, ConnId, Input, Told};
use fau3::wire::fau3d::{FromClient, Status};
use fau3::wire::{ClientId, RoomId, Uuid};
use fau3_election::Time;

use super::World;
use super::events::Event;
use super::line::{Down, Line, Up};
use super::setup::Setup;
use crate::engine::Random;

/// For how long a well-behaved client remembers a MessageUuid.
pub(super) const MEMORY: Duration = Duration::from_secs(60);
/// After this long without a Confirm it sends again.
pub(super) const RESEND: Duration = Duration::from_secs(5);
/// Messages of its own that wait for a Confirm; beyond it, it says no more.
const UNCONFIRMED_MAX: usize = 5;
/// So many of a million acts are live audio.
const LIVE_PPM: u32 = 100_000;
/// How many of a million where some of it has to pass an uplink.
const LIVE_OVER_UPLINK_PPM: u32 = 300_000;
/// A line's delay each way, in microseconds.
const LINE_US: (u64, u64) = (300, 5_000);
/// From losing a connection until trying anew, in microseconds.
const RETRY_US: (u64, u64) = (300_000, 2_000_000);
/// From the silent death of its router until a device notices, in microseconds.
pub(super) const NOTICE_US: (u64, u64) = (3_000_000, 15_000_000);
/// Unconfirmed for this many sendings: it tries another router.
const RESENDS_MAX: u32 = 3;

/// One client.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) client_id: ClientId,
    /// The line that it takes as its own.
    pub(super) line: Option<u32>,
    /// The router has said FAU3_OK to its Subscribe on that line.
    pub(super) is_subscribed: bool,
    /// The room it wants to be in.
    pub(super) room: usize,
    /// Its own messages without FAU3_STORED, by number in the ledger, oldest first.
    pub(super) unconfirmed: VecDeque<usize>,
    /// MessageUuids and when each was last heard.
    memory: BTreeMap<Uuid, Time>,
    /// It confirms no Playlist until then.
    mute_until: Time,
    /// How long a frame to it takes to leave the router.
    leave: Duration,
    /// Sendings since the last Confirm of anything.
    resends: u32,
    /// Whatever was scheduled under another turn is void.
    pub(super) turn: u32,
    monitor_s: u32,
    ping_s: u32,
    streams: u32,
    pub(super) random: Random,
}

impl Device {
    fn new(setup: &Setup, number: usize) -> Option<Self> {
        let mut random = Random::new(setup.seed).child(2_000 + number as u64);
        Some(Self {
            client_id: ClientId::new(&name(setup, number)).ok()?,
            line: None,
            is_subscribed: false,
            room: random.below(setup.rooms as u64) as usize,
            unconfirmed: VecDeque::new(),
            memory: BTreeMap::new(),
            mute_until: Time::ZERO,
            leave: Duration::from_micros(random.pick(&[0, 0, 0, 2_000, 100_000])),
            resends: 0,
            turn: 0,
            monitor_s: random.pick(&[0, 0, 10]) as u32,
            ping_s: random.pick(&[0, 10, 20]) as u32,
            streams: 0,
            random,
        })
    }

    /// All devices of a setup.
    pub(super) fn all(setup: &Setup) -> Vec<Self> {
        (0..setup.clients).filter_map(|number| Self::new(setup, number)).collect()
    }
}

/// `c0`, `c1`, ...; some are longer than the main server can bear.
fn name(setup: &Setup, number: usize) -> String {
    let is_long = setup.server.as_ref().is_some_and(|server| server.long_ids & (1 << number) != 0);
    if is_long { format!("c{number}-with-a-long-name") } else { format!("c{number}") }
}

/// A room by its number.
pub(super) fn room_id(room: usize) -> Option<RoomId> {
    RoomId::new(&format!("room{room}")).ok()
}

impl World {
    pub(super) fn begin_clients(&mut self) {
        for client in 0..self.devices.len() {
            if self.setup.idle & (1 << client) == 0 {
                self.retry(client, (100_000, 4_000_000));
                self.act_later(client);
            }
        }
    }

    fn act_later(&mut self, client: usize) {
        let pace_us = self.setup.pace_ms * 1_000;
        let at =
            self.now + Duration::from_micros(self.devices[client].random.between(pace_us / 8, pace_us * 2));
        if at < self.setup.talk_until() {
            self.queue.push(at, Event::Act { client: client as u8 });
        }
    }

    /// Something that people do with their radios.
    pub(super) fn act(&mut self, client: usize) {
        self.act_later(client);
        let device = &mut self.devices[client];
        // Whoever moves does so a few times a minute, however much it talks.
        let per_act = |per_minute: u64| (per_minute * self.setup.pace_ms * 1_000_000 / 60_000) as u32;
        let rare = device.random.below(1_000_000) as u32;
        let [move_room, roam_closing, roam, vanish, mute] = [1, 1, 2, 1, 1].map(per_act);
        let mut sum = 0;
        let mut falls = |weight: u32| {
            sum += weight;
            rare < sum
        };
        if falls(move_room) {
            device.room = device.random.below(self.setup.rooms as u64) as usize;
            self.subscribe(client);
        } else if falls(roam_closing) {
            self.hang_up(client);
            self.retry(client, (20_000, 400_000));
        } else if falls(roam) {
            let has_line = device.line.is_some();
            self.tally.roams += u64::from(has_line);
            self.tally.roams_parted += u64::from(has_line && self.is_parted());
            self.forsake(client);
            self.retry(client, (20_000, 400_000));
        } else if falls(vanish) {
            self.forsake(client);
            self.retry(client, (2_000_000, 30_000_000));
        } else if falls(mute) {
            device.mute_until =
                self.now + Duration::from_micros(device.random.between(2_000_000, 30_000_000));
        } else if device.random.chance(if self.setup.main.is_some() {
            LIVE_OVER_UPLINK_PPM
        } else {
            LIVE_PPM
        }) {
            self.stream(client);
        } else if device.unconfirmed.len() < UNCONFIRMED_MAX {
            self.say(client);
        }
    }

    fn say(&mut self, client: usize) {
        let room = self.devices[client].room;
        let device = &mut self.devices[client];
        let bytes = device.random.pick(&[40, 200, 200, 1_900, 9_500]) as usize;
        let said = self.judge.ledger.say(client, &device.client_id, room, bytes);
        device.unconfirmed.push_back(said);
        if device.unconfirmed.len() == 1 {
            self.resend_later(client);
        }
        if self.devices[client].is_subscribed {
            self.send_said(client, said);
        }
    }

    fn send_said(&mut self, client: usize, said: usize) {
        if let Some(message) = self.judge.ledger.propogate(said) {
            self.send_up(client, message);
        }
    }

    fn resend_later(&mut self, client: usize) {
        let turn = self.devices[client].turn;
        self.queue.push(self.now + RESEND, Event::Resend { client: client as u8, turn });
    }

    /// T has passed.
    pub(super) fn resend(&mut self, client: usize, turn: u32) {
        let device = &mut self.devices[client];
        if device.turn != turn || !device.is_subscribed || device.unconfirmed.is_empty() {
            return;
        }
        device.resends += 1;
        if device.resends > RESENDS_MAX {
            // This router does not answer: another one may.
            device.resends = 0;
            self.forsake(client);
            return self.retry(client, RETRY_US);
        }
        self.send_unconfirmed(client);
    }

    fn send_unconfirmed(&mut self, client: usize) {
        for said in self.devices[client].unconfirmed.clone() {
            self.send_said(client, said);
        }
        self.resend_later(client);
    }

    fn stream(&mut self, client: usize) {
        let device = &mut self.devices[client];
        if !device.is_subscribed {
            return;
        }
        device.streams += 1;
        let count = device.streams;
        self.note_spoken(client, count);
        self.note(None, || format!("c{client} speaks audio {:?}", (client, count)));
        let device = &mut self.devices[client];
        let mut frame = b"F3SB".to_vec();
        frame.extend([client as u8, device.room as u8]);
        frame.extend(device.streams.to_be_bytes());
        frame.extend(b"F3FN");
        self.send_up(client, FromClient::Stream(frame.into()));
    }

    /// What is sent to it waits before its door.
    pub(super) fn is_slow_device(&self, client: usize) -> bool {
        !self.devices[client].leave.is_zero()
    }

    fn subscribe(&mut self, client: usize) {
        let device = &mut self.devices[client];
        device.is_subscribed = false;
        let (monitor_period_s, ping_period_s) = (device.monitor_s, device.ping_s);
        let Some(room) = room_id(device.room) else { return };
        let message_uuid = format!("s{}", device.room).into();
        self.send_up(client, FromClient::Subscribe { message_uuid, room, monitor_period_s, ping_period_s });
    }

    /// Connects to some router after a while.
    pub(super) fn retry(&mut self, client: usize, (low, high): (u64, u64)) {
        let device = &mut self.devices[client];
        device.turn += 1;
        let at = self.now + Duration::from_micros(device.random.between(low, high));
        self.queue.push(at, Event::Attach { client: client as u8, turn: device.turn });
    }

    pub(super) fn attach(&mut self, client: usize, turn: u32) {
        let routers = self.setup.routers as u64;
        let device = &mut self.devices[client];
        if device.turn != turn {
            return;
        }
        if device.line.is_some() {
            // The router has not let it in: no answer is an answer, too.
            self.forsake(client);
            return self.retry(client, RETRY_US);
        }
        let node = match &self.setup.main {
            Some(main) => main.place(client, &mut device.random),
            None => device.random.below(routers) as usize,
        };
        if self.machines[node].router.is_none() {
            return self.retry(client, RETRY_US);
        }
        let line = self.lines.len() as u32;
        let boot = self.machines[node].boot;
        self.lines.push(Line::new(client, node, boot, self.now, device.leave));
        device.line = Some(line);
        device.is_subscribed = false;
        self.send_up_line(line, Up::Connect);
        // No answer, no connection.
        let turn = self.devices[client].turn;
        self.queue.push(self.now + RESEND, Event::Attach { client: client as u8, turn });
    }

    /// Closes its connection, in order.
    fn hang_up(&mut self, client: usize) {
        if let Some(line) = self.devices[client].line.take() {
            self.send_up_line(line, Up::Gone);
        }
        self.devices[client].is_subscribed = false;
    }

    /// Leaves its connection without a word.
    pub(super) fn forsake(&mut self, client: usize) {
        if let Some(line) = self.devices[client].line.take() {
            self.lines[line as usize].is_dead = true;
        }
        self.devices[client].is_subscribed = false;
    }

    fn send_up(&mut self, client: usize, message: FromClient) {
        if let Some(line) = self.devices[client].line {
            self.send_up_line(line, Up::Message(message));
        }
    }

    fn send_up_line(&mut self, line: u32, up: Up) {
        let place = &mut self.lines[line as usize];
        let after = Duration::from_micros(self.devices[place.client].random.between(LINE_US.0, LINE_US.1));
        place.up_at = place.up_at.max(self.now + after);
        place.up.push_back(up);
        self.queue.push(place.up_at, Event::ToRouter { line });
    }

    /// The oldest thing on its way up has come.
    pub(super) fn carry_to_router(&mut self, line: u32) {
        let place = &self.lines[line as usize];
        let (node, client) = (place.node, place.client);
        if place.is_dead || self.machines[node].boot != place.boot {
            return;
        }
        if self.machines[node].frozen {
            self.machines[node].keep(Event::ToRouter { line });
            return;
        }
        let place = &mut self.lines[line as usize];
        let Some(up) = place.up.pop_front() else { return };
        let conn = ConnId(u64::from(line));
        let input = match up {
            Up::Connect => {
                let address: IpAddr = Ipv4Addr::from_bits(0x0a00_0000 + client as u32).into();
                Input::Connect { conn, client_id: self.devices[client].client_id.clone(), address }
            }
            Up::Pong(probe) => Input::Pong { conn, probe },
            Up::Gone => {
                place.is_ended = true;
                Input::Disconnected { conn }
            }
            Up::Message(message) => {
                if !place.is_ended {
                    self.observe_message(line, &message);
                }
                Input::Says { conn, what: says(Ok(message)) }
            }
        };
        self.feed(node, input);
    }

    /// A router sends something down a line.
    pub(super) fn send_down(&mut self, line: u32, down: Down) {
        let place = &mut self.lines[line as usize];
        if place.is_dead {
            return;
        }
        let is_frame = matches!(down, Down::Frame(_));
        place.out_at = place.out_at.max(self.now);
        if is_frame {
            place.out_at += place.leave;
            place.frames += 1;
            self.queue.push(place.out_at, Event::Left { line, frame: place.frames });
        }
        let after = Duration::from_micros(self.random.between(LINE_US.0, LINE_US.1));
        place.down_at = place.down_at.max(place.out_at + after);
        place.down.push_back(down);
        self.queue.push(place.down_at, Event::ToDevice { line });
    }

    pub(super) fn left(&mut self, line: u32, frame: u32) {
        let place = &self.lines[line as usize];
        let node = place.node;
        if place.is_dead || place.is_ended || self.machines[node].boot != place.boot {
            return;
        }
        if self.machines[node].frozen {
            self.machines[node].keep(Event::Left { line, frame });
            return;
        }
        self.feed(node, Input::Left { conn: ConnId(line.into()), frame: frame.into() });
    }

    /// The oldest thing on its way down has come.
    pub(super) fn carry_to_device(&mut self, line: u32) {
        let place = &mut self.lines[line as usize];
        let client = place.client;
        if place.is_dead || self.devices[client].line != Some(line) {
            return;
        }
        let Some(down) = place.down.pop_front() else { return };
        match down {
            Down::Accepted => {
                self.devices[client].turn += 1;
                self.subscribe(client);
            }
            Down::Probe(probe) => self.send_up_line(line, Up::Pong(probe)),
            Down::Gone => {
                self.devices[client].line = None;
                self.devices[client].is_subscribed = false;
                self.retry(client, RETRY_US);
            }
            Down::Frame(frame) => self.receive(client, line, frame),
        }
    }

    /// A device finds out by itself that nothing comes from its router any more.
    pub(super) fn notice(&mut self, line: u32) {
        let client = self.lines[line as usize].client;
        if self.devices[client].line == Some(line) {
            self.forsake(client);
            self.retry(client, RETRY_US);
        }
    }

    fn receive(&mut self, client: usize, line: u32, frame: Told) {
        let node = self.lines[line as usize].node;
        let (message_uuid, status) = match frame {
            Told::Answer { token: message_uuid, answer } => {
                return self.confirmed(client, &message_uuid, answer);
            }
            Told::Ask { item: message_uuid } => (message_uuid, Status::PONG),
            Told::Present { item: message_uuid, .. } => (message_uuid, Status::OK),
            Told::Live(frame) => return self.hear_stream(client, line, &frame),
            Told::Item { item: message_uuid, record } => {
                let device = &mut self.devices[client];
                let last = device.memory.insert(message_uuid, self.now);
                if last.is_none_or(|last| self.now.since(last) >= MEMORY) {
                    self.hear(client, node, &record);
                }
                if self.devices[client].mute_until > self.now {
                    return;
                }
                (message_uuid, Status::STORED)
            }
        };
        self.send_up(client, FromClient::Confirm { message_uuid: Some(message_uuid), status });
    }

    fn confirmed(&mut self, client: usize, message_uuid: &str, answer: Answer) {
        let device = &mut self.devices[client];
        if message_uuid.starts_with('s') {
            if message_uuid == format!("s{}", device.room) && !device.is_subscribed {
                device.is_subscribed = true;
                self.send_unconfirmed(client);
            }
            return;
        }
        let Ok(said) = message_uuid.parse::<usize>() else { return };
        if answer == Answer::Stored {
            device.resends = 0;
            device.unconfirmed.retain(|waiting| *waiting != said);
        }
    }
}

//! Connections from router to router: frames in order, none lost while one
//! stands, all of those under way lost with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fau3::router::Input;
use fau3::wire::fau3e::{self, Message};
use fau3_election::{RouterId, Time};

use super::World;
use super::events::Event;
use super::judge::CONNECTED;
use super::machine::NONE;
use super::main_node::{Pulses, Sign};
use crate::engine::{Quality, nodes_of};

/// Bytes that may be under way to one router; beyond it a frame finds no
/// place, unless it is the only one.
const QUEUE_BYTES_MAX: usize = 48 * 1_024;
/// Bytes that may be under way to the main server, over a long way.
const UPLINK_QUEUE_BYTES_MAX: usize = 192 * 1_024;
/// What a long message is read in, in bytes.
const PART_BYTES: usize = 4 * 1_024;
/// What a link carries where no fault is, in bytes a millisecond: 80 Mbit/s.
pub(super) const RATE: u32 = 10_000;
/// Silence after which an end gives a connection up, in microseconds.
const GIVE_UP_US: (u64, u64) = (9_000_000, 11_000_000);
/// From when two routers can connect until they have, in microseconds.
pub(super) const DIAL_US: (u64, u64) = (250_000, 2_000_000);
/// TCP's first wait for an acknowledgement (RFC 6298, with Linux's minimum); it doubles.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// A segment is lost at most so often in a row.
const RETRANSMITS_MAX: u32 = 5;
/// Where nothing comes back, an uplink carries what is new for so long: then TCP sends
/// only the first of what is not acknowledged again.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_millis(400);
/// A frame that takes longer waits behind others.
const BEHIND: Duration = Duration::from_secs(1);
/// After a silence, what was held back comes at most this much later, in microseconds.
pub(super) const RESUME_US_MAX: u64 = 5_000_000;

/// One connection, between two ends 0 and 1.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [usize; 2],
    /// Which ends take it as standing.
    pub(super) holds: [bool; 2],
    ways: [Way; 2],
    /// Counts silences, so that an old time-out is not taken for a new one.
    quiet: u32,
    quiet_since: Option<Time>,
    /// It is one to the main server, whose ends look for themselves.
    pub(super) pulses: Option<Box<Pulses>>,
}

/// From one end to the other one.
#[derive(Debug, Default)]
struct Way {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// When the sender's interface is free.
    free_at: Time,
    /// When the newest frame arrives.
    last_at: Time,
    /// Frames whose time has come while nothing passed.
    held: u32,
    is_full: bool,
}

#[derive(Debug)]
struct Frame {
    load: Load,
    bytes: usize,
}

/// What a frame carries.
#[derive(Debug)]
pub(super) enum Load {
    Message(Arc<Message>, Option<Arc<[u8]>>),
    Sign(Sign),
    /// What has come of a message that is not whole yet.
    Part,
}

impl Connection {
    pub(super) fn new(ends: [usize; 2]) -> Self {
        let ways = [Way::default(), Way::default()];
        Self { ends, holds: [true; 2], ways, quiet: 0, quiet_since: None, pulses: None }
    }

    pub(super) fn with_pulses(self, pulses: Pulses) -> Self {
        Self { pulses: Some(Box::new(pulses)), ..self }
    }

    /// Between a segment and its main server.
    pub(super) fn is_uplink(&self) -> bool {
        self.pulses.is_some()
    }

    /// When the newest frame from this end arrives.
    pub(super) fn last_at(&self, end: usize) -> Time {
        self.ways[end].last_at
    }

    /// From whom to whom frames are held back, or under way for longer than any healthy
    /// link takes.
    pub(super) fn behind(&self, now: Time) -> Option<[usize; 2]> {
        let is_behind = |way: &Way| way.held > 0 || (!way.frames.is_empty() && way.last_at > now + BEHIND);
        let end = self.ways.iter().position(is_behind)?;
        Some([self.ends[end], self.ends[1 - end]])
    }
}

/// The newest message that was encoded: it often goes to several routers.
#[derive(Debug, Default)]
pub(super) struct Encoded(Option<(Arc<Message>, Arc<[u8]>)>);

impl Encoded {
    fn of(&mut self, message: &Arc<Message>) -> Arc<[u8]> {
        if let Some((last, bytes)) = &self.0
            && Arc::ptr_eq(last, message)
        {
            return bytes.clone();
        }
        let bytes: Arc<[u8]> = fau3e::encode(message).into();
        self.0 = Some((message.clone(), bytes.clone()));
        bytes
    }
}

impl World {
    /// Routers that can connect and have not will try.
    pub(super) fn dial_around(&mut self) {
        for a in 0..self.machines.len() {
            for b in nodes_of(self.two_way(a)).filter(|b| *b > a) {
                let has_both = self.machines[a].peers[b] != NONE && self.machines[b].peers[a] != NONE;
                if has_both || self.dialling[a] & (1 << b) != 0 {
                    continue;
                }
                self.dialling[a] |= 1 << b;
                let at = self.now + Duration::from_micros(self.random.between(DIAL_US.0, DIAL_US.1));
                self.queue.push(at, Event::Dial { a: a as u8, b: b as u8 });
            }
        }
    }

    pub(super) fn dial(&mut self, a: usize, b: usize) {
        self.dialling[a] &= !(1 << b);
        let old = [self.machines[a].peers[b], self.machines[b].peers[a]];
        if self.two_way(a) & (1 << b) == 0 || old.iter().all(|connection| *connection != NONE) {
            return;
        }
        // What one end still takes for a connection gives way to the new one.
        for (connection, node) in old.into_iter().zip([a, b]).filter(|(connection, _)| *connection != NONE) {
            let end = usize::from(self.connections[connection as usize].ends[1] == node);
            self.lose_end(connection, end, Some(false));
        }
        let connection = self.connections.len() as u32;
        self.connections.push(Connection::new([a, b]));
        self.standing.push(connection);
        (self.machines[a].peers[b], self.machines[b].peers[a]) = (connection, connection);
        self.note(Some(a), || format!("is connected with r{b}"));
        self.segment_changed();
        self.truth_changed();
        let (id_a, id_b) = (self.machines[a].id, self.machines[b].id);
        self.feed(a, Input::PeerUp { router: id_b });
        self.feed(b, Input::PeerUp { router: id_a });
    }

    /// An end no longer takes it as standing; its router hears so if `told`,
    /// with whether the other one closed it.
    pub(super) fn lose_end(&mut self, connection: u32, end: usize, told: Option<bool>) {
        let place = &mut self.connections[connection as usize];
        if !std::mem::replace(&mut place.holds[end], false) {
            return;
        }
        let (node, other) = (place.ends[end], place.ends[1 - end]);
        let is_uplink = place.pulses.is_some();
        if place.holds == [false; 2] {
            self.standing.retain(|standing| *standing != connection);
            place.ways = [Way::default(), Way::default()];
        }
        self.machines[node].peers[other] = NONE;
        if is_uplink {
            self.call_again(node);
        } else {
            self.segment_changed();
        }
        self.truth_changed();
        if let Some(closed) = told {
            let router = self.machines[other].id;
            self.note(Some(node), || {
                format!("loses its connection with r{other}{}", if closed { ", closed" } else { "" })
            });
            self.feed(node, Input::PeerDown { router, closed });
        }
        self.dial_around();
    }

    /// This end closes it: the other one hears of it, if anything gets there.
    pub(super) fn close_end(&mut self, connection: u32, end: usize, told: Option<bool>) {
        let [from, to] = [end, 1 - end].map(|end| self.connections[connection as usize].ends[end]);
        self.lose_end(connection, end, told);
        if self.network.reaches(from) & (1 << to) != 0 {
            let after = match self.connections[connection as usize].pulses {
                Some(_) => self.way_takes(self.network.quality(from, to)),
                None => Duration::from_micros(self.random.between(200, 2_000)),
            };
            self.queue.push(self.now + after, Event::Closed { connection, end: 1 - end as u8 });
        }
        self.watch_silence();
    }

    pub(super) fn closed(&mut self, connection: u32, end: usize) {
        let place = &self.connections[connection as usize];
        let node = place.ends[end];
        if place.holds[end] && self.machines[node].frozen {
            self.machines[node].keep(Event::Closed { connection, end: end as u8 });
        } else {
            self.lose_end(connection, end, Some(true));
        }
    }

    pub(super) fn give_up(&mut self, connection: u32, end: usize, quiet: u32) {
        let place = &self.connections[connection as usize];
        let node = place.ends[end];
        if place.quiet_since.is_none() || place.quiet != quiet || !place.holds[end] {
            return;
        }
        if self.machines[node].frozen {
            self.machines[node].keep(Event::GiveUp { connection, end: end as u8, quiet });
            return;
        }
        self.tally.given_up += 1;
        self.close_end(connection, end, Some(false));
    }

    /// Connections over which nothing comes back are given up after a while;
    /// those over which it does again go on.
    pub(super) fn watch_silence(&mut self) {
        for connection in self.standing.clone() {
            let place = &self.connections[connection as usize];
            let is_quiet = place.holds != [true; 2] || (0..2).any(|end| self.is_blocked(connection, end));
            match (is_quiet, place.quiet_since) {
                (true, None) => {
                    let place = &mut self.connections[connection as usize];
                    place.quiet_since = Some(self.now);
                    place.quiet += 1;
                    let (quiet, looks_itself) = (place.quiet, place.pulses.is_some());
                    for end in 0..if looks_itself { 0 } else { 2 } {
                        let span = self.random.between(GIVE_UP_US.0, GIVE_UP_US.1);
                        let at = self.now + Duration::from_micros(span);
                        self.queue.push(at, Event::GiveUp { connection, end, quiet });
                    }
                }
                (false, Some(since)) => self.resume(connection, since),
                _ => {}
            }
        }
    }

    /// What was held back is sent again when TCP tries next: the longer
    /// nothing came back, the longer it waits.
    fn resume(&mut self, connection: u32, since: Time) {
        let quiet_us = u64::try_from(self.now.since(since).as_micros()).unwrap_or(u64::MAX);
        let place = &mut self.connections[connection as usize];
        place.quiet_since = None;
        for end in 0..2 {
            let after = self.random.below(quiet_us.min(RESUME_US_MAX) + 1);
            let at = self.now + Duration::from_micros(after);
            for _ in 0..std::mem::take(&mut place.ways[end].held) {
                self.queue.push(at, Event::Frame { connection, from: end as u8 });
            }
        }
    }

    /// The ends of a connection over which something passes both ways.
    pub(super) fn sound(&self, connection: u32) -> Option<[usize; 2]> {
        let place = &self.connections[connection as usize];
        (place.holds == [true; 2] && place.quiet_since.is_none()).then_some(place.ends)
    }

    /// Nothing gets from this end to the other one, or it is not taken there.
    fn is_blocked(&self, connection: u32, end: usize) -> bool {
        let [from, to] = [end, 1 - end].map(|end| self.connections[connection as usize].ends[end]);
        self.network.reaches(from) & (1 << to) == 0 || self.machines[to].frozen
    }

    /// Nothing new passes over an uplink, since nothing comes back.
    fn is_stalled(&self, connection: u32) -> bool {
        let place = &self.connections[connection as usize];
        let is_uplink = place.pulses.is_some();
        is_uplink && place.quiet_since.is_some_and(|since| self.now >= since + UNACKNOWLEDGED_MAX)
    }

    /// A router sends a frame to another one. False: there is no place for it.
    pub(super) fn send_to_peer(&mut self, node: usize, router: RouterId, message: Arc<Message>) -> bool {
        let Some(to) = self.machines.iter().position(|machine| machine.id == router) else { return true };
        let connection = self.machines[node].peers[to];
        if connection == NONE {
            self.broken(CONNECTED, format!("r{node} sends to r{to} without a connection"));
            return true;
        }
        let encoded = self.setup.encoded.then(|| self.encoded.of(&message));
        let bytes = encoded.as_ref().map_or_else(|| rough_bytes(&message), |encoded| encoded.len());
        let place = &mut self.connections[connection as usize];
        let end = usize::from(place.ends[1] == node);
        let most = if place.pulses.is_some() { UPLINK_QUEUE_BYTES_MAX } else { QUEUE_BYTES_MAX };
        let way = &mut place.ways[end];
        if !way.frames.is_empty() && way.bytes + bytes > most {
            way.is_full = true;
            return false;
        }
        if self.is_reset_instead(connection, &message) {
            return true;
        }
        self.put_on_way(connection, end, Load::Message(message, encoded), bytes);
        if self.with_pulse(connection, end, |pulse, now| pulse.sent(now)) == Some(true) {
            self.pulse_at(connection, end, self.now);
        }
        self.tally.frames += 1;
        let machine = &mut self.machines[node];
        machine.sent += 1;
        machine.sent_bytes += bytes as u64;
        true
    }

    /// Sets out from this end; over an uplink in parts, as it is read there.
    pub(super) fn put_on_way(&mut self, connection: u32, end: usize, load: Load, bytes: usize) {
        let is_uplink = self.connections[connection as usize].pulses.is_some();
        let parts = if is_uplink { bytes.saturating_sub(1) / PART_BYTES } else { 0 };
        for _ in 0..parts {
            self.put_frame(connection, end, Load::Part, PART_BYTES);
        }
        self.put_frame(connection, end, load, bytes - parts * PART_BYTES);
    }

    fn put_frame(&mut self, connection: u32, end: usize, load: Load, bytes: usize) {
        let [from, to] = [end, 1 - end].map(|end| self.connections[connection as usize].ends[end]);
        let rate = u64::from(self.rate(from, to));
        let under_way = self.way_takes(self.network.quality(from, to));
        let way = &mut self.connections[connection as usize].ways[end];
        way.free_at = way.free_at.max(self.now) + Duration::from_micros(bytes as u64 * 1_000 / rate);
        way.last_at = way.last_at.max(way.free_at + under_way);
        way.bytes += bytes;
        way.frames.push_back(Frame { load, bytes });
        self.queue.push(way.last_at, Event::Frame { connection, from: end as u8 });
    }

    /// How long what TCP sends is under way, sent again as often as it is lost.
    pub(super) fn way_takes(&mut self, quality: Quality) -> Duration {
        let mut under_way = Duration::from_micros(quality.delay.draw(&mut self.random));
        let mut lost = 0;
        while lost < RETRANSMITS_MAX && self.random.chance(quality.loss_ppm) {
            under_way += RETRANSMIT * (1 << lost);
            lost += 1;
        }
        under_way
    }

    /// The oldest frame of a way has come.
    pub(super) fn frame(&mut self, connection: u32, from: usize) {
        let is_blocked = self.is_blocked(connection, from) || self.is_stalled(connection);
        let place = &mut self.connections[connection as usize];
        let way = &mut place.ways[from];
        if is_blocked || way.held > 0 {
            way.held += 1;
            return;
        }
        let Some(frame) = way.frames.pop_front() else { return };
        way.bytes -= frame.bytes;
        let most = if place.pulses.is_some() { UPLINK_QUEUE_BYTES_MAX } else { QUEUE_BYTES_MAX };
        let is_drained = way.is_full && way.bytes <= most / 2;
        way.is_full &= !is_drained;
        let [sender, receiver] = [place.ends[from], place.ends[1 - from]];
        let holds = [place.holds[from], place.holds[1 - from]];
        if is_drained && holds[0] {
            let router = self.machines[receiver].id;
            self.tally.drained += 1;
            if self.machines[sender].frozen {
                // It notices when it runs again; until then nothing of it comes.
                self.connections[connection as usize].ways[from].is_full = true;
            } else {
                self.feed(sender, Input::PeerDrained { router });
            }
        }
        if holds[1] && self.connections[connection as usize].holds[1 - from] {
            self.taken(connection, 1 - from, frame);
        } else if !holds[1] {
            self.reset(connection, from);
        }
    }

    /// A frame is read at this end.
    fn taken(&mut self, connection: u32, end: usize, frame: Frame) {
        let place = &self.connections[connection as usize];
        let [receiver, sender] = [end, 1 - end].map(|end| place.ends[end]);
        let (message, encoded) = match frame.load {
            Load::Message(message, encoded) => (message, encoded),
            Load::Sign(sign) => return self.has_read(connection, end, Some(sign), frame.bytes),
            Load::Part => return self.has_read(connection, end, None, frame.bytes),
        };
        let router = self.machines[sender].id;
        let decoded = match &encoded {
            Some(bytes) => fau3e::decode(bytes),
            None => Ok(Message::clone(&message)),
        };
        self.trace.fold(self.now.as_micros() << 8 | (sender << 4 | receiver) as u64);
        self.trace.fold(frame.bytes as u64);
        self.peer_said(receiver, sender, router, &message, decoded);
        self.has_read(connection, end, None, frame.bytes);
    }

    /// A process that runs again finds its queues empty.
    pub(super) fn drained_meanwhile(&mut self, node: usize) {
        for connection in self.standing.clone() {
            let place = &mut self.connections[connection as usize];
            let Some(end) = place.ends.iter().position(|end| *end == node) else { continue };
            let way = &mut place.ways[end];
            if way.is_full && way.frames.is_empty() && place.holds[end] {
                way.is_full = false;
                let router = self.machines[self.connections[connection as usize].ends[1 - end]].id;
                self.feed(node, Input::PeerDrained { router });
            }
        }
    }
}

/// How long a frame is when nobody encodes it.
fn rough_bytes(message: &Message) -> usize {
    match message {
        Message::Playlist(playlist) => {
            64 + playlist.records.iter().map(|(record, _)| record.payload.len() + 128).sum::<usize>()
        }
        Message::State(state) => 256 + 128 * state.sessions.len() + 40 * state.holdings.len(),
        Message::Stream(stream) => 96 + stream.frame.len(),
        Message::Upstream(state) => {
            128 + 16 * (state.lines.len() + state.claims.len()) + 40 * state.pushed.len()
        }
        Message::AskState | Message::Want(_) | Message::Confirm { .. } => 64,
    }
}

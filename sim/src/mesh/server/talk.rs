//! What the server says and does: it confirms, plays, sends again, pings, and
//! repeats its MessageUuids within a second.

use std::sync::Arc;
use std::time::Duration;

use fau3::router::{Answer, FromServer, ToServer};
use fau3::wire::Present;
use fau3::wire::{ClientId, RoomId};

use super::upline::{Down, Play};
use super::{ID_MAX, ServerEvent, ServerFaultKind, TWICE, World};
use crate::mesh::device::room_id;

/// After this long without a Confirm it sends a Playlist again.
const RETRY: Duration = Duration::from_secs(5);
/// How often it does.
const RETRIES_MAX: u32 = 3;
/// How late an answer may come, in microseconds.
const LATE_US: (u64, u64) = (500_000, 9_000_000);
/// Between two acts of one of its clients, in microseconds.
const PACE_US: (u64, u64) = (500_000, 6_000_000);
/// A process that stands still looks at its timers again after this long.
const STUCK_LOOK: Duration = Duration::from_millis(100);

/// A client of its own.
#[derive(Debug)]
pub(super) struct OwnClient {
    client_id: ClientId,
    room: usize,
}

impl World {
    pub(super) fn begin_own_clients(&mut self) {
        let (rooms, number) = (self.setup.rooms as u64, self.server().setup.own_clients);
        for client in 0..number {
            let Ok(client_id) = ClientId::new(&format!("s{client}")) else { continue };
            let room = self.server().random.below(rooms) as usize;
            self.server().own.push(OwnClient { client_id, room });
            self.act_there_later(client);
        }
    }

    fn act_there_later(&mut self, client: usize) {
        let after = self.server().random.between(PACE_US.0, PACE_US.1);
        let at = self.now + Duration::from_micros(after);
        if at < self.setup.talk_until() {
            self.server_later(at, ServerEvent::Act { client: client as u8 });
        }
    }

    /// One of its clients says something, or speaks live.
    pub(super) fn own_client_acts(&mut self, client: usize) {
        self.act_there_later(client);
        let (clients, rooms) = (self.setup.clients, self.setup.rooms as u64);
        let server = self.server();
        if !server.is_up || server.is_stuck() {
            return;
        }
        if server.random.chance(50_000) {
            server.own[client].room = server.random.below(rooms) as usize;
        }
        let (client_id, room) = (server.own[client].client_id.clone(), server.own[client].room);
        if server.random.chance(150_000) {
            server.streams += 1;
            let mut frame = b"F3SB".to_vec();
            frame.extend([200 + client as u8, room as u8]);
            frame.extend(server.streams.to_be_bytes());
            frame.extend(b"F3FN");
            return self.stream_there(None, room, &frame.into());
        }
        let bytes = server.random.pick(&[40, 200, 1_900]) as usize;
        let number = self.judge.ledger.say(clients + client, &client_id, room, bytes);
        self.note(None, || format!("{client_id} says {number} at the server in room {room}"));
        self.play(&client_id, room, number);
    }

    /// Somebody asks to be let in.
    pub(super) fn server_opens(&mut self, line: u32) {
        let node = self.server().lines[line as usize].node;
        let server = self.server();
        let client_id = server.lines[line as usize].client_id.clone();
        let taken = server.own.len() + server.connected.len();
        let is_full = server.connected.len() >= server.setup.places || taken >= super::setup::PLACES_MAX;
        if !server.is_up || is_full {
            self.tally.server_refused += u64::from(is_full);
            return self.push_down(line, Down::Closed);
        }
        if let Some(&old_line) = server.connected.get(&client_id) {
            let old = server.lines[old_line as usize].node;
            if old != node && server.met[node] & (1 << old) == 0 {
                // Two halves of a mesh that have never met cannot know of each other.
                self.tally.server_twice_unmet += 1;
                self.server_closes(old_line);
                return self.server_opens(line);
            }
            return self
                .broken(TWICE, format!("r{node} connects as {client_id} while r{old}'s connection stands"));
        }
        if client_id.as_str().len() > ID_MAX {
            return self.broken(TWICE, format!("r{node} connects as {client_id}, which is too long"));
        }
        server.connected.insert(client_id, line);
        server.lines[line as usize].stands = true;
        self.push_down(line, Down::Accepted);
    }

    /// It takes a connection as standing no more.
    pub(super) fn server_lets_go(&mut self, line: u32) {
        let server = self.server();
        let place = &mut server.lines[line as usize];
        if std::mem::replace(&mut place.stands, false) {
            place.plays.clear();
            let client_id = place.client_id.clone();
            server.connected.remove(&client_id);
        }
    }

    fn server_closes(&mut self, line: u32) {
        self.server_lets_go(line);
        self.push_down(line, Down::Closed);
    }

    fn tell(&mut self, line: u32, message: FromServer) {
        self.push_down(line, Down::Frame(message));
    }

    pub(super) fn server_takes(&mut self, line: u32, frame: ToServer) {
        let now = self.now;
        match frame {
            ToServer::Subscribe { message_uuid, room, monitor_period_s, ping_period_s } => {
                let rooms = self.setup.rooms;
                let place = &mut self.server().lines[line as usize];
                place.room = (0..rooms).find(|number| room_id(*number).as_ref() == Some(&room));
                let is_first = place.ping_s == 0;
                (place.monitor_s, place.ping_s) = (monitor_period_s, ping_period_s);
                if is_first && ping_period_s > 0 {
                    let at = now + Duration::from_secs(ping_period_s.into());
                    self.server_later(at, ServerEvent::Ping { line });
                }
                let message_uuid = message_uuid.to_string().into();
                self.tell(line, FromServer::Confirm { message_uuid, answer: Answer::Done });
            }
            ToServer::Propogate(record) => {
                if let Some(number) = self.judge.ledger.number_of(record.key()) {
                    self.server_is_told(line, number, &record.client_id, &record.room);
                }
            }
            ToServer::Confirm { message_uuid, answer } => {
                self.server_is_answered(line, &message_uuid, answer)
            }
            ToServer::Stream(frame) => {
                if let Some(room) = self.server().lines[line as usize].room {
                    self.stream_there(Some(line), room, &frame);
                }
            }
        }
    }

    fn server_is_told(&mut self, line: u32, number: usize, client_id: &ClientId, room: &RoomId) {
        let server = self.server();
        let faults: Vec<ServerFaultKind> = server.faults_on().collect();
        let mut falls = |ppm: u32| server.random.chance(ppm);
        let (mut is_stored, mut is_answered, mut is_late, mut is_dropped) = (true, true, false, false);
        for kind in faults {
            match kind {
                ServerFaultKind::Mute { ppm } => is_answered &= !falls(ppm),
                ServerFaultKind::Deaf { ppm } => is_stored &= !falls(ppm),
                ServerFaultKind::Late { ppm } => is_late |= falls(ppm),
                ServerFaultKind::Drops { ppm } => is_dropped |= falls(ppm),
                _ => {}
            }
        }
        let fails = !is_stored && falls(500_000);
        let late_us = server.random.between(LATE_US.0, LATE_US.1);
        if is_stored {
            self.server_has(line, number);
            let rooms = self.setup.rooms;
            if let Some(room) = (0..rooms).find(|room_no| room_id(*room_no).as_ref() == Some(room)) {
                self.play(client_id, room, number);
            }
        }
        if is_dropped {
            self.tally.server_dropped += 1;
            self.server_closes(line);
        } else if fails {
            let message_uuid = number.to_string().into();
            self.tell(line, FromServer::Confirm { message_uuid, answer: Answer::Failed });
        } else if !is_stored || !is_answered {
            self.tally.server_mute += 1;
        } else if is_late {
            let at = self.now + Duration::from_micros(late_us);
            self.server_later(at, ServerEvent::LateConfirm { line, number: number as u32 });
        } else {
            self.server_confirms(line, number);
        }
    }

    pub(super) fn server_confirms(&mut self, line: u32, number: usize) {
        if self.server().is_stuck() {
            let at = self.now + STUCK_LOOK;
            return self.server_later(at, ServerEvent::LateConfirm { line, number: number as u32 });
        }
        if self.server().lines[line as usize].stands {
            let message_uuid = number.to_string().into();
            self.tell(line, FromServer::Confirm { message_uuid, answer: Answer::Stored });
        }
    }

    /// To everyone in the room but the sender, with a MessageUuid that is the same for
    /// all within a second.
    fn play(&mut self, sender: &ClientId, room: usize, number: usize) {
        let Some(payload) = self.judge.ledger.payload(number) else { return };
        let message_uuid: Box<str> = format!("second-{}", self.now.as_millis() / 1_000).into();
        let server = self.server();
        let to: Vec<u32> = server
            .connected
            .iter()
            .filter(|(client_id, line)| {
                *client_id != sender && server.lines[**line as usize].room == Some(room)
            })
            .map(|(_, line)| *line)
            .collect();
        for line in to {
            let server = self.server();
            server.plays += 1;
            let nth = server.plays;
            let play = Play {
                nth,
                message_uuid: message_uuid.clone(),
                number,
                sent: 1,
                fed_at: None,
                is_answered: false,
            };
            server.lines[line as usize].plays.push(play);
            let records = vec![(sender.clone(), payload.clone())];
            self.tell(line, FromServer::Playlist { message_uuid: message_uuid.clone(), records });
            let at = self.now + RETRY;
            self.server_later(at, ServerEvent::Replay { line, nth });
        }
    }

    pub(super) fn server_plays_again(&mut self, line: u32, nth: u32) {
        self.must_be_answered(line, nth);
        if self.server().is_stuck() {
            let at = self.now + STUCK_LOOK;
            return self.server_later(at, ServerEvent::Replay { line, nth });
        }
        let place = &mut self.server().lines[line as usize];
        let Some(at) = place.plays.iter().position(|play| play.nth == nth) else { return };
        let play = &mut place.plays[at];
        if play.sent > RETRIES_MAX {
            place.plays.remove(at);
            return;
        }
        play.sent += 1;
        let (message_uuid, number) = (play.message_uuid.clone(), play.number);
        self.tally.server_replays += 1;
        let Some((sender, payload)) = self.speaker_of(number).zip(self.judge.ledger.payload(number)) else {
            return;
        };
        self.tell(line, FromServer::Playlist { message_uuid, records: vec![(sender, payload)] });
        let at = self.now + RETRY;
        self.server_later(at, ServerEvent::Replay { line, nth });
    }

    fn speaker_of(&mut self, number: usize) -> Option<ClientId> {
        let speaker = self.judge.ledger.said.get(number)?.speaker;
        match speaker.checked_sub(self.setup.clients) {
            Some(own) => Some(self.server().own.get(own)?.client_id.clone()),
            None => Some(self.devices[speaker].client_id.clone()),
        }
    }

    /// A router answers.
    fn server_is_answered(&mut self, line: u32, message_uuid: &str, answer: Answer) {
        let place = &mut self.server().lines[line as usize];
        if answer == Answer::Here {
            place.silent_since = None;
        }
        // It repeats its MessageUuids, so it settles the first that is meant.
        if !matches!(answer, Answer::Failed | Answer::Invalid)
            && let Some(at) = place.plays.iter().position(|play| &*play.message_uuid == message_uuid)
        {
            place.plays.remove(at);
        }
    }

    pub(super) fn server_pings(&mut self, line: u32) {
        if self.server().is_stuck() {
            let at = self.now + STUCK_LOOK;
            return self.server_later(at, ServerEvent::Ping { line });
        }
        let now = self.now;
        let place = &mut self.server().lines[line as usize];
        if !place.stands || place.ping_s == 0 {
            return;
        }
        let period = Duration::from_secs(place.ping_s.into());
        let (node, is_forsaken) = (place.node, place.is_forsaken);
        let monitors = place.monitor_s > 0;
        let is_over = place.silent_since.is_some_and(|since| now.since(since) >= period * 2);
        // A machine that has started again does not know the connection.
        let is_unknown =
            is_forsaken && self.machines[node].router.is_some() && !self.server().is_blocked(node);
        if is_over || is_unknown {
            self.tally.server_half_open += 1;
            self.note(Some(node), || "the server finds a connection dead".into());
            return self.server_closes(line);
        }
        let place = &mut self.server().lines[line as usize];
        place.silent_since.get_or_insert(now);
        let message_uuid = format!("second-{}", now.as_millis() / 1_000).into();
        self.tell(line, FromServer::Ping { message_uuid });
        if monitors {
            self.monitor_there(line);
        }
        self.server_later(now + period, ServerEvent::Ping { line });
    }

    fn monitor_there(&mut self, line: u32) {
        let server = self.server();
        let ids = server.connected.keys().cloned().chain(server.own.iter().map(|own| own.client_id.clone()));
        let clients = ids.map(|client_id| Present { client_id, room: None, alive_s: 1 }).collect();
        let message_uuid = format!("second-{}", self.now.as_millis() / 1_000).into();
        self.tell(line, FromServer::Monitor { message_uuid, clients });
    }

    /// Live audio, to all in the room but its speaker.
    fn stream_there(&mut self, speaker: Option<u32>, room: usize, frame: &Arc<[u8]>) {
        let server = self.server();
        let in_room =
            |line: &&u32| server.lines[**line as usize].room == Some(room) && Some(**line) != speaker;
        let to: Vec<u32> = server.connected.values().filter(in_room).copied().collect();
        self.note(None, || format!("the server passes audio on over {to:?}"));
        for line in to {
            self.tell(line, FromServer::Stream(frame.clone()));
        }
    }
}

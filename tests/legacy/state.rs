//! What the server knows, and what it does with a message. One lock holds all
//! of it, as one thread did in its model.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::connection::{self, frame};
use super::{Propogated, Quirks};

/// A Playlist is sent so often.
const TRIES_MAX: u32 = 3;
/// A client that does not read is not written to for longer.
const WRITE_MAX: Duration = Duration::from_millis(500);
const TEXT: u8 = 1;
const BINARY: u8 = 2;

pub(super) struct State {
    pub(super) quirks: Quirks,
    pub(super) alive: bool,
    pub(super) listening: bool,
    pub(super) ended: bool,
    /// Counts its lives.
    pub(super) life: u64,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    messages: u32,
    confirms_sent: u32,
    uuids: u64,
    pub(super) crashes: Vec<String>,
    pub(super) connected: Vec<String>,
    pub(super) propogates: Vec<Propogated>,
    pub(super) streams: Vec<(String, Vec<u8>)>,
    pub(super) confirms: Vec<(String, String, i64)>,
    pub(super) pings: u64,
    pub(super) list_requests: u64,
}

struct Client {
    id: String,
    stream: TcpStream,
    room: Option<String>,
    since: Instant,
    monitor: Option<Period>,
    ping: Option<Period>,
    /// Playlists without a Confirm.
    unconfirmed: Vec<Unconfirmed>,
}

struct Period {
    every: Duration,
    at: Instant,
}

struct Unconfirmed {
    uuid: String,
    frame: Vec<u8>,
    sent_at: Instant,
    tries: u32,
}

impl State {
    pub(super) fn new(quirks: Quirks) -> Self {
        Self {
            quirks,
            alive: true,
            listening: true,
            ended: false,
            life: 0,
            clients: BTreeMap::new(),
            next_client: 0,
            messages: 0,
            confirms_sent: 0,
            uuids: 0,
            crashes: Vec::new(),
            connected: Vec::new(),
            propogates: Vec::new(),
            streams: Vec::new(),
            confirms: Vec::new(),
            pings: 0,
            list_requests: 0,
        }
    }

    pub(super) fn crash(&mut self, why: &str) {
        self.crashes.push(why.to_owned());
        (self.alive, self.listening) = (false, false);
        self.life += 1;
        for client in std::mem::take(&mut self.clients).into_values() {
            let _ = client.stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn end(&mut self) {
        self.crash("ended");
        self.ended = true;
    }

    /// Everything waits while it sleeps: its lock is held.
    pub(super) fn oversleep(&mut self) {
        self.messages += 1;
        if let Some((span, each)) = self.quirks.late_wakeup
            && self.messages.is_multiple_of(each)
        {
            std::thread::sleep(span);
        }
    }

    /// A client's number; `None`: not let in.
    pub(super) fn let_in(&mut self, client_id: &str, stream: &TcpStream) -> Option<u64> {
        self.connected.push(client_id.to_owned());
        let is_second = self.clients.values().any(|client| client.id == client_id);
        if is_second && self.quirks.crashes_on_second_id {
            self.crash(&format!("{client_id} connected twice"));
            return None;
        }
        if self.clients.len() >= self.quirks.clients_max {
            return None;
        }
        let stream = stream.try_clone().unwrap();
        stream.set_write_timeout(Some(WRITE_MAX)).unwrap();
        self.next_client += 1;
        let client = Client {
            id: client_id.to_owned(),
            stream,
            room: None,
            since: Instant::now(),
            monitor: None,
            ping: None,
            unconfirmed: Vec::new(),
        };
        self.clients.insert(self.next_client, client);
        Some(self.next_client)
    }

    pub(super) fn is_here(&self, number: u64) -> bool {
        self.clients.contains_key(&number)
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.clients.remove(&number);
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.clients.values().map(|client| client.id.clone()).collect();
        ids.sort();
        ids
    }

    pub(super) fn room_of(&self, client_id: &str) -> Option<String> {
        self.clients.values().find(|client| client.id == client_id)?.room.clone()
    }

    pub(super) fn send_raw(&mut self, client_id: &str, text: bool, bytes: &[u8]) {
        let number =
            self.clients.iter().find(|(_, client)| client.id == client_id).map(|(number, _)| *number);
        self.send(number.expect("the client is connected"), if text { TEXT } else { BINARY }, bytes);
    }

    pub(super) fn send(&mut self, number: u64, opcode: u8, payload: &[u8]) {
        self.write(number, &frame(opcode, payload));
    }

    fn write(&mut self, number: u64, frame: &[u8]) {
        if self.quirks.mute {
            return;
        }
        if let Some(client) = self.clients.get_mut(&number) {
            // One that is gone is found by its own thread.
            let _ = client.stream.write_all(frame);
        }
    }

    pub(super) fn message(&mut self, number: u64, message: &[u8]) {
        let Some(client) = self.clients.get(&number) else { return };
        let client_id = client.id.clone();
        if message.starts_with(b"F3SB") {
            return self.stream(number, client_id, message);
        }
        let Ok(message) = serde_json::from_slice::<Value>(message) else { return };
        if message == json!([]) && self.quirks.crashes_on_empty_array {
            return self.crash("got []");
        }
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let uuid = text("MessageUuid");
        match message["MessageType"].as_str() {
            Some("Confirm") => {
                self.confirms.push((client_id, uuid.clone(), message["Status"].as_i64().unwrap_or_default()));
                if let Some(client) = self.clients.get_mut(&number) {
                    client.unconfirmed.retain(|playlist| playlist.uuid != uuid);
                }
            }
            Some("Ping") => drop(self.confirm(number, &uuid, 1)),
            Some("Subscribe") => {
                let period = |name: &str| {
                    let seconds = message[name].as_i64().filter(|seconds| *seconds > 0)?;
                    let every = Duration::from_secs(seconds as u64);
                    Some(Period { every, at: Instant::now() + every })
                };
                if let Some(client) = self.clients.get_mut(&number) {
                    client.room = Some(text("RoomId"));
                    client.monitor = period("IsMonitorRequired");
                    client.ping = period("IsPingRequired");
                }
                self.confirm(number, &uuid, 0);
            }
            Some("Propogate") => {
                let Ok(payload) = STANDARD.decode(text("Payload")) else { return };
                self.propogate(number, client_id, text("RoomId"), uuid, payload);
            }
            _ => drop(self.confirm(number, &uuid, -1)),
        }
    }

    /// Whether it was sent.
    fn confirm(&mut self, number: u64, uuid: &str, status: i32) -> bool {
        self.confirms_sent += 1;
        if self.quirks.loses_confirm.is_some_and(|each| self.confirms_sent.is_multiple_of(each)) {
            return false;
        }
        let confirm = json!({"MessageType": "Confirm", "MessageUuid": uuid, "Status": status});
        self.write(number, &connection::json(&confirm));
        true
    }

    /// No memory of what it had: a repeated one is a new one.
    fn propogate(&mut self, number: u64, client_id: String, room: String, uuid: String, payload: Vec<u8>) {
        let confirmed = self.confirm(number, &uuid, 3);
        let record = json!({"ClientId": client_id, "Payload": STANDARD.encode(&payload)});
        let at = Instant::now();
        self.propogates.push(Propogated {
            client_id,
            room: room.clone(),
            message_uuid: uuid,
            payload,
            confirmed,
            at,
        });
        for other in self.others_in(&room, number) {
            let uuid = self.next_uuid();
            let playlist = json!({"MessageType": "Playlist", "MessageUuid": uuid, "Records": [record]});
            let frame = connection::json(&playlist);
            self.write(other, &frame);
            if let Some(client) = self.clients.get_mut(&other) {
                client.unconfirmed.push(Unconfirmed { uuid, frame, sent_at: at, tries: 1 });
            }
        }
    }

    fn stream(&mut self, number: u64, client_id: String, message: &[u8]) {
        self.streams.push((client_id, message.to_vec()));
        let Some(room) = self.clients.get(&number).and_then(|client| client.room.clone()) else { return };
        let opcode = if self.quirks.streams_as_text { TEXT } else { BINARY };
        for other in self.others_in(&room, number) {
            self.send(other, opcode, message);
        }
    }

    fn others_in(&self, room: &str, number: u64) -> Vec<u64> {
        let is_meant =
            |(other, client): &(&u64, &Client)| **other != number && client.room.as_deref() == Some(room);
        self.clients.iter().filter(is_meant).map(|(other, _)| *other).collect()
    }

    /// What time has come for, of one client's.
    pub(super) fn due(&mut self, number: u64) {
        let now = Instant::now();
        let Some(client) = self.clients.get_mut(&number) else { return };
        let is_due = |period: &mut Option<Period>| {
            period
                .as_mut()
                .filter(|period| period.at <= now)
                .map(|period| period.at = now + period.every)
                .is_some()
        };
        let (monitor, ping) = (is_due(&mut client.monitor), is_due(&mut client.ping));
        let mut again = Vec::new();
        let after = self.quirks.resends_after;
        client.unconfirmed.retain_mut(|playlist| {
            if playlist.sent_at + after <= now {
                if playlist.tries == TRIES_MAX {
                    return false;
                }
                playlist.tries += 1;
                playlist.sent_at = now;
                again.push(playlist.frame.clone());
            }
            true
        });
        again.iter().for_each(|frame| self.write(number, frame));
        if ping {
            let uuid = self.next_uuid();
            self.write(number, &connection::json(&json!({"MessageType": "Ping", "MessageUuid": uuid})));
        }
        if monitor {
            let monitor = self.monitor();
            self.write(number, &connection::json(&monitor));
        }
    }

    fn monitor(&mut self) -> Value {
        let line = |client: &Client| {
            let alive = client.since.elapsed().as_secs();
            json!({"ClientId": client.id, "RoomId": client.room.as_deref().unwrap_or_default(), "AliveTime": alive})
        };
        let clients: Vec<_> = self.clients.values().map(line).collect();
        json!({"MessageType": "Monitor", "MessageUuid": self.next_uuid(), "ConnectedClients": clients})
    }

    fn next_uuid(&mut self) -> String {
        self.uuids += 1;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let number = if self.quirks.repeats_uuids { seconds } else { self.uuids };
        format!("1e6ac000-0000-4000-8000-{number:012x}")
    }
}

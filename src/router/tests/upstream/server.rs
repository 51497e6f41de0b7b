//! A main server as it exists today, in virtual time: it speaks FAU3VOM-D,
//! gives records no ids, repeats what is repeated, and ends when one client id
//! connects twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::mesh::net::{D, Event, LATENCY, MeshNet, R};
use crate::router::{Answer, FromServer, Input, ServerKind, ToServer, UpConn, UpstreamInput, UpstreamOutput};
use crate::wire::Present;
use crate::wire::{ClientId, RoomId};

/// Connections it takes.
const CLIENTS_MAX: usize = 255;

/// The server, and clients of its own.
#[derive(Default)]
pub(in crate::router::tests) struct Server {
    pub(super) is_up: bool,
    /// Routers whose packets to it are dropped, and its to them.
    pub(super) cut: BTreeSet<R>,
    conns: BTreeMap<(R, UpConn), Client>,
    /// What it was told, in that order: who, and what.
    pub(super) told: Vec<(String, String)>,
    /// MessageUuids of the same.
    pub(super) uuids: Vec<String>,
    /// What its own clients hear, by room.
    pub(super) heard: BTreeMap<RoomId, Vec<(String, String)>>,
    /// Live audio that it was told.
    pub(super) audio: Vec<Vec<u8>>,
    /// Confirms that it leaves out: the next so many.
    pub(super) silent_for: usize,
    /// How it answers the next Propogates; FAU3_STORED after that.
    pub(super) answers: Vec<Answer>,
    /// Why it ended, if it did.
    pub(super) crashed: Option<String>,
    /// It answers nothing to a WebSocket ping.
    pub(super) is_stuck: bool,
    /// All connections that it ever took, by client id.
    pub(super) connected: Vec<String>,
    /// The one to which the routers were connected before, which still sees their goodbyes.
    pub(super) before: Option<Box<Self>>,
    playlists: u64,
}

struct Client {
    client_id: ClientId,
    room: Option<RoomId>,
    monitor_s: u32,
    /// Playlists that it was sent, without a Confirm.
    unconfirmed: usize,
}

impl Server {
    /// Another one, to which the routers turn from this one.
    pub(super) fn after(before: Self) -> Self {
        Self { is_up: true, before: Some(Box::new(before)), ..Self::default() }
    }

    /// Who is connected, by id.
    pub(super) fn connected_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> =
            self.conns.values().map(|client| client.client_id.as_str().to_owned()).collect();
        ids.sort();
        ids
    }
}

impl MeshNet {
    /// All routers are told of a legacy server, which is there.
    pub(super) fn with_server(mut self) -> Self {
        self.server.is_up = true;
        for router in self.all() {
            self.upstream(router, UpstreamInput::Configure(Some(ServerKind::Legacy)));
            self.upstream(router, UpstreamInput::Reach(Some(true)));
        }
        self.run(Duration::from_secs(1));
        self
    }

    pub(super) fn upstream(&mut self, at: R, input: UpstreamInput) {
        self.input(at, Input::Upstream(input));
    }

    /// The server ends: connections are closed, and whoever watches sees it.
    pub(super) fn server_ends(&mut self) {
        self.server.is_up = false;
        for ((at, conn), _) in std::mem::take(&mut self.server.conns) {
            self.say_up(at, UpstreamInput::Down { conn, clean: true });
        }
        self.server_judged(false);
    }

    /// Whoever watches says whether it is there.
    pub(super) fn server_judged(&mut self, is_there: bool) {
        for router in self.all() {
            self.upstream(router, UpstreamInput::Reach(Some(is_there)));
        }
    }

    pub(super) fn server_returns(&mut self) {
        self.server.is_up = true;
        self.server_judged(true);
    }

    /// Closes the connection in this client's name.
    pub(super) fn server_drops(&mut self, client_id: &str) {
        let found = self.server.conns.iter().find(|(_, client)| client.client_id.as_str() == client_id);
        let Some((&(at, conn), _)) = found else { panic!("{client_id} is not connected") };
        self.server.conns.remove(&(at, conn));
        self.say_up(at, UpstreamInput::Down { conn, clean: true });
        self.settle();
    }

    /// A client of the server says something to a room.
    pub(super) fn say_there(&mut self, client_id: &str, room: &str, payload: &str) {
        let room = RoomId::new(room).unwrap();
        self.play(&ClientId::new(client_id).unwrap(), &room, payload.as_bytes());
        self.settle();
    }

    /// Live audio of a client of the server.
    pub(super) fn stream_there(&mut self, room: &str, frame: &[u8]) {
        let room = RoomId::new(room).unwrap();
        self.stream_to(None, &room, frame);
        self.settle();
    }

    /// Who is connected there, by id.
    pub(super) fn connected_there(&self) -> Vec<String> {
        self.server.connected_ids()
    }

    /// Asks for Monitor messages and is told.
    pub(super) fn server_monitors(&mut self, also: &[&str]) {
        let of = |client_id: &ClientId, room: &Option<RoomId>| Present {
            client_id: client_id.clone(),
            room: room.clone(),
            alive_s: 1,
        };
        let mut clients: Vec<Present> =
            self.server.conns.values().map(|client| of(&client.client_id, &client.room)).collect();
        clients.extend(also.iter().map(|id| of(&ClientId::new(id).unwrap(), &None)));
        let wants: Vec<(R, UpConn)> =
            self.server.conns.iter().filter(|(_, c)| c.monitor_s > 0).map(|(k, _)| *k).collect();
        for (at, conn) in wants {
            let message = FromServer::Monitor { message_uuid: "monitor".into(), clients: clients.clone() };
            self.say_up(at, UpstreamInput::Says { conn, message });
        }
        self.settle();
    }

    pub(in crate::router::tests) fn asks_server(&mut self, at: R, asks: UpstreamOutput) {
        self.after(LATENCY, Event::ToServer(at, asks));
    }

    /// Something of a router has come to the server.
    pub(in crate::router::tests) fn server_hears(&mut self, at: R, asks: UpstreamOutput) {
        if self.server.cut.contains(&at) {
            return self.lost_on_the_way(at, &asks);
        }
        if self.server.before.is_some() && self.server_before_hears(at, &asks) {
            return;
        }
        match asks {
            UpstreamOutput::Open { conn, client_id } => self.server_opens(at, conn, client_id),
            UpstreamOutput::Close { conn } | UpstreamOutput::Abort { conn } => {
                self.server.conns.remove(&(at, conn));
                self.say_up(at, UpstreamInput::Down { conn, clean: true });
            }
            UpstreamOutput::Probe { conn } => {
                if !self.server.is_stuck && self.server.conns.contains_key(&(at, conn)) {
                    self.say_up(at, UpstreamInput::Pong { conn });
                }
            }
            UpstreamOutput::Knock => self.say_up(at, UpstreamInput::Knocked { is_open: true }),
            UpstreamOutput::Send { conn, frame } => {
                if self.server.conns.contains_key(&(at, conn)) {
                    self.server_takes(at, conn, frame);
                }
            }
        }
    }

    /// Goodbyes to the server before. True: it was not meant for this one.
    fn server_before_hears(&mut self, at: R, asks: &UpstreamOutput) -> bool {
        let (UpstreamOutput::Close { conn } | UpstreamOutput::Abort { conn }) = *asks else { return false };
        let Some(before) = &mut self.server.before else { return false };
        if before.conns.contains_key(&(at, conn)) && before.cut.contains(&at) {
            self.lost_on_the_way(at, asks);
            return true;
        }
        before.conns.remove(&(at, conn));
        false
    }

    /// What a router's own sockets tell it where nothing passes.
    fn lost_on_the_way(&mut self, at: R, asks: &UpstreamOutput) {
        let (conn, span) = match asks {
            UpstreamOutput::Open { conn, .. } => (*conn, Duration::from_secs(5)),
            UpstreamOutput::Close { conn } => (*conn, Duration::from_secs(1)),
            UpstreamOutput::Abort { conn } => (*conn, Duration::ZERO),
            UpstreamOutput::Send { .. } | UpstreamOutput::Probe { .. } => return,
            UpstreamOutput::Knock => {
                let knocked = UpstreamInput::Knocked { is_open: false };
                return self.after(Duration::from_secs(1), Event::Input(at, Input::Upstream(knocked)));
            }
        };
        let down = UpstreamInput::Down { conn, clean: false };
        self.after(span, Event::Input(at, Input::Upstream(down)));
    }

    /// Its Pings have found out which connections are none any more: those that
    /// routers have given up, or that are cut off.
    pub(super) fn server_finds_dead(&mut self, dead: &[(R, &str)]) {
        self.server.conns.retain(|(at, _), client| {
            !dead.iter().any(|(router, id)| at == router && client.client_id.as_str() == *id)
        });
    }

    fn server_opens(&mut self, at: R, conn: UpConn, client_id: ClientId) {
        if !self.server.is_up || self.server.conns.len() >= CLIENTS_MAX {
            return self.say_up(at, UpstreamInput::Down { conn, clean: true });
        }
        if self.server.conns.values().any(|client| client.client_id == client_id) {
            self.server.crashed = Some(format!("{client_id} connected twice at {}", self.now));
        }
        self.server.connected.push(client_id.as_str().to_owned());
        let client = Client { client_id, room: None, monitor_s: 0, unconfirmed: 0 };
        self.server.conns.insert((at, conn), client);
        self.say_up(at, UpstreamInput::Up { conn });
    }

    fn server_takes(&mut self, at: R, conn: UpConn, frame: ToServer) {
        let Some(client) = self.server.conns.get_mut(&(at, conn)) else { return };
        match frame {
            ToServer::Subscribe { message_uuid, room, monitor_period_s, .. } => {
                client.room = Some(room);
                client.monitor_s = monitor_period_s;
                let message_uuid = message_uuid.to_string().into();
                let message = FromServer::Confirm { message_uuid, answer: Answer::Done };
                self.say_up(at, UpstreamInput::Says { conn, message });
            }
            ToServer::Propogate(record) => {
                assert_eq!(record.client_id, client.client_id, "in its own name");
                let answer = if self.server.answers.is_empty() {
                    Answer::Stored
                } else {
                    self.server.answers.remove(0)
                };
                if answer == Answer::Stored {
                    let text = String::from_utf8_lossy(&record.payload).into_owned();
                    self.server.told.push((record.client_id.as_str().to_owned(), text));
                    self.server.uuids.push((*record.message_uuid).to_owned());
                    self.play(&record.client_id, &record.room, &record.payload);
                }
                if self.server.silent_for > 0 {
                    self.server.silent_for -= 1;
                } else {
                    let message = FromServer::Confirm { message_uuid: record.message_uuid.clone(), answer };
                    self.say_up(at, UpstreamInput::Says { conn, message });
                }
            }
            ToServer::Confirm { answer, .. } => {
                client.unconfirmed = client.unconfirmed.saturating_sub(usize::from(answer == Answer::Stored));
            }
            ToServer::Stream(frame) => {
                let room = client.room.clone();
                self.server.audio.push(frame.to_vec());
                if let Some(room) = room {
                    self.stream_to(Some((at, conn)), &room, &frame);
                }
            }
        }
    }

    /// To everyone in the room but the sender, each with a MessageUuid of its own kind:
    /// the same one for all within a second.
    fn play(&mut self, sender: &ClientId, room: &RoomId, payload: &[u8]) {
        self.server.playlists += 1;
        let text = String::from_utf8_lossy(payload).into_owned();
        let heard = self.server.heard.entry(room.clone()).or_default();
        heard.push((sender.as_str().to_owned(), text));
        let message_uuid: Box<str> = format!("second-{}", self.now.as_millis() / 1_000).into();
        let others = self.server.conns.iter_mut().filter(|(_, client)| client.client_id != *sender);
        let others = others.filter(|(_, client)| client.room.as_ref() == Some(room));
        let to: Vec<(R, UpConn)> = others
            .map(|(key, client)| {
                client.unconfirmed += 1;
                *key
            })
            .collect();
        for (at, conn) in to {
            let records = vec![(sender.clone(), payload.into())];
            let message = FromServer::Playlist { message_uuid: message_uuid.clone(), records };
            self.say_up(at, UpstreamInput::Says { conn, message });
        }
    }

    fn stream_to(&mut self, speaker: Option<(R, UpConn)>, room: &RoomId, frame: &[u8]) {
        let to = self
            .server
            .conns
            .iter()
            .filter(|(key, client)| Some(**key) != speaker && client.room.as_ref() == Some(room));
        let to: Vec<(R, UpConn)> = to.map(|(key, _)| *key).collect();
        for (at, conn) in to {
            self.say_up(at, UpstreamInput::Says { conn, message: FromServer::Stream(frame.into()) });
        }
    }

    /// Playlists that nobody confirmed.
    pub(super) fn unconfirmed_there(&self) -> usize {
        self.server.conns.values().map(|client| client.unconfirmed).sum()
    }

    fn say_up(&mut self, at: R, input: UpstreamInput) {
        if !self.server.cut.contains(&at) {
            self.after(LATENCY, Event::Input(at, Input::Upstream(input)));
        }
    }

    /// A router's process has ended: its connections are closed by its kernel.
    pub(in crate::router::tests) fn server_loses(&mut self, at: R) {
        if !self.server.cut.contains(&at) {
            self.server.conns.retain(|(router, _), _| *router != at);
        }
    }

    /// Live audio of a device.
    pub(super) fn stream(&mut self, device: D, frame: &[u8]) {
        self.send(device, crate::wire::fau3d::FromClient::Stream(frame.into()));
    }
}

//! Clients as they exist today, and some that misbehave.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::gateway::fau3d::status;
use crate::router::{CloseReason, ConnId, Refusal, Told};
use crate::wire::Present;
use crate::wire::fau3d::{FromClient, Status};
use crate::wire::{ClientId, Uuid};

/// For how long a radio remembers a MessageUuid (PROTOCOLS.md, "What real
/// clients do").
const RADIO_MEMORY: Duration = Duration::from_secs(5);

/// How a device answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Remembers every MessageUuid; confirms everything, a Confirm with -2.
    Desktop,
    /// Remembers for 5 s, answers nothing to what it remembers, and nothing
    /// but Playlist and Ping.
    Radio,
    /// Reads and never answers.
    Mute,
    /// Answers every Playlist and Monitor with this.
    Answers(Status),
}

/// One client.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) client_id: ClientId,
    pub(super) manner: Manner,
    pub(super) conn: Option<ConnId>,
    /// How long a frame takes to leave the router's socket buffer.
    pub(super) leave: Duration,
    /// From there to the device, and from the device to the router.
    pub(super) latency: Duration,
    /// It takes frames from its line.
    pub(super) reads: bool,
    /// It answers WebSocket pings.
    pub(super) pongs: bool,
    /// It says a first word as soon as it is connected: a WebSocket ping.
    pub(super) speaks: bool,
    /// Everything received on the newest connection.
    pub(super) inbox: Vec<Told>,
    /// Voice messages that a person hears.
    pub(super) heard: Vec<String>,
    /// Confirms received, on all connections.
    pub(super) confirms: Vec<(Box<str>, Status)>,
    /// Propogates without a positive Confirm, oldest first.
    pub(super) unconfirmed: Vec<(Box<str>, FromClient)>,
    pub(super) closed: Option<CloseReason>,
    pub(super) refused: Option<Refusal>,
    known: BTreeMap<Uuid, Duration>,
}

impl Device {
    pub(super) fn new(name: &str, manner: Manner) -> Self {
        Self {
            client_id: ClientId::new(name).unwrap(),
            manner,
            conn: None,
            leave: Duration::ZERO,
            latency: Duration::ZERO,
            reads: true,
            pongs: true,
            speaks: true,
            inbox: Vec::new(),
            heard: Vec::new(),
            confirms: Vec::new(),
            unconfirmed: Vec::new(),
            closed: None,
            refused: None,
            known: BTreeMap::new(),
        }
    }

    pub(super) fn connecting(&mut self, conn: ConnId) {
        self.conn = Some(conn);
        self.inbox.clear();
        self.closed = None;
        self.refused = None;
    }

    /// Takes a frame and says what the device answers. `now` runs on through
    /// the router's restarts.
    pub(super) fn receive(&mut self, now: Duration, frame: &Told) -> Option<FromClient> {
        self.inbox.push(frame.clone());
        match frame {
            Told::Answer { token: message_uuid, answer } => {
                let status = status(*answer);
                self.confirms.push((message_uuid.clone(), status));
                if status != Status::SERROR {
                    self.unconfirmed.retain(|(uuid, _)| uuid != message_uuid);
                }
                let answers = self.manner == Manner::Desktop;
                answers.then(|| confirm(message_uuid.parse().ok(), Status::SERROR))
            }
            Told::Ask { item: message_uuid } => {
                let answers = matches!(self.manner, Manner::Desktop | Manner::Radio);
                answers.then(|| confirm(Some(*message_uuid), Status::PONG))
            }
            Told::Present { item: message_uuid, .. } => match self.manner {
                Manner::Desktop => Some(confirm(Some(*message_uuid), Status::OK)),
                Manner::Answers(status) => Some(confirm(Some(*message_uuid), status)),
                Manner::Radio | Manner::Mute => None,
            },
            Told::Item { item: message_uuid, record } => {
                let status = self.hear(now, *message_uuid, &record.payload)?;
                Some(confirm(Some(*message_uuid), status))
            }
            Told::Live(_) => None,
        }
    }

    fn hear(&mut self, now: Duration, uuid: Uuid, payload: &[u8]) -> Option<Status> {
        let memory = if self.manner == Manner::Radio { RADIO_MEMORY } else { Duration::MAX };
        let remembered = self.known.get(&uuid).is_some_and(|since| now.saturating_sub(*since) < memory);
        if !remembered {
            self.known.insert(uuid, now);
            self.heard.push(String::from_utf8_lossy(payload).into_owned());
        }
        match self.manner {
            Manner::Desktop => Some(Status::STORED),
            Manner::Radio => (!remembered).then_some(Status::STORED),
            Manner::Mute => None,
            Manner::Answers(status) => Some(status),
        }
    }

    /// The Status of each Confirm for this MessageUuid.
    pub(super) fn statuses(&self, message_uuid: &str) -> Vec<Status> {
        let of_it = self.confirms.iter().filter(|(uuid, _)| **uuid == *message_uuid);
        of_it.map(|(_, status)| *status).collect()
    }

    /// Playlists received on the newest connection: MessageUuid and payload.
    pub(super) fn playlists(&self) -> Vec<(Uuid, String)> {
        let playlist = |frame: &Told| match frame {
            Told::Item { item: message_uuid, record } => {
                Some((*message_uuid, String::from_utf8_lossy(&record.payload).into_owned()))
            }
            _ => None,
        };
        self.inbox.iter().filter_map(playlist).collect()
    }

    /// Monitors received on the newest connection.
    pub(super) fn monitors(&self) -> Vec<(Uuid, Vec<Present>)> {
        let monitor = |frame: &Told| match frame {
            Told::Present { item: message_uuid, clients } => Some((*message_uuid, clients.to_vec())),
            _ => None,
        };
        self.inbox.iter().filter_map(monitor).collect()
    }

    /// MessageUuids of the Pings received on the newest connection.
    pub(super) fn pings(&self) -> Vec<Uuid> {
        let ping = |frame: &Told| match frame {
            Told::Ask { item: message_uuid } => Some(*message_uuid),
            _ => None,
        };
        self.inbox.iter().filter_map(ping).collect()
    }

    /// Streams received on the newest connection, marks included.
    pub(super) fn streams(&self) -> Vec<Vec<u8>> {
        let stream = |frame: &Told| match frame {
            Told::Live(bytes) => Some(bytes.to_vec()),
            _ => None,
        };
        self.inbox.iter().filter_map(stream).collect()
    }
}

pub(super) fn confirm(message_uuid: Option<Uuid>, status: Status) -> FromClient {
    FromClient::Confirm { message_uuid, status }
}

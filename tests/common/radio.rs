//! A radio imitated at the raw socket: it frames for itself (RFC 6455), as the
//! devices in the field do, and so can break every rule that a library keeps.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Node;
use super::http::{Answer, connect_from, exchange, upgrade};

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const CONTINUATION: u8 = 0;

/// Radios remember a MessageUuid this long and answer nothing to it.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Some Speex frame: no UTF-8, and the marks' own letters within.
pub(crate) const SPEEX: [u8; 38] =
    *b"\xff\xfe\xc3\x28F3\x80S\xe2\x82\x00\xf0\x9fN\"\\{}\xed\xa0\x801234567890abcdefg";

pub(crate) struct Radio {
    pub(crate) socket: TcpStream,
    received: Vec<u8>,
    mask: u32,
    /// What it has answered lately, with when.
    pub(crate) remembered: VecDeque<(Instant, String)>,
    uuids: u32,
}

impl Radio {
    /// One from this machine's usual address.
    pub(crate) fn connect(node: &Node, client_id: &str) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, node, client_id)
    }

    pub(crate) fn connect_from(source: Ipv4Addr, node: &Node, client_id: &str) -> Self {
        let connected = Self::try_connect_from(source, node, client_id);
        connected.unwrap_or_else(|answer| panic!("not let in: {answer:?}"))
    }

    /// # Errors
    /// The router's answer, if it does not let the radio in.
    pub(crate) fn try_connect_from(source: Ipv4Addr, node: &Node, client_id: &str) -> Result<Self, Answer> {
        let mut socket = connect_from(source, node.address());
        socket.set_nodelay(true).unwrap();
        let request = upgrade("/", &[&format!("fau3-client-id: {client_id}")]);
        let answer = exchange(&mut socket, &request).expect("an answer to the upgrade");
        if answer.status != 101 {
            return Err(answer);
        }
        // RFC 6455, section 1.3: the answer to this very key.
        assert_eq!(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (received, remembered) = (Vec::new(), VecDeque::new());
        Ok(Self { socket, received, mask: 0x1234_5678, remembered, uuids: 0 })
    }

    /// A frame as it stands on the wire, masked.
    pub(crate) fn frame(&mut self, last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        self.mask = self.mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mask = self.mask.to_be_bytes();
        let mut frame = vec![if last { 0x80 | opcode } else { opcode }];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.frame(true, opcode, payload);
        self.socket.write_all(&frame).unwrap();
    }

    /// Byte by byte, each one a segment of its own.
    pub(crate) fn send_dribbling(&mut self, opcode: u8, payload: &[u8]) {
        for byte in self.frame(true, opcode, payload) {
            self.socket.write_all(&[byte]).unwrap();
        }
    }

    /// In three fragments, with a ping after each but the last.
    pub(crate) fn send_fragmented(&mut self, opcode: u8, payload: &[u8]) {
        let third = payload.len() / 3;
        let parts = [&payload[..third], &payload[third..third * 2], &payload[third * 2..]];
        for (at, part) in parts.into_iter().enumerate() {
            let opcode = if at == 0 { opcode } else { CONTINUATION };
            let frame = self.frame(at == 2, opcode, part);
            self.socket.write_all(&frame).unwrap();
            if at < 2 {
                self.send(PING, b"between");
            }
        }
    }

    pub(crate) fn next_uuid(&mut self) -> String {
        self.uuids += 1;
        format!("6f9619ff-8b86-4011-b42d-{:012x}", self.uuids)
    }

    /// As json-c prints it: a space around everything, each slash escaped.
    pub(crate) fn json_c(message: &Value) -> Vec<u8> {
        let fields = message.as_object().unwrap().iter();
        let fields: Vec<_> = fields.map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{ {} }}", fields.join(", ").replace('/', "\\/")).into_bytes()
    }

    pub(crate) fn subscribe(&mut self, room: &str) {
        let uuid = self.send_subscribe(room, 0);
        assert_eq!(self.confirmed(&uuid), 0);
    }

    pub(crate) fn send_subscribe(&mut self, room: &str, period_s: u32) -> String {
        let uuid = self.next_uuid();
        let message = json!({"MessageType": "Subscribe", "MessageUuid": uuid, "RoomId": room,
            "IsMonitorRequired": period_s, "IsPingRequired": period_s});
        self.send(TEXT, &Self::json_c(&message));
        uuid
    }

    pub(crate) fn propogate(&mut self, room: &str, payload: &[u8]) -> (String, Vec<u8>) {
        let uuid = self.next_uuid();
        let message = json!({"MessageType": "Propogate", "MessageUuid": uuid, "RoomId": room,
            "Payload": STANDARD.encode(payload)});
        (uuid, Self::json_c(&message))
    }

    /// Waits for the Confirm of `uuid`; nothing else may come before it.
    pub(crate) fn confirmed(&mut self, uuid: &str) -> i64 {
        let message = self.message(PATIENCE).expect("a Confirm");
        assert_eq!(message["MessageType"], "Confirm", "{message}");
        assert_eq!(message["MessageUuid"], uuid, "{message}");
        message["Status"].as_i64().unwrap()
    }

    /// The next JSON message.
    pub(crate) fn message(&mut self, patience: Duration) -> Option<Value> {
        let (opcode, payload) = self.receive(patience)?;
        assert_eq!(opcode, TEXT);
        Some(serde_json::from_slice(&payload).unwrap())
    }

    /// What a radio does with a message: answers Playlist and Ping, unless it
    /// remembers them, and nothing else. Returns the payload of a new Playlist.
    pub(crate) fn hear(&mut self, patience: Duration) -> Option<Heard> {
        let message = self.message(patience)?;
        let uuid = message["MessageUuid"].as_str().unwrap().to_owned();
        while self.remembered.front().is_some_and(|(at, _)| at.elapsed() >= REMEMBERED_FOR) {
            self.remembered.pop_front();
        }
        let status = match message["MessageType"].as_str().unwrap() {
            "Playlist" => 3,
            "Ping" => 1,
            _ => return Some(Heard::Unanswered(message)),
        };
        if self.remembered.iter().any(|(_, known)| *known == uuid) {
            return Some(Heard::Remembered(uuid));
        }
        self.remembered.push_back((Instant::now(), uuid.clone()));
        let confirm = json!({"MessageType": "Confirm", "MessageUuid": uuid, "Status": status});
        self.send(TEXT, &Self::json_c(&confirm));
        let payload = message["Records"][0]["Payload"].as_str();
        Some(payload.map_or(Heard::Ping, |payload| Heard::Voice(uuid, STANDARD.decode(payload).unwrap())))
    }

    /// The next data frame, or the close frame. Pings of the router are
    /// answered, pongs skipped. `None` if nothing comes.
    pub(crate) fn receive(&mut self, patience: Duration) -> Option<(u8, Vec<u8>)> {
        let until = Instant::now() + patience;
        loop {
            if let Some((opcode, payload)) = self.take_frame() {
                match opcode {
                    PING => self.send(PONG, &payload),
                    PONG => assert_eq!(payload, b"between"),
                    _ => return Some((opcode, payload)),
                }
            } else if !self.read_more(until.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
    }

    /// One whole frame of what has come. A router does not mask, and does not
    /// fragment what fits a frame.
    pub(crate) fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let bytes = &self.received;
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        assert_eq!((first & 0xf0, second & 0x80), (0x80, 0), "masked, fragmented or with a reserved bit");
        let (start, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
            short => (2, usize::from(short)),
        };
        let payload = bytes.get(start..start + length)?.to_vec();
        self.received.drain(..start + length);
        Some((first & 0x0f, payload))
    }

    pub(crate) fn read_more(&mut self, patience: Duration) -> bool {
        let patience = patience.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 65_536];
        match self.socket.read(&mut buffer) {
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                length > 0
            }
            Err(_) => false,
        }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// A Playlist, by MessageUuid and payload.
    Voice(String, Vec<u8>),
    Ping,
    /// Known, so not answered.
    Remembered(String),
    /// Neither Playlist nor Ping.
    Unanswered(Value),
}

pub(crate) fn marked(audio: &[u8]) -> Vec<u8> {
    [b"F3SB", audio, b"F3FN"].concat()
}

//! A radio imitated at the raw socket: it frames for itself (RFC 6455), as the
//! devices in the field do, with all that a router must bear of them
//! (PROTOCOLS.md, section 1).
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::Node;
use serde_json::{Value, json};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const CONTINUATION: u8 = 0;

/// Radios remember a MessageUuid this long and answer nothing to it.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Some Speex frame: no UTF-8, and the marks' own letters within.
const SPEEX: [u8; 38] = *b"\xff\xfe\xc3\x28F3\x80S\xe2\x82\x00\xf0\x9fN\"\\{}\xed\xa0\x801234567890abcdefg";

struct Radio {
    socket: TcpStream,
    received: Vec<u8>,
    mask: u32,
    remembered: VecDeque<(Instant, String)>,
    uuids: u32,
}

impl Radio {
    fn connect(node: &Node, client_id: &str) -> Self {
        let mut socket = TcpStream::connect(node.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             fau3-client-id: {client_id}\r\n\r\n",
            node.address()
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut radio =
            Self { socket, received: Vec::new(), mask: 0x1234_5678, remembered: VecDeque::new(), uuids: 0 };
        let head = loop {
            if let Some(end) = radio.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break radio.received.drain(..end + 4).collect::<Vec<_>>();
            }
            assert!(radio.read_more(PATIENCE), "no answer to the upgrade");
        };
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        // RFC 6455, section 1.3: the answer to this very key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        radio
    }

    /// A frame as it stands on the wire, masked.
    fn frame(&mut self, last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
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

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.frame(true, opcode, payload);
        self.socket.write_all(&frame).unwrap();
    }

    /// Byte by byte, each one a segment of its own.
    fn send_dribbling(&mut self, opcode: u8, payload: &[u8]) {
        for byte in self.frame(true, opcode, payload) {
            self.socket.write_all(&[byte]).unwrap();
        }
    }

    /// In three fragments, with a ping after each but the last.
    fn send_fragmented(&mut self, opcode: u8, payload: &[u8]) {
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

    fn next_uuid(&mut self) -> String {
        self.uuids += 1;
        format!("6f9619ff-8b86-4011-b42d-{:012x}", self.uuids)
    }

    /// As json-c prints it: a space around everything, each slash escaped.
    fn json_c(message: &Value) -> Vec<u8> {
        let fields = message.as_object().unwrap().iter();
        let fields: Vec<_> = fields.map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{ {} }}", fields.join(", ").replace('/', "\\/")).into_bytes()
    }

    fn subscribe(&mut self, room: &str) {
        let uuid = self.send_subscribe(room, 0);
        assert_eq!(self.confirmed(&uuid), 0);
    }

    fn send_subscribe(&mut self, room: &str, period_s: u32) -> String {
        let uuid = self.next_uuid();
        let message = json!({"MessageType": "Subscribe", "MessageUuid": uuid, "RoomId": room,
            "IsMonitorRequired": period_s, "IsPingRequired": period_s});
        self.send(TEXT, &Self::json_c(&message));
        uuid
    }

    fn propogate(&mut self, room: &str, payload: &[u8]) -> (String, Vec<u8>) {
        let uuid = self.next_uuid();
        let message = json!({"MessageType": "Propogate", "MessageUuid": uuid, "RoomId": room,
            "Payload": STANDARD.encode(payload)});
        (uuid, Self::json_c(&message))
    }

    /// Waits for the Confirm of `uuid`; nothing else may come before it.
    fn confirmed(&mut self, uuid: &str) -> i64 {
        let message = self.message(PATIENCE).expect("a Confirm");
        assert_eq!(message["MessageType"], "Confirm", "{message}");
        assert_eq!(message["MessageUuid"], uuid, "{message}");
        message["Status"].as_i64().unwrap()
    }

    /// The next JSON message.
    fn message(&mut self, patience: Duration) -> Option<Value> {
        let (opcode, payload) = self.receive(patience)?;
        assert_eq!(opcode, TEXT);
        Some(serde_json::from_slice(&payload).unwrap())
    }

    /// What a radio does with a message: answers Playlist and Ping, unless it
    /// remembers them, and nothing else. Returns the payload of a new Playlist.
    fn hear(&mut self, patience: Duration) -> Option<Heard> {
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
    fn receive(&mut self, patience: Duration) -> Option<(u8, Vec<u8>)> {
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
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
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

    fn read_more(&mut self, patience: Duration) -> bool {
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
enum Heard {
    /// A Playlist, by MessageUuid and payload.
    Voice(String, Vec<u8>),
    Ping,
    /// Known, so not answered.
    Remembered(String),
    /// Neither Playlist nor Ping.
    Unanswered(Value),
}

fn marked(audio: &[u8]) -> Vec<u8> {
    [b"F3SB", audio, b"F3FN"].concat()
}

#[test]
fn a_stream_in_text_frames_that_are_not_utf_8_arrives_as_binary() {
    let node = Node::start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    speaker.subscribe("hall");
    hearer.subscribe("hall");
    assert!(std::str::from_utf8(&SPEEX).is_err());
    for number in 0..50 {
        let mut audio = SPEEX;
        audio[37] = number;
        // As radios send it, and every other way that a frame may come.
        match number % 5 {
            0..2 => speaker.send(TEXT, &marked(&audio)),
            2 => speaker.send_fragmented(TEXT, &marked(&audio)),
            3 => speaker.send_dribbling(TEXT, &marked(&audio)),
            _ => speaker.send(BINARY, &marked(&audio)),
        }
        assert_eq!(hearer.receive(PATIENCE), Some((BINARY, marked(&audio))), "frame {number}");
    }
    assert_eq!(speaker.receive(Duration::from_millis(300)), None, "no echo, no Confirm");
}

#[test]
fn a_message_is_stored_however_its_bytes_come_and_with_escaped_slashes() {
    let node = Node::start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    hearer.subscribe("hall / left");
    // 0xff in a row is nothing but slashes in base64; 20 s are a radio's longest.
    for (number, payload) in [vec![0xff; 380], SPEEX.repeat(25), SPEEX.repeat(1_000)].iter().enumerate() {
        let (uuid, message) = speaker.propogate("hall / left", payload);
        assert!(String::from_utf8_lossy(&message).contains("hall \\/ left"));
        match number {
            0 => speaker.send_dribbling(TEXT, &message),
            1 => speaker.send_fragmented(TEXT, &message),
            _ => speaker.send(TEXT, &message),
        }
        assert_eq!(speaker.confirmed(&uuid), 3, "FAU3_STORED");
        let Some(Heard::Voice(_, heard)) = hearer.hear(PATIENCE) else { panic!("message {number} is lost") };
        assert_eq!(&heard, payload);
    }
}

#[test]
fn a_radio_that_remembers_a_message_uuid_answers_it_again_only_after_5_seconds() {
    // Given a router that sends again after 1 s, up to 3 times, and a radio whose
    // Confirm is lost
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    hearer.subscribe("hall");
    let (uuid, message) = speaker.propogate("hall", &SPEEX);
    speaker.send(TEXT, &message);
    assert_eq!(speaker.confirmed(&uuid), 3);
    let lost = hearer.message(PATIENCE).unwrap();
    let playlist = lost["MessageUuid"].as_str().unwrap().to_owned();
    let lost_at = Instant::now();
    hearer.remembered.push_back((lost_at, playlist.clone()));

    // When the router sends it again, the radio is silent, and the router gives
    // up after the third time
    for _ in 0..3 {
        assert_eq!(hearer.hear(PATIENCE), Some(Heard::Remembered(playlist.clone())));
    }
    assert!(lost_at.elapsed() < REMEMBERED_FOR, "too slow to tell anything");
    assert_eq!(hearer.hear(Duration::from_secs(2)), None, "given up");

    // Then it is not lost, and others are heard meanwhile: the radio comes back
    // once it has forgotten, and gets it with the same MessageUuid
    std::thread::sleep(REMEMBERED_FOR.saturating_sub(lost_at.elapsed()));
    let remembered = std::mem::take(&mut hearer.remembered);
    drop(hearer);
    let mut hearer = Radio::connect(&node, "AA:02");
    hearer.remembered = remembered;
    hearer.send_subscribe("hall", 0);
    // The session goes on with the connection, before the room is confirmed.
    let heard = [hearer.hear(PATIENCE).unwrap(), hearer.hear(PATIENCE).unwrap()];
    assert!(heard.contains(&Heard::Voice(playlist, SPEEX.to_vec())), "{heard:?}");
    assert_eq!(hearer.hear(Duration::from_secs(2)), None, "confirmed, so not again");
}

#[test]
fn a_radio_that_answers_only_playlist_and_ping_keeps_its_connection() {
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    let mut radio = Radio::connect(&node, "AA:01");
    let uuid = radio.send_subscribe("hall", 1);
    assert_eq!(radio.confirmed(&uuid), 0);
    let (mut pings, mut monitors) = (0, Vec::new());
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        match radio.hear(PATIENCE).expect("the connection stays") {
            Heard::Ping => pings += 1,
            Heard::Unanswered(message) => {
                assert_eq!(message["MessageType"], "Monitor", "{message}");
                monitors.push(message["MessageUuid"].to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pings >= 4 && monitors.len() >= 4, "{pings} Pings, {} Monitors", monitors.len());
    let (uuid, message) = radio.propogate("hall", &SPEEX);
    radio.send(TEXT, &message);
    loop {
        match radio.hear(PATIENCE).expect("a Confirm") {
            Heard::Unanswered(message) if message["MessageType"] == "Confirm" => {
                assert_eq!(message["MessageUuid"], uuid);
                break;
            }
            _ => {}
        }
    }
}

#[test]
fn a_radio_that_speaks_while_it_is_spoken_to_loses_nothing() {
    let node = Node::start();
    let (mut one, mut two) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    one.subscribe("hall");
    two.subscribe("hall");
    const MESSAGES: usize = 30;
    let mut heard = [Vec::new(), Vec::new()];
    let mut stored = [0, 0];
    for number in 0..MESSAGES {
        for radio in [&mut one, &mut two] {
            let (_, message) = radio.propogate("hall", &[number as u8; 380]);
            radio.send(TEXT, &message);
        }
    }
    for (at, radio) in [&mut one, &mut two].into_iter().enumerate() {
        while heard[at].len() < MESSAGES || stored[at] < MESSAGES {
            match radio.hear(PATIENCE).expect("nothing is lost") {
                Heard::Voice(_, payload) => heard[at].push(payload[0]),
                Heard::Unanswered(message) => {
                    assert_eq!((&message["MessageType"], &message["Status"]), (&json!("Confirm"), &json!(3)));
                    stored[at] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(heard[at].iter().copied().eq(0..MESSAGES as u8), "in the order said: {:?}", heard[at]);
    }
}

#[test]
fn a_goodbye_is_answered_with_a_goodbye() {
    let node = Node::start();
    let mut radio = Radio::connect(&node, "AA:01");
    radio.send(CLOSE, &1000_u16.to_be_bytes());
    let (opcode, payload) = radio.receive(PATIENCE).expect("an answer");
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1000_u16.to_be_bytes()[..]));
}

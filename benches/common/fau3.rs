//! FAU3VOM-D over WebSocket, from the client's side: only what the load needs, and cheap enough that the server
//! and not the generator is what is measured.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::dialect::{Dialect, Event, Kind, Payload, Result, STAMP_BYTES, Stamp, filler, message_id};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A client must mask (RFC 6455, 5.3). Which key is of no matter here, but zero would be no work to undo.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x96, 0x0F];
const STREAM_BEGIN: &[u8] = b"F3SB";
const STREAM_END: &[u8] = b"F3FN";
const STORED: i32 = 3;
/// Tells the MessageUuids of Subscribes apart; no record has their sequence.
static SUBSCRIBES: AtomicU32 = AtomicU32::new(0);
/// Base64 characters of a stamp.
const STAMP_CHARS: usize = STAMP_BYTES / 3 * 4;

pub(crate) struct Fau3;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message<'a> {
    message_type: &'a str,
    message_uuid: &'a str,
    status: Option<i32>,
    #[serde(borrow, default)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    payload: &'a str,
}

impl Dialect for Fau3 {
    fn hello(&self, client: &str) -> Vec<u8> {
        let key = STANDARD.encode(filler(16));
        format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nfau3-client-id: {client}\r\n\r\n"
        )
        .into_bytes()
    }

    fn subscribe(&self, room: u32, _: Kind) -> Vec<u8> {
        let mut out = Vec::new();
        let text = format!(
            r#"{{"MessageType":"Subscribe","MessageUuid":"{}","RoomId":"room-{room}"}}"#,
            uuid(SUBSCRIBES.fetch_add(1, Ordering::Relaxed), u32::MAX)
        );
        masked(TEXT, &[text.as_bytes()], &mut out);
        out
    }

    fn speaks_where_subscribed(&self) -> bool {
        true
    }

    fn payload(&self, kind: Kind, len: usize) -> Payload {
        let tail = filler(len - STAMP_BYTES);
        let tail = if kind == Kind::Record { STANDARD.encode(tail).into_bytes() } else { tail };
        Payload { kind, tail }
    }

    fn publish(&self, stamp: Stamp, payload: &Payload, out: &mut Vec<u8>) {
        let Stamp { room, seq, .. } = stamp;
        if payload.kind == Kind::Frame {
            // Radios say text, although the bytes are not UTF-8.
            masked(TEXT, &[STREAM_BEGIN, &stamp.to_bytes(), &payload.tail, STREAM_END], out);
            return;
        }
        let head = format!(
            r#"{{"MessageType":"Propogate","MessageUuid":"{}","RoomId":"room-{room}","Payload":"{}"#,
            uuid(room, seq),
            STANDARD.encode(stamp.to_bytes())
        );
        masked(TEXT, &[head.as_bytes(), &payload.tail, br#""}"#], out);
    }

    fn take(&self, input: &[u8], payload: &Payload, out: &mut Vec<u8>) -> Result<Option<(usize, Event)>> {
        // A server never starts a frame with 'H': it would be a reserved bit and an unknown opcode.
        if input.first() == Some(&b'H') {
            return upgraded(input);
        }
        let Some((opcode, body, len)) = unmasked(input)? else { return Ok(None) };
        let event = match opcode {
            TEXT => message(body, payload, out)?,
            BINARY => Event::Delivered(frame_stamp(body, payload)),
            PING => {
                masked(PONG, &[body], out);
                Event::Other
            }
            PONG => Event::Other,
            CLOSE => return Err(format!("closed by the server: {:?}", String::from_utf8_lossy(body)).into()),
            _ => return Err(format!("unexpected WebSocket opcode {opcode}").into()),
        };
        Ok(Some((len, event)))
    }
}

/// Unique for each (sender, seq), version 4 by its form; its end gives the sequence back.
fn uuid(sender: u32, seq: u32) -> String {
    format!("{sender:08x}-fa03-4bec-8a11-0000{seq:08x}")
}

fn upgraded(input: &[u8]) -> Result<Option<(usize, Event)>> {
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    if input.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Some((end + 4, Event::Welcome)));
    }
    Err(format!("upgrade refused: {}", String::from_utf8_lossy(input)).into())
}

/// Answers and judges one JSON message.
fn message(body: &[u8], payload: &Payload, out: &mut Vec<u8>) -> Result<Event> {
    let message: Message<'_> = serde_json::from_slice(body)?;
    match message.message_type {
        "Playlist" => {
            confirm(message.message_uuid, out);
            let [record] = message.records.as_slice() else {
                return Err(format!("a Playlist holds one record, not {}", message.records.len()).into());
            };
            Ok(Event::Delivered(record_stamp(record.payload.as_bytes(), payload)))
        }
        "Confirm" => match message.status {
            Some(0) => Ok(Event::Subscribed),
            Some(STORED) => {
                let seq = message.message_uuid.get(28..).unwrap_or_default();
                Ok(Event::Confirmed(message_id(u32::from_str_radix(seq, 16)?)))
            }
            other => Err(format!("confirmed with Status {other:?}").into()),
        },
        other => Err(format!("unexpected MessageType {other}").into()),
    }
}

/// Answers FAU3_STORED.
fn confirm(uuid: &str, out: &mut Vec<u8>) {
    let head = br#"{"MessageType":"Confirm","MessageUuid":""#;
    masked(TEXT, &[head, uuid.as_bytes(), br#"","Status":3}"#], out);
}

fn record_stamp(text: &[u8], payload: &Payload) -> Option<Stamp> {
    let (head, tail) = text.split_at_checked(STAMP_CHARS)?;
    let mut bytes = [0; STAMP_BYTES];
    STANDARD.decode_slice_unchecked(head, &mut bytes).ok()?;
    (tail == payload.tail).then(|| Stamp::from_bytes(&bytes))?
}

fn frame_stamp(body: &[u8], payload: &Payload) -> Option<Stamp> {
    let inner = body.strip_prefix(STREAM_BEGIN)?.strip_suffix(STREAM_END)?;
    let (head, tail) = inner.split_at_checked(STAMP_BYTES)?;
    (tail == payload.tail).then(|| Stamp::from_bytes(head))?
}

/// Appends one masked frame whose payload is `parts`, one after the other.
fn masked(opcode: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.push(0x80 | opcode);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if len < 126 => out.push(0x80 | len),
        (_, Ok(len)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    for part in parts {
        out.extend_from_slice(part);
    }
    for chunk in out[start..].chunks_mut(4) {
        for (byte, mask) in chunk.iter_mut().zip(MASK) {
            *byte ^= mask;
        }
    }
}

/// Opcode, payload and whole length of the frame at the front, if all of it is there.
fn unmasked(input: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let Some((&[first, second], rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
    if first & 0xF0 != 0x80 || second & 0x80 != 0 {
        return Err(format!("unexpected frame header {first:02x} {second:02x}").into());
    }
    let (len, header) = match second {
        126 => match rest.first_chunk::<2>() {
            Some(len) => (usize::from(u16::from_be_bytes(*len)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(len) => (usize::try_from(u64::from_be_bytes(*len))?, 10),
            None => return Ok(None),
        },
        len => (usize::from(len), 2),
    };
    let end = header + len;
    Ok(input.get(header..end).map(|body| (first & 0x0F, body, end)))
}

//! MQTT 3.1.1 (OASIS standard, 29 October 2014) from the client's side, for the peer that fau3 is measured against:
//! rooms are topics, records are QoS 1, live frames QoS 0.

use crate::common::dialect::{Dialect, Event, Kind, Payload, Result, STAMP_BYTES, Stamp, filler, message_id};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
/// Clean session, no will, no password.
const CLEAN_SESSION: u8 = 0x02;
/// Long enough that no ping falls into a measurement.
const KEEP_ALIVE_S: u16 = 600;

pub(crate) struct Mqtt;

impl Dialect for Mqtt {
    fn hello(&self, client: &str) -> Vec<u8> {
        let mut body = Vec::new();
        string(b"MQTT", &mut body);
        body.extend_from_slice(&[4, CLEAN_SESSION]);
        body.extend_from_slice(&KEEP_ALIVE_S.to_be_bytes());
        string(client.as_bytes(), &mut body);
        packet(CONNECT, &[&body])
    }

    fn subscribe(&self, room: u32, kind: Kind) -> Vec<u8> {
        let mut body = vec![0, 1];
        string(topic(room).as_bytes(), &mut body);
        body.push(u8::from(kind == Kind::Record));
        packet(SUBSCRIBE, &[&body])
    }

    fn speaks_where_subscribed(&self) -> bool {
        false
    }

    fn payload(&self, kind: Kind, len: usize) -> Payload {
        Payload { kind, tail: filler(len - STAMP_BYTES) }
    }

    fn publish(&self, stamp: Stamp, payload: &Payload, out: &mut Vec<u8>) {
        let mut head = Vec::new();
        string(topic(stamp.room).as_bytes(), &mut head);
        let mut first = PUBLISH;
        if payload.kind == Kind::Record {
            first |= 1 << 1;
            head.extend_from_slice(&message_id(stamp.seq).to_be_bytes());
        }
        out.extend(packet(first, &[&head, &stamp.to_bytes(), &payload.tail]));
    }

    fn take(&self, input: &[u8], payload: &Payload, out: &mut Vec<u8>) -> Result<Option<(usize, Event)>> {
        let Some((first, body, len)) = split(input)? else { return Ok(None) };
        let event = match first & 0xF0 {
            PUBLISH => Event::Delivered(delivered(first, body, payload, out)),
            PUBACK => match body {
                &[high, low] => Event::Confirmed(u16::from_be_bytes([high, low])),
                _ => return Err("malformed PUBACK".into()),
            },
            CONNACK if body == [0, 0] => Event::Welcome,
            SUBACK if body.last().is_some_and(|code| *code < 0x80) => Event::Subscribed,
            _ => return Err(format!("unexpected MQTT packet {first:02x} {body:02x?}").into()),
        };
        Ok(Some((len, event)))
    }
}

fn topic(room: u32) -> String {
    format!("room-{room}")
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

/// A whole packet: first byte, remaining length (2.2.3), `parts`.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(len + 5);
    out.push(first);
    loop {
        let digit = len.to_le_bytes()[0] & 0x7F;
        len >>= 7;
        out.push(if len > 0 { digit | 0x80 } else { digit });
        if len == 0 {
            break;
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Acknowledges a PUBLISH and reads its stamp.
fn delivered(first: u8, body: &[u8], payload: &Payload, out: &mut Vec<u8>) -> Option<Stamp> {
    let (topic_len, rest) = body.split_first_chunk::<2>()?;
    let mut rest = rest.get(usize::from(u16::from_be_bytes(*topic_len))..)?;
    if first & 0x06 != 0 {
        let (id, after) = rest.split_first_chunk::<2>()?;
        out.extend_from_slice(&[PUBACK, 2, id[0], id[1]]);
        rest = after;
    }
    let (head, tail) = rest.split_at_checked(STAMP_BYTES)?;
    (tail == payload.tail).then(|| Stamp::from_bytes(head))?
}

/// First byte, body and whole length of the packet at the front, if all of it is there.
fn split(input: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let mut len = 0;
    for (i, byte) in rest.iter().enumerate().take(4) {
        len |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            let start = i + 2;
            return Ok(input.get(start..start + len).map(|body| (first, body, start + len)));
        }
    }
    if rest.len() < 4 { Ok(None) } else { Err("remaining length of more than 4 bytes".into()) }
}

//! The other direction: what a router sends to a client, as `talk` and
//! `listen` read it, and what a legacy server sends to this router. Made for
//! clients, which have time: it is not the path on which a router's throughput depends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::parse::bare;
use super::{Invalid, STREAM_BEGIN, STREAM_END, Status};

/// A message from a router. Texts are as they came: a legacy server checks
/// neither ids nor lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromRouter<'a> {
    /// The router asks whether the client is there.
    Ping {
        /// To be echoed.
        message_uuid: String,
    },
    /// Who is connected.
    Monitor {
        /// To be echoed.
        message_uuid: String,
        /// Those with a `ClientId`, in the order in which they stand.
        clients: Vec<Client>,
    },
    /// An answer to something that the client sent. Never answered itself.
    Confirm {
        /// What it answers.
        message_uuid: String,
        /// Success or a failed try.
        status: Status,
    },
    /// Voice messages: one from a fau3 node, any number from a legacy server.
    Playlist {
        /// To be echoed.
        message_uuid: String,
        /// In the order in which they stand.
        records: Vec<Record>,
    },
    /// Live audio, without its marks.
    Stream(&'a [u8]),
}

/// One voice message of a Playlist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who spoke.
    pub client_id: String,
    /// The decoded message.
    pub payload: Vec<u8>,
}

/// A client's line in a Monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who.
    pub client_id: String,
    /// Where; empty: nowhere yet.
    pub room: String,
    /// Seconds since its session began; 0 where that is not said.
    pub alive_s: u64,
}

/// What a bad record does to the Playlist in which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRecord {
    /// Makes it invalid as a whole.
    Counts,
    /// Is left out: the others are not to be lost with it.
    LeftOut,
}

/// Reads one frame, text or binary alike.
///
/// # Errors
/// [`Invalid`] says what is wrong and which MessageUuid to echo.
pub fn parse(frame: &[u8], bad_record: BadRecord) -> Result<FromRouter<'_>, Invalid> {
    let invalid = |message_uuid: &str, reason| Invalid {
        message_uuid: message_uuid.into(),
        reason,
        was_confirm: false,
    };
    if let Some(rest) = frame.strip_prefix(STREAM_BEGIN) {
        let audio = rest.strip_suffix(STREAM_END);
        return audio.map(FromRouter::Stream).ok_or(invalid("", "the Stream lacks its end mark"));
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(bare(frame)) else {
        return Err(invalid("", "the frame is not one JSON object"));
    };
    let message_type = text(&fields, "MessageType").unwrap_or_default();
    let message_uuid = text(&fields, "MessageUuid").unwrap_or_default();
    message(&fields, message_type, message_uuid, bad_record)
        .map_err(|reason| Invalid { was_confirm: message_type == "Confirm", ..invalid(message_uuid, reason) })
}

fn message(
    fields: &Map<String, Value>,
    message_type: &str,
    message_uuid: &str,
    bad_record: BadRecord,
) -> Result<FromRouter<'static>, &'static str> {
    if message_uuid.is_empty() {
        return Err("MessageUuid is missing, empty or not a string");
    }
    let message_uuid = message_uuid.to_owned();
    match message_type {
        "Ping" => Ok(FromRouter::Ping { message_uuid }),
        "Monitor" => Ok(FromRouter::Monitor { message_uuid, clients: clients(fields) }),
        "Confirm" => Ok(FromRouter::Confirm { message_uuid, status: status(fields)? }),
        "Playlist" => Ok(FromRouter::Playlist { message_uuid, records: records(fields, bad_record)? }),
        _ => Err("MessageType is missing or not one that a router may send"),
    }
}

/// A number or a numeric string.
fn number(fields: &Map<String, Value>, name: &str) -> Option<i64> {
    match fields.get(name) {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    }
}

fn status(fields: &Map<String, Value>) -> Result<Status, &'static str> {
    let number = number(fields, "Status").ok_or("Status is missing or not a number")?;
    Ok(Status(number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32))
}

fn clients(fields: &Map<String, Value>) -> Vec<Client> {
    let listed = fields.get("ConnectedClients").and_then(Value::as_array);
    let client = |fields: &Map<String, Value>| {
        Some(Client {
            client_id: text(fields, "ClientId")?.to_owned(),
            room: text(fields, "RoomId").unwrap_or_default().to_owned(),
            alive_s: number(fields, "AliveTime").and_then(|seconds| seconds.try_into().ok()).unwrap_or(0),
        })
    };
    listed.into_iter().flatten().filter_map(Value::as_object).filter_map(client).collect()
}

fn records(fields: &Map<String, Value>, bad_record: BadRecord) -> Result<Vec<Record>, &'static str> {
    let Some(Value::Array(records)) = fields.get("Records") else {
        return Err("Records is missing or not an array");
    };
    let read = records.iter().map(record);
    read.filter(|record| record.is_ok() || bad_record == BadRecord::Counts).collect()
}

fn record(value: &Value) -> Result<Record, &'static str> {
    let fields = value.as_object().ok_or("a record is not an object")?;
    let client_id = text(fields, "ClientId").ok_or("a record's ClientId is missing or not a string")?;
    let payload = text(fields, "Payload").ok_or("a record's Payload is missing or not a string")?;
    let payload = STANDARD.decode(payload).map_err(|_| "a record's Payload is not base64")?;
    Ok(Record { client_id: client_id.to_owned(), payload })
}

fn text<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f str> {
    fields.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fau3d::{confirm, monitor_head, monitor_tail, ping, playlist_head, playlist_tail};
    use crate::wire::{ClientId, Present, RoomId, Uuid};

    fn strictly(frame: &[u8]) -> Result<FromRouter<'_>, Invalid> {
        parse(frame, BadRecord::Counts)
    }

    #[test]
    fn what_a_router_prints_is_read_back() {
        let uuid = Uuid::from_hash(7);
        let mut frame = Vec::new();
        playlist_head(&mut frame, uuid);
        playlist_tail(&mut frame, &ClientId::new("AA:BB").unwrap(), b"\xff\x00voice");
        let record = Record { client_id: "AA:BB".into(), payload: b"\xff\x00voice".to_vec() };
        let records = vec![record];
        assert_eq!(strictly(&frame), Ok(FromRouter::Playlist { message_uuid: uuid.to_string(), records }));

        let mut frame = Vec::new();
        ping(&mut frame, uuid);
        assert_eq!(strictly(&frame), Ok(FromRouter::Ping { message_uuid: uuid.to_string() }));

        let mut frame = Vec::new();
        confirm(&mut frame, "u", Status::SERROR);
        let wanted = FromRouter::Confirm { message_uuid: "u".into(), status: Status::SERROR };
        assert_eq!(strictly(&frame), Ok(wanted));
    }

    #[test]
    fn a_legacy_servers_playlist_may_hold_many_records_or_none() {
        let frame = br#"{"MessageType":"Playlist","MessageUuid":"u","Records":[
            {"ClientId":"a","Payload":"QQ=="},{"ClientId":"b","Payload":"\/w=="}]}"#;
        let Ok(FromRouter::Playlist { records, .. }) = strictly(frame) else { panic!("not read") };
        let payloads: Vec<_> = records.iter().map(|record| record.payload.as_slice()).collect();
        assert_eq!(payloads, [b"A".as_slice(), b"\xff"]);
        let frame = br#"{"MessageType":"Playlist","MessageUuid":"u","Records":[]}"#;
        assert!(matches!(strictly(frame), Ok(FromRouter::Playlist { records, .. }) if records.is_empty()));
    }

    #[test]
    fn a_stream_is_what_stands_between_its_marks_whatever_the_bytes() {
        assert_eq!(strictly(b"F3SB\xff\xfe{F3FN"), Ok(FromRouter::Stream(b"\xff\xfe{")));
        assert!(strictly(b"F3SB\xff\xfe{").unwrap_err().reason.contains("end mark"));
    }

    #[test]
    fn a_bad_message_is_named_and_a_bad_confirm_is_marked_as_one() {
        for (reason, frame) in [
            ("JSON", "x"),
            ("MessageUuid", r#"{"MessageType":"Ping"}"#),
            ("MessageType", r#"{"MessageUuid":"u","MessageType":"Subscribe"}"#),
            ("Records", r#"{"MessageUuid":"u","MessageType":"Playlist","Records":{}}"#),
            ("record", r#"{"MessageUuid":"u","MessageType":"Playlist","Records":[7]}"#),
            ("ClientId", r#"{"MessageUuid":"u","MessageType":"Playlist","Records":[{"Payload":"QQ=="}]}"#),
            (
                "base64",
                r#"{"MessageUuid":"u","MessageType":"Playlist","Records":[{"ClientId":"c","Payload":"!"}]}"#,
            ),
        ] {
            let invalid = strictly(frame.as_bytes()).unwrap_err();
            assert!(invalid.reason.contains(reason) && !invalid.was_confirm, "{frame}: {invalid:?}");
        }
        let invalid = strictly(br#"{"MessageType":"Confirm","MessageUuid":"u","Status":[]}"#).unwrap_err();
        assert!(invalid.was_confirm && invalid.reason.contains("Status") && &*invalid.message_uuid == "u");
    }

    #[test]
    fn a_bad_record_may_be_left_out_so_that_the_others_are_not_lost() {
        let frame = br#"{"MessageType":"Playlist","MessageUuid":"u","Records":[7,{"ClientId":"a"},
            {"ClientId":"b","Payload":"Qg=="},{"ClientId":"c","Payload":"!"}]}"#;
        let record = Record { client_id: "b".into(), payload: b"B".to_vec() };
        let wanted = FromRouter::Playlist { message_uuid: "u".into(), records: vec![record] };
        assert_eq!(parse(frame, BadRecord::LeftOut), Ok(wanted));
        assert!(strictly(frame).is_err());
    }

    #[test]
    fn a_monitor_is_read_back_whatever_form_its_numbers_have() {
        let connected =
            Present { client_id: ClientId::new("a").unwrap(), room: RoomId::new("r").ok(), alive_s: 7 };
        let mut frame = Vec::new();
        monitor_head(&mut frame, Uuid::from_hash(7));
        monitor_tail(&mut frame, &[connected]);
        let client = |client_id: &str, room: &str, alive_s| Client {
            client_id: client_id.into(),
            room: room.into(),
            alive_s,
        };
        let clients = |frame| match strictly(frame) {
            Ok(FromRouter::Monitor { clients, .. }) => clients,
            other => panic!("no Monitor: {other:?}"),
        };
        assert_eq!(clients(&frame), [client("a", "r", 7)]);
        let frame = br#"{"MessageType":"Monitor","MessageUuid":"u","ConnectedClients":[
            {"ClientId":"a","RoomId":"r","AliveTime":"12"},{"RoomId":"r"},3,{"ClientId":"b","AliveTime":-1}]}"#;
        assert_eq!(clients(frame), [client("a", "r", 12), client("b", "", 0)]);
    }
}

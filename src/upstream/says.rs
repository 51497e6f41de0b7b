//! Frames of a legacy server, read as the router takes them, and the router's
//! frames printed for it.

use tokio_tungstenite::tungstenite::Message;

use super::watch::ID_PREFIX;
use crate::dial::text;
use crate::gateway::fau3d::status;
use crate::router::{Answer, FromServer, ToServer};
use crate::wire::fau3d::from_router::{BadRecord, Client, FromRouter, Record, parse};
use crate::wire::fau3d::{
    Invalid, MESSAGE_UUID_BYTES_MAX, STREAM_BYTES_MAX, Status, confirm, propogate, subscribe,
};
use crate::wire::{ClientId, Present, RoomId};

/// Reads a frame. What in it is nobody's name, or says nothing, is left out.
///
/// # Errors
/// What is wrong with it, and what to echo.
pub(super) fn read(frame: &[u8]) -> Result<FromServer, Invalid> {
    Ok(match parse(frame, BadRecord::LeftOut)? {
        FromRouter::Ping { message_uuid } => FromServer::Ping { message_uuid: bounded(message_uuid)? },
        FromRouter::Confirm { message_uuid, status } => {
            FromServer::Confirm { message_uuid: bounded(message_uuid)?, answer: answer_of(status) }
        }
        FromRouter::Monitor { message_uuid, clients } => FromServer::Monitor {
            message_uuid: bounded(message_uuid)?,
            clients: clients.into_iter().filter_map(connected).collect(),
        },
        FromRouter::Playlist { message_uuid, records } => FromServer::Playlist {
            message_uuid: bounded(message_uuid)?,
            records: records.into_iter().filter_map(record).collect(),
        },
        FromRouter::Stream(_) if frame.len() > STREAM_BYTES_MAX => {
            return Err(Invalid {
                message_uuid: "".into(),
                reason: "a Stream may have 4 KiB at most",
                was_confirm: false,
            });
        }
        FromRouter::Stream(_) => FromServer::Stream(frame.into()),
    })
}

/// What the server's status says: only that it could not do it is worth another try.
const fn answer_of(status: Status) -> Answer {
    match status {
        Status::SERROR => Answer::Failed,
        Status::STORED => Answer::Stored,
        _ if status.settles() => Answer::Done,
        _ => Answer::Invalid,
    }
}

/// Any text may name a message, but not a megabyte of it.
fn bounded(message_uuid: String) -> Result<Box<str>, Invalid> {
    if message_uuid.len() > MESSAGE_UUID_BYTES_MAX {
        let reason = "MessageUuid is longer than 128 bytes";
        return Err(Invalid { message_uuid: "".into(), reason, was_confirm: false });
    }
    Ok(message_uuid.into())
}

/// Connections that only look are nobody's.
fn connected(client: Client) -> Option<Present> {
    let client_id = ClientId::new(&client.client_id).ok().filter(|id| !id.as_str().starts_with(ID_PREFIX))?;
    Some(Present { client_id, room: RoomId::new(&client.room).ok(), alive_s: client.alive_s })
}

fn record(record: Record) -> Option<(ClientId, Box<[u8]>)> {
    let client_id = ClientId::new(&record.client_id).ok()?;
    (!record.payload.is_empty()).then(|| (client_id, record.payload.into()))
}

/// Prints a frame.
pub(super) fn print(frame: &ToServer) -> Message {
    let mut out = Vec::new();
    match frame {
        ToServer::Subscribe { message_uuid, room, monitor_period_s, ping_period_s } => {
            subscribe(&mut out, &message_uuid.to_string(), room, *monitor_period_s, *ping_period_s);
        }
        ToServer::Propogate(record) => {
            propogate(&mut out, &record.message_uuid, &record.room, &record.payload);
        }
        ToServer::Confirm { message_uuid, answer } => confirm(&mut out, message_uuid, status(*answer)),
        // As desktop clients send it: legacy servers take both kinds.
        ToServer::Stream(stream) => return Message::binary(stream.to_vec()),
    }
    text(out)
}

/// What a frame that is none is answered, if it is to be answered.
pub(super) fn answer(invalid: &Invalid) -> Option<Message> {
    if invalid.was_confirm || invalid.message_uuid.is_empty() {
        return None;
    }
    let message_uuid = invalid.message_uuid.clone();
    Some(print(&ToServer::Confirm { message_uuid, answer: Answer::Invalid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_names_and_empty_messages_are_left_out_and_any_text_names_a_message() {
        let frame = br#"{"MessageType":"Playlist","MessageUuid":"not a UUID","Records":[
            {"ClientId":" a","Payload":"QQ=="},{"ClientId":"b","Payload":""},{"ClientId":"c","Payload":"Qw=="}]}"#;
        let records = vec![(ClientId::new("c").unwrap(), b"C".to_vec().into())];
        assert_eq!(read(frame), Ok(FromServer::Playlist { message_uuid: "not a UUID".into(), records }));
        let frame = br#"{"MessageType":"Monitor","MessageUuid":"u","ConnectedClients":[
            {"ClientId":"","RoomId":"r"},{"ClientId":"fau3w-abcd0000001","RoomId":""},{"ClientId":"a","RoomId":"","AliveTime":"3"}]}"#;
        let clients = vec![Present { client_id: ClientId::new("a").unwrap(), room: None, alive_s: 3 }];
        assert_eq!(read(frame), Ok(FromServer::Monitor { message_uuid: "u".into(), clients }));
    }

    #[test]
    fn a_stream_keeps_its_marks_and_has_a_bound() {
        let stream = b"F3SB\xff\xfeF3FN";
        assert_eq!(read(stream), Ok(FromServer::Stream(stream[..].into())));
        assert_eq!(print(&ToServer::Stream(stream[..].into())), Message::binary(stream.to_vec()));
        let long = [b"F3SB", &vec![7; STREAM_BYTES_MAX][..], b"F3FN"].concat();
        assert!(read(&long).unwrap_err().reason.contains("4 KiB"));
    }

    #[test]
    fn what_is_no_message_is_answered_unless_it_was_a_confirm_or_has_no_name() {
        let answered = |frame: &[u8]| answer(&read(frame).unwrap_err());
        let wanted = r#"{"MessageType":"Confirm","MessageUuid":"u","Status":-1}"#;
        assert_eq!(answered(br#"{"MessageType":"Dance","MessageUuid":"u"}"#), Some(Message::text(wanted)));
        assert_eq!(answered(br#"{"MessageType":"Confirm","MessageUuid":"u"}"#), None);
        assert_eq!(answered(b"[]"), None);
        let long = format!(r#"{{"MessageType":"Ping","MessageUuid":"{}"}}"#, "u".repeat(129));
        assert_eq!(answered(long.as_bytes()), None);
    }
}

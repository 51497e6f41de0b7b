//! From a message to a frame. Each function appends to `out`; fields stand in
//! the seed's order. What many receivers share is printed apart from what is
//! each receiver's own (`*_tail` and `*_head`), so that it is printed once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Status;
use crate::wire::{ClientId, Present, RoomId, Uuid};

/// The answer to a message.
pub fn confirm(out: &mut Vec<u8>, message_uuid: &str, status: Status) {
    out.extend_from_slice(br#"{"MessageType":"Confirm","MessageUuid":"#);
    string(out, message_uuid);
    out.extend_from_slice(br#","Status":"#);
    number(out, i64::from(status.0));
    out.push(b'}');
}

/// Asks whether the client is there.
pub fn ping(out: &mut Vec<u8>, message_uuid: Uuid) {
    out.extend_from_slice(br#"{"MessageType":"Ping","MessageUuid":""#);
    out.extend_from_slice(&message_uuid.text());
    out.extend_from_slice(br#""}"#);
}

/// A Playlist up to where its [`playlist_tail`] follows.
pub fn playlist_head(out: &mut Vec<u8>, message_uuid: Uuid) {
    out.extend_from_slice(br#"{"MessageType":"Playlist","MessageUuid":""#);
    out.extend_from_slice(&message_uuid.text());
}

/// The one record of a Playlist: the same for all who receive it.
pub fn playlist_tail(out: &mut Vec<u8>, client_id: &ClientId, payload: &[u8]) {
    out.extend_from_slice(br#"","Records":[{"ClientId":"#);
    string(out, client_id.as_str());
    out.extend_from_slice(br#","Payload":""#);
    base64(out, payload);
    out.extend_from_slice(br#""}]}"#);
}

/// What a Playlist takes as a frame, in bytes, without printing it.
#[must_use]
pub fn playlist_frame_bytes(client_id: &ClientId, payload_bytes: usize) -> usize {
    /// Everything but the client id and the payload.
    const AROUND: usize = r#"{"MessageType":"Playlist","MessageUuid":""#.len()
        + crate::wire::uuid::TEXT_LEN
        + r#"","Records":[{"ClientId":"","Payload":""}]}"#.len();
    // A client id is printable ASCII, of which JSON escapes these two.
    let escapes = client_id.as_str().bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    AROUND + client_id.as_str().len() + escapes + payload_bytes.div_ceil(3) * 4
}

/// A Monitor up to where its [`monitor_tail`] follows.
pub fn monitor_head(out: &mut Vec<u8>, message_uuid: Uuid) {
    out.extend_from_slice(br#"{"MessageType":"Monitor","MessageUuid":""#);
    out.extend_from_slice(&message_uuid.text());
}

/// The clients of a Monitor: the same for all who receive it.
pub fn monitor_tail(out: &mut Vec<u8>, clients: &[Present]) {
    out.extend_from_slice(br#"","ConnectedClients":["#);
    for (at, client) in clients.iter().enumerate() {
        out.extend_from_slice(if at == 0 { br#"{"ClientId":"# } else { br#",{"ClientId":"# });
        string(out, client.client_id.as_str());
        out.extend_from_slice(br#","RoomId":"#);
        string(out, client.room.as_ref().map_or("", RoomId::as_str));
        out.extend_from_slice(br#","AliveTime":"#);
        number(out, i64::try_from(client.alive_s).unwrap_or(i64::MAX));
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// What a client sends to move to a room; periods in seconds, 0 for none.
pub fn subscribe(out: &mut Vec<u8>, message_uuid: &str, room: &RoomId, monitor_s: u32, ping_s: u32) {
    out.extend_from_slice(br#"{"MessageType":"Subscribe","MessageUuid":"#);
    string(out, message_uuid);
    out.extend_from_slice(br#","RoomId":"#);
    string(out, room.as_str());
    out.extend_from_slice(br#","IsMonitorRequired":"#);
    number(out, i64::from(monitor_s));
    out.extend_from_slice(br#","IsPingRequired":"#);
    number(out, i64::from(ping_s));
    out.push(b'}');
}

/// What a client sends to be heard in a room.
pub fn propogate(out: &mut Vec<u8>, message_uuid: &str, room: &RoomId, payload: &[u8]) {
    out.extend_from_slice(br#"{"MessageType":"Propogate","MessageUuid":"#);
    string(out, message_uuid);
    out.extend_from_slice(br#","RoomId":"#);
    string(out, room.as_str());
    out.extend_from_slice(br#","Payload":""#);
    base64(out, payload);
    out.extend_from_slice(br#""}"#);
}

/// One entry of the list that answers `GET /fau3vom/GetExtraServersList`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraServer {
    /// The router's configured name.
    pub name: String,
    /// libp2p's name for it; empty where it is not known.
    pub peer_id: String,
    /// Where it is, as multiaddresses (`/ip4/192.168.1.2/tcp/8902`).
    pub addresses: Vec<String>,
}

/// The body that answers `GET /fau3vom/GetExtraServersList`: the list with this
/// version, highest priority first.
#[must_use]
pub fn extra_servers_list(version: u64, servers: &[ExtraServer]) -> String {
    let mut out =
        format!(r#"{{"MessageType":"ExtraServersList","Version":{version},"Servers":["#).into_bytes();
    for (priority, server) in servers.iter().enumerate() {
        out.extend_from_slice(if priority > 0 { br#",{"Name":"# } else { br#"{"Name":"# });
        string(&mut out, &server.name);
        out.extend_from_slice(br#","PeerId":"#);
        string(&mut out, &server.peer_id);
        out.extend_from_slice(br#","Addresses":["#);
        for (at, address) in server.addresses.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            string(&mut out, address);
        }
        out.extend_from_slice(format!(r#"],"Priority":{priority}}}"#).as_bytes());
    }
    out.extend_from_slice(b"]}");
    String::from_utf8_lossy(&out).into_owned()
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let length = bytes.len().div_ceil(3) * 4;
    out.resize(start + length, b'=');
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(length), "the room was measured for it");
}

fn string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

fn number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fau3d::FRAME_BYTES_MAX;
    use crate::wire::{BODY_BYTES_MAX, CLIENT_ID_CHARS_MAX};

    fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        print(&mut out);
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).expect(&text);
        text
    }

    #[test]
    fn frames_have_the_seeds_fields_in_the_seeds_order() {
        let uuid = Uuid::from_hash(0);
        let who = ClientId::new(r#"a"b"#).unwrap();
        let text = printed(|out| {
            playlist_head(out, uuid);
            playlist_tail(out, &who, b"\xff\x00");
        });
        assert_eq!(
            text,
            r#"{"MessageType":"Playlist","MessageUuid":"00000000-0000-8000-8000-000000000000","Records":[{"ClientId":"a\"b","Payload":"/wA="}]}"#
        );
        let text = printed(|out| confirm(out, "u\n", Status::SERROR));
        assert_eq!(text, r#"{"MessageType":"Confirm","MessageUuid":"u\n","Status":-2}"#);
    }

    #[test]
    fn a_playlists_size_is_known_without_printing_it() {
        for (id, payload) in [("c", 0), ("AA:BB", 1), (r#"a "quoted\ name""#, 38), (&*"\"".repeat(64), 9_500)]
        {
            let id = ClientId::new(id).unwrap();
            let text = printed(|out| {
                playlist_head(out, Uuid::from_hash(u128::MAX));
                playlist_tail(out, &id, &vec![7; payload]);
            });
            assert_eq!(playlist_frame_bytes(&id, payload), text.len(), "{id:?} {payload}");
        }
    }

    #[test]
    fn the_longest_message_fits_a_frame_whoever_says_it() {
        assert_eq!(BODY_BYTES_MAX, 785_664);
        let longest = ClientId::new(&"\"".repeat(CLIENT_ID_CHARS_MAX)).unwrap();
        assert!(
            (FRAME_BYTES_MAX - 1_024..=FRAME_BYTES_MAX)
                .contains(&playlist_frame_bytes(&longest, BODY_BYTES_MAX))
        );
    }

    #[test]
    fn alive_time_is_a_number_and_no_room_an_empty_string() {
        let clients: Vec<_> = [None, Some(RoomId::new("r").unwrap())]
            .into_iter()
            .map(|room| Present { client_id: ClientId::new("c").unwrap(), room, alive_s: 7 })
            .collect();
        let text = printed(|out| {
            monitor_head(out, Uuid::from_hash(0));
            monitor_tail(out, &clients);
        });
        assert!(
            text.ends_with(
                r#""ConnectedClients":[{"ClientId":"c","RoomId":"","AliveTime":7},{"ClientId":"c","RoomId":"r","AliveTime":7}]}"#
            ),
            "{text}"
        );
    }
}

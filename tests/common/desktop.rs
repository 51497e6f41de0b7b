//! A client in the manner of the desktop ones: a WebSocket library of the
//! ecosystem's, JSON in text frames. It answers nothing by itself, so that a
//! test says what is confirmed and what is not.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connected client.
pub(crate) struct Desktop {
    socket: WebSocket<TcpStream>,
    uuids: u64,
}

/// What has come in.
#[derive(Debug)]
pub(crate) enum Got {
    Message(Value),
    /// Nothing, within the time given.
    Nothing,
    /// The connection is gone.
    Lost,
}

/// A Playlist, as its receiver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) uuid: String,
    pub(crate) client_id: String,
    pub(crate) payload: Vec<u8>,
}

impl Desktop {
    /// Connects as `client_id`.
    ///
    /// # Panics
    /// If it is not let in.
    pub(crate) fn connect(address: SocketAddr, client_id: &str) -> Self {
        Self::try_connect(address, client_id).unwrap_or_else(|error| panic!("not let in: {error}"))
    }

    /// The same where the router may be gone.
    pub(crate) fn try_connect(address: SocketAddr, client_id: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        request.headers_mut().insert("fau3-client-id", client_id.parse().unwrap());
        let (socket, _) = client(request, stream).map_err(|error| error.to_string())?;
        Ok(Self { socket, uuids: 0 })
    }

    /// Says whether it could still be sent.
    pub(crate) fn send(&mut self, message: &Value) -> bool {
        self.socket.send(Message::text(message.to_string())).is_ok()
    }

    /// Sends live audio, marks included, as desktop clients do.
    pub(crate) fn send_stream(&mut self, stream: &[u8]) -> bool {
        self.socket.send(Message::binary(stream.to_vec())).is_ok()
    }

    /// The next piece of live audio, as it came; whatever else comes is passed over.
    pub(crate) fn hear_stream(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.socket.get_ref().set_read_timeout(Some(patience)).unwrap();
        loop {
            match self.socket.read().ok()? {
                Message::Binary(stream) => return Some(stream.to_vec()),
                _ => continue,
            }
        }
    }

    /// Sends all of them in as few writes as the system allows.
    pub(crate) fn send_at_once(&mut self, messages: &[Value]) -> bool {
        let mut messages = messages.iter().map(|message| Message::text(message.to_string()));
        messages.all(|message| self.socket.write(message).is_ok()) && self.socket.flush().is_ok()
    }

    /// The next message; whatever else comes on a WebSocket is dealt with.
    pub(crate) fn next(&mut self, patience: Duration) -> Got {
        let patience = patience.max(Duration::from_millis(1));
        self.socket.get_ref().set_read_timeout(Some(patience)).unwrap();
        loop {
            return match self.socket.read() {
                Ok(Message::Text(text)) => Got::Message(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(Message::Close(_)) => Got::Lost,
                Ok(other) => panic!("no router sends this here: {other:?}"),
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    Got::Nothing
                }
                Err(_) => Got::Lost,
            };
        }
    }

    /// Moves to a room; Playlists that come before the Confirm are returned.
    pub(crate) fn subscribe(&mut self, room: &str) -> Vec<Heard> {
        let uuid = self.next_uuid();
        assert!(self.send(&json!({"MessageType": "Subscribe", "MessageUuid": uuid, "RoomId": room})));
        let mut heard = Vec::new();
        loop {
            match self.next(PATIENCE) {
                Got::Message(message) if message["MessageUuid"] == uuid => {
                    assert_eq!((&message["MessageType"], &message["Status"]), (&json!("Confirm"), &json!(0)));
                    return heard;
                }
                Got::Message(message) => heard.push(playlist(&message).expect("a Playlist or the Confirm")),
                other => panic!("no Confirm of the Subscribe: {other:?}"),
            }
        }
    }

    /// Sends a voice message and waits for its Confirm, which comes next.
    pub(crate) fn say(&mut self, room: &str, uuid: &str, payload: &[u8]) -> i64 {
        assert!(self.send(&propogate(room, uuid, payload)));
        match self.next(PATIENCE) {
            Got::Message(message) => {
                let (confirmed, status) =
                    confirm(&message).unwrap_or_else(|| panic!("no Confirm: {message}"));
                assert_eq!(confirmed, uuid);
                status
            }
            other => panic!("{uuid} is not answered: {other:?}"),
        }
    }

    /// Answers a Playlist with FAU3_STORED.
    pub(crate) fn confirm(&mut self, heard: &Heard) {
        self.send(&json!({"MessageType": "Confirm", "MessageUuid": heard.uuid, "Status": 3}));
    }

    /// The next Playlist, unconfirmed.
    pub(crate) fn hear(&mut self, patience: Duration) -> Option<Heard> {
        match self.next(patience) {
            Got::Message(message) => {
                Some(playlist(&message).unwrap_or_else(|| panic!("not a Playlist: {message}")))
            }
            Got::Nothing | Got::Lost => None,
        }
    }

    fn next_uuid(&mut self) -> String {
        self.uuids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.uuids)
    }
}

/// A Propogate.
pub(crate) fn propogate(room: &str, uuid: &str, payload: &[u8]) -> Value {
    let payload = STANDARD.encode(payload);
    json!({"MessageType": "Propogate", "MessageUuid": uuid, "RoomId": room, "Payload": payload})
}

/// MessageUuid and Status, if it is a Confirm.
pub(crate) fn confirm(message: &Value) -> Option<(&str, i64)> {
    let is_confirm = message["MessageType"] == "Confirm";
    is_confirm.then(|| (message["MessageUuid"].as_str().unwrap(), message["Status"].as_i64().unwrap()))
}

/// What it brings, if it is a Playlist.
pub(crate) fn playlist(message: &Value) -> Option<Heard> {
    let records = message["Records"].as_array()?;
    assert_eq!(records.len(), 1, "one record a Playlist");
    Some(Heard {
        uuid: message["MessageUuid"].as_str()?.to_owned(),
        client_id: records[0]["ClientId"].as_str()?.to_owned(),
        payload: STANDARD.decode(records[0]["Payload"].as_str()?).unwrap(),
    })
}

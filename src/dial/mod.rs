//! A connection to a server of FAU3VOM-D: TCP, then the upgrade in a client's
//! name. All that dials one does it here: the relay, and `talk` and `listen`.

mod race;
mod text;

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{self, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub(crate) use race::{connect, connect_any};
use text::TextAsBinary;

use crate::wire::ClientId;
use crate::wire::fau3d::FRAME_BYTES_MAX;
use crate::wire::mistaken::RELAY_HEADER;

/// How a client names itself (seed 000).
const CLIENT_ID_HEADER: &str = "fau3-client-id";
/// A Playlist is longer than the Propogate that it carries, which may fill a
/// frame: what is received may be this large, in bytes.
const RECEIVED_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

/// What is shown of a refusal, in characters.
const REASON_CHARS_MAX: usize = 300;

/// A WebSocket to a server. Its messages are binary, also where they were sent as text.
pub(crate) type Socket = WebSocketStream<TextAsBinary<TcpStream>>;

/// What is read at once from a server, in bytes; each connection has such a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReadBuffer {
    /// For one of few connections.
    Large = 16 * 1024,
    /// For one of hundreds.
    Small = 2 * 1024,
}

/// In whose name a server is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A client itself.
    Client,
    /// A router for its client, or for itself. It says so, since other routers are no server for it:
    /// each would take its own clients over, and relay them on.
    Relay,
}

/// Makes a connection a WebSocket. `uri` is `ws://HOST:PORT/PATH`.
///
/// # Errors
/// The server's answer ([`Error::Http`]) where it is none, and whatever can
/// happen to a connection.
pub(crate) async fn upgrade(
    stream: TcpStream,
    uri: &str,
    client_id: &ClientId,
    buffer: ReadBuffer,
    caller: Caller,
) -> Result<Socket, Error> {
    // 20 ms of voice shall not wait for the next 20 ms.
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(buffer as usize)
        .write_buffer_size(0)
        .max_message_size(Some(RECEIVED_BYTES_MAX))
        .max_frame_size(Some(RECEIVED_BYTES_MAX));
    let stream = TextAsBinary::new(stream);
    let upgrade = client_async_with_config(request(uri, client_id, caller)?, stream, Some(config));
    Ok(Box::pin(upgrade).await?.0)
}

fn request(uri: &str, client_id: &ClientId, caller: Caller) -> Result<Request, Error> {
    let mut request = uri.into_client_request()?;
    let value = HeaderValue::from_str(client_id.as_str()).map_err(http::Error::from)?;
    request.headers_mut().insert(CLIENT_ID_HEADER, value);
    if caller == Caller::Relay {
        request.headers_mut().insert(RELAY_HEADER, HeaderValue::from_static("1"));
    }
    Ok(request)
}

/// What a WebSocket that was not made says of it, in one line.
pub(crate) fn refusal(error: &Error) -> String {
    let Error::Http(response) = error else {
        return match error {
            Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
    };
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
    let location = response.headers().get(http::header::LOCATION).and_then(|to| to.to_str().ok());
    // A page is no reason.
    let line: String = body.lines().next().unwrap_or_default().chars().take(REASON_CHARS_MAX).collect();
    let line = if line.trim_start().starts_with('<') { "a page".to_owned() } else { line };
    let said = location.map_or(line, |to| format!("go to {to}"));
    let reason = format!("HTTP {}: {}", response.status(), said.trim());
    reason.trim_end_matches(": ").trim_end_matches(':').to_owned()
}

/// A frame of JSON as it was printed.
pub(crate) fn text(frame: Vec<u8>) -> Message {
    match String::from_utf8(frame) {
        Ok(text) => Message::text(text),
        Err(_) => unreachable!("what is printed is UTF-8"),
    }
}

/// A future's result within a time.
///
/// # Errors
/// Its own, and that time has run out.
pub(crate) async fn within<T>(
    span: Duration,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let in_time = tokio::time::timeout(span, what).await;
    in_time.unwrap_or_else(|_| Err(Error::Io(std::io::ErrorKind::TimedOut.into())))
}

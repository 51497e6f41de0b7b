//! A WebSocket as a stream of bytes, as libp2p's `/ws` has it: each binary
//! message is the next piece. Text, pings and the like carry nothing here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use crate::wire::mistaken::{NO_DOOR_FOR_CLIENTS, NO_SERVER_OF_ROUTERS, RELAY_HEADER};

/// What tells a WebSocket from a raw connection, which begins at random.
pub(super) const REQUEST: &[u8; 4] = b"GET ";

/// By which a client of FAU3VOM-D is known, in the header or the query.
const CLIENT_ID_FIELD: &str = "fau3-client-id";

/// Longest message that is taken, in bytes: four of noise's.
const MESSAGE_MAX_BYTES: usize = 256 * 1_024;
/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1_024;

/// A connection over WebSocket.
pub(super) struct WebSocket {
    messages: WebSocketStream<TcpStream>,
    /// What came in and was not read yet.
    rest: Bytes,
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CHUNK_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_MAX_BYTES)
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES))
}

/// Upgrades a connection that the other side opened.
pub(super) async fn accept(socket: TcpStream) -> io::Result<WebSocket> {
    let accepted = Box::pin(accept_hdr_async_with_config(socket, answer, Some(config()))).await;
    accepted.map(WebSocket::new).map_err(io_error)
}

/// Whoever takes this port for that of a server of FAU3VOM-D is told better.
#[expect(clippy::result_large_err, reason = "the library's")]
fn answer(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let names_itself = request.headers().contains_key(CLIENT_ID_FIELD)
        || request.uri().query().is_some_and(|query| query.contains(CLIENT_ID_FIELD));
    let why = match request.headers().contains_key(RELAY_HEADER) {
        true => NO_SERVER_OF_ROUTERS,
        false if names_itself => NO_DOOR_FOR_CLIENTS,
        false => return Ok(response),
    };
    let mut refusal = ErrorResponse::new(Some(why.to_owned()));
    *refusal.status_mut() = StatusCode::MISDIRECTED_REQUEST;
    Err(refusal)
}

/// What a router without a name is asked for.
pub(super) fn url(address: SocketAddr) -> String {
    // A zone has no place in a Host field (RFC 6874, section 4).
    format!("ws://{}/", SocketAddr::new(address.ip(), address.port()))
}

/// Upgrades a connection that this side opened.
pub(super) async fn dial(socket: TcpStream, url: &str) -> io::Result<WebSocket> {
    let dialled = Box::pin(client_async_with_config(url, socket, Some(config()))).await;
    dialled.map(|(messages, _)| WebSocket::new(messages)).map_err(io_error)
}

impl WebSocket {
    fn new(messages: WebSocketStream<TcpStream>) -> Self {
        Self { messages, rest: Bytes::new() }
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::UnexpectedEof.into(),
        // The peer is gone without a close frame: as if it were plain TCP.
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => io::ErrorKind::ConnectionReset.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let now = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..now]);
        self.rest.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.messages).poll_ready(cx)).map_err(io_error)?;
        let now = bytes.len().min(CHUNK_BYTES);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..now]));
        Pin::new(&mut self.messages).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(now))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_close(cx).map_err(io_error)
    }
}

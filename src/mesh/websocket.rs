//! A WebSocket as a stream of bytes, as libp2p's `/ws` has it: each binary
//! message is the next piece. Text, pings and the like carry nothing here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::http::{Answer, Head, read_head, say_last, upgrade};
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
pub(super) async fn accept(mut socket: TcpStream) -> io::Result<WebSocket> {
    let mut behind = Vec::new();
    let answer = match read_head(&mut socket, &mut behind).await {
        Ok(Some(head)) => judge(&head),
        Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(answer) => Err(answer),
    };
    match answer {
        Ok(answer) => socket.write_all(&answer.print(false, false)).await?,
        Err(answer) => {
            say_last(&mut socket, &answer, true).await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, answer.text()));
        }
    }
    let messages = WebSocketStream::from_partially_read(socket, behind, Role::Server, Some(config()));
    Ok(WebSocket::new(messages.await))
}

/// Whoever takes this port for that of a server of FAU3VOM-D, or of a page, is told better.
fn judge(head: &Head) -> Result<Answer, Answer> {
    if head.all(RELAY_HEADER).next().is_some() {
        return Err(Answer::line(421, NO_SERVER_OF_ROUTERS));
    }
    let is_client =
        head.all(CLIENT_ID_FIELD).next().is_some() || head.path_and_query().1.contains(CLIENT_ID_FIELD);
    if is_client || !upgrade::is_wanted(head) {
        return Err(Answer::line(421, NO_DOOR_FOR_CLIENTS));
    }
    upgrade::accept(head)
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

//! The lowest layer of a connection: TCP, or WebSocket over it. It remembers
//! how the connection ended, which the layers above do not keep apart.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::api::Down;
use super::websocket::{self, WebSocket};

/// How often a beginning that came in pieces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How a connection ended, once it has; set by the first sign of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<OnceLock<Down>>);

impl Fate {
    pub(super) fn get(&self) -> Option<Down> {
        self.0.get().copied()
    }

    fn note(&self, error: &io::Error) {
        let why = match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Down::ClosedByPeer,
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Down::TimedOut,
            _ => return,
        };
        let _ = self.0.set(why);
    }

    fn closed(&self) {
        let _ = self.0.set(Down::ClosedByPeer);
    }
}

/// A connection's bytes.
pub(super) struct Pipe {
    carrier: Carrier,
    fate: Fate,
}

enum Carrier {
    Tcp(TcpStream),
    WebSocket(Box<WebSocket>),
}

impl Pipe {
    pub(super) fn tcp(socket: TcpStream) -> Self {
        Self { carrier: Carrier::Tcp(socket), fate: Fate::default() }
    }

    pub(super) fn web_socket(socket: WebSocket) -> Self {
        Self { carrier: Carrier::WebSocket(Box::new(socket)), fate: Fate::default() }
    }

    /// Takes a connection that the other side opened, and finds out which kind
    /// it is by how it begins.
    pub(super) async fn accept(socket: TcpStream) -> io::Result<Self> {
        let mut begins = [0; websocket::REQUEST.len()];
        loop {
            let seen = socket.peek(&mut begins).await?;
            if seen == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if begins[..seen] != websocket::REQUEST[..seen] {
                return Ok(Self::tcp(socket));
            }
            if seen == begins.len() {
                return websocket::accept(socket).await.map(Self::web_socket);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(super) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.fate.note(error);
        }
        result
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = match &mut self.carrier {
            Carrier::Tcp(socket) => Pin::new(socket).poll_read(cx, into),
            Carrier::WebSocket(socket) => Pin::new(socket).poll_read(cx, into),
        };
        if matches!(result, Poll::Ready(Ok(()))) && into.filled().len() == before {
            self.fate.closed();
        }
        self.noted(result)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = match &mut self.carrier {
            Carrier::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Carrier::WebSocket(socket) => Pin::new(socket).poll_write(cx, bytes),
        };
        self.noted(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.carrier {
            Carrier::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Carrier::WebSocket(socket) => Pin::new(socket).poll_flush(cx),
        };
        self.noted(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.carrier {
            Carrier::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Carrier::WebSocket(socket) => Pin::new(socket).poll_shutdown(cx),
        };
        self.noted(result)
    }
}

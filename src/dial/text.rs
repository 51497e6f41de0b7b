//! Text frames made binary as they come in.
//!
//! Legacy servers forward live audio in text frames although the bytes are not
//! UTF-8, and a WebSocket library ends the connection over such a frame without
//! giving its bytes. So the opcode (RFC 6455, section 5.2) is rewritten before the library
//! sees it; the content of a message says well enough what it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
/// What ends the head of an HTTP answer.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// How the answer begins that makes a connection a WebSocket, once more than the version.
const UPGRADED: &[u8] = b" 101";
/// Where that stands: behind `HTTP/1.1`.
const UPGRADED_AT: usize = 8;

/// A connection to a server of which no text frame arrives. What is written
/// passes unchanged.
#[derive(Debug)]
pub(crate) struct TextAsBinary<S> {
    stream: S,
    next: Next,
}

/// What the next byte from the server is.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Of the answer to the upgrade: how many came before, how many of them
    /// end the head, and whether the status is 101 as far as it has come.
    Head { before: usize, ending: usize, is_upgrade: bool },
    /// The first of a frame.
    Opcode,
    /// The second.
    Length,
    /// Of the long length: how many bytes are missing, and what they say so far.
    LongLength { missing: u8, length: u64, mask: u64 },
    /// Of so many more to which nothing is done.
    Payload(u64),
    /// Of something that is not a WebSocket.
    Other,
}

impl<S> TextAsBinary<S> {
    /// Of a connection on which the answer to the upgrade comes next.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, next: Next::Head { before: 0, ending: 0, is_upgrade: true } }
    }

    /// The connection itself.
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl Next {
    fn rewrite(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() && !matches!(self, Self::Other) {
            if let Self::Payload(missing) = *self {
                let here = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len() - at);
                *self = Self::payload(missing - here as u64);
                at += here;
            } else {
                *self = self.after(&mut bytes[at]);
                at += 1;
            }
        }
    }

    /// What comes next, after this byte, which is changed where it has to be.
    fn after(self, byte: &mut u8) -> Self {
        match self {
            Self::Head { before, ending, is_upgrade } => Self::in_head(*byte, before, ending, is_upgrade),
            Self::Opcode => {
                if *byte & 0x0f == TEXT {
                    *byte = *byte & 0xf0 | BINARY;
                }
                Self::Length
            }
            Self::Length => {
                let mask = if *byte & 0x80 == 0 { 0 } else { 4 };
                match *byte & 0x7f {
                    126 => Self::LongLength { missing: 2, length: 0, mask },
                    127 => Self::LongLength { missing: 8, length: 0, mask },
                    short => Self::payload(u64::from(short) + mask),
                }
            }
            Self::LongLength { missing, length, mask } => {
                let length = length << 8 | u64::from(*byte);
                match missing {
                    1 => Self::payload(length.saturating_add(mask)),
                    _ => Self::LongLength { missing: missing - 1, length, mask },
                }
            }
            Self::Payload(_) | Self::Other => self,
        }
    }

    fn in_head(byte: u8, before: usize, ending: usize, is_upgrade: bool) -> Self {
        let wanted = before.checked_sub(UPGRADED_AT).and_then(|at| UPGRADED.get(at));
        let is_upgrade = is_upgrade && wanted.is_none_or(|wanted| *wanted == byte);
        let ending = match byte {
            _ if byte == HEAD_END[ending] => ending + 1,
            b'\r' => 1,
            _ => 0,
        };
        match ending == HEAD_END.len() {
            true if is_upgrade && before > UPGRADED_AT + UPGRADED.len() => Self::Opcode,
            true => Self::Other,
            false => Self::Head { before: before.saturating_add(1), ending, is_upgrade },
        }
    }

    const fn payload(missing: u64) -> Self {
        if missing == 0 { Self::Opcode } else { Self::Payload(missing) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TextAsBinary<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.next.rewrite(&mut into.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TextAsBinary<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(short as u8),
            medium @ 126..65_536 => {
                frame.push(126);
                frame.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    /// What is read of these bytes, in pieces of `size`.
    async fn read(bytes: &[u8], size: usize) -> Vec<u8> {
        let mut reader = TextAsBinary::new(bytes);
        let mut got = Vec::new();
        loop {
            let mut piece = vec![0; size];
            match reader.read(&mut piece).await.unwrap() {
                0 => return got,
                length => got.extend_from_slice(&piece[..length]),
            }
        }
    }

    #[tokio::test]
    async fn text_becomes_binary_and_nothing_else_changes() {
        // Given each kind of frame, in fragments, with a ping amid them, and full of text opcodes,
        let (audio, long, longer) = (b"F3SB\xff\x81\x01F3FN", [0x81; 300], [0x81; 70_000]);
        let frames = [(0x81, &audio[..]), (0x82, b"\x81"), (0x81, b""), (0x01, &long), (0x89, b"\x81\x01")];
        let more = [(0x80, &longer[..]), (0x81, &long), (0x88, b"\x03\xe8")];
        let all = frames.into_iter().chain(more);
        let (mut sent, mut wanted) = (HEAD.to_vec(), HEAD.to_vec());
        for (first, payload) in all {
            sent.extend(frame(first, payload));
            let first = if first & 0x0f == TEXT { first + 1 } else { first };
            wanted.extend(frame(first, payload));
        }
        // then only the opcodes of text differ, in pieces of any size.
        for size in [1, 2, 3, 7, 64, 4_096, 200_000] {
            assert!(read(&sent, size).await == wanted, "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn masked_frames_are_passed_over_although_no_server_may_send_them() {
        let mut sent = HEAD.to_vec();
        sent.extend(b"\x82\x81\x81\x81\x81\x81\x81\x81\x80");
        let mut wanted = sent.clone();
        let at = wanted.len() - 2;
        wanted[at] = 0x82;
        assert_eq!(read(&sent, 5).await, wanted);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_upgrade_is_left_as_it_is() {
        for head in ["HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 101\r\n", "\u{1}\u{1}\r\n\r\n\u{1}\u{1}", ""]
        {
            let mut sent = head.as_bytes().to_vec();
            sent.extend(b"\x81\x01\x81\x01");
            assert_eq!(read(&sent, 3).await, sent, "{head:?}");
        }
    }
}

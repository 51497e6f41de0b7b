//! The pre-shared key around a connection: libp2p specification, "Pre-shared
//! Key Based Private Networks": both sides send 24 bytes at random, and then
//! everything is XSalsa20 with the key and those bytes.
//!
//! Not libp2p's own `pnet`, since that takes one key: here, the side that is
//! dialled finds out which of its keys the dialler has, by what every libp2p
//! connection begins with. Without the key nothing of what follows can be said
//! or understood; who the other side is, noise proves above.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

/// What a libp2p connection begins with (multistream-select 1.0).
const GREETING: &[u8; 20] = b"\x13/multistream/1.0.0\n";
const NONCE_BYTES: usize = 24;
/// Most bytes that are encrypted ahead of the socket.
const AHEAD_BYTES: usize = 16 * 1_024;

/// A mesh's key. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self, nonce: [u8; NONCE_BYTES]) -> XSalsa20 {
        XSalsa20::new(&self.0.into(), &nonce.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A connection inside the key.
pub(super) struct Psk<S> {
    inner: S,
    reading: XSalsa20,
    writing: XSalsa20,
    /// What was read to find the key, until it is read.
    greeting: &'static [u8],
    /// Encrypted, not yet written.
    ahead: Vec<u8>,
    written: usize,
}

/// Encrypts a connection that this side opened.
pub(super) async fn dial<S>(mut inner: S, key: &Key) -> io::Result<Psk<S>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (ours, theirs) = exchange(&mut inner).await?;
    Ok(Psk::new(inner, key.cipher(theirs), key.cipher(ours), &[]))
}

/// Encrypts a connection that the other side opened, with the one of the keys
/// that it has; says which. `None` if it has none of them.
pub(super) async fn accept<S>(mut inner: S, keys: &[Key]) -> io::Result<Option<(Psk<S>, usize)>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (ours, theirs) = exchange(&mut inner).await?;
    let mut greeting = [0; GREETING.len()];
    inner.read_exact(&mut greeting).await?;
    for (number, key) in keys.iter().enumerate() {
        let (mut reading, mut tried) = (key.cipher(theirs), greeting);
        reading.apply_keystream(&mut tried);
        if tried == *GREETING {
            return Ok(Some((Psk::new(inner, reading, key.cipher(ours), GREETING), number)));
        }
    }
    Ok(None)
}

async fn exchange<S>(inner: &mut S) -> io::Result<([u8; NONCE_BYTES], [u8; NONCE_BYTES])>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut ours, mut theirs) = ([0; NONCE_BYTES], [0; NONCE_BYTES]);
    getrandom::fill(&mut ours).map_err(|error| io::Error::other(error.to_string()))?;
    // What begins like this would be taken for an HTTP request.
    if ours.starts_with(super::websocket::REQUEST) {
        ours[0] ^= 0x80;
    }
    inner.write_all(&ours).await?;
    inner.flush().await?;
    inner.read_exact(&mut theirs).await?;
    Ok((ours, theirs))
}

impl<S> Psk<S> {
    fn new(inner: S, reading: XSalsa20, writing: XSalsa20, greeting: &'static [u8]) -> Self {
        Self { inner, reading, writing, greeting, ahead: Vec::new(), written: 0 }
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> Psk<S> {
    fn poll_write_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.ahead.len() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.ahead[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.ahead.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: tokio::io::AsyncRead + Unpin> AsyncRead for Psk<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.greeting.is_empty() {
            let (now, later) = this.greeting.split_at(into.len().min(this.greeting.len()));
            into[..now.len()].copy_from_slice(now);
            this.greeting = later;
            return Poll::Ready(Ok(now.len()));
        }
        let mut buffer = ReadBuf::new(into);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer))?;
        this.reading.apply_keystream(buffer.filled_mut());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> AsyncWrite for Psk<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_write_ahead(cx))?;
        let taken = bytes.len().min(AHEAD_BYTES);
        this.ahead.extend_from_slice(&bytes[..taken]);
        this.writing.apply_keystream(&mut this.ahead);
        // They count as written: what the socket does not take waits here.
        match this.poll_write_ahead(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_ahead(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_ahead(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::io::duplex;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    #[tokio::test]
    async fn the_dialled_side_finds_out_which_of_its_keys_is_used() {
        for (dialled_with, found) in [(1, Some(0)), (2, Some(1)), (3, None)] {
            // Small enough that writing has to wait.
            let (here, there) = duplex(60);
            let dialler = tokio::spawn(async move {
                let mut psk = dial(here, &key(dialled_with)).await.unwrap();
                psk.write_all(GREETING).await.unwrap();
                psk.write_all(&[7; 100_000]).await.unwrap();
                psk.flush().await.unwrap();
                let mut answer = [0; 2];
                psk.read_exact(&mut answer).await.unwrap();
                answer
            });
            let accepted = accept(there, &[key(1), key(2)]).await.unwrap();
            assert_eq!(accepted.as_ref().map(|(_, number)| *number), found);
            let Some((mut psk, _)) = accepted else { continue };
            let mut read = vec![0; GREETING.len() + 100_000];
            psk.read_exact(&mut read).await.unwrap();
            assert!(read.starts_with(GREETING) && read[GREETING.len()..].iter().all(|byte| *byte == 7));
            psk.write_all(b"ok").await.unwrap();
            assert_eq!(&dialler.await.unwrap(), b"ok");
        }
    }

    #[test]
    fn the_cipher_is_xsalsa20_as_libp2p_uses_it() {
        // Bernstein, "Extending the Salsa20 nonce": as in NaCl's tests/stream3.c,
        // the first bytes of the key stream.
        let first_key = [
            0x1b, 0x27, 0x55, 0x64, 0x73, 0xe9, 0x85, 0xd4, 0x62, 0xcd, 0x51, 0x19, 0x7a, 0x9a, 0x46, 0xc7,
            0x60, 0x09, 0x54, 0x9e, 0xac, 0x64, 0x74, 0xf2, 0x06, 0xc4, 0xee, 0x08, 0x44, 0xf6, 0x83, 0x89,
        ];
        let nonce = [
            0x69, 0x69, 0x6e, 0xe9, 0x55, 0xb6, 0x2b, 0x73, 0xcd, 0x62, 0xbd, 0xa8, 0x75, 0xfc, 0x73, 0xd6,
            0x82, 0x19, 0xe0, 0x03, 0x6b, 0x7a, 0x0b, 0x37,
        ];
        let mut stream = [0; 8];
        Key::new(first_key).cipher(nonce).apply_keystream(&mut stream);
        assert_eq!(stream, [0xee, 0xa6, 0xa7, 0x25, 0x1c, 0x1e, 0x72, 0x91]);
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", key(0xAB)), "Key(..)");
    }
}

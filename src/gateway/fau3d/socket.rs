//! One client's connection once it is let in.
//!
//! Its task reads; the node writes straight to the socket when it flushes, and
//! the task goes on where the socket was full. What is read passes through one
//! buffer that all connections share, so an idle client costs no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::TcpStream;

use super::frames::{Decoder, Received, Violation};
use super::outbox::Outbox;
use super::tails::Tails;
use super::unfinished::{Holding, Unfinished};
use super::unsent::{keep_short, unsent_bytes};
use super::words::{close_code, says};
use crate::gateway::{ClientLink, DoorEvent, Events, NotNow};
use crate::router::{CloseReason, ConnId, FrameNo, Input, Told};
use crate::wire::fau3d;

/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long the other side may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

thread_local! {
    /// Held only between two awaits, never over one.
    static CHUNK: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK_BYTES]);
}

/// A connection as the node sees it.
pub(super) struct Socket {
    /// Set when the upgrade is done; frames wait until then.
    stream: OnceLock<TcpStream>,
    address: IpAddr,
    events: Events,
    tails: Arc<Tails>,
    unfinished: Arc<Unfinished>,
    state: Mutex<SocketState>,
}

#[derive(Default)]
struct SocketState {
    outbox: Outbox,
    /// The socket was full: the task writes on.
    blocked: bool,
    /// The last frame is in the outbox: nothing is added any more.
    closing: bool,
    /// The connection's task.
    waker: Option<Waker>,
}

/// What the connection's task has to do.
enum Wake {
    Readable,
    Closing,
}

impl Socket {
    /// A connection whose upgrade is still going on.
    pub(super) fn new(
        address: IpAddr,
        events: Events,
        tails: Arc<Tails>,
        unfinished: Arc<Unfinished>,
    ) -> Self {
        Self { stream: OnceLock::new(), address, events, tails, unfinished, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, SocketState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append<T: Default>(&self, append: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut state = self.state();
        if state.closing { T::default() } else { append(&mut state.outbox) }
    }

    /// Ends the connection once what was told before is out.
    fn end(&self, code: u16, reason: &'static str) {
        let mut state = self.state();
        if !state.closing {
            // What the socket takes now is not dropped.
            let _ = self.write(&mut state);
            state.outbox.push_close(code, reason);
            state.closing = true;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// Writes as much as the socket takes.
    fn write(&self, state: &mut SocketState) -> io::Result<()> {
        let Some(stream) = self.stream.get() else { return Ok(()) };
        state.blocked = false;
        while !state.outbox.is_empty() {
            match state.outbox.write_with(|slices| stream.try_write_vectored(slices)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Serves an upgraded connection to its end. `early` came in behind the
    /// upgrade request.
    pub(super) async fn serve(self: Arc<Self>, conn: ConnId, stream: TcpStream, early: Vec<u8>) {
        keep_short(&stream);
        let Ok(()) = self.stream.set(stream) else { return };
        self.flush();
        let mut reader = Reader::new(&self, conn);
        let end = reader.run(early).await;
        // Half a message is not kept for the goodbye's sake.
        let mut decoder = Some(std::mem::take(&mut reader.decoder)).filter(|decoder| decoder.held() == 0);
        drop(reader);
        if let Err(End::Violation(violation)) = end {
            self.end(violation.code, violation.reason);
        }
        // The router lets go at once; the goodbye is the door's own affair.
        let _ = self.events.send(DoorEvent::Input(Input::Disconnected { conn })).await;
        if matches!(end, Err(End::Broken)) {
            return;
        }
        let answered = tokio::time::timeout(GOODBYE, self.say_goodbye(&mut decoder)).await;
        if answered == Ok(true) {
            let _ = self.events.send(DoorEvent::Input(Input::Alive { conn })).await;
        }
    }

    /// Waits until there is something to read, or the last frame is queued;
    /// meanwhile writes on where the socket was full.
    async fn wake(&self, stream: &TcpStream) -> io::Result<Wake> {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            while state.blocked && stream.poll_write_ready(cx)?.is_ready() {
                self.write(&mut state)?;
            }
            if state.closing {
                return Poll::Ready(Ok(Wake::Closing));
            }
            // A client that does not read is not read from either.
            if state.outbox.is_crowded() {
                return Poll::Pending;
            }
            stream.poll_read_ready(cx)?.map(|()| Ok(Wake::Readable))
        })
        .await
    }

    /// Writes the rest, close frame included, and waits for the other side to
    /// close: a connection dropped with bytes unread would be reset, and the
    /// close frame lost. True: it has answered, so somebody is there.
    async fn say_goodbye(&self, decoder: &mut Option<Decoder>) -> bool {
        let Some(stream) = self.stream.get() else { return false };
        let written = poll_fn(|cx| self.poll_write_out(stream, cx)).await;
        if written.is_err() || rustix::net::shutdown(stream, rustix::net::Shutdown::Write).is_err() {
            return false;
        }
        let mut answered = false;
        while stream.readable().await.is_ok() {
            let read = CHUNK.with_borrow_mut(|chunk| {
                let read = stream.try_read(chunk);
                answered |= read.as_ref().is_ok_and(|length| has_close(decoder, &mut chunk[..*length]));
                read
            });
            match read {
                // It closes after it has taken all, our own end (one byte's worth) apart:
                // that is an answer, too. One that died has not taken the close frame.
                Ok(0) => return answered || unsent_bytes(stream) <= 1,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return answered,
                _ if answered => return true,
                _ => {}
            }
        }
        answered
    }

    fn poll_write_out(&self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        self.write(&mut state)?;
        while state.blocked {
            match stream.poll_write_ready(cx)? {
                Poll::Ready(()) => self.write(&mut state)?,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Holding for Socket {
    fn give_way(&self, why: Violation) {
        self.end(why.code, why.reason);
    }
}

impl ClientLink for Socket {
    fn tell(&self, what: Told) {
        let dropped = self.append(|outbox| outbox.push(what, &self.tails));
        self.events.count_dropped_live(dropped);
    }

    fn probe(&self, probe: u32) {
        self.append(|outbox| outbox.push_probe(probe));
    }

    fn close(&self, why: CloseReason) {
        self.end(close_code(why), why.text());
    }

    fn flush(&self) {
        let mut state = self.state();
        if state.blocked {
            return; // The task is at it.
        }
        // A broken connection is found by the task's next read.
        let _ = self.write(&mut state);
        if state.blocked
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
    }

    fn departed(&self) -> (Option<FrameNo>, bool) {
        let Some(stream) = self.stream.get() else { return (None, true) };
        let mut state = self.state();
        let frame = state.outbox.departed(unsent_bytes(stream));
        (frame, state.outbox.is_watching())
    }
}

/// Whether a close frame is among these bytes. What begins a long message is not
/// gathered for that.
fn has_close(reading: &mut Option<Decoder>, mut bytes: &mut [u8]) -> bool {
    while !bytes.is_empty()
        && let Some(decoder) = reading
    {
        match decoder.next(bytes) {
            Ok((_, Some(Received::Close(_)))) => return true,
            Ok((used, _)) if decoder.held() == 0 => bytes = &mut bytes[used..],
            _ => *reading = None,
        }
    }
    false
}

/// Why reading has ended.
enum End {
    /// Either side has said goodbye, or the client is gone.
    Closed,
    /// The connection failed.
    Broken,
    /// The client broke the protocol.
    Violation(Violation),
}

/// The reading half of a connection's task.
struct Reader<'a> {
    socket: &'a Arc<Socket>,
    conn: ConnId,
    decoder: Decoder,
    /// The decoder's share of [`Unfinished`], in bytes.
    held: usize,
    /// An event that found no place at the node, and the bytes behind it.
    stalled: Option<Box<(DoorEvent, Vec<u8>)>>,
}

impl<'a> Reader<'a> {
    fn new(socket: &'a Arc<Socket>, conn: ConnId) -> Self {
        Self { socket, conn, decoder: Decoder::default(), held: 0, stalled: None }
    }

    async fn run(&mut self, mut early: Vec<u8>) -> Result<(), End> {
        let Some(stream) = self.socket.stream.get() else { return Err(End::Broken) };
        self.take(&mut early)?;
        drop(early);
        loop {
            while let Some(stalled) = self.stalled.take() {
                let (event, mut rest) = *stalled;
                self.socket.events.send(event).await.map_err(|_| End::Closed)?;
                self.take(&mut rest)?;
            }
            match self.socket.wake(stream).await.map_err(|_| End::Broken)? {
                Wake::Closing => return Ok(()),
                Wake::Readable => self.read(stream)?,
            }
        }
    }

    fn read(&mut self, stream: &TcpStream) -> Result<(), End> {
        CHUNK.with_borrow_mut(|chunk| match stream.try_read(chunk) {
            Ok(0) => Err(End::Broken),
            Ok(length) => self.take(&mut chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::Broken),
        })
    }

    /// Hands on what is whole in these bytes, until the node has no place.
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), End> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, received) = self.decoder.next(rest).map_err(End::Violation)?;
            let event = received.map(|received| self.event(rest, &received)).transpose()?.flatten();
            self.decoder.release();
            self.account().map_err(End::Violation)?;
            rest = &mut rest[used..];
            let Some(event) = event else { continue };
            match self.socket.events.try_send(event) {
                Ok(()) => {}
                Err(NotNow::Full(event)) => {
                    self.stalled = Some(Box::new((*event, rest.to_vec())));
                    return Ok(());
                }
                Err(NotNow::Ended) => return Err(End::Closed),
            }
        }
        Ok(())
    }

    /// Tells what is held of a message that has not ended.
    fn account(&mut self) -> Result<(), Violation> {
        let held = self.decoder.held();
        if held == self.held {
            return Ok(());
        }
        self.held = held;
        let unfinished = &self.socket.unfinished;
        if held == 0 {
            unfinished.release(self.conn);
            return Ok(());
        }
        unfinished.hold(self.conn, self.socket.address, held, || self.socket.clone())
    }

    fn event(&self, chunk: &[u8], received: &Received) -> Result<Option<DoorEvent>, End> {
        let conn = self.conn;
        let body = |body| self.decoder.body(chunk, body);
        let input = match received {
            Received::Message(message) => Input::Says { conn, what: says(fau3d::parse(body(message))) },
            Received::Pong(pong) => match body(pong).try_into() {
                Ok(probe) => Input::Pong { conn, probe: u32::from_be_bytes(probe) },
                Err(_) => Input::Alive { conn }, // Unasked for, which is allowed.
            },
            Received::Ping(ping) => {
                self.socket.append(|outbox| outbox.push_pong(body(ping)));
                self.socket.flush();
                Input::Alive { conn }
            }
            Received::Close(_) => {
                self.socket.end(1000, "");
                return Err(End::Closed);
            }
        };
        Ok(Some(DoorEvent::Input(input)))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.held > 0 {
            self.socket.unfinished.release(self.conn);
        }
    }
}

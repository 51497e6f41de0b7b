//! One client's connection to the main server: dialled, kept, said goodbye
//! to. What it says and when is the router's affair.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::{Sink as _, SinkExt as _, StreamExt as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{debug, warn};

use super::says;
use super::side::EVENTS_MAX;
use super::target::Target;
use crate::dial::{ReadBuffer, Socket, refusal, within};
use crate::router::{ToServer, UpConn, UpstreamInput};
use crate::wire::ClientId;

/// Frames that wait for a server that does not read. One more ends the connection. All that the
/// router can be told at once is answered within it.
const WAITING_MAX: usize = EVENTS_MAX + 256;
/// Live audio behind more frames than this is too old to be heard: dropped.
const STREAM_WAITS_BEHIND_MAX: usize = 4;
/// A connection that has not come to stand after this long is let go.
const DIAL_MAX: Duration = Duration::from_secs(3);
/// How long the server may take to answer a goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// The node's end of a connection. Dropped, the connection says goodbye.
pub(super) struct Session {
    /// `None`: it is closing.
    open: Option<Open>,
}

struct Open {
    commands: mpsc::Sender<Command>,
    /// Its end is the signal to say goodbye.
    leave: oneshot::Sender<Leave>,
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// With the closing handshake.
    Goodbye,
    /// With a reset, at once.
    Reset,
}

enum Command {
    Frame(ToServer),
    Probe,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Queued,
    /// Live audio that would have come too late.
    Dropped,
    /// The connection is closing, also since there was no place.
    Gone,
}

impl Session {
    /// Dials. What happens is told to `events`, of which the last is
    /// [`UpstreamInput::Down`].
    pub(super) fn open(
        conn: UpConn,
        client_id: ClientId,
        target: Arc<Target>,
        events: mpsc::Sender<UpstreamInput>,
    ) -> Self {
        let (commands, waiting) = mpsc::channel(WAITING_MAX);
        let (leave, asked_to_leave) = oneshot::channel();
        let task = Task {
            conn,
            client_id,
            events,
            waiting,
            leave: asked_to_leave,
            leaving: None,
            unflushed: false,
            probes: 0,
            told: false,
        };
        tokio::spawn(task.run(target));
        Self { open: Some(Open { commands, leave }) }
    }

    pub(super) fn send(&mut self, frame: ToServer) -> Sent {
        let waiting = self.open.as_ref().map_or(0, |open| WAITING_MAX - open.commands.capacity());
        if matches!(frame, ToServer::Stream(_)) && waiting > STREAM_WAITS_BEHIND_MAX {
            return Sent::Dropped;
        }
        self.command(Command::Frame(frame))
    }

    pub(super) fn probe(&mut self) -> Sent {
        self.command(Command::Probe)
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Without waiting for anything.
    pub(super) fn abort(&mut self) {
        if let Some(open) = self.open.take() {
            let _ = open.leave.send(Leave::Reset);
        }
    }

    fn command(&mut self, command: Command) -> Sent {
        let Some(open) = &self.open else { return Sent::Gone };
        match open.commands.try_send(command) {
            Ok(()) => Sent::Queued,
            Err(TrySendError::Closed(_)) => Sent::Gone,
            // What cannot be sent must not be lost between others that are.
            Err(TrySendError::Full(_)) => {
                self.close();
                Sent::Gone
            }
        }
    }
}

/// Why a connection that stands is no more, if the server has not said goodbye.
enum End {
    /// This side wants it so.
    Asked(Leave),
    /// It broke; true: there, too.
    Broken(bool),
}

/// Whether the server has ended what failed so. After anything else it may take the
/// connection for one.
fn ended_there(error: &tungstenite::Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
    };
    match error {
        tungstenite::Error::Io(error) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof
        ),
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Http(_) => true,
        tungstenite::Error::Protocol(error) => {
            *error == tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
        }
        _ => false,
    }
}

struct Task {
    conn: UpConn,
    client_id: ClientId,
    events: mpsc::Sender<UpstreamInput>,
    waiting: mpsc::Receiver<Command>,
    /// Ends when it is time to go.
    leave: oneshot::Receiver<Leave>,
    /// That time has come.
    leaving: Option<Leave>,
    /// Something is on its way out of the socket's buffer.
    unflushed: bool,
    /// Pings sent; the number is their payload.
    probes: u32,
    /// A frame that was none has been logged.
    told: bool,
}

enum Step {
    Leave(Leave),
    Next(Command),
    Flushed(Result<(), tungstenite::Error>),
    Received(Option<Result<Message, tungstenite::Error>>),
}

impl Task {
    async fn run(mut self, target: Arc<Target>) {
        let clean = match self.dial(&target).await {
            Ok(mut socket) => {
                self.tell(UpstreamInput::Up { conn: self.conn }).await;
                let ended = self.serve(&mut socket).await;
                match ended {
                    Ok(()) => true,
                    Err(End::Broken(clean)) => clean,
                    Err(End::Asked(how)) => self.end(how, socket).await,
                }
            }
            Err(error) => {
                debug!(client_id = %self.client_id, "not connected upstream: {}", refusal(&error));
                ended_there(&error)
            }
        };
        self.tell(UpstreamInput::Down { conn: self.conn, clean }).await;
    }

    /// Ends the connection from this side. True: the server has seen it.
    async fn end(&mut self, how: Leave, mut socket: Socket) -> bool {
        if how == Leave::Goodbye && timeout(GOODBYE_MAX, self.say_goodbye(&mut socket)).await.is_ok() {
            return true;
        }
        // What closes now sends a reset instead of waiting for an answer.
        let linger =
            rustix::net::sockopt::set_socket_linger(socket.get_ref().get_ref(), Some(Duration::ZERO));
        if let Err(error) = linger {
            debug!(client_id = %self.client_id, "the connection upstream ends without a reset: {error}");
        }
        false
    }

    async fn dial(&mut self, target: &Target) -> Result<Socket, tungstenite::Error> {
        let Self { client_id, leave, leaving, .. } = self;
        let dial = within(DIAL_MAX, target.dial(client_id, ReadBuffer::Small));
        let leave = async {
            let _ = leave.await;
            *leaving = Some(Leave::Goodbye);
            sleep(GOODBYE_MAX).await;
        };
        let dialled = tokio::select! {
            dialled = dial => dialled,
            () = leave => Err(tungstenite::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        if let Err(tungstenite::Error::Io(error)) = &dialled
            && error.kind() == std::io::ErrorKind::TimedOut
        {
            // The request may be there and its answer on the way. Until the server
            // has seen the end of this connection, no other may have its id.
            target.doubt();
            sleep(GOODBYE_MAX).await;
        }
        dialled
    }

    /// Until the server has said goodbye, or something else ends it.
    async fn serve(&mut self, socket: &mut Socket) -> Result<(), End> {
        loop {
            if let Some(how) = self.leaving {
                return Err(End::Asked(how));
            }
            match self.step(socket).await {
                Step::Leave(how) => self.leaving = Some(how),
                Step::Next(command) => {
                    if let Err(error) = self.start(socket, command) {
                        return self.broken(&error);
                    }
                }
                Step::Flushed(Ok(())) => self.unflushed = false,
                Step::Received(
                    Some(Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed)) | None,
                ) => {
                    // The socket answers a goodbye by itself, with the next step.
                    let _ = timeout(GOODBYE_MAX, socket.flush()).await;
                    return Ok(());
                }
                Step::Received(Some(Ok(message))) => self.received(socket, message).await,
                Step::Flushed(Err(error)) | Step::Received(Some(Err(error))) => return self.broken(&error),
            }
        }
    }

    fn broken(&self, error: &tungstenite::Error) -> Result<(), End> {
        debug!(client_id = %self.client_id, "connection upstream broken: {error}");
        Err(End::Broken(ended_there(error)))
    }

    async fn step(&mut self, socket: &mut Socket) -> Step {
        let unflushed = self.unflushed;
        let socket = poll_fn(|cx| {
            if unflushed && let Poll::Ready(flushed) = Pin::new(&mut *socket).poll_flush(cx) {
                return Poll::Ready(Step::Flushed(flushed));
            }
            socket.poll_next_unpin(cx).map(Step::Received)
        });
        tokio::select! {
            biased;
            how = &mut self.leave => Step::Leave(how.unwrap_or(Leave::Goodbye)),
            step = socket => step,
            Some(command) = self.waiting.recv(), if !unflushed => Step::Next(command),
        }
    }

    /// Hands a frame to the socket; it has left when it is flushed.
    fn start(&mut self, socket: &mut Socket, command: Command) -> Result<(), tungstenite::Error> {
        let message = match command {
            Command::Frame(frame) => says::print(&frame),
            Command::Probe => {
                self.probes = self.probes.wrapping_add(1);
                Message::Ping(self.probes.to_be_bytes().to_vec().into())
            }
        };
        self.unflushed = true;
        Pin::new(socket).start_send(message)
    }

    async fn received(&mut self, socket: &mut Socket, message: Message) {
        let frame = match message {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes,
            Message::Pong(pong) if *pong == self.probes.to_be_bytes() => {
                return self.tell(UpstreamInput::Pong { conn: self.conn }).await;
            }
            // A ping is answered by the socket itself.
            _ => return,
        };
        match says::read(&frame) {
            Ok(message) => self.tell(UpstreamInput::Says { conn: self.conn, message }).await,
            Err(invalid) => {
                if !std::mem::replace(&mut self.told, true) {
                    let (client_id, reason) = (&self.client_id, invalid.reason);
                    warn!(%client_id, "the main server sent no message: {reason}; more on this connection is not told");
                }
                if let Some(answer) = says::answer(&invalid) {
                    self.unflushed = true;
                    // An error is found by the next step, too.
                    let _ = socket.feed(answer).await;
                }
            }
        }
    }

    /// The rest of the frames, then the closing handshake (RFC 6455, section 7).
    async fn say_goodbye(&mut self, socket: &mut Socket) -> Result<(), tungstenite::Error> {
        socket.flush().await?;
        while let Ok(command) = self.waiting.try_recv() {
            self.start(socket, command)?;
            socket.flush().await?;
        }
        socket.close(None).await?;
        while let Some(Ok(_)) = socket.next().await {}
        Ok(())
    }

    async fn tell(&self, event: UpstreamInput) {
        // Without a node there is nobody to tell.
        let _ = self.events.send(event).await;
    }
}

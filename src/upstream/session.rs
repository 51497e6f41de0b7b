//! One client's connection to the default server: dialled, kept, said goodbye
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

use super::dial::{ReadBuffer, Socket, refusal, within};
use super::says;
use super::target::Target;
use crate::router::{ToServer, UpConn, UpstreamInput};
use crate::wire::ClientId;

/// Frames that wait for a server that does not read. One more ends the connection.
const WAITING_MAX: usize = 256;
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
    _goodbye: oneshot::Sender<()>,
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
        let (goodbye, leave) = oneshot::channel();
        let task = Task {
            conn,
            client_id,
            events,
            waiting,
            leave,
            leaving: false,
            unflushed: false,
            probes: 0,
            told: false,
        };
        tokio::spawn(task.run(target));
        Self { open: Some(Open { commands, _goodbye: goodbye }) }
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

struct Task {
    conn: UpConn,
    client_id: ClientId,
    events: mpsc::Sender<UpstreamInput>,
    waiting: mpsc::Receiver<Command>,
    /// Ends when it is time to go.
    leave: oneshot::Receiver<()>,
    /// That time has come.
    leaving: bool,
    /// Something is on its way out of the socket's buffer.
    unflushed: bool,
    /// Pings sent; the number is their payload.
    probes: u32,
    /// A frame that was none has been logged.
    told: bool,
}

enum Step {
    Leave,
    Next(Command),
    Flushed(Result<(), tungstenite::Error>),
    Received(Option<Result<Message, tungstenite::Error>>),
}

impl Task {
    async fn run(mut self, target: Arc<Target>) {
        match self.dial(&target).await {
            Ok(mut socket) => {
                self.tell(UpstreamInput::Up { conn: self.conn }).await;
                if self.serve(&mut socket).await {
                    let _ = timeout(GOODBYE_MAX, self.say_goodbye(socket)).await;
                }
            }
            Err(error) => debug!(client_id = %self.client_id, "not connected upstream: {}", refusal(&error)),
        }
        self.tell(UpstreamInput::Down { conn: self.conn }).await;
    }

    async fn dial(&mut self, target: &Target) -> Result<Socket, tungstenite::Error> {
        let Self { client_id, leave, leaving, .. } = self;
        let dial = within(DIAL_MAX, target.dial(client_id, ReadBuffer::Small));
        let leave = async {
            let _ = leave.await;
            *leaving = true;
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

    /// True if the connection is to be ended by this side.
    async fn serve(&mut self, socket: &mut Socket) -> bool {
        while !self.leaving {
            match self.step(socket).await {
                Step::Leave => self.leaving = true,
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
                    return false;
                }
                Step::Received(Some(Ok(message))) => self.received(socket, message).await,
                Step::Flushed(Err(error)) | Step::Received(Some(Err(error))) => return self.broken(&error),
            }
        }
        true
    }

    fn broken(&self, error: &tungstenite::Error) -> bool {
        debug!(client_id = %self.client_id, "connection upstream broken: {error}");
        false
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
            _ = &mut self.leave => Step::Leave,
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
                    warn!(%client_id, "the default server sent no message: {reason}; more on this connection is not told");
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
    async fn say_goodbye(&mut self, mut socket: Socket) -> Result<(), tungstenite::Error> {
        socket.flush().await?;
        while let Ok(command) = self.waiting.try_recv() {
            self.start(&mut socket, command)?;
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

//! The socket around [`Client`]: dials, carries frames in and out, and keeps
//! the clock. Decides nothing.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fau3_election::Time;
use futures_util::{Sink as _, Stream as _, StreamExt as _};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::args::Url;
use super::core::{Client, Event, Input, Output, Settings};
use super::error::Error;
use crate::dial::{self, Caller, ReadBuffer, refusal, upgrade};
use crate::wire::{ClientId, RoomId};

/// The close code of a connection whose id has connected again (PROTOCOLS.md,
/// section 1).
const TAKEN_OVER: u16 = 4001;
/// With what a port where clients connect refuses one; all else is no such port.
const IS_FROM_A_DOOR: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::CONFLICT,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];
/// The last frames and the goodbye take this long at most.
const LEAVE_MAX: Duration = Duration::from_secs(2);

type Socket = Box<dial::Socket>;
type Dial = Pin<Box<dyn Future<Output = Result<Socket, tungstenite::Error>> + Send>>;

/// A client and its connection, if there is one.
pub(super) struct ClientSocket {
    url: Url,
    client_id: ClientId,
    client: Client,
    began: Instant,
    dialling: Option<Dial>,
    socket: Option<Socket>,
    unflushed: bool,
}

enum Step {
    Dialled(Result<Socket, tungstenite::Error>),
    Flushed(Result<(), tungstenite::Error>),
    Received(Option<Result<Message, tungstenite::Error>>),
    Timeout,
}

/// 128 bits of chance from the system.
pub(super) fn seed() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::System(std::io::Error::other(error.to_string())))?;
    Ok(u128::from_le_bytes(bytes))
}

impl ClientSocket {
    pub(super) fn new(url: Url, client_id: ClientId, settings: Settings) -> Self {
        Self {
            url,
            client_id,
            client: Client::new(settings),
            began: Instant::now(),
            dialling: None,
            socket: None,
            unflushed: false,
        }
    }

    /// Keeps the connection going until something happens. Nothing is lost if
    /// the future is dropped before that.
    ///
    /// # Errors
    /// [`Error::Rejected`] and [`Error::TakenOver`]: trying again is no use.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        self.client.handle(self.now(), Input::Timeout);
        loop {
            self.carry_out();
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            let step = self.step().await;
            self.take(step)?;
        }
    }

    /// Sends a record: [`Client`]'s [`Input::Say`].
    pub(super) fn say(&mut self, room: &RoomId, payload: &[u8]) {
        self.give(Input::Say(room, payload));
    }

    /// Gives the client an input; what follows from it is done by
    /// [`ClientSocket::next`].
    pub(super) fn give(&mut self, input: Input<'_>) {
        self.client.handle(self.now(), input);
    }

    /// Dials this router from the next time on.
    #[cfg(feature = "demo")]
    pub(super) fn turn_to(&mut self, url: Url) {
        self.url = url;
    }

    /// Lets go of the connection, which is dialled again; `false` if there is
    /// none.
    #[cfg(feature = "demo")]
    pub(super) fn hang_up(&mut self) -> bool {
        let connected = self.socket.is_some();
        if connected {
            self.lost("left".to_owned());
        }
        connected
    }

    /// Connected and in the room that was asked for.
    pub(super) fn is_ready(&self) -> bool {
        self.client.is_ready()
    }

    /// Ready, and all that was sent has left.
    pub(super) fn is_clear(&self) -> bool {
        self.is_ready() && !self.unflushed && !self.client.has_frames()
    }

    /// Sends what still waits and says goodbye, so that nothing is lost in a
    /// buffer. Bounded in time.
    pub(super) async fn leave(mut self) {
        let last_words = async {
            self.carry_out();
            while self.unflushed {
                let step = self.step().await;
                if self.take(step).is_err() {
                    return;
                }
                self.carry_out();
            }
            if let Some(socket) = &mut self.socket
                && socket.close(None).await.is_ok()
            {
                while let Some(Ok(_)) = socket.next().await {}
            }
        };
        // A router that does not answer a goodbye is left without one.
        let _ = tokio::time::timeout(LEAVE_MAX, last_words).await;
    }

    fn now(&self) -> Time {
        let micros = self.began.elapsed().as_micros();
        Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Does what the client wants, one frame at a time: the next one when the
    /// one before has left, so that the client knows when that was.
    fn carry_out(&mut self) {
        while !self.unflushed {
            let Some(output) = self.client.poll_output() else { return };
            match output {
                Output::Dial => {
                    self.dialling = Some(Box::pin(dial(self.url.clone(), self.client_id.clone())))
                }
                Output::HangUp => {
                    self.dialling = None;
                    self.socket = None;
                }
                Output::Text(frame) => self.send(dial::text(frame)),
                Output::Binary(frame) => self.send(Message::binary(frame)),
                Output::Probe => self.send(Message::Ping(Vec::new().into())),
            }
        }
    }

    fn send(&mut self, message: Message) {
        let Some(socket) = &mut self.socket else { return };
        self.unflushed = true;
        if let Err(error) = Pin::new(&mut **socket).start_send(message) {
            self.lost(error.to_string());
        }
    }

    async fn step(&mut self) -> Step {
        let began = self.began;
        let timeout = self.client.poll_timeout();
        let timer = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(began + Duration::from_micros(at.as_micros())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            step = poll_fn(|cx| self.poll_socket(cx)) => step,
            () = timer => Step::Timeout,
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(dialling) = &mut self.dialling
            && let Poll::Ready(dialled) = dialling.as_mut().poll(cx)
        {
            return Poll::Ready(Step::Dialled(dialled));
        }
        let Some(socket) = &mut self.socket else { return Poll::Pending };
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut **socket).poll_flush(cx)
        {
            return Poll::Ready(Step::Flushed(flushed));
        }
        if self.client.is_full() {
            return Poll::Pending;
        }
        Pin::new(&mut **socket).poll_next(cx).map(Step::Received)
    }

    fn take(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Timeout => self.give(Input::Timeout),
            Step::Dialled(dialled) => {
                self.dialling = None;
                match dialled {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        self.unflushed = false;
                        self.give(Input::Connected);
                    }
                    Err(error) => return self.not_connected(&error),
                }
            }
            Step::Flushed(Ok(())) => {
                self.unflushed = false;
                self.give(Input::Flushed);
            }
            Step::Flushed(Err(error)) | Step::Received(Some(Err(error))) => self.lost(error.to_string()),
            Step::Received(None) => self.lost("the connection was closed".to_owned()),
            Step::Received(Some(Ok(message))) => return self.received(message),
        }
        Ok(())
    }

    fn received(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Text(text) => self.give(Input::Frame(text.as_bytes())),
            Message::Binary(bytes) => self.give(Input::Frame(&bytes)),
            Message::Pong(_) => self.give(Input::Pong),
            Message::Close(frame) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (u16::from(frame.code), frame.reason.as_str().to_owned())
                });
                if code == TAKEN_OVER {
                    return Err(Error::TakenOver { client_id: self.client_id.to_string() });
                }
                self.lost(format!("closed by the router with code {code} {reason}").trim_end().to_owned());
            }
            // A ping is answered by the socket itself.
            Message::Ping(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn lost(&mut self, reason: String) {
        self.socket = None;
        self.unflushed = false;
        self.give(Input::Down(reason));
    }

    /// A router that is full or starting may have room later; one that says
    /// that this client is not wanted means it.
    fn not_connected(&mut self, error: &tungstenite::Error) -> Result<(), Error> {
        let reason = refusal(error);
        if let tungstenite::Error::Http(response) = error {
            let status = response.status();
            if !IS_FROM_A_DOOR.contains(&status) {
                return Err(Error::NoDoor { url: self.url.clone(), reason });
            }
            let later = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
            if status.is_client_error() && !later.contains(&status) {
                return Err(Error::Rejected { url: self.url.clone(), reason });
            }
        }
        self.give(Input::Down(format!("{reason}\n{}", advice(error))));
        Ok(())
    }
}

/// What to do about a connection that there is not, by the reason.
fn advice(error: &tungstenite::Error) -> &'static str {
    let tungstenite::Error::Io(error) = error else {
        return "is it a router? clients connect to the port of clients.listen, 8901 by default";
    };
    match error.kind() {
        // It has a text of its own, from the name server's side.
        _ if error.raw_os_error().is_none() && error.to_string().contains("lookup") => {
            "nobody knows this name: is it right? an address does, too, such as ws://192.168.1.1:8901"
        }
        ErrorKind::ConnectionRefused => "is a router running? start one with: fau3 node",
        ErrorKind::PermissionDenied => {
            "this machine does not allow it: look at its firewall, and at who you are"
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::TimedOut => {
            "nobody answers at this address: is it right, and are both machines in one network?"
        }
        _ => "is it a router? clients connect to the port of clients.listen, 8901 by default",
    }
}

async fn dial(url: Url, client_id: ClientId) -> Result<Socket, tungstenite::Error> {
    let stream = dial::connect(url.host(), url.port()).await?;
    Ok(Box::new(
        upgrade(stream, &url.uri().to_string(), &client_id, ReadBuffer::Large, Caller::Client).await?,
    ))
}

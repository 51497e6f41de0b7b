//! One client's connection: it opens its session blocking, then reads and answers without.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream as StdStream},
    time::Duration,
};

use tokio::net::TcpStream;

use super::dialect::{Dialect, Event, Kind, Payload, Result};

/// How long a server may take to open a session.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// A session that is open, before it belongs to an event loop.
pub(crate) struct Session {
    stream: StdStream,
    input: Vec<u8>,
}

impl Session {
    /// Connects to the server at `door` and waits until it has answered.
    pub(crate) fn open(dialect: &dyn Dialect, door: SocketAddr, client: &str) -> Result<Session> {
        let stream = StdStream::connect_timeout(&door, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session { stream, input: Vec::new() };
        session.ask(dialect, &dialect.hello(client), |event| matches!(event, Event::Welcome))?;
        Ok(session)
    }

    pub(crate) fn subscribe(&mut self, dialect: &dyn Dialect, room: u32, kind: Kind) -> Result<()> {
        let request = dialect.subscribe(room, kind);
        self.ask(dialect, &request, |event| matches!(event, Event::Subscribed))
    }

    /// Sends `request` and reads until the answer to it.
    fn ask(&mut self, dialect: &dyn Dialect, request: &[u8], is_answer: fn(&Event) -> bool) -> Result<()> {
        self.stream.write_all(request)?;
        let nothing = Payload { kind: Kind::Record, tail: Vec::new() };
        let mut chunk = [0; 4096];
        loop {
            let mut replies = Vec::new();
            if let Some((len, event)) = dialect.take(&self.input, &nothing, &mut replies)? {
                self.input.drain(..len);
                self.stream.write_all(&replies)?;
                if is_answer(&event) {
                    return Ok(());
                }
                continue;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err("closed by the server before it answered".into()),
                Ok(len) => self.input.extend_from_slice(&chunk[..len]),
                Err(error) => return Err(format!("no answer from the server: {error}").into()),
            }
        }
    }

    /// From now on the event loop of the runtime that this is called in drives it.
    pub(crate) fn into_client(self) -> io::Result<Client> {
        self.stream.set_nonblocking(true)?;
        Ok(Client { stream: TcpStream::from_std(self.stream)?, input: self.input, output: Vec::new() })
    }
}

/// A session in an event loop.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    /// What is to be sent with the next [`Client::flush`].
    pub(crate) output: Vec<u8>,
}

impl Client {
    /// Returns when something came, or the server closed. Nothing is lost if this is dropped before.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Takes in what the socket holds and tells `on_event` of every whole frame in it.
    pub(crate) fn read(
        &mut self,
        dialect: &dyn Dialect,
        payload: &Payload,
        mut on_event: impl FnMut(Event),
    ) -> Result<()> {
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => return Err("closed by the server".into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut done = 0;
        while let Some((len, event)) = dialect.take(&self.input[done..], payload, &mut self.output)? {
            done += len;
            on_event(event);
        }
        self.input.drain(..done);
        Ok(())
    }

    /// Hands `output` to the socket, waiting while it is full.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        while done < self.output.len() {
            match self.stream.try_write(&self.output[done..]) {
                Ok(len) => done += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        Ok(())
    }
}

//! The door of FAU3VOM-D: radios, desktop clients and browsers, over WebSocket.
//! Turns frames into the router's inputs and its outputs into frames.

pub mod frames;
mod handshake;
mod outbox;
mod socket;
mod tails;
mod unfinished;
mod unsent;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Hall;
use crate::wire::fau3d::{ExtraServer, extra_servers_list};
use tails::Tails;
use unfinished::Unfinished;

/// A connection that has not become a client's after this time is closed.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Connections that are not clients' yet, from everywhere.
pub const HANDSHAKES_MAX: usize = 512;
/// The same from one address: a quarter, so that one cannot take them all.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = HANDSHAKES_MAX / 4;
/// The largest request head, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// After accept(2) failed (no descriptors left, say), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What `GET /fau3vom/GetExtraServersList` is answered. Clones show the same.
#[derive(Clone)]
pub struct ExtraServers(Arc<Mutex<String>>);

impl Default for ExtraServers {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(extra_servers_list(0, &[]))))
    }
}

impl ExtraServers {
    /// Answers this list from now on, highest priority first.
    pub fn set(&self, version: u64, servers: &[ExtraServer]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = extra_servers_list(version, servers);
    }

    fn body(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What all connections of this door share.
pub struct Door {
    hall: Hall,
    servers: ExtraServers,
    tails: Arc<Tails>,
    unfinished: Arc<Unfinished>,
    handshakes: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Door {
    /// A door to this hall.
    #[must_use]
    pub fn new(hall: Hall, servers: ExtraServers) -> Arc<Self> {
        Arc::new(Self {
            hall,
            servers,
            tails: Arc::default(),
            unfinished: Arc::default(),
            handshakes: Mutex::default(),
        })
    }

    /// Lets clients in until the task is dropped.
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut failing = false;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    failing = false;
                    self.clone().handshake(stream, from);
                }
                Err(error) => {
                    // Told once: it may go on for as long as somebody likes.
                    if !failing {
                        warn!("cannot accept connections, and try again: {error}");
                    }
                    failing = true;
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn handshake(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let address = from.ip().to_canonical();
        let Some(place) = Place::take(&self, address) else {
            debug!(%address, "closed: too many connections that say nothing");
            return turn_away(stream);
        };
        // Voice is small frames that must not wait for one another.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let door = place.door.clone();
            let service = service_fn(move |request| handshake::answer(door.clone(), address, request));
            let connection = http1::Builder::new()
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // Whether it failed or took too long, the client has been told
            // what could be told.
            let _ = timeout(HANDSHAKE_TIME_MAX, connection).await;
            drop(place);
        });
    }
}

/// Says so to a connection for which there is no place, as far as that can be
/// done at once.
fn turn_away(stream: TcpStream) {
    const ANSWER: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Connection: close\r\nRetry-After: 10\r\n\r\n\
        too many connections that are not clients yet; try again in 10 s\n";
    let Ok(mut stream) = stream.into_std() else { return };
    // What has come is taken: unread, it would reset the connection, and the
    // answer would be lost.
    let _ = stream.read(&mut [0; HEAD_BYTES_MAX]);
    // Fits the send buffer, which is empty.
    let _ = stream.write_all(ANSWER.as_bytes());
}

/// One of the places for connections that are not clients' yet.
struct Place {
    door: Arc<Door>,
    address: IpAddr,
}

impl Place {
    fn take(door: &Arc<Door>, address: IpAddr) -> Option<Self> {
        let mut handshakes = door.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = handshakes.values().sum();
        let from_there = handshakes.entry(address).or_default();
        if all >= HANDSHAKES_MAX || *from_there >= HANDSHAKES_PER_ADDRESS_MAX {
            return None;
        }
        *from_there += 1;
        Some(Self { door: door.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut handshakes = self.door.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = handshakes.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                handshakes.remove(&self.address);
            }
        }
    }
}

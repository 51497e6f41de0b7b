//! Who listens for clients, and what their connections share.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fau3_election::Time;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::handshake::Guest;
use super::tails::Tails;
use super::unfinished::Unfinished;
use crate::gateway::Hall;
use crate::http::{Answer, HEAD_BYTES_MAX};
use crate::lobby::Lobby;
use crate::net::Listener;
use crate::notices::{Notices, and_more};
use crate::wire::fau3d::{ExtraServer, extra_servers_list};

/// A connection that has not become a client's after this time is closed.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Connections that are not clients' yet, from everywhere.
pub const HANDSHAKES_MAX: usize = 512;
/// Connections that are not clients' yet from one address, or network of IPv6: a quarter, so that one cannot
/// take them all.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = HANDSHAKES_MAX / 4;
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

    pub(super) fn body(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What all connections of this door share.
pub struct Door {
    pub(super) hall: Hall,
    pub(super) servers: ExtraServers,
    pub(super) tails: Arc<Tails>,
    pub(super) unfinished: Arc<Unfinished>,
    lobby: Arc<Lobby>,
    notices: Mutex<Notices>,
    began: Instant,
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
            lobby: Lobby::new(HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX),
            notices: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Lets clients in until the task is dropped.
    pub(crate) async fn listen(self: Arc<Self>, mut listener: Listener) {
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
        let Some(place) = self.lobby.enter(address) else {
            self.hall.visitors().crowd_out();
            self.turned_away(address, None, CROWDED);
            return turn_away(stream);
        };
        // Voice is small frames that must not wait for one another.
        let _ = stream.set_nodelay(true);
        let Ok(here) = stream.local_addr() else { return };
        tokio::spawn(
            Guest { door: self, address, here: here.ip(), stream, buffer: Vec::new(), place }.attend(),
        );
    }

    /// Says of one that is not let in why, once a minute for each address: some try
    /// again for ever.
    pub(super) fn turned_away(&self, address: IpAddr, client_id: Option<&str>, why: &str) {
        let now = Time::ZERO + self.began.elapsed();
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unsaid) = notices.may_say(now, address, &BTreeSet::new()) else { return };
        drop(notices);
        let client_id = client_id.map(|id| format!(" client_id={id}")).unwrap_or_default();
        info!("client turned away: {why}{}{client_id} address={address}", and_more(unsaid));
    }
}

/// What one is told for whom there is no place.
const CROWDED: &str = "too many connections that are not clients yet; try again in 10 s";

/// Says so to a connection for which there is no place, as far as that can be
/// done at once.
fn turn_away(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else { return };
    // What has come is taken: unread, it would reset the connection, and the
    // answer would be lost.
    let _ = stream.read(&mut [0; HEAD_BYTES_MAX]);
    // Fits the send buffer, which is empty.
    let answer = Answer::line(503, CROWDED).with("Retry-After", "10");
    let _ = stream.write_all(&answer.print(true, true));
}

//! What a protocol's door is, and what all doors have in front: places for those who
//! are no clients yet, and a word in the log for those who are turned away.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fau3_election::Time;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Hall;
use crate::lobby::{Lobby, Place};
use crate::net::Listener;
use crate::notices::{Notices, and_more};

/// Connections of one door that are not clients' yet, from everywhere.
pub const HANDSHAKES_MAX: usize = 512;
/// Those from one address, or network of IPv6: a quarter, so that one cannot take them all.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = HANDSHAKES_MAX / 4;
/// Connections that the kernel holds until they are accepted: all clients of a router come
/// back at once after a loss.
pub(crate) const BACKLOG: u32 = 1_024;
/// After accept(2) failed (no descriptors left, say), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What is read at most of one for whom there is no place, in bytes.
const UNREAD_BYTES_MAX: usize = 16 * 1_024;
/// What one is told for whom there is no place.
pub(crate) const CROWDED: &str = "too many connections that are not clients yet; try again in 10 s";

/// A connection's way through a door, to its end.
pub type Attending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One protocol's door: turns bytes into the router's words, and these into bytes.
pub trait Door: Send + Sync + 'static {
    /// How its clients name an address at which it listens, for people.
    fn url(&self, address: SocketAddr) -> String;

    /// What one is sent for whom there is no place. Fits an empty send buffer.
    fn crowded(&self) -> Vec<u8>;

    /// Serves one connection to its end. Must be `Send`, and must not wait for ever for one
    /// that does not become a client: the guest's place is taken until it is dropped.
    fn attend(self: Arc<Self>, guest: Guest) -> Attending;
}

/// One that has connected, and is no client yet.
pub struct Guest {
    /// Its connection, of which nothing was read yet.
    pub stream: TcpStream,
    /// Where it comes from, in its one form.
    pub address: IpAddr,
    /// This router's address that it has reached.
    pub here: IpAddr,
    /// What all connections of the door share.
    pub entrance: Arc<Entrance>,
    /// Among those who are no clients yet; to be dropped when it is one.
    pub place: Place,
}

/// What is in front of one door.
pub struct Entrance {
    hall: Hall,
    lobby: Arc<Lobby>,
    notices: Mutex<Notices>,
    began: Instant,
}

impl Entrance {
    /// That of a door to this hall, which the configuration and the status call so.
    #[must_use]
    pub fn new(hall: &Hall, name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            hall: hall.of_door(name),
            lobby: Lobby::new(HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX),
            notices: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Where the door leads to.
    #[must_use]
    pub fn hall(&self) -> &Hall {
        &self.hall
    }

    /// Lets guests in to this door until the task is dropped. Must be called within a
    /// tokio runtime.
    pub async fn listen(self: Arc<Self>, door: Arc<dyn Door>, listener: TcpListener) {
        let mut listener = Listener::new(listener, BACKLOG);
        let mut failing = false;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    failing = false;
                    self.welcome(&door, stream, from);
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

    fn welcome(self: &Arc<Self>, door: &Arc<dyn Door>, stream: TcpStream, from: SocketAddr) {
        let address = from.ip().to_canonical();
        let Some(place) = self.lobby.enter(address) else {
            self.hall.visitors().crowd_out();
            self.turned_away(address, None, CROWDED);
            return turn_away(stream, &door.crowded());
        };
        // Voice is small frames that must not wait for one another.
        let _ = stream.set_nodelay(true);
        let Ok(here) = stream.local_addr() else { return };
        let guest = Guest { stream, address, here: here.ip(), entrance: self.clone(), place };
        tokio::spawn(door.clone().attend(guest));
    }

    /// Says of one that is not let in why, once a minute for each address: some try
    /// again for ever.
    pub fn turned_away(&self, address: IpAddr, client_id: Option<&str>, why: &str) {
        if let Some(counts) = self.hall.events().counts() {
            counts.turned_away();
        }
        let now = Time::ZERO + self.began.elapsed();
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unsaid) = notices.may_say(now, address, &BTreeSet::new()) else { return };
        drop(notices);
        let client_id = client_id.map(|id| format!(" client_id={id}")).unwrap_or_default();
        info!("client turned away: {why}{}{client_id} address={address}", and_more(unsaid));
    }
}

/// Says a last word to a connection for which there is no place, as far as that can be
/// done at once.
fn turn_away(stream: TcpStream, word: &[u8]) {
    let Ok(mut stream) = stream.into_std() else { return };
    // What has come is taken: unread, it would reset the connection, and the
    // word would be lost.
    let _ = stream.read(&mut [0; UNREAD_BYTES_MAX]);
    let _ = stream.write_all(word);
}

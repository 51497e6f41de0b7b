//! A main server as it exists today: speaks FAU3VOM-D only, on one port,
//! with the quirks that are known of it, each of which can be switched off.
//! Written from seed 000 and PROTOCOLS.md, section 1; shares with the program only
//! its decoder of WebSocket frames.
//!
//! ```ignore
//! let server = Legacy::start(Quirks::default());           // on a free port of loopback
//! let node = Node::with(&[&format!("default_server.url={}", server.url())]).start();
//! server.crash();                                          // and restart()
//! assert_eq!(server.propogates()[0].client_id, "AA:01");
//! ```
//!
//! Like its model it does one thing at a time: while it oversleeps, everything waits.
#![allow(clippy::unwrap_used)]
#![allow(dead_code)]

mod connection;
mod state;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use state::State;

/// Between two looks for somebody who connects, and for the end.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A port that was just left can be taken again within this.
const BIND_MAX: Duration = Duration::from_secs(5);

/// What is odd about it. Everything at once is [`Quirks::default`].
#[derive(Debug, Clone)]
pub(crate) struct Quirks {
    /// Oversleeps by so much, each so many messages.
    pub(crate) late_wakeup: Option<(Duration, u32)>,
    /// Messages of one second have one MessageUuid, whoever they go to.
    pub(crate) repeats_uuids: bool,
    /// Forwards live audio in text frames, UTF-8 or not.
    pub(crate) streams_as_text: bool,
    /// One more than so many is closed.
    pub(crate) clients_max: usize,
    /// Ends when one id connects twice.
    pub(crate) crashes_on_second_id: bool,
    /// Ends when somebody sends `[]`.
    pub(crate) crashes_on_empty_array: bool,
    /// Each so many Confirms are not sent.
    pub(crate) loses_confirm: Option<u32>,
    /// How long it waits for a Playlist's Confirm before it sends it again, three times in all.
    pub(crate) resends_after: Duration,
    /// What an upgrade is answered.
    pub(crate) upgrade: Answer,
    /// What `GET /fau3vom/GetExtraServersList` is answered.
    pub(crate) list: Answer,
    /// Reads, and says nothing any more.
    pub(crate) mute: bool,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As it should be; a list is empty then.
    Proper,
    /// Status 200 with this body.
    Body(String),
    /// This status and a line.
    Status(u16),
    /// To another address.
    Redirect(String),
    /// What is no HTTP.
    Garbage,
    /// The connection stays open, and nothing comes.
    Nothing,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            late_wakeup: None,
            repeats_uuids: true,
            streams_as_text: true,
            clients_max: 255,
            crashes_on_second_id: true,
            crashes_on_empty_array: true,
            loses_confirm: None,
            resends_after: Duration::from_secs(5),
            upgrade: Answer::Proper,
            list: Answer::Status(404),
            mute: false,
        }
    }
}

/// A Propogate that came in, each time that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Propogated {
    pub(crate) client_id: String,
    pub(crate) room: String,
    pub(crate) message_uuid: String,
    pub(crate) payload: Vec<u8>,
    /// Its Confirm was sent, and not one of those that are lost.
    pub(crate) confirmed: bool,
    pub(crate) at: Instant,
}

/// A server in threads of its own; ends when dropped.
pub(crate) struct Legacy {
    shared: Arc<Shared>,
    address: SocketAddr,
    door: Option<JoinHandle<()>>,
}

pub(in crate::legacy) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    pub(in crate::legacy) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Legacy {
    /// One on a free port of loopback.
    pub(crate) fn start(quirks: Quirks) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), quirks)
    }

    /// One at an address, in the network namespace of the calling thread.
    pub(crate) fn start_at(address: SocketAddr, quirks: Quirks) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::new(State::new(quirks)) });
        let at_door = Arc::clone(&shared);
        let door = std::thread::spawn(move || serve(&at_door, address, listener));
        Self { shared, address, door: Some(door) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// As `default_server.url` has it.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Other quirks from now on.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.shared.state().quirks);
    }

    /// Everything is closed at once, and nobody listens.
    pub(crate) fn crash(&self) {
        self.shared.state().crash("asked to");
    }

    /// Listens again, and knows nothing of what was; waits until it does.
    pub(crate) fn restart(&self) {
        self.shared.state().alive = true;
        let since = Instant::now();
        while !self.shared.state().listening {
            assert!(since.elapsed() < BIND_MAX, "the port is not free");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Why it ended by itself, each time that it did.
    pub(crate) fn crashes(&self) -> Vec<String> {
        self.shared.state().crashes.clone()
    }

    /// Ids that are connected, in alphabetical order; those that only watch left out.
    pub(crate) fn clients(&self) -> Vec<String> {
        let mut ids = self.shared.state().ids();
        ids.retain(|id| !is_watch(id));
        ids
    }

    /// How many connections only watch.
    pub(crate) fn watchers(&self) -> usize {
        self.shared.state().ids().iter().filter(|id| is_watch(id)).count()
    }

    /// The room of a client that is connected.
    pub(crate) fn room_of(&self, client_id: &str) -> Option<String> {
        self.shared.state().room_of(client_id)
    }

    /// Times at which each client has connected so far: id by id, in order.
    pub(crate) fn connected(&self) -> Vec<String> {
        self.shared.state().connected.clone()
    }

    /// All Propogates that came in, in order, repeated ones too.
    pub(crate) fn propogates(&self) -> Vec<Propogated> {
        self.shared.state().propogates.clone()
    }

    /// All live audio that came in: who sent it, and the frame.
    pub(crate) fn streams(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.state().streams.clone()
    }

    /// All Confirms that came in: who, MessageUuid, Status.
    pub(crate) fn confirms(&self) -> Vec<(String, String, i64)> {
        self.shared.state().confirms.clone()
    }

    /// WebSocket pings that came in.
    pub(crate) fn pings(&self) -> u64 {
        self.shared.state().pings
    }

    /// Requests for the list that came in.
    pub(crate) fn list_requests(&self) -> u64 {
        self.shared.state().list_requests
    }

    /// Sends raw bytes to a client, in a text or a binary frame.
    pub(crate) fn send_raw(&self, client_id: &str, text: bool, bytes: &[u8]) {
        self.shared.state().send_raw(client_id, text, bytes);
    }
}

fn is_watch(client_id: &str) -> bool {
    client_id.starts_with("fau3w-")
}

impl Drop for Legacy {
    fn drop(&mut self) {
        self.shared.state().end();
        if let Some(door) = self.door.take() {
            let _ = door.join();
        }
    }
}

/// Lets in whoever connects, as long as the server lives; again when it is restarted.
fn serve(shared: &Arc<Shared>, address: SocketAddr, listener: TcpListener) {
    let mut listener = Some(listener);
    loop {
        let (alive, ended) = {
            let state = shared.state();
            (state.alive, state.ended)
        };
        if ended {
            return;
        }
        listener = match listener {
            Some(_) if !alive => None,
            // In the kernel's way, the port may be busy for a moment.
            None if alive => TcpListener::bind(address).ok(),
            same => same,
        };
        shared.state().listening = listener.is_some();
        let Some(open) = &listener else {
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        open.set_nonblocking(true).unwrap();
        while let Ok((stream, _)) = open.accept() {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || connection::serve(&shared, stream));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

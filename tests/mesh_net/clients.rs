//! Clients as they should be: an ear confirms what it hears, remembers what it
//! has heard, comes back when its connection is gone, and can roam; a mouth
//! resends until its message is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::desktop::{Desktop, Got, Heard, confirm, playlist, propogate};
use crate::common::{Net, wait_for};

/// The room of all tests that need but one.
pub(crate) const ROOM: &str = "hall";
/// A subscription takes no longer.
const SUBSCRIBED_MAX: Duration = Duration::from_secs(20);
/// An unconfirmed message is sent again after this long.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// A message that is not stored after this long never will be.
const STORED_MAX: Duration = Duration::from_secs(40);
/// Between two attempts to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const FAU3_STORED: i64 = 3;
/// No longer than that, in bytes, is the id of a message.
const MESSAGE_UUID_MAX: usize = 100;

/// What is said, by whom, in the order in which it was.
pub(crate) type Sayings = BTreeMap<String, Vec<String>>;

/// Connects from a host to the router on it.
fn connect(net: &Net, host: usize, id: &str) -> Result<Desktop, String> {
    let (address, id) = (SocketAddr::from((net.ipv4(host), 8901)), id.to_owned());
    net.inside(host, move || Desktop::try_connect(address, &id)).join().unwrap()
}

/// A client that listens, in a thread of its own.
pub(crate) struct Ear {
    pub(crate) id: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    subscribed: Arc<AtomicUsize>,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Move { host: usize, closing: bool },
    Stop,
}

/// What the ear's thread holds.
struct Listening {
    net: Arc<Net>,
    id: String,
    room: String,
    host: usize,
    connection: Option<Desktop>,
    /// Connections that the router believes in, perhaps.
    left_open: Vec<Desktop>,
    remembered: BTreeSet<String>,
    heard: Arc<Mutex<Vec<Heard>>>,
    subscribed: Arc<AtomicUsize>,
}

impl Ear {
    /// Listens in the hall at a host's router from now on.
    pub(crate) fn at(net: &Arc<Net>, host: usize, id: &str) -> Self {
        Self::in_room(net, host, id, ROOM)
    }

    pub(crate) fn in_room(net: &Arc<Net>, host: usize, id: &str, room: &str) -> Self {
        let (heard, subscribed) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let mut listening = Listening {
            net: Arc::clone(net),
            id: id.to_owned(),
            room: room.to_owned(),
            host,
            connection: None,
            left_open: Vec::new(),
            remembered: BTreeSet::new(),
            heard: Arc::clone(&heard),
            subscribed: Arc::clone(&subscribed),
        };
        let (orders, taken) = mpsc::channel();
        let thread = std::thread::spawn(move || listening.run(&taken));
        let ear = Self { id: id.to_owned(), heard, subscribed, orders, thread: Some(thread) };
        ear.listens_again(0);
        ear
    }

    /// Goes to another host's router, and waits until it listens there.
    pub(crate) fn roam(&self, host: usize, closing: bool) {
        let before = self.subscribed.load(Ordering::SeqCst);
        self.leave_for(host, closing);
        self.listens_again(before);
    }

    /// Goes there without waiting.
    pub(crate) fn leave_for(&self, host: usize, closing: bool) {
        self.orders.send(Order::Move { host, closing }).unwrap();
    }

    fn listens_again(&self, before: usize) {
        let what = format!("{} listens", self.id);
        wait_for(&what, SUBSCRIBED_MAX, || self.subscribed.load(Ordering::SeqCst) > before);
    }

    /// What it has heard so far, by sender; each message counts once.
    pub(crate) fn sayings(&self) -> Sayings {
        let mut sayings = Sayings::new();
        for heard in self.heard.lock().unwrap().iter() {
            let text = String::from_utf8(heard.payload.clone()).unwrap();
            sayings.entry(heard.client_id.clone()).or_default().push(text);
        }
        sayings
    }

    /// Waits until it has heard exactly this, in each sender's order.
    pub(crate) fn hears(&self, expected: &Sayings, within: Duration) {
        let count: usize = expected.values().map(Vec::len).sum();
        let since = Instant::now();
        while self.heard.lock().unwrap().len() < count && since.elapsed() < within {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(&self.sayings(), expected, "{} within {within:?}", self.id);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        // A panic there has been told already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Listening {
    fn run(&mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            match orders.try_recv() {
                Ok(Order::Move { host, closing }) => self.leave_for(host, closing),
                Ok(Order::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
                Err(mpsc::TryRecvError::Empty) => self.listen(),
            }
        }
    }

    fn leave_for(&mut self, host: usize, closing: bool) {
        self.host = host;
        self.left_open.extend(self.connection.take().filter(|_| !closing));
    }

    fn listen(&mut self) {
        let Some(connection) = &mut self.connection else { return self.connect() };
        match connection.next(Duration::from_millis(20)) {
            Got::Message(message) => match (playlist(&message), confirm(&message)) {
                (Some(heard), _) => self.hear(heard),
                (None, Some((_, 0))) => {
                    self.subscribed.fetch_add(1, Ordering::SeqCst);
                }
                other => panic!("{}: neither Playlist nor success: {other:?}", self.id),
            },
            Got::Nothing => {}
            Got::Lost => self.connection = None,
        }
    }

    fn connect(&mut self) {
        self.connection = connect(&self.net, self.host, &self.id).ok();
        let uuid = format!("subscribe {}", self.subscribed.load(Ordering::SeqCst));
        let subscribe = json!({"MessageType": "Subscribe", "MessageUuid": uuid, "RoomId": self.room});
        if !self.connection.as_mut().is_some_and(|connection| connection.send(&subscribe)) {
            self.connection = None;
            std::thread::sleep(RECONNECT_AFTER);
        }
    }

    fn hear(&mut self, heard: Heard) {
        self.connection.as_mut().unwrap().confirm(&heard);
        if self.remembered.insert(heard.uuid.clone()) {
            self.heard.lock().unwrap().push(heard);
        }
    }
}

/// A client that talks.
pub(crate) struct Mouth {
    net: Arc<Net>,
    pub(crate) host: usize,
    id: String,
    connection: Option<Desktop>,
    said: usize,
}

impl Mouth {
    pub(crate) fn at(net: &Arc<Net>, host: usize, id: &str) -> Self {
        Self { net: Arc::clone(net), host, id: id.to_owned(), connection: None, said: 0 }
    }

    /// Goes to another host's router.
    pub(crate) fn roam(&mut self, host: usize) {
        self.host = host;
        self.connection = None;
    }

    /// Says the next thing and adds it to `said`; how long until it was stored.
    pub(crate) fn say(&mut self, said: &mut Sayings) -> Duration {
        let text = self.next();
        let span = self.insist(ROOM, &text);
        said.entry(self.id.clone()).or_default().push(text);
        span
    }

    /// What it says next, not said yet.
    pub(crate) fn next(&mut self) -> String {
        self.said += 1;
        format!("{} of {}", self.said, self.id)
    }

    /// Sends until it is stored.
    ///
    /// # Panics
    /// If it is not, in [`STORED_MAX`].
    pub(crate) fn insist(&mut self, room: &str, text: &str) -> Duration {
        let since = Instant::now();
        while !self.attempt(room, text) {
            assert!(since.elapsed() < STORED_MAX, "{text:?} is not stored");
        }
        since.elapsed()
    }

    /// Whether it is stored by now; a connection that is gone is made again.
    pub(crate) fn attempt(&mut self, room: &str, text: &str) -> bool {
        if self.connection.is_none() {
            self.connection = connect(&self.net, self.host, &self.id).ok();
        }
        let Some(connection) = &mut self.connection else {
            std::thread::sleep(RECONNECT_AFTER);
            return false;
        };
        // What is long is known by how it begins.
        let id = &text[..text.len().min(MESSAGE_UUID_MAX)];
        connection.send(&propogate(room, id, text.as_bytes()));
        let since = Instant::now();
        while since.elapsed() < RESEND_AFTER {
            match connection.next(RESEND_AFTER.saturating_sub(since.elapsed())) {
                Got::Message(message) => match confirm(&message) {
                    Some((uuid, FAU3_STORED)) if uuid == id => return true,
                    Some((uuid, status)) if uuid == id => panic!("{id:?} is refused: {status}"),
                    _ => {}
                },
                Got::Nothing => {}
                Got::Lost => {
                    self.connection = None;
                    break;
                }
            }
        }
        false
    }
}

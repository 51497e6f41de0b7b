//! One client: listens and confirms, talks now and then, resends what is not confirmed, and roams.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::chance::Chance;
use crate::common::Net;
use crate::common::desktop::{Desktop, Got, Heard, confirm, playlist, propogate};
use crate::ledger::Ledger;
use crate::{ROOMS, ROUTERS};

/// An unconfirmed message is sent again after this long, as real clients do.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// A MessageUuid is remembered this long.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// How often a client wonders whether to go elsewhere, and one in how many times it does.
const WONDER_EVERY: Duration = Duration::from_secs(5);
const ROAMS_ONE_IN: usize = 6;
/// Between two attempts to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
/// The longest wait for what comes, so that nothing else waits longer.
const PATIENCE: Duration = Duration::from_millis(50);
/// Connections left open that a client still has: then the oldest is closed.
const LEFT_OPEN_MAX: usize = 4;
const FAU3_STORED: i64 = 3;

/// A client in a thread of its own; ends when dropped.
pub(crate) struct Client {
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

struct Life {
    net: Arc<Net>,
    ledger: Arc<Ledger>,
    number: usize,
    room: String,
    host: usize,
    connection: Option<Desktop>,
    left_open: Vec<Desktop>,
    remembered: BTreeMap<String, Instant>,
    chance: Chance,
    talk_every: Duration,
    talks_at: Option<Instant>,
    wonders_at: Instant,
    /// Said, not confirmed, and when it was sent last. One at a time.
    unconfirmed: Option<(String, Instant)>,
    subscriptions: usize,
}

impl Client {
    pub(crate) fn start(
        net: &Arc<Net>,
        ledger: &Arc<Ledger>,
        number: usize,
        talk_every: Duration,
        mut chance: Chance,
    ) -> Self {
        let life = Life {
            net: Arc::clone(net),
            ledger: Arc::clone(ledger),
            number,
            room: format!("room {}", number % ROOMS),
            host: chance.below(ROUTERS),
            connection: None,
            left_open: Vec::new(),
            remembered: BTreeMap::new(),
            chance,
            talk_every,
            talks_at: None,
            wonders_at: Instant::now() + WONDER_EVERY,
            unconfirmed: None,
            subscriptions: 0,
        };
        ledger.enter(number, number % ROOMS);
        let thread = std::thread::spawn(move || life.run());
        Self { ledger: Arc::clone(ledger), thread: Some(thread) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ledger.end();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "a client has failed");
    }
}

impl Life {
    fn run(mut self) {
        while !self.ledger.has_ended() {
            self.wonder();
            self.talk();
            self.listen();
        }
    }

    /// Whether to go elsewhere; half of the time without having closed.
    fn wonder(&mut self) {
        if Instant::now() < self.wonders_at {
            return;
        }
        self.wonders_at = Instant::now() + WONDER_EVERY;
        if self.ledger.is_talking() && self.chance.one_in(ROAMS_ONE_IN) {
            self.host = (self.host + 1 + self.chance.below(ROUTERS - 1)) % ROUTERS;
            let keeps_open = self.chance.one_in(2);
            self.left_open.extend(self.connection.take().filter(|_| keeps_open));
            if self.left_open.len() > LEFT_OPEN_MAX {
                self.left_open.remove(0);
            }
            self.ledger.roamed();
        }
    }

    fn talk(&mut self) {
        let now = Instant::now();
        if !self.ledger.is_talking() {
            self.talks_at = None;
        } else if self.unconfirmed.is_none() {
            // The first time anywhere in the interval, so that not all talk at once.
            let part = self.chance.below(1_000) as u32;
            let first = now + self.talk_every * part / 1_000;
            if now >= *self.talks_at.get_or_insert(first) {
                self.talks_at = Some(now + self.talk_every);
                let text = self.ledger.say(self.number);
                self.unconfirmed = Some((text, now - RESEND_AFTER));
            }
        }
        if let (Some(connection), Some((text, sent))) = (&mut self.connection, &mut self.unconfirmed)
            && sent.elapsed() >= RESEND_AFTER
        {
            *sent = now;
            self.ledger.sent(text, self.host);
            connection.send(&propogate(&self.room, text, text.as_bytes()));
        }
    }

    fn listen(&mut self) {
        let Some(connection) = &mut self.connection else { return self.connect() };
        match connection.next(PATIENCE) {
            Got::Message(message) => match (playlist(&message), confirm(&message)) {
                (Some(heard), _) => self.hear(&heard),
                (None, Some((uuid, status))) => self.is_confirmed(uuid, status),
                (None, None) => panic!("neither Playlist nor Confirm: {message}"),
            },
            Got::Nothing => {}
            Got::Lost => self.connection = None,
        }
    }

    fn connect(&mut self) {
        let (address, id) =
            (SocketAddr::from((self.net.ipv4(self.host), 8901)), format!("client {}", self.number));
        let connecting = self.net.inside(self.host, move || Desktop::try_connect(address, &id));
        self.connection = connecting.join().unwrap().ok();
        self.subscriptions += 1;
        let uuid = format!("subscribe {}", self.subscriptions);
        let subscribe = json!({"MessageType": "Subscribe", "MessageUuid": uuid, "RoomId": self.room});
        if !self.connection.as_mut().is_some_and(|connection| connection.send(&subscribe)) {
            self.connection = None;
            return std::thread::sleep(RECONNECT_AFTER);
        }
        // What was under way is said again at once.
        if let Some((_, sent)) = &mut self.unconfirmed {
            *sent = Instant::now() - RESEND_AFTER;
        }
    }

    fn is_confirmed(&mut self, uuid: &str, status: i64) {
        if uuid.starts_with("subscribe ") {
            assert_eq!(status, 0, "the Subscribe is refused");
            self.ledger.listens(self.number, self.host);
        } else if self.unconfirmed.as_ref().is_some_and(|(text, _)| text == uuid) {
            // Anything else is to be sent again.
            if status == FAU3_STORED {
                self.unconfirmed = None;
                self.ledger.confirmed(uuid);
            }
        }
    }

    fn hear(&mut self, heard: &Heard) {
        if let Some(connection) = &mut self.connection {
            connection.confirm(heard);
        }
        self.remembered.retain(|_, at| at.elapsed() < REMEMBERED_FOR);
        if self.remembered.insert(heard.uuid.clone(), Instant::now()).is_none() {
            let text = String::from_utf8(heard.payload.clone()).expect("what some client said");
            self.ledger.heard(self.number, &text, self.host);
        }
    }
}

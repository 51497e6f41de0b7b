//! Clients: each talks now and then, hears and confirms, and says again what is not confirmed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::Net;
use crate::common::desktop::{Desktop, Got, confirm, playlist, propogate};
use crate::ledger::Ledger;
use crate::scene::{ROUTERS, SERVER, Scene};

const ROOMS: usize = 6;
const RESEND_AFTER: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_millis(20);
const FAU3_STORED: i64 = 3;

/// A client in a thread of its own; ends when dropped.
pub(crate) struct Person {
    id: String,
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

struct Life {
    net: Arc<Net>,
    ledger: Arc<Ledger>,
    id: String,
    host: usize,
    room: String,
    connection: Option<Desktop>,
    subscribes: u32,
    every: Duration,
    talks_at: Instant,
    /// Said, not confirmed; when it was sent last.
    unconfirmed: Vec<(String, Instant)>,
    number: u32,
}

impl Person {
    /// At a router; its turn to talk comes anywhere in the interval.
    pub(crate) fn at_router(scene: &Scene, ledger: &Arc<Ledger>, number: usize, every: Duration) -> Self {
        // Each room has clients at each router.
        let room = number / ROUTERS % ROOMS;
        Self::start(scene, ledger, format!("AA:{number:02}"), number % ROUTERS, room, every, number)
    }

    /// At the server itself.
    pub(crate) fn at_server(scene: &Scene, ledger: &Arc<Ledger>, number: usize, every: Duration) -> Self {
        Self::start(scene, ledger, format!("main-{number}"), SERVER, number % ROOMS, every, number)
    }

    fn start(
        scene: &Scene,
        ledger: &Arc<Ledger>,
        id: String,
        host: usize,
        room: usize,
        every: Duration,
        turn: usize,
    ) -> Self {
        let room = format!("room {room}");
        ledger.enter(&id, &room, host);
        let life = Life {
            net: Arc::clone(scene.net()),
            ledger: Arc::clone(ledger),
            id: id.clone(),
            host,
            room,
            connection: None,
            subscribes: 0,
            every,
            talks_at: Instant::now() + every * (turn as u32 * 37 % 100 + 1) / 100,
            unconfirmed: Vec::new(),
            number: 0,
        };
        let thread = std::thread::spawn(move || life.run());
        Self { id, ledger: Arc::clone(ledger), thread: Some(thread) }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.ledger.end();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "a client has failed");
    }
}

impl Life {
    fn run(mut self) {
        let mut wishes = self.ledger.wishes();
        while !self.ledger.has_ended() {
            let is_wished = self.ledger.wishes() != wishes;
            wishes = self.ledger.wishes();
            if is_wished || (self.ledger.is_talking() && Instant::now() >= self.talks_at) {
                self.talks_at = Instant::now() + self.every;
                self.number += 1;
                let text = format!("{} {}", self.id, self.number);
                self.ledger.said(&self.id, &text);
                self.unconfirmed.push((text, Instant::now() - RESEND_AFTER));
            }
            self.send();
            self.listen();
        }
    }

    /// The oldest that is not confirmed: one at a time, so that its order is its own.
    fn send(&mut self) {
        if let (Some(connection), Some((text, sent))) = (&mut self.connection, self.unconfirmed.first_mut())
            && sent.elapsed() >= RESEND_AFTER
        {
            *sent = Instant::now();
            connection.send(&propogate(&self.room, text, text.as_bytes()));
        }
    }

    fn listen(&mut self) {
        let Some(connection) = &mut self.connection else { return self.connect() };
        match connection.next(PATIENCE) {
            Got::Message(message) => {
                if let Some(heard) = playlist(&message) {
                    connection.confirm(&heard);
                    let text = String::from_utf8(heard.payload).unwrap();
                    self.ledger.heard(&self.id, &heard.uuid, &text);
                } else if let Some((uuid, status)) = confirm(&message)
                    && status == FAU3_STORED
                    && self.unconfirmed.first().is_some_and(|(text, _)| text == uuid)
                {
                    self.unconfirmed.remove(0);
                    self.ledger.confirmed(uuid);
                }
            }
            Got::Nothing => {}
            Got::Lost => {
                self.connection = None;
                self.ledger.lost_connection(&self.id);
            }
        }
    }

    fn connect(&mut self) {
        let (address, id) = (SocketAddr::from((self.net.ipv4(self.host), 8901)), self.id.clone());
        self.connection =
            self.net.inside(self.host, move || Desktop::try_connect(address, &id)).join().unwrap().ok();
        self.subscribes += 1;
        let uuid = format!("subscribe {}", self.subscribes);
        let subscribe = json!({"MessageType": "Subscribe", "MessageUuid": uuid, "RoomId": self.room});
        if !self.connection.as_mut().is_some_and(|connection| connection.send(&subscribe)) {
            self.connection = None;
            return std::thread::sleep(RECONNECT_AFTER);
        }
        if let Some((_, sent)) = self.unconfirmed.first_mut() {
            *sent = Instant::now() - RESEND_AFTER;
        }
    }
}

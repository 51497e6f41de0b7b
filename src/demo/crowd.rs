//! The clients: one that speaks, three that listen, each a task of its own
//! around the client that `fau3 talk` and `fau3 listen` use.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::voice::{self, Ear};
use crate::client::{Error, Heard, Roamer, Url};
use crate::wire::{ClientId, RoomId};

/// Everybody's room.
pub(super) const ROOM: &str = "demo";
/// Who speaks; the first of [`NAMES`].
pub(super) const SPEAKER: usize = 0;
/// The clients' ids.
pub(super) const NAMES: [&str; 4] = ["Anna", "Ben", "Cleo", "Dora"];
/// What the clients have told that is not yet taken in.
const EVENTS_MAX: usize = 256;
/// Orders to one client that wait.
const ORDERS_MAX: usize = 4;

/// What a client shall do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Speak,
    FallSilent,
    /// Go to this router.
    MoveTo(usize),
}

/// What a client has done or met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happened {
    /// It is at this router.
    Arrived(usize),
    /// It has lost its router and looks for another one.
    Lost,
    /// It has said a message.
    Said,
    /// A message is confirmed (FAU3_STORED).
    Stored,
    /// It has heard the message of this number; `None`: somebody else's.
    Heard(Option<u64>),
    /// It cannot go on, for this reason.
    Failed(String),
}

/// All clients.
pub(super) struct Crowd {
    events: mpsc::Receiver<(usize, Happened)>,
    orders: Vec<mpsc::Sender<Order>>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Sends each client to its first router, `places[client]`.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn new(routers: &[Url], places: [usize; NAMES.len()]) -> Result<Self, Error> {
        let (told, events) = mpsc::channel(EVENTS_MAX);
        let mut crowd = Self { events, orders: Vec::new(), tasks: JoinSet::new() };
        let known = |name: &str| format!("{name} is a good name");
        for (client, name) in NAMES.into_iter().enumerate() {
            let id = ClientId::new(name).unwrap_or_else(|_| unreachable!("{}", known(name)));
            let room = RoomId::new(ROOM).unwrap_or_else(|_| unreachable!("{}", known(ROOM)));
            let roamer = Roamer::new(routers.to_vec(), places[client], id, room, client != SPEAKER)?;
            let (order, orders) = mpsc::channel(ORDERS_MAX);
            crowd.orders.push(order);
            crowd.tasks.spawn(
                Member { client, told: told.clone(), speech: Speech::default() }.attend(roamer, orders),
            );
        }
        Ok(crowd)
    }

    /// What happens next. Nothing is lost if the future is dropped before that.
    pub(super) async fn next(&mut self) -> (usize, Happened) {
        match self.events.recv().await {
            Some(event) => event,
            // All have failed, and each has said so.
            None => std::future::pending().await,
        }
    }

    /// Tells a client what to do. One that has failed does nothing.
    pub(super) async fn order(&self, client: usize, order: Order) {
        let _ = self.orders[client].send(order).await;
    }

    /// Lets all say goodbye, which takes two seconds at most.
    pub(super) async fn leave(mut self) {
        self.orders.clear();
        self.events.close();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What a speaker has said so far.
#[derive(Debug, Default)]
struct Speech {
    speaks: bool,
    said: u64,
    stored: u64,
    /// A message is with the router, unconfirmed.
    waits: bool,
}

struct Member {
    client: usize,
    told: mpsc::Sender<(usize, Happened)>,
    speech: Speech,
}

impl Member {
    async fn attend(mut self, mut roamer: Roamer, mut orders: mpsc::Receiver<Order>) {
        let ear = Ear::new();
        let mut beat = interval(Duration::from_millis(voice::MESSAGE_MS));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = roamer.next() => match heard {
                    Ok(heard) => self.hear(heard, &ear).await,
                    Err(error) => return self.tell(Happened::Failed(error.to_string())).await,
                },
                order = orders.recv() => match order {
                    Some(Order::Speak) => self.speech.speaks = true,
                    Some(Order::FallSilent) => self.speech.speaks = false,
                    Some(Order::MoveTo(router)) => roamer.move_to(router),
                    None => break,
                },
                _ = beat.tick(), if self.speech.speaks && self.speech.said < voice::MESSAGES_MAX => {
                    self.speech.said += 1;
                    self.tell(Happened::Said).await;
                }
            }
            self.send(&mut roamer);
        }
        roamer.leave().await;
    }

    async fn hear(&mut self, heard: Heard, ear: &Ear) {
        match heard {
            Heard::Arrived(router) => self.tell(Happened::Arrived(router)).await,
            Heard::Lost => self.tell(Happened::Lost).await,
            Heard::Stored => {
                self.speech.stored += 1;
                self.speech.waits = false;
                self.tell(Happened::Stored).await;
            }
            Heard::Messages(records) => {
                for record in records {
                    let ours = record.client_id == NAMES[SPEAKER];
                    let number = ours.then(|| ear.number(&record.payload)).flatten();
                    self.tell(Happened::Heard(number)).await;
                }
            }
        }
    }

    /// The next message, once the one before is confirmed: what was said while
    /// no router was there waits here.
    fn send(&mut self, roamer: &mut Roamer) {
        let Speech { said, stored, waits, .. } = self.speech;
        if !waits && stored < said {
            roamer.say(&voice::message(stored));
            self.speech.waits = true;
        }
    }

    async fn tell(&self, happened: Happened) {
        // Nobody listens any more: the end is near.
        let _ = self.told.send((self.client, happened)).await;
    }
}

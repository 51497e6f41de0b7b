//! The shell around the pure router: the one task that feeds it and carries out
//! what it asks for. Decides nothing itself; knows doors, store and clock.

pub mod identity;

mod args;
mod clock;
mod commands;
mod listen;
mod report;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until};
use tracing::{info, warn};

use crate::gateway::{ClientLink, Event, Hall};
use crate::router::{ConnId, Input, Output, Refusal, Router};
use crate::store::Store;

pub use args::{CheckConfigArgs, KeysArgs, NodeArgs};
pub use clock::Clock;
pub use commands::{check_config, keys};
pub use report::{Identity, Report};
pub use start::{on_runtime, run};

/// Events taken in before what follows from them is carried out: one write to
/// a socket then carries all that they caused.
const BATCH_MAX: usize = 256;
/// How often sockets are asked what has left them. A frame's T begins up to
/// this much late.
const DEPARTURE_INTERVAL: Duration = Duration::from_millis(250);
/// Questions about the node's state that wait.
const QUESTIONS_MAX: usize = 16;

/// Something that only the node's task can do.
pub enum Request {
    /// How is it?
    Report(oneshot::Sender<Box<Report>>),
    /// The configuration was read again; its settings for the router.
    Configure(Box<crate::router::Settings>),
    /// Say goodbye; answered when it is said.
    Shutdown(oneshot::Sender<()>),
}

/// The node's task.
pub struct Node {
    router: Router,
    store: Option<Store>,
    clock: Clock,
    identity: Identity,
    events: mpsc::Receiver<Event>,
    requests: mpsc::Receiver<Request>,
    links: BTreeMap<ConnId, Arc<dyn ClientLink>>,
    /// Who waits to be let in.
    asking: BTreeMap<ConnId, oneshot::Sender<Result<(), Refusal>>>,
    /// Links with frames that are not flushed.
    unflushed: BTreeSet<ConnId>,
    /// Links with frames whose departure is to be reported.
    departing: BTreeSet<ConnId>,
    commits_unanswered: u64,
}

impl Node {
    /// A node whose clock starts now, what doors bring it events with, and
    /// what the rest of the program asks it with.
    #[must_use]
    pub fn new(
        router: Router,
        store: Option<Store>,
        identity: Identity,
    ) -> (Self, Hall, mpsc::Sender<Request>) {
        let (hall, events) = Hall::new();
        let (request, requests) = mpsc::channel(QUESTIONS_MAX);
        let node = Self {
            router,
            store,
            clock: Clock::start(),
            identity,
            events,
            requests,
            links: BTreeMap::new(),
            asking: BTreeMap::new(),
            unflushed: BTreeSet::new(),
            departing: BTreeSet::new(),
            commits_unanswered: 0,
        };
        (node, hall, request)
    }

    /// Runs until it is asked to shut down.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut departures = interval(DEPARTURE_INTERVAL);
        departures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut timer = Box::pin(sleep_until(Instant::now()));
        self.carry_out();
        loop {
            self.set_timer(timer.as_mut());
            let shut_down = self.turn(&mut batch, &mut departures, timer.as_mut()).await;
            self.carry_out();
            if let Some(done) = shut_down {
                self.last_commits().await;
                let _ = done.send(());
                return;
            }
        }
    }

    /// Waits for something to happen and hands it to the router.
    async fn turn(
        &mut self,
        batch: &mut Vec<Event>,
        departures: &mut Interval,
        timer: std::pin::Pin<&mut Sleep>,
    ) -> Option<oneshot::Sender<()>> {
        tokio::select! {
            count = self.events.recv_many(batch, BATCH_MAX) => {
                debug_assert!(count > 0, "the node keeps a hall open as long as it has doors");
                let now = self.clock.now();
                for event in batch.drain(..) {
                    self.take(now, event);
                }
            }
            () = timer => self.router.handle(self.clock.now(), Input::Tick),
            _ = departures.tick(), if !self.departing.is_empty() => self.report_departures(),
            done = next_commit(&mut self.store) => self.committed(done),
            request = self.requests.recv() => return self.answer(request),
        }
        None
    }

    fn set_timer(&self, timer: std::pin::Pin<&mut Sleep>) {
        // Without a timeout, far enough away to never matter.
        let at = self.router.poll_timeout().unwrap_or(Time::from_secs(86_400 * 365));
        let deadline = self.clock.instant(at);
        if timer.deadline() != deadline {
            timer.reset(deadline);
        }
    }

    fn take(&mut self, now: Time, event: Event) {
        let input = match event {
            Event::Connect { conn, client_id, address, link, answer } => {
                self.links.insert(conn, link);
                self.asking.insert(conn, answer);
                Input::Connect { conn, client_id, address }
            }
            Event::Input(input) => input,
        };
        if let Input::Disconnected { conn } = input {
            self.forget(conn);
        }
        self.router.handle(now, input);
    }

    fn answer(&mut self, request: Option<Request>) -> Option<oneshot::Sender<()>> {
        match request? {
            Request::Report(answer) => {
                let _ = answer.send(Box::new(self.report()));
            }
            Request::Configure(settings) => {
                if let Some(store) = &self.store {
                    store.set_age_max(settings.storage_age_max);
                }
                self.router.handle(self.clock.now(), Input::Configure(settings));
            }
            Request::Shutdown(done) => {
                self.router.handle(self.clock.now(), Input::Shutdown);
                return Some(done);
            }
        }
        None
    }

    /// Does what the router asks for, then flushes what that has touched.
    fn carry_out(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::ToClient { conn, frame } => self.with_link(conn, |link| link.send(frame)),
                Output::Probe { conn, probe } => self.with_link(conn, |link| link.probe(probe)),
                Output::Accept { conn } => {
                    if self.asking.remove(&conn).is_none_or(|answer| answer.send(Ok(())).is_err()) {
                        // The client has gone while it was waiting.
                        self.forget(conn);
                        self.router.handle(self.clock.now(), Input::Disconnected { conn });
                    }
                }
                Output::Refuse { conn, why } => {
                    self.forget(conn);
                    if let Some(answer) = self.asking.remove(&conn) {
                        let _ = answer.send(Err(why));
                    }
                }
                Output::Close { conn, why } => {
                    info!(conn = conn.0, "connection ended: {}", why.text());
                    self.with_link(conn, |link| link.close(why.code(), why.text()));
                    if let Some(link) = self.links.get(&conn) {
                        link.flush();
                    }
                    self.forget(conn);
                }
                // Only a router in a mesh asks for these.
                Output::Beacon { .. }
                | Output::ToPeer { .. }
                | Output::Persist { .. }
                | Output::View(_)
                | Output::Warning(_) => {}
                Output::Invalid { conn, client_id, reason } => warn!(
                    conn = conn.0,
                    %client_id,
                    "invalid message (FAU3_INVALID): {reason}; the next ones of this connection are only counted"
                ),
                Output::Store(commit) => {
                    if let Some(store) = &self.store {
                        self.commits_unanswered = commit.number;
                        store.submit(*commit);
                    }
                }
            }
        }
        for conn in std::mem::take(&mut self.unflushed) {
            if let Some(link) = self.links.get(&conn) {
                link.flush();
                self.departing.insert(conn);
            }
        }
    }

    fn with_link(&mut self, conn: ConnId, act: impl FnOnce(&dyn ClientLink)) {
        if let Some(link) = self.links.get(&conn) {
            act(&**link);
            self.unflushed.insert(conn);
        }
    }

    fn forget(&mut self, conn: ConnId) {
        self.links.remove(&conn);
        self.unflushed.remove(&conn);
        self.departing.remove(&conn);
    }

    fn report_departures(&mut self) {
        let now = self.clock.now();
        let (links, router) = (&self.links, &mut self.router);
        self.departing.retain(|&conn| {
            let Some(link) = links.get(&conn) else { return false };
            let (frame, more) = link.departed();
            if let Some(frame) = frame {
                router.handle(now, Input::Left { conn, frame });
            }
            more
        });
    }

    fn committed(&mut self, done: crate::store::Done) {
        let input = Input::Stored { commit: done.number, ok: done.ok };
        self.router.handle(self.clock.now(), input);
        if done.number >= self.commits_unanswered {
            self.commits_unanswered = 0;
        }
    }

    /// What was being stored when the end came is still stored and confirmed.
    async fn last_commits(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(3);
        let deadline = Instant::now() + PATIENCE;
        while self.commits_unanswered > 0 {
            match tokio::time::timeout_at(deadline, next_commit(&mut self.store)).await {
                Ok(done) => self.committed(done),
                Err(_) => return,
            }
            self.carry_out();
        }
    }

    fn report(&self) -> Report {
        Report {
            identity: self.identity.clone(),
            uptime: self.clock.now().since(Time::ZERO),
            router: self.router.snapshot(self.clock.now()),
            store: self.store.as_ref().map(Store::counters),
        }
    }
}

/// The next answer of the store; never, without one.
async fn next_commit(store: &mut Option<Store>) -> crate::store::Done {
    match store {
        Some(store) => store.done().await,
        None => std::future::pending().await,
    }
}

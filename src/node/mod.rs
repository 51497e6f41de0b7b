//! The shell around the pure router: the one task that feeds it and carries out
//! what it asks for. Decides nothing itself; knows doors, store and clock.

mod args;
mod clock;
mod commands;
mod hosts;
mod lan;
mod listen;
mod log;
mod mesh;
mod names;
mod others;
mod shown;
mod signals;
mod start;
mod stderr;
mod troubles;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until};
use tracing::{debug, info, warn};

use crate::config::DefaultServer;
use crate::control::{DoorsReport, Identity, Question, Report};
use crate::gateway::{ClientLink, DoorEvent, DoorsCounts, Hall, NodeEvents, Visitors, Waiting};
use crate::router::{ConnId, Input, Output, Refusal, Router, UpstreamInput};
use crate::store::Store;

pub use args::{CheckConfigArgs, KeysArgs, NodeArgs};
pub use clock::Clock;
pub use commands::{check_config, keys};
use mesh::Happened;
pub use mesh::MeshSide;
pub use shown::Shown;
use shown::view_text;
pub use signals::Signals;
pub use start::{on_runtime, run, say_last};
pub use stderr::dropped as log_lines_dropped;
pub use upstream::UpstreamSide;

/// Events taken in before what follows from them is carried out: one write to
/// a socket then carries all that they caused.
const BATCH_MAX: usize = 256;
/// How often sockets are asked what has left them. A frame's T begins up to
/// this much late.
const DEPARTURE_INTERVAL: Duration = Duration::from_millis(250);
/// How often own addresses are looked up, and what is shown of them to others.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Requests that wait.
const REQUESTS_MAX: usize = 16;

/// Something that only the node's task can do.
pub enum Request {
    /// The configuration was read again; its settings for the router.
    Configure(Box<crate::router::Settings>),
    /// And what of it is everybody's.
    ConfigureMesh {
        /// The ExtraServers list, highest priority first.
        extra_servers: Vec<String>,
        /// The server that leads while it is there.
        default_server: DefaultServer,
    },
    /// Other routers to call in any case.
    Call(Vec<crate::config::Peer>),
    /// Say goodbye; answered when it is said.
    Shutdown(oneshot::Sender<()>),
}

/// By which the node's task is reached.
pub struct Inbox {
    /// Who wants something done.
    pub requests: mpsc::Receiver<Request>,
    /// Who wants to know how it is.
    pub questions: mpsc::Receiver<Question>,
}

/// The node's task.
pub struct Node {
    router: Router,
    store: Option<Store>,
    clock: Clock,
    identity: Identity,
    events: NodeEvents,
    visitors: Arc<Visitors>,
    counts: DoorsCounts,
    has_doors: bool,
    inbox: Inbox,
    links: BTreeMap<ConnId, Arc<dyn ClientLink>>,
    /// Who waits to be let in.
    asking: BTreeMap<ConnId, oneshot::Sender<Result<(), Refusal>>>,
    /// Links with frames that are not flushed.
    unflushed: BTreeSet<ConnId>,
    /// Links with frames whose departure is to be reported.
    departing: BTreeSet<ConnId>,
    commits_unanswered: u64,
    /// Set in a router that is in a mesh.
    mesh: Option<MeshSide>,
    upstream: UpstreamSide,
    /// What others are told when it changes.
    shown: Shown,
}

impl Node {
    /// A node whose clock starts now, and what doors bring it events with.
    #[must_use]
    pub fn new(
        router: Router,
        store: Option<Store>,
        identity: Identity,
        inbox: Inbox,
        mesh: Option<MeshSide>,
        upstream: UpstreamSide,
        shown: Shown,
    ) -> (Self, Hall) {
        let (hall, events) = Hall::new();
        let node = Self {
            router,
            store,
            clock: Clock::start(),
            identity,
            events,
            visitors: hall.visitors().clone(),
            counts: hall.counts().clone(),
            has_doors: true,
            inbox,
            links: BTreeMap::new(),
            asking: BTreeMap::new(),
            unflushed: BTreeSet::new(),
            departing: BTreeSet::new(),
            commits_unanswered: 0,
            mesh,
            upstream,
            shown,
        };
        (node, hall)
    }

    /// Runs until it is asked to shut down.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut departures = interval(DEPARTURE_INTERVAL);
        departures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut timer = Box::pin(sleep_until(Instant::now()));
        self.router.handle(self.clock.now(), self.upstream.configured());
        self.carry_out();
        loop {
            self.set_timer(timer.as_mut());
            let shut_down = self.turn(&mut batch, &mut departures, &mut looks, timer.as_mut()).await;
            self.carry_out();
            if let Some(done) = shut_down {
                self.last_commits().await;
                self.say_goodbye().await;
                let _ = done.send(());
                return;
            }
        }
    }

    /// Waits for something to happen and hands it to the router.
    async fn turn(
        &mut self,
        batch: &mut Vec<Waiting>,
        departures: &mut Interval,
        looks: &mut Interval,
        timer: std::pin::Pin<&mut Sleep>,
    ) -> Option<oneshot::Sender<()>> {
        tokio::select! {
            count = self.events.recv_many(batch, BATCH_MAX), if self.has_doors => {
                // They are closed before the node is asked to shut down.
                self.has_doors = count > 0;
                let now = self.clock.now();
                for Waiting { event, .. } in batch.drain(..) {
                    self.take(now, event);
                }
            }
            () = timer => self.router.handle(self.clock.now(), Input::Tick),
            _ = departures.tick(), if !self.departing.is_empty() => self.report_departures(),
            _ = looks.tick() => self.look(),
            done = next_commit(&mut self.store) => self.committed(done),
            happened = next_of_mesh(&mut self.mesh) => self.mesh_says(happened),
            happened = self.upstream.next() => self.default_server_says(happened),
            Some(question) = self.inbox.questions.recv() => {
                let _ = question.send(Box::new(self.report()));
            }
            request = self.inbox.requests.recv() => return self.obey(request),
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

    fn take(&mut self, now: Time, event: DoorEvent) {
        let input = match event {
            DoorEvent::Connect { conn, client_id, address, link, answer } => {
                self.links.insert(conn, link);
                self.asking.insert(conn, answer);
                Input::Connect { conn, client_id, address }
            }
            DoorEvent::Input(input) => input,
        };
        if let Input::Disconnected { conn } = input {
            self.forget(conn);
        }
        self.router.handle(now, input);
    }

    fn obey(&mut self, request: Option<Request>) -> Option<oneshot::Sender<()>> {
        match request? {
            Request::Configure(settings) => {
                if let Some(store) = &self.store {
                    store.set_age_max(settings.storage_age_max);
                }
                self.router.handle(self.clock.now(), Input::Configure(settings));
            }
            Request::ConfigureMesh { extra_servers, default_server } => {
                let list = others::list(&extra_servers);
                self.router.handle(self.clock.now(), Input::ListConfigured(list));
                self.shown.set_default_server(default_server.name.clone());
                for input in self.upstream.configure(default_server.clone()) {
                    self.router.handle(self.clock.now(), input);
                }
                if let Some(mesh) = &mut self.mesh {
                    mesh.set_uplink(others::uplink(&default_server));
                    let main = others::main_node(&default_server, self.shown.bound_names());
                    self.router.handle(self.clock.now(), Input::Upstream(main));
                }
                self.look();
            }
            Request::Call(peers) => {
                if let Some(mesh) = &mut self.mesh {
                    mesh.set_peers(peers);
                }
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
                Output::Beacon { .. }
                | Output::ToPeer { .. }
                | Output::Persist { .. }
                | Output::Told { .. }
                | Output::Uplink { .. }
                | Output::View(_)
                | Output::Warning(_) => self.carry_out_in_mesh(output),
                Output::Upstream(output) => self.upstream.carry_out(output),
                Output::Tell { conn, what } => self.with_link(conn, |link| link.tell(what)),
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
                    self.with_link(conn, |link| link.close(why));
                    if let Some(link) = self.links.get(&conn) {
                        link.flush();
                    }
                    self.forget(conn);
                }
                Output::Invalid { conn, client_id, reason } => warn!(
                    conn = conn.0,
                    %client_id,
                    "invalid message (FAU3_INVALID): {reason}; the next ones of this connection are only counted"
                ),
                Output::PutBehind { client_id, record } => warn!(
                    %client_id,
                    message_uuid = %record.message_uuid,
                    from = %record.client_id,
                    "its connections end again and again while this message of {} bytes is on its way to it: \
                     the message waits behind the others from now on. The client may not take one so large",
                    record.payload.len()
                ),
                Output::ConfirmedAlone { record, why } => debug!(
                    client_id = %record.client_id,
                    message_uuid = %record.message_uuid,
                    "confirmed by this router alone: {why}"
                ),
                Output::Store(commit) => {
                    if let Some(store) = &self.store {
                        self.commits_unanswered = commit.number;
                        store.submit(*commit);
                    }
                }
            }
        }
        if let Some(mesh) = &mut self.mesh {
            mesh.end_turn(self.router.life());
        }
        for conn in std::mem::take(&mut self.unflushed) {
            if let Some(link) = self.links.get(&conn) {
                link.flush();
                self.departing.insert(conn);
            }
        }
    }

    fn carry_out_in_mesh(&mut self, output: Output) {
        let Some(mesh) = &mut self.mesh else { return };
        match output {
            Output::Beacon { to, datagram } => mesh.beacon(to, &datagram),
            Output::ToPeer { router, message } => {
                if let Some(input) = mesh.send(router, &message) {
                    self.router.handle(self.clock.now(), input);
                }
            }
            Output::Persist { ticket, state } => mesh.persist(ticket, *state),
            Output::Told { by, contact } => mesh.told(by, contact),
            Output::Uplink { keep } => mesh.keep_uplink(keep),
            Output::View(view) => {
                let mesh_now = self.router.mesh_status();
                info!("{}", view_text(&view, mesh_now.as_ref()));
                self.upstream.view(&view);
                self.show_mesh();
            }
            Output::Warning(warning) => self.shown.warning(warning),
            _ => {}
        }
    }

    /// Takes in what the mesh says, and what it has said meanwhile.
    fn mesh_says(&mut self, first: Happened) {
        let now = self.clock.now();
        let mut next = Some(first);
        let mut is_news = false;
        for _ in 0..BATCH_MAX {
            let (Some(happened), Some(mesh)) = (next.take(), &mut self.mesh) else { break };
            let contact = match &happened {
                Happened::Event(event) => mesh.contact(event),
                _ => None,
            };
            is_news |= contact.is_some();
            let ended = matches!(happened, Happened::Ended);
            for input in mesh.input(happened).into_iter().chain(contact) {
                self.router.handle(now, input);
            }
            if ended {
                warn!("the mesh has ended");
                self.mesh = None;
                return;
            }
            next = mesh.try_next();
        }
        if is_news {
            self.show_mesh();
        }
    }

    /// Takes in what the main server says, and what it has said meanwhile.
    fn default_server_says(&mut self, first: UpstreamInput) {
        let now = self.clock.now();
        let mut next = Some(first);
        for _ in 0..BATCH_MAX {
            let Some(happened) = next.take() else { return };
            self.router.handle(now, self.upstream.input(happened));
            next = self.upstream.try_next();
        }
        if let Some(left) = next {
            self.router.handle(now, self.upstream.input(left));
        }
    }

    /// Looks at what nobody tells of.
    fn look(&mut self) {
        self.shown.look();
        self.show_mesh();
    }

    fn show_mesh(&mut self) {
        if let Some(mesh) = &self.mesh {
            self.shown.mesh(&self.router, mesh);
        }
        if let Some(name) = self.shown.renamed() {
            self.identity.name.clone_from(&name);
            self.router.handle(self.clock.now(), Input::Renamed(name));
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
        if done.lost {
            self.router.handle(self.clock.now(), Input::StoreLost);
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

    /// The election says goodbye three times, a little apart.
    async fn say_goodbye(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let deadline = Instant::now() + PATIENCE;
        while let Some(at) = self.router.goodbye_due().filter(|_| self.mesh.is_some()) {
            let at = self.clock.instant(at);
            if at > deadline {
                break;
            }
            sleep_until(at).await;
            self.router.handle(self.clock.now(), Input::Tick);
            self.carry_out();
        }
        if let Some(mesh) = self.mesh.take() {
            mesh.goodbye().await;
        }
    }

    fn report(&self) -> Report {
        let router = self.router.snapshot(self.clock.now());
        let main = self.mesh.as_ref().zip(router.mesh.as_ref());
        let mesh = main.map(|(doors, mesh)| doors.report(mesh));
        let main = main.map(|(doors, mesh)| doors.watch(mesh, self.shown.told_main()));
        Report {
            identity: self.identity.clone(),
            uptime: self.clock.now().since(Time::ZERO),
            doors: DoorsReport {
                each: self.counts.report(),
                pages: self.visitors.refused(),
                crowded_out: self.visitors.crowded_out(),
            },
            router,
            store: self.store.as_ref().map(Store::counters),
            files_written: crate::identity::written(),
            log_lines_dropped: stderr::dropped(),
            mesh,
            default_server: self.upstream.report(main),
        }
    }
}

/// What happens next in the mesh; never, without one.
async fn next_of_mesh(mesh: &mut Option<MeshSide>) -> Happened {
    match mesh {
        Some(mesh) => mesh.next().await,
        None => std::future::pending().await,
    }
}

/// The next answer of the store; never, without one.
async fn next_commit(store: &mut Option<Store>) -> crate::store::Done {
    match store {
        Some(store) => store.done().await,
        None => std::future::pending().await,
    }
}

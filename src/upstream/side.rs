use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::report::WatchReport;
use super::session::{Sent, Session};
use super::target::Target;
use super::watch::Settings;
use super::watcher::{Command, Watcher};
use crate::config::ServerUrl;
use crate::router::{UpConn, UpstreamInput, UpstreamOutput};
use crate::wire::ClientId;

/// What waits between the main server and the router. A connection whose
/// event finds no place reads no more until there is one.
pub(super) const EVENTS_MAX: usize = 1_024;
/// Connections at a time: more than a legacy server takes.
const SESSIONS_MAX: usize = 256;

/// For how long an answer is waited for by [`UpstreamOutput::Knock`].
const KNOCK_MAX: Duration = Duration::from_secs(1);

/// The connections to one main server, and the watch over it. Dropped, all
/// of them say goodbye by themselves.
pub struct Upstream {
    target: Arc<Target>,
    watcher: mpsc::Sender<Command>,
    looking: bool,
    sessions: BTreeMap<UpConn, Session>,
    events: mpsc::Receiver<UpstreamInput>,
    tell: mpsc::Sender<UpstreamInput>,
    /// What has happened on this side of the sockets.
    ready: VecDeque<UpstreamInput>,
    report: Arc<Mutex<WatchReport>>,
    streams_dropped: u64,
}

impl Upstream {
    /// The server at `url`, which is not looked at yet. `router` is this
    /// router's id in hexadecimal, `seed` chance.
    #[must_use]
    pub fn new(url: ServerUrl, settings: Settings, router: String, seed: u64) -> Self {
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let target = Arc::new(Target::new(url));
        let report = Arc::default();
        let watcher =
            Watcher::start(settings, seed, router, target.clone(), tell.clone(), Arc::clone(&report));
        Self {
            target,
            watcher,
            looking: false,
            sessions: BTreeMap::new(),
            events,
            tell,
            ready: VecDeque::new(),
            report,
            streams_dropped: 0,
        }
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> &ServerUrl {
        self.target.url()
    }

    /// Looks for the server from now on, or stops.
    pub fn look(&mut self, look: bool) {
        if std::mem::replace(&mut self.looking, look) != look {
            self.command(Command::Look(look));
        }
    }

    /// Takes other settings of the watch.
    pub fn configure(&self, settings: Settings) {
        self.command(Command::Configure(settings));
    }

    /// Turns to another server: connections to the one before say goodbye.
    pub fn turn_to(&mut self, url: ServerUrl) {
        self.target = Arc::new(Target::new(url));
        self.sessions.values_mut().for_each(Session::close);
        self.command(Command::Target(self.target.clone()));
    }

    /// Turns to no server: connections say goodbye.
    pub fn turn_away(&mut self) {
        self.look(false);
        self.sessions.values_mut().for_each(Session::close);
    }

    fn command(&self, command: Command) {
        // Commands follow from people and from elections: the task is far ahead of them.
        if self.watcher.try_send(command).is_err() {
            warn!("the watch over the main server does not follow; please report this");
        }
    }

    /// What happens next. Nothing is lost if the future is dropped before.
    pub async fn next(&mut self) -> UpstreamInput {
        if let Some(input) = self.ready.pop_front() {
            return input;
        }
        match self.events.recv().await {
            Some(input) => self.seen(input),
            None => std::future::pending().await,
        }
    }

    /// What has happened already.
    pub fn try_next(&mut self) -> Option<UpstreamInput> {
        let ready = self.ready.pop_front();
        ready.or_else(|| self.events.try_recv().ok().map(|input| self.seen(input)))
    }

    fn seen(&mut self, input: UpstreamInput) -> UpstreamInput {
        if let UpstreamInput::Down { conn, .. } = input {
            self.sessions.remove(&conn);
        }
        input
    }

    /// Does what the router asks for. Never blocks.
    pub fn carry_out(&mut self, output: UpstreamOutput) {
        match output {
            UpstreamOutput::Open { conn, client_id } => self.open(conn, client_id),
            // A connection that is gone is told of by its Down.
            UpstreamOutput::Close { conn } => self.with(conn, |session| {
                session.close();
                Sent::Gone
            }),
            UpstreamOutput::Abort { conn } => self.with(conn, |session| {
                session.abort();
                Sent::Gone
            }),
            UpstreamOutput::Knock => self.knock(),
            UpstreamOutput::Send { conn, frame } => self.with(conn, |session| session.send(frame)),
            UpstreamOutput::Probe { conn } => self.with(conn, Session::probe),
        }
    }

    fn open(&mut self, conn: UpConn, client_id: ClientId) {
        if self.sessions.len() >= SESSIONS_MAX {
            return self.ready.push_back(UpstreamInput::Down { conn, clean: true });
        }
        let session = Session::open(conn, client_id, self.target.clone(), self.tell.clone());
        self.sessions.insert(conn, session);
    }

    fn knock(&self) {
        let (target, tell) = (self.target.clone(), self.tell.clone());
        tokio::spawn(async move {
            let is_open = timeout(KNOCK_MAX, target.knock()).await.unwrap_or(false);
            let _ = tell.send(UpstreamInput::Knocked { is_open }).await;
        });
    }

    fn with(&mut self, conn: UpConn, act: impl FnOnce(&mut Session) -> Sent) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            self.streams_dropped += u64::from(act(session) == Sent::Dropped);
        }
    }

    /// Live audio that was dropped since the server did not take it in time.
    #[must_use]
    pub fn streams_dropped(&self) -> u64 {
        self.streams_dropped
    }

    /// What people are shown of the watch.
    #[must_use]
    pub fn report(&self) -> WatchReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

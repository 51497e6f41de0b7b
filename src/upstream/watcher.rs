//! The sockets and the clock around [`Watch`]: dials, pings, fetches the list,
//! and tells the router what follows. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fau3_election::Time;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{debug, info, warn};

use super::list::{List, NoList, fetch};
use super::report::{ListReport, WatchReport};
use super::target::Target;
use super::watch::{ID_PREFIX, Input, Output, Settings, Watch, WatchConn};
use crate::dial::{ReadBuffer, refusal};
use crate::router::UpstreamInput;
use crate::wire::ClientId;

/// What the watch's connections have to tell and was not taken in yet: an
/// answer and some pongs of each.
const EVENTS_MAX: usize = 64;
/// Pings that wait on one connection.
const PINGS_MAX: usize = 4;
/// Without a timeout; far enough away to never matter.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Who looks, as the server sees it: [`ID_PREFIX`], four digits of the router's
/// id, seven of the connection. Legacy servers take 17 characters, and crash
/// when one id connects twice, so each connection has its own.
fn client_id(router: &str, conn: WatchConn) -> ClientId {
    let router = router.get(..4).unwrap_or_default();
    let text = format!("{ID_PREFIX}{router}{:07x}", conn.0 & 0x0fff_ffff);
    ClientId::new(&text).unwrap_or_else(|_| unreachable!("{text} is a client id"))
}

/// What the task is told to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Look, or stop looking.
    Look(bool),
    /// Other settings.
    Configure(Settings),
    /// Another server.
    Target(Arc<Target>),
}

/// The task.
pub(super) struct Watcher {
    watch: Watch,
    began: Instant,
    /// This router's id, in hexadecimal.
    router: String,
    target: Arc<Target>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<Seen>,
    tell: mpsc::Sender<Seen>,
    conns: BTreeMap<WatchConn, Conn>,
    fetching: Option<JoinHandle<()>>,
    /// The list that the router was told of.
    given: Option<List>,
    looking: bool,
    router_inputs: mpsc::Sender<UpstreamInput>,
    report: Arc<Mutex<WatchReport>>,
}

struct Conn {
    task: JoinHandle<()>,
    ping: mpsc::Sender<()>,
}

enum Seen {
    Watch(Input),
    /// Why a connection does not stand, for people.
    Trouble(String),
    List(Result<List, NoList>),
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    /// Starts a task that does not look yet.
    pub(super) fn start(
        settings: Settings,
        seed: u64,
        router: String,
        target: Arc<Target>,
        router_inputs: mpsc::Sender<UpstreamInput>,
        report: Arc<Mutex<WatchReport>>,
    ) -> mpsc::Sender<Command> {
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let (command, commands) = mpsc::channel(EVENTS_MAX);
        let watcher = Self {
            watch: Watch::new(settings, seed),
            began: Instant::now(),
            router,
            target,
            commands,
            events,
            tell,
            conns: BTreeMap::new(),
            fetching: None,
            given: None,
            looking: false,
            router_inputs,
            report,
        };
        tokio::spawn(watcher.run());
        command
    }

    /// Until nobody commands any more.
    async fn run(mut self) {
        loop {
            let timeout = self.watch.poll_timeout().map(|at| Duration::from_micros(at.as_micros()));
            let timeout = self.began + timeout.unwrap_or(NEVER);
            tokio::select! {
                // What has come in first: it may be what the time was waiting for.
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => return,
                },
                Some(event) = self.events.recv() => self.event(event).await,
                () = sleep_until(timeout) => self.give(Input::Timeout).await,
            }
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Look(look) => self.look(look).await,
            Command::Configure(settings) => self.watch.configure(settings),
            Command::Target(target) => {
                let looking = self.looking;
                self.look(false).await;
                self.target = target;
                self.watch.forget();
                *self.report() = WatchReport::default();
                self.look(looking).await;
            }
        }
    }

    async fn look(&mut self, look: bool) {
        if self.looking == look {
            return;
        }
        self.looking = look;
        self.report().watching = look;
        if look {
            self.give(Input::Start).await;
        } else {
            self.give(Input::Stop).await;
            self.given = None;
            self.stop_fetching();
            self.tell_router(UpstreamInput::Reach(None)).await;
        }
    }

    async fn event(&mut self, event: Seen) {
        match event {
            Seen::Watch(input) => self.give(input).await,
            Seen::Trouble(text) => self.report().trouble = Some(text),
            Seen::List(list) => {
                self.fetched(list).await;
                self.give(Input::ListDone).await;
            }
        }
    }

    fn now(&self) -> Time {
        let micros = self.began.elapsed().as_micros();
        Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    async fn give(&mut self, input: Input) {
        self.watch.handle(self.now(), input);
        while let Some(output) = self.watch.poll_output() {
            match output {
                Output::Dial(conn) => self.dial(conn),
                // Where so many wait, one more says nothing new.
                Output::Ping(conn) => {
                    let _ = self.conns.get(&conn).map(|conn| conn.ping.try_send(()));
                }
                Output::Drop(conn) => drop(self.conns.remove(&conn)),
                Output::FetchList => self.fetch(),
                Output::Judged(there) => self.judged(there).await,
            }
        }
        if let Input::Closed(conn) | Input::Answered(conn) = input {
            self.conns.remove(&conn);
        }
    }

    async fn judged(&mut self, there: bool) {
        self.show_judgement(there);
        if !there {
            self.target.doubt();
        }
        self.tell_router(UpstreamInput::Reach(Some(there))).await;
    }

    fn show_judgement(&self, there: bool) {
        let url = self.target.url();
        let mut report = self.report();
        report.outages = self.watch.outages();
        if there {
            report.trouble = None;
            info!("the main server {url} is there");
        } else {
            let reason = report.trouble.get_or_insert_with(|| "it does not answer".into());
            warn!("the main server {url} is not there ({reason}); it is tried each second");
        }
    }

    fn dial(&mut self, conn: WatchConn) {
        let (ping, pings) = mpsc::channel(PINGS_MAX);
        let id = client_id(&self.router, conn);
        let task = tokio::spawn(connection(conn, id, self.target.clone(), pings, self.tell.clone()));
        self.conns.insert(conn, Conn { task, ping });
    }

    fn fetch(&mut self) {
        self.stop_fetching();
        let (target, tell) = (self.target.clone(), self.tell.clone());
        self.fetching = Some(tokio::spawn(async move {
            let list = fetch(&target).await;
            let _ = tell.send(Seen::List(list)).await;
        }));
    }

    fn stop_fetching(&mut self) {
        if let Some(fetching) = self.fetching.take() {
            fetching.abort();
        }
    }

    /// A new list goes to the router. Without one, the one before stays.
    async fn fetched(&mut self, list: Result<List, NoList>) {
        if !self.looking {
            return;
        }
        let result = match &list {
            Ok(list) if self.given.as_ref() == Some(list) => ListReport::of(list),
            Ok(list) => {
                info!(version = list.version, servers = list.entries.len(), "ExtraServers list fetched");
                self.given = Some(list.clone());
                self.tell_router(UpstreamInput::List(list.entries.clone())).await;
                ListReport::of(list)
            }
            Err(none) => {
                self.warn_of_list(none);
                ListReport::without(none)
            }
        };
        self.report().list(result);
    }

    /// Once, until it changes.
    fn warn_of_list(&self, none: &NoList) {
        if let NoList::NotGiven(reason) = none {
            return debug!("the main server gives no ExtraServers list: {reason}");
        }
        let is_told = self.report().list_trouble().is_some_and(|told| told == none.to_string());
        if !is_told {
            warn!("the main server's ExtraServers list is {none}; the one before stays in use");
        }
    }

    fn report(&self) -> MutexGuard<'_, WatchReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell_router(&self, input: UpstreamInput) {
        // Without a node there is nobody to tell.
        let _ = self.router_inputs.send(input).await;
    }
}

/// One connection's life. Ends when it is closed; dropped, it closes.
async fn connection(
    conn: WatchConn,
    client_id: ClientId,
    target: Arc<Target>,
    mut pings: mpsc::Receiver<()>,
    tell: mpsc::Sender<Seen>,
) {
    let mut socket = match target.dial(&client_id, ReadBuffer::Small).await {
        Ok(socket) => socket,
        Err(error) => {
            debug!(%client_id, "not connected to the main server: {}", refusal(&error));
            let _ = tell.send(Seen::Trouble(trouble(&error))).await;
            let is_answer = matches!(error, Error::Http(_));
            let input = if is_answer { Input::Answered(conn) } else { Input::Closed(conn) };
            return drop(tell.send(Seen::Watch(input)).await);
        }
    };
    let _ = tell.send(Seen::Watch(Input::Upgraded(conn))).await;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Pong(_))) => drop(tell.send(Seen::Watch(Input::Pong(conn))).await),
                None | Some(Ok(Message::Close(_)) | Err(_)) => break,
                // Whatever else it says is not for a connection that only looks.
                Some(Ok(_)) => {}
            },
            // A socket that takes no more is found by what does not come back.
            Some(()) = pings.recv() => if socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                break;
            },
        }
    }
    let _ = tell.send(Seen::Trouble("it closed the connection".into())).await;
    let _ = tell.send(Seen::Watch(Input::Closed(conn))).await;
}

/// What people are to do about it.
fn trouble(error: &Error) -> String {
    match error {
        Error::Http(_) => {
            format!("it answers {} instead of a WebSocket: check default_server.url", refusal(error))
        }
        Error::Io(error) => error.to_string(),
        error => format!("it answers no WebSocket: {error}: check default_server.url"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_an_id_of_its_own_of_17_characters() {
        let ids = [0, 1, 0x0fff_ffff].map(|number| client_id("abcdef0123", WatchConn(number)).to_string());
        assert_eq!(ids, ["fau3w-abcd0000000", "fau3w-abcd0000001", "fau3w-abcdfffffff"]);
        assert!(ids.iter().all(|id| id.len() == 17));
    }
}

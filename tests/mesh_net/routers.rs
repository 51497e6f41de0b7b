//! Routers on hosts of one network, and what they say about who leads.
//!
//! ```ignore
//! let Some(mesh) = Mesh::start(3) else { return };     // hosts 0 to 2, one key
//! let leader = mesh.settled(&[0, 1, 2]);
//! mesh.router(leader).kill();
//! ```

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::START_MAX;
use super::moment::Moment;
use crate::common::{Net, Program, TempDir, fau3, finish};

/// A router that does not serve clients after this long is broken, not slow.
const SERVES_MAX: Duration = Duration::from_secs(20);
/// Between two looks at what routers say.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A router that does not answer within this stands still.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

/// Some routers; router i is on host i.
pub(crate) struct Mesh {
    // First to go, before their hosts.
    routers: Vec<Mutex<Router>>,
    pub(crate) net: Arc<Net>,
}

/// One router in its lives.
pub(crate) struct Router {
    program: Option<Program>,
    dir: TempDir,
    command: Box<dyn Fn(&Path) -> Command + Send>,
    /// What its earlier lives said.
    past: String,
    /// When it stopped to exist, or stood still, and when it went on.
    absences: Vec<(Moment, Option<Moment>)>,
}

/// Who leads, as one router sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// It says so of itself.
    pub(crate) leads: bool,
    /// One of the routers is not ready to lead: it still listens after its start.
    pub(crate) waits: bool,
    pub(crate) leader: Leader,
    /// Names of all in reach, its own included.
    pub(crate) members: BTreeSet<String>,
}

/// The coordinator's name, and its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    name: Value,
    epoch: Value,
}

impl Mesh {
    /// So many routers, one a host, with one key.
    pub(crate) fn start(count: usize) -> Option<Self> {
        Self::start_with(count, count, &[])
    }

    /// The same on a network of more hosts, with options.
    pub(crate) fn start_with(count: usize, hosts: usize, options: &[&str]) -> Option<Self> {
        let key = new_key();
        let mesh = Self::on(Arc::new(Net::new(hosts)?));
        Some((0..count).fold(mesh, |mesh, _| mesh.with(Some(&key), options)))
    }

    /// None yet.
    pub(crate) fn on(net: Arc<Net>) -> Self {
        Self { routers: Vec::new(), net }
    }

    /// One more, on the next host, with these keys, or none.
    pub(crate) fn with(mut self, keys: Option<&str>, options: &[&str]) -> Self {
        let host = self.routers.len();
        let dir = TempDir::new("mesh");
        if let Some(keys) = keys {
            write_secret(&dir.path().join("mesh.key"), keys);
        }
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let net = Arc::clone(&self.net);
        let command = Box::new(move |dir: &Path| command(&net, host, dir, &options));
        let (past, absences) = (String::new(), Vec::new());
        let mut router = Router { program: None, dir, command, past, absences };
        router.start();
        self.routers.push(Mutex::new(router));
        self
    }

    pub(crate) fn router(&self, number: usize) -> MutexGuard<'_, Router> {
        self.routers[number].lock().unwrap()
    }

    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.routers.len()).collect()
    }

    /// The one of `who` that leads, if each sees just them, and it so; whether
    /// all of them are ready to lead, so that none takes over when it gets so.
    pub(crate) fn agreement(&self, who: &[usize]) -> Option<(usize, bool)> {
        let names: BTreeSet<String> = who.iter().map(|&number| name(number)).collect();
        let seen: Vec<Seen> = who.iter().map(|&number| self.router(number).sees()).collect::<Option<_>>()?;
        let is_one = seen.iter().all(|sees| sees.members == names && sees.leader == seen[0].leader);
        let mut leaders = who.iter().zip(&seen).filter(|(_, sees)| sees.leads).map(|(&number, _)| number);
        let leader = leaders.next().filter(|&leader| is_one && seen[0].leader.name == name(leader))?;
        leaders.next().is_none().then_some((leader, seen.iter().all(|sees| !sees.waits)))
    }

    /// Waits until these routers are one component with one leader: which one.
    pub(crate) fn agreed(&self, who: &[usize], within: Duration) -> usize {
        self.wait(within, || self.agreement(who).map(|(leader, _)| leader))
    }

    /// The same after a start, when each that gets ready may take over from the
    /// one before.
    pub(crate) fn settled(&self, who: &[usize]) -> usize {
        self.wait(START_MAX, || {
            self.agreement(who).filter(|(_, all_ready)| *all_ready).map(|(leader, _)| leader)
        })
    }

    fn wait(&self, within: Duration, agreement: impl Fn() -> Option<usize>) -> usize {
        let since = Instant::now();
        loop {
            if let Some(leader) = agreement() {
                return leader;
            }
            let seen = || self.routers.iter().map(|router| router.lock().unwrap().sees()).collect::<Vec<_>>();
            assert!(since.elapsed() < within, "no agreement within {within:?}: {:#?}", seen());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until another than `old` leads; how long after `fault` it began to.
    pub(crate) fn succession(&self, old: usize, fault: Moment, within: Duration) -> (usize, Duration) {
        let deadline = Instant::now() + within + LOOK_EVERY;
        loop {
            for number in self.all().into_iter().filter(|&number| number != old) {
                let mut began = self.router(number).reigns();
                began.retain(|reign| reign.1.is_none_or(|end| end > fault));
                if let Some(&(began, _)) = began.first() {
                    return (number, began.since(fault));
                }
            }
            assert!(Instant::now() < deadline, "no successor within {within:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// For how long since then two or more led at once, and nobody did: the
    /// longest spans.
    pub(crate) fn leaders_since(&self, since: Moment) -> (Duration, Duration) {
        let now = Moment::now();
        let mut edges = vec![(since, 0), (now, 0)];
        for number in self.all() {
            for (from, to) in self.router(number).reigns() {
                let (from, to) = (from.max(since), to.unwrap_or(now).max(since));
                edges.extend([(from, 1), (to, -1)]);
            }
        }
        // An end before a beginning of the same moment: no overlap of nothing.
        edges.sort_unstable();
        let (mut leaders, mut several, mut none) = (0, Duration::ZERO, Duration::ZERO);
        // A change among two that lead is no end of two.
        let (mut two_since, mut none_since) = (None, None);
        for (at, change) in edges {
            several = several.max(two_since.map_or(Duration::ZERO, |from| at.since(from)));
            none = none.max(none_since.map_or(Duration::ZERO, |from| at.since(from)));
            leaders += change;
            two_since = (leaders > 1).then(|| two_since.unwrap_or(at));
            none_since = (leaders < 1).then(|| none_since.unwrap_or(at));
        }
        (several, none)
    }

    fn describe(&self) -> String {
        let of = |number: usize| format!("\n--- router {number}:\n{}", self.router(number).log());
        self.all().into_iter().map(of).collect()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

impl Router {
    /// Starts it and waits until it serves clients.
    pub(crate) fn start(&mut self) {
        assert!(self.program.is_none(), "it runs");
        let program = Program::start((self.command)(self.dir.path()));
        self.is_back();
        self.program = Some(program);
        let since = Instant::now();
        while !self.life().contains("serving clients on") {
            let ended = self.program.as_mut().unwrap().has_ended();
            assert!(!ended && since.elapsed() < SERVES_MAX, "it does not serve:\n{}", self.life());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// As a power cut ends it. Says when.
    pub(crate) fn kill(&mut self) -> Moment {
        self.end(Program::kill)
    }

    /// Asks it to go, and waits until it has gone. Says when it was asked.
    pub(crate) fn terminate(&mut self) -> Moment {
        self.end(|program| assert!(program.terminate().success()))
    }

    fn end(&mut self, how: impl FnOnce(&mut Program)) -> Moment {
        let began = Moment::now();
        let mut program = self.program.take().expect("it runs");
        how(&mut program);
        self.past += &program.finish().stderr;
        self.absences.push((began, None));
        began
    }

    /// Stops its process where it stands.
    pub(crate) fn freeze(&mut self) -> Moment {
        self.signal("STOP");
        let began = Moment::now();
        self.absences.push((began, None));
        began
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) -> Moment {
        self.is_back();
        self.signal("CONT");
        Moment::now()
    }

    fn is_back(&mut self) {
        if let Some((_, end @ None)) = self.absences.last_mut() {
            *end = Some(Moment::now());
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        self.program.as_ref().expect("it runs").signal(name);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.as_ref().expect("it runs").pid()
    }

    /// Its folder: `identity.key` and what is beside it, `data/`, `mesh.key`.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What this life has said so far.
    pub(crate) fn life(&self) -> String {
        self.program.as_ref().map(Program::stderr).unwrap_or_default()
    }

    /// What all its lives have said so far.
    pub(crate) fn log(&self) -> String {
        self.past.clone() + &self.life()
    }

    /// Its id in the mesh.
    pub(crate) fn id(&self) -> String {
        self.status()["id"].as_str().expect("an id").to_owned()
    }

    /// Who leads, as it says now; `None`: it is gone, or stands still.
    pub(crate) fn sees(&self) -> Option<Seen> {
        let status = self.program.as_ref().and_then(|_| self.ask().ok())?;
        let routers = status["routers"].as_array()?;
        let names = routers.iter().map(|router| router["name"].as_str());
        Some(Seen {
            leads: status["mode"] == "server",
            waits: routers.iter().any(|router| router["mode"] == "waiting"),
            leader: Leader { name: status["coordinator"].clone(), epoch: status["epoch"].clone() },
            members: names.map(|name| name.map(str::to_owned)).collect::<Option<_>>()?,
        })
    }

    /// When it led: from, to; `None`: still.
    pub(crate) fn reigns(&self) -> Vec<(Moment, Option<Moment>)> {
        let log = self.log();
        let views = log.lines().filter_map(|line| Some((Moment::of_line(line)?, leads(line)?, true)));
        // Who is away does not lead; who was frozen goes on as it was.
        let away = self.absences.iter().flat_map(|&(from, to)| {
            [Some((from, false, false)), to.map(|to| (to, true, false))].into_iter().flatten()
        });
        let mut events: Vec<_> = views.chain(away).collect();
        events.sort_by_key(|event| event.0);
        let (mut believes, mut here, mut reigns) = (false, true, Vec::new());
        for (at, now, is_view) in events {
            *(if is_view { &mut believes } else { &mut here }) = now;
            match (believes && here, reigns.last_mut()) {
                (true, None | Some((_, Some(_)))) => reigns.push((at, None)),
                (false, Some((_, end @ None))) => *end = Some(at),
                _ => {}
            }
        }
        reigns
    }

    /// Its status.
    ///
    /// # Panics
    /// If it does not answer.
    pub(crate) fn status(&self) -> Value {
        self.ask().unwrap_or_else(|error| panic!("{error}; it said:\n{}", self.life()))
    }

    fn ask(&self) -> std::io::Result<Value> {
        let mut socket = UnixStream::connect(self.dir.path().join("control.sock"))?;
        socket.set_read_timeout(Some(ANSWERS_MAX))?;
        socket.write_all(b"status\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Its resident memory but for what is mapped from files, in KiB (proc(5), `RssAnon`).
    pub(crate) fn anonymous_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Whether it leads, if a line tells.
fn leads(line: &str) -> Option<bool> {
    let (before, _) = line.split_once("; routers in reach: ")?;
    Some(before.contains("this router leads"))
}

fn name(number: usize) -> String {
    format!("router-{number}")
}

/// As it runs with nothing configured but what keeps it apart from others.
fn command(net: &Net, host: usize, dir: &Path, options: &[String]) -> Command {
    let at = |name: &str| dir.join(name).display().to_string();
    let mut command = net.command(host, env!("CARGO_BIN_EXE_fau3"));
    command.arg("node");
    for option in [
        format!("node.name={}", name(host)),
        format!("node.data_dir={}", at("data")),
        format!("node.identity={}", at("identity.key")),
        format!("node.control={}", at("control.sock")),
        format!("mesh.key={}", at("mesh.key")),
        "node.console=".to_owned(),
    ] {
        command.args(["--set", &option]);
    }
    for option in options {
        command.args(["--set", option]);
    }
    command
}

/// A mesh key, as its file has it.
pub(crate) fn new_key() -> String {
    let made = finish(fau3(&["keys", "--new-mesh-key"]));
    assert!(made.status.success(), "{made}");
    made.stdout
}

fn write_secret(path: &PathBuf, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

//! What tests of the whole program share: a node of their own on a free port,
//! with folders of its own, and programs that end or are ended.
//!
//! ```ignore
//! let node = Node::start();                                  // defaults, RAM, no mesh
//! let node = Node::with(&["clients.storage=disk"]).start();  // any option of the UCI file
//! ```
#![allow(clippy::unwrap_used)]
// Each test program uses its part of this.
#![allow(dead_code, unused_imports)]

pub(crate) mod desktop;
mod disk;
#[cfg(feature = "net")]
pub(crate) mod http;
mod netns;
mod process;
#[cfg(feature = "net")]
pub(crate) mod radio;
pub(crate) mod readme;
mod temp;
pub(crate) mod trio;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

pub(crate) use disk::Disk;
pub(crate) use fau3_skipped::skipped;
pub(crate) use netns::{Net, batch, feed};
pub(crate) use process::{Finished, Program, finish, finish_with_input};
pub(crate) use temp::TempDir;

/// A node that does not listen after this long is broken, not slow.
const START_MAX: Duration = Duration::from_secs(20);
/// Ports are free when chosen, and may be taken a moment later.
const PORT_TRIES: u32 = 5;

/// This project's program, as built for this test run.
pub(crate) fn fau3(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fau3"));
    command.args(args);
    command
}

/// Whether Debian's Python runs `code` without an error: `import websockets`.
pub(crate) fn python_can(code: &str) -> bool {
    let tried = Command::new(PYTHON).args(["-c", code]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Debian's own, which sees Debian's packages, whatever else is installed.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What a node shall be started with.
#[derive(Clone)]
pub(crate) struct Setup {
    set: Vec<String>,
    config: Option<PathBuf>,
}

impl Setup {
    /// With a UCI file, too, over which what is set here wins.
    pub(crate) fn configured_by(self, file: &Path) -> Self {
        Self { config: Some(file.to_owned()), ..self }
    }

    /// With these options, too, which count more.
    pub(crate) fn and(mut self, options: &[&str]) -> Self {
        self.set.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// Starts the node and waits until it listens.
    ///
    /// # Panics
    /// If it does not, with what it said on standard error.
    pub(crate) fn start(self) -> Node {
        let dir = TempDir::new("node");
        let mut said = String::new();
        for _ in 0..PORT_TRIES {
            let address = free_address();
            let mut program = spawn(&dir, address, &self);
            match wait_until_listening(&mut program, address) {
                Ok(()) => return Node { program, address, dir, setup: self },
                Err(Failed::Silent) => panic!("the node does not listen:\n{}", program.stderr()),
                Err(Failed::Ended) => said = program.stderr(),
            }
            if !said.contains("the port is taken") {
                break;
            }
        }
        panic!("the node ended instead of listening:\n{said}");
    }
}

/// A running `fau3 node`, killed when dropped. Its folder is kept if the test
/// fails.
pub(crate) struct Node {
    program: Program,
    address: SocketAddr,
    dir: TempDir,
    setup: Setup,
}

impl Node {
    /// One with nothing but what keeps it apart from others.
    pub(crate) fn start() -> Self {
        Self::with(&[]).start()
    }

    /// One with options of the UCI file, each as `section.option=value`.
    pub(crate) fn with(options: &[&str]) -> Setup {
        Setup { set: options.iter().map(|&option| option.to_owned()).collect(), config: None }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as clients write it.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Its control socket.
    pub(crate) fn control(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// Its own folder: `data/`, `identity.key`, `control.sock`.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What it has said on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.program.stderr()
    }

    /// `status` as its control socket answers it.
    ///
    /// # Panics
    /// If the command fails or prints anything but JSON.
    pub(crate) fn status(&self) -> serde_json::Value {
        let control = self.control();
        let asked = finish(fau3(&["status", "--json", "--control", control.to_str().unwrap()]));
        assert!(asked.status.success(), "{asked}");
        serde_json::from_str(&asked.stdout).unwrap_or_else(|error| panic!("{error}: {asked}"))
    }

    /// SIGHUP: read the configuration again.
    pub(crate) fn hang_up(&self) {
        self.program.signal("HUP");
    }

    /// As the power does it: no goodbye, nothing written any more.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    /// Asks it to go and waits until it has gone.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.program.terminate()
    }

    /// Starts it again, after [`Node::kill`] or [`Node::terminate`], on the
    /// same port with the same folders.
    ///
    /// # Panics
    /// If it does not listen, with what it said.
    pub(crate) fn start_again(&mut self) {
        self.program.kill();
        self.program = spawn(&self.dir, self.address, &self.setup);
        if wait_until_listening(&mut self.program, self.address).is_err() {
            panic!("the node does not come back:\n{}", self.program.stderr());
        }
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within `span`, naming `what` was waited for.
pub(crate) fn wait_for(what: &str, span: Duration, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < span, "waited {span:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn spawn(dir: &TempDir, address: SocketAddr, setup: &Setup) -> Program {
    let at = |name: &str| dir.path().join(name).display().to_string();
    let mut command = fau3(&["node"]);
    if let Some(file) = &setup.config {
        command.arg("--config").arg(file);
    }
    for option in [
        format!("clients.listen={address}"),
        format!("node.data_dir={}", at("data")),
        format!("node.identity={}", at("identity.key")),
        format!("node.control={}", at("control.sock")),
        "node.console=".to_owned(),
        "mesh.enabled=0".to_owned(),
    ] {
        command.args(["--set", &option]);
    }
    for option in &setup.set {
        command.args(["--set", option]);
    }
    Program::start(command)
}

enum Failed {
    Ended,
    Silent,
}

fn wait_until_listening(program: &mut Program, address: SocketAddr) -> Result<(), Failed> {
    let since = Instant::now();
    while since.elapsed() < START_MAX {
        if program.has_ended() {
            return Err(Failed::Ended);
        }
        // Another program may listen where it wanted to, and this one not have ended yet.
        if listens(program.pid(), address.port()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Failed::Silent)
}

/// Whether this process itself listens on a port, as proc(5) says.
fn listens(pid: u32, port: u16) -> bool {
    const LISTENING: &str = "0A";
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")));
    let lines: Vec<String> = tables.into_iter().flatten().flat_map(|table| lines_of(&table)).collect();
    let inodes = lines.iter().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let is_it = local.ends_with(&format!(":{port:04X}")) && *state == LISTENING;
        is_it.then(|| format!("socket:[{inode}]"))
    });
    let inodes: Vec<String> = inodes.collect();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
}

fn lines_of(table: &str) -> Vec<String> {
    table.lines().map(str::to_owned).collect()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

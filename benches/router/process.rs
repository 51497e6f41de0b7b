//! The servers as processes: start, pin to a processor, read what they cost, stop.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::Session,
        dialect::{Dialect, Result},
        fau3::Fau3,
        proc::{cpu_s, find, status_kib},
    },
    mqtt::Mqtt,
};

/// How long a server may take from exec until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two tries to reach a server that is starting.
const RETRY_PAUSE: Duration = Duration::from_micros(500);
/// More than any work here connects.
const MAX_CLIENTS: u32 = 2000;

/// What can be measured.
#[derive(Clone)]
pub(crate) enum Program {
    Fau3(PathBuf),
    Mosquitto(PathBuf),
}

impl Program {
    /// Debian's mosquitto, wherever it is; Debian keeps it where an ordinary user's PATH does not look.
    pub(crate) fn find_mosquitto() -> Option<Program> {
        find("mosquitto").map(Program::Mosquitto)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Program::Fau3(_) => "fau3",
            Program::Mosquitto(_) => "mosquitto",
        }
    }

    pub(crate) fn dialect(&self) -> Rc<dyn Dialect> {
        match self {
            Program::Fau3(_) => Rc::new(Fau3),
            Program::Mosquitto(_) => Rc::new(Mqtt),
        }
    }

    /// The first line that it says about itself.
    pub(crate) fn version(&self) -> String {
        let (path, argument) = match self {
            Program::Fau3(path) => (path, "--version"),
            Program::Mosquitto(path) => (path, "-h"),
        };
        let output = Command::new(path).arg(argument).output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("unknown version").to_owned()
    }

    /// Path and arguments to serve on `port`, keeping files in `scratch`.
    fn command(&self, port: u16, scratch: &Path) -> Result<(&Path, Vec<String>)> {
        match self {
            Program::Fau3(path) => Ok((path, fau3_arguments(port, scratch)?)),
            Program::Mosquitto(path) => {
                let config = scratch.join("mosquitto.conf");
                fs::write(&config, mosquitto_config(port))?;
                Ok((path, vec!["-c".into(), config.display().to_string()]))
            }
        }
    }
}

fn fau3_arguments(port: u16, scratch: &Path) -> Result<Vec<String>> {
    let scratch = scratch.display();
    let settings = [
        format!("clients.listen=127.0.0.1:{port}"),
        format!("clients.max_clients={MAX_CLIENTS}"),
        "mesh.enabled=0".to_owned(),
        format!("node.console=127.0.0.1:{}", free_port()?),
        format!("node.control={scratch}/fau3.sock"),
        format!("node.data_dir={scratch}"),
        format!("node.identity={scratch}/identity.key"),
        "node.log=warn".to_owned(),
    ];
    let mut arguments = vec!["node".to_owned()];
    for setting in settings {
        arguments.extend(["--set".to_owned(), setting]);
    }
    Ok(arguments)
}

/// Everything else as Debian delivers it: 20 in flight to a client.
fn mosquitto_config(port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
         max_queued_messages 0\nlog_dest stderr\nlog_type error\nlog_type warning\n"
    )
}

/// A running server. Dropping it ends the process and removes its files.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// From exec until it answered.
    pub(crate) started_in: Duration,
    child: Child,
    scratch: PathBuf,
}

impl Server {
    /// Starts `program`, on `processor` alone if there is one to spare, and waits until it answers a client.
    pub(crate) fn start(program: &Program, processor: Option<usize>) -> Result<Server> {
        let port = free_port()?;
        let scratch = env::temp_dir().join(format!("fau3-bench-{}-{port}", id()));
        fs::create_dir_all(&scratch)?;
        let (path, arguments) = program.command(port, &scratch)?;
        let mut command = match processor {
            // taskset(1) replaces itself with the program: the process id stays.
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(processor.to_string()).arg(path);
                command
            }
            None => Command::new(path),
        };
        let log = fs::File::create(scratch.join("log"))?;
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", path.display()))?;
        let mut server = Server { port, started_in: Duration::ZERO, child, scratch };
        server.wait_until_it_answers(program, begun)?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self, program: &Program, begun: Instant) -> Result<()> {
        let dialect = program.dialect();
        loop {
            let Err(error) = Session::open(&*dialect, loopback(self.port), "bench-first") else {
                self.started_in = begun.elapsed();
                return Ok(());
            };
            if let Some(status) = self.child.try_wait()? {
                return Err(
                    format!("{} ended while starting ({status}){}", program.name(), self.log()).into()
                );
            }
            if begun.elapsed() > START_LIMIT {
                return Err(format!("{} did not answer: {error}{}", program.name(), self.log()).into());
            }
            thread::sleep(RETRY_PAUSE);
        }
    }

    /// Seconds of processor time, user and system, that it has used.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        cpu_s(self.child.id())
    }

    /// Resident now, KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Resident at most since exec, KiB.
    pub(crate) fn resident_max_kib(&self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<f64> {
        Ok(status_kib(self.child.id(), field).map_err(|error| format!("{error}{}", self.log()))?)
    }

    /// The last that it said, for an error's text.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.scratch.join("log")).unwrap_or_default();
        let mut last: Vec<&str> = log.lines().rev().take(5).collect();
        last.reverse();
        if last.is_empty() { String::new() } else { format!("; its log ends: {}", last.join(" | ")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors: it has ended already, or its files are gone; either is what is wanted here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Seconds of processor time of the generator itself.
pub(crate) fn own_cpu_s() -> Result<f64> {
    cpu_s(id())
}

/// Keeps the generator on the first processor and returns the last one, for the server; `None` if there is only one
/// or no taskset(1).
pub(crate) fn separate_processors() -> Option<usize> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    if processors < 2 {
        return None;
    }
    let pinned = Command::new("taskset").args(["-cp", "0", &id().to_string()]).output();
    pinned.is_ok_and(|output| output.status.success()).then_some(processors - 1)
}

/// Where a server that listens on `port` is reached.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

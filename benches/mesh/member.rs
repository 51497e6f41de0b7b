//! One program on one host, and what it says of who leads. Each line of its standard error is stamped when it arrives,
//! by a thread that does nothing else: both programs say there at once when their mind changes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::dialect::Result;

/// Lines kept to explain a failure.
const LAST_LINES: usize = 20;
/// A program asked to end that has not after this long is killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// What a line says.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    /// This one leads now.
    pub(crate) leads: bool,
    /// How many it counts, itself included; 0: it does not count.
    pub(crate) in_reach: usize,
}

/// A running program; killed when dropped.
pub(crate) struct Member {
    child: Child,
    heard: Arc<Mutex<Heard>>,
    ended: Option<Instant>,
}

#[derive(Default)]
struct Heard {
    /// In the order of time.
    said: Vec<(Instant, Said)>,
    lines: Vec<String>,
}

impl Member {
    /// Starts `command` and reads what it says as `reader` understands it.
    pub(crate) fn start(mut command: Command, reader: fn(&str) -> Option<Said>) -> Result<Member> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let heard = Arc::<Mutex<Heard>>::default();
        let shared = heard.clone();
        // Ends with the program.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
                let now = Instant::now();
                let mut heard = lock(&shared);
                heard.said.extend(reader(&line).map(|said| (now, said)));
                if heard.lines.len() >= LAST_LINES {
                    heard.lines.remove(0);
                }
                heard.lines.push(line);
            }
        });
        Ok(Member { child, heard, ended: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// What it says now; nothing once it has been ended.
    pub(crate) fn now(&self) -> Said {
        let last = lock(&self.heard).said.last().map(|(_, said)| *said);
        last.filter(|_| self.is_running()).unwrap_or_default()
    }

    /// When it began to lead, each time.
    pub(crate) fn beginnings(&self) -> Vec<Instant> {
        let mut led = false;
        let mut begun = Vec::new();
        for (at, said) in &lock(&self.heard).said {
            if said.leads && !led {
                begun.push(*at);
            }
            led = said.leads;
        }
        begun
    }

    /// Every change of whether it leads, its end included.
    pub(crate) fn changes(&self) -> Vec<(Instant, bool)> {
        let mut changes: Vec<(Instant, bool)> =
            lock(&self.heard).said.iter().map(|(at, said)| (*at, said.leads)).collect();
        changes.dedup_by_key(|(_, leads)| *leads);
        changes.extend(self.ended.map(|at| (at, false)));
        changes
    }

    /// The last lines that it said, for an error's text.
    pub(crate) fn log(&self) -> String {
        lock(&self.heard).lines.join("\n    ")
    }

    /// SIGKILL to it and to what it has started, which shall not have time to say goodbye when it misses its parent:
    /// so that comes first.
    pub(crate) fn kill(&mut self) -> Instant {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let at = Instant::now();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            signal(child, Signal::KILL);
        }
        signal(pid, Signal::KILL);
        self.ended.get_or_insert(at);
        let _ = self.child.wait();
        at
    }

    /// SIGTERM, without waiting for what comes of it.
    pub(crate) fn terminate(&mut self) -> Instant {
        let at = Instant::now();
        signal(self.child.id(), Signal::TERM);
        self.ended = Some(at);
        at
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // keepalived removes what it has set only when it is asked to end; the namespace goes with it anyway.
        let asked = Instant::now();
        while self.ended.is_some() && asked.elapsed() < END_PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended by itself.
    let _ = pid.map(|pid| kill_process(pid, signal));
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

use std::fmt;
use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A program that runs longer than this is ended, and the test fails.
const RUN_MAX: Duration = Duration::from_secs(60);
/// A program asked to end that has not after this long is stuck.
const END_MAX: Duration = Duration::from_secs(10);

/// A program that runs beside the test; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// A program that has run to its end.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
///
/// # Panics
/// If it does not end within a minute, with what it said.
pub(crate) fn finish(command: Command) -> Finished {
    Program::start(command).finish()
}

/// As [`finish`], with something to read from standard input.
pub(crate) fn finish_with_input(command: Command, input: &[u8]) -> Finished {
    let mut program = Program::start_with(command, Stdio::piped());
    // Dropped after that, which is the end of its input.
    program.child.stdin.take().unwrap().write_all(input).unwrap();
    program.finish()
}

impl Program {
    /// Starts it with its output captured and nothing to read.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    fn start_with(mut command: Command, stdin: Stdio) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(stdin);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until `text` stands in what it printed or said.
    pub(crate) fn wait_until_it_says(&mut self, text: &str) {
        let since = Instant::now();
        loop {
            let ended = self.has_ended();
            if self.stdout().contains(text) || self.stderr().contains(text) {
                return;
            }
            let said = (self.stdout(), self.stderr());
            assert!(!ended && since.elapsed() < RUN_MAX, "waited for {text:?} in vain: {said:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within a minute, with what it said.
    pub(crate) fn finish(mut self) -> Finished {
        let status = self.wait(RUN_MAX);
        self.stdout.close();
        self.stderr.close();
        Finished { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// SIGTERM, then its end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait(END_MAX)
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "no signal {name} to {pid}");
    }

    /// SIGKILL, then its end.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self, span: Duration) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if since.elapsed() > span {
                self.kill();
                panic!("ran longer than {span:?}: {:?} {:?}", self.stdout(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

/// What comes out of a pipe, gathered by a thread so that the pipe never fills.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for the rest, which is there once the program has ended.
    fn close(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

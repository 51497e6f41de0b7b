//! The control socket: one command a connection, as a line of text; the answer
//! is one JSON object, then the end. Whoever may write to the file may ask.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::Control;

/// The longest command, its end included, in bytes.
const COMMAND_BYTES_MAX: usize = 256;
/// Connections served at once; the next ones wait until one of them ends.
const CONNECTIONS_MAX: usize = 16;
/// A connection is over after this long, whatever it waits for.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);
/// Owner and group may ask.
const SOCKET_MODE: u32 = 0o660;
/// For the folder, if there is none yet.
const FOLDER_MODE: u32 = 0o750;
/// After accept(2) failed (no descriptors left, say), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug)]
pub struct SocketError {
    path: PathBuf,
    what: Obstacle,
}

#[derive(Debug)]
enum Obstacle {
    /// A process listens there.
    Alive,
    /// Something is there that no router has put there.
    NotASocket,
    /// The system refuses.
    Io(io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            Obstacle::Alive => write!(
                f,
                "control socket {path}: another router answers there; stop it, or give this one \
                 its own with node.control"
            ),
            Obstacle::NotASocket => write!(
                f,
                "control socket {path}: something that is not a socket is there; remove it, or \
                 choose another path with node.control"
            ),
            Obstacle::Io(error) => {
                write!(f, "control socket {path}: {error}; choose another path with node.control")
            }
        }
    }
}

impl std::error::Error for SocketError {}

/// The control socket is there as long as this is.
#[derive(Debug)]
pub struct SocketGuard {
    path: PathBuf,
    /// Device and inode, to know it again.
    file: (u64, u64),
    task: JoinHandle<()>,
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.task.abort();
        // Not one that another router has put there since.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// See [`Control::serve_socket`].
pub(super) fn serve(control: Control, path: &Path) -> Result<SocketGuard, SocketError> {
    let fail = |what| SocketError { path: path.to_owned(), what };
    let (listener, file) = bind(path).map_err(fail)?;
    let task = tokio::spawn(accept(control, listener));
    Ok(SocketGuard { path: path.to_owned(), file, task })
}

fn bind(path: &Path) -> Result<(UnixListener, (u64, u64)), Obstacle> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok((listener, identity(path)?))
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Removes the socket of a process that ended without doing so.
fn remove_stale(path: &Path) -> Result<(), Obstacle> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(Obstacle::NotASocket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match connect(path) {
        Err(Errno::CONNREFUSED) => Ok(fs::remove_file(path)?),
        Err(Errno::NOENT) => Ok(()),
        // Would block: so many wait already.
        Ok(()) | Err(Errno::AGAIN) => Err(Obstacle::Alive),
        Err(errno) => Err(Obstacle::Io(errno.into())),
    }
}

/// Connects without ever waiting, and hangs up.
fn connect(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

async fn accept(control: Control, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = control.clone();
                tokio::spawn(async move {
                    // Too late for an answer: whoever asked has not read or not asked.
                    let _ = timeout(CONNECTION_TIME_MAX, converse(&control, stream)).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!("control socket: cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(control: &Control, mut stream: UnixStream) -> io::Result<()> {
    let mut buffer = [0; COMMAND_BYTES_MAX];
    let answer = match read_line(&mut stream, &mut buffer).await?.and_then(Command::parse) {
        Ok(Command::Status) => control.status_json().await.unwrap_or_else(|why| error_json(&why.to_string())),
        Err(why) => error_json(&why),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// A line without its end. The end of the stream ends a line, too.
async fn read_line<'a>(
    stream: &mut UnixStream,
    buffer: &'a mut [u8; COMMAND_BYTES_MAX],
) -> io::Result<Result<&'a [u8], String>> {
    let mut length = 0;
    while length < buffer.len() {
        let count = stream.read(&mut buffer[length..]).await?;
        let end = buffer[length..length + count].iter().position(|byte| *byte == b'\n');
        length += end.unwrap_or(count);
        if end.is_some() || count == 0 {
            return Ok(Ok(&buffer[..length]));
        }
    }
    Ok(Err(format!("a command has at most {COMMAND_BYTES_MAX} bytes, its end included; {}", Command::KNOWN)))
}

/// All that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// How is the router?
    Status,
}

impl Command {
    /// For those who ask for something else.
    const KNOWN: &str = "known commands: status";

    fn parse(line: &[u8]) -> Result<Self, String> {
        match line.trim_ascii() {
            b"status" => Ok(Self::Status),
            b"" => Err(format!("no command; {}", Self::KNOWN)),
            other => Err(format!("unknown command {:?}; {}", String::from_utf8_lossy(other), Self::KNOWN)),
        }
    }
}

fn error_json(why: &str) -> String {
    format!("{}\n", serde_json::json!({ "error": why }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdListener;

    use super::super::status::tests::report;
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(what: &str) -> Self {
            Self(std::env::temp_dir().join(format!("fau3-control-{}-{what}", std::process::id())))
        }

        fn socket(&self) -> PathBuf {
            self.0.join("run/fau3.sock")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn control() -> Control {
        let (control, mut node) = Control::new();
        tokio::spawn(async move {
            while let Some(answer) = node.recv().await {
                let _ = answer.send(Box::new(report()));
            }
        });
        control
    }

    async fn ask(path: &Path, question: &[u8]) -> serde_json::Value {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(question).await.unwrap();
        let mut answer = Vec::new();
        // What was sent beyond a command may end in a reset behind the answer.
        let _ = stream.read_to_end(&mut answer).await;
        serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    #[test]
    fn a_command_is_a_word_on_a_line() {
        assert_eq!(Command::parse(b"status"), Ok(Command::Status));
        assert_eq!(Command::parse(b" status\r"), Ok(Command::Status));
        let why = |line: &[u8]| Command::parse(line).unwrap_err();
        assert_eq!(why(b""), "no command; known commands: status");
        assert_eq!(why(b"stop \xff"), "unknown command \"stop \u{fffd}\"; known commands: status");
    }

    #[tokio::test]
    async fn a_socket_answers_is_private_and_goes_with_its_guard() {
        // Given a folder that is not there yet
        let place = Place::new("answers");
        let path = place.socket();
        let guard = control().serve_socket(&path).unwrap();
        // then the socket answers, to owner and group,
        assert_eq!(ask(&path, b"status\n").await["name"], "router-a");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        let error = ask(&path, b"reboot\n").await["error"].clone();
        assert_eq!(error, "unknown command \"reboot\"; known commands: status");
        let error = ask(&path, &[b'x'; 1_000]).await["error"].clone();
        assert!(error.as_str().unwrap().starts_with("a command has at most 256 bytes"), "{error}");
        // and is gone at the end.
        drop(guard);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_process_is_replaced_and_a_live_one_is_not() {
        let place = Place::new("stale");
        let path = place.socket();
        // Given a socket that its process has left behind,
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        // when a router starts, then it takes its place;
        let _first = control().serve_socket(&path).unwrap();
        assert_eq!(ask(&path, b"status\n").await["name"], "router-a");
        // a second router does not, and says where and what to do.
        let refused = control().serve_socket(&path).unwrap_err().to_string();
        assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        assert!(refused.contains("another router") && refused.contains("node.control"), "{refused}");
        assert_eq!(ask(&path, b"status\n").await["name"], "router-a", "the first is undisturbed");
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let place = Place::new("file");
        let path = place.socket();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        let refused = control().serve_socket(&path).unwrap_err().to_string();
        assert!(refused.contains("not a socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        // A path that no socket can have names itself, too.
        let long = place.0.join("x".repeat(200));
        let refused = control().serve_socket(&long).unwrap_err().to_string();
        assert!(refused.contains("xxx") && refused.contains("node.control"), "{refused}");
    }

    #[tokio::test]
    async fn a_guard_removes_only_its_own_socket() {
        let place = Place::new("own");
        let path = place.socket();
        let old = control().serve_socket(&path).unwrap();
        // Given somebody who removed the socket and put another one there,
        fs::remove_file(&path).unwrap();
        let _new = control().serve_socket(&path).unwrap();
        // when the first ends, then the other still answers.
        drop(old);
        assert_eq!(ask(&path, b"status\n").await["name"], "router-a");
    }

    #[tokio::test]
    async fn those_who_say_nothing_keep_others_out_for_five_seconds_at_most() {
        let place = Place::new("silent");
        let path = place.socket();
        let _guard = control().serve_socket(&path).unwrap();
        // Given all places taken by those who say nothing,
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        // when one asks, then it has to wait,
        let since = std::time::Instant::now();
        assert_eq!(ask(&path, b"status\n").await["name"], "router-a");
        // but not longer than they are borne.
        let waited = since.elapsed();
        assert!(waited > CONNECTION_TIME_MAX / 2, "more than 16 are served: {waited:?}");
        assert!(waited < CONNECTION_TIME_MAX + Duration::from_secs(2), "{waited:?}");
    }
}

//! Asking a running node over its control socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::args::instance;
use super::error::Error;
use crate::config::{Config, Surroundings};

/// What is asked.
const QUESTION: &[u8] = b"status\n";
/// A node answers at once; one that has not after this long hangs.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest answer believed, in bytes: thousands of clients and rooms.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Which node is asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ControlArgs {
    /// The node's control socket [default: where `fau3 node` puts it, without
    /// arguments or as a service]
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["config", "instance"])]
    control: Option<PathBuf>,

    /// The UCI file with which the node was started
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Ask this one of several routers on this machine (node.instance)
    #[arg(long, value_name = "N", value_parser = instance())]
    instance: Option<u32>,
}

/// What a node answers when it cannot say how it is.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

/// A node's answer, and where it came from.
pub(super) struct Answer {
    path: PathBuf,
    json: String,
}

impl Answer {
    /// Asks the node that is meant; where nothing says which, each place where one may be.
    pub(super) async fn ask(args: &ControlArgs) -> Result<Self, Error> {
        let (places, is_exact) = args.places()?;
        let mut asked = Vec::new();
        let mut answers = Vec::new();
        for path in places {
            match Self::ask_at(path).await {
                Ok(answer) => answers.push(answer),
                Err(Error::Control { path, reason }) if !is_exact => asked.push((path, reason)),
                Err(error) => return Err(error),
            }
        }
        if answers.is_empty() {
            return Err(Error::Nobody { asked });
        }
        let answer = answers.remove(0);
        for other in answers {
            let (this, other) = (answer.path.display(), other.path.display());
            eprintln!("two routers answer: this is the one at {this}; for the other one: --control {other}");
        }
        Ok(answer)
    }

    async fn ask_at(path: PathBuf) -> Result<Self, Error> {
        let failed = |reason: String| Error::Control { path: path.clone(), reason };
        let json = match tokio::time::timeout(ANSWER_MAX, ask(&path)).await {
            Ok(Ok(json)) => json,
            Ok(Err(error)) => return Err(failed(reason(&error))),
            Err(_) => return Err(failed(format!("no answer within {} s", ANSWER_MAX.as_secs()))),
        };
        match serde_json::from_str(&json) {
            Ok(Refusal { error }) => Err(Error::Unanswered { path, error }),
            Err(_) => Ok(Self { path, json }),
        }
    }

    /// Where it came from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says, as far as the caller wants to know it.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        let reason = |error| format!("its answer is not a status: {error}");
        serde_json::from_str(&self.json)
            .map_err(|error| Error::Control { path: self.path.clone(), reason: reason(error) })
    }

    /// As it came, in one line with its end.
    pub(super) fn line(&self) -> String {
        format!("{}\n", self.json.trim())
    }
}

impl ControlArgs {
    /// Sockets to ask, and whether it is this one or none.
    fn places(&self) -> Result<(Vec<PathBuf>, bool), Error> {
        if let Some(path) = &self.control {
            return Ok((vec![path.clone()], true));
        }
        let instance = self.instance.unwrap_or(1);
        if self.config.is_some() {
            let sets: Vec<_> =
                self.instance.map(|number| format!("node.instance={number}")).into_iter().collect();
            let read = Config::load(self.config.as_deref(), &sets).map_err(Error::Config)?;
            return Ok((vec![read.0.node.control], true));
        }
        let mut places = Vec::new();
        if instance == 1 {
            // What the service's file says counts first, where there is one.
            places.push(Config::load(None, &[]).map_err(Error::Config)?.0.node.control);
        }
        for reads_file in [false, true] {
            let around = Surroundings::of_this_process(reads_file);
            places.push(Config::defaults_of(&around, instance).node.control);
        }
        let mut known = std::collections::BTreeSet::new();
        places.retain(|path| known.insert(path.clone()));
        Ok((places, false))
    }
}

/// Why a socket does not answer, and what to do about it.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such socket\nis a router running? start one with: fau3 node, or name the \
                                socket of the one that runs with --control"
                .to_owned()
        }
        ErrorKind::PermissionDenied => {
            "this user may not ask there\nask as root, or as the user or group of the socket".to_owned()
        }
        ErrorKind::ConnectionRefused => {
            "nobody listens there: what has made it has ended, or it is no socket\nstart \
                                         a router with: fau3 node, or name another socket with --control"
                .to_owned()
        }
        _ => format!("{error}\nis that a router's socket? name another one with --control"),
    }
}

/// A node's answer as it is.
///
/// # Errors
/// Nobody listens there.
pub(crate) async fn ask(path: &Path) -> std::io::Result<String> {
    let mut socket = UnixStream::connect(path).await?;
    socket.write_all(QUESTION).await?;
    let mut answer = String::new();
    socket.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Text that a terminal shows and does not act on.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

//! Asking a running node over its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::error::Error;
use crate::config::Config;

/// What is asked.
const QUESTION: &[u8] = b"status\n";
/// A node answers at once; one that has not after this long hangs.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest answer believed, in bytes: thousands of clients and rooms.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

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
    /// Asks the node at `control`, else where a node without arguments would be.
    pub(super) async fn ask(control: Option<PathBuf>) -> Result<Self, Error> {
        let path = match control {
            Some(path) => path,
            None => Config::load(None, &[]).map_err(Error::Config)?.0.node.control,
        };
        let failed = |reason: String| Error::Control { path: path.clone(), reason };
        let json = match tokio::time::timeout(ANSWER_MAX, ask(&path)).await {
            Ok(Ok(json)) => json,
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed(format!("no answer within {} s", ANSWER_MAX.as_secs()))),
        };
        match serde_json::from_str(&json) {
            Ok(Refusal { error }) => Err(Error::Unanswered { path, error }),
            Err(_) => Ok(Self { path, json }),
        }
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

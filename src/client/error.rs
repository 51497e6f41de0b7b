use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::SPEEX_FRAME_BYTES;
use super::args::Url;
use crate::config::Errors;

/// Why a command failed (exit status 1). The text says what to do next.
#[derive(Debug)]
pub enum Error {
    /// Not once was there a connection.
    CannotConnect {
        /// To whom.
        url: Url,
        /// What the last try came to.
        reason: String,
    },
    /// There was a connection, and it has not come back in time.
    Lost {
        /// To whom.
        url: Url,
        /// What the last try came to.
        reason: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Something else listens there.
    NoDoor {
        /// Where.
        url: Url,
        /// Its words.
        reason: String,
    },
    /// The router will not have this client.
    Rejected {
        /// Who says so.
        url: Url,
        /// Its words.
        reason: String,
    },
    /// Another client with the same id has connected.
    TakenOver {
        /// The id.
        client_id: String,
    },
    /// FAU3_INVALID: trying again is no use.
    Invalid {
        /// What was sent.
        what: String,
    },
    /// Not stored in time.
    NotStored {
        /// What was sent.
        what: String,
        /// How long was waited.
        waited: Duration,
        /// Why not, as far as the router said.
        reason: String,
    },
    /// More than fits a frame.
    TooLarge {
        /// What was to be sent.
        what: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Nothing in it.
    Empty {
        /// What was to be sent.
        what: String,
    },
    /// Something else than frames of Speex.
    NoVoice {
        /// What was to be sent.
        what: String,
        /// What it is.
        is: String,
        /// What to do.
        next: String,
    },
    /// Live audio in pieces that are no frames.
    NotFrames {
        /// What was to be sent.
        what: String,
        /// How much it holds.
        bytes: u64,
    },
    /// A file or folder.
    File {
        /// What was to be done: `read`, `write`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The control socket of a node.
    Control {
        /// Which.
        path: PathBuf,
        /// What went wrong with it.
        reason: String,
    },
    /// No node where one would be.
    Nobody {
        /// The sockets that were asked, and what is wrong with each.
        asked: Vec<(PathBuf, String)>,
    },
    /// A node is there, and cannot say how it is.
    Unanswered {
        /// Its control socket.
        path: PathBuf,
        /// Its words.
        error: String,
    },
    /// The configuration, which names the control socket.
    Config(Errors),
    /// The system denied something that every system has.
    System(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotConnect { url, reason } => write!(f, "cannot connect to {url}: {reason}"),
            Self::Lost { url, reason, waited } => write!(
                f,
                "the connection to {url} is lost and did not come back within {} s: {reason}\n\
                 look whether the router is up (fau3 status there), or wait longer with --timeout-s",
                waited.as_secs()
            ),
            Self::NoDoor { url, reason } => write!(
                f,
                "{url} is not where clients connect: {reason}\n\
                 try the port of clients.listen, 8901 by default"
            ),
            Self::Rejected { url, reason } => write!(
                f,
                "{url} does not let this client in: {reason}\n\
                 choose another --client-id, or look at the router's allow_client and max_clients"
            ),
            Self::TakenOver { client_id } => write!(
                f,
                "another client has connected as {client_id} and taken the session over\n\
                 give each client a --client-id of its own"
            ),
            Self::Invalid { what } => write!(
                f,
                "the router calls {what} invalid (FAU3_INVALID) and did not store it\n\
                 is it a FAU3VOM-D server, of the version that you expect? look at its log"
            ),
            Self::NotStored { what, waited, reason } => write!(
                f,
                "{what} was not stored within {} s: {reason}\n\
                 look at the router's storage and log (fau3 status there), or wait longer with --timeout-s",
                waited.as_secs()
            ),
            Self::TooLarge { what, limit } => write!(
                f,
                "{what} is too large: a record of this room holds at most {limit} bytes \
                 (1 MiB a frame, base64)\n\
                 split it into smaller files, or send it live with --stream"
            ),
            Self::Empty { what } => write!(f, "{what} is empty: there is nothing to send"),
            Self::NoVoice { what, is, next } => {
                write!(f, "{what} is {is}, and radios play Speex only (narrowband, quality 8)\n{next}")
            }
            Self::NotFrames { what, bytes } => write!(
                f,
                "{what} has {bytes} bytes, which is not a whole number of {SPEEX_FRAME_BYTES}-byte frames: it is no \
                 Speex of quality 8, or it is cut off\n\
                 send it as it is, as one record, without --stream"
            ),
            Self::File { what, path, error } => write!(f, "cannot {what} {}: {error}", path.display()),
            Self::Control { path, reason } => {
                write!(f, "cannot ask the node at {}: {reason}", path.display())
            }
            Self::Nobody { asked } => {
                f.write_str("no router answers on this machine:\n")?;
                for (path, reason) in asked {
                    let first = reason.lines().next().unwrap_or_default();
                    writeln!(f, "  {}: {first}", path.display())?;
                }
                f.write_str(
                    "start one with: fau3 node, or name the one that runs with --control SOCKET, --config FILE or \
                     --instance N, as it was started",
                )
            }
            Self::Unanswered { path, error } => {
                write!(f, "the node at {} has no answer: {error}", path.display())
            }
            Self::Config(errors) => write!(f, "{errors}\nmend it, or name the socket with --control"),
            Self::System(error) => write!(f, "the system refuses: {error}"),
        }
    }
}

impl std::error::Error for Error {}

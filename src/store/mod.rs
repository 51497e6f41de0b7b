//! What must survive a restart: records, sessions with what is settled for
//! them, remembered messages. An SQLite file in the data folder, one thread
//! that owns it, and a handle for the node.
//!
//! It does not know the network or the router's rules: it puts commits on disk
//! in order, as few transactions as it can, and says how far it has come. A
//! disk that fails never stops the node: commits are answered with "not on
//! disk" until it works again. Wall clocks are not used: ages come from a clock
//! that runs on from life to life.
//!
//! Without the cargo feature `disk` the handle exists all the same, and opening
//! it says what is missing.

#[cfg(feature = "disk")]
mod batch;
#[cfg(feature = "disk")]
mod database;
#[cfg(feature = "disk")]
mod disk;
#[cfg(feature = "disk")]
mod files;
mod place;
#[cfg(feature = "disk")]
mod row;
#[cfg(all(test, feature = "disk"))]
mod testing;
#[cfg(all(test, feature = "disk"))]
mod tests;
#[cfg(feature = "disk")]
mod writer;

#[cfg(not(feature = "disk"))]
mod without;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "disk")]
pub use batch::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BATCH_SESSIONS_MAX};
#[cfg(feature = "disk")]
pub use disk::Store;
pub use place::volatile_warning;
#[cfg(not(feature = "disk"))]
pub use without::Store;
#[cfg(feature = "disk")]
pub use writer::{GROUP_INTERVAL, RETRY_INTERVAL};

/// The database's name in the data folder.
pub const FILE_NAME: &str = "records.db";
/// To this name a damaged database is moved; an earlier one is replaced, so
/// that flash does not fill up.
pub const DAMAGED_NAME: &str = "records.db.damaged";
/// To this name and a number goes a database that somebody put in the place of
/// the one that was open, or that came too late to be read.
pub const FOUND_NAME: &str = "records.db.found-";

/// How far the store has come: this commit and every earlier one is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The newest commit that is done with.
    pub number: u64,
    /// False: none of those since the last answer is on disk.
    pub ok: bool,
    /// What was on disk before is there no more: all that is in memory is to be
    /// handed over as one commit ([`crate::router::Commit::whole`]). Asked again
    /// until it is there.
    pub lost: bool,
}

/// What the router's settings say about storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How old a record may become (`clients.storage_max_age_s`); messages are
    /// remembered twice as long.
    pub age_max: Duration,
}

/// What the store did since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions that are on disk.
    pub transactions: u64,
    /// Records in them.
    pub records: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// Whether the latest one failed.
    pub failing: bool,
    /// The latest failure's text.
    pub last_error: Option<String>,
    /// How often the database was gone and was written anew from memory.
    pub written_anew: u64,
}

/// Why the store cannot be opened. A disk that is full, read-only or broken is
/// not among them: it may work again.
#[derive(Debug)]
pub enum Error {
    /// Another process uses the same data folder.
    InUse(PathBuf),
    /// A newer program wrote the file.
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema's version.
        found: i32,
        /// The newest that this program knows.
        known: i32,
    },
    /// The system gives no thread or no random numbers.
    System(std::io::Error),
    /// The program was built without the feature `disk`.
    NotBuilt,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(file) => write!(
                f,
                "{}: another process uses it; stop that one, or give this node a node.data_dir of its own",
                file.display()
            ),
            Self::Newer { file, found, known } => write!(
                f,
                "{}: a newer fau3 wrote it (schema {found}, this one knows {known}); install that version \
                 again, or move the file away and lose what it holds",
                file.display()
            ),
            Self::System(error) => write!(f, "the storage cannot be started: {error}; free some memory"),
            Self::NotBuilt => f.write_str(
                "clients.storage is 'disk', but this program was built without the feature disk; \
                 set it to 'ram', or install the build with storage",
            ),
        }
    }
}

impl std::error::Error for Error {}

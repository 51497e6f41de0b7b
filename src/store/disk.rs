//! The store's handle: opens the database, starts the writer's thread, hands
//! commits over and answers back.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::error;

use super::batch::Batch;
use super::database::{Database, Fault, LastLife, SCHEMA_VERSION};
use super::files::{self, set_aside};
use super::writer::{Writer, say_failing};
use super::{Bounds, Counters, Done, Error, FILE_NAME};
use crate::router::{Commit, Restored};

/// A database on disk. Dropping it waits until everything handed over is
/// written or has failed.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// At most one or two for each transaction, and transactions wait for each
    /// other: bounded by the commits that the router waits for.
    answers: UnboundedReceiver<Done>,
}

/// What the handle and the writer's thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<StoreState>,
    pub(super) wake: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct StoreState {
    /// Commits for the next transaction.
    pub(super) batch: Batch,
    /// Set once, by dropping the handle.
    pub(super) closing: bool,
    pub(super) age_max: Duration,
    pub(super) counters: Counters,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the database in `dir`, made if absent, and reads all of it. A
    /// damaged file is moved aside, a disk that does not work is waited for:
    /// both are logged, and what is restored is then empty.
    ///
    /// # Errors
    /// Another process has it, a newer program made it, or the system gives no
    /// thread.
    pub fn open(dir: &Path, bounds: Bounds) -> Result<(Self, Restored), Error> {
        let no_random = |_| Error::System(std::io::Error::other("no random numbers"));
        let life = getrandom::u64().map_err(no_random)?.max(1);
        let shared = Arc::new(Shared::default());
        shared.lock().age_max = bounds.age_max;
        let (database, restored) = match open_and_load(dir, bounds.age_max) {
            Ok((database, restored)) => (Some(database), restored),
            Err(Fault::InUse) => return Err(Error::InUse(dir.join(FILE_NAME))),
            Err(Fault::Newer(found)) => {
                return Err(Error::Newer { file: dir.join(FILE_NAME), found, known: SCHEMA_VERSION });
            }
            Err(fault) => {
                say_failing(dir, &fault);
                let mut state = shared.lock();
                (state.counters.failing, state.counters.last_error) = (true, Some(fault.to_string()));
                (None, Restored::default())
            }
        };
        let (sender, answers) = unbounded_channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            dir: dir.into(),
            written: database.as_ref().map_or(LastLife::default(), |database| database.last),
            base_ms: database.as_ref().map_or(0, |database| database.last.clock_ms),
            database,
            life,
            kept: Batch::default(),
            is_lost: false,
            asked_at: None,
            answered: 0,
            ended_at: None,
            looked_at: None,
            // Nobody listens any more once the handle is being dropped.
            answer: move |done| {
                let _ = sender.send(done);
            },
        };
        let thread = thread::Builder::new().name("store".into()).spawn(|| writer.run());
        let thread = Some(thread.map_err(Error::System)?);
        Ok((Self { shared, thread, answers }, restored))
    }

    /// Hands a commit over; never waits for the disk. Commits are to come in
    /// order of number. Where more waits than [`super::BATCH_RECORDS_MAX`] or
    /// [`super::BATCH_BYTES_MAX`] allow, it is answered with "not on disk".
    pub fn submit(&self, commit: Commit) {
        let mut state = self.shared.lock();
        let waking = !state.batch.awaits_answer();
        state.batch.add(commit);
        drop(state);
        if waking {
            self.shared.wake.notify_one();
        }
    }

    /// The next answer. Numbers rise; each stands for all commits since the one
    /// before. Can be given up while waiting without losing one.
    pub async fn done(&mut self) -> Done {
        match self.answers.recv().await {
            Some(done) => done,
            // The thread is gone: nothing will ever be answered.
            None => std::future::pending().await,
        }
    }

    /// The configuration was read again.
    pub fn set_age_max(&self, age_max: Duration) {
        self.shared.lock().age_max = age_max;
    }

    /// What the store did so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters.clone()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the storage's thread has panicked; please report it");
        }
    }
}

fn open_and_load(dir: &Path, age_max: Duration) -> Result<(Database, Restored), Fault> {
    let loaded = open_in(dir).and_then(|database| {
        let restored = database.load(age_max)?;
        Ok((database, restored))
    });
    match loaded {
        Err(Fault::Damaged(why)) => {
            set_aside(dir, &why)?;
            Ok((open_in(dir)?, Restored::default()))
        }
        other => other,
    }
}

/// Opens the database in a folder; either is made if absent.
pub(super) fn open_in(dir: &Path) -> Result<Database, Fault> {
    Database::open(&files::prepare(dir)?)
}

//! The thread that owns the database: gathers, writes, answers, recovers.
//!
//! A transaction costs a flush of flash, so commits are gathered: one that
//! comes after a pause is written at once, those that follow within
//! [`GROUP_INTERVAL`] wait for each other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::Done;
use super::batch::Batch;
use super::database::{Database, Fault, LastLife};
use super::disk::{Shared, State, open_in, set_aside};

/// From the end of one transaction to the next one.
pub const GROUP_INTERVAL: Duration = Duration::from_millis(100);
/// What could not be written is tried again this often, where no new commit
/// comes.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// All that the thread owns.
pub(super) struct Writer<A> {
    pub(super) shared: Arc<Shared>,
    pub(super) dir: PathBuf,
    /// `None` after a failure: opened again with the next batch.
    pub(super) database: Option<Database>,
    /// The life that was restored from the file; what any other wrote was never
    /// seen by the router.
    pub(super) restored: LastLife,
    /// Drawn at the start of this life.
    pub(super) life: u64,
    /// What must be written although it failed before; holds no records.
    pub(super) kept: Batch,
    /// When the last transaction ended.
    pub(super) ended_at: Option<Instant>,
    pub(super) answer: A,
}

impl<A: FnMut(Done)> Writer<A> {
    /// Until the store is dropped and everything is written or given up.
    pub(super) fn run(mut self) {
        while let Some(batch) = self.gather() {
            let age_max = self.shared.lock().age_max;
            self.write(batch, age_max);
        }
    }

    /// Waits for something to write, and until it is time to.
    fn gather(&mut self) -> Option<Batch> {
        let mut state = self.shared.lock();
        loop {
            let wait = match self.patience(&state) {
                Some(wait) if !wait.is_zero() => wait,
                Some(_) => return Some(std::mem::take(&mut state.batch)),
                None if state.closing => return None,
                None => Duration::MAX,
            };
            let woken = self.shared.wake.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How long to go on gathering; `None`: there is nothing to write.
    fn patience(&self, state: &State) -> Option<Duration> {
        let left =
            |pause: Duration| self.ended_at.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()));
        if state.batch.awaits_answer() {
            Some(if state.closing { Duration::ZERO } else { left(GROUP_INTERVAL) })
        } else if self.kept.is_empty() || state.closing {
            None
        } else {
            Some(left(RETRY_INTERVAL))
        }
    }

    fn write(&mut self, batch: Batch, age_max: Duration) {
        self.kept.merge(batch);
        let outcome = self.write_kept(age_max);
        self.ended_at = Some(Instant::now());
        // Counted first: who has the answer finds it in the counters.
        self.count(&outcome);
        let kept = &mut self.kept;
        match outcome {
            Ok(()) => {
                let kept = std::mem::take(kept);
                let answers = [(kept.accepted, true), (kept.refused, false)];
                for (number, ok) in answers.into_iter().filter_map(|(number, ok)| Some((number?, ok))) {
                    (self.answer)(Done { number, ok });
                }
            }
            Err(_) => {
                let newest = kept.newest();
                kept.disown_records();
                if let Some(number) = newest {
                    (self.answer)(Done { number, ok: false });
                }
            }
        }
    }

    fn write_kept(&mut self, age_max: Duration) -> Result<(), Fault> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        let written = database.write(&self.kept, self.life, self.restored.clock_ms, age_max);
        if let Err(Fault::Damaged(why)) = &written {
            drop(database);
            set_aside(&self.dir, why)?;
        } else if written.is_ok() {
            self.database = Some(database);
        }
        written
    }

    /// After a failure, or where there was no disk at the start.
    fn reopen(&self) -> Result<Database, Fault> {
        let database = match open_in(&self.dir) {
            Err(Fault::Damaged(why)) => {
                set_aside(&self.dir, &why)?;
                return open_in(&self.dir);
            }
            other => other?,
        };
        if [0, self.life, self.restored.life].contains(&database.last.life) {
            return Ok(database);
        }
        // Its positions are not those that this life counts on from.
        drop(database);
        set_aside(&self.dir, "it could not be read when the node started, and now it is too late")?;
        open_in(&self.dir)
    }

    /// Counts, and says it once when the disk fails and once when it works again.
    fn count(&self, outcome: &Result<(), Fault>) {
        let mut state = self.shared.lock();
        let counters = &mut state.counters;
        let was_failing = counters.failing;
        counters.failing = outcome.is_err();
        match outcome {
            Ok(()) => {
                counters.transactions += 1;
                counters.records += self.kept.records.len() as u64;
            }
            Err(fault) => {
                counters.failures += 1;
                counters.last_error = Some(fault.to_string());
            }
        }
        drop(state);
        match outcome {
            Ok(()) if was_failing => info!(dir = %self.dir.display(), "the storage works again"),
            Err(fault) if !was_failing => say_failing(&self.dir, fault),
            _ => {}
        }
    }
}

/// Says that nothing can be stored, and what to do.
pub(super) fn say_failing(dir: &Path, fault: &Fault) {
    error!(
        "{}: nothing can be stored ({fault}): voice messages are answered FAU3_SERROR until it works again. \
         See with df and mount whether the disk is full or read-only, or do without: clients.storage 'ram'",
        dir.display()
    );
}

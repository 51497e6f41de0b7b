//! The thread that owns the database: gathers, writes, answers, recovers.
//!
//! A transaction costs a flush of flash, so commits are gathered: one that
//! comes after a pause is written at once, those that follow within
//! [`GROUP_INTERVAL`] wait for each other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::batch::Batch;
use super::database::{Database, Fault, LastLife};
use super::disk::{Shared, StoreState, open_in};
use super::files::{Files, set_aside, set_found_aside};
use super::{Done, FILE_NAME};

/// From the end of one transaction to the next one.
pub const GROUP_INTERVAL: Duration = Duration::from_millis(100);
/// What could not be written is tried again this often, where no new commit
/// comes; and where there is nothing to write, the file is looked at.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// All that the router holds is asked for at most this often.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// All that the thread owns.
pub(super) struct Writer<A> {
    pub(super) shared: Arc<Shared>,
    pub(super) dir: PathBuf,
    /// `None` after a failure: opened again with the next batch.
    pub(super) database: Option<Database>,
    /// The last word of the last commit, or of the file that was restored. What
    /// else may lie in its place the router has never seen.
    pub(super) written: LastLife,
    /// The clock at the start of this life.
    pub(super) base_ms: i64,
    /// Drawn at the start of this life.
    pub(super) life: u64,
    /// What must be written although it failed before; holds no records.
    pub(super) kept: Batch,
    /// What the last commits have written is there no more: nothing is written
    /// until all that the router holds can be.
    pub(super) is_lost: bool,
    /// When that was asked for.
    pub(super) asked_at: Option<Instant>,
    /// The newest commit that was answered.
    pub(super) answered: u64,
    /// When the last transaction ended.
    pub(super) ended_at: Option<Instant>,
    /// When the file was looked at while there was nothing to write.
    pub(super) looked_at: Option<Instant>,
    pub(super) answer: A,
}

impl<A: FnMut(Done)> Writer<A> {
    /// Until the store is dropped and everything is written or given up.
    pub(super) fn run(mut self) {
        while let Some(batch) = self.gather() {
            let age_max = self.shared.lock().age_max;
            self.write(batch, age_max);
        }
        if let Some(database) = self.database.take_if(|database| database.look().is_err()) {
            database.abandon();
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
    fn patience(&self, state: &StoreState) -> Option<Duration> {
        let left = |pause: Duration, since: Option<Instant>| {
            since.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()))
        };
        if state.batch.awaits_answer() {
            Some(if state.closing { Duration::ZERO } else { left(GROUP_INTERVAL, self.ended_at) })
        } else if state.closing {
            None
        } else if self.has_nothing_to_write() {
            self.database.as_ref().map(|_| left(RETRY_INTERVAL, self.ended_at.max(self.looked_at)))
        } else {
            Some(left(RETRY_INTERVAL, self.ended_at))
        }
    }

    fn has_nothing_to_write(&self) -> bool {
        self.kept.is_empty() && !self.is_lost
    }

    fn write(&mut self, batch: Batch, age_max: Duration) {
        self.kept.merge(batch);
        if self.has_nothing_to_write() && !self.kept.awaits_answer() {
            self.looked_at = Some(Instant::now());
            if self.database.as_ref().is_none_or(|database| database.look().is_ok()) {
                return;
            }
        }
        let outcome = self.write_kept(age_max);
        self.ended_at = Some(Instant::now());
        // Counted first: who has the answer finds it in the counters.
        self.count(&outcome);
        let newest = self.kept.newest();
        if outcome.is_ok() {
            let kept = std::mem::take(&mut self.kept);
            let answers = [(kept.accepted, true), (kept.refused, false)];
            for (number, ok) in answers.into_iter().filter_map(|(number, ok)| Some((number?, ok))) {
                (self.answer)(Done { number, ok, lost: false });
            }
        } else {
            self.kept.disown_records();
            let lost = self.is_lost && self.asked_at.is_none_or(|at| at.elapsed() >= ASK_INTERVAL);
            if lost {
                self.asked_at = self.ended_at;
            }
            if let Some(number) = newest.or(lost.then_some(self.answered)) {
                (self.answer)(Done { number, ok: false, lost });
            }
        }
        self.answered = newest.unwrap_or(self.answered);
    }

    fn write_kept(&mut self, age_max: Duration) -> Result<(), Fault> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        if self.is_lost && self.kept.whole.is_none() {
            self.database = Some(database);
            return Err(Fault::Lost(format!("{FILE_NAME} is yet to be written anew")));
        }
        if !self.is_lost {
            // Asked for twice. It may lack what was written since.
            self.kept.whole = None;
        }
        let written = database.write(&self.kept, self.life, self.base_ms, age_max);
        match &written {
            Ok(()) => {
                self.written = database.last;
                self.is_lost = false;
                self.database = Some(database);
            }
            Err(Fault::Damaged(why)) => {
                drop(database);
                self.is_lost = true;
                set_aside(&self.dir, why)?;
            }
            Err(Fault::Replaced) => return Err(self.lost(&database.abandon())),
            Err(_) => {}
        }
        written
    }

    /// The files are gone or others: a place is made for new ones.
    fn lost(&mut self, files: &Files) -> Fault {
        self.is_lost = true;
        match files.make_way(&self.dir) {
            Ok(what) => {
                // Ours, if it is there at all: all that is in it gives way.
                self.database = open_in(&self.dir).ok();
                Fault::Lost(what)
            }
            Err(fault) => fault,
        }
    }

    /// After a failure, or where there was no disk at the start.
    fn reopen(&mut self) -> Result<Database, Fault> {
        let database = match open_in(&self.dir) {
            Err(Fault::Damaged(why)) => {
                set_aside(&self.dir, &why)?;
                open_in(&self.dir)?
            }
            other => other?,
        };
        let (last, written) = (database.last, self.written);
        // A commit that failed may be there all the same.
        let is_own = last.life == self.life && last.clock_ms >= written.clock_ms;
        if last == written || is_own {
            return Ok(database);
        }
        self.is_lost |= written.life != 0;
        if last.life == 0 {
            return Ok(database);
        }
        // Its positions are not those that this life counts on from.
        database.abandon();
        let moved = set_found_aside(&self.dir)?;
        warn!(
            "{}: holds what this node has not read, since it came too late; {moved}",
            self.dir.join(FILE_NAME).display()
        );
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
                let whole = self.kept.whole.as_ref().map(|whole| whole.records.len());
                counters.transactions += 1;
                counters.records += (self.kept.records.len() + whole.unwrap_or(0)) as u64;
                counters.written_anew += u64::from(whole.is_some());
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
    if matches!(fault, Fault::Lost(_)) {
        error!(
            "{}: {fault}. What it held is written anew from memory; until then voice messages are answered \
             FAU3_SERROR",
            dir.display()
        );
        return;
    }
    error!(
        "{}: nothing can be stored ({fault}): voice messages are answered FAU3_SERROR until it works again. \
         See with df and mount whether the disk is full or read-only, or do without: clients.storage 'ram'",
        dir.display()
    );
}

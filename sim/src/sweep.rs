//! Many runs on all cores.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fau3_election::Time;

use crate::invariants::Violation;
use crate::world::{Outcome, Setup, Tally, World};

/// Seeds that a core takes at a time.
const BATCH_SEEDS: u64 = 4;

/// What the runs of a sweep are counted by.
pub trait Sum: Default + Send {
    /// Adds another run's.
    fn add(&mut self, other: &Self);
}

impl Sum for Tally {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }
}

/// What a sweep needs to know of one run.
#[derive(Debug, Clone)]
pub struct Ran<T> {
    /// The first rule that did not hold.
    pub violation: Option<Violation>,
    /// How far the run came.
    pub ended: Time,
    /// What happened how often.
    pub tally: T,
}

/// What a sweep came to.
#[derive(Debug, Clone, Default)]
pub struct Swept<T = Tally> {
    /// Runs that ended.
    pub runs: u64,
    /// Simulated time of all of them, in microseconds.
    pub simulated_us: u64,
    /// Sum of what happened.
    pub tally: T,
    /// Seeds whose run broke a rule.
    pub violations: BTreeMap<u64, Violation>,
}

/// How a sweep goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// First seed.
    pub from: u64,
    /// The seed after the last one.
    pub until: u64,
    /// Stop at the first violation; else count them all.
    pub stop: bool,
    /// Threads; 0 for as many as there are cores.
    pub threads: usize,
}

/// Runs `setup(seed)` for all seeds of the plan. `progress` hears now and then
/// how many runs and how many simulated microseconds were added. What is returned does not
/// depend on the number of threads, unless a violation stopped it.
pub fn sweep(plan: Plan, setup: impl Fn(u64) -> Setup + Sync, progress: impl Fn(u64, u64) + Sync) -> Swept {
    let run = |seed| {
        let Outcome { violation, ended, tally, .. } = World::new(setup(seed)).run();
        Ran { violation, ended, tally }
    };
    sweep_of(plan, run, progress)
}

/// Runs any kind of run for each seed of the plan, as [`sweep`] does.
pub fn sweep_of<T: Sum>(
    plan: Plan,
    run: impl Fn(u64) -> Ran<T> + Sync,
    progress: impl Fn(u64, u64) + Sync,
) -> Swept<T> {
    let next = Mutex::new(plan.from);
    let total = Mutex::new(Swept::new());
    let stop = AtomicBool::new(false);
    let work = || {
        while let Some(seeds) = take(&next, plan.until) {
            let mut part = Swept::new();
            for seed in seeds {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let outcome = run(seed);
                if plan.stop && outcome.violation.is_some() {
                    stop.store(true, Ordering::Relaxed);
                }
                part.note(seed, outcome);
            }
            progress(part.runs, part.simulated_us);
            if let Ok(mut total) = total.lock() {
                total.add(part);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = if plan.threads == 0 { cores } else { plan.threads };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    total.into_inner().unwrap_or_else(|_| Swept::new())
}

fn take(next: &Mutex<u64>, until: u64) -> Option<std::ops::Range<u64>> {
    let mut next = next.lock().ok()?;
    let from = *next;
    *next = from.saturating_add(BATCH_SEEDS).min(until);
    (from < until).then_some(from..*next)
}

impl<T: Sum> Swept<T> {
    fn new() -> Self {
        Self { runs: 0, simulated_us: 0, tally: T::default(), violations: BTreeMap::new() }
    }

    fn note(&mut self, seed: u64, outcome: Ran<T>) {
        self.runs += 1;
        self.simulated_us += outcome.ended.as_micros();
        self.tally.add(&outcome.tally);
        if let Some(violation) = outcome.violation {
            self.violations.insert(seed, violation);
        }
    }

    fn add(&mut self, part: Self) {
        self.runs += part.runs;
        self.simulated_us += part.simulated_us;
        self.tally.add(&part.tally);
        self.violations.extend(part.violations);
    }
}

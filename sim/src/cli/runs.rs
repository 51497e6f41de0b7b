use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use fau3_election::{Config, Time};
use fau3_sim::shrink::shrink;
use fau3_sim::sweep::{Plan, Swept, sweep};
use fau3_sim::world::{Outcome, Setup, World};
use fau3_sim::{hashes, svg, timeline};
use indicatif::{ProgressBar, ProgressStyle};

use super::output::{print, say};

/// Fewer seeds than this need not show everything that can happen.
const HAPPENS_SEEDS: u64 = 1_000;

/// Whether somebody lies.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Words {
    /// Besides, somebody with the mesh's key says extreme numbers in a router's name
    #[arg(long)]
    words: bool,
}

impl Words {
    fn setup(self, seed: u64, config: &Config) -> Setup {
        let setup = Setup::from_seed(seed, config);
        if self.words { setup.with_words() } else { setup }
    }

    /// As it is given to another command.
    pub(crate) fn option(self) -> &'static str {
        if self.words { " --words" } else { "" }
    }

    /// True if it was asked for.
    pub(crate) fn are_said(self) -> bool {
        self.words
    }
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where all random numbers of the run come from
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// First seed, and the one after the last
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: (u64, u64),
    /// Goes on after a violation and lists them all
    #[arg(long)]
    keep_going: bool,
    /// Threads; 0: one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The seed to run again
    #[arg(long)]
    seed: u64,
    /// Draws roles over time into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draws from this second
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Draws until this second; the whole run by default
    #[arg(long)]
    until: Option<u64>,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
pub(crate) struct Hashes {
    /// How many seeds, from 0
    #[arg(long, default_value_t = hashes::SEEDS)]
    count: u64,
}

/// `A..B` with A below B.
pub(crate) fn range(text: &str) -> Result<(u64, u64), String> {
    let ends = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match ends {
        Some((from, until)) if from < until => Ok((from, until)),
        _ => Err("write it as A..B with A below B, such as 0..1000".into()),
    }
}

impl Run {
    pub(crate) fn run(&self) -> bool {
        let (world, outcome) = recorded(self.words.setup(self.seed, &Config::default()));
        print_timeline(&world);
        print_summary(&world.setup().clone(), &outcome, self.words);
        outcome.violation.is_none()
    }
}

fn recorded(setup: Setup) -> (World, Outcome) {
    let mut world = World::new(setup).with_timeline();
    let outcome = world.run();
    (world, outcome)
}

fn print_timeline(world: &World) {
    for entry in world.timeline() {
        say!("{}", timeline::line(entry, world.nodes(), &world.setup().faults));
    }
}

fn print_summary(setup: &Setup, outcome: &Outcome, words: Words) {
    say!(
        "\nseed {}: {} routers, {} s simulated, trace hash {:016x}",
        setup.seed,
        setup.routers,
        outcome.ended,
        outcome.trace
    );
    say!("list {:?}, main server: {}", setup.list, if setup.default_server { "yes" } else { "none" });
    setup.faults.iter().for_each(|fault| say!("  fault {fault}"));
    let counts = outcome.tally.fields().map(|(name, count)| format!("{name} {count}"));
    say!("  {}", counts.join(", "));
    match &outcome.violation {
        Some(violation) => {
            say!(
                "VIOLATION: {violation}\n  fau3-sim replay{} --seed {} shows why",
                words.option(),
                setup.seed
            )
        }
        None => say!("no rule broken"),
    }
}

impl Sweep {
    pub(crate) fn run(&self) -> bool {
        let (from, until) = self.seeds;
        let plan = Plan { from, until, stop: !self.keep_going, threads: self.threads };
        let began = Instant::now();
        let swept = swept(plan, |seed| self.words.setup(seed, &Config::default()));
        let replay = format!("replay{}", self.words.option());
        print_swept(&swept, &swept.tally.fields(), &swept.tally.missing(), &replay, began.elapsed())
    }
}

/// What a sweep came to, and whether that is good. `fields`: what happened how
/// often; `missing`: what never did; `replay`: the command that shows a seed.
pub(crate) fn print_swept<T>(
    swept: &Swept<T>,
    fields: &[(&'static str, u64)],
    missing: &[&'static str],
    replay: &str,
    took: Duration,
) -> bool {
    let ms = took.as_millis().max(1) as u64;
    let hours = swept.simulated_us / 3_600_000_000;
    say!(
        "{} runs, {hours} h simulated in {}.{:03} s: {} seeds/s, {} h of simulated time a second",
        swept.runs,
        ms / 1_000,
        ms % 1_000,
        swept.runs * 1_000 / ms,
        hours * 1_000 / ms
    );
    for (name, count) in fields {
        say!("  {name:<28} {count:>12}");
    }
    for (seed, violation) in &swept.violations {
        say!("VIOLATION, seed {seed}: {violation}\n  fau3-sim {replay} --seed {seed} shows why");
    }
    let happened = missing.is_empty() || swept.runs < HAPPENS_SEEDS;
    if !happened {
        say!("NEVER HAPPENED in {} runs: {}; the faults are too tame", swept.runs, missing.join(", "));
    }
    swept.violations.is_empty() && happened
}

/// A sweep of elections, with a bar.
pub(crate) fn swept(plan: Plan, setup: impl Fn(u64) -> Setup + Sync) -> Swept {
    with_progress(plan, |progress| sweep(plan, setup, progress))
}

/// Shows how far a sweep has come; `sweep` is handed what it has to tell.
pub(crate) fn with_progress<T>(
    plan: Plan,
    sweep: impl FnOnce(&(dyn Fn(u64, u64) + Sync)) -> Swept<T>,
) -> Swept<T> {
    let bar = ProgressBar::new(plan.until - plan.from);
    let style = "{bar:40} {pos}/{len} seeds, {per_sec}, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let simulated = std::sync::Mutex::new(0);
    let swept = sweep(&|runs, micros| {
        bar.inc(runs);
        if let Ok(mut sum) = simulated.lock() {
            *sum += micros;
            bar.set_message(format!("{} h simulated", *sum / 3_600_000_000));
        }
    });
    bar.finish_and_clear();
    swept
}

impl Replay {
    pub(crate) fn run(&self) -> bool {
        let setup = self.words.setup(self.seed, &Config::default());
        let (mut world, mut outcome) = recorded(setup.clone());
        let again = World::new(setup.clone()).run();
        let same = again.trace == outcome.trace;
        if let Some((smaller, violation, runs)) = shrink(&setup) {
            say!(
                "{} faults shrunk to {} in {runs} runs; they break: {violation}\n",
                setup.faults.len(),
                smaller.faults.len()
            );
            (world, outcome) = recorded(smaller);
        }
        print_timeline(&world);
        print_summary(&world.setup().clone(), &outcome, self.words);
        if !same {
            say!(
                "VIOLATION: the same seed gave trace hashes {:016x} and {:016x}",
                outcome.trace,
                again.trace
            );
        }
        self.draw(&world, &outcome) && same && outcome.violation.is_none()
    }

    fn draw(&self, world: &World, outcome: &Outcome) -> bool {
        let Some(file) = &self.svg else { return true };
        // No more than there is.
        let ended = outcome.ended;
        let second = |second: u64| Time::from_secs(second.min(ended.as_millis() / 1_000 + 1)).min(ended);
        let (from, until) = (second(self.from), self.until.map_or(ended, second));
        if from >= until {
            eprintln!("there is nothing to draw between {from} and {until} s: the run ends at {ended} s");
            return false;
        }
        let setup = world.setup();
        let picture = svg::draw(world.timeline(), &setup.faults, setup.routers, from, until);
        match std::fs::write(file, picture) {
            Ok(()) => say!("drawn into {}", file.display()),
            Err(error) => {
                eprintln!(
                    "cannot write {}: {error}; name a file in a folder that exists and is yours",
                    file.display()
                );
                return false;
            }
        }
        true
    }
}

impl Hashes {
    pub(crate) fn run(&self) -> bool {
        print(format_args!("{}", hashes::table(self.count, hashes::of)));
        true
    }
}

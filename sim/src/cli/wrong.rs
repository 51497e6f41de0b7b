use clap::Args;
use fau3_election::{Config, Mutant};
use fau3_sim::check::{ROUNDS, STATES, check};
use fau3_sim::mutants::{Caught, hunt};

use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Mutants {
    /// A variant that survives so many seeds has survived
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

impl Mutants {
    pub(crate) fn run(&self) -> bool {
        print_caught(&Mutant::ALL, self.seeds, hunt)
    }
}

/// One line a wrong variant; false if one survives.
pub(crate) fn print_caught<M: Copy + std::fmt::Debug>(
    mutants: &[M],
    seeds: u64,
    hunt: impl Fn(M, u64) -> Option<Caught>,
) -> bool {
    say!("{:<24} {:<16} {:>11} {:>6}", "wrong variant", "caught by", "after seeds", "seed");
    let mut survivors = 0;
    for mutant in mutants {
        let name = format!("{mutant:?}");
        match hunt(*mutant, seeds) {
            Some(caught) => {
                say!("{name:<24} {:<16} {:>11} {:>6}", caught.invariant, caught.after, caught.seed);
            }
            None => {
                survivors += 1;
                say!("{name:<24} SURVIVED {seeds} seeds");
            }
        }
    }
    survivors == 0
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Threads; 0: one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl Check {
    pub(crate) fn run(&self) -> bool {
        let checked = check(self.threads, &Config::default(), ROUNDS);
        say!("{} states, {STATES} expected", checked.states);
        checked.broken.iter().for_each(|text| say!("VIOLATION: {text}"));
        checked.missing.iter().for_each(|name| say!("NEVER HAPPENED: {name}"));
        if checked.broken.is_empty() && checked.states != STATES {
            say!(
                "behaviour has changed; if that is wanted, put {} into STATES of sim/src/check/mod.rs",
                checked.states
            );
        }
        checked.broken.is_empty() && checked.missing.is_empty() && checked.states == STATES
    }
}

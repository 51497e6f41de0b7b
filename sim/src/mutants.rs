//! Wrong variants of the election, each of which a check must catch: the
//! checks' own test.

use fau3_election::{Config, Mutant};

use crate::sweep::{Plan, sweep};
use crate::world::{Setup, World};

/// How a wrong variant was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The rule that it broke.
    pub invariant: &'static str,
    /// The first seed on which it did, while the right variant did not.
    pub seed: u64,
    /// How many seeds had been tried by then.
    pub after: u64,
}

/// Seeds tried at a time, so that the count does not depend on the cores.
const ROUND_SEEDS: u64 = 8;

/// Tries a wrong variant on seeds from 0 up to `seeds`; `None` if it survives.
#[must_use]
pub fn hunt(mutant: Mutant, seeds: u64) -> Option<Caught> {
    let config = Config { mutant: Some(mutant), ..Config::default() };
    let mut from = 0;
    while from < seeds {
        let until = (from + ROUND_SEEDS).min(seeds);
        let plan = Plan { from, until, stop: false, threads: 0 };
        let swept = sweep(plan, |seed| Setup::from_seed(seed, &config), |_, _| ());
        for (seed, violation) in swept.violations {
            let right = Setup::from_seed(seed, &Config::default());
            if World::new(right).run().violation.is_none() {
                return Some(Caught { invariant: violation.invariant, seed, after: seed + 1 });
            }
        }
        from = until;
    }
    None
}

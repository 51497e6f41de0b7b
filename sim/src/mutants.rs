//! Wrong variants of the election and of whole routers, each of which a check must catch: the
//! checks' own test.

use std::collections::BTreeMap;

use fau3_election::{Config, Mutant};

use crate::invariants::Violation;
use crate::mesh;
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
    let setup = |seed, config: &Config| {
        let setup = Setup::from_seed(seed, config);
        if mutant.is_of_words() { setup.with_words() } else { setup }
    };
    let broken = |plan| sweep(plan, |seed| setup(seed, &config), |_, _| ()).violations;
    let is_right = |seed| World::new(setup(seed, &Config::default())).run().violation.is_none();
    hunt_of(seeds, broken, is_right)
}

/// Looks for the first seed that catches a wrong variant of whole routers.
#[must_use]
pub fn hunt_router(mutant: mesh::Mutant, seeds: u64) -> Option<Caught> {
    let above = match mutant {
        _ if mutant.is_of_relay() => mesh::Above::Legacy,
        _ if mutant.is_of_main() => mesh::Above::Node,
        _ => mesh::Above::None,
    };
    let right = |seed| {
        let setup = mesh::Setup::from_seed_with(seed, above);
        if mutant == mesh::Mutant::AllBelieved { setup.with_words() } else { setup }
    };
    let wrong = |seed| {
        let mut setup = right(seed);
        setup.settings.mutant = Some(mutant);
        setup
    };
    let broken = |plan| mesh::sweep(plan, wrong, |_, _| ()).violations;
    let is_right = |seed| mesh::World::new(right(seed)).run().violation.is_none();
    hunt_of(seeds, broken, is_right)
}

fn hunt_of(
    seeds: u64,
    broken: impl Fn(Plan) -> BTreeMap<u64, Violation>,
    is_right: impl Fn(u64) -> bool,
) -> Option<Caught> {
    let mut from = 0;
    while from < seeds {
        let until = (from + ROUND_SEEDS).min(seeds);
        let plan = Plan { from, until, stop: false, threads: 0 };
        let caught = broken(plan).into_iter().find(|(seed, _)| is_right(*seed));
        if let Some((seed, violation)) = caught {
            return Some(Caught { invariant: violation.invariant, seed, after: seed + 1 });
        }
        from = until;
    }
    None
}

//! Trace hashes that are checked in: a change of behaviour, wanted or not, is
//! seen in review, and so is a machine on which runs differ.

use std::fmt::Write;

use fau3_election::Config;

use crate::mesh::{self, Above};
use crate::world::{Setup, World};

/// Seeds whose hashes are kept.
pub const SEEDS: u64 = 200;

/// The trace hash of a seed's run.
#[must_use]
pub fn of(seed: u64) -> u64 {
    World::new(Setup::from_seed(seed, &Config::default())).run().trace
}

/// The trace hash of a seed's run of whole routers: alone, below a main server of
/// FAU3VOM-D, and below one of fau3 in turn.
#[must_use]
pub fn of_mesh(seed: u64) -> u64 {
    let above = [Above::None, Above::Legacy, Above::Node][(seed % 3) as usize];
    mesh::World::new(mesh::Setup::from_seed_with(seed, above)).run().trace
}

/// One line a seed: the seed and its trace hash, which `of` makes.
#[must_use]
pub fn table(count: u64, of: impl Fn(u64) -> u64) -> String {
    let mut text = String::new();
    for seed in 0..count {
        let _ = writeln!(text, "{seed:>3} {:016x}", of(seed));
    }
    text
}

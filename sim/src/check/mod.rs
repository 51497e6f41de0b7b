//! Three routers, checked exhaustively with the `stateright` model checker:
//! every choice of two faults in the first seconds, be it a crash with or
//! without its disk, or any set of the six directed links that drops everything for three intervals.
//!
//! Time moves in rounds of one beacon interval and datagrams take none, so
//! that the choices can be counted. What random delays do is for the sweep.

mod model;

use fau3_election::Config;
use stateright::{Checker, Model};

pub use model::Three;

/// Unique states, pinned: another number means that behaviour has changed, or
/// that the search no longer goes where it did.
pub const STATES: usize = 663_403;
/// Rounds in which something may go wrong: the routers have listened, found
/// each other and have a leader after three.
pub const ROUNDS: u8 = 9;

/// What the search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Unique states.
    pub states: usize,
    /// Rules broken, each with the shortest way there that was found.
    pub broken: Vec<String>,
    /// What must happen somewhere, and never does.
    pub missing: Vec<&'static str>,
}

/// Searches all states with faults in the first `rounds`; `threads` of 0 for as
/// many as there are cores.
#[must_use]
pub fn check(threads: usize, config: &Config, rounds: u8) -> Checked {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores } else { threads };
    let searched = Three::new(config, rounds).checker().threads(threads).spawn_dfs().join();
    let found = searched.discoveries();
    let mut checked =
        Checked { states: searched.unique_state_count(), broken: Vec::new(), missing: Vec::new() };
    for property in searched.model().properties() {
        let path = found.get(property.name);
        match (property.expectation, path) {
            (stateright::Expectation::Sometimes, None) => checked.missing.push(property.name),
            (stateright::Expectation::Always, Some(path)) => {
                let actions: Vec<String> =
                    path.clone().into_actions().iter().map(|action| format!("{action:?}")).collect();
                checked.broken.push(format!("{}: {}", property.name, actions.join(", ")));
            }
            _ => {}
        }
    }
    checked.broken.sort();
    checked
}

//! From a run that fails to the smallest list of faults that still makes it fail.

use std::time::Duration;

use crate::invariants::Violation;
use crate::world::{Setup, World};

/// Leaves out faults, first many at once, then one by one, as long as the same
/// rule is still broken (Zeller and Hildebrandt: "Simplifying and isolating
/// failure-inducing input", 2002). Returns the smaller setup, what it breaks, and how
/// many runs it took; `None` if nothing is broken to begin with.
#[must_use]
pub fn shrink(setup: &Setup) -> Option<(Setup, Violation, u32)> {
    let mut best = setup.clone();
    let mut found = World::new(best.clone()).run().violation?;
    let mut runs = 1;
    let mut piece = best.faults.len().max(1).next_power_of_two();
    while piece > 0 {
        let mut from = 0;
        while from < best.faults.len() {
            let mut fewer = best.clone();
            fewer.faults.drain(from..(from + piece).min(best.faults.len()));
            runs += 1;
            match World::new(fewer.clone()).run().violation {
                Some(violation) if violation.invariant == found.invariant => {
                    (best, found) = (fewer, violation);
                }
                _ => from += piece,
            }
        }
        piece /= 2;
    }
    runs += shorten(&mut best, &mut found);
    Some((best, found, runs))
}

/// Halves the faults' lengths while that changes nothing.
fn shorten(best: &mut Setup, found: &mut Violation) -> u32 {
    let mut runs = 0;
    for index in 0..best.faults.len() {
        loop {
            let fault = &best.faults[index];
            let length = fault.until.since(fault.from);
            if length < Duration::from_millis(200) || length > Duration::from_secs(3_600) {
                break;
            }
            let mut shorter = best.clone();
            shorter.faults[index].until = fault.from + length / 2;
            runs += 1;
            match World::new(shorter.clone()).run().violation {
                Some(violation) if violation.invariant == found.invariant => {
                    (*best, *found) = (shorter, violation);
                }
                _ => break,
            }
        }
    }
    runs
}

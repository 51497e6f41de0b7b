//! From a run that fails to the smallest list of faults that still makes it fail.

use std::time::Duration;

use crate::faults::Fault;
use crate::invariants::Violation;
use crate::mesh::{self, MainSetup, ServerSetup};
use crate::world::{Setup, World};

/// A run that can be made smaller.
pub trait Shrinkable: Clone {
    /// What goes wrong in it.
    fn faults(&mut self) -> &mut Vec<Fault>;
    /// Runs it: the first rule that does not hold.
    fn violation(&self) -> Option<Violation>;
    /// Setups with something else left out than faults, to be tried one by one.
    fn smaller(&self) -> Vec<Self> {
        Vec::new()
    }
}

impl Shrinkable for Setup {
    fn faults(&mut self) -> &mut Vec<Fault> {
        &mut self.faults
    }

    fn violation(&self) -> Option<Violation> {
        World::new(self.clone()).run().violation
    }
}

impl Shrinkable for mesh::Setup {
    fn faults(&mut self) -> &mut Vec<Fault> {
        &mut self.faults
    }

    fn violation(&self) -> Option<Violation> {
        mesh::World::new(self.clone()).run().violation
    }

    /// One more client does nothing, or one thing less befalls the main server.
    fn smaller(&self) -> Vec<Self> {
        let busy = (0..self.clients).filter(|client| self.idle & (1 << client) == 0);
        let idle = busy.map(|client| Self { idle: self.idle | 1 << client, ..self.clone() });
        let server = self.server.iter();
        let calmer = server.flat_map(|server| {
            (0..server.faults.len()).map(|fault| {
                let mut faults = server.faults.clone();
                faults.remove(fault);
                let server = ServerSetup { faults, ..server.clone() };
                Self { server: Some(server), ..self.clone() }
            })
        });
        let main = self.main.iter().flat_map(|main| {
            (0..main.faults.len()).map(|fault| {
                let mut faults = main.faults.clone();
                faults.remove(fault);
                Self { main: Some(MainSetup { faults, ..main.clone() }), ..self.clone() }
            })
        });
        calmer.chain(main).chain(idle).collect()
    }
}

/// Leaves out faults, first many at once, then one by one, as long as the same
/// rule is still broken (Zeller and Hildebrandt: "Simplifying and isolating
/// failure-inducing input", 2002). Returns the smaller setup, what it breaks, and how
/// many runs it took; `None` if nothing is broken to begin with.
#[must_use]
pub fn shrink<S: Shrinkable>(setup: &S) -> Option<(S, Violation, u32)> {
    let mut best = setup.clone();
    let mut found = best.violation()?;
    let mut runs = 1;
    let mut piece = best.faults().len().max(1).next_power_of_two();
    while piece > 0 {
        let mut from = 0;
        while from < best.faults().len() {
            let mut fewer = best.clone();
            let until = (from + piece).min(fewer.faults().len());
            fewer.faults().drain(from..until);
            runs += 1;
            match fewer.violation() {
                Some(violation) if violation.invariant == found.invariant => {
                    (best, found) = (fewer, violation);
                }
                _ => from += piece,
            }
        }
        piece /= 2;
    }
    runs += leave_out(&mut best, &mut found);
    runs += shorten(&mut best, &mut found);
    Some((best, found, runs))
}

/// Leaves out what is not a fault, once round.
fn leave_out<S: Shrinkable>(best: &mut S, found: &mut Violation) -> u32 {
    let mut runs = 0;
    let mut at = 0;
    while let Some(smaller) = best.smaller().into_iter().nth(at) {
        runs += 1;
        match smaller.violation() {
            Some(violation) if violation.invariant == found.invariant => {
                (*best, *found) = (smaller, violation);
            }
            _ => at += 1,
        }
    }
    runs
}

/// Halves the faults' lengths while that changes nothing.
fn shorten<S: Shrinkable>(best: &mut S, found: &mut Violation) -> u32 {
    let mut runs = 0;
    for index in 0..best.faults().len() {
        loop {
            let fault = &best.faults()[index];
            let (from, length) = (fault.from, fault.until.since(fault.from));
            if length < Duration::from_millis(200) || length > Duration::from_secs(3_600) {
                break;
            }
            let mut shorter = best.clone();
            shorter.faults()[index].until = from + length / 2;
            runs += 1;
            match shorter.violation() {
                Some(violation) if violation.invariant == found.invariant => {
                    (*best, *found) = (shorter, violation);
                }
                _ => break,
            }
        }
    }
    runs
}

//! Whole routers under faults: no rule is broken, and each rule can be.
#![allow(clippy::unwrap_used)]

use fau3_sim::mesh::{Mutant, NAMES, Plan, Setup, World, sweep};
use fau3_sim::mutants::hunt_router;

/// Builds without optimisation run fewer seeds in the same time.
const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 36 };
/// Within so many seeds each wrong variant is caught; the commonest within few.
const HUNTED_SEEDS: u64 = 96;

#[test]
fn no_rule_is_broken_and_what_should_happen_does() {
    let plan = Plan { from: 0, until: SEEDS, stop: false, threads: 0 };
    let swept = sweep(plan, Setup::from_seed, |_, _| ());
    assert!(swept.violations.is_empty(), "{:?}", swept.violations);
    let tally = swept.tally;
    for (what, count) in [
        ("heard", tally.heard),
        ("roamed during a partition", tally.roams_parted),
        ("resumed at another router", tally.resumed),
        ("clients of a dead router taken over", tally.taken_over),
        ("gaps fetched", tally.gaps_fetched),
        ("confirmed alone", tally.confirmed_single),
        ("queues to slow routers full", tally.peer_full),
        ("waited for the speaker's order", tally.order_waits),
    ] {
        assert!(count > 0, "never {what} in {SEEDS} runs");
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_one_is_not() {
    let trace = |seed| World::new(Setup::from_seed(seed)).run().trace;
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
    // Frames are only a matter of how messages travel.
    let messages = Setup { encoded: false, ..Setup::from_seed(3) };
    assert!(World::new(messages).run().violation.is_none());
}

#[test]
fn three_healthy_routers_serve_their_clients_and_come_to_rest() {
    let outcome = World::new(Setup::healthy(1, 3, 5)).run();
    assert_eq!(outcome.violation, None);
    assert!(outcome.tally.heard > 100 && outcome.tally.lost_single + outcome.tally.lost_all == 0);
}

#[test]
fn wrong_variants_of_the_router_are_caught() {
    // Those that show only where faults meet take longer: builds with
    // optimisation hunt them too, as does `fau3-sim mesh mutants`.
    let rare = [
        Mutant::TwinsTwice,
        Mutant::SessionsNotTold,
        Mutant::GapJumped,
        Mutant::WaitingSettled,
        Mutant::ReplicatedNotRemembered,
        Mutant::OrderNotWaited,
        Mutant::AttachmentByArrival,
    ];
    for mutant in Mutant::ALL {
        if cfg!(debug_assertions) && rare.contains(&mutant) {
            continue;
        }
        let caught = hunt_router(mutant, HUNTED_SEEDS);
        let caught = caught.unwrap_or_else(|| panic!("{mutant:?} survives"));
        assert!(NAMES.iter().any(|(name, _)| *name == caught.invariant), "{}", caught.invariant);
    }
}

//! Whole routers under faults: no rule is broken, and each rule can be.
#![allow(clippy::unwrap_used)]

use fau3_sim::mesh::{Above, Mutant, NAMES, Plan, Setup, Tally, World, sweep};
use fau3_sim::mutants::hunt_router;

/// Builds without optimisation run fewer seeds in the same time.
const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 36 };
/// The same with a main server above.
const SEEDS_BELOW_SERVER: u64 = if cfg!(debug_assertions) { 4 } else { 14 };
/// The same with a main server that is a node.
const SEEDS_BELOW_MAIN: u64 = if cfg!(debug_assertions) { 8 } else { 40 };
/// Minutes with an outage in each.
const OUTAGES: u64 = if cfg!(debug_assertions) { 4 } else { 60 };
/// Within so many seeds each wrong variant is caught; the commonest within few.
const HUNTED_SEEDS: u64 = if cfg!(debug_assertions) { 96 } else { 1_000 };

/// Runs seeds below `until`: none may break a rule, and each of what `happened`
/// counts must have happened, or the rule about it was not tried.
fn swept_clean(
    until: u64,
    setup: impl Fn(u64) -> Setup + Sync,
    happened: impl Fn(&Tally) -> Vec<(&'static str, u64)>,
) {
    let swept = sweep(Plan { from: 0, until, stop: false, threads: 0 }, setup, |_, _| ());
    assert!(swept.violations.is_empty(), "{:?}", swept.violations);
    for (what, count) in happened(&swept.tally) {
        assert!(count > 0, "never {what} in {until} runs");
    }
}

#[test]
fn no_rule_is_broken_and_what_should_happen_does() {
    swept_clean(SEEDS, Setup::from_seed, |tally| {
        vec![
            ("heard", tally.heard),
            ("roamed during a partition", tally.roams_parted),
            ("resumed at another router", tally.resumed),
            ("clients of a dead router taken over", tally.taken_over),
            ("gaps fetched", tally.gaps_fetched),
            ("confirmed alone", tally.confirmed_single),
            ("queues to slow routers full", tally.peer_full),
            ("waited for the speaker's order", tally.order_waits),
        ]
    });
}

#[test]
fn a_legacy_default_server_above_the_mesh_bears_its_outages_and_the_mesh_bears_them_too() {
    swept_clean(
        SEEDS_BELOW_SERVER,
        |seed| Setup::from_seed_with(seed, Above::Legacy),
        |tally| {
            vec![
                ("told", tally.server_told),
                ("heard of its clients", tally.server_heard),
                ("paired copies", tally.upstream_paired),
                ("a fault of it", tally.server_faults),
                ("a half-open connection found", tally.server_half_open),
                ("a Confirm lost, counted", tally.upstream_unsure),
            ]
        },
    );
}

#[test]
fn a_segment_falls_back_from_its_main_server_and_hands_back_with_nothing_lost_doubled_or_reordered() {
    swept_clean(
        SEEDS_BELOW_MAIN,
        |seed| Setup::from_seed_with(seed, Above::Node),
        |tally| {
            vec![
                ("a fault of it", tally.main_faults),
                ("given up in silence", tally.main_given_up),
                ("asked while in doubt", tally.main_doubts),
                ("answered beside its connection", tally.main_datagrams),
                ("fell back from it in bounded time", tally.main_fall_backs_checked),
                ("handed back to it in bounded time", tally.main_hand_backs_checked),
            ]
        },
    );
}

#[test]
fn an_outage_each_minute_loses_doubles_and_reorders_nothing_of_sixty_clients() {
    for above in [Above::Legacy, Above::Node] {
        let outcome = World::new(Setup::outages(0, above, OUTAGES)).run();
        assert_eq!(outcome.violation, None, "{above:?}");
        let tally = outcome.tally;
        assert!(tally.heard > 2_000 * OUTAGES && tally.lost_single + tally.lost_all == 0, "{tally:?}");
        // What the server has twice, a Confirm was lost of, which is counted.
        assert!(tally.server_doubled <= tally.upstream_unsure + tally.upstream_repeated, "{tally:?}");
        let outages =
            if above == Above::Legacy { tally.server_returns } else { tally.main_hand_backs_checked };
        assert!(outages * 2 >= OUTAGES, "{outages} of {OUTAGES} were looked at");
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_one_is_not() {
    let trace = |seed| World::new(Setup::from_seed(seed)).run().trace;
    let below_main = |seed| World::new(Setup::from_seed_with(seed, Above::Node)).run().trace;
    assert_eq!((trace(3), below_main(3)), (trace(3), below_main(3)));
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
        Mutant::AllBelieved,
        Mutant::BacklogUnpaced,
    ];
    for mutant in Mutant::ALL {
        if cfg!(debug_assertions) && (rare.contains(&mutant) || mutant.is_of_relay()) {
            continue;
        }
        let caught = hunt_router(mutant, HUNTED_SEEDS);
        let caught = caught.unwrap_or_else(|| panic!("{mutant:?} survives"));
        assert!(NAMES.iter().any(|(name, _)| *name == caught.invariant), "{}", caught.invariant);
    }
}

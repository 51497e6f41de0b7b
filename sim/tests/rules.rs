//! The election under faults: no rule is broken, and each rule can be.
#![allow(clippy::unwrap_used)]

use fau3_election::{Config, Mutant};
use fau3_sim::check::check;
use fau3_sim::mutants::hunt;
use fau3_sim::shrink::shrink;
use fau3_sim::sweep::{Plan, sweep};
use fau3_sim::topologies::{GRAPHS, survey};
use fau3_sim::world::{Setup, World};

fn swept(threads: usize) -> fau3_sim::sweep::Swept {
    let config = Config::default();
    let plan = Plan { from: 0, until: 64, stop: false, threads };
    sweep(plan, |seed| Setup::from_seed(seed, &config), |_, _| ())
}

#[test]
fn no_rule_is_broken_and_the_faults_do_what_they_are_there_for() {
    let swept = swept(0);
    assert!(swept.violations.is_empty(), "{:?}", swept.violations);
    let missing = swept.tally.missing();
    assert!(missing.is_empty(), "never happened in {} runs: {missing:?}", swept.runs);
}

#[test]
fn a_sweep_is_the_same_on_one_core_and_on_three() {
    let (one, three) = (swept(1), swept(3));
    assert_eq!(one.tally, three.tally);
    assert_eq!(one.simulated_us, three.simulated_us);
}

#[test]
fn the_same_seed_is_the_same_run_and_another_one_is_not() {
    let trace = |seed| World::new(Setup::from_seed(seed, &Config::default())).run().trace;
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
}

#[test]
fn every_wrong_variant_is_caught() {
    for mutant in Mutant::ALL {
        assert!(hunt(mutant, 160).is_some(), "{mutant:?} survives");
    }
}

#[test]
fn one_router_leads_each_two_way_component_of_any_graph() {
    // Given each sixteenth of the graphs of four routers
    let surveyed = survey((0..GRAPHS).step_by(16), &Config::default());
    // Then every component has one leader, and VRRP's rule would not do
    assert_eq!(surveyed.broken, []);
    assert_eq!(surveyed.leaders, surveyed.components);
    assert!(surveyed.vrrp_more > 0);
}

#[test]
fn a_failing_run_shrinks_to_the_faults_that_matter() {
    // Given a router that trusts one-way links, and a run that shows it
    let config = Config { mutant: Some(Mutant::OneWayTrusted), ..Config::default() };
    let fails = |seed: &u64| World::new(Setup::from_seed(*seed, &config)).run().violation.is_some();
    let seed = (0..64).find(fails).unwrap();
    let setup = Setup::from_seed(seed, &config);
    let full = World::new(setup.clone()).run().violation.unwrap();
    // When it is shrunk
    let (smaller, violation, runs) = shrink(&setup).unwrap();
    // Then the same rule is broken by fewer faults, and by none fewer
    assert_eq!(violation.invariant, full.invariant);
    assert!(!smaller.faults.is_empty() && smaller.faults.len() < setup.faults.len() && runs > 1);
    for index in 0..smaller.faults.len() {
        let mut fewer = smaller.clone();
        fewer.faults.remove(index);
        let left = World::new(fewer).run().violation;
        assert_ne!(
            left.map(|violation| violation.invariant),
            Some(full.invariant),
            "fault {index} is not needed"
        );
    }
    // And a run that breaks nothing shrinks to nothing
    assert!(shrink(&Setup::from_seed(seed, &Config::default())).is_none());
}

#[test]
fn three_routers_keep_all_rules_in_every_history() {
    let checked = check(0, &Config::default(), 3);
    assert_eq!(checked.broken, [""; 0]);
    // Pinned, as for the long search of `fau3-sim check`
    assert_eq!(checked.states, 8_612);
}

#[test]
fn the_model_checker_finds_wrong_variants() {
    for (mutant, rounds, rule) in [
        (Mutant::NoListening, 1, "no leading before one detection time"),
        (Mutant::EpochNotPersisted, 5, "epochs go up"),
        (Mutant::TieByArrival, 1, "well after the heal"),
    ] {
        let config = Config { mutant: Some(mutant), ..Config::default() };
        let checked = check(0, &config, rounds);
        assert!(checked.broken.iter().any(|text| text.starts_with(rule)), "{mutant:?}: {:?}", checked.broken);
    }
}

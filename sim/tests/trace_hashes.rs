//! Runs are the same on every machine and in every build, and a change of
//! behaviour is seen in review: `fau3-sim hashes > sim/tests/trace_hashes.txt`.

use fau3_sim::hashes::{SEEDS, of, of_mesh, table};

#[test]
fn trace_hashes_are_those_that_are_checked_in() {
    let expected = include_str!("trace_hashes.txt");
    let measured = table(SEEDS, of);
    let changed = expected.lines().zip(measured.lines()).filter(|(old, new)| old != new).count();
    assert!(
        expected == measured,
        "{changed} of {SEEDS} runs changed. If that is wanted: fau3-sim hashes > sim/tests/trace_hashes.txt"
    );
}

/// The first ones: all of them take too long without optimization (`.ci/run`).
#[test]
fn so_are_those_of_whole_routers() {
    const FEW: u64 = 20;
    let expected = include_str!("mesh_trace_hashes.txt");
    assert_eq!(expected.lines().count() as u64, SEEDS);
    let measured = table(FEW, of_mesh);
    let changed: Vec<_> =
        expected.lines().zip(measured.lines()).filter(|(old, new)| old != new).map(|(_, new)| new).collect();
    assert!(
        changed.is_empty(),
        "these runs changed: {changed:?}. If that is wanted: \
         fau3-sim mesh hashes > sim/tests/mesh_trace_hashes.txt"
    );
}

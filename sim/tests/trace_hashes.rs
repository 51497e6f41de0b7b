//! Runs are the same on every machine and in every build, and a change of
//! behaviour is seen in review: `fau3-sim hashes > sim/tests/trace_hashes.txt`.

use fau3_sim::hashes::{SEEDS, table};

#[test]
fn trace_hashes_are_those_that_are_checked_in() {
    let expected = include_str!("trace_hashes.txt");
    let measured = table(SEEDS);
    let changed = expected.lines().zip(measured.lines()).filter(|(old, new)| old != new).count();
    assert!(
        expected == measured,
        "{changed} of {SEEDS} runs changed. If that is wanted: fau3-sim hashes > sim/tests/trace_hashes.txt"
    );
}

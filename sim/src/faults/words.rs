use fau3_election::Time;

use super::{Fault, FaultKind};
use crate::engine::Random;

/// Fewest and most of these faults in a run.
const COUNT: (u64, u64) = (1, 3);
/// Shortest and longest one, in ms.
const LENGTH_MS: (u64, u64) = (1_000, 20_000);

/// Draws when somebody says extreme numbers, and in whose name, one router's: beside the other faults
/// of a run, which stay as they are.
#[must_use]
pub fn words(nodes: usize, end: Time, mut random: Random) -> Vec<Fault> {
    let count = random.between(COUNT.0, COUNT.1);
    // Of one router: what a second one says beside it is more than anybody is promised.
    let node = random.below(nodes as u64) as usize;
    let draw = |_| {
        let length_ms = random.between(LENGTH_MS.0, LENGTH_MS.1).min(end.as_millis());
        let from_ms = random.below(end.as_millis() - length_ms + 1);
        let (from, until) = (Time::from_millis(from_ms), Time::from_millis(from_ms + length_ms));
        Fault { from, until, kind: FaultKind::Words { node } }
    };
    (0..count).map(draw).collect()
}

/// A number at a bound, or near one: of 64 bits, of 32, or of any width below.
#[must_use]
pub fn extreme(random: &mut Random) -> u64 {
    let near = random.below(5).wrapping_sub(2);
    match random.below(4) {
        0 => u64::MAX,
        1 => (1_u64 << random.pick(&[31, 32, 50, 62])).wrapping_add(near),
        2 => (1_u64 << random.below(64)).wrapping_add(near),
        _ => random.bits(),
    }
}

/// A small generator whose numbers are the same on every machine: SplitMix64
/// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
///
/// Whoever needs numbers of its own takes a [`child`](Self::child), so that one
/// more draw in one place leaves all the others as they were: a fault that the
/// shrinker removes does not change what else happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Random {
    state: u64,
}

/// One part in a million: what chances and clock errors are counted in.
pub const PPM: u64 = 1_000_000;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The generator that `seed` stands for.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// A generator for one purpose. It depends on this one's seed and on
    /// `label`, not on what has been drawn from any other child.
    #[must_use]
    pub const fn child(&self, label: u64) -> Self {
        Self { state: mix(self.state ^ mix(label.wrapping_add(GOLDEN))) }
    }

    /// 64 random bits.
    #[inline]
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number from 0 to `bound - 1`; 0 if `bound` is 0. The bias is below
    /// `bound` / 2^64 (Lemire's multiplication, without the rejection).
    #[inline]
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.bits() as u128 * bound as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True `ppm` times in a million. Draws nothing where the answer is certain.
    #[inline]
    pub const fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(PPM) < ppm as u64
    }

    /// An element of `all`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        debug_assert!(!all.is_empty(), "picked from nothing");
        all[self.below(all.len() as u64) as usize]
    }

    /// Puts `all` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [random.bits(), random.below(1_000), random.between(5, 6)]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7)[0], draw(8)[0]);
    }

    #[test]
    fn a_child_does_not_depend_on_what_its_siblings_draw() {
        let parent = Random::new(1);
        let mut before = parent.child(1);
        let mut sibling = parent.child(2);
        sibling.bits();
        assert_eq!(before.bits(), parent.child(1).bits());
        assert_ne!(parent.child(1).bits(), parent.child(2).bits());
    }

    #[test]
    fn bounds_hold_and_chances_are_met() {
        let mut random = Random::new(3);
        assert!((0..1_000).all(|_| (10..=12).contains(&random.between(10, 12))));
        assert_eq!(random.below(0), 0);
        let hits = (0..100_000).filter(|_| random.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "a quarter of 100,000, not {hits}");
        assert!(!random.chance(0) && random.chance(1_000_000));
    }
}

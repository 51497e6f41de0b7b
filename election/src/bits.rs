//! A set of at most 256 slots: the rows of the map, and components.

use crate::config::ROUTERS_MAX;

const WORDS: usize = ROUTERS_MAX / 64;

/// Slots 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) fn one(slot: usize) -> Self {
        let mut bits = Self::default();
        bits.insert(slot);
        bits
    }

    pub(crate) fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(crate) fn contains(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    pub(crate) fn union(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
        self
    }

    pub(crate) fn both(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word &= more);
        self
    }

    pub(crate) fn without(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, less)| *word &= !less);
        self
    }

    /// The slots in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let Self(words) = *self;
        let (mut index, mut word) = (0, words[0]);
        core::iter::from_fn(move || {
            while word == 0 {
                index += 1;
                word = *words.get(index)?;
            }
            let slot = index * 64 + word.trailing_zeros() as usize;
            word &= word - 1;
            Some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::Bits;

    #[test]
    fn slots_come_back_in_order_up_to_the_last() {
        let mut bits = Bits::default();
        for slot in [255, 0, 64, 63, 128] {
            bits.insert(slot);
        }
        bits.remove(128);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!(bits.without(&Bits::one(64)).both(&Bits::one(64)), Bits::default());
        assert!(bits.union(&Bits::one(7)).contains(7) && !bits.contains(7));
    }
}

/// What a run leaves behind to be compared: a hash over everything that
/// happened, in order. Numbers only, folded by their value, so that word size
/// and byte order do not matter.
///
/// Not a cryptographic hash; it tells runs apart, not adversaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    /// Folds one number in.
    #[inline]
    pub const fn fold(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }

    /// Folds bytes in, eight at a time.
    pub fn fold_bytes(&mut self, bytes: &[u8]) {
        self.fold(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            self.fold(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    /// The hash so far.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_length_count() {
        let of = |values: &[u64]| {
            let mut hash = TraceHash::default();
            values.iter().for_each(|value| hash.fold(*value));
            hash.value()
        };
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[0]), of(&[0, 0]));
        let mut bytes = TraceHash::default();
        bytes.fold_bytes(b"abc");
        assert_eq!(bytes.value(), of(&[3, 0x0061_6263]), "bytes are read in one order everywhere");
    }
}

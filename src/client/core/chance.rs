use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::wire::Uuid;

/// Chance from a seed: the same seed, the same course.
#[derive(Debug)]
pub(super) struct Chance {
    seed: u128,
    drawn: u64,
}

impl Chance {
    pub(super) const fn new(seed: u128) -> Self {
        Self { seed, drawn: 0 }
    }

    fn draw(&mut self) -> u128 {
        self.drawn += 1;
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..].copy_from_slice(&self.drawn.to_le_bytes());
        xxh3_128(&bytes)
    }

    /// A MessageUuid never used before.
    pub(super) fn message_uuid(&mut self) -> Uuid {
        Uuid::from_hash(self.draw())
    }

    /// From nothing to `span`, in microseconds.
    pub(super) fn up_to(&mut self, span: Duration) -> Duration {
        let micros = self.draw() % (span.as_micros() + 1);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

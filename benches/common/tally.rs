//! What came out of what went in: lost, doubled, out of order, and how long it took. Pure counting.

use std::{collections::BTreeSet, fmt, ops::AddAssign};

/// What one listener has of its room's one sender.
#[derive(Default)]
pub(crate) struct Heard {
    next: u32,
    /// Below `next`, but not heard yet.
    missing: BTreeSet<u32>,
}

/// What may not happen to a message, and how often it did.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) out_of_order: u64,
    /// Not what was sent, or in a room where it was not sent.
    pub(crate) damaged: u64,
}

impl Heard {
    /// Takes one message; true if it is the first of its number.
    pub(crate) fn take(&mut self, seq: u32, faults: &mut Faults) -> bool {
        if seq >= self.next {
            self.missing.extend(self.next..seq);
            self.next = seq + 1;
            true
        } else if self.missing.remove(&seq) {
            faults.out_of_order += 1;
            true
        } else {
            faults.doubled += 1;
            false
        }
    }

    /// Nothing below `end` will come any more: counts what is lost and starts anew from there.
    pub(crate) fn close(&mut self, end: u32, faults: &mut Faults) {
        let unheard = end.saturating_sub(self.next);
        faults.lost += self.missing.len() as u64 + u64::from(unheard);
        *self = Heard { next: end.max(self.next), missing: BTreeSet::new() };
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Faults) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.damaged += other.damaged;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {} / {}", self.lost, self.doubled, self.out_of_order, self.damaged)
    }
}

/// The value below which `share` (0 to 1) of the sorted `values` lie; 0 if there are none.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().map_or(0.0, f64::from)
}

/// The middle one of `values`; 0 if there are none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

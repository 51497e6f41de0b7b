use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fau3_election::Time;

/// Events ordered by time, and by the order of their scheduling where times
/// are equal.
///
/// A timing wheel (Varghese and Lauck, 1987) of 2,048 slots of 256 µs, with a
/// bitmap to find the next slot in use; what lies beyond its 0.52 s waits in a
/// heap. Beacons come every 250 ms and arrive within a few, so that nearly
/// everything is pushed and popped without a comparison of neighbours.
/// Allocates only while it grows; events are small and copied.
#[derive(Debug, Clone)]
pub struct EventQueue<E> {
    entries: Vec<Entry<E>>,
    free: u32,
    slots: Box<[u32; SLOTS as usize]>,
    used: [u64; WORDS],
    summary: u32,
    /// Nothing before this slot (counted from time zero) is left in the wheel.
    cursor: u64,
    far: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// The slot of the first in `far`.
    far_slot: u64,
    sequence: u64,
    len: usize,
}

#[derive(Debug, Clone)]
struct Entry<E> {
    at: u64,
    sequence: u64,
    next: u32,
    event: E,
}

const SLOT_SHIFT: u32 = 8;
const SLOTS: u64 = 2_048;
const WORDS: usize = (SLOTS / 64) as usize;
const NONE: u32 = u32::MAX;

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            slots: Box::new([NONE; SLOTS as usize]),
            used: [0; WORDS],
            summary: 0,
            cursor: 0,
            far: BinaryHeap::new(),
            far_slot: u64::MAX,
            sequence: 0,
            len: 0,
        }
    }
}

impl<E: Copy> EventQueue<E> {
    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all events and starts again at time zero; keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.free = NONE;
        self.slots.fill(NONE);
        self.used = [0; WORDS];
        self.summary = 0;
        self.cursor = 0;
        self.far.clear();
        self.far_slot = u64::MAX;
        self.sequence = 0;
        self.len = 0;
    }

    /// Schedules `event`. A moment that lies before the last popped event
    /// counts as the beginning of its slot.
    #[inline]
    pub fn push(&mut self, at: Time, event: E) {
        let at = at.as_micros().max(self.cursor << SLOT_SHIFT);
        let sequence = self.sequence;
        self.sequence += 1;
        self.len += 1;
        let index = self.store(Entry { at, sequence, next: NONE, event });
        if (at >> SLOT_SHIFT) - self.cursor < SLOTS {
            self.link(index, at);
        } else {
            self.far.push(Reverse((at, sequence, index)));
            self.far_slot = self.far_slot.min(at >> SLOT_SHIFT);
        }
    }

    /// The next event and its moment, unless that lies after `end`: then it
    /// stays, and what is scheduled before it still comes before it.
    #[inline]
    pub fn pop_until(&mut self, end: Time) -> Option<(Time, E)> {
        if self.len == 0 {
            return None;
        }
        let slot = self.first_used().map_or(self.far_slot, |distance| self.cursor + distance);
        if slot > end.as_micros() >> SLOT_SHIFT {
            return None;
        }
        self.cursor = slot;
        if self.far_slot - slot < SLOTS {
            self.bring_near();
        }
        let (index, before) = self.find_first(slot);
        if self.entries[index as usize].at > end.as_micros() {
            return None;
        }
        self.unlink(slot, index, before);
        let entry = &mut self.entries[index as usize];
        let at = Time::from_micros(entry.at);
        let event = entry.event;
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        Some((at, event))
    }

    #[inline]
    fn store(&mut self, entry: Entry<E>) -> u32 {
        if self.free == NONE {
            self.entries.push(entry);
            return (self.entries.len() - 1) as u32;
        }
        let index = self.free;
        let place = &mut self.entries[index as usize];
        self.free = place.next;
        *place = entry;
        index
    }

    #[inline]
    fn link(&mut self, index: u32, at: u64) {
        let position = (at >> SLOT_SHIFT) & (SLOTS - 1);
        let head = &mut self.slots[position as usize];
        self.entries[index as usize].next = *head;
        *head = index;
        let word = (position / 64) as usize;
        self.used[word] |= 1 << (position % 64);
        self.summary |= 1 << word;
    }

    /// How many slots after the cursor the next used one lies.
    #[inline]
    fn first_used(&self) -> Option<u64> {
        if self.summary == 0 {
            return None;
        }
        let start = self.cursor & (SLOTS - 1);
        let word = (start / 64) as usize;
        let here = self.used[word] >> (start % 64);
        if here != 0 {
            return Some(u64::from(here.trailing_zeros()));
        }
        // Later words first, then round to those before, the start's own lower bits last.
        let later = self.summary.checked_shr(word as u32 + 1).unwrap_or(0);
        let next =
            if later != 0 { word as u32 + 1 + later.trailing_zeros() } else { self.summary.trailing_zeros() };
        let position = u64::from(next) * 64 + u64::from(self.used[next as usize].trailing_zeros());
        Some((position + SLOTS - start) % SLOTS)
    }

    /// Moves into the wheel what has come within its reach: it lies at or
    /// after the cursor.
    #[cold]
    fn bring_near(&mut self) {
        while let Some(Reverse((at, _, index))) = self.far.peek() {
            self.far_slot = *at >> SLOT_SHIFT;
            if self.far_slot - self.cursor >= SLOTS {
                return;
            }
            let (at, index) = (*at, *index);
            self.far.pop();
            self.link(index, at);
        }
        self.far_slot = u64::MAX;
    }

    /// The earliest entry of a slot, and the one before it in the slot's list:
    /// few are in one, and in no order.
    #[inline]
    fn find_first(&self, slot: u64) -> (u32, u32) {
        let head = self.slots[(slot & (SLOTS - 1)) as usize];
        let (mut best, mut before_best) = (head, NONE);
        let (mut previous, mut index) = (head, self.entries[head as usize].next);
        while index != NONE {
            let entry = &self.entries[index as usize];
            if entry.is_before(&self.entries[best as usize]) {
                (best, before_best) = (index, previous);
            }
            (previous, index) = (index, entry.next);
        }
        (best, before_best)
    }

    /// Takes an entry out of a slot's list, in which it comes after `before`.
    #[inline]
    fn unlink(&mut self, slot: u64, index: u32, before: u32) {
        let position = slot & (SLOTS - 1);
        let after = self.entries[index as usize].next;
        if before != NONE {
            self.entries[before as usize].next = after;
        } else if after != NONE {
            self.slots[position as usize] = after;
        } else {
            self.leave_empty(position);
        }
    }

    #[inline]
    fn leave_empty(&mut self, position: u64) {
        self.slots[position as usize] = NONE;
        let word = (position / 64) as usize;
        self.used[word] &= !(1 << (position % 64));
        if self.used[word] == 0 {
            self.summary &= !(1 << word);
        }
    }
}

impl<E> Entry<E> {
    #[inline]
    fn is_before(&self, other: &Self) -> bool {
        (self.at, self.sequence) < (other.at, other.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    #[test]
    fn equal_times_leave_in_the_order_of_their_scheduling() {
        let mut queue = EventQueue::default();
        for name in ["a", "b", "c"] {
            queue.push(Time::from_millis(5), name);
        }
        queue.push(Time::from_millis(4), "first");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_until(Time::MAX)).map(|(_, name)| name).collect();
        assert_eq!(order, ["first", "a", "b", "c"]);
    }

    #[test]
    fn what_lies_after_the_end_stays_and_lets_others_in_before_it() {
        for (late, between) in [(200_000, 300), (4_000_000, 700_000), (201, 200)] {
            // Given an event after the end, in the same slot, the wheel, or far off
            let mut queue = EventQueue::default();
            queue.push(Time::from_micros(late), "late");
            assert_eq!(queue.pop_until(Time::from_micros(100)), None);
            // When another is scheduled between the two
            queue.push(Time::from_micros(between), "between");
            // Then it comes at its own moment, and first
            assert_eq!(queue.pop_until(Time::MAX), Some((Time::from_micros(between), "between")));
            assert_eq!(queue.pop_until(Time::MAX), Some((Time::from_micros(late), "late")));
        }
    }

    #[test]
    fn the_wheel_agrees_with_a_sorted_list() {
        let mut random = Random::new(11);
        for round in 0..50 {
            let mut queue = EventQueue::default();
            let mut expected: Vec<(u64, u64)> = Vec::new();
            let (mut now, mut id) = (0, 0);
            for _ in 0..2_000 {
                // Near, at the wheel's edge, and far: 4 s is eight turns of it.
                let ahead = random.pick(&[0, 3, 255, 256, 90_000, 524_287, 524_288, 4_000_000]);
                let at = now + random.below(ahead + 1);
                queue.push(Time::from_micros(at), id);
                expected.push((at, id));
                id += 1;
                if random.chance(600_000) {
                    expected.sort_unstable();
                    let (at, id) = expected.remove(0);
                    assert_eq!(
                        queue.pop_until(Time::MAX),
                        Some((Time::from_micros(at), id)),
                        "round {round}"
                    );
                    now = at;
                }
            }
            assert_eq!(queue.len(), expected.len());
            expected.sort_unstable();
            for (at, id) in expected {
                assert_eq!(queue.pop_until(Time::MAX), Some((Time::from_micros(at), id)));
            }
            assert!(queue.is_empty() && queue.pop_until(Time::MAX).is_none());
        }
    }
}

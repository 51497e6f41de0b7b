//! One client's stay in a room, as two routers know it, put together: when it
//! came, and what is settled for it since.
//!
//! Both may have seen it come: routers that were cut off from each other, or one
//! that had just started and knew nothing yet. What was said before the earlier
//! coming is not for it; what was said since is owed until either has settled it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fau3_election::Time;

use crate::router::session::{Coming, Session};
use crate::wire::fau3e::{SessionState, SessionVersion};
use crate::wire::{Origin, SETTLED_BEYOND_MAX, Settled};

impl Session {
    /// `clock_ms` is the mesh's clock now. What is settled is left alone unless
    /// `takes_settled`.
    pub(super) fn join_stay(
        &mut self,
        heard: &SessionState,
        now: Time,
        clock_ms: u64,
        takes_settled: bool,
    ) -> Joined {
        let is_same_entering = self.entered == heard.entered;
        self.entered = self.entered.max(heard.entered);
        let (came, settled) = self.of_this_stay(heard, now, clock_ms);
        self.moved_over = self.moved_over.max(heard.moved_over);
        let was_here_first = Coming::is_before(self.came, came, now);
        let was_there_first = Coming::is_before(came, self.came, now);
        let came_earlier = Coming::join(&mut self.came, came);
        let mut joined = if came_earlier { Joined::Reopened } else { Joined::Unchanged };
        for (origin, settled) in takes_settled.then_some(&*settled).into_iter().flatten() {
            joined = joined.max(match self.settled.entry(*origin) {
                Entry::Vacant(unknown) if was_there_first => {
                    unknown.insert(settled.clone());
                    Joined::Grown
                }
                known => known.or_default().join(settled),
            });
        }
        // An origin that the first of them did not know when the client came there:
        // nothing of it had been said before. That the second did not says nothing.
        let unknown = self.settled.iter_mut().filter(|(origin, _)| !settled.contains_key(origin));
        for (_, settled) in unknown.filter(|_| !is_same_entering && !was_here_first) {
            joined = joined.max(settled.join(&Settled::default()));
        }
        joined
    }

    /// When it came and what is settled, as heard. Of a stay before the client was in
    /// another room, there or here, only what it has heard is left.
    fn of_this_stay<'a>(
        &mut self,
        heard: &'a SessionState,
        now: Time,
        clock_ms: u64,
    ) -> (Option<Coming>, Cow<'a, BTreeMap<Origin, Settled>>) {
        let was_elsewhere = |came, moved_over: SessionVersion| {
            let moved_at = Coming::before(now, clock_ms.saturating_sub(moved_over.generation));
            moved_over.generation > 0 && Coming::is_before(came, Some(moved_at), now)
        };
        let came = heard.room_age_ms.map(|age_ms| Coming::before(now, age_ms));
        if was_elsewhere(came, self.moved_over) {
            return (self.came, Cow::Owned(since_coming(heard.settled.clone(), &self.settled)));
        }
        if was_elsewhere(self.came, heard.moved_over) {
            self.came = came;
            self.settled = since_coming(std::mem::take(&mut self.settled), &heard.settled);
        }
        (came, Cow::Borrowed(&heard.settled))
    }
}

/// What an earlier stay in a room leaves of what is settled, for a later one: nothing
/// is owed any more from before that began.
fn since_coming(
    mut settled: BTreeMap<Origin, Settled>,
    later: &BTreeMap<Origin, Settled>,
) -> BTreeMap<Origin, Settled> {
    for (origin, settled) in &mut settled {
        settled.begin_after(later.get(origin).map_or(0, |later| later.before));
    }
    settled
}

impl Settled {
    /// Puts another state of the same together with this one: what either has
    /// settled since the client came there, and before that only what neither
    /// was to deliver. The same in whatever order states come. Says how this
    /// one has changed.
    fn join(&mut self, other: &Self) -> Joined {
        let (low, high) = if self.before <= other.before { (&*self, other) } else { (other, &*self) };
        let mut joined = low.clone();
        joined.beyond.extend(&high.beyond);
        if high.before <= joined.prefix {
            joined.prefix = joined.prefix.max(high.prefix);
        } else {
            // Between the two lies what one of them still had to deliver.
            let from = (high.before + 1).max(high.prefix.saturating_sub(SETTLED_BEYOND_MAX as u64));
            joined.beyond.extend(from..=high.prefix);
        }
        joined.beyond = joined.beyond.split_off(&(joined.prefix + 1));
        while joined.beyond.len() > SETTLED_BEYOND_MAX {
            joined.prefix = joined.beyond.pop_first().unwrap_or(joined.prefix);
        }
        while joined.beyond.remove(&(joined.prefix + 1)) {
            joined.prefix += 1;
        }
        let result = match joined.prefix.cmp(&self.prefix) {
            _ if joined == *self => Joined::Unchanged,
            Ordering::Less => Joined::Reopened,
            _ => Joined::Grown,
        };
        *self = joined;
        result
    }
}

/// What putting two states together has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Joined {
    Unchanged,
    /// More is settled.
    Grown,
    /// Something is to be delivered that was not, since the client had come
    /// earlier than was known here.
    Reopened,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(before: u64, prefix: u64, beyond: &[u64]) -> Settled {
        Settled { before, prefix, beyond: beyond.iter().copied().collect() }
    }

    #[test]
    fn states_of_one_entering_grow_together() {
        let mut one = settled(3, 5, &[8]);
        assert_eq!(one.join(&settled(3, 6, &[])), Joined::Grown);
        assert_eq!(one, settled(3, 6, &[8]));
        assert_eq!(one.join(&settled(3, 7, &[])), Joined::Grown);
        assert_eq!(one, settled(3, 8, &[]));
        assert_eq!(one.join(&settled(3, 7, &[])), Joined::Unchanged);
    }

    #[test]
    fn what_was_owed_since_the_earlier_entering_stays_owed_in_whatever_order_states_meet() {
        // Given: a client that came when 3 had been said, and heard 4; and, where
        // nobody knew of it, when 7 had been said, and heard 8.
        let (first, second) = (settled(3, 4, &[]), settled(7, 8, &[]));
        let both = settled(3, 4, &[8]);
        let (mut a, mut b) = (first.clone(), second.clone());
        assert_eq!((a.join(&second), b.join(&first)), (Joined::Grown, Joined::Reopened));
        assert_eq!((&a, &b), (&both, &both));
        // Then: meeting either again changes nothing.
        assert_eq!(
            (a.join(&second), a.join(&first), a.join(&b)),
            (Joined::Unchanged, Joined::Unchanged, Joined::Unchanged)
        );
    }
}

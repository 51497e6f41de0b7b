//! Which records the main server has, as all routers tell each other.

use std::collections::BTreeMap;

use crate::wire::fau3e::{Holding, STATE_HOLDINGS_MAX};
use crate::wire::{Origin, RecordId};

/// Runs of sequences, for each origin: rising, none touching the next. At most
/// [`STATE_HOLDINGS_MAX`] in all; beyond it the lowest of some origin go, which costs
/// at worst a record that is pushed twice.
#[derive(Debug, Default)]
pub(super) struct Pushed(BTreeMap<Origin, Vec<(u64, u64)>>);

impl Pushed {
    pub(super) fn contains(&self, id: &RecordId) -> bool {
        let runs = self.0.get(&id.origin).into_iter().flatten();
        runs.into_iter().any(|(floor, top)| (*floor..=*top).contains(&id.sequence))
    }

    /// True if that is news.
    pub(super) fn insert(&mut self, id: &RecordId) -> bool {
        self.join(&Holding { origin: id.origin, floor: id.sequence, top: id.sequence })
    }

    /// Adds a run. True if that is news.
    pub(super) fn join(&mut self, run: &Holding) -> bool {
        if run.floor > run.top {
            return false;
        }
        if self.covers(run) {
            return false;
        }
        let runs = self.0.entry(run.origin).or_default();
        let (mut floor, mut top) = (run.floor, run.top);
        runs.retain(|(from, to)| {
            let touches = *from <= top.saturating_add(1) && floor <= to.saturating_add(1);
            if touches {
                (floor, top) = (floor.min(*from), top.max(*to));
            }
            !touches
        });
        let at = runs.partition_point(|(from, _)| *from < floor);
        runs.insert(at, (floor, top));
        while self.0.values().map(Vec::len).sum::<usize>() > STATE_HOLDINGS_MAX {
            self.drop_lowest(&run.origin);
        }
        true
    }

    /// Whether all of a run is known.
    pub(super) fn covers(&self, run: &Holding) -> bool {
        let runs = self.0.get(&run.origin).into_iter().flatten();
        runs.into_iter().any(|(floor, top)| *floor <= run.floor && run.top <= *top)
    }

    /// Forgets all others.
    pub(super) fn keep_origins(&mut self, is_known: impl Fn(&Origin) -> bool) {
        self.0.retain(|origin, _| is_known(origin));
    }

    pub(super) fn runs(&self) -> Vec<Holding> {
        let run = |(origin, runs): (&Origin, &Vec<(u64, u64)>)| {
            let origin = *origin;
            runs.iter()
                .map(move |(floor, top)| Holding { origin, floor: *floor, top: *top })
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(run).collect()
    }

    /// Of the origin that has most of them; of those that have as many not of the one that is
    /// being told of, or each time the same would be news.
    fn drop_lowest(&mut self, told: &Origin) {
        let by_length = |(origin, runs): &(&Origin, &Vec<_>)| (runs.len(), *origin != told);
        let Some(longest) = self.0.iter().max_by_key(by_length).map(|(origin, _)| *origin) else { return };
        if let Some(runs) = self.0.get_mut(&longest) {
            runs.remove(0);
            if runs.is_empty() {
                self.0.remove(&longest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fau3_election::{Incarnation, RouterId};

    use super::*;

    fn origin() -> Origin {
        Origin { router: RouterId([1; 16]), incarnation: Incarnation::default() }
    }

    fn runs(pushed: &Pushed) -> Vec<(u64, u64)> {
        pushed.runs().iter().map(|run| (run.floor, run.top)).collect()
    }

    #[test]
    fn runs_that_touch_become_one_and_lives_of_which_nobody_knows_are_forgotten() {
        let mut pushed = Pushed::default();
        for sequence in [1, 2, 5, 4] {
            assert!(pushed.insert(&RecordId { origin: origin(), sequence }));
        }
        assert_eq!(runs(&pushed), [(1, 2), (4, 5)]);
        assert!(!pushed.join(&Holding { origin: origin(), floor: 4, top: 4 }), "known");
        assert!(pushed.join(&Holding { origin: origin(), floor: 2, top: 3 }));
        assert_eq!(runs(&pushed), [(1, 5)]);
        assert!(pushed.insert(&RecordId { origin: origin(), sequence: 9 }));
        assert_eq!(runs(&pushed), [(1, 5), (9, 9)]);
        assert!(pushed.contains(&RecordId { origin: origin(), sequence: 9 }));
        assert!(!pushed.contains(&RecordId { origin: origin(), sequence: 6 }));
        pushed.keep_origins(|known| *known == origin());
        assert!(pushed.contains(&RecordId { origin: origin(), sequence: 5 }));
        pushed.keep_origins(|_| false);
        assert!(runs(&pushed).is_empty());
    }

    #[test]
    fn the_table_is_bounded() {
        let mut pushed = Pushed::default();
        for nth in 0..STATE_HOLDINGS_MAX as u64 + 5 {
            pushed.insert(&RecordId { origin: origin(), sequence: 1 + 2 * nth });
        }
        assert_eq!(pushed.runs().len(), STATE_HOLDINGS_MAX);
    }

    #[test]
    fn however_many_lives_are_told_of_the_table_is_bounded_and_what_is_told_last_is_news_once() {
        let mut pushed = Pushed::default();
        let run = |life: u64| {
            let incarnation = Incarnation { random: life, ..Incarnation::default() };
            let origin = Origin { router: RouterId([1; 16]), incarnation };
            Holding { origin, floor: 1, top: 1 }
        };
        for life in 0..20_000 {
            assert!(pushed.join(&run(life)));
            assert!(!pushed.join(&run(life)), "{life}");
        }
        assert_eq!((pushed.0.len(), pushed.runs().len()), (STATE_HOLDINGS_MAX, STATE_HOLDINGS_MAX));
    }
}

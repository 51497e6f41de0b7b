//! When a main server that answers again is trusted again. Pure. The hold
//! time is the same for both kinds of main server; what answers, each kind's
//! watcher says.

use std::collections::VecDeque;
use std::time::Duration;

use fau3_election::Time;

/// The hold time grows to so many times the configured one at most: a server
/// that is gone for half of each minute is followed in what is left of it.
const HOLD_GROWTH_MAX: u32 = 4;
/// How long an outage makes the hold time longer.
const OUTAGES_KEPT: Duration = Duration::from_secs(600);
/// Outages that are remembered: those that still make a difference.
const OUTAGES_MAX: usize = 3;

/// When a main server went away while it was trusted, the last first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outages(VecDeque<Time>);

impl Outages {
    /// It has gone away.
    pub fn note(&mut self, now: Time) {
        self.0.truncate(OUTAGES_MAX - 1);
        self.0.push_front(now);
    }

    /// Whether it has ever gone away.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// How long it has to answer before it counts again: `base`, doubled by
    /// each outage of late but the first, up to four times as long.
    #[must_use]
    pub fn hold(&self, base: Duration) -> Duration {
        let last = self.0.front().copied().unwrap_or(Time::ZERO);
        let late = self.0.iter().filter(|at| **at + OUTAGES_KEPT > last).count();
        (1..late).fold(base, |hold, _| hold * 2).min(base * HOLD_GROWTH_MAX)
    }
}

/// A main server that either answers or does not, and whether to trust it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::router) struct Hold {
    /// After its first outage it has to answer for so long.
    pub(in crate::router) base: Duration,
    /// It answers since then.
    answers_since: Option<Time>,
    outages: Outages,
}

impl Hold {
    pub(in crate::router) fn new(base: Duration) -> Self {
        Self { base, ..Self::default() }
    }

    /// It answers. Said again while it does, it changes nothing.
    pub(in crate::router) fn up(&mut self, now: Time) {
        self.answers_since.get_or_insert(now);
    }

    /// It does not answer. Only where it was trusted before is that one more
    /// outage: what nobody had followed moves nobody.
    pub(in crate::router) fn down(&mut self, now: Time) {
        if self.is_trusted(now) {
            self.outages.note(now);
        }
        self.answers_since = None;
    }

    /// It was there and is gone, as somebody else has found who watched it
    /// before.
    pub(in crate::router) fn lost(&mut self, now: Time) {
        self.outages.note(now);
        self.answers_since = None;
    }

    /// Nobody watches it any more: no outage, but no answer either.
    pub(in crate::router) fn unwatch(&mut self) {
        self.answers_since = None;
    }

    /// Whether it is to lead: at once the first time, later when it has
    /// answered for the hold time.
    pub(in crate::router) fn is_trusted(&self, now: Time) -> bool {
        self.trusted_at().is_some_and(|at| at <= now)
    }

    /// Whether it has been there before.
    pub(in crate::router) fn was_lost(&self) -> bool {
        self.outages.any()
    }

    /// When it is trusted, if it goes on answering; `None` while it does not.
    pub(in crate::router) fn trusted_at(&self) -> Option<Time> {
        let hold = if self.outages.any() { self.outages.hold(self.base) } else { Duration::ZERO };
        self.answers_since.map(|since| since + hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Time = Time::from_secs;
    const BASE: Duration = Duration::from_secs(3);

    #[test]
    fn the_first_time_is_at_once_and_after_an_outage_it_has_to_answer_for_3_s() {
        let mut hold = Hold::new(BASE);
        assert!(!hold.is_trusted(S(1)));
        hold.up(S(1));
        assert!(hold.is_trusted(S(1)));
        hold.down(S(10));
        hold.up(S(20));
        hold.up(S(22));
        assert_eq!((hold.is_trusted(S(22)), hold.trusted_at()), (false, Some(S(23))));
        assert!(hold.is_trusted(S(23)));
    }

    #[test]
    fn each_outage_doubles_the_hold_up_to_four_times() {
        let mut hold = Hold::new(BASE);
        let mut now = S(0);
        let mut holds = Vec::new();
        for _ in 0..8 {
            hold.up(now);
            let trusted_at = hold.trusted_at().unwrap();
            holds.push(trusted_at.since(now).as_secs());
            now = trusted_at + Duration::from_secs(1);
            hold.down(now);
        }
        assert_eq!(holds, [0, 3, 6, 12, 12, 12, 12, 12]);
    }

    #[test]
    fn gone_again_before_it_was_trusted_begins_the_same_hold_anew() {
        let mut hold = Hold::new(BASE);
        hold.up(S(0));
        hold.down(S(1));
        for second in 2..20 {
            hold.up(S(second));
            hold.down(S(second) + Duration::from_millis(900));
        }
        hold.up(S(20));
        assert_eq!(hold.trusted_at(), Some(S(23)));
    }

    #[test]
    fn outages_of_ten_minutes_ago_double_nothing() {
        let mut hold = Hold::new(BASE);
        hold.up(S(0));
        hold.down(S(1));
        hold.up(S(2));
        hold.down(S(601));
        hold.up(S(700));
        assert_eq!(hold.trusted_at(), Some(S(703)));
        hold.down(S(800));
        hold.up(S(800));
        assert_eq!(hold.trusted_at(), Some(S(806)));
    }

    #[test]
    fn an_outage_that_another_saw_counts() {
        let mut hold = Hold::new(BASE);
        hold.lost(S(1));
        hold.up(S(2));
        assert_eq!((hold.was_lost(), hold.trusted_at()), (true, Some(S(5))));
    }
}

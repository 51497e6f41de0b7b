//! When a default server that answers again is trusted again. Pure; the same
//! for both kinds of default server: what "answers" means, its watcher says.

use std::time::Duration;

use fau3_election::Time;

/// After its first outage a default server has to answer for so long before it
/// leads again.
pub const HOLD_BASE: Duration = Duration::from_secs(3);
/// Each further outage doubles that, up to this.
pub const HOLD_MAX: Duration = Duration::from_secs(60);
/// Outages are forgotten once it has led for so long without another one:
/// twice the longest hold, so that a slow flapper is still remembered.
pub const HOLD_FORGET: Duration = Duration::from_secs(120);

/// Outages counted; more double nothing any more.
const OUTAGES_MAX: u32 = 8;

/// What is known of a default server's comings and goings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hold {
    /// It answers since then.
    answers_since: Option<Time>,
    /// Times it was lost while it was trusted.
    outages: u32,
}

impl Hold {
    /// It answers. Said again while it does, it changes nothing.
    pub fn up(&mut self, now: Time) {
        self.answers_since.get_or_insert(now);
    }

    /// It does not answer. Only where it was trusted before is that one more
    /// outage: what nobody had followed moves nobody.
    pub fn down(&mut self, now: Time) {
        if self.is_trusted(now) {
            self.lost(now);
        }
        self.answers_since = None;
    }

    /// It was there and is gone, as somebody else has found who watched it
    /// before.
    pub fn lost(&mut self, now: Time) {
        if self.trusted_at().is_some_and(|at| now.since(at) >= HOLD_FORGET) {
            self.outages = 0;
        }
        self.outages = (self.outages + 1).min(OUTAGES_MAX);
        self.answers_since = None;
    }

    /// Nobody watches it any more: no outage, but no answer either.
    pub fn unwatch(&mut self) {
        self.answers_since = None;
    }

    /// Whether it is to lead: at once the first time, later when it has
    /// answered for [`Self::hold`].
    #[must_use]
    pub fn is_trusted(&self, now: Time) -> bool {
        self.trusted_at().is_some_and(|at| at <= now)
    }

    /// Whether it has been there before.
    #[must_use]
    pub fn was_lost(&self) -> bool {
        self.outages > 0
    }

    /// How long it has to answer before it is trusted.
    #[must_use]
    pub fn hold(&self) -> Duration {
        match self.outages {
            0 => Duration::ZERO,
            outages => (HOLD_BASE * (1 << (outages - 1))).min(HOLD_MAX),
        }
    }

    /// When it is trusted, if it goes on answering; `None` while it does not.
    #[must_use]
    pub fn trusted_at(&self) -> Option<Time> {
        self.answers_since.map(|since| since + self.hold())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Time = Time::from_secs;

    #[test]
    fn the_first_time_is_at_once_and_after_an_outage_it_has_to_answer_for_3_s() {
        let mut hold = Hold::default();
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
    fn each_outage_doubles_the_hold_up_to_a_minute() {
        let mut hold = Hold::default();
        let mut now = S(0);
        let mut holds = Vec::new();
        for _ in 0..8 {
            hold.up(now);
            holds.push(hold.hold().as_secs());
            now = now + hold.hold() + Duration::from_secs(1);
            hold.down(now);
        }
        assert_eq!(holds, [0, 3, 6, 12, 24, 48, 60, 60]);
    }

    #[test]
    fn gone_again_before_it_was_trusted_begins_the_same_hold_anew() {
        let mut hold = Hold::default();
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
    fn outages_are_forgotten_after_two_minutes_of_quiet() {
        let mut hold = Hold::default();
        hold.up(S(0));
        hold.down(S(1));
        hold.up(S(2));
        hold.down(S(5 + 120));
        assert_eq!(hold.hold(), HOLD_BASE);
        hold.up(S(130));
        hold.down(S(133 + 119));
        assert_eq!(hold.hold(), HOLD_BASE * 2);
    }

    #[test]
    fn an_outage_that_another_saw_counts() {
        let mut hold = Hold::default();
        hold.lost(S(1));
        hold.up(S(2));
        assert_eq!((hold.was_lost(), hold.trusted_at()), (true, Some(S(5))));
    }
}

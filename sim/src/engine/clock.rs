use fau3_election::Time;

use super::random::PPM;

/// A router's own clock: starts at zero with the router and runs fast or slow
/// against true time by a fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    started: Time,
    /// Local microseconds in a million true ones.
    rate: u64,
}

/// The worst clock that is simulated, fast or slow, in parts a million: 5 %.
pub const CLOCK_ERROR_PPM_MAX: i32 = 50_000;

impl Clock {
    /// A clock that shows zero at `started` and runs `error_ppm` parts a million
    /// fast (slow where negative), limited to [`CLOCK_ERROR_PPM_MAX`].
    #[must_use]
    pub fn new(started: Time, error_ppm: i32) -> Self {
        let error = error_ppm.clamp(-CLOCK_ERROR_PPM_MAX, CLOCK_ERROR_PPM_MAX);
        Self { started, rate: PPM.saturating_add_signed(i64::from(error)) }
    }

    /// What the clock shows at the true moment `now`; zero before its start.
    #[inline]
    #[must_use]
    pub fn local(&self, now: Time) -> Time {
        let elapsed = now.as_micros().saturating_sub(self.started.as_micros());
        Time::from_micros(elapsed * self.rate / PPM)
    }

    /// The first true moment at which the clock shows `local` or more.
    #[inline]
    #[must_use]
    pub fn when(&self, local: Time) -> Time {
        if self.rate == PPM {
            return Time::from_micros(self.started.as_micros().saturating_add(local.as_micros()));
        }
        match local.as_micros().checked_mul(PPM) {
            Some(scaled) => Time::from_micros(self.started.as_micros() + scaled.div_ceil(self.rate)),
            None => Time::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_met_on_the_dot_whatever_the_rate() {
        for error in [-50_000, -1, 0, 1, 49_999, 50_000] {
            let clock = Clock::new(Time::from_millis(1_234), error);
            for micros in [0, 1, 249_999, 250_000, 660_000_000] {
                let deadline = Time::from_micros(micros);
                let due = clock.when(deadline);
                assert!(clock.local(due) >= deadline, "woken before the deadline at {error} ppm");
                if due > Time::from_millis(1_234) {
                    let before = Time::from_micros(due.as_micros() - 1);
                    assert!(clock.local(before) < deadline, "woken late at {error} ppm");
                }
            }
        }
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Clock::new(Time::ZERO, 7).when(Time::MAX), Time::MAX);
        assert_eq!(Clock::new(Time::from_secs(1), 0).when(Time::MAX), Time::MAX);
    }
}

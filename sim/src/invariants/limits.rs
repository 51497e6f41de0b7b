use std::time::Duration;

use fau3_election::Config;

use crate::engine::CLOCK_ERROR_PPM_MAX;

/// How long things may take, from the timers. Clocks may run 5 % slow, so
/// every span of a router's own is stretched by as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After the last change to a component, until the settled rules hold:
    /// [`Config::converged_max`] for the longest chain of routers, and four
    /// intervals, for links that still count as firm may lose one flood in twenty.
    pub settle: Duration,
    /// Members of a component learn of one thing within this time, in any
    /// order: a flood down the longest chain, and an interval more where one is lost.
    pub grace: Duration,
    /// From a role's change back to its cause: as long as settling.
    pub cause: Duration,
    /// Role changes of one router for one cause. The others learn of it one
    /// after the other, and the record of each may move the lead there and back:
    /// two for each router.
    pub changes_max: u32,
    /// Detection time on the router's own clock: no leading before.
    pub listening: Duration,
    /// Within this time ([`Config::hold_max`])...
    pub flapping_window: Duration,
    /// ...a router that was away takes the lead from a living one at most so
    /// often. The first return is free, the second waits 4 s, then 8, 16 and 32: 60 s.
    pub hand_backs_max: usize,
    /// Longest hold-down of a router whose links are firm: [`Config::hold_max`].
    pub held_max: Duration,
}

impl Limits {
    /// The limits of a mesh of `routers` with these timers.
    #[must_use]
    pub fn of(config: &Config, routers: usize) -> Self {
        let hops = routers.saturating_sub(1) as u32;
        let settle = stretch(config.converged_max(hops) + config.beacon * 4);
        Self {
            settle,
            grace: stretch(config.flood_gap * (hops + 2) + config.beacon),
            cause: settle,
            changes_max: 2 * routers as u32,
            listening: config.detection(),
            flapping_window: config.hold_max,
            hand_backs_max: 5,
            held_max: stretch(config.hold_max) + settle,
        }
    }
}

/// As long as it takes by the slowest clock.
fn stretch(span: Duration) -> Duration {
    let slow = 1_000_000 - CLOCK_ERROR_PPM_MAX as u32;
    span * 1_000_000 / slow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_timers_and_the_slowest_clock() {
        let config = Config::default();
        let limits = Limits::of(&config, 5);
        assert!(limits.settle > config.converged_max(4));
        assert!(limits.held_max > config.hold_max * 20 / 19);
        assert_eq!(stretch(Duration::from_millis(950)), Duration::from_secs(1));
    }
}

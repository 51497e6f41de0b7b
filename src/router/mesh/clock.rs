//! The mesh's clock: orders what different routers do to one session.

use std::time::Duration;

use fau3_election::Time;

use super::roam::CLOCK_JUMP_MIN;
use crate::wire::fau3e::TIMES;

/// What one router alone says beyond all that is believed at once moves the clock
/// by one step in so long: as fast as a lie can drive a whole mesh ahead, and as fast
/// as a router that was cut off meanwhile follows the only other one.
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// Runs with this router's own clock and is never behind what was heard: a
/// hybrid logical clock (Kulkarni et al. 2014) over clocks that start at zero.
/// Two halves of a mesh that lose each other go on at the same pace, so that
/// the newer of two attachments is the newer one on both sides.
#[derive(Debug, Default)]
pub(super) struct MeshClock {
    /// How far it is ahead of the router's own, in ms.
    ahead_ms: u64,
    /// When it went a step beyond what is believed at once.
    stepped_at: Option<Time>,
}

impl MeshClock {
    /// In ms.
    pub(super) fn now(&self, now: Time) -> u64 {
        now.as_millis().saturating_add(self.ahead_ms).min(TIMES.last)
    }

    /// How far it is ahead of the router's own, in ms.
    pub(super) fn ahead_ms(&self) -> u64 {
        self.ahead_ms
    }

    /// Another router's clock was heard, and most say no less than `backed_ms`, which is
    /// believed whatever it is. Says by how much this one has jumped, in ms: by as much
    /// as is believed, so that nobody refuses what it says next.
    pub(super) fn heard(&mut self, now: Time, clock_ms: u64, backed_ms: u64) -> u64 {
        let own_ms = self.now(now);
        let sure_ms = own_ms.max(TIMES.at_once).max(backed_ms).min(TIMES.last);
        let beyond_ms = clock_ms.saturating_sub(sure_ms);
        let may_step = self.stepped_at.is_none_or(|at| now.since(at) >= STEP_INTERVAL);
        let believed_ms = if beyond_ms == 0 {
            clock_ms
        } else if Duration::from_millis(beyond_ms) < CLOCK_JUMP_MIN {
            clock_ms.min(TIMES.last)
        } else if may_step {
            self.stepped_at = Some(now);
            TIMES.of(sure_ms, clock_ms)
        } else {
            sure_ms
        };
        let jump_ms = believed_ms.saturating_sub(own_ms);
        self.ahead_ms += jump_ms;
        jump_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_jumps_forward_and_never_back() {
        let mut clock = MeshClock::default();
        assert_eq!(clock.heard(Time::from_secs(1), 5_000, 0), 4_000);
        assert_eq!(clock.now(Time::from_secs(2)), 6_000);
        assert_eq!(clock.heard(Time::from_secs(2), 100, 0), 0);
        assert_eq!(clock.now(Time::from_secs(2)), 6_000);
    }

    #[test]
    fn one_router_s_lies_drive_it_a_step_a_second_and_most_routers_are_believed_at_once() {
        let mut clock = MeshClock::default();
        let (second, far) = (Time::from_secs(1), TIMES.last);
        assert_eq!(clock.heard(second, far, 0), TIMES.at_once + TIMES.step - 1_000);
        let at = clock.now(second);
        for _ in 0..1_000 {
            assert_eq!(clock.heard(Time::from_micros(1_500_000), far, 0), 0);
        }
        assert_eq!(clock.heard(Time::from_secs(2), far, 0), TIMES.step);
        // Who was cut off meanwhile hears it of most.
        let mut other = MeshClock::default();
        let later_ms = at + 1_000 * TIMES.step;
        other.heard(second, later_ms, later_ms);
        assert_eq!(other.now(second), later_ms);
    }
}

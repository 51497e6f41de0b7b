//! The mesh's clock: orders what different routers do to one session.

use fau3_election::Time;

use crate::wire::fau3e::TIMES;

/// Runs with this router's own clock and is never behind what was heard: a
/// hybrid logical clock (Kulkarni et al. 2014) over clocks that start at zero.
/// Two halves of a mesh that lose each other go on at the same pace, so that
/// the newer of two attachments is the newer one on both sides.
#[derive(Debug, Default)]
pub(super) struct MeshClock {
    /// How far it is ahead of the router's own, in ms.
    ahead_ms: u64,
}

impl MeshClock {
    /// In ms.
    pub(super) fn now(&self, now: Time) -> u64 {
        now.as_millis().saturating_add(self.ahead_ms).min(TIMES.last)
    }

    /// Another router's clock was heard. Says by how much this one has jumped, in ms: by
    /// as much as is believed, so that nobody refuses what it says next.
    pub(super) fn heard(&mut self, now: Time, clock_ms: u64) -> u64 {
        let own_ms = self.now(now);
        let jump_ms = TIMES.of(own_ms, clock_ms).saturating_sub(own_ms);
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
        assert_eq!(clock.heard(Time::from_secs(1), 5_000), 4_000);
        assert_eq!(clock.now(Time::from_secs(2)), 6_000);
        assert_eq!(clock.heard(Time::from_secs(2), 100), 0);
        assert_eq!(clock.now(Time::from_secs(2)), 6_000);
    }
}

use std::time::Duration;

use fau3_election::Time;
use tokio::time::Instant;

/// The router's clock: zero when the node started.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that stands at zero now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time now.
    #[must_use]
    pub fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    /// The moment at which it will show `time`.
    #[must_use]
    pub fn instant(self, time: Time) -> Instant {
        self.0 + Duration::from_micros(time.as_micros())
    }
}

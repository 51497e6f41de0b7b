use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A moment on a router's own clock: microseconds since the router started.
///
/// It only ever moves forward and is never compared between routers: what
/// crosses a wire is an age, not a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The moment at which the router started.
    pub const ZERO: Self = Self(0);
    /// Later than any moment that is reached: 584,000 years.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment `millis` milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// The moment `seconds` seconds after the start.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the start.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Time::MAX`].
impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        self + Micros::from(span)
    }
}

impl<Span> AddAssign<Span> for Time
where
    Self: Add<Span, Output = Self>,
{
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

/// Saturates at [`Time::ZERO`].
impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        self - Micros::from(span)
    }
}

/// A span as moments count it. What is needed at each heartbeat is converted
/// once: a `Duration` has to be multiplied and divided for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Micros(u64);

/// Without the 128-bit arithmetic of `Duration::as_micros`, which a 32-bit
/// machine does in software.
impl From<Duration> for Micros {
    fn from(span: Duration) -> Self {
        Self(span.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(span.subsec_micros())))
    }
}

/// Saturates at [`Time::MAX`].
impl Add<Micros> for Time {
    type Output = Self;

    fn add(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// Saturates at [`Time::ZERO`].
impl Sub<Micros> for Time {
    type Output = Self;

    fn sub(self, span: Micros) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

/// Seconds with milliseconds, as logs and timelines show it: `12.345`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::ZERO.since(Time::MAX), Duration::ZERO);
        assert_eq!(Time::ZERO + Duration::MAX, Time::MAX);
    }
}

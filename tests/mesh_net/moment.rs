//! Moments as logs have them, so that what several routers say can be put in order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(since.as_micros().try_into().unwrap())
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The beginning of a line: `2026-11-21T07:29:43.761348Z`.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let text = line.split_ascii_whitespace().next()?.strip_suffix('Z')?;
        let mut numbers = text.split(['-', 'T', ':', '.']).map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let (year, month, day) = (next()?, next()?, next()?);
        let (hour, minute, second, micros) = (next()?, next()?, next()?, next()?);
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
        Some(Self(seconds * 1_000_000 + micros))
    }
}

/// Days since 1970-01-01, by the Gregorian calendar; years that begin in March
/// have their leap day at the end.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[test]
fn a_line_of_the_log_tells_its_moment() {
    let line = "2026-11-21T07:29:43.761348Z  INFO this router leads";
    assert_eq!(Moment::of_line(line), Some(Moment(1_795_246_183_761_348)));
    assert_eq!(Moment::of_line("2024-02-29T00:00:00.000001Z x"), Some(Moment(1_709_164_800_000_001)));
    assert_eq!(Moment::of_line("no moment"), None);
}

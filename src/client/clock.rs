//! The wall clock, for people: nothing is decided by it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use tz::{TimeZone, UtcDateTime};

/// Where OpenWrt keeps its time zone, as a POSIX TZ string.
const OPENWRT_TZ: &str = "/etc/TZ";

/// A wall clock that shows local time. The zone is read once.
pub(super) struct WallClock {
    zone: TimeZone,
}

/// A moment of the wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Milliseconds since 1970, UTC.
    pub(super) unix_ms: u64,
    local: UtcDateTime,
}

impl WallClock {
    /// The zone of `TZ`, else of OpenWrt's file, else of `/etc/localtime`; UTC
    /// where none of them can be read.
    pub(super) fn new() -> Self {
        let posix = std::env::var("TZ").ok().or_else(|| {
            let file = Path::new(OPENWRT_TZ);
            std::fs::read_to_string(file).ok()
        });
        let zone = match posix.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => TimeZone::from_posix_tz(text),
            _ => TimeZone::local(),
        };
        Self { zone: zone.unwrap_or_else(|_| TimeZone::utc()) }
    }

    pub(super) fn now(&self) -> Moment {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    fn at(&self, unix_ms: u64) -> Moment {
        let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
        let offset = self.zone.find_local_time_type(seconds).map_or(0, |kind| kind.ut_offset());
        let local = UtcDateTime::from_timespec(seconds.saturating_add(i64::from(offset)), 0);
        let epoch = || UtcDateTime::new(1970, 1, 1, 0, 0, 0, 0);
        let local = local.or_else(|_| epoch()).unwrap_or_else(|_| unreachable!("1970 is a year"));
        Moment { unix_ms, local }
    }
}

impl Moment {
    /// `12:34:56`.
    pub(super) fn time(&self) -> String {
        let local = &self.local;
        format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second())
    }

    /// `20260131-123456`, for names of files.
    pub(super) fn stamp(&self) -> String {
        let local = &self.local;
        format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}",
            local.year(),
            local.month(),
            local.month_day(),
            local.hour(),
            local.minute(),
            local.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_follows_the_zone_and_its_summer() {
        let clock = WallClock { zone: TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap() };
        // 2026-01-31 11:34:56 UTC and 2026-07-01 10:00:00 UTC.
        assert_eq!(clock.at(1_769_859_296_000).stamp(), "20260131-123456");
        assert_eq!(clock.at(1_782_900_000_999).time(), "12:00:00");
    }

    #[test]
    fn a_clock_beyond_all_years_does_no_harm() {
        let clock = WallClock { zone: TimeZone::utc() };
        assert_eq!(clock.at(0).stamp(), "19700101-000000");
        assert_eq!(clock.at(u64::MAX).stamp().len(), "19700101-000000".len() + 5);
    }
}

//! How often something is said about one address. Knows no clock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fau3_election::Time;

/// About one address, one line in this time.
pub const NOTICE_EVERY: Duration = Duration::from_secs(60);
/// Most addresses that something is said about in that time: a flood from
/// many of them fills no log.
pub const NOTICES_MAX: usize = 32;

/// When something was last said about whom.
#[derive(Debug, Default)]
pub(super) struct Notices(BTreeMap<IpAddr, Time>);

impl Notices {
    /// Whether something may be said about `ip` now.
    pub(super) fn may_say(&mut self, now: Time, ip: IpAddr) -> bool {
        if self.0.get(&ip).is_some_and(|said| now.since(*said) < NOTICE_EVERY) {
            return false;
        }
        self.0.retain(|_, said| now.since(*said) < NOTICE_EVERY);
        if self.0.len() >= NOTICES_MAX {
            return false;
        }
        self.0.insert(ip, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_spoken_of_once_a_minute() {
        let mut notices = Notices::default();
        let ip = IpAddr::from([10, 0, 0, 1]);
        let said = (0..180).filter(|second| notices.may_say(Time::from_secs(*second), ip)).count();
        assert_eq!(said, 3);
    }

    #[test]
    fn a_flood_of_addresses_fills_no_log() {
        let mut notices = Notices::default();
        let said =
            (0..10_000_u32).filter(|number| notices.may_say(Time::ZERO, IpAddr::from(number.to_be_bytes())));
        assert_eq!(said.count(), NOTICES_MAX);
        assert!(notices.may_say(Time::from_secs(60), IpAddr::from([1, 1, 1, 1])), "and goes on later");
    }
}

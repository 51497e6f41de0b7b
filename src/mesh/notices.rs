//! How often something is said about one stranger. Knows no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fau3_election::Time;

/// About one stranger, whichever of its addresses it uses, one line in this time.
pub const NOTICE_EVERY: Duration = Duration::from_secs(60);
/// Before something is said about an address that nobody has told of: by then
/// discovery may have, and said which others are the same stranger's.
pub(super) const ACQUAINTANCE: Duration = Duration::from_secs(2);
/// Most addresses that something is said about in that time: a flood from
/// many of them fills no log.
pub const NOTICES_MAX: usize = 32;

/// When something was last said about whom.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: BTreeMap<IpAddr, Time>,
    /// Those about whom something is about to be said; at most [`NOTICES_MAX`].
    waiting: BTreeSet<IpAddr>,
}

impl Notices {
    /// Whether something may be said about `ip` now, which is one of `aliases`,
    /// all of one stranger.
    pub(super) fn may_say(&mut self, now: Time, ip: IpAddr, aliases: &BTreeSet<IpAddr>) -> bool {
        self.waiting.remove(&ip);
        self.said.retain(|_, said| now.since(*said) < NOTICE_EVERY);
        let was_said = |ip: &IpAddr| self.said.contains_key(ip);
        if was_said(&ip) || aliases.iter().any(was_said) || self.said.len() >= NOTICES_MAX {
            return false;
        }
        self.said.insert(ip, now);
        true
    }

    /// Whether [`may_say`](Self::may_say) is to be asked about `ip` a little
    /// later: it has neither been said, nor is it about to be.
    pub(super) fn may_wait(&mut self, now: Time, ip: IpAddr) -> bool {
        let was_said = self.said.get(&ip).is_some_and(|said| now.since(*said) < NOTICE_EVERY);
        !was_said && self.waiting.len() < NOTICES_MAX && self.waiting.insert(ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(notices: &mut Notices, second: u64, ip: IpAddr) -> bool {
        notices.may_say(Time::from_secs(second), ip, &BTreeSet::from([ip]))
    }

    #[test]
    fn one_address_is_spoken_of_once_a_minute() {
        let mut notices = Notices::default();
        let ip = IpAddr::from([10, 0, 0, 1]);
        assert_eq!((0..180).filter(|second| says(&mut notices, *second, ip)).count(), 3);
    }

    #[test]
    fn one_stranger_is_spoken_of_once_a_minute_whatever_address_it_uses() {
        let mut notices = Notices::default();
        let ips = [10, 11, 12].map(|last| IpAddr::from([10, 0, 0, last]));
        let all = BTreeSet::from(ips);
        // At first it is not known that they are one.
        assert!(says(&mut notices, 0, ips[1]));
        let mut said = |second: u64| notices.may_say(Time::from_secs(second), ips[second as usize % 3], &all);
        assert_eq!((0..180).filter(|second| said(*second)).count(), 2, "and the one before");
    }

    #[test]
    fn what_is_about_to_be_said_is_not_said_twice_and_bounded() {
        let mut notices = Notices::default();
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert!(notices.may_wait(Time::ZERO, ip(1)) && !notices.may_wait(Time::ZERO, ip(1)));
        assert!(says(&mut notices, 2, ip(1)));
        assert!(!notices.may_wait(Time::from_secs(3), ip(1)), "it was said");
        assert!(notices.may_wait(Time::from_secs(62), ip(1)), "a minute ago");
        let waiting = (2..=255).filter(|last| notices.may_wait(Time::from_secs(62), ip(*last)));
        assert_eq!(waiting.count(), NOTICES_MAX - 1);
    }

    #[test]
    fn a_flood_of_addresses_fills_no_log() {
        let mut notices = Notices::default();
        let said = (0..10_000_u32).filter(|number| says(&mut notices, 0, IpAddr::from(number.to_be_bytes())));
        assert_eq!(said.count(), NOTICES_MAX);
        assert!(says(&mut notices, 60, IpAddr::from([1, 1, 1, 1])), "and goes on later");
    }
}

//! How often something is said about one stranger. Knows no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fau3_election::Time;

use crate::router::AddressBlock;

/// About one stranger, whichever of its addresses it uses, one line in this time.
pub const NOTICE_EVERY: Duration = Duration::from_secs(60);
/// Before something is said about an address that nobody has told of: by then
/// discovery may have, and said which others are the same stranger's.
pub(crate) const ACQUAINTANCE: Duration = Duration::from_secs(2);
/// Most addresses that something is said about in that time: a flood from
/// many of them fills no log.
pub const NOTICES_MAX: usize = 32;

/// When something was last said about whom, and what was left out since.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// At most [`NOTICES_MAX`].
    said: BTreeMap<AddressBlock, Said>,
    /// Those about whom something is about to be said; at most [`NOTICES_MAX`].
    waiting: BTreeSet<AddressBlock>,
}

#[derive(Debug)]
struct Said {
    at: Time,
    /// How often nothing was said since then.
    unsaid: u32,
}

impl Notices {
    /// Whether something may be said about `ip` now, which is one of `aliases`,
    /// all of one stranger; and how often it was left out since it was said last.
    pub(crate) fn may_say(&mut self, now: Time, ip: IpAddr, aliases: &BTreeSet<IpAddr>) -> Option<u32> {
        let block = AddressBlock::from(ip);
        self.waiting.remove(&block);
        let mut all = aliases.iter().map(|ip| AddressBlock::from(*ip)).chain([block]);
        let known = all.find(|block| self.said.contains_key(block)).unwrap_or(block);
        let is_over = |said: &Said| now.since(said.at) >= NOTICE_EVERY;
        if let Some(said) = self.said.get_mut(&known).filter(|said| !is_over(said)) {
            said.unsaid = said.unsaid.saturating_add(1);
            return None;
        }
        let unsaid = self.said.remove(&known).map_or(0, |said| said.unsaid);
        if self.said.len() >= NOTICES_MAX {
            self.said.retain(|_, said| !is_over(said));
        }
        if self.said.len() >= NOTICES_MAX {
            return None;
        }
        self.said.insert(block, Said { at: now, unsaid: 0 });
        Some(unsaid)
    }

    /// Whether [`may_say`](Self::may_say) is to be asked about `ip` a little
    /// later: it has neither been said, nor is it about to be.
    pub(crate) fn may_wait(&mut self, now: Time, ip: IpAddr) -> bool {
        let block = AddressBlock::from(ip);
        let was_said = self.said.get(&block).is_some_and(|said| now.since(said.at) < NOTICE_EVERY);
        !was_said && self.waiting.len() < NOTICES_MAX && self.waiting.insert(block)
    }
}

/// What is said of those of whom nothing was, to stand behind what is said.
pub(crate) fn and_more(unsaid: u32) -> String {
    if unsaid == 0 { String::new() } else { format!(" (and {unsaid} times more since the last such line)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(notices: &mut Notices, second: u64, ip: IpAddr) -> bool {
        notices.may_say(Time::from_secs(second), ip, &BTreeSet::from([ip])).is_some()
    }

    #[test]
    fn one_address_is_spoken_of_once_a_minute() {
        let mut notices = Notices::default();
        let ip = IpAddr::from([10, 0, 0, 1]);
        assert_eq!((0..180).filter(|second| says(&mut notices, *second, ip)).count(), 3);
    }

    #[test]
    fn what_was_left_out_is_counted_and_said_the_next_time() {
        let mut notices = Notices::default();
        let host = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let says = |notices: &mut Notices, second, ip| {
            notices.may_say(Time::from_secs(second), ip, &BTreeSet::from([ip]))
        };
        assert_eq!(says(&mut notices, 0, host(0)), Some(0));
        // One network of IPv6 is one stranger.
        assert!((0..220).all(|number| says(&mut notices, 1, host(number)).is_none()));
        assert_eq!(says(&mut notices, 60, host(7)), Some(220));
        assert_eq!(says(&mut notices, 120, host(8)), Some(0));
        assert_eq!(and_more(220), " (and 220 times more since the last such line)");
    }

    #[test]
    fn one_stranger_is_spoken_of_once_a_minute_whatever_address_it_uses() {
        let mut notices = Notices::default();
        let ips = [10, 11, 12].map(|last| IpAddr::from([10, 0, 0, last]));
        let all = BTreeSet::from(ips);
        // At first it is not known that they are one.
        assert!(says(&mut notices, 0, ips[1]));
        let mut said =
            |second: u64| notices.may_say(Time::from_secs(second), ips[second as usize % 3], &all).is_some();
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

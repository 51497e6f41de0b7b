//! All hints that count now. Pure: time is an argument.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fau3_election::Time;

use super::{Hint, News, Source};

/// The most hints, of all sources together.
pub const HINTS_MAX: usize = 1_024;

/// Each source has a share of its own, so that ten thousand announcements on
/// the network push out neither fixed peers nor what routers tell.
const fn len_max(source: Source) -> usize {
    match source {
        Source::Fixed => 384,
        Source::Mdns => 320,
        Source::Batman => 192,
        Source::Learnt => 128,
    }
}

/// A hint that has not been repeated for so long is forgotten.
const fn age_max(source: Source) -> Duration {
    match source {
        // Names are resolved at least every five minutes.
        Source::Fixed => Duration::from_secs(15 * 60),
        // Scans repeat what is there at least every four minutes.
        Source::Mdns | Source::Batman => Duration::from_secs(10 * 60),
        // Told when it changes, which may be rare.
        Source::Learnt => Duration::from_secs(60 * 60),
    }
}

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// Where to dial.
    pub address: SocketAddr,
    /// The most trustworthy source that names it.
    pub source: Source,
    /// Who is claimed to be there.
    pub peer_id: Option<&'a str>,
    /// The name that it is claimed to have.
    pub name: Option<&'a str>,
}

/// The same address may be claimed by several: one that takes back its claim
/// takes nothing from the others.
type Key = (SocketAddr, Source, Option<String>);

#[derive(Debug)]
struct Entry {
    name: Option<String>,
    repeated_at: Time,
}

/// At most [`HINTS_MAX`] hints, each from when it was found until it is lost
/// or nobody repeats it any more. At a source's bound what is known stays, and
/// newcomers are left out until there is room.
#[derive(Debug, Default)]
pub struct HintBook {
    entries: BTreeMap<Key, Entry>,
    left_out: u32,
}

impl HintBook {
    /// One without hints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what a scan tells.
    pub fn take(&mut self, now: Time, news: News) {
        match news {
            News::Found(hint) => self.found(now, hint),
            News::Lost(hint) => {
                self.entries.remove(&(hint.address, hint.source, hint.peer_id));
            }
            News::Setting(_) => {}
        }
    }

    fn found(&mut self, now: Time, hint: Hint) {
        self.expire(now);
        let Hint { address, source, peer_id, name } = hint;
        let key = (address, source, peer_id);
        if self.entries.contains_key(&key) || self.len_of(source) < len_max(source) {
            self.entries.insert(key, Entry { name, repeated_at: now });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Forgets what has not been repeated for too long.
    pub fn expire(&mut self, now: Time) {
        self.entries.retain(|(_, source, _), entry| now.since(entry.repeated_at) < age_max(*source));
    }

    /// Each address once, in their order, with what its most trustworthy
    /// source says.
    pub fn known(&self) -> impl Iterator<Item = Known<'_>> {
        let mut last = None;
        self.entries.iter().filter_map(move |((address, source, peer_id), entry)| {
            let is_new = last.replace(*address) != Some(*address);
            let (peer_id, name) = (peer_id.as_deref(), entry.name.as_deref());
            is_new.then_some(Known { address: *address, source: *source, peer_id, name })
        })
    }

    /// Hints, of which several may be for one address; at most [`HINTS_MAX`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often a hint was left out for lack of room.
    #[must_use]
    pub fn left_out(&self) -> u32 {
        self.left_out
    }

    fn len_of(&self, wanted: Source) -> usize {
        self.entries.keys().filter(|(_, source, _)| *source == wanted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: [Source; 4] = [Source::Fixed, Source::Mdns, Source::Batman, Source::Learnt];

    fn hint(source: Source, number: u32) -> Hint {
        let [_, a, b, c] = number.to_be_bytes();
        let address = SocketAddr::from(([10, a, b, c], 8902));
        Hint { address, source, peer_id: Some("id".into()), name: None }
    }

    fn addresses(book: &HintBook) -> Vec<SocketAddr> {
        book.known().map(|known| known.address).collect()
    }

    #[test]
    fn the_shares_make_up_the_whole() {
        assert_eq!(SOURCES.map(len_max).iter().sum::<usize>(), HINTS_MAX);
        let peers_max = crate::config::bounds::PEER_LEN_MAX;
        assert!(len_max(Source::Fixed) > peers_max, "every fixed peer has room");
    }

    #[test]
    fn ten_thousand_announcements_push_out_no_fixed_peer() {
        // given fixed peers, and a router that was found before the flood
        let mut book = HintBook::new();
        for number in 0..256 {
            book.take(Time::ZERO, News::Found(hint(Source::Fixed, number)));
        }
        book.take(Time::ZERO, News::Found(hint(Source::Mdns, 1_000)));
        // when anyone announces ten thousand routers
        for number in 0..10_000 {
            book.take(Time::from_secs(1), News::Found(hint(Source::Mdns, 100_000 + number)));
        }
        // then what was known is known, the flood has its share, and others have room
        assert_eq!(book.len(), 256 + len_max(Source::Mdns));
        assert_eq!(book.left_out() as usize, 10_001 - len_max(Source::Mdns));
        let known = addresses(&book);
        assert!((0..256).all(|number| known.contains(&hint(Source::Fixed, number).address)));
        assert!(known.contains(&hint(Source::Mdns, 1_000).address));
        book.take(Time::from_secs(1), News::Found(hint(Source::Learnt, 2_000)));
        assert!(addresses(&book).contains(&hint(Source::Learnt, 2_000).address));
    }

    #[test]
    fn a_hint_that_nobody_repeats_is_forgotten() {
        for source in SOURCES {
            let mut book = HintBook::new();
            let age_max = u64::from(u32::try_from(age_max(source).as_secs()).unwrap());
            book.take(Time::ZERO, News::Found(hint(source, 1)));
            book.take(Time::from_secs(age_max - 1), News::Found(hint(source, 1)));
            book.expire(Time::from_secs(2 * age_max - 2));
            assert_eq!(book.len(), 1, "{source:?} was repeated");
            book.expire(Time::from_secs(2 * age_max - 1));
            assert!(book.is_empty(), "{source:?} was not");
        }
    }

    #[test]
    fn an_address_is_known_once_by_its_best_source() {
        let mut book = HintBook::new();
        for source in SOURCES.into_iter().rev() {
            book.take(Time::ZERO, News::Found(hint(source, 7)));
        }
        let known: Vec<_> = book.known().map(|known| known.source).collect();
        assert_eq!(known, [Source::Fixed]);
        book.take(Time::ZERO, News::Lost(hint(Source::Fixed, 7)));
        assert_eq!(book.known().next().unwrap().source, Source::Mdns);
    }

    #[test]
    fn one_that_takes_back_its_claim_takes_nothing_from_another() {
        // given a router, and somebody who claims to be at its address
        let mut book = HintBook::new();
        let router = hint(Source::Mdns, 7);
        let liar = Hint { peer_id: Some("another".into()), ..router.clone() };
        book.take(Time::ZERO, News::Found(router.clone()));
        book.take(Time::ZERO, News::Found(liar.clone()));
        // when that one says goodbye
        book.take(Time::ZERO, News::Lost(liar));
        // then the router is known
        assert_eq!(book.known().next().unwrap().peer_id, Some("id"));
        book.take(Time::ZERO, News::Lost(router));
        assert!(book.is_empty());
    }

    #[test]
    fn link_local_addresses_of_two_links_are_two() {
        let mut book = HintBook::new();
        for zone in 1..=2 {
            let address = format!("[fe80::1%{zone}]:8902").parse().unwrap();
            book.take(Time::ZERO, News::Found(Hint { address, ..hint(Source::Mdns, 0) }));
        }
        assert_eq!(book.known().count(), 2);
    }
}

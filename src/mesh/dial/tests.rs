//! The book in virtual time.

use libp2p_identity::Keypair;

use super::*;

fn peer() -> PeerId {
    Keypair::generate_ed25519().public().to_peer_id()
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 8_902))
}

fn book() -> Book {
    Book::new(peer(), 7)
}

/// Dials in vain until `end`; says when and where.
fn dials_in_vain(book: &mut Book, mut now: Time, end: Time) -> Vec<(Time, SocketAddr)> {
    let mut dials = Vec::new();
    while now <= end {
        while let Some(dial) = book.next_dial(now) {
            dials.push((now, dial.address));
            book.failed(now, dial.address);
        }
        let Some(next) = book.timeout() else { break };
        assert!(next > now, "a timeout lies ahead once all is done");
        now = next;
    }
    dials
}

fn gaps_ms(dials: &[(Time, SocketAddr)]) -> Vec<u64> {
    dials.windows(2).map(|pair| pair[1].0.as_millis() - pair[0].0.as_millis()).collect()
}

#[test]
fn an_unknown_router_is_dialled_at_once_and_then_ever_less_often() {
    let mut book = book();
    book.hint(Time::ZERO, address(1), None);
    let dials = dials_in_vain(&mut book, Time::ZERO, Time::from_secs(400));
    assert_eq!(dials[0].0, Time::ZERO);
    for (gap, expected) in gaps_ms(&dials).into_iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60_u64]) {
        let range = expected * 800 - 1..=(expected * 1_200).min(60_000);
        assert!(range.contains(&gap), "{gap} ms, expected about {expected} s");
    }
    assert!(gaps_ms(&dials).iter().filter(|gap| **gap > 45_000).count() >= 3);
}

#[test]
fn a_router_seen_within_the_last_minute_is_dialled_every_250_ms() {
    let mut book = book();
    let (router, lost) = (peer(), Time::from_secs(10));
    book.connected(Time::ZERO, router, address(1));
    assert_eq!(book.timeout(), None, "connected routers are not dialled");
    book.closed(lost, router);
    let dials = dials_in_vain(&mut book, lost, lost + LATELY);
    assert!(dials[0].0.since(lost) <= LATELY_EVERY, "the first time without delay");
    let gaps = gaps_ms(&dials);
    assert!(gaps.iter().all(|gap| (200..=300).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap < 245) && gaps.iter().any(|gap| *gap > 255), "with jitter");
    let later = dials_in_vain(&mut book, lost + LATELY, lost + LATELY * 3);
    assert!(later.len() < 8, "after a minute it backs off: {}", later.len());
}

#[test]
fn a_beacon_makes_a_router_one_that_was_seen_lately() {
    let mut book = book();
    book.hint(Time::ZERO, address(1), None);
    dials_in_vain(&mut book, Time::ZERO, Time::from_secs(100));
    let now = Time::from_secs(100);
    assert!(book.timeout().unwrap() > now + Duration::from_secs(5));
    book.alive(now, address(1));
    assert!(book.timeout().unwrap() <= now + Duration::from_millis(300));
    let dial = book.next_dial(now + Duration::from_millis(300)).unwrap();
    assert_eq!((dial.address, dial.patience), (address(1), PATIENCE_LATELY));
}

#[test]
fn addresses_are_tried_in_turn_and_the_one_that_worked_first() {
    let mut book = book();
    let router = peer();
    for number in 1..=3 {
        book.hint(Time::ZERO, address(number), Some(router));
    }
    let mut tried: Vec<_> = dials_in_vain(&mut book, Time::ZERO, Time::from_secs(1));
    assert!(tried.len() >= 3);
    tried.truncate(3);
    let places: BTreeSet<_> = tried.iter().map(|(_, address)| *address).collect();
    assert_eq!(places.len(), 3, "one after the other, all within a second: {tried:?}");
    book.connected(Time::from_secs(2), router, address(2));
    book.closed(Time::from_secs(3), router);
    assert_eq!(book.next_dial(Time::from_secs(4)).unwrap().address, address(2));
    book.failed(Time::from_secs(4), address(2));
    assert_eq!(book.next_dial(Time::from_secs(5)).unwrap().address, address(2), "a failure does not undo it");
}

#[test]
fn one_dial_to_a_router_at_a_time_and_a_bounded_number_in_all() {
    let mut book = book();
    let router = peer();
    book.hint(Time::ZERO, address(1), Some(router));
    book.hint(Time::ZERO, address(2), Some(router));
    assert!(book.next_dial(Time::ZERO).is_some() && book.next_dial(Time::ZERO).is_none());
    for number in 10..200 {
        book.hint(Time::ZERO, address(number), None);
    }
    let started = std::iter::from_fn(|| book.next_dial(Time::ZERO)).count();
    assert_eq!(started, DIALS_MAX - 1);
    assert_eq!(book.timeout(), None, "nothing to wake up for until one ends");
}

#[test]
fn it_never_dials_itself() {
    let mut book = book();
    let own = book.own;
    book.hint(Time::ZERO, address(1), Some(own));
    assert_eq!(book.timeout(), None);
    book.hint(Time::ZERO, address(2), None);
    let dial = book.next_dial(Time::ZERO).unwrap();
    book.oneself(dial.address);
    book.hint(Time::from_secs(1), address(2), None);
    book.alive(Time::from_secs(1), address(2));
    assert_eq!(book.timeout(), None, "an address at which it met itself is not dialled again");
}

#[test]
fn a_rumour_that_proves_wrong_moves_the_address_to_whom_it_belongs() {
    let mut book = book();
    let (said, real) = (peer(), peer());
    book.hint(Time::ZERO, address(1), Some(said));
    book.next_dial(Time::ZERO).unwrap();
    book.connected(Time::ZERO, real, address(1));
    assert!(book.of(said).is_none(), "nothing is known of the other one any more");
    assert_eq!(book.of(real).unwrap().state, State::Connected);
}

#[test]
fn a_second_address_of_a_connected_router_is_learnt_and_not_dialled_again() {
    let mut book = book();
    let router = peer();
    book.connected(Time::ZERO, router, address(1));
    book.hint(Time::ZERO, address(2), None);
    book.next_dial(Time::ZERO).unwrap();
    book.duplicate(Time::ZERO, router, address(2));
    book.hint(Time::from_secs(1), address(2), None);
    assert_eq!((book.timeout(), book.entries.len()), (None, 1));
}

#[test]
fn a_duplicate_that_was_none_is_dialled_again() {
    // The other side still holds a connection that broke here.
    let mut book = book();
    let router = peer();
    book.connected(Time::ZERO, router, address(1));
    book.closed(Time::from_secs(1), router);
    let dial = book.next_dial(Time::from_secs(2)).unwrap();
    book.duplicate(Time::from_secs(2), router, dial.address);
    assert!(book.timeout().unwrap() <= Time::from_secs(2) + Duration::from_millis(300));
}

#[test]
fn ten_thousand_announcements_leave_a_bounded_book_and_known_routers_in_it() {
    let mut book = book();
    let router = peer();
    book.connected(Time::ZERO, router, address(9));
    for number in 0..10_000 {
        book.hint(Time::ZERO, address(number + 100), Some(peer()));
    }
    assert_eq!(book.entries.len(), BOOK_MAX);
    assert!(book.of(router).is_some());
    // What was dialled in vain gives way to what is new.
    dials_in_vain(&mut book, Time::ZERO, Time::from_secs(60));
    book.hint(Time::from_secs(60), address(50), None);
    assert!(book.at(address(50)).is_some() && book.entries.len() == BOOK_MAX);
}

#[test]
fn addresses_of_one_router_are_bounded_and_good_ones_stay() {
    let mut book = book();
    let router = peer();
    book.connected(Time::ZERO, router, address(1));
    for number in 2..100 {
        book.hint(Time::ZERO, address(number), Some(router));
    }
    let entry = book.of(router).unwrap();
    assert!(entry.addresses.len() == ADDRESSES_MAX && entry.has(address(1)));
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let own = peer();
    let course = |seed| {
        let mut book = Book::new(own, seed);
        book.hint(Time::ZERO, address(1), None);
        dials_in_vain(&mut book, Time::ZERO, Time::from_secs(300))
    };
    assert_eq!(course(1), course(1));
    assert_ne!(course(1), course(2));
}

#[test]
fn addresses_that_are_said_to_be_one_routers_are_aliases() {
    let mut book = book();
    let (one, other) = (peer(), peer());
    book.hint(Time::ZERO, address(1), Some(one));
    book.hint(Time::ZERO, address(2), Some(one));
    book.hint(Time::ZERO, address(3), Some(other));
    let ips = |numbers: &[u16]| numbers.iter().map(|number| address(*number).ip()).collect();
    assert_eq!(book.aliases(address(1).ip()), ips(&[1, 2]));
    assert_eq!(book.aliases(address(3).ip()), ips(&[3]));
    assert_eq!(book.aliases(address(9).ip()), ips(&[9]));
}

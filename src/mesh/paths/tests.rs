use super::*;

const A: RouterId = RouterId([1; 16]);

fn at(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 8902).into()
}

fn seconds(seconds: u64) -> Time {
    Time::from_secs(seconds)
}

/// What is said of router A at a second.
fn said(paths: &Paths, second: u64) -> Option<Blocked> {
    let troubles = paths.troubles(seconds(second));
    assert!(troubles.len() <= 1, "{troubles:?}");
    troubles.first().map(|trouble| trouble.what)
}

#[test]
fn a_router_that_is_heard_and_not_connected_is_named_with_the_reason() {
    // given a router whose heartbeats arrive, while dials to it go unanswered
    let mut paths = Paths::default();
    for second in 0..=60 {
        paths.heard(seconds(second), A, at(1));
        paths.unmet(seconds(second), at(1), Unmet::Silent);
        // then that is said after ten seconds, and once only
        let due = second >= 10;
        assert_eq!(said(&paths, second), due.then_some(Blocked::Tcp(Some(Unmet::Silent))), "{second}");
    }
    // and no more once it is connected
    paths.up(seconds(61), A, at(1));
    assert_eq!(said(&paths, 61), None);
}

#[test]
fn a_connected_router_that_is_not_heard_is_told_so_at_once_and_named_later() {
    let mut paths = Paths::default();
    paths.up(seconds(0), A, at(1));
    assert!(!paths.is_unheard(seconds(0), A) && paths.is_unheard(seconds(1), A));
    assert_eq!((said(&paths, 9), said(&paths, 10)), (None, Some(Blocked::UdpHere)));
    // when it says that it hears nothing either
    for second in 10..=20 {
        paths.told_deaf(seconds(second), A);
    }
    assert!(paths.is_deaf(seconds(20), A));
    assert_eq!(said(&paths, 20), Some(Blocked::Udp));
    // and when its datagrams arrive again, then one direction is left
    paths.heard(seconds(20), A, at(1));
    assert!(!paths.is_unheard(seconds(20), A));
    assert_eq!(said(&paths, 20), Some(Blocked::UdpThere));
    // and none, once it says nothing more
    paths.heard(seconds(23), A, at(1));
    assert!(!paths.is_deaf(seconds(23), A));
    assert_eq!(said(&paths, 23), None);
}

#[test]
fn a_healthy_router_and_one_that_has_gone_are_no_trouble() {
    let mut paths = Paths::default();
    paths.up(seconds(0), A, at(1));
    for second in 0..100 {
        paths.heard(seconds(second), A, at(1));
        assert_eq!(said(&paths, second), None);
        assert!(!paths.is_unheard(seconds(second), A));
    }
    paths.down(seconds(100), A);
    assert!((100..300).all(|second| said(&paths, second).is_none()));
}

#[test]
fn what_no_router_answers_at_is_named_after_a_while_and_forgotten() {
    let mut paths = Paths::default();
    paths.unmet(seconds(0), at(2), Unmet::Closed);
    assert_eq!((said(&paths, 9), said(&paths, 10)), (None, Some(Blocked::Place(Unmet::Closed))));
    // one that is turned away at once
    paths.unmet(seconds(20), at(2), Unmet::Refused(Refusal::OtherKey));
    assert_eq!(said(&paths, 20), Some(Blocked::Place(Unmet::Refused(Refusal::OtherKey))));
    assert_eq!(said(&paths, 199), said(&paths, 20));
    assert_eq!(said(&paths, 200), None);
    paths.unmet(seconds(201), at(2), Unmet::Closed);
    paths.reached(at(2));
    assert_eq!(said(&paths, 211), None);
}

#[test]
fn one_that_calls_and_is_called_is_named_once() {
    let mut paths = Paths::default();
    let refused = Unmet::Refused(Refusal::OtherKey);
    paths.unmet(seconds(0), SocketAddr::new(at(2).ip(), 0), refused);
    assert_eq!(said(&paths, 0), Some(Blocked::Place(refused)));
    paths.unmet(seconds(0), at(2), refused);
    assert_eq!(said(&paths, 0), Some(Blocked::Place(refused)));
    paths.reached(at(2));
    assert_eq!(said(&paths, 0), None);
}

#[test]
fn the_table_is_bounded_whoever_comes() {
    let mut paths = Paths::default();
    for number in 0..10_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let address = SocketAddr::from((number.to_be_bytes(), 1));
        paths.heard(seconds(0), RouterId(id), address);
        paths.unmet(seconds(0), address, Unmet::Silent);
    }
    assert_eq!((paths.routers.len(), paths.places.len()), (ROUTERS_MAX, PLACES_MAX));
    // and has room again once they are gone
    paths.heard(seconds(600), A, at(1));
    paths.unmet(seconds(600), at(1), Unmet::Silent);
    assert_eq!((paths.routers.len(), paths.places.len()), (1, 1));
}

/// Connections to router A die so many times with large packets, while its datagrams
/// arrive; what its segments are then.
fn stalled(paths: &mut Paths, now: Time, times: usize) -> Option<u16> {
    for _ in 0..times {
        paths.up(now, A, at(1));
        paths.heard(now, A, at(1));
        paths.down(now, A);
        paths.stalled(now, A);
    }
    paths.segment(now, at(1))
}

#[test]
fn segments_get_smaller_where_large_packets_vanish_and_are_tried_larger_later() {
    let mut paths = Paths::default();
    assert_eq!(paths.segment(seconds(0), at(1)), None);
    assert_eq!(stalled(&mut paths, seconds(0), 1), Some(1_200));
    paths.up(seconds(1), A, at(1));
    assert_eq!(said(&paths, 1), Some(Blocked::Large(1_200)));
    assert_eq!((paths.segment(seconds(1), at(2)), paths.segment_of_all(seconds(1))), (None, Some(1_200)));
    assert_eq!(stalled(&mut paths, seconds(2), 1), Some(1_000));
    assert_eq!(stalled(&mut paths, seconds(3), 5), Some(536), "and no smaller");
    // when half an hour has passed, then the usual size is tried, and given up at once
    paths.up(seconds(4), A, at(1));
    assert_eq!(paths.segment(seconds(3 + 1_800), at(1)), None);
    assert_eq!(stalled(&mut paths, seconds(4 + 1_800), 1), Some(536));
}

#[test]
fn a_router_that_stands_still_is_no_reason_for_smaller_segments_but_twice_is() {
    let mut paths = Paths::default();
    let mut dies = |second| {
        paths.up(seconds(second), A, at(1));
        paths.down(seconds(second), A);
        paths.stalled(seconds(second), A);
        paths.segment(seconds(second), at(1))
    };
    assert_eq!(dies(0), None);
    // later than a minute: another story
    assert_eq!(dies(61), None);
    assert_eq!(dies(75), Some(1_200), "the handshake between the two has passed");
}

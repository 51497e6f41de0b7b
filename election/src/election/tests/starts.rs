//! Starting, leaving, dying, coming back.

use alloc::vec::Vec;
use core::time::Duration;

use super::net::Net;
use crate::{Input, Role};

const ALL: [usize; 5] = [0, 1, 2, 3, 4];

#[test]
fn a_router_listens_for_one_detection_time_before_it_leads() {
    // Given a router without any other, when it starts
    let mut net = Net::new(1, "");
    net.start(0);
    // Then it is not ready before the detection time, and leads right after
    net.run(1_749);
    assert_eq!(net.view(0).role, Role::Waiting);
    assert!(!net.view(0).ready);
    net.run(2);
    assert!(net.view(0).leads());
}

#[test]
fn five_routers_agree_on_the_highest_entry() {
    let net = Net::running(5, "DB");
    assert!(net.led_by(3, &ALL));
    assert_eq!(net.view(0).members, 5);
    assert_eq!(net.view(0).epoch, net.view(3).epoch);
}

#[test]
fn a_silent_death_is_followed_within_the_failover_bound() {
    let mut times: Vec<u64> = Vec::new();
    for offset in 0..25 {
        // Given five routers, when the leader loses power at any phase
        let mut net = Net::running(5, "ABCDE");
        net.run(offset * 10);
        net.kill(0);
        // Then the next entry leads, and all the others follow it
        times.push(net.run_until(2_200, |net| net.led_by(1, &ALL[1..])));
    }
    times.sort_unstable();
    assert!(times[12] <= 1_800, "median of {times:?}");
    let bound = Net::new(1, "").nodes[0].config.failover_max();
    assert!(Duration::from_millis(times[24]) <= bound, "{times:?}");
}

#[test]
fn a_closed_connection_is_news_at_once() {
    let mut net = Net::running(5, "ABCDE");
    net.crash(0);
    let took = net.run_until(400, |net| net.led_by(1, &ALL[1..]));
    assert!(took <= 100, "{took} ms");
}

#[test]
fn a_closed_connection_of_a_living_router_costs_less_than_two_intervals() {
    // Given that only a connection broke, when its router goes on sending
    let mut net = Net::running(3, "ABC");
    let (id, start) = (net.nodes[0].id, net.now);
    net.input(1, Input::Closed(id));
    net.run(10);
    assert!(!net.election(1).map().two_way(net.nodes[0].id, net.nodes[1].id));
    // Then the link is back soon, and nobody else has led: others heard it
    net.run(600);
    assert!(net.election(1).map().two_way(net.nodes[0].id, net.nodes[1].id));
    assert_eq!(net.times_led(1, start), 0);
}

#[test]
fn a_router_that_leaves_is_followed_at_once() {
    let mut net = Net::running(5, "ABCDE");
    net.input(0, Input::Leave);
    assert_eq!(net.view(0).role, Role::Stopped);
    let took = net.run_until(200, |net| net.led_by(1, &ALL[1..]));
    assert!(took <= 100, "{took} ms");
    // And is done with it after a moment
    net.run(200);
    assert_eq!(net.election(0).poll_timeout(), None);
}

#[test]
fn the_better_router_takes_over_within_three_seconds_of_its_start() {
    let mut net = Net::new(5, "ABCDE");
    (1..5).for_each(|index| net.start(index));
    net.run(10_000);
    assert!(net.led_by(1, &ALL[1..]));
    net.start(0);
    let took = net.run_until(3_000, |net| net.led_by(0, &ALL));
    assert!(took >= 1_750, "it must listen first, {took} ms");
    // Never two at a time at the end of it
    assert_eq!(net.leaders(), [0]);
}

#[test]
fn a_restart_is_noticed_although_sequences_begin_anew() {
    // Given a leader that has run for long, when it restarts faster than it is missed
    let mut net = Net::running(3, "ABC");
    net.run(60_000);
    net.kill(0);
    net.run(300);
    net.start(0);
    // Then the others see the new life at once and do not wait for an old sequence
    net.run_until(200, |net| net.led_by(1, &[1, 2]));
    net.run_until(3_000, |net| net.led_by(0, &[0, 1, 2]));
}

#[test]
fn a_router_that_stalled_listens_again_instead_of_leading() {
    // Given a leader that stands still for five seconds
    let mut net = Net::running(3, "ABC");
    net.nodes[0].stalled_until = net.now + Duration::from_secs(5);
    net.run(4_000);
    assert!(net.led_by(1, &[1, 2]));
    // When it goes on
    net.run(1_001);
    let woken = net.now;
    net.run(50);
    // Then it does not lead before it has listened, and the others keep theirs
    assert!(!net.view(0).leads());
    net.run_until(3_500, |net| net.led_by(0, &[0, 1, 2]));
    assert!(net.now.since(woken) >= Duration::from_millis(1_700));
    assert_eq!(net.times_led(1, woken), 0);
}

#[test]
fn a_short_stall_of_its_own_is_not_others_silence() {
    let mut net = Net::running(3, "CBA");
    net.nodes[0].stalled_until = net.now + Duration::from_millis(1_200);
    let start = net.now;
    net.run(10_000);
    assert_eq!(net.times_led(0, start) + net.times_led(1, start), 0);
    assert!(net.led_by(2, &[0, 1, 2]));
}

#[test]
fn a_router_whose_flash_does_not_answer_is_not_ready() {
    let mut net = Net::new(2, "AB");
    net.nodes[0].flash_works = false;
    net.start(0);
    net.start(1);
    net.run(5_000);
    assert!(net.led_by(1, &[0, 1]));
    assert!(!net.view(0).ready);
}

#[test]
fn a_leaf_never_leads_and_joins_no_segments() {
    // Given two segments whose main server is one fau3 node, first in the list
    let mut net = Net::new(3, "BAC");
    net.nodes[1].config.leaf = true;
    net.topology(&[(0, 1), (1, 2)]);
    (0..3).for_each(|index| net.start(index));
    net.run(10_000);
    // Then each segment leads itself
    assert_eq!(net.leaders(), [0, 2]);
    assert_eq!(net.counters(1).relayed_records, 0);
    assert!(net.counters(0).summaries < 5, "no endless repair against a leaf");
}

//! Links, components, relays, loss.

use core::time::Duration;

use super::net::Net;
use crate::{Coordinator, Heartbeat, Input, Packet, Time};

#[test]
fn a_link_counts_only_if_both_ends_report_it() {
    // Given two routers of which only B hears A
    let mut net = Net::new(2, "AB");
    net.up[1][0] = false;
    net.start(0);
    net.start(1);
    net.run(10_000);
    // Then each is a component of its own
    assert_eq!(net.leaders(), [0, 1]);
    assert_eq!(net.view(1).members, 1);
    // When A hears B again, they are one
    net.up[1][0] = true;
    net.run_until(1_000, |net| net.led_by(0, &[0, 1]));
}

#[test]
fn routers_in_a_line_agree_although_the_ends_do_not_hear_each_other() {
    let mut net = Net::new(5, "EDCBA");
    net.topology(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    (0..5).for_each(|index| net.start(index));
    net.run(6_000);
    assert!(net.led_by(4, &[0, 1, 2, 3, 4]));
    assert!((1..4).all(|index| net.counters(index).relayed_records > 0));
}

#[test]
fn nothing_is_relayed_where_everyone_hears_everyone() {
    let mut net = Net::running(5, "ABCDE");
    let relayed = |net: &Net| (1..5).map(|index| net.counters(index).relayed_records).sum::<u64>();
    let before = relayed(&net);
    net.kill(0);
    net.run(10_000);
    assert_eq!(relayed(&net), before);
}

#[test]
fn at_rest_a_router_sends_one_small_heartbeat_an_interval() {
    let mut net = Net::running(5, "ABCDE");
    net.run(10_000);
    let before: [_; 5] = core::array::from_fn(|index| net.counters(index));
    net.delivered = (0, 0);
    net.run(10_000);
    for (index, before) in before.iter().enumerate() {
        let after = net.counters(index);
        assert_eq!(after.heartbeats - before.heartbeats, 40);
        assert_eq!(after.decisions, before.decisions, "at rest nothing is decided anew");
        assert_eq!(after.records, before.records);
    }
    // 14 + 40 + 8 bytes of Ethernet, IPv6 and UDP headers, 16 of the tag.
    const WIRE_BYTES_MAX: u64 = 130;
    assert_eq!(net.delivered.1, 5 * 4 * 40);
    assert!(net.delivered.0 / net.delivered.1 + 62 + 16 <= WIRE_BYTES_MAX);
    assert_eq!(Heartbeat::BYTES, 46);
}

#[test]
fn a_partition_has_two_leaders_and_heals_within_a_second() {
    let mut net = Net::running(4, "ABCD");
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.link(a, b, false);
    }
    net.run(10_000);
    assert_eq!(net.leaders(), [0, 2]);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.link(a, b, true);
    }
    let took = net.run_until(1_000, |net| net.led_by(0, &[0, 1, 2, 3]) && net.leaders().len() == 1);
    assert!(took <= 750, "{took} ms");
}

#[test]
fn a_bridge_that_heals_tells_each_side_whom_the_other_holds() {
    // Given two rooms of three that only one bridge joins
    let mut net = Net::new(6, "FEDCBA");
    net.topology(&[(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (2, 3)]);
    (0..6).for_each(|index| net.start(index));
    net.run(8_000);
    assert!(net.led_by(5, &[0, 1, 2, 3, 4, 5]));
    net.link(2, 3, false);
    net.run(60_000);
    assert_eq!(net.leaders(), [2, 5]);
    net.link(2, 3, true);
    let took = net.run_until(1_000, |net| net.led_by(5, &[0, 1, 2, 3, 4, 5]) && net.leaders().len() == 1);
    assert!(took <= 700, "{took} ms");
}

#[test]
fn random_loss_in_one_room_changes_no_leader() {
    for loss in [10, 20, 30] {
        let mut net = Net::running(5, "ABCDE");
        net.loss = loss;
        let start = net.now;
        net.run(600_000);
        assert!(net.led_by(0, &[0, 1, 2, 3, 4]), "{loss} %");
        let others: usize = (0..5).map(|index| net.times_led(index, start)).sum();
        assert_eq!(others, 0, "{loss} %");
    }
}

#[test]
fn a_weak_link_is_kept_on_the_word_of_others_but_not_for_ever() {
    // Given three routers, when A stops hearing C directly
    let mut net = Net::running(3, "ABC");
    let (a, c) = (net.nodes[0].id, net.nodes[2].id);
    net.up[2][0] = false;
    net.run(2_500);
    // Then B's word keeps the link longer than the detection time
    assert!(net.counters(0).probes > 0 && net.counters(1).relayed_heartbeats > 0);
    assert!(net.election(0).map().two_way(a, c));
    // And C stays a member when the link is given up
    net.run(1_500);
    assert!(!net.election(0).map().two_way(a, c));
    assert_eq!(net.view(0).members, 3);
}

#[test]
fn the_word_of_others_does_not_delay_a_death() {
    // Given a leader whose link to B is weak already, when it dies
    let mut net = Net::running(4, "ABCD");
    net.up[0][1] = false;
    net.run(2_000);
    net.kill(0);
    let took = net.run_until(2_200, |net| net.led_by(1, &[1, 2, 3]));
    assert!(took <= 2_000, "{took} ms");
}

#[test]
fn a_doubled_or_delayed_heartbeat_keeps_no_one_alive() {
    // Given an old heartbeat of A, when A is dead and B receives it again and again
    let mut net = Net::running(3, "ABC");
    let id = net.nodes[0].id;
    let incarnation = net.election(0).incarnation();
    let old = Heartbeat { origin: id, incarnation, sequence: 3, revision: 1, digest: 0 }.encode();
    net.kill(0);
    for _ in 0..30 {
        net.run(100);
        net.input(1, Input::Datagram(old.as_bytes()));
    }
    assert!(net.led_by(1, &[1, 2]));
}

#[test]
fn what_does_not_decode_is_counted_and_dropped() {
    let mut net = Net::running(2, "AB");
    for bytes in [&[][..], &[0xE1], &[0xE1, 99], &[1; 46], &[0xE1, 3, 0, 0]] {
        net.input(0, Input::Datagram(bytes));
    }
    assert_eq!(net.counters(0).malformed, 5);
    assert!(net.led_by(0, &[0, 1]));
}

#[test]
fn a_lost_record_is_asked_for_at_the_next_heartbeat() {
    // Given that the first datagrams between two routers are lost
    let mut net = Net::new(3, "CBA");
    net.topology(&[(0, 1), (1, 2)]);
    net.loss = 60;
    (0..3).for_each(|index| net.start(index));
    net.run(20_000);
    net.loss = 0;
    net.run(3_000);
    // Some may be held down for what the loss made of their links: one leads
    let leaders = net.leaders();
    assert!(leaders.len() == 1 && net.led_by(leaders[0], &[0, 1, 2]), "{}", net.describe());
    let digests = (0..3).map(|index| net.election(index).digest);
    assert!(digests.collect::<alloc::collections::BTreeSet<_>>().len() == 1);
}

#[test]
fn clocks_may_differ_by_five_percent() {
    let mut net = Net::new(4, "DCBA");
    for (index, millis) in [(0, 238), (1, 250), (2, 256), (3, 262)] {
        net.nodes[index].config.beacon = Duration::from_millis(millis);
    }
    (0..4).for_each(|index| net.start(index));
    net.run(5_000);
    let start = net.now;
    net.run(120_000);
    assert!(net.led_by(3, &[0, 1, 2, 3]));
    assert_eq!((0..4).map(|index| net.times_led(index, start)).sum::<usize>(), 0);
}

#[test]
fn more_routers_than_the_table_holds_are_refused_loudly() {
    let mut net = Net::running(2, "AB");
    let stranger = |number: u16| {
        let mut id = [9; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let incarnation = crate::Incarnation { counter: 1, random: 1 };
        Heartbeat { origin: crate::RouterId(id), incarnation, sequence: 1, revision: 1, digest: 0 }.encode()
    };
    for number in 0x100..0x100 + 300 {
        net.input(0, Input::Datagram(stranger(number).as_bytes()));
    }
    assert_eq!(net.counters(0).refused, 300 - 254);
    assert!(matches!(net.nodes[0].warnings[0], crate::Warning::TableFull(_)));
    // Those known before stay, and the others are forgotten when they are silent.
    assert!(net.view(0).leads() && net.view(1).coordinator == Coordinator::Router(net.nodes[0].id));
    net.run(200_000);
    net.input(0, Input::Datagram(stranger(7).as_bytes()));
    assert_eq!(net.counters(0).refused, 300 - 254);
}

#[test]
fn a_probe_is_answered_by_its_target_itself() {
    let mut net = Net::running(2, "AB");
    let (a, b) = (net.nodes[0].id, net.nodes[1].id);
    let incarnation = net.election(1).incarnation();
    let probe = Packet::Probe { sender: a, target: b, incarnation, sequence: 0 }.encode();
    let now: Time = net.now;
    let election = net.nodes[1].election.as_mut().unwrap();
    election.handle(now, Input::Datagram(probe.as_bytes()));
    let Some(crate::Output::Send(to, answer)) = election.poll_output() else { panic!("no answer") };
    assert_eq!(to, a);
    assert_eq!(Heartbeat::decode(answer.as_bytes()).unwrap().origin, b);
}

#[test]
fn leaders_that_overhear_each_other_one_way_do_not_outnumber_each_other() {
    // Given three leaders in a circle of one-way links
    let mut net = Net::new(3, "");
    net.topology(&[]);
    (0..3).for_each(|from| net.up[from][(from + 1) % 3] = true);
    (0..3).for_each(|index| net.start(index));
    net.run(60_000);
    assert_eq!(net.leaders(), [0, 1, 2]);
    // Then each keeps its first term
    assert!((0..3).all(|index| net.view(index).epoch.unwrap().number == 1));
}

#[test]
fn a_heal_does_not_believe_what_was_said_before_the_partition() {
    // Given A cut off for longer than the detection time, so that each side has dropped the other
    let mut net = Net::running(5, "ABCDE");
    (1..5).for_each(|other| net.link(0, other, false));
    net.run(2_000);
    assert_eq!(net.leaders(), [0, 1]);
    let healed = net.now;
    (1..5).for_each(|other| net.link(0, other, true));
    net.run(2_000);
    // Then A joins once, and leaves no more
    let sizes = net.nodes[0].views.iter().filter(|(at, _)| *at >= healed).map(|(_, view)| view.members);
    assert!(sizes.collect::<alloc::vec::Vec<_>>().is_sorted());
    assert!(net.led_by(0, &[0, 1, 2, 3, 4]));
}

#[test]
fn an_old_record_of_one_that_cannot_be_asked_ends_with_the_detection_time() {
    // Given that B hears A, but A no longer B, and all records of A to B are lost
    let mut net = Net::running(2, "AB");
    net.up[1][0] = false;
    net.drop_records = true;
    net.run(8_000);
    // Then B does not take the old record's word that A hears it
    assert_eq!(net.leaders(), [0, 1]);
}

#[test]
fn a_new_life_that_could_not_be_asked_in_its_last_one_is_heard_when_it_can_be() {
    // Given that B hears A, but A no longer B: B gives up asking it for its record.
    let mut net = Net::running(2, "AB");
    net.up[1][0] = false;
    net.drop_records = true;
    net.run(8_000);
    assert_eq!(net.leaders(), [0, 1]);
    // When A is killed and comes back, and then hears B again.
    net.kill(0);
    net.run(100);
    net.start(0);
    net.drop_records = false;
    net.run(5_000);
    net.up[1][0] = true;
    net.run(2_000);
    // Then they are one.
    assert!(net.led_by(0, &[0, 1]), "{}", net.describe());
}

#[test]
fn a_neighbour_tells_of_one_whom_only_the_other_side_counts_as_a_member() {
    // Given that B hears A, who hears none, so that A is no member
    let mut net = Net::new(3, "");
    net.topology(&[(1, 2)]);
    net.up[0][1] = true;
    (0..3).for_each(|index| net.start(index));
    net.run(5_000);
    let a = net.election(1).map().get(net.nodes[0].id).unwrap().clone();
    assert_eq!(net.view(1).members, 2);
    // When C's summary shows an older record of A
    let sender = net.nodes[2].id;
    let entries = alloc::vec![(a.origin, a.incarnation, a.revision - 1)];
    let (from, to) = (crate::RouterId([0; 16]), crate::RouterId([255; 16]));
    let summary = Packet::Summary { sender, from, to, entries }.encode();
    let election = net.nodes[1].election.as_mut().unwrap();
    election.handle(net.now, Input::Datagram(summary.as_bytes()));
    // Then B sends it the newer one
    let sent = core::iter::from_fn(|| election.poll_output());
    let told = sent.filter_map(|output| match output {
        crate::Output::Send(_, datagram) => Packet::decode(datagram.as_bytes()).ok(),
        _ => None,
    });
    let is_a = |packet: &Packet| matches!(packet, Packet::Record { record, .. } if *record == a);
    assert!(told.collect::<alloc::vec::Vec<_>>().iter().any(is_a));
}

#[test]
fn a_record_is_read_once_and_a_newer_revision_or_life_of_it_again() {
    // Given a router that holds its neighbour's record
    let mut net = Net::running(2, "AB");
    let held = net.election(0).map().get(net.nodes[1].id).unwrap().clone();
    let sender = held.origin;
    let mut take = |record: &crate::Record| {
        net.input(0, Input::Datagram(Packet::Record { sender, record: record.clone() }.encode().as_bytes()));
        net.election(0).map().get(sender).cloned()
    };
    // When the same revision comes again, or an older one, whatever it says
    let twice = crate::Record { leaf: true, ..held.clone() };
    assert_eq!(take(&twice), Some(held.clone()));
    assert_eq!(take(&crate::Record { revision: held.revision - 1, ..twice.clone() }), Some(held.clone()));
    // Then it is passed over; what is newer is not, nor another life's first word
    let newer = crate::Record { revision: held.revision + 1, ..twice };
    assert_eq!(take(&newer), Some(newer.clone()));
    let incarnation = crate::Incarnation { counter: held.incarnation.counter + 1, random: 7 };
    let reborn = crate::Record { incarnation, revision: 1, ..held };
    assert_eq!(take(&reborn), Some(reborn.clone()));
}

#[test]
fn a_sign_of_life_that_was_sent_on_counts_from_when_it_was_heard() {
    // Given a dead router, when another sends on what it heard of it long ago
    let mut net = Net::running(3, "ABC");
    let mut last = net.election(0).peers.get(net.nodes[2].id).unwrap().last_heartbeat();
    net.kill(2);
    net.run(1_000);
    last.sequence += 1;
    let word = Packet::Relayed { sender: net.nodes[1].id, heartbeat: last, age_ms: 1_500 }.encode();
    net.input(0, Input::Datagram(word.as_bytes()));
    // Then it is gone all the same when the detection time is over
    net.run(800);
    assert_eq!(net.view(0).members, 2);
}

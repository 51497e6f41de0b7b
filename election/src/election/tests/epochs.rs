//! Terms of leading and their fence.

use super::net::Net;
use crate::{EPOCH_BLOCK, Epoch, Input, SavedState, Warning};

fn epoch(net: &Net, index: usize) -> Epoch {
    net.view(index).epoch.unwrap()
}

#[test]
fn each_term_has_a_higher_number_than_any_seen() {
    let mut net = Net::running(3, "ABC");
    let first = epoch(&net, 0);
    net.kill(0);
    net.run(3_000);
    let second = epoch(&net, 1);
    assert_eq!((second.number, second.router), (first.number + 1, net.nodes[1].id));
    // The fence: whoever has seen the second refuses the first
    let fence = net.nodes[2].election.as_mut().unwrap();
    assert!(fence.accepts(second));
    assert!(!fence.accepts(first));
    assert_eq!(fence.counters().stale_epochs, 1);
    assert_eq!(fence.poll_output(), Some(crate::Output::Warning(Warning::StaleEpoch(first))));
}

#[test]
fn the_leader_of_a_healed_partition_goes_above_the_other_sides_epochs() {
    // Given a side that changed its leader often
    let mut net = Net::running(4, "ABCD");
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.link(a, b, false);
    }
    net.run(4_000);
    for _ in 0..3 {
        net.kill(2);
        net.run(4_000);
        net.start(2);
        net.run(20_000);
    }
    let other_side = epoch(&net, 2);
    assert!(other_side.number > epoch(&net, 0).number);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.link(a, b, true);
    }
    net.run(3_000);
    // Then the one that leads all has a term that nobody refuses
    let (now, leader) = (epoch(&net, 0), net.leaders()[0]);
    assert_eq!(now.router, net.nodes[leader].id);
    assert!(now > other_side);
    for index in 0..4 {
        assert!(net.nodes[index].election.as_mut().unwrap().accepts(now));
    }
}

#[test]
fn epochs_go_on_above_the_reserved_block_after_a_restart() {
    let mut net = Net::running(1, "A");
    let before = epoch(&net, 0);
    assert_eq!(net.nodes[0].saved.epoch_ceiling, EPOCH_BLOCK);
    net.kill(0);
    net.start(0);
    net.run(3_000);
    let after = epoch(&net, 0);
    assert!(after.number > EPOCH_BLOCK && after > before);
    assert_eq!(after.incarnation.counter, 2);
}

#[test]
fn a_lost_disk_repeats_no_epoch() {
    let mut net = Net::running(1, "A");
    let before = epoch(&net, 0);
    net.kill(0);
    net.nodes[0].saved = SavedState::default();
    net.start(0);
    net.run(3_000);
    // The number may repeat, the random half of the incarnation does not
    assert_eq!(epoch(&net, 0).number, before.number);
    assert_ne!(epoch(&net, 0), before);
}

#[test]
fn flash_is_written_at_the_start_and_when_a_block_is_used_up_not_for_each_term() {
    let mut net = Net::running(2, "AB");
    let ticket = net.election(1).persisted.ticket;
    for _ in 0..5 {
        net.link(0, 1, false);
        net.run(4_000);
        net.link(0, 1, true);
        net.run(2_000);
    }
    assert!(epoch(&net, 1).number > 5);
    assert_eq!(net.election(1).persisted.ticket, ticket);
}

#[test]
fn no_epoch_is_used_before_its_block_is_on_flash() {
    // Given a router whose flash answered once, and hangs since
    let mut net = Net::running(2, "BA");
    net.nodes[0].flash_works = false;
    // When it hears of an epoch far above its block, and is left alone
    let incarnation = net.election(1).incarnation();
    let far = Epoch { number: 1_000_000, router: net.nodes[1].id, incarnation };
    assert!(net.nodes[0].election.as_mut().unwrap().accepts(far));
    net.kill(1);
    net.run(10_000);
    // Then it does not lead until flash has answered
    assert!(!net.view(0).leads());
    let ticket = net.election(0).persisted.ticket;
    net.input(0, Input::Persisted { ticket: ticket + 1 });
    assert!(!net.view(0).leads(), "a ticket that was never handed out");
    net.input(0, Input::Persisted { ticket });
    assert!(net.view(0).leads());
    assert_eq!(epoch(&net, 0).number, 1_000_001);
}

#[test]
fn there_is_one_write_at_a_time_so_that_an_older_one_undoes_none() {
    let mut net = Net::new(1, "A");
    net.nodes[0].flash_works = false;
    net.start(0);
    let first = net.election(0).persisted.ticket;
    // Given a write under way, when the list changes twice
    net.input(0, Input::ListConfigured(&super::net::entries("XA")));
    net.input(0, Input::ListConfigured(&super::net::entries("YXA")));
    assert_eq!(net.election(0).persisted.ticket, first);
    // Then one more write follows when it has ended, with the newest list
    net.nodes[0].flash_works = true;
    net.input(0, Input::Persisted { ticket: first });
    assert_eq!(net.election(0).persisted.ticket, first + 1);
    net.run(100);
    assert_eq!(net.nodes[0].saved.list.entries().len(), 3);
}

/// A router beside the others, which says of epochs and lists what it likes.
fn hears_of(net: &mut Net, index: usize, number: u64, list: u64) {
    let origin = crate::RouterId([200; 16]);
    let incarnation = crate::Incarnation { counter: 1, random: 5 };
    let (me, revision) = (net.nodes[index].id, net.election(index).counters().heartbeats as u32 + 1);
    let beat = crate::Heartbeat { origin, incarnation, sequence: revision, revision, digest: 0 };
    let record = crate::Record {
        origin,
        incarnation,
        revision,
        name: "liar".into(),
        ready: false,
        leaving: false,
        leaf: false,
        default_server: crate::Report::Unknown,
        list: crate::ListVersion::default(),
        place: None,
        leading: 0,
        seen: Some(Epoch { number, router: origin, incarnation }),
        links: [crate::Link { to: me, held: false, flaps: 0 }].into(),
    };
    let list = crate::ServerList::new(list, super::net::entries("CBA"));
    for packet in [
        crate::Packet::Heartbeat(beat),
        crate::Packet::Record { sender: origin, record },
        crate::Packet::List { sender: origin, list },
    ] {
        net.input(index, Input::Datagram(packet.encode().as_bytes()));
    }
}

#[test]
fn an_epoch_at_the_very_bound_stops_nobody_and_no_restart_of_whoever_heard_it() {
    for number in [(1 << 62) - 1, 1 << 62, (1 << 48) - 1] {
        let mut net = Net::running(3, "ABC");
        // When the leader hears of a number right below what everybody refuses
        for _ in 0..20 {
            hears_of(&mut net, 0, number, 0);
            net.run(100);
        }
        // Then all others take what it says next, and after it what each of them says
        for leader in [0, 1] {
            net.run(5_000);
            assert!(net.view(leader).leads(), "{number}: {:?}", net.leaders());
            let term = epoch(&net, leader);
            for index in leader..3 {
                let election = net.nodes[index].election.as_mut().unwrap();
                assert!(election.accepts(term), "{number}: {index} of {term}");
                assert_eq!(election.counters().malformed, 0);
            }
            net.kill(leader);
        }
        // Also when they come back from flash
        (0..2).for_each(|index| net.start(index));
        net.run(70_000);
        assert!(net.led_by(0, &[0, 1, 2]), "{number}: {:?}", net.leaders());
    }
}

#[test]
fn a_state_file_with_numbers_at_their_bounds_stops_its_router_in_no_life() {
    let list = crate::ServerList::new(u64::MAX, super::net::entries("ABC"));
    let poisoned = SavedState { counter: u32::MAX, epoch_ceiling: u64::MAX, list };
    let mut net = Net::new(3, "ABC");
    net.nodes[0].saved = poisoned;
    (0..3).for_each(|index| net.start(index));
    net.run(10_000);
    assert!(net.led_by(0, &[0, 1, 2]), "{:?}", net.leaders());
    net.kill(0);
    net.start(0);
    net.run(70_000);
    assert!(net.led_by(0, &[0, 1, 2]), "{:?}", net.leaders());
}

#[test]
fn a_list_at_the_very_bound_can_be_followed_by_another() {
    for number in [(1 << 62) - 1, 1 << 62, u64::MAX >> 1] {
        let mut net = Net::running(3, "ABC");
        hears_of(&mut net, 1, 0, number);
        net.run(10_000);
        let deputy = (0..3).find(|index| net.view(*index).leads()).unwrap();
        net.input(deputy, Input::ListFetched(&super::net::entries("BAC")));
        net.run(20_000);
        assert!(
            (0..3).all(|index| *net.election(index).list().entries() == super::net::entries("BAC")),
            "{number}"
        );
    }
}

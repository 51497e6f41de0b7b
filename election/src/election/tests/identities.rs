//! One id, several lives or several routers.

use super::net::Net;
use crate::{Heartbeat, Input, Role, SavedState, Warning};

#[test]
fn a_router_that_lost_its_disk_goes_on_above_its_earlier_lives() {
    let mut net = Net::running(3, "ABC");
    for _ in 0..3 {
        net.kill(0);
        net.start(0);
        net.run(1_000);
    }
    assert_eq!(net.election(0).incarnation().counter, 4);
    // When the disk is lost, and others still remember
    net.kill(0);
    net.nodes[0].saved = SavedState::default();
    net.start(0);
    net.run(1_000);
    // Then it takes the next counter, writes it down, and nobody calls it a clone
    assert_eq!(net.election(0).incarnation().counter, 5);
    assert_eq!(net.nodes[0].saved.counter, 5);
    net.run(70_000);
    assert!(net.led_by(0, &[0, 1, 2]));
    assert!(net.nodes[0].warnings.is_empty());
}

/// A network of four whose last is a copy of the first.
fn cloned() -> Net {
    let mut net = Net::new(4, "ABC");
    net.nodes[3].id = net.nodes[0].id;
    net.nodes[3].config.name = "A".into();
    net
}

/// A connection of the two, which both have the identity's key.
fn meet(net: &mut Net) {
    let id = net.nodes[0].id;
    net.input(0, Input::Connected(id));
    net.input(3, Input::Connected(id));
}

#[test]
fn a_cloned_identity_in_the_same_room_stops_and_says_so() {
    let mut net = cloned();
    (0..4).for_each(|index| net.start(index));
    meet(&mut net);
    net.run(10_000);
    // Then the one that notices first stops; the other is unique from then on
    let stopped = [0, 3].into_iter().filter(|clone| net.view(*clone).role == Role::Stopped);
    let stopped: alloc::vec::Vec<usize> = stopped.collect();
    assert!(!stopped.is_empty());
    for clone in stopped {
        assert_eq!(net.nodes[clone].warnings, [Warning::ClonedIdentity]);
        assert_eq!(net.election(clone).poll_timeout(), None);
    }
    assert_eq!(net.leaders().len(), 1);
}

/// A heartbeat in the first router's name, of a life that is not its own.
fn forged(net: &Net, sequence: u32) -> Heartbeat {
    let incarnation = crate::Incarnation { counter: 0, random: 77 };
    Heartbeat { origin: net.nodes[0].id, incarnation, sequence, revision: 1, digest: 0 }
}

#[test]
fn a_cloned_identity_that_never_outbids_is_known_by_its_heartbeats() {
    // Given a stranger of a lower counter that hears nobody, so never outbids, and
    // that a connection has shown to have the key
    let mut net = Net::running(2, "AB");
    let id = net.nodes[0].id;
    net.input(0, Input::Connected(id));
    for sequence in 1..=3 {
        let beat = forged(&net, sequence);
        net.input(0, Input::Datagram(beat.encode().as_bytes()));
        net.run(250);
    }
    // Then a few heartbeats may be left of an earlier life
    assert!(net.view(0).leads());
    let beat = forged(&net, 4);
    net.input(0, Input::Datagram(beat.encode().as_bytes()));
    // But not ever more
    assert_eq!(net.view(0).role, Role::Stopped);
}

#[test]
fn heartbeats_in_a_routers_name_do_not_stop_it_but_are_said() {
    let mut net = Net::running(2, "AB");
    // When whoever has the mesh key speaks in its name, for as long as it likes
    for sequence in 1..=200 {
        let beat = forged(&net, sequence);
        net.input(0, Input::Datagram(beat.encode().as_bytes()));
        net.run(250);
    }
    // Then it goes on, and people hear of it
    assert!(net.led_by(0, &[0, 1]));
    assert_eq!(net.nodes[0].warnings, [Warning::IdentityHeard]);
    // And a connection that ended long ago proves nothing any more
    let id = net.nodes[0].id;
    net.input(0, Input::Connected(id));
    net.input(0, Input::Closed(id));
    net.run(20_000);
    let beat = forged(&net, 201);
    net.input(0, Input::Datagram(beat.encode().as_bytes()));
    assert!(net.led_by(0, &[0, 1]));
}

#[test]
fn lives_in_a_routers_name_that_nobody_could_outbid_are_outbid() {
    // When all hear of a life of the leader's with the highest counter, again and again
    let mut net = Net::running(3, "ABC");
    for sequence in 1..=40 {
        let incarnation = crate::Incarnation { counter: u32::MAX, random: u64::MAX };
        let beat = Heartbeat { incarnation, ..forged(&net, sequence) };
        (0..3).for_each(|index| net.input(index, Input::Datagram(beat.encode().as_bytes())));
        net.run(100);
    }
    // Then the router itself is back once that ends
    net.run(130_000);
    assert!(net.led_by(0, &[0, 1, 2]));
    // And a newcomer meets it, and it comes back from its flash
    net.kill(2);
    net.run(5_000);
    net.start(2);
    net.kill(0);
    net.start(0);
    net.run(130_000);
    assert!(net.led_by(0, &[0, 1, 2]));
}

#[test]
fn numbers_of_a_routers_own_life_that_it_has_not_said_do_not_silence_it() {
    let mut net = Net::running(3, "ABC");
    let incarnation = net.election(0).incarnation();
    let beat = Heartbeat { incarnation, sequence: u32::MAX, revision: u32::MAX, ..forged(&net, 1) };
    (0..3).for_each(|index| net.input(index, Input::Datagram(beat.encode().as_bytes())));
    net.run(130_000);
    assert!(net.led_by(0, &[0, 1, 2]), "{:?}", net.leaders());
}

#[test]
fn a_cloned_identity_elsewhere_in_the_mesh_is_said_and_stops_once_the_two_have_met() {
    let mut net = cloned();
    net.topology(&[(0, 1), (1, 2), (2, 3)]);
    (0..4).for_each(|index| net.start(index));
    net.run(20_000);
    assert!([0, 3].iter().any(|clone| net.nodes[*clone].warnings.contains(&Warning::IdentityHeard)));
    meet(&mut net);
    net.run(20_000);
    let stopped = [0, 3].map(|clone| net.view(clone).role == Role::Stopped);
    assert!(stopped.contains(&true), "{stopped:?}");
    assert!([1, 2].iter().all(|index| net.view(*index).role == Role::Follower || net.view(*index).leads()));
}

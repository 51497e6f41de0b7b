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

#[test]
fn a_cloned_identity_in_the_same_room_stops_and_says_so() {
    let mut net = cloned();
    (0..4).for_each(|index| net.start(index));
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

#[test]
fn a_cloned_identity_that_never_outbids_is_known_by_its_heartbeats() {
    // Given a stranger of a lower counter that hears nobody, so never outbids
    let mut net = Net::running(2, "AB");
    let incarnation = crate::Incarnation { counter: 0, random: 77 };
    let origin = net.nodes[0].id;
    for sequence in 1..=3 {
        let beat = Heartbeat { origin, incarnation, sequence, revision: 1, digest: 0 };
        net.input(0, Input::Datagram(beat.encode().as_bytes()));
        net.run(250);
    }
    // Then a few heartbeats may be left of an earlier life
    assert!(net.view(0).leads());
    let beat = Heartbeat { origin, incarnation, sequence: 4, revision: 1, digest: 0 };
    net.input(0, Input::Datagram(beat.encode().as_bytes()));
    // But not ever more
    assert_eq!(net.view(0).role, Role::Stopped);
}

#[test]
fn a_cloned_identity_elsewhere_in_the_mesh_is_noticed_by_its_records() {
    let mut net = cloned();
    net.topology(&[(0, 1), (1, 2), (2, 3)]);
    (0..4).for_each(|index| net.start(index));
    net.run(20_000);
    let stopped = [0, 3].map(|clone| net.view(clone).role == Role::Stopped);
    assert!(stopped.contains(&true), "{stopped:?}");
    assert!([1, 2].iter().all(|index| net.view(*index).role == Role::Follower || net.view(*index).leads()));
}

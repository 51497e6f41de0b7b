//! One connection a client also where routers do not hear each other, or not yet.

use super::super::harness::{ms, secs};
use super::super::mesh::net::{MeshNet, R};
use crate::router::{ServerKind, UpstreamInput};

#[test]
fn routers_that_get_one_client_before_they_hear_of_each_other_ask_first() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.device("a");
    // Given: it changes its mind within less than news takes.
    net.attach(a, R(0));
    net.subscribe(a, "r");
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(3));
    assert_eq!((net.server.crashed.clone(), net.connected_there()), (None, vec!["a".to_owned()]));
    assert_eq!(net.server.connected, ["a"], "the first one had not opened it yet");
}

#[test]
fn a_router_lets_go_of_a_client_that_may_be_on_the_other_side_of_a_partition_and_the_other_one_waits() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    // Given: two halves that both reach the server; the client goes over without a goodbye.
    net.cut(R(0), R(1));
    net.attach(a, R(1));
    net.subscribe(a, "r");
    for second in 1..=30 {
        net.run(secs(1));
        assert_eq!(net.server.crashed, None, "after {second} s");
    }
    // Then: the old one has let go, though its line still seems to stand, and the new one has come.
    assert_eq!(net.connected_there(), ["a"]);
    assert_eq!(net.server.connected, ["a", "a"]);
    // And back again, the same.
    net.attach(a, R(0));
    net.subscribe(a, "r");
    net.run(secs(40));
    assert_eq!((net.server.crashed.clone(), net.server.connected.len()), (None, 3));
}

#[test]
fn who_stays_where_it_is_keeps_its_connection_through_a_partition() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(60));
    net.mend(R(0), R(1));
    net.run(secs(10));
    assert!(net[a].conn.is_some() && net[b].conn.is_some());
    assert_eq!(net.server.connected, ["a", "b"], "nothing was closed or opened anew");
}

#[test]
fn a_client_that_comes_from_a_router_in_reach_does_not_wait_for_one_that_is_out_of_it() {
    let mut net = MeshNet::new(3).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    // Given: a third router is off since a while, nobody knows for how long.
    for other in [R(0), R(1)] {
        net.cut(R(2), other);
    }
    net.run(secs(40));
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(2));
    assert_eq!((net.server.crashed.clone(), net.server.connected.len()), (None, 2));
    assert_eq!(net.connected_there(), ["a"]);
}

#[test]
fn an_absent_client_that_may_be_out_of_reach_is_not_spoken_for() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.server_ends();
    net.say(a, "r", "hello");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(10));
    net.detach(a);
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.server_returns();
    net.run(secs(120));
    assert_eq!((net.server.crashed.clone(), net.connected_there()), (None, vec!["a".to_owned()]));
    // Together again, nothing is missing.
    net.mend(R(0), R(1));
    net.run(secs(30));
    assert_eq!(net.server.told.len(), 1);
    assert_eq!(net.server.crashed, None);
}

#[test]
fn a_router_without_others_asks_nobody() {
    let mut net = MeshNet::new(1).with_server();
    net.listener("a", R(0), "r");
    net.run(ms(50));
    assert_eq!(net.connected_there(), ["a"]);
}

#[test]
fn a_router_that_is_cut_off_and_does_not_know_it_yet_connects_nobody() {
    // Given: two halves since a moment, each of which still takes the other for there.
    for (first, second) in [(0, 1), (1, 0)] {
        let mut net = MeshNet::new(2).with_server();
        let a = net.device("a");
        net.run(secs(2));
        net.cut(R(0), R(1));
        // When: a client comes to one of them, and goes on to the other.
        net.attach(a, R(first));
        net.subscribe(a, "r");
        net.run(ms(600));
        net.attach(a, R(second));
        net.subscribe(a, "r");
        for second in 1..=40 {
            net.run(secs(1));
            assert_eq!(net.server.crashed, None, "after {second} s");
        }
        // Then: it is connected, by the one where it is.
        assert_eq!(net.connected_there(), ["a"]);
    }
}

#[test]
fn what_a_routers_earlier_life_was_connected_as_does_not_keep_its_next_one_waiting() {
    let mut net = MeshNet::new(3).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    for life in 0..4 {
        net.kill(R(0));
        net.run(ms(200));
        net.start(R(0));
        net.upstream(R(0), UpstreamInput::Configure(Some(ServerKind::Legacy)));
        net.upstream(R(0), UpstreamInput::Reach(Some(true)));
        net.attach(a, R(0));
        net.subscribe(a, "r");
        net.run(secs(20));
        assert_eq!((net.server.crashed.clone(), net.connected_there()), (None, vec!["a".into()]), "{life}");
    }
}

#[test]
fn the_deputy_hears_of_a_claim_also_where_it_has_missed_what_went_before() {
    for at in [0, 1] {
        let mut net = MeshNet::new(2).with_server();
        let a = net.listener("a", R(at), "r");
        net.run(secs(1));
        // Given: a client that has left and come again while the routers did not hear each other.
        net.server_ends();
        net.cut(R(0), R(1));
        net.run(secs(5));
        net.detach(a);
        net.run(secs(30));
        net.attach(a, R(at));
        net.subscribe(a, "r");
        net.run(secs(30));
        net.mend(R(0), R(1));
        net.run(secs(10));
        // When: the server returns. Then: the client is there.
        net.server_returns();
        net.run(secs(2));
        assert_eq!((net.server.crashed.clone(), net.connected_there()), (None, vec!["a".into()]), "{at}");
    }
}

#[test]
fn who_becomes_the_deputy_says_at_once_whom_it_has_heard() {
    for (dead, at) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let mut net = MeshNet::new(3).with_server();
        net.listener("a", R(at), "r");
        net.run(secs(2));
        // Given: a router that is killed while the server is away.
        net.server_ends();
        net.run(secs(3));
        net.kill(R(dead));
        net.run(secs(3));
        // When: the server returns, and nothing else changes. Then: the client is there.
        net.server_returns();
        net.run(secs(2));
        let there = (net.server.crashed.clone(), net.connected_there());
        assert_eq!(there, (None, vec!["a".into()]), "{at}, without {dead}");
    }
}

#[test]
fn a_router_that_went_before_it_told_anything_may_be_at_work() {
    // Given: a router that has heard nothing of the other one when they are parted.
    let mut net = MeshNet::new(2);
    net.deaf.insert(R(0));
    let mut net = net.with_server();
    let a = net.listener("a", R(1), "r");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.deaf.clear();
    net.run(secs(40));
    assert_eq!(net.connected_there(), ["a"]);
    // When: a client of that one comes.
    net.attach(a, R(0));
    net.subscribe(a, "r");
    for second in 1..=30 {
        net.run(secs(1));
        assert_eq!(net.server.crashed, None, "after {second} s");
    }
    assert_eq!(net.server.connected, ["a", "a"], "it was waited for, and has let go");
}

#[test]
fn whoever_doubts_that_a_client_is_its_own_claims_nothing_for_it() {
    // Given: two halves since a moment, in one of which the deputy connects a client.
    for (deputy, first, second) in [(0, 1, 2), (1, 2, 0), (2, 0, 1)] {
        let mut net = MeshNet::new(3).with_server();
        let a = net.device("a");
        net.run(secs(2));
        net.cut(R(deputy), R(first));
        net.cut(R(deputy), R(second));
        net.attach(a, R(deputy));
        net.subscribe(a, "r");
        net.run(ms(600));
        // When: it goes on to the other half, and on there.
        net.attach(a, R(first));
        net.subscribe(a, "r");
        net.run(secs(5));
        net.attach(a, R(second));
        net.subscribe(a, "r");
        // Then: the router that it came from last says nothing of those that are out of reach.
        for second in 1..=40 {
            net.run(secs(1));
            assert_eq!(net.server.crashed, None, "{deputy}, after {second} s");
        }
        assert_eq!(net.connected_there(), ["a"]);
    }
}

#[test]
fn a_neighbour_that_is_heard_and_not_connected_yet_has_not_told_what_it_did_meanwhile() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut net = MeshNet::new(2).with_server();
        let a = net.listener("a", R(first), "r");
        net.run(secs(1));
        net.cut(R(0), R(1));
        net.attach(a, R(second));
        net.subscribe(a, "r");
        net.run(secs(40));
        assert_eq!((net.server.crashed.clone(), net.server.connected.len()), (None, 2));
        // When: it goes back while beacons pass, and connections do not.
        net.mend_beacons(R(0), R(1));
        net.run(secs(1));
        net.attach(a, R(first));
        net.subscribe(a, "r");
        net.run(secs(2));
        assert_eq!(net.server.crashed, None);
        net.mend(R(0), R(1));
        net.run(secs(5));
        let there = (net.server.crashed.clone(), net.connected_there());
        assert_eq!(there, (None, vec!["a".into()]), "{first}");
    }
}

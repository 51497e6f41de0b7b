//! Routers that come, go and come back, and what the others make of it.

use super::super::harness::{ms, secs};
use super::super::mesh::net::{D, MeshNet, R};
use crate::router::{Input, ServerKind, UpstreamInput};
use crate::wire::fau3e::Message;

/// How long it takes until a client is connected to the server.
fn connected_after(net: &mut MeshNet, at: R, name: &str) -> u64 {
    net.listener(name, at, "r");
    for tenth in 0..400 {
        if net.connected_there().contains(&name.to_owned()) {
            return tenth * 100;
        }
        net.run(ms(100));
    }
    panic!("never");
}

#[test]
fn who_comes_back_over_two_hops_has_not_told_yet_what_it_did_meanwhile() {
    for [near, mid, far] in [[0, 1, 2], [2, 1, 0]] {
        for wait in [200, 1_000, 3_000] {
            let mut net = MeshNet::line(3).with_server();
            let a = net.listener("a", R(near), "r");
            net.run(secs(1));
            net.cut(R(mid.min(far)), R(mid.max(far)));
            net.attach(a, R(far));
            net.subscribe(a, "r");
            net.run(secs(40));
            // When: beacons pass again, connections do not yet, and the client goes back.
            net.mend_beacons(R(mid.min(far)), R(mid.max(far)));
            net.run(ms(wait));
            net.attach(a, R(near));
            net.subscribe(a, "r");
            net.run(secs(5));
            assert_eq!(net.server.crashed, None, "{near}, after {wait} ms");
        }
    }
}

#[test]
fn a_router_that_closed_one_connection_and_lives_on_has_not_ended() {
    for (victim, other) in [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)] {
        let mut net = MeshNet::new(3).with_server();
        let a = net.listener("a", R(victim), "r");
        net.run(secs(1));
        let (v, o) = (MeshNet::id(R(victim)), MeshNet::id(R(other)));
        net.input(R(other), Input::PeerDown { router: v, closed: true });
        net.input(R(victim), Input::PeerDown { router: o, closed: false });
        net.input(R(other), Input::PeerUp { router: v });
        net.input(R(victim), Input::PeerUp { router: o });
        net.run(secs(30));
        net.say(a, "r", "x");
        // When: it is cut off, and its client goes elsewhere.
        for third in (0..3).filter(|third| *third != victim) {
            net.cut(R(victim), R(third));
        }
        net.attach(a, R(other));
        net.subscribe(a, "r");
        net.run(secs(40));
        assert_eq!(net.server.crashed, None, "{victim} {other}");
        assert_eq!(net.connected_there(), ["a"]);
    }
}

#[test]
fn a_quiet_client_keeps_its_connection_when_some_router_goes() {
    for is_killed in [false, true] {
        let mut net = MeshNet::new(3).with_server();
        net.listener("a", R(0), "r");
        net.run(secs(25));
        if is_killed {
            net.kill(R(2));
        } else {
            net.cut(R(0), R(2));
            net.cut(R(1), R(2));
        }
        net.run(secs(45));
        assert_eq!(net.server.connected, ["a"], "not closed and opened anew");
    }
}

#[test]
fn a_client_whose_router_has_no_such_server_any_more_is_connected_by_the_next_one() {
    for kind in [None, Some(ServerKind::Node)] {
        let mut net = MeshNet::new(2).with_server();
        let a = net.listener("a", R(1), "r");
        net.run(secs(1));
        // Given: its connection ends without the server's word.
        net.server.cut.insert(R(1));
        net.upstream(R(1), UpstreamInput::Reach(None));
        net.upstream(R(1), UpstreamInput::Configure(kind));
        net.run(secs(5));
        net.server.cut.clear();
        net.server_finds_dead(&[(R(1), "a")]);
        net.attach(a, R(0));
        net.subscribe(a, "r");
        net.run(secs(40));
        assert_eq!((net.server.crashed.clone(), net.connected_there()), (None, vec!["a".to_owned()]));
    }
}

#[test]
fn nobody_waits_for_a_router_that_has_ended_long_ago() {
    let mut net = MeshNet::new(3).with_server();
    net.run(secs(5));
    net.kill(R(2));
    net.run(secs(60));
    // When: another one starts, and hears of it from a third.
    net.kill(R(0));
    net.run(secs(2));
    net.start(R(0));
    net.upstream(R(0), UpstreamInput::Configure(Some(ServerKind::Legacy)));
    net.upstream(R(0), UpstreamInput::Reach(Some(true)));
    net.run(secs(60));
    let after = connected_after(&mut net, R(0), "a");
    assert!(after <= 2_000, "{after} ms");
}

#[test]
fn one_that_is_gone_is_waited_for_since_it_went_and_not_since_one_heard_of_it() {
    // Given: a router that has never met the others, one of which goes without a word.
    let mut net = MeshNet::new(3);
    net.cut(R(0), R(1));
    net.cut(R(0), R(2));
    let mut net = net.with_server();
    net.run(secs(300));
    net.cut(R(1), R(2));
    net.run(secs(400));
    // When: it meets the other one, and hears of that.
    net.mend(R(0), R(1));
    net.run(secs(100));
    let after = connected_after(&mut net, R(0), "early");
    assert!(after > 20_000, "it may be at work: {after} ms");
    net.run(secs(110));
    let after = connected_after(&mut net, R(0), "late");
    assert!(after <= 2_000, "{after} ms");
}

#[test]
fn what_a_message_costs_in_words_of_the_server_grows_with_the_routers_and_not_with_their_cube() {
    let told = |routers: usize| {
        let mut net = MeshNet::new(routers).with_server();
        let clients: Vec<D> = (0..routers).map(|at| net.listener(&format!("c{at}"), R(at), "r")).collect();
        net.run(secs(20));
        let since = net.messages.len();
        net.say(clients[0], "r", "one");
        net.run(secs(2));
        net.messages[since..].iter().filter(|(.., message)| matches!(message, Message::Upstream(_))).count()
    };
    for routers in [4, 8, 16] {
        let told = told(routers);
        assert!(told <= 2 * routers, "{told} messages between {routers} routers");
    }
}

#[test]
fn a_server_that_lets_in_and_closes_at_once_is_called_ever_more_seldom() {
    let mut net = MeshNet::new(1).with_server();
    net.listener("a", R(0), "r");
    for _ in 0..4_000 {
        net.run(ms(5));
        if !net.connected_there().is_empty() {
            net.server_drops("a");
        }
    }
    assert!(net.server.connected.len() <= 10, "{} times in 20 s", net.server.connected.len());
}

//! Connections to the server: one a client, never two.

use super::super::harness::{ms, secs};
use super::super::mesh::net::{MeshNet, R};
use crate::wire::fau3e::UPSTREAM_LINES_MAX;

#[test]
fn a_client_that_roams_is_never_connected_twice() {
    let mut net = MeshNet::new(3).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    for (nth, at) in [1, 2, 0, 1, 0, 2].into_iter().enumerate() {
        // Every other time without closing the old line.
        if nth % 2 == 0 {
            net.detach(a);
        }
        net.attach(a, R(at));
        net.subscribe(a, "r");
        net.run(ms(30 * nth as u64));
        net.run(secs(4));
        assert_eq!(net.connected_there(), ["a"], "at {at}");
        assert_eq!(net.server.crashed, None);
    }
    assert_eq!(net.server.connected, ["a"; 7]);
}

#[test]
fn the_connection_of_a_router_that_fell_silent_is_waited_out() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.server.cut.insert(R(0));
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(23));
    assert_eq!(net.server.connected, ["a"], "the old one: the server may not have seen that it is dead");
    assert_eq!(net.server.crashed, None);
    // The server's Pings find it.
    net.server.cut.clear();
    net.server_loses(R(0));
    net.server.cut.insert(R(0));
    net.run(secs(9));
    assert_eq!(net.connected_there(), ["a"], "the new one");
    assert_eq!(net.server.connected, ["a", "a"]);
}

#[test]
fn a_router_that_was_killed_leaves_its_clients_to_the_others_at_once() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.kill(R(0));
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(2));
    assert_eq!(net.connected_there(), ["a"]);
    assert_eq!(net.server.crashed, None);
}

#[test]
fn a_connection_on_which_nothing_comes_any_more_is_given_up() {
    let mut net = MeshNet::new(1).with_server();
    net.listener("a", R(0), "r");
    net.run(secs(1));
    net.run(secs(30));
    assert_eq!(net.server.connected, ["a"], "a quiet one stays: it answers when asked");
    net.server.is_stuck = true;
    net.run(secs(22));
    assert_eq!(net.server.connected, ["a", "a"]);
    assert_eq!(net.server.crashed, None);
}

#[test]
fn ids_that_the_server_cannot_bear_are_served_by_the_mesh_alone_and_shown() {
    let mut net = MeshNet::new(1).with_server();
    let long = net.listener("eighteen-letters-x", R(0), "r");
    let fits = net.listener("AA:BB:CC:DD:EE:FF", R(0), "r");
    net.run(secs(1));
    net.say(long, "r", "hello");
    net.run(secs(1));
    assert_eq!(net.connected_there(), ["AA:BB:CC:DD:EE:FF"]);
    assert_eq!(net[fits].heard, ["hello"]);
    assert!(net.server.told.is_empty());
    let status = net.router(R(0)).snapshot(net.now).upstream.unwrap();
    let shown: Vec<&str> = status.mesh_only.iter().map(|id| id.as_str()).collect();
    assert_eq!((shown, status.waiting, status.carried), (vec!["eighteen-letters-x"], 0, 1));
}

#[test]
fn no_more_connections_than_the_server_bears_are_made_by_all_routers_together() {
    let settings = crate::router::Settings { max_clients: 400, ..Default::default() };
    let mut net = MeshNet::with(2, settings).with_server();
    for nth in 0..260 {
        net.listener(&format!("client-{nth}"), R(nth % 2), "r");
        if nth % 10 == 0 {
            net.run(ms(100));
        }
    }
    net.run(secs(20));
    let there = net.connected_there().len();
    assert!((UPSTREAM_LINES_MAX..=255).contains(&there), "{there}");
    let shown: usize = [R(0), R(1)]
        .map(|at| net.router(at).snapshot(net.now).upstream.unwrap().mesh_only.len())
        .iter()
        .sum();
    assert_eq!(shown, 260 - there);
}

#[test]
fn connections_that_outlive_an_absence_of_the_server_go_on_without_a_new_one() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.listener("b", R(1), "r");
    net.run(secs(1));
    // Given: nothing passes, and the routers judge so; then it does again.
    net.server.cut.extend([R(0), R(1)]);
    net.run(secs(2));
    net.server_judged(false);
    net.say(a, "r", "meanwhile");
    net.run(secs(20));
    assert_eq!(net.connected_there(), ["a", "b"], "the server has not noticed");
    net.server.cut.clear();
    net.server_judged(true);
    net.run(secs(1));
    assert_eq!(net.server.connected, ["a", "b"], "nor was anything connected anew");
    assert_eq!(net.server.told, [("a".to_owned(), "meanwhile".to_owned())]);
}

#[test]
fn connections_that_show_no_life_when_the_server_is_back_are_reset_and_made_anew() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.server.cut.insert(R(0));
    net.run(secs(2));
    net.server_judged(false);
    net.run(secs(20));
    // Given: what lies in queues is sent again much later.
    net.server.is_stuck = true;
    net.server.cut.clear();
    net.server_judged(true);
    net.run(ms(1_500));
    assert_eq!(net.server.connected, ["a", "a"], "within two seconds");
    assert_eq!(net.server.crashed, None, "and not before the server has seen the reset");
    net.say(a, "r", "hello");
    net.run(ms(100));
    assert_eq!(net.server.told.len(), 1);
}

#[test]
fn where_the_own_way_to_the_server_is_closed_a_reset_is_not_relied_on() {
    let mut net = MeshNet::new(2).with_server();
    net.listener("a", R(0), "r");
    net.run(secs(1));
    net.server.cut.insert(R(0));
    net.run(secs(2));
    net.server_judged(false);
    net.run(secs(20));
    // The other router finds the server back: the way of this one opens a little later.
    net.server_judged(true);
    net.run(ms(2_500));
    net.server.cut.clear();
    net.run(secs(10));
    assert_eq!((net.server.connected.len(), &net.server.crashed), (1, &None), "its old one stands there");
    net.server_finds_dead(&[(R(0), "a")]);
    net.run(secs(6));
    assert_eq!((net.connected_there(), &net.server.crashed), (vec!["a".to_owned()], &None));
}

#[test]
fn an_id_whose_connection_was_ended_out_of_reach_of_the_server_waits_until_its_pings_have_found_out() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.server.cut.extend([R(0), R(1)]);
    net.run(secs(2));
    net.server_judged(false);
    // Given: the client goes to another router meanwhile; the old one lets go unheard.
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(5));
    net.server.cut.clear();
    net.server_judged(true);
    net.run(secs(10));
    assert_eq!(
        (net.server.connected.len(), &net.server.crashed),
        (1, &None),
        "the old one may still stand there"
    );
    net.server_finds_dead(&[(R(0), "a")]);
    net.run(secs(6));
    assert_eq!((net.connected_there(), &net.server.crashed), (vec!["a".to_owned()], &None));
}

#[test]
fn a_router_that_goes_down_says_goodbye_to_the_server() {
    let mut net = MeshNet::new(1).with_server();
    net.listener("a", R(0), "r");
    net.run(secs(1));
    net.input(R(0), crate::router::Input::Shutdown);
    net.run(ms(100));
    assert!(net.connected_there().is_empty());
}

#[test]
fn a_connection_that_was_given_up_without_an_answer_is_waited_out_by_all() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    // Given: a goodbye that the server does not get, from a router that alone is out of its reach.
    net.server.cut.insert(R(0));
    net.detach(a);
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(14));
    assert_eq!(net.server.connected, ["a"], "the old one still stands there");
    net.server_finds_dead(&[(R(0), "a")]);
    net.run(secs(4));
    assert_eq!(net.server.connected, ["a", "a"]);
    assert_eq!(net.server.crashed, None);
}

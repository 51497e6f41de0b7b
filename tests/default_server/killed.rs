//! A router with storage `disk` that is killed while its server is away: what
//! it has confirmed reaches the server afterwards.
#![cfg(feature = "disk")]

use std::time::Duration;

use crate::common::wait_for;
use crate::default_server::relay::{carried, doubled_upstream, numbered, say_all, upstream_of};
use crate::default_server::{PATIENCE, below, said, until_reachable};
use crate::legacy::{Legacy, Quirks};

/// Of those who only speak, each its own.
const ROOMS: [&str; 2] = ["hall", "kitchen"];
/// What an absent client has left is pushed for it after 15 s.
const MENDED_MAX: Duration = Duration::from_secs(60);

#[test]
fn what_a_router_confirmed_in_an_outage_reaches_the_server_after_kill_9() {
    let server = Legacy::start(Quirks::default());
    let mut node = below(&server, &["default_server.hold_ms=500", "clients.storage=disk"]);
    until_reachable(&node, true);
    let mut clients =
        [("AA:01", ROOMS[0]), ("AA:02", ROOMS[1])].map(|(id, room)| carried(&node, &server, id, room));
    let said_by = |client: usize| numbered(&format!("c{client}-"), 20);
    for (number, client) in clients.iter_mut().enumerate() {
        say_all(client, ROOMS[number], &said_by(number)[..10]);
    }
    wait_for("what was said before is upstream", PATIENCE, || server.propogates().len() == 20);
    // Given an outage in which clients talk, and are answered FAU3_STORED,
    server.crash();
    until_reachable(&node, false);
    for (number, client) in clients.iter_mut().enumerate() {
        say_all(client, ROOMS[number], &said_by(number)[10..]);
    }
    assert_eq!(said(&node)["waiting"], 20);
    // when the router is killed before the server is back, and one of the two stays away,
    node.kill();
    drop(clients);
    node.start_again();
    server.restart();
    until_reachable(&node, true);
    let _back = crate::common::desktop::Desktop::connect(node.address(), "AA:01");
    let texts = |id: &str| {
        let there = upstream_of(&server, id);
        there.into_iter().map(|(payload, _)| payload).collect::<Vec<_>>()
    };
    // then the server has everything of both, in order, and no more twice than is counted.
    wait_for("all upstream", MENDED_MAX, || texts("AA:01").len() >= 20 && texts("AA:02").len() >= 20);
    let sorted = |id: &str| {
        let mut first: Vec<String> = Vec::new();
        texts(id).into_iter().for_each(|text| {
            if !first.contains(&text) {
                first.push(text)
            }
        });
        first
    };
    assert_eq!((sorted("AA:01"), sorted("AA:02")), (said_by(0), said_by(1)));
    let counted = said(&node)["maybe_doubled"].as_u64().unwrap();
    assert!(doubled_upstream(&server) as u64 <= counted, "{} of {counted}", doubled_upstream(&server));
    assert_eq!(server.crashes(), ["asked to"]);
}

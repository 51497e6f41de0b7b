//! A server that is neither there nor gone: it takes connections and does not
//! answer. Nothing that is said meanwhile is missing there afterwards.

use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::wait_for;
use crate::default_server::relay::{
    carried, doubled_upstream, hear_all, numbered, once, payloads, say_all, upstream_of,
};
use crate::default_server::{PATIENCE, below, said, until_reachable};
use crate::legacy::{Answer, Legacy, Quirks};

/// Of those who only speak, each its own.
const ROOMS: [&str; 3] = ["hall", "kitchen", "garden"];
const SHORT_HOLD: &str = "default_server.hold_ms=500";
/// What waits goes at 40 a second, behind connections made anew.
const MENDED_MAX: Duration = Duration::from_secs(40);

#[test]
fn one_that_returns_and_answers_no_upgrade_is_not_followed_and_has_all_once_it_does() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[SHORT_HOLD]);
    until_reachable(&node, true);
    let mut client = carried(&node, &server, "AA:01", "hall");
    let mut other = carried(&node, &server, "AA:02", "hall");
    let all = numbered("m", 30);
    say_all(&mut client, "hall", &all[..10]);
    wait_for("ten upstream", PATIENCE, || server.propogates().len() == 10);
    // Given one that comes back and takes connections, but says nothing on them,
    server.crash();
    until_reachable(&node, false);
    server.set(|quirks| quirks.upgrade = Answer::Nothing);
    server.restart();
    // when clients talk all the while, then they are served here, and nobody is carried there.
    for payload in &all[10..] {
        say_all(&mut client, "hall", std::slice::from_ref(payload));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!((said(&node)["reachable"].clone(), server.propogates().len()), (false.into(), 10));
    assert_eq!(payloads(&hear_all(&mut other)), all);
    // And when it answers, it is followed, and has everything once, in order.
    server.set(|quirks| quirks.upgrade = Answer::Proper);
    wait_for("all upstream", MENDED_MAX, || server.propogates().len() >= 30);
    assert_eq!(upstream_of(&server, "AA:01"), once(&all));
    assert_eq!(server.crashes(), ["asked to"]);
}

#[test]
fn one_that_falls_silent_while_its_connections_stand_has_all_afterwards() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[SHORT_HOLD, "clients.retry_interval_s=1"]);
    until_reachable(&node, true);
    let mut clients: Vec<Desktop> =
        (0..3).map(|number| carried(&node, &server, &format!("AA:0{number}"), ROOMS[number])).collect();
    let said_by = |client: usize| numbered(&format!("c{client}-"), 20);
    let mut say = |from: usize, to: usize| {
        for (number, client) in clients.iter_mut().enumerate() {
            say_all(client, ROOMS[number], &said_by(number)[from..to]);
        }
    };
    say(0, 5);
    // Given one that reads and says nothing any more, before and after that is found out,
    server.set(|quirks| quirks.mute = true);
    say(5, 10);
    until_reachable(&node, false);
    say(10, 15);
    // when it speaks again,
    server.set(|quirks| quirks.mute = false);
    until_reachable(&node, true);
    say(15, 20);
    let texts = |client: usize| {
        let there = upstream_of(&server, &format!("AA:0{client}"));
        there.into_iter().map(|(payload, _)| payload).collect::<Vec<_>>()
    };
    // then it has everything in order, and no more twice than is counted,
    wait_for("all upstream", MENDED_MAX, || {
        said(&node)["waiting"] == 0 && (0..3).all(|client| texts(client).len() == 20)
    });
    (0..3).for_each(|client| assert_eq!(texts(client), said_by(client)));
    let counted = said(&node)["maybe_doubled"].as_u64().unwrap();
    assert!(doubled_upstream(&server) as u64 <= counted, "{} of {counted}", doubled_upstream(&server));
    // and no client has lost its connection, or has ended the server.
    clients.iter_mut().zip(ROOMS).for_each(|(client, room)| drop(client.subscribe(room)));
    assert_eq!(server.crashes(), [""; 0]);
}

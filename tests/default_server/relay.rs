//! What clients of routers say reaches the server, and what its clients say
//! reaches them: once, in order, with its meaning kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::desktop::{Desktop, Got, Heard, playlist, propogate};
use crate::common::trio::{SETTLED_MAX, Trio};
use crate::common::{Node, TempDir, wait_for};
use crate::default_server::{PATIENCE, below, said, until_reachable};
use crate::legacy::{Legacy, Quirks};

/// Where more would come, it comes within this.
const QUIET: Duration = Duration::from_millis(1_500);

/// Connects, and waits until the server has the client in this room.
pub(crate) fn carried(node: &Node, server: &Legacy, client_id: &str, room: &str) -> Desktop {
    let mut client = Desktop::connect(node.address(), client_id);
    client.subscribe(room);
    until_there(server, client_id, room);
    client
}

pub(crate) fn until_there(server: &Legacy, client_id: &str, room: &str) {
    wait_for(&format!("{client_id} upstream"), PATIENCE, || {
        server.room_of(client_id).as_deref() == Some(room)
    });
}

/// Everything that a client hears until it is quiet, confirmed.
pub(crate) fn hear_all(client: &mut Desktop) -> Vec<Heard> {
    let mut all = Vec::new();
    while let Some(heard) = client.hear(QUIET) {
        client.confirm(&heard);
        all.push(heard);
    }
    all
}

pub(crate) fn payloads(heard: &[Heard]) -> Vec<String> {
    heard.iter().map(|heard| String::from_utf8(heard.payload.clone()).unwrap()).collect()
}

pub(crate) fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

/// What the server has of a client, in order, with how often in a row.
pub(crate) fn upstream_of(server: &Legacy, client_id: &str) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for propogated in server.propogates().iter().filter(|propogated| propogated.client_id == client_id) {
        let payload = String::from_utf8(propogated.payload.clone()).unwrap();
        match all.last_mut().filter(|(last, _)| *last == payload) {
            Some((_, count)) => *count += 1,
            None => all.push((payload, 1)),
        }
    }
    all
}

/// Messages that it has more than once, however they came there.
pub(crate) fn doubled_upstream(server: &Legacy) -> usize {
    let all = server.propogates();
    let different: BTreeSet<_> = all.iter().map(|said| (&said.client_id, &said.payload)).collect();
    all.len() - different.len()
}

pub(crate) fn once(payloads: &[String]) -> Vec<(String, usize)> {
    payloads.iter().map(|payload| (payload.clone(), 1)).collect()
}

pub(crate) fn say_all(client: &mut Desktop, room: &str, payloads: &[String]) {
    for payload in payloads {
        assert_eq!(client.say(room, &format!("uuid of {payload}"), payload.as_bytes()), 3);
    }
}

#[test]
fn what_a_client_says_reaches_the_server_once_in_its_name_with_its_uuid_in_its_order() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let mut client = carried(&node, &server, "AA:01", "hall");
    let said = numbered("m", 20);
    say_all(&mut client, "hall", &said);
    wait_for("all upstream", PATIENCE, || server.propogates().len() >= 20);
    std::thread::sleep(QUIET);
    assert_eq!(upstream_of(&server, "AA:01"), once(&said));
    let first = &server.propogates()[0];
    assert_eq!((&*first.room, &*first.message_uuid), ("hall", "uuid of m0"));
    // A client that goes is no client there any more, at once or a little later.
    drop(client);
    wait_for("it is gone upstream", PATIENCE, || server.clients().is_empty());
}

#[test]
fn what_a_client_of_the_server_says_reaches_the_room_here_once_and_is_confirmed() {
    let server = Legacy::start(Quirks { resends_after: Duration::from_millis(700), ..Quirks::default() });
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let mut here = [
        carried(&node, &server, "AA:01", "hall"),
        carried(&node, &server, "AA:02", "hall"),
        carried(&node, &server, "AA:03", "kitchen"),
    ];
    // Given one that speaks there, ten times within a second, in messages of one name,
    let mut there = Desktop::connect(server.address(), "BB:01");
    there.subscribe("hall");
    let said = numbered("m", 10);
    say_all(&mut there, "hall", &said);
    // then both in the room hear each once, in order, under names of their own,
    for client in &mut here[..2] {
        let heard = hear_all(client);
        assert_eq!(payloads(&heard), said);
        assert!(heard.iter().all(|heard| heard.client_id == "BB:01"));
        let uuids: std::collections::BTreeSet<_> = heard.iter().map(|heard| &heard.uuid).collect();
        assert_eq!(uuids.len(), 10);
    }
    assert_eq!(hear_all(&mut here[2]), [], "nobody else does");
    // and the server has its Confirms: it sends nothing again.
    let stored = server.confirms().iter().filter(|(_, _, status)| *status == 3).count();
    assert!(stored >= 2, "{:?}", server.confirms());
    assert_eq!(server.propogates().len(), 10, "and nothing comes back to it");
}

#[test]
fn two_clients_of_one_router_hear_each_other_once_though_the_server_repeats_it() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let mut one = carried(&node, &server, "AA:01", "hall");
    let mut other = carried(&node, &server, "AA:02", "hall");
    let mut there = Desktop::connect(server.address(), "BB:01");
    there.subscribe("hall");
    let said = numbered("m", 10);
    say_all(&mut one, "hall", &said);
    assert_eq!(payloads(&hear_all(&mut other)), said);
    assert_eq!(payloads(&hear_all(&mut there)), said, "those at the server, too");
    assert_eq!(hear_all(&mut one), [], "no echo");
    assert_eq!(upstream_of(&server, "AA:01"), once(&said));
}

#[test]
fn live_audio_passes_both_ways_once_in_binary_frames() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let mut one = carried(&node, &server, "AA:01", "hall");
    let mut other = carried(&node, &server, "AA:02", "hall");
    let mut there = Desktop::connect(server.address(), "BB:01");
    there.subscribe("hall");
    let piece = |number: u8| [&b"F3SB"[..], &[0xff, 0xfe, number], b"F3FN"].concat();
    let pieces: Vec<_> = (0..10).map(piece).collect();
    let hear = |client: &mut Desktop| {
        let mut heard = Vec::new();
        while let Some(piece) = client.hear_stream(QUIET) {
            heard.push(piece);
        }
        heard
    };
    for piece in &pieces {
        there.send_stream(piece);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(hear(&mut one), pieces);
    assert_eq!(hear(&mut other), pieces);
    for piece in &pieces {
        one.send_stream(piece);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(hear(&mut other), pieces, "the copy of the server's is dropped");
    let from_one: Vec<_> = server.streams().into_iter().filter(|(who, _)| who == "AA:01").collect();
    assert_eq!(from_one.into_iter().map(|(_, piece)| piece).collect::<Vec<_>>(), pieces);
}

#[test]
fn a_monitor_shows_clients_here_and_there_and_nobody_who_only_looks() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let mut there = Desktop::connect(server.address(), "BB:01");
    there.subscribe("hall");
    let _other = carried(&node, &server, "AA:02", "kitchen");
    let mut client = Desktop::connect(node.address(), "AA:01");
    client.send(
        &json!({"MessageType": "Subscribe", "MessageUuid": "u", "RoomId": "hall", "IsMonitorRequired": 1}),
    );
    let mut seen = Value::Null;
    wait_for("all of them", PATIENCE, || {
        if let Got::Message(message) = client.next(Duration::from_secs(2))
            && message["MessageType"] == "Monitor"
        {
            client
                .send(&json!({"MessageType": "Confirm", "MessageUuid": message["MessageUuid"], "Status": 0}));
            seen = message["ConnectedClients"].clone();
        }
        let ids: Vec<_> = seen
            .as_array()
            .into_iter()
            .flatten()
            .map(|client| client["ClientId"].as_str().unwrap())
            .collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted == ["AA:01", "AA:02", "BB:01"]
    });
}

#[test]
fn an_id_too_long_for_the_server_and_one_client_too_many_are_served_here_and_shown() {
    let server = Legacy::start(Quirks { clients_max: 3, ..Quirks::default() });
    let node = below(&server, &[]);
    until_reachable(&node, true);
    // Given the watch and two clients, which is all that the server takes, and two more,
    let mut first = carried(&node, &server, "AA:01", "hall");
    let mut second = carried(&node, &server, "AA:02", "hall");
    let mut long = Desktop::connect(node.address(), "an id of eighteen.");
    let mut third = Desktop::connect(node.address(), "AA:03");
    long.subscribe("hall");
    third.subscribe("hall");
    // then they hear and are heard by the others here,
    for (client, text) in [(&mut long, "from long"), (&mut third, "from third")] {
        client.send(&propogate("hall", text, text.as_bytes()));
    }
    for client in [&mut first, &mut second] {
        let mut heard = payloads(&hear_all(client));
        heard.sort();
        assert_eq!(heard, ["from long", "from third"]);
    }
    // the long one is shown as the mesh's alone, and the server bears it all.
    assert!(said(&node)["mesh_only"].to_string().contains("an id of eighteen."), "{}", said(&node));
    assert_eq!(server.crashes(), [""; 0]);
    assert_eq!(
        (said(&node)["reachable"].clone(), server.clients()),
        (json!(true), vec!["AA:01".into(), "AA:02".into()])
    );
}

#[test]
fn what_is_said_during_an_outage_reaches_the_server_afterwards_in_order_and_live_speech_passes_it() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &["default_server.hold_ms=500"]);
    until_reachable(&node, true);
    let mut client = carried(&node, &server, "AA:01", "hall");
    let mut other = carried(&node, &server, "AA:02", "hall");
    let all = numbered("m", 30);
    say_all(&mut client, "hall", &all[..10]);
    wait_for("ten upstream", PATIENCE, || server.propogates().len() == 10);
    server.crash();
    until_reachable(&node, false);
    say_all(&mut client, "hall", &all[10..20]);
    wait_for("what waits is shown", PATIENCE, || said(&node)["waiting"] == 10);
    server.restart();
    until_reachable(&node, true);
    until_there(&server, "AA:01", "hall");
    say_all(&mut client, "hall", &all[20..]);
    wait_for("all upstream", PATIENCE, || server.propogates().len() >= 30);
    assert_eq!(upstream_of(&server, "AA:01"), once(&all));
    assert_eq!(payloads(&hear_all(&mut other)), all, "here, nobody has noticed anything");
    wait_for("nothing waits", PATIENCE, || said(&node)["waiting"] == 0);
    assert_eq!(server.crashes(), ["asked to"]);
}

#[test]
fn another_url_takes_what_the_server_before_does_not_have_and_no_client_notices() {
    let servers = [(); 3].map(|()| Legacy::start(Quirks::default()));
    let dir = TempDir::new("another-url");
    let file = dir.path().join("fau3");
    let turn_to = |server: &Legacy| {
        let url = server.url();
        std::fs::write(
            &file,
            format!("config default_server\n\toption url '{url}'\n\toption hold_ms '500'\n"),
        )
        .unwrap();
    };
    turn_to(&servers[0]);
    let node = Node::with(&[]).configured_by(&file).start();
    until_reachable(&node, true);
    let mut client = carried(&node, &servers[0], "AA:01", "hall");
    let mut other = carried(&node, &servers[0], "AA:02", "hall");
    let all = numbered("m", 40);
    say_all(&mut client, "hall", &all[..10]);
    wait_for("ten upstream", PATIENCE, || servers[0].propogates().len() == 10);
    // When its server is gone, and the configuration names another one,
    servers[0].crash();
    until_reachable(&node, false);
    say_all(&mut client, "hall", &all[10..20]);
    turn_to(&servers[1]);
    node.hang_up();
    until_there(&servers[1], "AA:01", "hall");
    say_all(&mut client, "hall", &all[20..30]);
    wait_for("twenty upstream", PATIENCE, || servers[1].propogates().len() >= 20);
    assert_eq!((&said(&node)["outages"], &said(&node)["waiting"]), (&json!(0), &json!(0)));
    // and yet another one while that is there,
    turn_to(&servers[2]);
    node.hang_up();
    until_there(&servers[2], "AA:01", "hall");
    say_all(&mut client, "hall", &all[30..]);
    wait_for("ten more upstream", PATIENCE, || servers[2].propogates().len() >= 10);
    std::thread::sleep(QUIET);
    // then each message is at one of them, once and in order, and nobody is left at another.
    for (server, part) in servers.iter().zip([&all[..10], &all[10..30], &all[30..]]) {
        assert_eq!(upstream_of(server, "AA:01"), once(part));
    }
    assert_eq!(payloads(&hear_all(&mut other)), all);
    assert_eq!((servers[1].clients(), servers[2].clients().len()), (vec![], 2));
    assert!(servers[1..].iter().all(|server| server.crashes().is_empty()));
}

#[test]
fn each_fifth_confirm_lost_loses_nothing_and_doubles_no_more_than_is_counted() {
    let server = Legacy::start(Quirks { loses_confirm: Some(5), ..Quirks::default() });
    let node = below(&server, &["clients.retry_interval_s=1"]);
    until_reachable(&node, true);
    let mut client = carried(&node, &server, "AA:01", "hall");
    let all = numbered("m", 20);
    say_all(&mut client, "hall", &all);
    wait_for("all upstream", Duration::from_secs(40), || {
        said(&node)["waiting"] == 0 && upstream_of(&server, "AA:01").len() == 20
    });
    let there = upstream_of(&server, "AA:01");
    assert_eq!(there.iter().map(|(payload, _)| payload.clone()).collect::<Vec<_>>(), all);
    let doubled: usize = there.iter().map(|(_, count)| count - 1).sum();
    let counted = said(&node)["maybe_doubled"].as_u64().unwrap();
    let lost = server.propogates().iter().filter(|propogated| !propogated.confirmed).count();
    assert!(
        doubled as u64 <= counted && doubled <= lost,
        "{doubled} doubled, {counted} counted, {lost} lost"
    );
}

#[test]
fn late_wake_ups_lose_and_double_nothing() {
    let late = Some((Duration::from_millis(900), 15));
    let server = Legacy::start(Quirks { late_wakeup: late, ..Quirks::default() });
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let mut client = carried(&node, &server, "AA:01", "hall");
    let all = numbered("m", 40);
    say_all(&mut client, "hall", &all);
    wait_for("all upstream", Duration::from_secs(40), || upstream_of(&server, "AA:01").len() == 40);
    std::thread::sleep(QUIET);
    assert_eq!(upstream_of(&server, "AA:01"), once(&all));
    assert_eq!(said(&node)["outages"], 0);
}

/// Three routers that follow the server, one of them looking.
fn three_below(server: &Legacy, options: &[&str]) -> Trio {
    let url = format!("default_server.url={}", server.url());
    let options = [&[&*url, "default_server.hold_ms=500"], options].concat();
    let trio = Trio::start(&options, |_, setup| setup);
    wait_for("three that follow the server", SETTLED_MAX, || {
        trio.nodes.iter().map(Node::status).all(|status| {
            let routers = status["routers"].as_array().unwrap();
            let hears_all = |router: &Value| router["neighbours"].as_array().unwrap().len() == 2;
            status["mode"] == "default" && routers.len() == 3 && routers.iter().all(hears_all)
        })
    });
    trio
}

#[test]
fn clients_of_three_routers_hear_each_other_and_the_server_once() {
    let server = Legacy::start(Quirks::default());
    let trio = three_below(&server, &[]);
    let mut clients: Vec<_> = (0..3)
        .map(|number| carried(&trio.nodes[number], &server, &format!("AA:0{number}"), "hall"))
        .collect();
    let mut there = Desktop::connect(server.address(), "BB:01");
    there.subscribe("hall");
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            let payload = format!("m{number}-{round}");
            client.send(&propogate("hall", &payload, payload.as_bytes()));
            said.entry(format!("AA:0{number}")).or_default().push(payload);
        }
        let payload = format!("there-{round}");
        there.send(&propogate("hall", &payload, payload.as_bytes()));
        said.entry("BB:01".into()).or_default().push(payload);
        std::thread::sleep(Duration::from_millis(100));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        loop {
            match client.next(Duration::from_secs(3)) {
                Got::Message(message) => {
                    let Some(playlist) = playlist(&message) else { continue };
                    client.confirm(&playlist);
                    let payload = String::from_utf8(playlist.payload).unwrap();
                    heard.entry(playlist.client_id).or_default().push(payload);
                }
                Got::Nothing => break,
                Got::Lost => panic!("client {number} has lost its connection"),
            }
        }
        let mut wanted = said.clone();
        wanted.remove(&format!("AA:0{number}"));
        assert_eq!(heard, wanted, "client {number}");
    }
    for number in 0..3 {
        let client_id = format!("AA:0{number}");
        assert_eq!(upstream_of(&server, &client_id), once(&said[&client_id]));
    }
    assert_eq!(server.crashes(), [""; 0]);
}

#[test]
fn a_client_that_roams_is_never_connected_twice_to_the_server() {
    let server = Legacy::start(Quirks::default());
    let trio = three_below(&server, &[]);
    let mut all = Vec::new();
    let mut last = None;
    for step in 0..9 {
        // Each third time connected to the next router before the last one knows that it
        // has left; oftener, it would be taken for two devices with one id.
        if step % 3 != 2 {
            drop(last.take());
            std::thread::sleep(Duration::from_millis(600));
        }
        let mut client = Desktop::connect(trio.nodes[step % 3].address(), "AA:01");
        client.subscribe("hall");
        let payload = format!("m{step}");
        assert_eq!(client.say("hall", &payload, payload.as_bytes()), 3);
        all.push(payload);
        drop(last.replace(client));
    }
    wait_for("all upstream", PATIENCE, || upstream_of(&server, "AA:01").len() == all.len());
    assert_eq!(upstream_of(&server, "AA:01"), once(&all));
    assert_eq!(server.crashes(), [""; 0], "{:?}", server.connected());
}

#[test]
fn an_outage_and_a_killed_deputy_lose_nothing_of_what_was_confirmed() {
    let server = Legacy::start(Quirks::default());
    let mut trio = three_below(&server, &[]);
    let deputy = trio.nodes.iter().position(|node| said(node)["watched_here"] == true).unwrap();
    let other = (deputy + 1) % 3;
    let mut client = carried(&trio.nodes[other], &server, "AA:01", "hall");
    let all = numbered("m", 15);
    say_all(&mut client, "hall", &all[..5]);
    server.crash();
    wait_for("a router leads", PATIENCE, || trio.nodes.iter().all(|node| said(node)["reachable"] == false));
    say_all(&mut client, "hall", &all[5..10]);
    trio.nodes[deputy].kill();
    trio.nodes.remove(deputy);
    server.restart();
    wait_for("all follow the server", SETTLED_MAX, || {
        trio.nodes.iter().all(|node| node.status()["mode"] == "default")
    });
    say_all(&mut client, "hall", &all[10..]);
    let there = || upstream_of(&server, "AA:01").into_iter().map(|(payload, _)| payload).collect::<Vec<_>>();
    wait_for("all upstream", PATIENCE, || there().len() >= 15);
    assert_eq!(there(), all);
    assert_eq!(server.crashes(), ["asked to"]);
}

#[test]
fn a_server_that_the_configuration_names_again_after_a_while_without_one_has_its_clients_back() {
    let server = Legacy::start(Quirks::default());
    let dir = TempDir::new("and-back");
    let file = dir.path().join("fau3");
    let named = format!("config default_server\n\toption url '{}'\n", server.url());
    std::fs::write(&file, &named).unwrap();
    let node = Node::with(&[]).configured_by(&file).start();
    until_reachable(&node, true);
    let mut client = carried(&node, &server, "AA:01", "hall");
    for without in ["", "config default_server\n\toption name 'main'\n\toption url 'fau3://127.0.0.1:9'\n"] {
        std::fs::write(&file, without).unwrap();
        node.hang_up();
        wait_for("nobody is carried", PATIENCE, || server.clients().is_empty());
        std::fs::write(&file, &named).unwrap();
        node.hang_up();
        until_there(&server, "AA:01", "hall");
    }
    say_all(&mut client, "hall", &numbered("m", 3));
    wait_for("three upstream", PATIENCE, || server.propogates().len() == 3);
    assert!(server.crashes().is_empty());
}

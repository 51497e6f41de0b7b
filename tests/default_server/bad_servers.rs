//! What answers at `default_server.url` but is no such server: told to people,
//! never followed, and harmless.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::{Node, TempDir, wait_for};
use crate::default_server::{PATIENCE, below, said, until_reachable};
use crate::legacy::{Answer, Legacy, Quirks};

/// A router below whatever is at this address.
fn below_address(address: SocketAddr) -> Node {
    Node::with(&[&format!("default_server.url=ws://{address}")]).start()
}

#[test]
fn what_is_no_websocket_is_named_with_what_to_check() {
    for (upgrade, named) in [
        (Answer::Status(404), "HTTP 404"),
        (Answer::Status(426), "HTTP 426"),
        (Answer::Proper, "HTTP 400"),
        (Answer::Redirect("http://10.0.0.1/".into()), "go to http://10.0.0.1/"),
        (Answer::Garbage, "no WebSocket"),
        (Answer::Body("<html>a printer</html>".into()), "HTTP 200 OK: a page"),
        (Answer::Body("a printer".into()), "HTTP 200 OK: a printer"),
    ] {
        // A proper server whose id header is lost on the way answers 400.
        let upgrade = if upgrade == Answer::Proper { Answer::Status(400) } else { upgrade };
        let server = Legacy::start(Quirks { upgrade, ..Quirks::default() });
        let node = below(&server, &[]);
        until_reachable(&node, false);
        let trouble = said(&node)["trouble"].to_string();
        assert!(trouble.contains(named) && trouble.contains("default_server.url"), "{named}: {trouble}");
        assert!(node.log().contains(named), "{}", node.log());
        // Its clients are served all the same.
        let mut client = Desktop::connect(node.address(), "AA:01");
        assert_eq!(client.say("hall", "u", b"x"), 3);
        assert_eq!(server.clients(), [""; 0], "no client is carried there");
    }
}

#[test]
fn one_that_takes_connections_and_never_answers_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = below_address(listener.local_addr().unwrap());
    let took = until_reachable(&node, false);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(said(&node)["trouble"], "it does not answer");
    // Connections to it do not pile up.
    let count = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap();
        fds.count()
    };
    std::thread::sleep(Duration::from_secs(1));
    let before = count();
    std::thread::sleep(Duration::from_secs(4));
    assert!(count() <= before + 3, "{before} descriptors before, {} now", count());
}

#[test]
fn one_that_closes_whatever_connects_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.read(&mut [0; 4_096]));
        }
    });
    let node = below_address(address);
    until_reachable(&node, false);
    assert_eq!(node.status()["mode"], "server");
}

#[test]
fn a_name_that_nobody_knows_is_told() {
    let node = Node::with(&["default_server.url=ws://no-such-host.invalid:8901"]).start();
    until_reachable(&node, false);
    assert!(said(&node)["trouble"].as_str().unwrap().contains("no-such-host.invalid"), "{}", said(&node));
}

#[test]
fn one_that_upgrades_and_then_falls_silent_is_gone_after_two_seconds() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    server.set(|quirks| quirks.mute = true);
    let took = until_reachable(&node, false);
    assert!(took > Duration::from_millis(1_500) && took < Duration::from_secs(5), "{took:?}");
    // Fresh connections were tried meanwhile, each with an id of its own.
    assert!(server.connected().len() > 5, "{:?}", server.connected());
    assert_eq!(server.crashes(), [""; 0]);
    server.set(|quirks| quirks.mute = false);
    until_reachable(&node, true);
}

#[test]
fn what_it_says_to_who_only_looks_is_borne() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let watcher = server.connected()[0].clone();
    let messages: [&[u8]; 5] =
        [b"[]", b"\xff\xfe\xfd", b"{\"MessageType\":\"Ping\",\"MessageUuid\":\"u\"}", b"", b"F3SB\xffF3FN"];
    for message in messages {
        server.send_raw(&watcher, true, message);
        server.send_raw(&watcher, false, message);
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((&said(&node)["reachable"], &said(&node)["outages"]), (&true.into(), &0.into()));
    wait_for("the same connection", PATIENCE, || server.connected().len() == 1);
}

#[test]
fn another_router_is_no_such_server_and_neither_takes_clients_over() {
    let server = Node::start();
    let mut listener = Desktop::connect(server.address(), "AA:01");
    listener.subscribe("hall");
    let is_told = |node: &Node| said(node)["trouble"].to_string().contains("fau3://");
    let node = below_address(server.address());
    wait_for("told what it is", PATIENCE, || is_told(&node));
    let mut client = Desktop::connect(node.address(), "AA:01");
    assert_eq!(client.say("hall", "u", b"x"), 3);
    let mut other = Desktop::connect(server.address(), "AA:02");
    assert_eq!(other.say("hall", "here", b"x"), 3);
    assert!(listener.hear(PATIENCE).is_some(), "it was taken over");
}

#[test]
fn a_router_is_not_its_own_server() {
    let dir = TempDir::new("own");
    let file = dir.path().join("fau3");
    std::fs::write(&file, "").unwrap();
    let node = Node::with(&[]).configured_by(&file).start();
    let mut client = Desktop::connect(node.address(), "AA:01");
    std::fs::write(&file, format!("config default_server\n\toption url '{}'\n", node.url())).unwrap();
    node.hang_up();
    wait_for("told what it is", PATIENCE, || said(&node)["trouble"].to_string().contains("fau3://"));
    assert_eq!(client.say("hall", "u", b"x"), 3);
    assert!(!node.log().contains("connected again"), "{}", node.log());
}

//! The ExtraServers list of the main server: fetched, checked, spread, kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::trio::{SETTLED_MAX, Trio};
use crate::common::{Node, wait_for};
use crate::default_server::{PATIENCE, below, said, until_reachable};
use crate::legacy::{Answer, Legacy, Quirks};

fn list(version: u64, names: &[&str]) -> Answer {
    let servers: Vec<_> = names.iter().map(|name| json!({"Name": name})).collect();
    Answer::Body(
        json!({"MessageType": "ExtraServersList", "Version": version, "Servers": servers}).to_string(),
    )
}

fn names(node: &Node) -> Value {
    node.status()["mesh"]["list"].clone()
}

#[test]
fn the_list_reaches_all_routers_and_survives_them_and_a_broken_one_changes_nothing() {
    // Given three routers, and a server with a list,
    let server = Legacy::start(Quirks { list: list(7, &["router-b", "router-c"]), ..Quirks::default() });
    let url = format!("default_server.url={}", server.url());
    let options = [&*url, "default_server.hold_ms=0"];
    let mut trio = Trio::start(&options, |_, setup| setup);
    // then all have it, with a version of the mesh's own.
    let all = |nodes: &[Node], wanted: &[&str]| nodes.iter().all(|node| names(node) == json!(wanted));
    wait_for("the list", SETTLED_MAX, || all(&trio.nodes, &["router-b", "router-c"]));
    let watcher = |nodes: &[Node]| nodes.iter().position(|node| said(node)["watched_here"] == true);
    wait_for("the first of it looks", PATIENCE, || watcher(&trio.nodes) == Some(1));
    let version = trio.nodes[0].status()["list_version"].as_u64().unwrap();
    assert!(version > 0);
    // When the server has a broken or empty one at its next return,
    for bad in [Answer::Body("{".into()), Answer::Body(r#"{"Servers":[]}"#.into())] {
        server.set(|quirks| quirks.list = bad);
        let requests = server.list_requests();
        server.crash();
        wait_for("a router leads", PATIENCE, || said(&trio.nodes[1])["reachable"] == false);
        server.restart();
        wait_for("it is back", PATIENCE, || {
            said(&trio.nodes[1])["reachable"] == true && server.list_requests() > requests
        });
        // then the good one stays, people are told,
        wait_for("a warning", PATIENCE, || said(&trio.nodes[1])["list"]["outcome"] == "unusable");
        assert!(all(&trio.nodes, &["router-b", "router-c"]));
        assert!(trio.nodes[1].status()["warnings"].to_string().contains("ExtraServers list"));
    }
    let log = trio.nodes[1].log();
    assert!(log.contains("list is broken") && log.contains("list is empty"), "{log}");
    // and when it has another one, all have that.
    server.set(|quirks| quirks.list = list(8, &["router-c"]));
    server.crash();
    wait_for("a router leads", PATIENCE, || said(&trio.nodes[1])["reachable"] == false);
    server.restart();
    wait_for("the next list", PATIENCE, || all(&trio.nodes, &["router-c"]));
    assert!(trio.nodes[0].status()["list_version"].as_u64().unwrap() > version);
    // It is there after a restart, without the server.
    server.crash();
    trio.nodes[0].kill();
    trio.nodes[0].start_again();
    assert_eq!(names(&trio.nodes[0]), json!(["router-c"]));
}

#[test]
fn a_server_without_a_list_counts_as_back_all_the_same() {
    for (answer, reason) in [
        (Answer::Status(404), "HTTP 404"),
        (Answer::Status(426), "HTTP 426"),
        (Answer::Redirect("http://10.0.0.1/".into()), "HTTP 301"),
        (Answer::Nothing, "no answer within 1 s"),
        (Answer::Garbage, ""),
    ] {
        let server = Legacy::start(Quirks { list: answer, ..Quirks::default() });
        let node = below(&server, &["default_server.hold_ms=0"]);
        until_reachable(&node, true);
        server.crash();
        until_reachable(&node, false);
        let since = Instant::now();
        server.restart();
        until_reachable(&node, true);
        assert!(since.elapsed() < Duration::from_secs(5), "{reason}: {:?}", since.elapsed());
        wait_for("the fetch", PATIENCE, || said(&node)["list"]["outcome"] == "not_given");
        assert!(said(&node)["list"]["reason"].as_str().unwrap().contains(reason), "{}", said(&node));
        assert_eq!(node.status()["warnings"], json!([]), "nothing that a person has to mend");
    }
}

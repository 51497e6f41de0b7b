//! What people and scripts see of a mesh of three routers on one machine.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::http::http;
use crate::common::trio::{SETTLED_MAX, Trio};
use crate::common::{Node, fau3, finish, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

fn names(of: &Value, field: &str) -> Vec<String> {
    of.as_array().unwrap().iter().map(|entry| entry[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_router_shows_the_whole_mesh() {
    // Given three routers, the second one first in the list, and a client at the third
    let trio = Trio::start(&["node.console=127.0.0.1:0", "extra_server.name=router-b"], |_, setup| setup);
    let mut client = Desktop::connect(trio.nodes[2].address(), "AA:01");
    client.subscribe("hall");
    let seen = trio.settle();
    // then each says who leads, in which epoch, and what it is to its own clients,
    let leader = |status: &Value| status["coordinator"] == "router-b" && status["deputy"] == "router-b";
    wait_for("the list's first to lead", PATIENCE, || trio.nodes.iter().all(|node| leader(&node.status())));
    let seen_again = trio.settle();
    let modes: Vec<_> = seen_again.iter().map(|status| status["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["follower", "server", "follower"]);
    assert_eq!(seen_again[0]["epoch"][1], seen_again[1]["id"]);
    // names everyone with the same id and peer id as that one itself,
    for status in &seen {
        let routers = status["routers"].as_array().unwrap();
        for (node, own) in trio.nodes.iter().zip(&seen) {
            let shown = routers.iter().find(|router| router["name"] == own["name"]).unwrap();
            assert_eq!((&shown["id"], &shown["peer_id"]), (&own["id"], &own["peer_id"]), "{}", node.url());
        }
    }
    assert_eq!(seen[0]["neighbours"].as_array().unwrap().len(), 2);
    // and shows the client with its router.
    let shown = |node: &Node| {
        let clients = &node.status()["clients"];
        names(clients, "client_id") == ["AA:01"] && names(clients, "router") == ["router-c"]
    };
    wait_for("the client everywhere", PATIENCE, || trio.nodes.iter().all(shown));
    // A record told from one to the others is counted as theirs.
    assert_eq!(client.say("hall", "u", b"hello"), 3, "FAU3_STORED");
    wait_for("the copies", PATIENCE, || {
        trio.nodes[..2].iter().all(|node| node.status()["records"]["replicated"] == 1)
    });
    assert_eq!(trio.nodes[2].status()["records"]["confirmed_single"], 0);
    // People see the same in words, and in the console.
    let control = trio.nodes[0].control();
    let text = finish(fau3(&["status", "--control", control.to_str().unwrap()])).stdout;
    for line in ["mode         follower", "coordinator  router-b", "list         version 0: router-b"] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    let console = console_of(&trio.nodes[0]);
    let metrics = http(console, "GET /metrics HTTP/1.0\r\n\r\n").body;
    for sample in ["fau3_routers 3", "fau3_routers_connected 2", "fau3_leads 0", "fau3_clients_elsewhere 1"] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}:\n{metrics}");
    }
    let page = http(console, "GET / HTTP/1.0\r\n\r\n").body;
    assert!(page.contains("led by <bdi>router-b</bdi>") && page.contains("<h2>Routers</h2>"), "{page}");
}

#[test]
fn the_topology_is_shown_as_text_graph_picture_and_json() {
    // Given three routers led by the first of the list, and a client at the third
    let trio = Trio::start(&["extra_server.name=router-b"], |_, setup| setup);
    let mut client = Desktop::connect(trio.nodes[2].address(), "AA:01");
    client.subscribe("hall");
    let control = trio.nodes[0].control();
    let topology = |more: &[&str]| {
        let asked = finish(fau3(&[&["topology", "--control", control.to_str().unwrap()], more].concat()));
        assert!(asked.status.success(), "{asked}");
        asked.stdout
    };
    // when they have found each other, then people see a tree from the leader,
    let has_all =
        |text: &str, lines: &[&str]| lines.iter().all(|line| text.lines().any(|found| found == *line));
    let lines = ["* router-b (server, priority 0)", "|-- router-a (follower, this one)", "other links"];
    let client_below = "    `-- AA:01 in hall";
    wait_for("the whole mesh as text", SETTLED_MAX, || {
        let text = topology(&[]);
        has_all(&text, &lines) && text.contains(client_below) && text.contains("3 routers, 3 links, 1 client")
    });
    // and other programs get the same.
    let dot = topology(&["--dot"]);
    assert!(dot.starts_with("graph fau3 {") && dot.matches(" -- ").count() == 3, "{dot}");
    let svg = topology(&["--svg"]);
    assert!(svg.starts_with("<svg ") && svg.matches("<line ").count() == 3, "{svg}");
    let graph: Value = serde_json::from_str(&topology(&["--json"])).unwrap();
    assert_eq!(graph["links"].as_array().unwrap().len(), 3);
    let leaders: Vec<_> =
        graph["routers"].as_array().unwrap().iter().filter(|router| router["leads"] == true).collect();
    assert_eq!(leaders.len(), 1);
    assert_eq!(leaders[0]["name"], "router-b");
}

fn console_of(node: &Node) -> std::net::SocketAddr {
    let log = node.log();
    let (_, after) = log.split_once("console on http://").unwrap();
    after.split_once('/').unwrap().0.parse().unwrap()
}

#[test]
fn a_router_that_nobody_has_joined_says_whom_it_waits_for_and_then_leads() {
    // Given a router in a mesh that has just started
    let node =
        Node::with(&["mesh.enabled=1", "mesh.listen=127.0.0.1:0", "mesh.discovery=", "node.name=router-a"])
            .start();
    let status = node.status();
    // then nobody leads while it listens, and it does afterwards.
    assert_eq!((&status["mode"], &status["coordinator"]), (&json!("waiting"), &Value::Null), "{status}");
    assert!(status["warnings"][0].as_str().unwrap().contains("well-known"), "{status}");
    wait_for("it to lead", PATIENCE, || node.status()["mode"] == "server");
    assert_eq!(node.status()["coordinator"], "router-a");
}

//! Is it there? What routers do when it goes and when it is back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::desktop::Desktop;
use crate::common::trio::{SETTLED_MAX, Trio};
use crate::common::{Node, wait_for};
use crate::default_server::{PATIENCE, below, said, until_reachable};
use crate::legacy::{Legacy, Quirks};

/// A quick return, for tests that need several.
const SHORT_HOLD: &str = "default_server.hold_ms=500";

#[test]
fn one_connection_with_a_ping_each_check_interval_is_all_that_the_server_sees() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    let (pings, since) = (server.pings(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let each_second = (server.pings() - pings) as f64 / since.elapsed().as_secs_f64();
    assert!((3.0..=4.5).contains(&each_second), "{each_second} pings a second");
    assert_eq!(server.watchers(), 1);
    let connected = server.connected();
    assert!(connected.len() == 1 && connected[0].len() <= 17, "{connected:?}");
    let status = node.status();
    assert_eq!((&status["mode"], &status["coordinator"]), (&"default".into(), &"fau3vomdMain".into()));
    assert_eq!(
        (&status["default_server"]["kind"], &status["default_server"]["watched_here"]),
        (&"legacy".into(), &true.into())
    );
}

#[test]
fn a_killed_server_is_gone_at_once_and_back_after_its_hold_time() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &["default_server.hold_ms=2000"]);
    until_reachable(&node, true);
    let mut client = Desktop::connect(node.address(), "AA:01");
    client.subscribe("hall");
    // When its process is killed,
    server.crash();
    let gone = until_reachable(&node, false);
    assert!(gone < Duration::from_secs(1), "{gone:?}");
    let status = node.status();
    assert_eq!((&status["mode"], &status["default_server"]["outages"]), (&"server".into(), &1.into()));
    // Refused, or reset where it was let in by the kernel just before.
    let trouble = said(&node)["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("refused") || trouble.contains("reset"), "{trouble}");
    // and it comes back, then not before it has answered for two seconds,
    server.restart();
    let back = until_reachable(&node, true);
    assert!(back >= Duration::from_millis(1_900) && back < Duration::from_secs(6), "{back:?}");
    assert_eq!(said(&node)["trouble"], serde_json::Value::Null);
    // and no client has noticed anything.
    assert_eq!(client.subscribe("kitchen"), [], "still connected");
    assert_eq!(server.crashes(), ["asked to"]);
}

#[test]
fn a_server_that_drops_its_connections_but_lives_is_not_gone() {
    let server = Legacy::start(Quirks::default());
    let node = below(&server, &[]);
    until_reachable(&node, true);
    for lives in 2..5 {
        server.crash();
        server.restart();
        wait_for("a new connection", PATIENCE, || {
            server.connected().len() >= lives && server.watchers() == 1
        });
    }
    // It may have been refused in between; then it is back, later.
    until_reachable(&node, true);
}

#[test]
fn late_wake_ups_move_nobody() {
    // Those who look when it is late are late wake-ups themselves, so that two can follow each
    // other with no answer in between: both together are less than the silence that counts.
    let late = Some((Duration::from_millis(700), 6));
    let server = Legacy::start(Quirks { late_wakeup: late, ..Quirks::default() });
    let node = below(&server, &[]);
    until_reachable(&node, true);
    std::thread::sleep(Duration::from_secs(10));
    let status = said(&node);
    assert_eq!((&status["reachable"], &status["outages"]), (&true.into(), &0.into()));
    assert_eq!(server.crashes(), [""; 0]);
}

#[test]
fn a_server_that_is_not_there_at_the_start_counts_when_it_comes() {
    let server = Legacy::start(Quirks::default());
    server.crash();
    let node = below(&server, &[SHORT_HOLD]);
    until_reachable(&node, false);
    assert_eq!(node.status()["mode"], "server");
    server.restart();
    until_reachable(&node, true);
    assert_eq!(said(&node)["outages"], 0, "it has not gone: it was not there");
}

#[test]
fn of_three_routers_the_deputy_alone_looks_and_all_follow() {
    let server = Legacy::start(Quirks::default());
    let url = format!("default_server.url={}", server.url());
    let mut trio = Trio::start(&[&url, SHORT_HOLD], |_, setup| setup);
    let all = |nodes: &[Node], mode: &str| nodes.iter().all(|node| node.status()["mode"] == mode);
    // Before they have met, each follows it by itself.
    wait_for("all follow it together", SETTLED_MAX, || {
        let statuses: Vec<Value> = trio.nodes.iter().map(Node::status).collect();
        let deputy = &statuses[0]["deputy"];
        let has_met_all = |status: &Value| status["routers"].as_array().is_some_and(|all| all.len() == 3);
        let agrees = |status: &Value| status["deputy"] == *deputy && has_met_all(status);
        statuses.iter().all(|status| agrees(status) && status["mode"] == "default")
    });
    wait_for("one looks", PATIENCE, || server.watchers() == 1);
    let watches = |node: &Node| said(node)["watched_here"] == true;
    // Who is the deputy may change while they settle.
    let mut deputy = String::new();
    wait_for("the deputy alone looks, and all know it there", PATIENCE, || {
        deputy = trio.nodes[0].status()["deputy"].as_str().unwrap_or_default().to_owned();
        let is_right = |node: &Node| {
            watches(node) == (node.status()["name"] == deputy) && said(node)["reachable"] == true
        };
        trio.nodes.iter().all(is_right)
    });
    // When it goes, the deputy leads; when it is back, all follow it again.
    server.crash();
    wait_for("a router leads", PATIENCE, || {
        trio.nodes
            .iter()
            .all(|node| node.status()["coordinator"] == deputy && said(node)["reachable"] == false)
    });
    server.restart();
    wait_for("all follow it", PATIENCE, || all(&trio.nodes, "default"));
    // When the deputy is killed, another one looks, and nobody has to lead.
    let number = trio.nodes.iter().position(watches).unwrap();
    trio.nodes[number].kill();
    trio.nodes.remove(number);
    wait_for("another looks", PATIENCE, || trio.nodes.iter().filter(|node| watches(node)).count() == 1);
    wait_for("all follow it", PATIENCE, || all(&trio.nodes, "default") && server.watchers() == 1);
    assert_eq!(server.crashes(), ["asked to"], "no id has connected twice");
}

#[test]
fn another_url_name_and_hold_time_are_taken_over_without_a_restart() {
    let (first, second) = (Legacy::start(Quirks::default()), Legacy::start(Quirks::default()));
    let dir = crate::common::TempDir::new("default-server");
    let file = dir.path().join("fau3");
    let write = |address: Option<SocketAddr>, name: &str| {
        let url = address.map(|address| format!("\toption url 'ws://{address}'\n")).unwrap_or_default();
        std::fs::write(
            &file,
            format!("config default_server\n\toption name '{name}'\n\toption hold_ms '0'\n{url}"),
        )
        .unwrap();
    };
    write(Some(first.address()), "one");
    let node = Node::with(&[]).configured_by(&file).start();
    until_reachable(&node, true);
    write(Some(second.address()), "two");
    node.hang_up();
    wait_for("the other one", PATIENCE, || second.watchers() == 1 && first.watchers() == 0);
    wait_for("its name", PATIENCE, || node.status()["coordinator"] == "two");
    // None any more: nobody is looked for.
    write(None, "two");
    node.hang_up();
    wait_for("nobody looks", PATIENCE, || second.watchers() == 0 && said(&node)["url"].is_null());
    assert_eq!(node.status()["mode"], "server");
    write(Some(first.address()), "one");
    node.hang_up();
    wait_for("the first one again", PATIENCE, || first.watchers() == 1);
    until_reachable(&node, true);
}

//! What people and scripts see of a running router: the control socket, the
//! console's page, `/status` and `/metrics`.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::common::http::{Answer, http};
use crate::common::{Node, Program, fau3, finish, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
/// As strangers name rooms.
const ROOM: &str = "<script>alert(1)</script>\"&'";

fn get(address: SocketAddr, path: &str) -> Answer {
    http(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// A node with a console on a port that the system chose, and that port.
fn node_with_console(options: &[&str]) -> (Node, SocketAddr) {
    let options = [&["node.console=127.0.0.1:0", "node.name=router-a"], options].concat();
    let node = Node::with(&options).start();
    let console = console_of(&node);
    (node, console)
}

fn console_of(node: &Node) -> SocketAddr {
    let find = || {
        let log = node.log();
        let (_, after) = log.split_once("console on http://")?;
        after.split_once('/')?.0.parse().ok()
    };
    wait_for("the console's address in the log", PATIENCE, || find().is_some());
    find().unwrap()
}

/// Somebody in a room, connected when this returns.
fn listener(node: &Node, room: &str, id: &str) -> Program {
    let program = Program::start(fau3(&["listen", "--url", &node.url(), "--room", room, "--client-id", id]));
    let is_there = |client: &Value| client["client_id"] == id && client["room"] == room;
    wait_for("a listener", PATIENCE, || node.status()["clients"].as_array().unwrap().iter().any(is_there));
    program
}

fn ask(node: &Node, question: &[u8]) -> Value {
    let mut stream = UnixStream::connect(node.control()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(question).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// Names and kinds of all fields, without what they hold.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), shape(field))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}

#[test]
fn the_command_the_socket_and_the_console_say_the_same() {
    // Given a router with somebody in a room of a nasty name
    let (node, console) = node_with_console(&[]);
    let _listener = listener(&node, ROOM, "AA:BB");
    // when it is asked in three ways,
    let by_command = node.status();
    let by_socket = ask(&node, b"status\n");
    let answer = get(console, "/status");
    let by_console: Value = serde_json::from_str(&answer.body).unwrap();
    // then the answers have one shape, and hold what DESIGN.md says.
    assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/json"));
    assert_eq!(shape(&by_command), shape(&by_console));
    assert_eq!(shape(&by_socket), shape(&by_console));
    assert_eq!(by_console["name"], "router-a");
    assert_eq!(by_console["mode"], "server");
    assert_eq!(by_console["coordinator"], "router-a");
    assert_eq!(by_console["epoch"], json!([0, by_console["id"]]));
    assert_eq!(by_console["routers"][0]["clients"], 1);
    let client = &by_console["clients"][0];
    assert_eq!((&client["client_id"], &client["room"]), (&json!("AA:BB"), &json!(ROOM)));
    assert_eq!(by_console["rooms"], json!([{"room": ROOM, "clients": 1, "records": 0}]));
}

#[test]
fn metrics_count_a_conversation() {
    let (node, console) = node_with_console(&[]);
    // Given somebody who hears what another one says,
    let mut listener = listener(&node, "hall", "AA:BB");
    let message = node.dir().join("message.speex");
    std::fs::write(&message, [7; 380]).unwrap();
    let spoken = ["talk", "--url", &node.url(), "--room", "hall", message.to_str().unwrap()];
    let talked = finish(fau3(&spoken));
    assert!(talked.status.success(), "{talked}");
    listener.wait_until_it_says("hall");
    wait_for("a delivery", PATIENCE, || node.status()["deliveries"]["confirmed"] == 1);
    // then it is in the metrics, without a name of anybody.
    let answer = get(console, "/metrics");
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for sample in [
        "fau3_clients 1",
        "fau3_rooms 1",
        "fau3_records 1",
        "fau3_deliveries_total 1",
        "fau3_resends_total 0",
        "fau3_drops_total{reason=\"invalid\"} 0",
        "fau3_delivery_latency_seconds_bucket{le=\"+Inf\"} 1",
        "fau3_delivery_latency_seconds_count 1",
    ] {
        assert!(answer.body.lines().any(|line| line == sample), "{sample}:\n{}", answer.body);
    }
    assert!(answer.body.contains("process_resident_memory_bytes "));
    assert!(!answer.body.contains("AA:BB") && !answer.body.contains("hall"), "{}", answer.body);
}

#[test]
fn the_page_is_whole_and_harmless() {
    let (node, console) = node_with_console(&[]);
    let _listener = listener(&node, ROOM, "AA:BB");
    let page = get(console, "/");
    assert_eq!((page.status, &*page.headers["content-type"]), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("router-a") && page.body.contains("AA:BB"));
    assert!(page.body.contains("&lt;script&gt;alert(1)") && !page.body.contains("<script>alert"));
    // Its own script is the only one that its policy lets run.
    let policy = &page.headers["content-security-policy"];
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(nonce.len(), 32);
    assert!(page.body.contains(&format!("<script nonce=\"{nonce}\">")));
    assert!(!get(console, "/").body.contains(nonce), "each page has its own");
}

#[test]
fn other_requests_get_one_clear_line() {
    let (_node, console) = node_with_console(&[]);
    let asked = |request: &str| {
        let answer = http(console, request);
        assert_eq!(answer.body.lines().count(), 1, "{}", answer.body);
        (answer.status, answer.body, answer.headers.get("allow").cloned())
    };
    let (status, said, _) = asked("GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(status == 404 && said.contains("/metrics"), "{status} {said}");
    let (status, said, allow) =
        asked("POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert!(status == 405 && said.contains("GET or HEAD"), "{status} {said}");
    assert_eq!(allow.as_deref(), Some("GET, HEAD"));
    // DNS rebinding: a name that somebody else may own.
    let (status, said, _) = asked("GET /status HTTP/1.1\r\nHost: attacker.example\r\n\r\n");
    assert!(status == 421 && said.contains("localhost or router-a"), "{status} {said}");
    // HEAD is GET without its body.
    let head = http(console, "HEAD /status HTTP/1.1\r\nHost: router-a.lan\r\n\r\n");
    assert_eq!((head.status, &*head.body), (200, ""));
    assert!(head.headers["content-length"].parse::<usize>().unwrap() > 100);
    // A program of HTTP/1.0 names no host.
    assert!(http(console, "GET /status HTTP/1.0\r\n\r\n").body.starts_with('{'));
}

#[test]
fn those_who_say_nothing_do_not_keep_the_console_from_others() {
    let (node, console) = node_with_console(&[]);
    // Given more silent connections than the console serves at once,
    let since = Instant::now();
    let mut silent: Vec<TcpStream> = (0..32).map(|_| TcpStream::connect(console).unwrap()).collect();
    // when somebody asks, then an answer comes once the silent ones are ended;
    assert_eq!(get(console, "/status").status, 200);
    let waited = since.elapsed();
    assert!(waited > Duration::from_secs(5), "more than 32 are served at once: {waited:?}");
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    let first = &mut silent[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = first.read(&mut [0; 512]);
    assert!(
        ended.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true),
        "a silent connection is still open"
    );
    // and the router itself has not noticed.
    assert_eq!(node.status()["name"], "router-a");
}

#[test]
fn a_router_lives_without_a_console_until_it_can_have_one() {
    // Given an address that another program has, and no other test takes,
    let other = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = other.local_addr().unwrap();
    let node = Node::with(&[&format!("node.console={address}")]).start();
    // then the router serves, says what is wrong and what to do,
    wait_for("a warning", PATIENCE, || !node.status()["warnings"].as_array().unwrap().is_empty());
    let warning = node.status()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains(&address.to_string()) && warning.contains("node.console"), "{warning}");
    assert!(node.log().contains(&warning), "{}", node.log());
    // and takes the address when it is free.
    drop(other);
    let listens = format!("console on http://{address}/");
    wait_for("the console", PATIENCE, || node.log().contains(&listens));
    assert_eq!(get(address, "/status").status, 200);
    assert_eq!(node.status()["warnings"], json!([]));
}

#[test]
fn a_console_that_strangers_can_reach_is_warned_of() {
    let node = Node::with(&["node.console=0.0.0.0:0"]).start();
    console_of(&node);
    wait_for("a warning", PATIENCE, || node.status()["warnings"] != json!([]));
    let warning = node.status()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("0.0.0.0") && warning.contains("everybody"), "{warning}");
    assert!(node.log().contains(&warning), "{}", node.log());
    // One for this host alone is not.
    let (node, _) = node_with_console(&[]);
    assert_eq!(node.status()["warnings"], json!([]));
}

#[test]
fn other_commands_on_the_socket_are_told_what_there_is() {
    let node = Node::start();
    assert_eq!(
        ask(&node, b"reboot\n"),
        json!({"error": "unknown command \"reboot\"; known commands: status"})
    );
    let long = ask(&node, &[b'x'; 256]);
    assert!(long["error"].as_str().unwrap().contains("at most 256 bytes"), "{long}");
    assert_eq!(ask(&node, b"status\n")["warnings"], json!([]));
}

#[test]
fn a_second_router_does_not_take_the_control_socket() {
    let (mut node, _) = node_with_console(&[]);
    let control = node.control().display().to_string();
    // Given a router that is told to use another one's socket
    let dir = node.dir().join("second");
    let set = [
        "clients.listen=127.0.0.1:0".to_owned(),
        "mesh.enabled=0".to_owned(),
        "node.console=".to_owned(),
        format!("node.control={control}"),
        format!("node.data_dir={}", dir.display()),
        format!("node.identity={}", dir.join("identity.key").display()),
    ];
    let mut args = vec!["node"];
    set.iter().for_each(|option| args.extend(["--set", option]));
    // then it says so and ends, and the first one still answers;
    let second = finish(fau3(&args));
    assert_eq!(second.status.code(), Some(1), "{second}");
    assert!(second.stderr.contains(&control) && second.stderr.contains("another router"), "{second}");
    assert_eq!(node.status()["name"], "router-a");
    // one that died without a goodbye leaves its socket behind, which is replaced;
    node.kill();
    assert!(node.control().exists());
    node.start_again();
    wait_for("the socket", PATIENCE, || UnixStream::connect(node.control()).is_ok());
    assert_eq!(node.status()["name"], "router-a");
    // one that is told to end takes it along.
    assert!(node.terminate().success());
    assert!(!node.control().exists());
}

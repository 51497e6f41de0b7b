//! SIGHUP: the configuration is read again while clients stay connected
//! (DESIGN.md, "Interfaces that people and scripts rely on").
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::{Node, TempDir, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

/// A UCI file that is written anew.
struct File {
    dir: TempDir,
}

impl File {
    fn new(clients: &[&str]) -> Self {
        let file = Self { dir: TempDir::new("uci") };
        file.write(clients);
        file
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("fau3")
    }

    /// Section `clients` with these lines.
    fn write(&self, clients: &[&str]) {
        self.write_section("clients", clients);
    }

    fn write_section(&self, section: &str, lines: &[&str]) {
        let lines: String = lines.iter().map(|line| format!("\t{line}\n")).collect();
        fs::write(self.path(), format!("config {section} '{section}'\n{lines}")).unwrap();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Sends SIGHUP and waits until the log has `text` once more.
fn hang_up(node: &Node, text: &str) {
    let count = || node.log().matches(text).count();
    let before = count();
    node.hang_up();
    wait_for(text, PATIENCE, || count() > before);
}

/// Whether one more client is let in.
fn has_a_place(node: &Node, client_id: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nfau3-client-id: {client_id}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    &head == b"HTTP/1.1 101"
}

#[test]
fn a_broken_file_changes_nothing_each_error_is_logged_and_a_mended_one_is_applied() {
    // Given a router with places for two, and one client
    let file = File::new(&["option max_clients '2'"]);
    let node = Node::with(&[]).configured_by(&file.path()).start();
    let mut client = Desktop::connect(node.address(), "AA:01");
    client.subscribe("hall");
    // when the file gets one good line and two bad ones,
    file.write(&["option max_clients '1'", "option retry_count 'often'", "option storage 'tape'"]);
    hang_up(&node, "is not applied");
    // then each error has its line in the log, and the status warns,
    let log = node.log();
    for wanted in ["fau3:3: ", "retry_count", "fau3:4: ", "'tape'"] {
        let line = log.lines().find(|line| line.contains(wanted) && line.contains("ERROR"));
        assert!(line.is_some(), "{wanted} is missing:\n{log}");
    }
    assert!(node.status()["warnings"][0].as_str().unwrap().contains("going on with the old one"));
    // nothing of it holds, the good line neither,
    assert!(has_a_place(&node, "AA:02"));
    // not even where there is no file any more.
    fs::remove_file(file.path()).unwrap();
    hang_up(&node, "is not applied");
    wait_for("a place", PATIENCE, || has_a_place(&node, "AA:03"));
    // A mended one is applied, takes the warning back, and drops nobody.
    file.write(&["option max_clients '1'"]);
    hang_up(&node, "applied: clients.max_clients");
    wait_for("no warning", PATIENCE, || node.status()["warnings"] == serde_json::json!([]));
    wait_for("the new limit", PATIENCE, || !has_a_place(&node, "AA:04"));
    assert_eq!(client.subscribe("kitchen"), [], "still connected");
}

#[test]
fn routers_that_are_named_later_are_called_and_clients_do_not_notice() {
    // Given two routers that know nothing of each other,
    let file = File::new(&[]);
    let port = free_port();
    let alone = ["mesh.enabled=1", "mesh.discovery=off"];
    let listen = format!("mesh.listen=127.0.0.1:{port}");
    let other = Node::with(&[&alone[..], &[&listen, "node.name=router-b"]].concat()).start();
    let router = Node::with(&[&alone[..], &["mesh.listen=127.0.0.1:0", "node.name=router-a"]].concat());
    let router = router.configured_by(&file.path()).start();
    let mut client = Desktop::connect(router.address(), "AA:01");
    client.subscribe("hall");
    assert_eq!(router.status()["neighbours"], serde_json::json!([]));
    // when one is told where the other is,
    file.write_section("mesh", &[&format!("list peer '127.0.0.1:{port}'")]);
    hang_up(&router, "applied: mesh.peer");
    // then they meet, and the client is still there.
    wait_for("they meet", PATIENCE, || router.status()["neighbours"] == serde_json::json!(["router-b"]));
    assert_eq!(client.subscribe("kitchen"), []);
    drop(other);
}

#[test]
fn what_needs_a_restart_is_named_and_waits_for_it() {
    let file = File::new(&["option storage 'ram'"]);
    let mut node = Node::with(&[]).configured_by(&file.path()).start();
    file.write(&["option storage 'disk'", "option retry_count '7'", "option retrycount '7'"]);
    hang_up(&node, "take effect at the next start");
    // The one is applied, the other waits, the third is warned about.
    let log = node.log();
    assert!(log.contains("applied: clients.retry_count\n"), "{log}");
    assert!(log.contains("at the next start: clients.storage\n"), "{log}");
    assert!(log.contains("retrycount") && log.contains("fau3:4: "), "{log}");
    assert!(node.status()["warnings"][0].as_str().unwrap().contains("clients.storage"));
    assert!(node.status()["store"].is_null());
    // Read once more without a change, it still waits; taken back, it does not.
    hang_up(&node, "take effect at the next start");
    file.write(&["option retry_count '7'"]);
    hang_up(&node, "applied: nothing");
    wait_for("no warning", PATIENCE, || node.status()["warnings"] == serde_json::json!([]));
    // After the restart it holds.
    file.write(&["option storage 'disk'"]);
    assert!(node.terminate().success());
    node.start_again();
    assert!(node.status()["store"].is_object());
}

#[test]
#[cfg(feature = "disk")]
fn the_age_bound_reaches_the_store() {
    const FAU3_STORED: i64 = 3;
    // Given a message that is remembered on disk for two hours
    let file = File::new(&["option storage 'disk'", "option storage_max_age_s '3600'"]);
    let mut node = Node::with(&[]).configured_by(&file.path()).start();
    let mut talker = Desktop::connect(node.address(), "AA:01");
    assert_eq!(talker.say("hall", "u", b"hello"), FAU3_STORED);
    // when that becomes two seconds, and they pass before something is written,
    file.write(&["option storage 'disk'", "option storage_max_age_s '1'"]);
    hang_up(&node, "applied: clients.storage_max_age_s");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(talker.say("hall", "another", b"hello"), FAU3_STORED);
    // then the next life, with the old bound, does not know it any more.
    node.kill();
    file.write(&["option storage 'disk'", "option storage_max_age_s '3600'"]);
    node.start_again();
    let mut talker = Desktop::connect(node.address(), "AA:01");
    for (uuid, duplicates) in [("u", 0), ("another", 1)] {
        assert_eq!(talker.say("hall", uuid, b"hello"), FAU3_STORED);
        assert_eq!(node.status()["records"]["duplicates"], duplicates, "{uuid}");
    }
}

#[test]
fn a_key_file_that_was_added_or_changed_waits_for_the_restart_and_that_is_said() {
    // Given a router without a key file,
    let dir = TempDir::new("key");
    let key = dir.path().join("mesh.key");
    let file = File::new(&[]);
    file.write_section("mesh", &[&format!("option key '{}'", key.display())]);
    let in_mesh = ["mesh.enabled=1", "mesh.discovery=", "mesh.listen=127.0.0.1:0"];
    let node = Node::with(&in_mesh).configured_by(&file.path()).start();
    hang_up(&node, "applied: nothing");
    assert!(!node.log().contains("has changed"));
    // when one is added, then it is said that it waits, also in the status,
    fs::write(&key, "ab".repeat(32)).unwrap();
    hang_up(&node, "take effect at the next start: mesh.key");
    let warns = |text: &str| node.status()["warnings"].to_string().contains(text);
    assert!(warns("has changed"), "{}", node.status()["warnings"]);
    // and one that is taken away again waits for nothing.
    fs::remove_file(&key).unwrap();
    hang_up(&node, "applied: nothing");
    wait_for("no warning", PATIENCE, || !warns("has changed"));
}

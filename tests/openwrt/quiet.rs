//! Flash wears: at rest nothing is written, and what is written is counted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::{Node, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);
/// What a client's coming changes is on disk after 5 s (`SESSION_SAVE_DELAY`).
const SETTLED: Duration = Duration::from_secs(7);
/// Longer than all that a router does by itself: heartbeats, looks at its interfaces,
/// coalesced changes, discovery.
const REST: Duration = Duration::from_secs(12);

/// Every file and folder of a router, with what a write would change of it.
fn state(node: &Node) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![node.dir().to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).chain([folder.clone()])
        {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() && path != folder {
                folders.push(path.clone());
            }
            found.insert(path, (meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.len()));
        }
    }
    found
}

fn port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn two_routers_with_a_client_each_write_nothing_while_nobody_speaks() {
    // Given two routers that have found each other, one with its messages on disk,
    let (one, other) = (port(), port());
    let router = |name: &str, own: u16, peer: u16, storage: &str| {
        let node = Node::with(&[
            "mesh.enabled=1",
            "mesh.discovery=off",
            &format!("mesh.listen=127.0.0.1:{own}"),
            &format!("mesh.peer=127.0.0.1:{peer}"),
            &format!("node.name={name}"),
            &format!("clients.storage={storage}"),
        ]);
        node.start()
    };
    let disk = if cfg!(feature = "disk") { "disk" } else { "ram" };
    let nodes = [router("router-a", one, other, "ram"), router("router-b", other, one, disk)];
    let mut clients: Vec<_> =
        nodes.iter().zip(["AA:01", "AA:02"]).map(|(node, id)| Desktop::connect(node.address(), id)).collect();
    for client in &mut clients {
        client.subscribe("hall");
    }
    for node in &nodes {
        wait_for("both are ready and agree", PATIENCE, || {
            let status = node.status();
            status["routers"].as_array().unwrap().len() == 2 && status["coordinator"].is_string()
        });
    }
    // when what that has cost is written,
    std::thread::sleep(SETTLED);
    let before: Vec<_> = nodes.iter().map(state).collect();
    let counted: Vec<_> = nodes.iter().map(|node| node.status()["writes"].clone()).collect();
    // then nothing follows.
    std::thread::sleep(REST);
    for ((node, before), counted) in nodes.iter().zip(before).zip(counted) {
        assert_eq!(state(node), before);
        assert_eq!(node.status()["writes"], counted);
        let files = counted["files"].as_u64().unwrap();
        assert!((2..=8).contains(&files), "the identity and a few changes of who leads: {counted}");
    }
    drop(clients);
}

#[test]
#[cfg(feature = "disk")]
fn a_message_on_disk_is_counted_and_one_in_memory_is_not() {
    for (storage, transactions) in [("ram", 0), ("disk", 1)] {
        let node = Node::with(&[&format!("clients.storage={storage}")]).start();
        let before = node.status()["writes"]["transactions"].as_u64().unwrap();
        let mut client = Desktop::connect(node.address(), "AA:01");
        client.say("hall", "u", b"hello");
        let after = node.status()["writes"]["transactions"].as_u64().unwrap();
        assert!((after - before >= 1) == (transactions == 1), "{storage}: {before} {after}");
    }
}

#[test]
fn a_restart_writes_no_more_than_its_own_number() {
    let mut node = Node::start();
    let key = fs::metadata(node.dir().join("identity.key")).unwrap().ctime_nsec();
    assert!(node.terminate().success());
    node.start_again();
    assert_eq!(fs::metadata(node.dir().join("identity.key")).unwrap().ctime_nsec(), key);
    let files = node.status()["writes"]["files"].as_u64().unwrap();
    assert_eq!(files, 1, "the count of its lives");
    assert!(Path::new(&node.dir().join("identity.key.state")).exists());
}

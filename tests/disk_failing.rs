//! A disk that is full, read-only or not there: the router says so, goes on,
//! and stores again by itself once it can (PROTOCOLS.md, section 1, "the server
//! cannot do it").
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::desktop::{Desktop, Got, confirm, propogate};
use crate::common::{Disk, Node, TempDir, wait_for};
use fau3::router::UNCOMMITTED_MAX;

const PATIENCE: Duration = Duration::from_secs(20);
const ROOM: &str = "hall";
const FAU3_STORED: i64 = 3;
const FAU3_SERROR: i64 = -2;

/// A node that keeps its records in `dir`.
fn node_on(dir: &Path) -> Node {
    Node::with(&["clients.storage=disk", &format!("node.data_dir={}", dir.display())]).start()
}

fn warnings(node: &Node) -> String {
    node.status()["warnings"].to_string()
}

/// How often the log says it.
fn said(node: &Node, text: &str) -> usize {
    node.log().matches(text).count()
}

/// Messages are refused, each time; the log says so once, the status as long as
/// it lasts.
fn assert_fails(node: &Node, talker: &mut Desktop, prefix: &str) {
    for number in 0..3 {
        assert_eq!(talker.say(ROOM, &format!("{prefix} {number}"), &[7; 9_500]), FAU3_SERROR);
    }
    assert!(warnings(node).contains("storage fails"), "{}", warnings(node));
    assert_eq!(node.status()["store"]["failing"], true);
    assert_eq!(said(node, "nothing can be stored"), 1, "{}", node.log());
}

/// The same messages are stored now, by the same process, and heard once.
fn assert_recovers(node: &Node, talker: &mut Desktop, listener: &mut Desktop, prefix: &str) {
    for number in 0..3 {
        assert_eq!(talker.say(ROOM, &format!("{prefix} {number}"), &[7; 9_500]), FAU3_STORED);
        let heard = listener.hear(PATIENCE).unwrap();
        listener.confirm(&heard);
    }
    assert_eq!(said(node, "the storage works again"), 1, "{}", node.log());
    assert!(!warnings(node).contains("storage fails"), "{}", warnings(node));
}

/// More at once than may be on its way to the disk: what is too much is refused
/// rather than kept in memory, and stored when it is sent again.
#[test]
fn a_flood_is_answered_with_serror_beyond_what_may_wait_for_the_disk() {
    const MESSAGES: usize = 4 * UNCOMMITTED_MAX;
    let dir = TempDir::new("flood");
    let node = node_on(&dir.path().join("data"));
    let (mut talker, _listener) = members(&node);
    let mut waiting: Vec<usize> = (0..MESSAGES).collect();
    let mut refused = 0;
    // Given all of them sent at once, and again what was refused
    while !waiting.is_empty() {
        let frames: Vec<_> =
            waiting.iter().map(|number| propogate(ROOM, &format!("u{number}"), b"x")).collect();
        assert!(talker.send_at_once(&frames));
        let mut again = Vec::new();
        for _ in 0..waiting.len() {
            let Got::Message(message) = talker.next(PATIENCE) else { panic!("not answered") };
            let (uuid, status) = confirm(&message).unwrap();
            match status {
                FAU3_STORED => {}
                FAU3_SERROR => again.push(uuid[1..].parse().unwrap()),
                other => panic!("{uuid}: {other}"),
            }
        }
        // Refused at once, confirmed when committed: those come in another order.
        again.sort_unstable();
        refused += again.len();
        waiting = again;
    }
    // then each is stored once, and some were refused on the way
    let records = &node.status()["records"];
    assert_eq!((&records["stored"], &records["refused"]), (&MESSAGES.into(), &refused.into()), "{records}");
    println!("{MESSAGES} at once: {refused} answered FAU3_SERROR until all were stored");
    assert!(refused > 0, "no bound was reached");
    // although the disk never failed.
    assert_eq!(said(&node, "nothing can be stored"), 0);
}

fn members(node: &Node) -> (Desktop, Desktop) {
    let talker = Desktop::connect(node.address(), "talker");
    let mut listener = Desktop::connect(node.address(), "listener");
    assert_eq!(listener.subscribe(ROOM), []);
    (talker, listener)
}

#[test]
fn a_full_disk_is_answered_with_serror_said_once_and_used_again_when_there_is_room() {
    let Some(disk) = Disk::mount("size=2m") else { return };
    // Given a node on a disk that works
    let mut node = node_on(&disk.path().join("data"));
    let pid = node.pid();
    // (which lies in memory, and that is said at every start)
    assert!(warnings(&node).contains("lies in memory"), "{}", warnings(&node));
    assert_eq!(said(&node, "lies in memory"), 1);
    let (mut talker, mut listener) = members(&node);
    assert_eq!(talker.say(ROOM, "before", b"before"), FAU3_STORED);
    let before = listener.hear(PATIENCE).unwrap();
    // when it is full to the last byte
    let stuffing = disk.path().join("stuffing");
    fs::write(&stuffing, vec![0; 4 * 1_024 * 1_024]).unwrap_err();
    // then messages are refused, and nobody hears what was;
    assert_fails(&node, &mut talker, "full");
    assert_eq!(listener.hear(Duration::from_millis(300)), None);
    // everything else goes on;
    assert_eq!(Desktop::connect(node.address(), "newcomer").subscribe(ROOM), []);
    // and with room it works again.
    fs::remove_file(&stuffing).unwrap();
    assert_recovers(&node, &mut talker, &mut listener, "full");
    assert_eq!(node.pid(), pid);
    // What was stored before is still owed after the next failure of the power.
    node.kill();
    node.start_again();
    let mut listener = Desktop::connect(node.address(), "listener");
    assert_eq!(listener.hear(PATIENCE), Some(before));
}

#[test]
fn a_read_only_disk_is_answered_with_serror_and_used_once_it_can_be_written() {
    let Some(disk) = Disk::mount("size=2m,ro") else { return };
    // Given a disk that is read-only when the node starts
    let node = node_on(&disk.path().join("data"));
    let (mut talker, mut listener) = members(&node);
    // then the node serves, and says what is wrong,
    assert_fails(&node, &mut talker, "ro");
    // until it can be written.
    disk.remount("rw");
    assert_recovers(&node, &mut talker, &mut listener, "ro");
}

#[test]
fn a_folder_that_cannot_be_made_is_answered_with_serror_and_used_once_it_can() {
    // Given a data folder whose parent is a file: no user may make it
    let dir = TempDir::new("late");
    let parent = dir.path().join("parent");
    fs::write(&parent, "").unwrap();
    let node = node_on(&parent.join("data"));
    let (mut talker, mut listener) = members(&node);
    assert_fails(&node, &mut talker, "late");
    // when the way is free
    fs::remove_file(&parent).unwrap();
    // then the folder is made and used.
    assert_recovers(&node, &mut talker, &mut listener, "late");
    wait_for("the database", PATIENCE, || parent.join("data/records.db").exists());
}

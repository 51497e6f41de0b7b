//! The data folder, or a file in it, is taken away, replaced, or mounted anew
//! while the router runs: it is noticed before the next FAU3_STORED, and what
//! is in memory is on disk again (DESIGN.md, "Confirm").
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::{Disk, Node, TempDir, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a client that says nothing waits for its first message.
const QUIET: Duration = Duration::from_secs(4);
const ROOM: &str = "hall";
const FAU3_STORED: i64 = 3;
const FAU3_SERROR: i64 = -2;
/// What is said before the file goes, and is owed to the listener.
const BEFORE: usize = 30;

fn node_on(dir: &Path) -> Node {
    Node::with(&["clients.storage=disk", &format!("node.data_dir={}", dir.display())]).start()
}

/// How often the log says it.
fn said(node: &Node, text: &str) -> usize {
    node.log().matches(text).count()
}

/// Says it until it is stored, and how often it was refused before.
fn say_until_stored(talker: &mut Desktop, uuid: &str) -> usize {
    let mut refused = 0;
    loop {
        match talker.say(ROOM, uuid, uuid.as_bytes()) {
            FAU3_STORED => return refused,
            FAU3_SERROR => refused += 1,
            other => panic!("{uuid}: {other}"),
        }
        assert!(refused < 1_000, "it is never stored again");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The texts that a client which was away gets, in order.
fn texts(node: &Node, client: &str) -> Vec<String> {
    let mut client = Desktop::connect(node.address(), client);
    let mut heard = client.subscribe(ROOM);
    let mut texts = Vec::new();
    loop {
        for heard in heard.drain(..) {
            client.confirm(&heard);
            texts.push(String::from_utf8(heard.payload).unwrap());
        }
        match client.hear(QUIET) {
            Some(next) => heard.push(next),
            None => return texts,
        }
    }
}

/// A node with messages on its disk for a listener that is away.
struct Story {
    node: Node,
    talker: Desktop,
    data: PathBuf,
}

impl Story {
    fn begin(data: &Path) -> Self {
        let node = node_on(data);
        Desktop::connect(node.address(), "listener").subscribe(ROOM);
        let mut talker = Desktop::connect(node.address(), "talker");
        for number in 0..BEFORE {
            assert_eq!(
                talker.say(ROOM, &format!("before {number}"), format!("before {number}").as_bytes()),
                FAU3_STORED
            );
        }
        Self { node, talker, data: data.into() }
    }

    /// What a person does to the folder was done: the next word is refused, said once
    /// in the log, then all is stored as before; and the power may fail.
    fn goes_on(mut self, word_of_log: &str) {
        let Self { node, talker, data } = &mut self;
        let refused = say_until_stored(talker, "after 0");
        assert!(refused > 0, "FAU3_STORED was said of what is on no disk");
        for number in 1..5 {
            assert_eq!(
                talker.say(ROOM, &format!("after {number}"), format!("after {number}").as_bytes()),
                FAU3_STORED
            );
        }
        wait_for("the log", PATIENCE, || said(node, "the storage works again") == 1);
        assert_eq!(said(node, " ERROR "), 1, "one line: {}", node.log());
        assert!(said(node, word_of_log) > 0, "it says what has happened ({word_of_log}): {}", node.log());
        assert_eq!(node.status()["store"]["failing"], false);
        assert_eq!(node.status()["store"]["written_anew"], 1, "{}", node.status()["store"]);
        assert!(data.join("records.db").exists());
        // The power fails. What was stored before and after is still owed.
        node.kill();
        node.start_again();
        let expected: Vec<String> = (0..BEFORE)
            .map(|number| format!("before {number}"))
            .chain((0..5).map(|number| format!("after {number}")))
            .collect();
        assert_eq!(texts(node, "listener"), expected);
        // What was said is still known when it is said again.
        let mut talker = Desktop::connect(node.address(), "talker");
        assert_eq!(talker.say(ROOM, "before 3", b"before 3"), FAU3_STORED);
        assert_eq!(node.status()["records"]["duplicates"], 1);
    }
}

/// The name of what was set aside, which must exist.
fn found(data: &Path) -> PathBuf {
    let found = data.join("records.db.found-1");
    assert!(
        found.exists(),
        "what was found in the way is kept: {:?}",
        fs::read_dir(data).unwrap().collect::<Vec<_>>()
    );
    found
}

#[test]
fn the_folder_is_removed() {
    let dir = TempDir::new("removed");
    let story = Story::begin(&dir.path().join("data"));
    fs::remove_dir_all(&story.data).unwrap();
    story.goes_on("records.db is gone");
}

#[test]
fn the_database_is_removed_and_its_log_stays() {
    let dir = TempDir::new("db-removed");
    let story = Story::begin(&dir.path().join("data"));
    fs::remove_file(story.data.join("records.db")).unwrap();
    story.goes_on("records.db is gone");
}

#[test]
fn the_write_ahead_log_is_removed() {
    let dir = TempDir::new("wal-removed");
    let story = Story::begin(&dir.path().join("data"));
    fs::remove_file(story.data.join("records.db-wal")).unwrap();
    story.goes_on("records.db-wal is gone");
}

#[test]
fn a_backup_is_renamed_into_its_place_and_kept() {
    let dir = TempDir::new("renamed");
    let story = Story::begin(&dir.path().join("data"));
    let (backup, data) = (dir.path().join("backup"), story.data.clone());
    fs::copy(data.join("records.db"), &backup).unwrap();
    let content = fs::read(&backup).unwrap();
    fs::rename(&backup, data.join("records.db")).unwrap();
    story.goes_on("moved to");
    assert_eq!(fs::read(found(&data)).unwrap(), content, "the backup is as it was");
}

/// `cp backup records.db` writes into the file that is open.
#[test]
fn a_backup_is_copied_over_it_and_kept() {
    let dir = TempDir::new("copied");
    let earlier = dir.path().join("earlier");
    let mut node = node_on(&earlier);
    Desktop::connect(node.address(), "listener").subscribe(ROOM);
    assert_eq!(Desktop::connect(node.address(), "talker").say(ROOM, "u", b"of another day"), FAU3_STORED);
    assert!(node.terminate().success());
    drop(node);
    let content = fs::read(earlier.join("records.db")).unwrap();
    let story = Story::begin(&dir.path().join("data"));
    let data = story.data.clone();
    fs::write(data.join("records.db"), &content).unwrap();
    story.goes_on("moved to");
    assert_eq!(fs::read(found(&data)).unwrap(), content, "the backup is as it was");
    assert!(!data.join("records.db.found-1-wal").exists(), "what is not of it does not lie beside it");
}

#[test]
fn it_is_emptied_in_place() {
    let dir = TempDir::new("emptied");
    let story = Story::begin(&dir.path().join("data"));
    fs::write(story.data.join("records.db"), "").unwrap();
    story.goes_on("records.db");
}

#[test]
fn another_disk_is_mounted_over_the_folder() {
    let dir = TempDir::new("mounted");
    let story = Story::begin(&dir.path().join("data"));
    let Some(disk) = Disk::mount("size=4m") else { return };
    let mount = |options: &[&str]| {
        std::process::Command::new("mount").args(options).arg(disk.path()).arg(&story.data).status().unwrap()
    };
    assert!(mount(&["--bind"]).success());
    let data = story.data.clone();
    story.goes_on("records.db is gone");
    assert!(std::process::Command::new("umount").arg("-l").arg(&data).status().unwrap().success());
}

#[test]
fn the_folder_becomes_a_symlink_to_another_one() {
    let dir = TempDir::new("symlink");
    let story = Story::begin(&dir.path().join("data"));
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&story.data, dir.path().join("away")).unwrap();
    symlink(&elsewhere, &story.data).unwrap();
    story.goes_on("records.db is gone");
    assert!(elsewhere.join("records.db").exists());
}

#[test]
fn the_folder_is_a_file_for_a_while() {
    let dir = TempDir::new("file");
    let mut story = Story::begin(&dir.path().join("data"));
    fs::remove_dir_all(&story.data).unwrap();
    fs::write(&story.data, "").unwrap();
    for number in 0..3 {
        assert_eq!(story.talker.say(ROOM, &format!("never {number}"), b"x"), FAU3_SERROR);
    }
    fs::remove_file(&story.data).unwrap();
    story.goes_on("records.db is gone");
}

/// Without any further message: what was stored must not wait for one.
#[test]
fn what_was_stored_is_on_disk_again_though_nobody_speaks() {
    let dir = TempDir::new("silent");
    let mut story = Story::begin(&dir.path().join("data"));
    fs::remove_dir_all(&story.data).unwrap();
    wait_for("the database", Duration::from_secs(60), || said(&story.node, "the storage works again") == 1);
    story.node.kill();
    story.node.start_again();
    assert_eq!(texts(&story.node, "listener").len(), BEFORE);
}

#[test]
fn the_folder_moved_with_a_link_to_it_is_the_same_folder() {
    let dir = TempDir::new("moved");
    let mut story = Story::begin(&dir.path().join("data"));
    fs::rename(&story.data, dir.path().join("moved")).unwrap();
    symlink(dir.path().join("moved"), &story.data).unwrap();
    assert_eq!(say_until_stored(&mut story.talker, "after"), 0);
    assert_eq!(said(&story.node, " ERROR "), 0, "{}", story.node.log());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_folder_and_its_files_are_private_also_those_of_an_older_version() {
    let dir = TempDir::new("private");
    let data = dir.path().join("new/data");
    let mut story = Story::begin(&data);
    let all_private = || {
        assert_eq!(mode(&data), 0o700);
        for file in fs::read_dir(&data).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    };
    all_private();
    story.node.kill();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(data.join("records.db.damaged"), "of an earlier day").unwrap();
    for file in fs::read_dir(&data).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    story.node.start_again();
    all_private();
    assert_eq!(texts(&story.node, "listener").len(), BEFORE);
}

#[test]
fn a_folder_that_others_use_as_well_stays_open_to_them_and_that_is_said() {
    let dir = TempDir::new("shared");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("letters.txt"), "of somebody else").unwrap();
    let story = Story::begin(dir.path());
    assert_eq!(mode(dir.path()), 0o755);
    assert_eq!(mode(&dir.path().join("records.db")), 0o600);
    assert_eq!(said(&story.node, "a folder of its own"), 1, "{}", story.node.log());
}

#[test]
fn an_empty_database_is_said_to_be_empty_and_what_to_do() {
    let dir = TempDir::new("empty");
    fs::write(dir.path().join("records.db"), "").unwrap();
    let node = node_on(dir.path());
    assert_eq!(said(&node, "records.db: is empty"), 1, "{}", node.log());
    assert!(node.log().contains("power"), "{}", node.log());
    assert_eq!(Desktop::connect(node.address(), "talker").say(ROOM, "u", b"x"), FAU3_STORED);
}

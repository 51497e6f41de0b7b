//! Ids and rooms that imitate paths, options and commands: names like any
//! other, and never a place in the file system.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bad_input::bystanders::undisturbed;
use crate::common::radio::{Heard, PATIENCE, Radio, TEXT};
use crate::common::{Node, Program, TempDir, fau3, finish, wait_for};

const NAMES: [&str; 12] = [
    "../../etc/passwd",
    "../../../../../../../../tmp/fau3-was-here",
    "/etc/passwd",
    "..",
    ".",
    "a/../b",
    "..\\..\\windows",
    "%2e%2e%2fetc%2fpasswd",
    "-rf",
    "$(touch fau3-was-here)",
    "'; DROP TABLE records; --",
    "~root",
];

/// Everything below a folder, but for what the database makes and removes
/// beside its file as it goes.
fn below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path.clone());
            }
            let passing = ["-wal", "-shm", "-journal"];
            if !passing.iter().any(|suffix| path.to_string_lossy().ends_with(suffix)) {
                found.insert(path);
            }
        }
    }
    found
}

fn listen(node: &Node, room: &str, save: &Path) -> Program {
    let (url, save) = (node.url(), save.to_str().unwrap());
    let room = format!("--room={room}");
    let mut listening =
        Program::start(fau3(&["listen", "--url", &url, &room, "--client-id", "../listener", "--save", save]));
    listening.wait_until_it_says("listening");
    listening
}

#[test]
fn names_that_imitate_paths_are_kept_on_disk_and_reach_nothing_beside_it() {
    let passwd = fs::read("/etc/passwd").unwrap();
    let mut node = Node::with(&["clients.storage=disk"]).start();
    let files = undisturbed(&node, || {
        let files = below(node.dir());
        // Each is a client's id and a room's name; the room's hearer confirms nothing.
        for (number, name) in NAMES.iter().enumerate() {
            let mut hearer = Radio::connect(&node, &format!("{name} hears"));
            hearer.subscribe(name);
            let mut speaker = Radio::connect(&node, name);
            let (uuid, message) = speaker.propogate(name, &[number as u8; 100]);
            speaker.send(TEXT, &message);
            assert_eq!(speaker.confirmed(&uuid), 3, "{name}");
            let playlist = hearer.message(PATIENCE).unwrap();
            assert_eq!(playlist["Records"][0]["ClientId"], *name);
        }
        files
    });
    assert_eq!(below(node.dir()), files, "no file more than before");

    // Nothing is lost with the power: each room's hearer gets it.
    node.kill();
    node.start_again();
    undisturbed(&node, || {
        for (number, name) in NAMES.iter().enumerate() {
            let mut hearer = Radio::connect(&node, &format!("{name} hears"));
            let heard = hearer.hear(PATIENCE);
            assert!(
                matches!(&heard, Some(Heard::Voice(_, payload)) if *payload == [number as u8; 100]),
                "{name}"
            );
        }
    });
    assert_eq!(below(node.dir()), files);
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
    assert!(!Path::new("/tmp/fau3-was-here").exists());
}

#[test]
fn what_listen_saves_stays_in_its_folder_whatever_clients_call_themselves() {
    let node = Node::start();
    let dir = TempDir::new("paths");
    let save = dir.path().join("deep/in/here");
    undisturbed(&node, || {
        let room = "../../etc/passwd";
        let listening = listen(&node, room, &save);
        for (number, name) in NAMES.iter().enumerate() {
            let mut speaker = Radio::connect(&node, name);
            let (uuid, message) = speaker.propogate(room, &[number as u8; 38]);
            speaker.send(TEXT, &message);
            assert_eq!(speaker.confirmed(&uuid), 3, "{name}");
        }
        let saved = || fs::read_dir(&save).unwrap().map(|entry| entry.unwrap().path());
        let whole = || saved().filter(|path| path.extension().is_some_and(|end| end == "spx-raw")).count();
        wait_for("all to be saved", PATIENCE, || whole() == NAMES.len());
        let mut payloads: Vec<_> = saved().map(|path| fs::read(path).unwrap()).collect();
        payloads.sort();
        assert!(payloads.iter().enumerate().all(|(number, payload)| *payload == [number as u8; 38]));
        drop(listening);
    });
    let folders = ["deep", "deep/in", "deep/in/here"].map(|folder| dir.path().join(folder));
    let elsewhere: Vec<_> =
        below(dir.path()).into_iter().filter(|path| path.parent() != Some(&save)).collect();
    assert_eq!(elsewhere, folders, "nothing outside of the folder");
}

#[test]
fn a_file_that_is_no_mesh_key_is_refused_with_what_to_do_and_is_left_as_it_is() {
    let dir = TempDir::new("no-key");
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("short"), "abc\n").unwrap();
    fs::write(at("three"), format!("{0}\n{0}\n{0}\n", "ab".repeat(32))).unwrap();
    for (path, wanted) in [
        ("/etc/passwd".to_owned(), "is no mesh key"),
        ("/dev/zero".to_owned(), "larger than 65536 bytes; is that the right file?"),
        (at("."), "Is a directory"),
        (at("short"), "is no mesh key"),
        (at("three"), "more than two keys"),
    ] {
        // Given a router on free ports whose key is some other file,
        let options = [
            format!("mesh.key={path}"),
            "mesh.listen=127.0.0.1:0".to_owned(),
            "mesh.discovery=off".to_owned(),
            "clients.listen=127.0.0.1:0".to_owned(),
            "node.console=".to_owned(),
            format!("node.data_dir={}", at("data")),
            format!("node.identity={}", at("identity.key")),
            format!("node.control={}", at("control.sock")),
        ];
        let mut command = fau3(&["node"]);
        command.args(options.iter().flat_map(|option| ["--set", option]));
        // then it does not start, in particular not with the well-known key,
        let ended = finish(command);
        assert_eq!(ended.status.code(), Some(1), "{ended}");
        // says which file and why, and asks nobody to change the rights of a file that is none of its own.
        assert!(ended.stderr.contains(&path) && ended.stderr.contains(wanted), "{ended}");
        assert!(!ended.stderr.contains("chmod"), "{ended}");
    }
}

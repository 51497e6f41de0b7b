//! What every command owes to people and scripts (DESIGN.md, "Interfaces that
//! people and scripts rely on"): a help with an example, an exit status of 0, 1
//! or 2, and on failure what to do next.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use crate::common::{Finished, Node, Program, TempDir, fau3, finish};

/// The commands that the program's own help lists.
fn commands() -> Vec<String> {
    let help = finish(fau3(&["--help"]));
    assert_eq!(help.status.code(), Some(0), "{help}");
    let (_, listed) = help.stdout.split_once("Commands:\n").unwrap();
    let names =
        listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn run(args: &[&str]) -> Finished {
    finish(fau3(args))
}

/// It ends with this status, and says all of these on standard error.
fn assert_ends(args: &[&str], status: i32, says: &[&str]) {
    let finished = run(args);
    assert_eq!(finished.status.code(), Some(status), "{args:?}: {finished}");
    for text in says {
        assert!(finished.stderr.contains(text), "{args:?} does not say {text:?}: {finished}");
    }
}

#[test]
fn every_command_of_the_design_is_there() {
    let mut known = vec!["node", "talk", "listen", "status", "topology", "check-config", "keys"];
    if cfg!(feature = "demo") {
        known.push("demo");
    }
    assert_eq!(commands(), known);
    // The words of a version are the same in scripts.
    let version = run(&["--version"]);
    assert_eq!(
        (version.status.code(), &*version.stdout),
        (Some(0), concat!("fau3 ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}

#[test]
fn every_command_has_a_full_help_with_an_example_that_it_understands() {
    for command in commands() {
        let help = run(&[&command, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{help}");
        let (about, rest) = help.stdout.split_once("\nUsage: ").unwrap();
        // One line for the list of commands, and a paragraph that says more.
        let mut paragraphs = about.split("\n\n");
        let (first, more) = (paragraphs.next().unwrap(), paragraphs.next().unwrap_or_default());
        assert!(!first.is_empty() && !first.contains('`') && more.len() > 80, "{help}");
        assert!(rest.starts_with(&format!("fau3 {command}")), "{help}");
        assert!(run(&["--help"]).stdout.contains(first), "{first}");
        // Nothing is left without a word.
        let (_, options) = rest.split_once("Options:\n").unwrap();
        assert!(options.lines().filter(|line| line.trim_start().starts_with("--")).count() > 0, "{help}");
        // What its examples show is what it takes.
        let (_, examples) = rest.split_once("Examples:\n").unwrap_or_else(|| panic!("no example: {help}"));
        let mut shown = 0;
        for line in examples.lines().filter(|line| line.contains("fau3 ")) {
            let (_, line) = line.split_once("fau3 ").unwrap();
            let words: Vec<_> = line.split_whitespace().take_while(|word| *word != ">").collect();
            assert_eq!(words[0], command, "{line}");
            // Asked for help, a command reads its other words first, and refuses unknown ones.
            let understood = run(&[&words[..], &["--help"]].concat());
            assert_eq!(understood.status.code(), Some(0), "{line}: {understood}");
            shown += 1;
        }
        assert!(shown > 0, "{help}");
    }
}

#[test]
fn wrong_usage_is_status_2_and_points_to_the_help() {
    assert_ends(&[], 2, &["Usage"]);
    assert_ends(&["nod"], 2, &["node"]);
    for command in commands() {
        assert_ends(&[&command, "--no-such-option"], 2, &["--no-such-option", "--help"]);
    }
    assert_ends(&["node", "--set", "nonsense"], 2, &["nonsense", "SECTION.OPTION=VALUE"]);
    assert_ends(&["node", "--set", "clients.retry_count=often"], 2, &["clients.retry_count", "often"]);
    assert_ends(&["node", "--config", "/no/such/file"], 2, &["/no/such/file"]);
    assert_ends(&["talk", "--room", "hall"], 2, &["FILE"]);
    assert_ends(&["talk", "message.speex"], 2, &["--room"]);
    assert_ends(&["talk", "--room", &"r".repeat(65), "-"], 2, &["1 to 64"]);
    assert_ends(&["listen", "--room", "hall", "--url", "http://a"], 2, &["ws://"]);
    assert_ends(&["topology", "--dot", "--svg"], 2, &["--dot", "--svg"]);
    assert_ends(&["check-config"], 2, &["FILE"]);
    assert_ends(&["keys", "--new-mesh-key", "--show-mesh-key"], 2, &["--show-mesh-key"]);
    assert_ends(&["keys", "--set", "node.identity"], 2, &["node.identity"]);
}

#[test]
fn what_cannot_be_done_is_status_1_and_says_what_to_do() {
    let node = Node::start();
    let dir = TempDir::new("commands");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (bad, key, nobody) = (path("bad"), path("identity.key"), path("nobody.sock"));
    fs::write(&bad, "config clients\n\toption storage 'tape'\n").unwrap();
    fs::write(&key, "no key").unwrap();
    let listen = format!("clients.listen={}", node.address());
    let (identity, broken) = (format!("node.identity={}", path("other.key")), format!("node.identity={key}"));
    let control = format!("node.control={}", path("control.sock"));
    let apart = ["--set", &identity, "--set", &control, "--set", "node.console=", "--set", "mesh.enabled=0"];
    assert_ends(
        &[&["node", "--set", &listen][..], &apart].concat(),
        1,
        &["port is taken", "choose another port"],
    );
    assert!(!dir.path().join("other.key").exists(), "a start by mistake writes nothing");
    assert_ends(&["keys", "--set", &broken], 1, &["is no identity key", "put back a copy"]);
    let no_key = format!("mesh.key={nobody}");
    assert_ends(&["keys", "--show-mesh-key", "--set", &no_key], 1, &[&nobody, "--new-mesh-key"]);
    assert_ends(&["check-config", &bad], 1, &["error: ", ":2:", "tape", "disk", "would not start"]);
    assert_ends(&["check-config", "/no/such/file"], 1, &["/no/such/file"]);
    assert_ends(&["status", "--control", &nobody], 1, &[&nobody, "fau3 node"]);
    assert_ends(&["topology", "--control", &nobody], 1, &[&nobody, "fau3 node"]);
    let missing = path("missing.speex");
    assert_ends(&["talk", "--room", "hall", "--url", &node.url(), &missing], 1, &[&missing]);
    fs::write(&missing, "x").unwrap();
    let nowhere = ["talk", "--room", "hall", "--url", "ws://127.0.0.1:1", "--timeout-s", "1", &missing];
    assert_ends(&nowhere, 1, &["cannot connect to ws://127.0.0.1:1", "fau3 node"]);
    let save = format!("{bad}/below-a-file");
    assert_ends(&["listen", "--room", "hall", "--url", &node.url(), "--save", &save], 1, &[&save]);
}

#[test]
fn what_is_done_is_status_0() {
    let mut node = Node::start();
    let dir = TempDir::new("commands");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (good, message) = (path("good"), path("message.speex"));
    fs::write(&good, "config clients\n\toption storage 'ram'\n").unwrap();
    fs::write(&message, [7; 38]).unwrap();
    let control = node.control().display().to_string();
    let identity = format!("node.identity={}", path("identity.key"));
    let mesh_key = format!("mesh.key={}", path("mesh.key"));
    fs::write(path("mesh.key"), "ab".repeat(32)).unwrap();
    let mut listener =
        Program::start(fau3(&["listen", "--room", "hall", "--url", &node.url(), "--count", "1"]));
    listener.wait_until_it_says("listening in room hall");
    for args in [
        &["status", "--control", &control][..],
        &["status", "--json", "--control", &control],
        &["topology", "--control", &control],
        &["topology", "--dot", "--control", &control],
        &["topology", "--svg", "--control", &control],
        &["topology", "--json", "--control", &control],
        &["check-config", &good],
        &["check-config", "--print", &good],
        &["keys", "--set", &identity],
        &["keys", "--new-mesh-key"],
        &["keys", "--show-mesh-key", "--set", &mesh_key],
        &["talk", "--room", "hall", "--url", &node.url(), &message],
    ] {
        let finished = run(args);
        assert_eq!(finished.status.code(), Some(0), "{args:?}: {finished}");
        assert!(!finished.stdout.is_empty(), "{args:?}: {finished}");
    }
    assert_eq!(listener.finish().status.code(), Some(0));
    assert_eq!(node.terminate().code(), Some(0), "SIGTERM ends a node with status 0");
}

#[test]
fn a_mesh_key_gets_to_another_router_in_one_line() {
    let dir = TempDir::new("commands");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let keys = |file: &str, more: &[&str]| {
        let (key, identity) =
            (format!("mesh.key={}", path(file)), format!("node.identity={}", path("identity")));
        let asked = run(&[&["keys", "--set", &key, "--set", &identity][..], more].concat());
        assert_eq!(asked.status.code(), Some(0), "{asked}");
        asked.stdout
    };
    // Given a key in its file, which nothing shows by itself
    fs::write(path("here"), run(&["keys", "--new-mesh-key"]).stdout).unwrap();
    let line = keys("here", &["--show-mesh-key"]);
    assert_eq!((line.len(), line.lines().count()), (65, 1));
    assert!(!keys("here", &[]).contains(line.trim()));
    // when its line is pasted into another one, then both are one mesh.
    fs::write(path("there"), &line).unwrap();
    let fingerprint = |file: &str| {
        let shown = keys(file, &[]);
        shown.lines().find(|line| line.starts_with("fingerprint")).unwrap().to_owned()
    };
    assert_eq!(fingerprint("here"), fingerprint("there"));
}

#[test]
fn a_node_that_cannot_say_how_it_is_makes_status_fail() {
    // Given something that answers on the socket as an overloaded node does
    let dir = TempDir::new("commands");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut asked, _) = listener.accept().unwrap();
            let mut question = [0; 7];
            asked.read_exact(&mut question).unwrap();
            assert_eq!(&question, b"status\n");
            asked.write_all(b"{\"error\":\"the router is going down\"}\n").unwrap();
        }
    });
    // then the command fails, and says so in its words, for people and scripts.
    let control = path.display().to_string();
    for args in [&["status", "--control", &control][..], &["status", "--json", "--control", &control]] {
        let finished = run(args);
        assert_eq!(finished.status.code(), Some(1), "{finished}");
        assert!(finished.stderr.contains("the router is going down"), "{finished}");
        assert_eq!(finished.stdout, "");
    }
    answering.join().unwrap();
}

#[test]
fn what_cannot_be_written_is_no_success_and_no_panic() {
    let dir = TempDir::new("commands");
    let file = dir.path().join("fau3");
    fs::write(&file, "config node 'node'\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [&["keys", "--new-mesh-key"][..], &["check-config", file], &["check-config", "--print", file]]
    {
        // When: standard output goes into a full disk. Then: that is said.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = fau3(args).stdout(full).stderr(std::process::Stdio::piped()).output().unwrap();
        let says = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {says}");
        assert!(says.contains("cannot write to standard output: No space left"), "{args:?}: {says}");
    }
}

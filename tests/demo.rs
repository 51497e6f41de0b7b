//! `fau3 demo` as a whole: what it says is true, and nothing of it stays,
//! however it ends.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use crate::common::{Program, TempDir, fau3, finish, readme, wait_for};

/// The demonstration with a folder of its own for what it makes.
fn demo(arguments: &[&str], dir: &TempDir) -> Program {
    let mut command = fau3(&["demo"]);
    command.args(arguments).env("TMPDIR", dir.path());
    Program::start(command)
}

/// The ids of processes that were started with something in this folder.
fn processes_of(dir: &TempDir) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let folder = dir.path().to_str().unwrap();
    let mentions = |id: &u32| {
        // One that has just ended mentions nothing any more.
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    };
    ids.filter(mentions).collect()
}

/// No router, no folder.
fn assert_nothing_is_left(dir: &TempDir) {
    assert!(processes_of(dir).is_empty(), "routers still run: {:?}", processes_of(dir));
    assert!(dir.files().is_empty(), "files are left: {:?}", dir.files());
}

/// With numbers and routers made alike, since they differ from run to run.
fn pattern(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.strip_prefix("router-") {
        Some(rest) => format!("router-?{}", &rest[1..]),
        None if word.starts_with(|char: char| char.is_ascii_digit()) => "#".to_owned(),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    // Given the demonstration where nobody watches,
    let dir = TempDir::new("demo");
    // when it has been played,
    let played = demo(&["--quick"], &dir).finish();
    // then it ends well, tells each act, and what came of it,
    assert!(played.status.success() && played.stderr.is_empty(), "{played}");
    for act in 1..=5 {
        assert!(played.stdout.contains(&format!(" s  {act}. ")), "{act}: {played}");
    }
    for wanted in ["Nothing lost, nothing doubled: Anna said ", " took over after ", " is back, with all "] {
        assert!(played.stdout.contains(wanted), "{wanted}: {played}");
    }
    // without steering a terminal that is not there, and nothing of it stays.
    assert!(!played.stdout.contains('\x1b'), "{played}");
    assert_nothing_is_left(&dir);
    // The pages have the command, and end its example with the same words.
    assert!(readme::arguments_of("fau3", &[]).contains(&vec!["demo".to_owned()]));
    let summary = played.stdout.rsplit("\n\n").next().unwrap();
    let shown = readme::blocks("text").iter().any(|block| pattern(block).ends_with(&pattern(summary)));
    assert!(shown, "no page shows this end:\n{summary}");
}

#[test]
fn whoever_interrupts_it_finds_nothing_left() {
    for (signal, moment) in [("INT", "1. Three"), ("TERM", "2. Anna"), ("HUP", "is killed")] {
        // Given a demonstration under way, with three routers,
        let dir = TempDir::new("demo-signal");
        let mut program = demo(&["--quick"], &dir);
        program.wait_until_it_says(moment);
        wait_for("routers", Duration::from_secs(5), || processes_of(&dir).len() >= 2);
        // when it is interrupted, then it says so, and leaves nothing.
        program.signal(signal);
        let ended = program.finish();
        assert_eq!(ended.status.code(), Some(1), "{ended}");
        assert!(ended.stderr.contains("interrupted"), "{ended}");
        assert_nothing_is_left(&dir);
    }
}

#[test]
fn its_routers_end_with_it_even_if_it_is_killed() {
    // Given a demonstration with its three routers,
    let dir = TempDir::new("demo-killed");
    let mut program = demo(&["--quick"], &dir);
    program.wait_until_it_says("2. Anna");
    assert_eq!(processes_of(&dir).len(), 3);
    // when it is killed, and cannot end them, then they end by themselves.
    program.kill();
    wait_for("the routers' end", Duration::from_secs(5), || processes_of(&dir).is_empty());
}

#[test]
fn a_router_that_ends_by_itself_is_told_and_the_logs_are_kept() {
    // Given a demonstration whose routers have just started,
    let dir = TempDir::new("demo-failed");
    let mut program = demo(&["--quick"], &dir);
    program.wait_until_it_says("2. Anna");
    // when somebody else kills one of them,
    let router = processes_of(&dir)[0].to_string();
    assert!(std::process::Command::new("kill").args(["-9", &router]).status().unwrap().success());
    // then it does not end well, and says which one and where to look;
    let ended = program.finish();
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("has ended by itself"), "{ended}");
    let folder = ended.stderr.trim().rsplit("the routers' logs are kept in ").next().unwrap();
    let log = std::fs::read_to_string(Path::new(folder).join("router-a.log")).unwrap();
    assert!(log.contains("serving clients"), "{log}");
    // no router runs any more.
    assert!(processes_of(&dir).is_empty());
}

#[test]
fn kept_routers_serve_guests_until_ctrl_c() {
    // Given a demonstration that leaves its routers running,
    let dir = TempDir::new("demo-keep");
    let mut program = demo(&["--quick", "--keep"], &dir);
    program.wait_until_it_says("message.speex\n");
    // when a guest speaks, by the line that it has printed,
    let said = program.stdout();
    let line = said.lines().find(|line| line.contains("fau3 talk ")).unwrap();
    let arguments: Vec<_> = line.split_whitespace().skip(1).collect();
    let mut command = fau3(&arguments[..arguments.len() - 1]);
    let talked = finish({
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/voice/voice.speex"));
        command
    });
    assert!(talked.status.success(), "{talked}");
    // then all three listeners hear it, at all three routers,
    for name in ["Ben", "Cleo", "Dora"] {
        program.wait_until_it_says(&format!("{name} has heard a guest"));
    }
    // and Ctrl-C is a good end.
    program.signal("INT");
    let ended = program.finish();
    assert!(ended.status.success(), "{ended}");
    assert_nothing_is_left(&dir);
}

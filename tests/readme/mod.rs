//! The pages for people keep their word: each command in them is run as it is
//! printed ([`played`]), or stands in the list of those that are not, with the
//! reason; each link, anchor, file, option and test that is named is there.
//! The simulator's commands are checked in `sim/tests/readme.rs`.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod links;
mod options;
mod played;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::common::readme::{PAGES, arguments_of, blocks, command_lines, words_of};
use crate::common::{Node, Program, TempDir, fau3, finish};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Who opens the README reads no more than this.
const README_LINES_MAX: usize = 200;

/// The pages' one command `fau3 NAME ...`, where there are several the first.
fn command(name: &str) -> Vec<String> {
    let found = arguments_of("fau3", &[]).into_iter().find(|arguments| arguments[0] == name);
    found.unwrap_or_else(|| panic!("no page has a command fau3 {name}"))
}

fn run(arguments: &[String], more: &[&str]) -> std::process::Command {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let mut command = fau3(&arguments);
    command.current_dir(ROOT);
    command
}

#[test]
fn each_command_is_understood() {
    let mut all = arguments_of("fau3", &[]);
    assert!(all.len() >= 15, "the pages' commands are not found: {all:?}");
    // What is typed on a router is not run here, but read.
    let on_router = blocks("text").join("").lines().map(words_of).collect::<Vec<_>>();
    let on_router = on_router.into_iter().filter(|words| words.first().is_some_and(|word| word == "fau3"));
    let on_router: Vec<_> = on_router.filter(|words| !words.contains(&"demo:".to_owned())).collect();
    assert!(on_router.len() >= 5, "the router's commands are not found: {on_router:?}");
    all.extend(on_router.into_iter().map(|words| words[1..].to_vec()));
    for arguments in all {
        // What stands before --help is read first, and refused if it is wrong.
        let helped = finish(run(&arguments, &["--help"]));
        assert!(helped.status.success(), "fau3 {}\n{helped}", arguments.join(" "));
    }
    let wrong = finish(fau3(&["node", "--no-such-option", "--help"]));
    assert_eq!(wrong.status.code(), Some(2), "this test could not fail: {wrong}");
}

#[test]
fn the_first_conversation_goes_as_shown() {
    // Given the README's node, on a port of its own
    assert_eq!(command("node"), ["node"], "the first command needs no arguments");
    let node = Node::start();
    let url = node.url();
    let mut listener = Program::start(run(&command("listen"), &["--url", &url]));
    listener.wait_until_it_says("listening in room hall as ");

    // When the README's message is said
    let talked = finish(run(&command("talk"), &["--url", &url]));

    // Then both terminals show what the README shows
    assert!(talked.status.success(), "{talked}");
    assert!(blocks("text").contains(&talked.stdout), "no page shows this answer:\n{talked}");
    listener.wait_until_it_says(" s\n");
    let heard = listener.stdout();
    let without_time_and_id = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
    let shown = blocks("text").iter().any(|block| without_time_and_id(block) == without_time_and_id(&heard));
    assert!(shown, "no page shows this line:\n{heard}");

    // And the node can be looked at and ends well
    let control = node.control();
    let status = finish(run(&command("status"), &["--control", control.to_str().unwrap()]));
    assert!(status.status.success(), "{status}");
    let heads = ["name ", "records ", "ROUTER ", "CLIENT ", "ROOM "];
    for head in heads {
        let has = |text: &str| text.lines().any(|line| line.starts_with(head));
        assert!(has(&status.stdout) && blocks("text").iter().any(|block| has(block)), "{head}\n{status}");
    }
    let mut node = node;
    assert!(node.terminate().success());
}

#[test]
fn the_configurations_are_good() {
    let checked = finish(run(&command("check-config"), &[]));
    assert!(checked.status.success(), "{checked}");
    assert!(blocks("text").contains(&checked.stdout), "no page shows this answer:\n{checked}");
    let dir = TempDir::new("readme");
    let examples: Vec<_> = blocks("").into_iter().filter(|block| block.starts_with("config ")).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let path = dir.path().join("fau3");
        std::fs::write(&path, &example).unwrap();
        let checked = finish(fau3(&["check-config", path.to_str().unwrap()]));
        assert!(checked.status.success() && checked.stdout.contains(" 0 warnings"), "{example}\n{checked}");
    }
}

#[test]
fn what_cargo_is_asked_for_exists() {
    let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let mut asked = 0;
    let lines = command_lines();
    for command in lines.iter().map(|line| words_of(line)).filter(|words| words[0] == "cargo") {
        let words = command.iter().take_while(|word| *word != "--");
        for (option, value) in words.clone().zip(words.skip(1)) {
            let wanted = match option.as_str() {
                "--profile" => format!("[profile.{value}]"),
                "--bench" => format!("[[bench]]\nname = \"{value}\""),
                "--features" => format!("\n{value} = ["),
                "--test" => format!("[[test]]\nname = \"{value}\""),
                _ => continue,
            };
            assert!(manifest.contains(&wanted), "{}: no {wanted}", command.join(" "));
            asked += 1;
        }
    }
    assert!(asked >= 5, "the pages' options for cargo are not found");
}

#[test]
fn the_readme_is_short_and_each_page_says_first_what_it_is_for() {
    for (name, page) in PAGES {
        if *name == "README.md" {
            let lines = page.lines().count();
            assert!(lines <= README_LINES_MAX, "{lines} lines in the README: move some to docs/");
            continue;
        }
        let first = page.split("\n\n").nth(1).unwrap_or_default();
        assert!(
            ["This page ", "Where to read on"].iter().any(|start| first.starts_with(start)),
            "{name} does not begin with what it is for: {first}"
        );
    }
}

#[test]
fn each_test_in_the_table_of_rules_exists() {
    let table = std::fs::read_to_string(Path::new(ROOT).join("src/router/tests/mod.rs")).unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("//! | ")).skip(1).collect();
    assert!(rows.len() >= 50, "the table is not found");
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        sources_below(&Path::new(ROOT).join(folder), &mut sources);
    }
    let known: BTreeSet<_> = sources.iter().flat_map(|text| names_of_tests(text)).collect();
    for row in rows {
        let named = row.rsplit('|').nth(1).unwrap();
        let named: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        // A place (`wire::names`, `tests/voice.rs`, `limits`), then its tests.
        let tests = named.iter().map(|name| name.rsplit("::").next().unwrap());
        let (tests, _): (Vec<_>, Vec<_>) = tests.partition(|name| name.matches('_').count() >= 2);
        assert!(!named.is_empty() && (!tests.is_empty() || row.contains("all of `")), "no test: {row}");
        let missing: Vec<_> = tests.iter().filter(|name| !known.contains(**name)).collect();
        assert!(missing.is_empty(), "no such test: {missing:?} in\n{row}");
    }
}

fn sources_below(folder: &Path, sources: &mut Vec<String>) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources_below(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names of functions that stand below `#[test]`.
fn names_of_tests(source: &str) -> Vec<&str> {
    let bodies = source.split("#[test]").skip(1);
    bodies.filter_map(|body| body.split("fn ").nth(1)?.split('(').next()).collect()
}

//! The simulator's commands as the pages show them.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../../tests/common/readme.rs"]
mod readme;

use std::process::{Command, Output};

/// Commands that nobody runs as they are printed, and why. Their arguments are checked
/// all the same.
const NOT_RUN: [(&str, &str); 1] = [("report", "minutes; tests of its parts run it on fewer seeds")];

fn fau3_sim(arguments: &[String], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fau3-sim")).args(arguments).args(more).output().unwrap()
}

#[test]
fn each_command_of_the_pages_is_understood() {
    let all = readme::arguments_of("fau3-sim", &["-p", "fau3-sim"]);
    assert!(all.len() >= 6, "the pages' commands are not found: {all:?}");
    for arguments in all {
        // What stands before --help is read first, and refused if it is wrong.
        let helped = fau3_sim(&arguments, &["--help"]);
        let said = String::from_utf8_lossy(&helped.stderr);
        assert!(helped.status.success(), "fau3-sim {}: {said}", arguments.join(" "));
    }
    let wrong = fau3_sim(&["sweep".into(), "--seeds".into(), "9..3".into()], &["--help"]);
    assert_eq!(wrong.status.code(), Some(2), "this test could not fail");
}

#[test]
fn each_command_of_the_pages_is_run_somewhere() {
    let ci = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/run")).unwrap();
    let run: Vec<_> = ci.lines().filter_map(|line| Some(line.rsplit_once(" simulator ")?.1)).collect();
    assert!(run.len() >= 5, "the phases of .ci/run are not found");
    for arguments in readme::arguments_of("fau3-sim", &["-p", "fau3-sim"]) {
        let line = arguments.join(" ");
        // The picture's command is run below.
        let here = arguments[0] == "replay";
        let known = NOT_RUN.iter().any(|(command, _)| *command == line);
        assert!(here || known || run.contains(&line.as_str()), "nobody runs fau3-sim {line}");
    }
}

#[test]
fn the_picture_of_a_partition_is_what_its_command_draws() {
    let all = readme::arguments_of("fau3-sim", &["-p", "fau3-sim"]);
    let mut replay = all.into_iter().find(|arguments| arguments[0] == "replay").unwrap();
    let at = replay.iter().position(|argument| argument == "--svg").unwrap() + 1;
    let shown = std::fs::read_to_string(format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), replay[at])).unwrap();
    let file = std::env::temp_dir().join(format!("fau3-sim-readme-{}.svg", std::process::id()));
    replay[at] = file.to_str().unwrap().to_owned();
    let replayed = fau3_sim(&replay, &[]);
    let drawn = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(drawn, shown, "make the picture again with the command of docs/election.md");

    // And the lines of the timeline that the page shows are those of the run.
    let timeline = String::from_utf8_lossy(&replayed.stdout);
    let excerpt = readme::blocks("text").into_iter().find(|block| block.contains("+++ cut")).unwrap();
    for line in excerpt.lines() {
        assert!(timeline.lines().any(|event| event == line), "not in the run: {line}");
    }
}

//! The commands as people and scripts meet them: exit status and output.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

fn fau3_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fau3-sim")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = ["run", "sweep", "replay", "topologies", "check", "mutants", "report", "hashes"];
    for command in commands {
        let help = fau3_sim(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help).contains(&format!("Example: fau3-sim {command}")), "{command}");
    }
    for command in ["run", "sweep", "outages", "replay", "mutants"] {
        let help = fau3_sim(&["mesh", command, "--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help).contains(&format!("Example: fau3-sim mesh {command}")), "{command}");
    }
}

#[test]
fn wrong_usage_is_said_and_ends_with_2() {
    let none = ["mesh", "mutants", "--seeds", "0"];
    for arguments in
        [&["sweep", "--seeds", "9..3"][..], &["run"], &["dance"], &["run", "--seed", "x"], &none, &none[1..]]
    {
        let output = fau3_sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_run_prints_its_timeline_and_its_hash() {
    let (run, hashes) = (fau3_sim(&["run", "--seed", "0"]), fau3_sim(&["hashes", "--count", "1"]));
    assert_eq!(run.status.code(), Some(0));
    let hash = text(&hashes).split_whitespace().nth(1).map(String::from).unwrap();
    assert!(text(&run).contains(&format!("trace hash {hash}")));
    assert!(text(&run).contains("LEADS"));
}

#[test]
fn a_replay_draws_one_lane_a_router() {
    let file = std::env::temp_dir().join(format!("fau3-sim-{}.svg", std::process::id()));
    let replay = fau3_sim(&["replay", "--seed", "0", "--svg", file.to_str().unwrap()]);
    assert_eq!(replay.status.code(), Some(0));
    let drawn = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
    assert!((0..5).all(|router| drawn.contains(&format!(">r{router}</text>"))));
}

#[test]
fn a_picture_that_cannot_be_written_is_a_failure_with_a_hint() {
    let replay = fau3_sim(&["replay", "--seed", "0", "--svg", "/no/such/folder/run.svg"]);
    assert_eq!(replay.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&replay.stderr).contains("name a file in a folder that exists"));
}

#[test]
fn a_run_of_whole_routers_says_what_was_said_and_heard() {
    let run = fau3_sim(&["mesh", "run", "--seed", "0"]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run));
    for word in ["subscribes to room", "confirms 0", "hears 0 of", "trace hash", "no rule broken"] {
        assert!(text(&run).contains(word), "{word}");
    }
}

#[test]
fn a_small_sweep_counts_what_happened() {
    let sweep = fau3_sim(&["sweep", "--seeds", "0..4"]);
    assert_eq!(sweep.status.code(), Some(0), "{}", text(&sweep));
    assert!(text(&sweep).contains("4 runs") && text(&sweep).contains("take-overs"));
}

#[test]
fn whoever_closes_the_output_has_seen_enough_and_a_full_disk_is_an_error() {
    let run = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fau3-sim"));
        command.args(["mesh", "run", "--seed", "0"]).stdout(stdout).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut closed = run(Stdio::piped());
    drop(closed.stdout.take());
    let ended = closed.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(141), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = run(full.into()).wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("cannot write to standard output"), "{said}");
}

#[test]
fn the_last_seeds_there_are_can_be_swept_and_a_picture_ends_where_its_run_does() {
    let sweep = fau3_sim(&["sweep", "--seeds", "18446744073709551614..18446744073709551615"]);
    assert_eq!(sweep.status.code(), Some(0), "{}", String::from_utf8_lossy(&sweep.stderr));
    let file = std::env::temp_dir().join(format!("fau3-sim-end-{}.svg", std::process::id()));
    let draw = |from: &str, until: &str| {
        let svg = file.to_str().unwrap();
        fau3_sim(&["replay", "--seed", "0", "--svg", svg, "--from", from, "--until", until]).status.code()
    };
    assert_eq!(draw("0", "18446744073709551615"), Some(0));
    assert!(std::fs::metadata(&file).unwrap().len() < 5_000_000);
    std::fs::remove_file(&file).unwrap();
    assert_eq!((draw("99999999", "999999999"), draw("20", "10")), (Some(1), Some(1)));
    assert!(!file.exists());
}

//! What the pages for people and the table of rules say is there. Every command in a
//! block marked `sh` is run as printed (`played`), or stands here in a list with the
//! reason, and as much of it is checked as can be. Every link, anchor, file, test and
//! option that is named exists. The simulator's commands are checked in
//! `sim/tests/readme.rs`.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod named;
mod played;

use std::collections::BTreeMap;
use std::process::Command;

use crate::common::readme::{
    CommandLine, arguments_of, blocks, command_lines, page, program_arguments, root, simple_commands,
};
use crate::common::{TempDir, fau3, finish};

/// Lines of a README.
const README_LINES_MAX: usize = 200;

/// Lines that no test runs, and why.
const NOT_RUN: [(&str, &str); 22] = [
    ("cargo test --workspace", "it is what runs this; .ci/run does"),
    ("cargo test --test program config::", "the same, of one file"),
    ("cargo fmt --all", ".ci/run does"),
    ("cargo clippy --workspace --all-targets -- -D warnings", ".ci/run does"),
    (".ci/run", "it is what runs this"),
    ("cargo build --profile router --no-default-features --features net", "takes minutes"),
    ("cargo bench --bench router", "takes minutes; .ci/run does it with --quick"),
    ("cargo bench --bench mesh", "takes twenty minutes, and keepalived"),
    ("cargo bench --bench soak -- --quick", ".ci/run does"),
    (
        "cargo bench --bench upstream -- --only outages --minutes 60 --picture benches/upstream/outages.svg",
        "takes an hour",
    ),
    (
        "cargo bench --bench router -- --only fan-out --fau3 target/openwrt/bin/x86_64/fau3",
        "wants what openwrt/build.sh has built",
    ),
    (
        "apt-get install gcc libc6-dev iproute2 nftables python3 python3-websockets libspeex1 procps mount util-linux curl \
         busybox shellcheck chromium",
        "changes the machine; .ci/run does",
    ),
    (
        "unshare --user --map-root-user --mount --net sh -c 'mount -t tmpfs run /run && ip link set lo up && cargo test --workspace'",
        "runs all tests; .ci/run does where nobody is root",
    ),
    ("openwrt/build.sh mipsel", "takes half an hour"),
    ("openwrt/build.sh --sim aarch64 mips", "takes an hour; .ci/run does"),
    ("openwrt/build.sh --sim all", "takes hours"),
    ("openwrt/build.sh --no-packages x86_64", "takes half an hour"),
    ("CARGO_PROFILE_ROUTER_OPT_LEVEL=3 openwrt/build.sh --no-packages x86_64", "takes half an hour"),
    ("openwrt/build-twice.sh /tmp/twice x86_64", "takes an hour"),
    ("python3 -m unittest discover -s openwrt/tests", "wants what openwrt/build.sh has built; .ci/run does"),
    ("echo \"src-link fau3 /path/to/this/openwrt\" >> feeds.conf", "wants OpenWrt's SDK"),
    ("./scripts/feeds update -a && ./scripts/feeds install fau3", "wants OpenWrt's SDK"),
];

/// Programs of OpenWrt's page that only a router has, or that reach one, and its SDK's.
const ON_A_ROUTER: [&str; 11] =
    ["apk", "echo", "fau3", "make", "opkg", "reload_config", "scp", "service", "ssh", "uci", "umask"];

/// Whether a line is for a router or for OpenWrt's SDK.
fn is_for_a_router(command: &CommandLine) -> bool {
    let is_of_openwrt = ["openwrt/README.md", "docs/openwrt.md"].contains(&&*command.page);
    let programs = simple_commands(&command.line).into_iter().map(|words| words[0].clone());
    is_of_openwrt && programs.into_iter().all(|program| ON_A_ROUTER.contains(&&*program))
}

fn reason_not_to_run(line: &str) -> Option<&'static str> {
    NOT_RUN.iter().find(|(known, _)| *known == line).map(|(_, why)| *why)
}

/// Whether a line is run as printed: neither in a list, nor the simulator's.
fn is_played(command: &CommandLine) -> bool {
    let is_simulators =
        simple_commands(&command.line).iter().any(|it| program_arguments(it, "fau3-sim").is_some());
    reason_not_to_run(&command.line).is_none() && !is_for_a_router(command) && !is_simulators
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").text.lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines: what is for few readers goes to docs/");
}

#[test]
fn each_command_is_understood() {
    let all = arguments_of("fau3");
    assert!(all.len() >= 20, "the pages' commands are not found: {all:?}");
    for arguments in all {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        // What stands before --help is read first, and refused if it is wrong.
        let helped = finish(fau3(&[&arguments[..], &["--help"]].concat()));
        assert!(helped.status.success(), "fau3 {}\n{helped}", arguments.join(" "));
    }
    let wrong = finish(fau3(&["node", "--no-such-option", "--help"]));
    assert_eq!(wrong.status.code(), Some(2), "this test could not fail: {wrong}");
}

#[test]
fn each_line_is_good_shell() {
    let lines = command_lines();
    for CommandLine { page, line } in &lines {
        let read = finish({
            let mut shell = Command::new("sh");
            shell.args(["-n", "-c", line]);
            shell
        });
        assert!(read.status.success(), "{page}: {line}\n{read}");
    }
    // Whoever takes a line out of the pages takes it out of the list.
    for (listed, _) in NOT_RUN {
        assert!(lines.iter().any(|command| command.line == listed), "no page has: {listed}");
    }
}

#[test]
fn what_is_not_run_is_there_as_far_as_can_be_seen() {
    for CommandLine { line, .. } in command_lines().iter().filter(|it| reason_not_to_run(&it.line).is_some())
    {
        for words in simple_commands(line) {
            let words: Vec<_> =
                words.iter().map(String::as_str).skip_while(|word| word.contains('=')).collect();
            match words[..] {
                ["cargo", ..] => cargo_has(&words),
                ["apt-get", "install", ref packages @ ..] => ci_has(packages),
                ["python3", .., folder] => assert!(root().join(folder).is_dir(), "{line}"),
                [script, ref arguments @ ..] if script.contains(".sh") => script_has(script, arguments),
                [".ci/run"] => assert!(root().join(".ci/run").exists()),
                ["echo" | "./scripts/feeds" | "unshare", ..] => {}
                _ => panic!("not known, so not checked: {line}"),
            }
        }
    }
}

/// What cargo is asked for by name is in the manifest, and a bench's options in its source.
fn cargo_has(words: &[&str]) {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let at = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let mut bench = None;
    for pair in words[..at].windows(2) {
        let [option, value] = pair else { unreachable!() };
        let wanted = match *option {
            "--profile" => format!("[profile.{value}]"),
            "--bench" => format!("[[bench]]\nname = \"{value}\""),
            "--test" => format!("[[test]]\nname = \"{value}\""),
            "--features" => format!("\n{value} = ["),
            _ => continue,
        };
        assert!(manifest.contains(&wanted), "{words:?}: no {wanted}");
        bench = bench.or((*option == "--bench").then_some(*value));
    }
    let Some(bench) = bench else { return };
    let sources: String = ["benches/common".to_owned(), format!("benches/{bench}")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap())
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    for option in words[at..].iter().filter(|word| word.len() > 2 && word.starts_with("--")) {
        assert!(sources.contains(&format!("\"{option}\"")), "{words:?}: benches/{bench} has no {option}");
    }
}

/// What is to be installed is what `.ci/run` installs.
fn ci_has(packages: &[&str]) {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let list = ci.split("packages=(").nth(1).unwrap().split(')').next().unwrap();
    for package in packages {
        assert!(list.split_whitespace().any(|it| it == *package), ".ci/run does not install {package}");
    }
}

/// Each of a script's arguments is one of which its usage tells.
fn script_has(script: &str, arguments: &[&str]) {
    let usage = finish({
        let mut command = Command::new(root().join(script));
        command.arg("--help");
        command
    });
    let told = usage.stdout.clone() + &usage.stderr;
    assert!(told.contains(&format!("usage: {script}")), "{script} --help\n{usage}");
    for argument in arguments.iter().filter(|it| !it.starts_with('/') && told.contains("TARGET  ")) {
        assert!(told.contains(argument), "{script} has no {argument}\n{usage}");
    }
}

#[test]
fn what_is_for_a_router_names_options_that_there_are() {
    let mut options = 0;
    for command in command_lines().iter().filter(|it| is_for_a_router(it)) {
        for words in simple_commands(&command.line).iter().filter(|words| words[0] == "uci") {
            // uci set fau3.SECTION.OPTION=VALUE, and add_list alike.
            let Some(option) = words.last().and_then(|last| last.strip_prefix("fau3.")) else { continue };
            if option.split('=').next().unwrap().contains('.') {
                let dir = TempDir::new("readme-uci");
                let node = finish({
                    let mut node = fau3(&["keys", "--set", option]);
                    node.env("HOME", dir.path()).env_remove("XDG_STATE_HOME");
                    node
                });
                assert!(node.status.success(), "{}: {node}", command.line);
                options += 1;
            }
        }
    }
    assert!(options >= 2, "the options of OpenWrt's page are not found");
}

#[test]
fn the_configurations_are_good() {
    let dir = TempDir::new("readme");
    let examples: Vec<_> = blocks("").into_iter().filter(|block| block.starts_with("config ")).collect();
    assert!(examples.len() >= 3, "the pages' examples are not found");
    for example in examples {
        let path = dir.path().join("fau3");
        std::fs::write(&path, &example).unwrap();
        let checked = finish(fau3(&["check-config", path.to_str().unwrap()]));
        assert!(checked.status.success() && checked.stdout.contains(" 0 warnings"), "{example}\n{checked}");
    }
}

#[test]
fn every_option_is_told_with_its_default_and_its_range() {
    // Given all options, and what an empty file means,
    let dir = TempDir::new("readme-options");
    let file = dir.path().join("fau3");
    std::fs::write(&file, "").unwrap();
    let printed = finish(fau3(&["check-config", "--print", file.to_str().unwrap()]));
    assert!(printed.status.success(), "{printed}");
    let mut defaults = BTreeMap::new();
    let mut section = "";
    for line in printed.stdout.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["config", name, ..] => section = name,
            ["option" | "list", option, value] => {
                defaults.insert(format!("{section}.{option}"), value.trim_matches('\'').to_owned());
            }
            _ => {}
        }
    }
    // then the page has a row for each, with both.
    let page = page("docs/configuration.md").text;
    let mut told = 0;
    for section in fau3::config::SECTIONS {
        for option in section.options {
            let name = format!("{}.{}", section.name, option.name);
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let cells: Vec<_> =
                row.unwrap_or_else(|| panic!("no row for {name}")).split('|').map(str::trim).collect();
            // The host's name, and a file that a service's folder decides, differ by machine.
            if let Some(default) =
                defaults.get(&name).filter(|_| !["node.name", "clients.hosts_file"].contains(&&*name))
            {
                assert_eq!(cells[2], format!("`{default}`"), "the default of {name}");
            } else if !defaults.contains_key(&name) {
                assert_eq!(cells[2], "none", "the default of {name}");
            }
            let expected = (option.expected)();
            if let Some(range) = expected.strip_prefix("a whole number from ") {
                assert_eq!(cells[3], range, "the range of {name}");
            }
            let when = if option.reload == fau3::config::Reload::Live { "live" } else { "start" };
            assert_eq!(cells[4], when, "when {name} takes effect");
            told += 1;
        }
    }
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.split('|').count() == 7).count();
    assert_eq!(rows, told, "the page tells of options that are not there");
}

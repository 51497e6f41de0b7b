//! Each command is run in a shell as it is printed, in the order of its page: on a
//! host of its own network that is called `router-a`, by somebody with an empty home.
//! What a page shows as its output has to be printed, but for numbers.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::ROOT;
use crate::common::readme::{PAGES, Piece, blocks, command_lines, pieces, words_of};
use crate::common::{Net, Program, TempDir, finish};

/// What is shown has to come within this.
const PATIENCE: Duration = Duration::from_secs(40);

/// Lines that begin so are not run here, and why; what is checked of each is in
/// [`checked_without_running`].
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo test ", "this test is part of what it runs"),
    ("unshare ", "it runs all tests, in namespaces"),
    ("cargo run --release -p fau3-sim ", "sim/tests/readme.rs has the simulator"),
    ("cargo bench ", "minutes up to an hour; .ci/run runs the quick ones"),
    ("cargo build ", "minutes; .ci/run builds so for routers"),
    ("cargo fmt ", "a phase of .ci/run"),
    ("cargo clippy ", "a phase of .ci/run"),
    (".ci/run", "it runs all of this and more"),
    ("apt-get ", "it changes the machine"),
    ("openwrt/build", "minutes and downloads; .ci/run has it"),
    ("CARGO_PROFILE_ROUTER_OPT_LEVEL=3 openwrt/build.sh ", "the same"),
    ("python3 -m unittest ", "it wants what openwrt/build.sh makes; .ci/run has it"),
    ("target/debug/fau3 demo", "tests/demo.rs plays it"),
];

/// Pages that begin where another one has ended, and what was run there.
const BEFORE: &[(&str, &[&str])] = &[(
    "docs/watching.md",
    &[
        "cargo run -- node",
        "target/debug/fau3 listen --room hall",
        "target/debug/fau3 talk --room hall tests/fixtures/voice/voice.speex",
    ],
)];

fn is_run(line: &str) -> bool {
    !NOT_RUN.iter().any(|(start, _)| line.starts_with(start))
}

/// A line goes on until it is ended, and says this once it is there.
fn goes_on(line: &str) -> Option<&'static str> {
    let words = words_of(line);
    let is = |name: &str| words.iter().any(|word| word == name);
    if is("node") { Some("serving clients on ") } else { is("listen").then_some("listening in room ") }
}

/// A line of output without what differs from run to run: numbers, ids, which of
/// two routers it is.
fn pattern(line: &str) -> String {
    let line = line.replace(", this one", "");
    let words = line.split_whitespace().map(|word| match word {
        _ if word.starts_with("router-a") => "ROUTER",
        _ if word.contains(|letter: char| letter.is_ascii_digit()) => "#",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Somebody who reads a page and types what stands there.
struct Reader {
    net: Net,
    folder: TempDir,
    /// What runs beside, since which heading.
    running: Vec<(usize, Program)>,
    /// What has been printed since the last heading by what has ended.
    printed: String,
    headings: usize,
    last: String,
}

impl Reader {
    /// `None` where there are no networks, which has been said.
    fn new() -> Option<Self> {
        let net = Net::new(1)?;
        let folder = TempDir::new("pages");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("target/debug")).unwrap();
        symlink(env!("CARGO_BIN_EXE_fau3"), at("target/debug/fau3")).unwrap();
        for name in ["tests", "openwrt", "sim"] {
            symlink(Path::new(ROOT).join(name), at(name)).unwrap();
        }
        std::fs::create_dir_all(at("home")).unwrap();
        std::fs::create_dir_all(at("bin")).unwrap();
        // What it would build is built: these tests are.
        let cargo = "#!/bin/sh\n[ \"$1 $2\" = 'run --' ] || exit 3\nshift 2\nexec target/debug/fau3 \"$@\"\n";
        std::fs::write(at("bin/cargo"), cargo).unwrap();
        std::fs::set_permissions(at("bin/cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (running, printed, last) = (Vec::new(), String::new(), String::new());
        Some(Self { net, folder, running, printed, headings: 0, last })
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = self.net.command(0, "unshare");
        let named = "echo router-a > /proc/sys/kernel/hostname; exec sh -c \"$1\"";
        command.args(["--uts", "sh", "-c", named, "sh", line]);
        let path = format!("{}/bin:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        command
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("HOME", self.folder.path().join("home"));
        for name in ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command
    }

    fn types(&mut self, line: &str) {
        line.clone_into(&mut self.last);
        let Some(says) = goes_on(line) else {
            let finished = finish(self.shell(line));
            assert!(finished.status.success(), "{line}\n{finished}");
            self.printed += &finished.stdout;
            return;
        };
        if says.starts_with("serving") {
            // "Stop the router": whoever begins anew has ended what was before.
            self.end(|since, now| since != now);
        }
        let mut program = Program::start(self.shell(&format!("exec {line}")));
        program.wait_until_it_says(says);
        self.running.push((self.headings, program));
    }

    fn end(&mut self, which: impl Fn(usize, usize) -> bool) {
        let (ended, kept) = self.running.drain(..).partition(|(since, _)| which(*since, self.headings));
        self.running = kept;
        for (_, mut program) in ended as Vec<(usize, Program)> {
            let status = program.terminate();
            let is_node = program.stderr().contains("serving clients on ");
            assert!(status.success() || !is_node, "{status}\n{}", program.stderr());
        }
    }

    /// Waits until each line of a block has been printed, by whatever runs.
    fn sees(&mut self, block: &str) {
        let mut missing = String::new();
        let wanted: Vec<_> = block.lines().map(pattern).filter(|line| !line.is_empty()).collect();
        let asks = ["status", "topology"].iter().any(|name| self.last.contains(name));
        let began = Instant::now();
        loop {
            if asks && !missing.is_empty() {
                self.printed += &finish(self.shell(&self.last)).stdout;
            }
            let mut all = self.printed.clone();
            for (_, program) in &self.running {
                write!(all, "{}{}", program.stdout(), program.stderr()).unwrap();
            }
            let all: Vec<_> = all.lines().map(pattern).collect();
            missing =
                wanted.iter().filter(|line| !all.contains(line)).map(|line| format!("{line}\n")).collect();
            if missing.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{}: never printed: {missing}\nbut {all:#?}", self.last);
            sleep(Duration::from_millis(50));
        }
    }

    fn reads(&mut self, page: &str) {
        for piece in pieces(page) {
            match piece {
                Piece::Heading(_) => {
                    self.headings += 1;
                    self.printed.clear();
                    self.last.clear();
                }
                Piece::Block("sh", lines) => {
                    let lines = lines.lines().filter(|line| !line.is_empty());
                    let mut all_run = true;
                    for line in lines {
                        if is_run(line) { self.types(line) } else { all_run = false }
                    }
                    // What is shown behind what is not run is not looked for.
                    if !all_run {
                        self.last.clear();
                    }
                }
                Piece::Block("text", block) if !self.last.is_empty() => self.sees(&block),
                Piece::Block(..) => {}
            }
        }
        self.end(|_, _| true);
    }
}

fn play(which: impl Fn(&str) -> bool) {
    let mut lines = 0;
    for (name, page) in PAGES.iter().filter(|(name, _)| which(name)) {
        let own = crate::common::readme::blocks_of(page, "sh").join("");
        let run = own.lines().filter(|line| !line.is_empty() && is_run(line)).count();
        if run == 0 {
            continue;
        }
        lines += run;
        let Some(mut reader) = Reader::new() else { return };
        for line in BEFORE.iter().filter(|(page, _)| page == name).flat_map(|(_, lines)| *lines) {
            reader.types(line);
        }
        reader.reads(page);
    }
    assert!(lines >= 9, "the commands are not found");
}

#[test]
fn the_readme_can_be_typed_as_it_is_printed() {
    play(|name| name == "README.md");
}

#[test]
fn the_other_pages_can_be_typed_as_they_are_printed() {
    play(|name| name != "README.md");
}

#[test]
fn what_is_not_run_is_there_all_the_same() {
    let lines = command_lines();
    for (start, why) in NOT_RUN {
        assert!(lines.iter().any(|line| line.starts_with(start)), "no page has {start} any more ({why})");
    }
    for line in lines.iter().filter(|line| !is_run(line)) {
        checked_without_running(line);
    }
    assert!(blocks("sh").len() >= 20, "the blocks are not found");
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// As much of a line as can be known without running it. What cargo is asked for
/// and what the program is, is checked with the other commands.
fn checked_without_running(line: &str) {
    let words: Vec<_> = line.split_whitespace().skip_while(|word| word.contains('=')).collect();
    match words[..] {
        ["cargo", "test", "--test", "program", filter, ..] => {
            let module = filter.trim_end_matches("::");
            assert!(read("tests/main.rs").contains(&format!("mod {module};")), "{line}");
        }
        ["cargo", "fmt" | "clippy", ..] | [".ci/run"] => {
            assert!(read(".ci/run").contains(line) || line == ".ci/run", "{line}")
        }
        ["unshare", ..] => assert!(line.ends_with("cargo test --workspace'"), "{line}"),
        ["apt-get", "install", ref packages @ ..] => {
            let known = read(".ci/run");
            let known = known.split("packages=(").nth(1).unwrap().split(')').next().unwrap();
            let known: Vec<_> = known.split_whitespace().collect();
            let missing: Vec<_> = packages.iter().filter(|package| !known.contains(package)).collect();
            assert!(!packages.is_empty() && missing.is_empty(), ".ci/run does not have {missing:?}");
        }
        ["python3", "-m", "unittest", "discover", "-s", folder] => {
            assert!(read(&format!("{folder}/test_packages.py")).contains("unittest"), "{line}");
        }
        ["openwrt/build.sh", ref arguments @ ..] => {
            let help =
                Command::new("bash").args(["openwrt/build.sh", "--help"]).current_dir(ROOT).output().unwrap();
            let help = String::from_utf8(help.stdout).unwrap();
            let known: Vec<_> = help.split([' ', ',', '\n']).collect();
            let unknown: Vec<_> = arguments.iter().filter(|argument| !known.contains(argument)).collect();
            assert!(!arguments.is_empty() && unknown.is_empty(), "{line}: {unknown:?}");
        }
        _ => {}
    }
    if words[0].contains('/') && !words[0].starts_with("target/") {
        let parsed = Command::new("bash").args(["-n", words[0]]).current_dir(ROOT).status().unwrap();
        assert!(parsed.success(), "{line}");
    }
}

//! The pages as somebody follows them: each line as printed, on a machine of its own (a
//! network namespace with the default ports free, an empty home, the host's name that the pages
//! show), where each program that goes on has its terminal.
//!
//! Only `cargo run` is not played, since what it builds is what runs here; `.ci/first-command`
//! does that.

use std::time::{Duration, Instant};

use super::is_played;
use crate::common::readme::{Block, CommandLine, page, pages, program_arguments, root, simple_commands};
use crate::common::{Finished, Net, Program, TempDir, finish};

/// What the pages show is there after this long, or never.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands that only look: they may be asked again until routers have met.
const LOOKING: [&str; 4] = ["check-config", "keys", "status", "topology"];
/// Which page goes on from where another one is under that heading.
const GOES_ON: [(&str, &str, &str); 1] = [("docs/watching.md", "README.md", "## A first conversation")];

/// A machine on which a page is followed.
struct Machine {
    net: Net,
    dir: TempDir,
    /// Programs that go on, each with its arguments.
    terminals: Vec<(Vec<String>, Program)>,
    /// The last line that has come to its end, and what it printed.
    last: Option<(String, Finished)>,
}

impl Machine {
    /// `None`: this machine cannot have one, which has been said.
    fn new() -> Option<Self> {
        let net = Net::new(1)?;
        let dir = TempDir::new("readme-played");
        let link = |from: &std::path::Path, to: &str| {
            std::os::unix::fs::symlink(from, dir.path().join(to)).unwrap();
        };
        std::fs::create_dir_all(dir.path().join("target/debug")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        link(env!("CARGO_BIN_EXE_fau3").as_ref(), "target/debug/fau3");
        ["tests", "openwrt"].iter().for_each(|place| link(&root().join(place), place));
        Some(Self { net, dir, terminals: Vec::new(), last: None })
    }

    /// The program of a line, in this machine's shell.
    fn shell(&self, line: &str) -> std::process::Command {
        let line = line.replace("cargo run -- ", "target/debug/fau3 ");
        let mut command = self.net.command(0, "unshare");
        command.args(["--uts", "sh", "-c", "hostname router-a && exec bash -c \"$0\"", &line]);
        command.current_dir(self.dir.path()).env("HOME", self.dir.path().join("home"));
        ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"].iter().for_each(|it| {
            command.env_remove(it);
        });
        command
    }

    /// Follows a page, as far as `heading` if there is one.
    fn follow(&mut self, path: &str, heading: Option<&str>) {
        let mut shown_belongs_here = false;
        let blocks = page(path).blocks();
        let to = heading
            .map_or(blocks.len(), |it| blocks.iter().rposition(|block| block.heading == it).unwrap() + 1);
        for Block { language, text, .. } in &blocks[..to] {
            match &**language {
                "sh" => {
                    shown_belongs_here = false;
                    for line in text.lines().filter(|line| !line.is_empty()) {
                        if is_played(&CommandLine { page: path.to_owned(), line: line.to_owned() }) {
                            self.enter(line);
                            shown_belongs_here = true;
                        }
                    }
                }
                "text" if shown_belongs_here => self.wait_for(path, text),
                _ => {}
            }
        }
    }

    /// Enters one line; where it starts something that goes on, in a terminal of its own.
    fn enter(&mut self, line: &str) {
        let arguments = simple_commands(line).iter().find_map(|words| program_arguments(words, "fau3"));
        let ready = match arguments.as_ref().and_then(|it| it.first()).map(String::as_str) {
            Some("node") => "serving clients on",
            Some("listen") => "listening in room",
            _ => {
                let ended = finish(self.shell(line));
                assert!(ended.status.success(), "{line}\n{ended}");
                self.last = Some((line.to_owned(), ended));
                return;
            }
        };
        let arguments = arguments.unwrap();
        // "Stop the router": the same one comes again.
        self.terminals.retain_mut(|(running, program)| {
            let is_another = *running != arguments;
            assert!(is_another || program.terminate().success(), "it did not end well: {running:?}");
            is_another
        });
        let mut program = Program::start(self.shell(line));
        program.wait_until_it_says(ready);
        self.terminals.push((arguments, program));
        self.last = None;
    }

    /// Waits until the page's `text` is to be seen: as what the last line has printed, or in
    /// some terminal.
    fn wait_for(&mut self, path: &str, text: &str) {
        let since = Instant::now();
        loop {
            let terminals = self.terminals.iter().map(|(_, it)| it.stdout() + &it.stderr());
            let last = self.last.iter().map(|(_, it)| it.stdout.clone() + &it.stderr);
            let seen: Vec<_> = terminals.chain(last).collect();
            if seen.iter().any(|seen| is_shown(text, seen)) {
                return;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{path} shows\n{text}\nand this is to be seen:\n{}",
                seen.join("\n")
            );
            std::thread::sleep(Duration::from_millis(100));
            if let Some((line, _)) = self.last.take_if(|(line, _)| only_looks(line)) {
                self.enter(&line);
            }
        }
    }
}

/// Whether a line may be entered again without changing anything.
fn only_looks(line: &str) -> bool {
    let looks = |words: &Vec<String>| {
        let asked = program_arguments(words, "fau3").and_then(|it| it.into_iter().next());
        ["curl", "grep"].contains(&&*words[0]) || asked.is_some_and(|it| LOOKING.contains(&&*it))
    };
    !line.contains('>') && simple_commands(line).iter().all(looks)
}

/// Whether all lines of `text` stand in `seen`, in this order, but for what differs
/// from run to run.
fn is_shown(text: &str, seen: &str) -> bool {
    let mut seen = seen.lines().map(pattern);
    text.lines().map(pattern).all(|wanted| seen.any(|line| line == wanted))
}

/// A line with its numbers, ids, and which router it is made alike.
fn pattern(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let mut out = String::new();
    // Runs of letters and digits, each with what stands behind it.
    for piece in words.join(" ").split_inclusive(|char: char| !char.is_ascii_alphanumeric()) {
        let run = piece.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
        let is_id = run.len() > 20 || run.len() >= 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
        match () {
            () if is_id => out.push('#'),
            () if out.ends_with("router-") && run.len() == 1 => out.push('?'),
            () => {
                for char in run.chars() {
                    match char.is_ascii_digit() {
                        true if out.ends_with('#') => {}
                        true => out.push('#'),
                        false => out.push(char),
                    }
                }
            }
        }
        out.push_str(&piece[run.len()..]);
    }
    // The second router of a machine is one as well.
    out.replace("router-?-#", "router-?")
}

#[test]
fn lines_differ_only_in_what_differs_from_run_to_run() {
    let same = [
        ("router-a leads, epoch 1; 2 routers", "router-a-2  leads, epoch 12; 2 routers"),
        ("06:35:11  fau3-8aff5421618f  hall  11552 bytes", "16:35:11 fau3-aaffaaffaaff hall 11552 bytes"),
        ("incarnation=1.2be2e7c6ca5e3e28", "incarnation=1.ffe2e7c6ca5e3e2"),
    ];
    for (one, other) in same {
        assert_eq!(pattern(one), pattern(other));
    }
    assert!(!is_shown("stored", "lost") && !is_shown("a\nb", "b\na") && is_shown("a\nb", "a\nx\nb\n"));
}

#[test]
fn every_page_goes_as_printed() {
    let mut lines = 0;
    for page in pages() {
        let played = page.blocks().into_iter().filter(|block| block.language == "sh").flat_map(|block| {
            let lines = block.text.lines().map(str::to_owned).collect::<Vec<_>>();
            lines.into_iter().map(|line| CommandLine { page: page.path.clone(), line }).filter(is_played)
        });
        let count = played.count();
        if count == 0 {
            continue;
        }
        // Given a machine on which nothing of fau3 is,
        let Some(mut machine) = Machine::new() else { return };
        if let Some((_, before, heading)) = GOES_ON.iter().find(|(it, _, _)| *it == page.path) {
            machine.follow(before, Some(heading));
        }
        // when somebody enters what the page says, then it shows what the page shows,
        machine.follow(&page.path, None);
        // and what goes on ends well.
        for (arguments, program) in machine.terminals {
            program.signal("TERM");
            let ended = program.finish();
            let is_router = arguments[0] == "node";
            assert!(!is_router || ended.status.success(), "{arguments:?}: {ended}");
        }
        lines += count;
    }
    assert!(lines >= 20, "the pages' lines are not found: {lines}");
}

//! A router's file system in a folder: the package's files with their paths moved
//! there, busybox for everything, stand-ins for what only a router has.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Finished, TempDir, finish, skipped};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/fau3/files");
const HOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openwrt/host");
/// Where the real `uci` is built, once for all tests.
const TOOLS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/openwrt");

/// What of busybox the scripts may use: OpenWrt's own has these, and not all others.
const APPLETS: [&str; 29] = [
    "[", "awk", "basename", "cat", "chmod", "cp", "cut", "dirname", "echo", "env", "expr", "false", "grep",
    "head", "ls", "ln", "md5sum", "mkdir", "mv", "printf", "readlink", "rm", "sed", "sh", "sleep", "sort",
    "tr", "true", "touch",
];

/// The paths that scripts name begin with these.
const TOPS: [&str; 6] = ["/etc/", "/usr/", "/var/", "/tmp/", "/lib/", "/bin/sh"];

pub(crate) struct Root {
    dir: TempDir,
}

/// OpenWrt's own `uci`, if it can be had here.
pub(crate) fn real_uci() -> Option<PathBuf> {
    let mut build = Command::new(Path::new(HOST).join("build-uci"));
    build.arg(TOOLS);
    let built = finish(build);
    if !built.status.success() {
        skipped(&format!("a way to build uci: {built}"));
        return None;
    }
    Some(Path::new(TOOLS).join("uci"))
}

impl Root {
    /// A router with the package installed and configured to have everything in its
    /// folder; `None`, having said so, where this machine cannot have one.
    pub(crate) fn new() -> Option<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        if busybox.is_none() && skipped("busybox") {
            return None;
        }
        let uci = real_uci()?;
        let root = Self { dir: TempDir::new("root") };
        for folder in ["bin", "etc/config", "lib", "tmp", "var/run", "usr/bin", "usr/sbin"] {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        for applet in APPLETS {
            symlink(busybox.unwrap(), root.path("bin").join(applet)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_fau3"), root.path("usr/bin/fau3")).unwrap();
        for tool in ["validate_data", "rc.common", "functions.sh"] {
            let at = match tool {
                "validate_data" => "bin/validate_data",
                "rc.common" => "etc/rc.common",
                _ => "lib/functions.sh",
            };
            symlink(Path::new(HOST).join(tool), root.path(at)).unwrap();
        }
        let folder = root.dir.path().display();
        root.tool(
            "uci",
            &format!("exec {} -c {folder}/etc/config -t {folder}/tmp/.uci \"$@\"", uci.display()),
        );
        root.tool("logger", &format!("echo \"$4 $5\" >>{folder}/syslog"));
        // The service's user is whoever runs the test, unless the test says otherwise.
        root.tool("id", &format!("cat {folder}/owner"));
        root.tool("chown", &format!("echo \"chown $*\" >>{folder}/asked"));
        root.tool("killall", &format!("echo \"killall $*\" >>{folder}/asked"));
        root.set_owner(rustix::process::geteuid().as_raw());
        root.install_all();
        Some(root)
    }

    /// A path of the router's.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    /// The service's user has this number.
    pub(crate) fn set_owner(&self, user: u32) {
        fs::write(self.path("owner"), format!("{user}\n")).unwrap();
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn install_all(&self) {
        let mut folders = vec![PathBuf::from(FILES)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let to = self.dir.path().join(path.strip_prefix(FILES).unwrap());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::write(&to, self.moved(&fs::read_to_string(&path).unwrap())).unwrap();
                fs::set_permissions(&to, fs::metadata(&path).unwrap().permissions()).unwrap();
            }
        }
    }

    /// `text` with the router's paths in this folder.
    pub(crate) fn moved(&self, text: &str) -> String {
        const MARK: char = '\u{1}';
        let marked = TOPS.iter().fold(text.to_owned(), |text, top| {
            // Not where it is only the middle of a longer path.
            let mut moved = String::new();
            for (at, part) in text.split(top).enumerate() {
                if at > 0 {
                    let inner = moved.ends_with(|char: char| char.is_ascii_alphanumeric() || char == MARK);
                    if !inner {
                        moved.push(MARK);
                    }
                    moved.push_str(top);
                }
                moved.push_str(part);
            }
            moved
        });
        marked.replace(MARK, &self.dir.path().display().to_string())
    }

    /// `/etc/config/fau3`, with a router's paths.
    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("etc/config/fau3"), self.moved(text)).unwrap();
    }

    /// Puts `to` where `from` stands in the configuration.
    ///
    /// # Panics
    /// If it stands nowhere.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = self.read("etc/config/fau3");
        assert!(text.contains(from), "{from:?} is nowhere in:\n{text}");
        fs::write(self.path("etc/config/fau3"), text.replacen(from, to, 1)).unwrap();
    }

    /// The package's own file with these lines more, each at the end of the section
    /// whose name stands before it: `clients: list listen '127.0.0.1:0'`.
    pub(crate) fn configure_with(&self, more: &[&str]) {
        let mut text = fs::read_to_string(Path::new(FILES).join("etc/config/fau3")).unwrap();
        for line in more {
            let (section, line) = line.split_once(": ").unwrap();
            let head = format!("config {section} '{section}'\n");
            let keep = line.starts_with("list").then(|| line.split(' ').nth(1).unwrap());
            if let Some(option) = keep {
                // What the package gives as the default is replaced.
                let (before, after) = text.split_once(&head).unwrap();
                let (own, rest) = after.split_once("\nconfig ").unwrap_or((after, ""));
                let own: Vec<_> =
                    own.lines().filter(|own| !own.starts_with(&format!("\tlist {option} "))).collect();
                let rest = if rest.is_empty() { String::new() } else { format!("\nconfig {rest}") };
                text = format!("{before}{head}{}\n{rest}", own.join("\n"));
            }
            if text.contains(&head) {
                text = text.replacen(&head, &format!("{head}\t{line}\n"), 1);
            } else {
                text.push_str(&format!("\n{head}\t{line}\n"));
            }
        }
        self.configure(&text);
    }

    /// A command in this router's place.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOST", HOST)
            .env("RECORD", self.path("record"))
            .env("TZ", "UTC");
        command
    }

    /// Runs a script of the package.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Finished {
        let mut command = self.command(self.path("bin/sh"));
        command.arg(self.path(script)).args(arguments);
        finish(command)
    }

    /// `/etc/init.d/fau3 ACTION`, where procd runs `running`; what procd was asked
    /// for, with this folder's path left out.
    pub(crate) fn service(&self, action: &str, running: &str) -> Vec<String> {
        let _ = fs::remove_file(self.path("record"));
        let mut command = self.command(self.path("bin/sh"));
        command.env("RUNNING", running);
        command.arg(self.path("etc/rc.common")).arg(self.path("etc/init.d/fau3")).arg(action);
        let ran = finish(command);
        assert!(ran.stderr.is_empty() && ran.status.success(), "{ran}");
        self.recorded()
    }

    /// What procd was asked for last.
    pub(crate) fn recorded(&self) -> Vec<String> {
        self.read("record").lines().map(|line| self.without_folder(line)).collect()
    }

    fn without_folder(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "")
    }

    /// A file's text; empty if there is none.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// The system's log, `daemon.LEVEL TEXT` a line.
    pub(crate) fn syslog(&self) -> String {
        self.without_folder(&self.read("syslog"))
    }

    /// What only root could do, as it was asked for.
    pub(crate) fn asked(&self) -> String {
        self.without_folder(&self.read("asked"))
    }

    /// Of what procd was asked for: the words of who waits for a mended file, after
    /// `sh -c`.
    pub(crate) fn waiting(&self, asked: &[String]) -> Vec<String> {
        let waiting = asked.iter().find(|line| line.starts_with("param command [/bin/sh] [-c] ")).unwrap();
        waiting.trim_end_matches(']').split("] [").skip(2).map(|word| self.moved(word)).collect()
    }
}

//! The program reads a file as OpenWrt's own `uci` does. What `uci` makes of each
//! file of `uci/` is kept beside it: `NAME.export` is what it prints, `NAME.error`
//! why it does not. `host/expect-uci` has made them with the real tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fau3::config::uci::{self, Entry, Section};
use fau3::config::{Config, Places, Surroundings};

use crate::common::{TempDir, finish};
use crate::openwrt::root::real_uci;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openwrt/uci");
const EXPECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openwrt/host/expect-uci");
/// As the issue of this corpus has it.
const FILES_MIN: usize = 40;

/// One file, and what the real tool makes of it.
struct Case {
    name: String,
    text: String,
    expected: Result<String, String>,
}

fn cases() -> Vec<Case> {
    cases_of(Path::new(CORPUS))
}

fn cases_of(folder: &Path) -> Vec<Case> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<PathBuf> = names.filter(|path| path.extension().is_none()).collect();
    names.sort();
    let case = |path: PathBuf| {
        let expected = fs::read_to_string(path.with_extension("export"))
            .map_err(|_| fs::read_to_string(path.with_extension("error")).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Case { name, text: fs::read_to_string(path).unwrap(), expected }
    };
    names.into_iter().map(case).collect()
}

/// What `uci` keeps of what stands in a file: sections of one name are one, an option
/// replaces what was there, one without a value does nothing, a list adds to it.
fn kept(sections: Vec<Section>) -> Vec<Section> {
    let mut kept: Vec<Section> = Vec::new();
    for section in sections {
        let same = kept.iter().position(|earlier| section.name.is_some() && earlier.name == section.name);
        let at = same.unwrap_or_else(|| {
            kept.push(Section { entries: Vec::new(), ..section.clone() });
            kept.len() - 1
        });
        for entry in section.entries {
            keep(&mut kept[at].entries, entry);
        }
    }
    kept
}

fn keep(entries: &mut Vec<Entry>, entry: Entry) {
    if !entry.is_list {
        let same: Vec<_> = entries.iter().filter(|earlier| earlier.name == entry.name).collect();
        let is_so = matches!(&same[..], [one] if !one.is_list && one.value == entry.value);
        if !entry.value.is_empty() && !is_so {
            entries.retain(|earlier| earlier.name != entry.name);
            entries.push(entry);
        }
        return;
    }
    // An option to which a list adds becomes the first of it, behind the others.
    let earlier: Vec<_> = entries.iter().filter(|earlier| earlier.name == entry.name).cloned().collect();
    match entries.iter().rposition(|earlier| earlier.name == entry.name) {
        Some(last) if earlier.iter().all(|earlier| earlier.is_list) => entries.insert(last + 1, entry),
        _ => {
            entries.retain(|earlier| earlier.name != entry.name);
            entries.extend(earlier.into_iter().map(|earlier| Entry { is_list: true, ..earlier }));
            entries.push(entry);
        }
    }
}

/// As `uci export` prints it.
fn exported(name: &str, sections: Vec<Section>) -> String {
    let printed = uci::print(&kept(sections));
    let body = if printed.is_empty() { String::new() } else { format!("\n{printed}") };
    format!("package {name}\n{body}\n")
}

#[test]
fn the_corpus_is_large_enough_and_has_both_kinds() {
    let cases = cases();
    let broken = cases.iter().filter(|case| case.expected.is_err()).count();
    assert!(cases.len() - broken >= FILES_MIN && broken >= 20, "{} of {} are broken", broken, cases.len());
}

/// Where the program and the real tool differ.
fn differences(cases: Vec<Case>) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let (sections, errors) = uci::parse_all(&case.text);
        match (&case.expected, errors.is_empty()) {
            (Ok(expected), true) => {
                // The tool says which package it read, and takes the file's word for it.
                let package = expected.lines().next().unwrap().strip_prefix("package ").unwrap();
                let own = exported(package, sections);
                if own != *expected {
                    wrong.push(format!("{:?}: uci reads\n{expected}the program\n{own}", case.text));
                }
            }
            (Ok(_), false) => wrong.push(format!("{:?}: the program refuses it: {}", case.text, errors[0])),
            (Err(why), true) => {
                wrong.push(format!("{:?}: the program takes it, uci says {why}", case.text));
            }
            (Err(_), false) => {}
        }
    }
    wrong
}

#[test]
fn what_uci_reads_the_program_reads_alike_and_what_it_refuses_the_program_refuses() {
    let wrong = differences(cases());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines as people write them, and as they do not.
struct Writer(u64);

impl Writer {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        // Knuth's generator (MMIX); its upper bits are the better ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(self.0 >> 33) as usize % from.len()]
    }

    fn file(&mut self) -> String {
        const NAMES: [&str; 6] = ["name", "log", "peer", "'data_dir'", "\"x\"", "n_1"];
        const VALUES: [&str; 22] = [
            "a",
            "'b c'",
            "\"d e\"",
            "''",
            "'x'y",
            "x\"y z\"'w'",
            "a\\ b",
            "a\\\nb",
            "'m\nn'",
            "\"m\\\nn\"",
            "a#b",
            "'#'",
            "a;b",
            "'a;b'",
            "a\\;b",
            "\"a\\\"b\"",
            "",
            "'a'#c",
            "a\\'b",
            "1 ",
            "'\n'",
            "a b",
        ];
        const ENDS: [&str; 14] = [
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            " \n",
            "\t# c\n",
            " ; ",
            ";",
            "\n\n",
            "; # x\n",
            " # a ; b\n",
            "\r\n",
        ];
        const OTHERS: [&str; 6] = ["package p", "# x", "", "o name z", "l peer z", "nonsense"];
        let mut text = String::from("config node\n");
        for number in 0..5 {
            text.push_str(self.pick(&["", "\t", " "]));
            match self.pick(&["config", "option", "option", "list", "list", "other"]) {
                "config" => {
                    let kind = self.pick(&["node", "'mesh'", "\"clients\"", "a-b.c"]);
                    // Each name once: the tool of 2021 loses a section that is opened three times.
                    let name = self.pick(&["", " ", " n"]);
                    text.push_str(&format!("config {kind}{name}"));
                    if name == " n" {
                        text.push_str(&number.to_string());
                    }
                }
                "other" => text.push_str(self.pick(&OTHERS)),
                keyword => text.push_str(&format!("{keyword} {} {}", self.pick(&NAMES), self.pick(&VALUES))),
            }
            text.push_str(self.pick(&ENDS));
        }
        text
    }
}

#[test]
fn files_that_nobody_has_thought_of_are_read_as_the_real_tool_reads_them() {
    const FILES: usize = 500;
    let Some(tool) = real_uci() else { return };
    let dir = TempDir::new("random");
    let mut writer = Writer(1);
    for number in 0..FILES {
        fs::write(dir.path().join(format!("f{number}")), writer.file()).unwrap();
    }
    let mut command = Command::new(EXPECT);
    command.arg(tool).arg(dir.path()).arg(dir.path());
    let ran = finish(command);
    assert!(ran.status.success(), "{ran}");
    let cases = cases_of(dir.path());
    let good = cases.iter().filter(|case| case.expected.is_ok()).count();
    assert!((FILES / 10..FILES).contains(&good), "{good} of {} are UCI", cases.len());
    let wrong = differences(cases);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_is_told_at_the_line_that_uci_tells_or_where_the_mistake_begins() {
    // An unclosed quote is told by uci at the end of the file, where it is of no use.
    let begins: BTreeMap<_, _> = [
        ("unclosed_single", 2),
        ("unclosed_double", 2),
        ("unclosed_swallows", 2),
        ("continued_then_space", 2),
    ]
    .into();
    for case in cases() {
        let Err(why) = case.expected else { continue };
        let (_, line) = why.split_once(" at line ").unwrap();
        let line: u32 = line.split(',').next().unwrap().parse().unwrap();
        let own = uci::parse(&case.text).unwrap_err().line;
        assert_eq!(own, begins.get(&*case.name).copied().unwrap_or(line), "{}: {why}", case.name);
    }
}

#[test]
fn a_configuration_is_the_same_before_and_after_uci_has_written_it_anew() {
    let around = Surroundings { host_name: "host".into(), places: Places::of_system() };
    let read = |text: &str| {
        let read = Config::read(Some((Path::new("f"), text)), &[], &around);
        read.map(|(config, _)| config).map_err(|errors| {
            // Lines move.
            errors.0.into_iter().map(|error| (error.subject, error.message)).collect::<Vec<_>>()
        })
    };
    let mut good = 0;
    for case in cases() {
        let Ok(exported) = &case.expected else { continue };
        let (before, after) = (read(&case.text), read(exported));
        good += usize::from(before.is_ok());
        assert_eq!(before, after, "{}", case.name);
    }
    assert!(good >= FILES_MIN, "{good} are whole configurations");
}

#[test]
fn the_expected_results_are_what_the_real_tool_says() {
    let Some(uci) = real_uci() else { return };
    let dir = TempDir::new("expect");
    let mut command = Command::new(EXPECT);
    command.arg(uci).arg(dir.path());
    let ran = finish(command);
    assert!(ran.status.success(), "{ran}");
    let read = |path: &Path| {
        let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let kept = files.filter(|path| path.extension().is_some());
        let named =
            kept.map(|path| (path.file_name().unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
        named.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(read(dir.path()), read(Path::new(CORPUS)));
}

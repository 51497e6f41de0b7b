//! The types that the init script gives to procd accept what the program accepts,
//! option by option.

use std::collections::BTreeMap;
use std::path::Path;

use fau3::config::{Config, Places, SECTIONS, Shape, Surroundings};

use crate::common::finish_with_input;
use crate::openwrt::root::Root;

/// Options whose type is "any text": the program alone judges them, which
/// `check-config` asks it to do in the same script.
const ANY_TEXT: [&str; 12] = [
    "node.data_dir",
    "node.identity",
    "node.control",
    "node.console",
    "clients.listen",
    "clients.hosts_file",
    "clients.allow_client",
    "clients.allow_origin",
    "mesh.listen",
    "mesh.key",
    "mesh.peer",
    "default_server.url",
];

/// Values of every kind, right for some options and wrong for others.
const SAMPLES: [&str; 62] = [
    "0",
    "1",
    "2",
    "00",
    "01",
    "007",
    "010",
    "5",
    "9",
    "10",
    "16",
    "17",
    "49",
    "50",
    "63",
    "64",
    "99",
    "100",
    "101",
    "250",
    "256",
    "3600",
    "3601",
    "9999",
    "10000",
    "10001",
    "60000",
    "60001",
    "86400",
    "86401",
    "604800",
    "604801",
    "1048576",
    "1048577",
    "4294967297",
    "-1",
    "+1",
    " 1",
    "1 ",
    "0x10",
    "1.5",
    "1e3",
    "on",
    "off",
    "ON",
    "true",
    "yes",
    "enabled",
    "disabled",
    "no",
    "false",
    "ram",
    "disk",
    "tape",
    "mdns",
    "batman",
    "info",
    "loud",
    "router-a",
    "Router_1.lan",
    "a b",
    "ü",
];

/// More of them, for text.
pub(crate) fn long_samples() -> Vec<String> {
    let mut samples: Vec<_> = SAMPLES.iter().map(|sample| (*sample).to_owned()).collect();
    samples.extend(["x".repeat(64), "x".repeat(65), "/".repeat(107), "/".repeat(108)]);
    samples.extend(["/a".repeat(2_047) + "b", "/".repeat(4_096)]);
    let text = [
        "[::]:9999",
        "192.168.1.1:8910", // No other option's.
        "router-b.lan:8902",
        "ws://10.0.0.1:8901",
        "AA:BB:CC:DD:EE:FF",
        "/tmp/x",
    ];
    samples.extend(text.map(str::to_owned));
    samples
}

fn around() -> Surroundings {
    Surroundings { host_name: "host".into(), places: Places::of_system() }
}

/// Whether the program takes a file with `section.option` as this.
pub(crate) fn program_accepts(section: &str, option: &str, keyword: &str, value: &str) -> bool {
    let file = format!("config {section}\n\t{keyword} {option} '{value}'\n");
    Config::read(Some((Path::new("f"), &file)), &[], &around()).is_ok()
}

/// The script's types and defaults, by `section.option`.
fn types(root: &Root) -> BTreeMap<String, (String, Option<String>)> {
    let asked = root.service("start", "");
    let tuples = asked.iter().filter_map(|line| line.strip_prefix("type "));
    let types = tuples.map(|line| {
        let (section, tuple) = line.split_once(' ').unwrap();
        let mut parts = tuple.splitn(3, ':').map(str::to_owned);
        let (option, kind, default) = (parts.next().unwrap(), parts.next().unwrap(), parts.next());
        (format!("{section}.{option}"), (kind, default))
    });
    types.collect()
}

#[test]
fn every_option_has_a_type_and_no_type_is_left_over() {
    let Some(root) = Root::new() else { return };
    let given: Vec<_> = types(&root).into_keys().collect();
    let mut known: Vec<_> = SECTIONS
        .iter()
        .flat_map(|section| section.options.iter().map(|option| format!("{}.{}", section.name, option.name)))
        .collect();
    known.sort();
    assert_eq!(given, known);
}

#[test]
fn defaults_are_the_program_s() {
    let Some(root) = Root::new() else { return };
    // With the section that says something by being there.
    let text = "config default_server\n";
    let (config, _) = Config::read(Some((Path::new("f"), text)), &[], &around()).unwrap();
    let printed = fau3::config::uci::print(&config.sections());
    for (name, (_, default)) in types(&root) {
        let Some(default) = default else { continue };
        let (section, option) = name.split_once('.').unwrap();
        let (_, own) = printed.split_once(&format!("config {section} ")).unwrap();
        let own = own.split("\nconfig ").next().unwrap();
        let line = own.lines().find_map(|line| line.strip_prefix(&format!("\toption {option} '")));
        // Where the service runs, its folder is there.
        let wanted = if name == "clients.hosts_file" {
            "/var/run/fau3/hosts"
        } else {
            line.unwrap().trim_end_matches('\'')
        };
        assert_eq!(root_less(&root, &default), wanted, "{name}");
    }
}

fn root_less(root: &Root, text: &str) -> String {
    text.replace(&root.path("").display().to_string(), "/").replace("//", "/")
}

#[test]
fn a_type_accepts_what_the_program_accepts_and_but_for_free_text_nothing_else() {
    let Some(root) = Root::new() else { return };
    let types = types(&root);
    let mut questions = Vec::new();
    let mut input = String::new();
    for section in SECTIONS {
        for option in section.options {
            let name = format!("{}.{}", section.name, option.name);
            let keyword = if option.shape == Shape::One || section.is_repeated { "option" } else { "list" };
            for sample in long_samples() {
                input.push_str(&format!("{}\t{sample}\n", types[&name].0));
                let accepts = program_accepts(section.name, option.name, keyword, &sample);
                questions.push((name.clone(), sample, accepts));
            }
        }
    }
    let mut command = root.command(root.path("bin/validate_data"));
    command.arg("--many");
    let asked = finish_with_input(command, input.as_bytes());
    assert!(asked.status.success(), "{asked}");
    let answers: Vec<_> = asked.stdout.lines().map(|line| line == "true").collect();
    assert_eq!(answers.len(), questions.len());
    let mut accepted = 0;
    for ((name, sample, program), script) in questions.into_iter().zip(answers) {
        accepted += u32::from(program);
        // The script is the same for the program without storage on disk.
        let is_wider = name == "clients.storage" && !cfg!(feature = "disk");
        if is_wider || ANY_TEXT.contains(&&*name) {
            assert!(script || !program, "{name}: the script refuses '{sample}', which the program takes");
        } else {
            assert_eq!(
                script, program,
                "{name} = '{sample}': the script says {script}, the program {program}"
            );
        }
    }
    assert!(accepted > 300, "the samples are right somewhere: {accepted}");
}

#[test]
fn what_the_program_refuses_keeps_the_service_down_whatever_the_type_says() {
    let Some(root) = Root::new() else { return };
    for (right, wrong) in [
        ("list listen '[::]:8901'", "list listen '8901'"),
        ("option control '", "option control '/${x}/"),
        ("option console '127.0.0.1:8903'", "option console 'here'"),
        ("option retry_count '3'", "option retry_count '03'"),
    ] {
        root.configure_with(&[]);
        assert!(root.service("start", "").contains(&"instance node".to_owned()), "{right}");
        let long = "x".repeat(108);
        root.edit(right, &wrong.replace("${x}", &long));
        let asked = root.service("start", "");
        assert!(!asked.contains(&"instance node".to_owned()), "{wrong}: {asked:#?}");
    }
}

//! Every option stands in `docs/configuration.md`, with the default that the
//! package's file gives it, its range, and when it takes effect; and what pages set
//! is one.

use std::collections::BTreeMap;
use std::path::Path;

use fau3::config::{Reload, SECTIONS};

use super::ROOT;
use crate::common::readme::{PAGES, blocks};
use crate::common::{TempDir, fau3, finish};

/// Options of the package's file as `section.option`, with the value of those
/// that are not commented out.
fn options() -> BTreeMap<String, Option<String>> {
    let path = Path::new(ROOT).join("openwrt/fau3/files/etc/config/fau3");
    let file = std::fs::read_to_string(path).unwrap();
    let mut section = "";
    let mut options = BTreeMap::new();
    for line in file.lines() {
        let is_comment = line.trim_start().starts_with('#');
        let words: Vec<_> = line.split_whitespace().collect();
        let words: Vec<_> =
            words.iter().map(|word| word.trim_start_matches('#')).filter(|word| !word.is_empty()).collect();
        match words[..] {
            ["config", kind] | ["config", kind, _] => section = kind,
            ["option" | "list", name, value] if value.starts_with('\'') => {
                let value = value.trim_matches('\'').to_owned();
                options.insert(format!("{section}.{name}"), (!is_comment).then_some(value));
            }
            _ => {}
        }
    }
    options
}

#[test]
fn every_option_is_documented_with_its_default() {
    let page = PAGES.iter().find(|(name, _)| *name == "docs/configuration.md").unwrap().1;
    let options = options();
    assert!(options.len() >= 30, "the options are not found: {options:?}");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut rows: BTreeMap<_, _> = rows.filter(|(name, _)| name.matches('.').count() == 1).collect();
    for (name, default) in options {
        let row = rows.remove(name.as_str()).unwrap_or_else(|| panic!("{name} is not documented"));
        if let Some(default) = default {
            assert!(row.starts_with(&format!("`{default}` |")), "{name} has the default {default}: {row}");
        }
    }
    assert!(rows.is_empty(), "no such options: {rows:?}");
}

#[test]
fn every_option_is_documented_with_its_range_and_when_it_takes_effect() {
    let page = PAGES.iter().find(|(name, _)| *name == "docs/configuration.md").unwrap().1;
    for section in SECTIONS {
        for option in section.options {
            let name = format!("{}.{}", section.name, option.name);
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            if let Some(range) = (option.expected)().strip_prefix("a whole number from ") {
                assert_eq!(cells[3], range, "the range of {name}");
            }
            let when = if option.reload == Reload::Live { "live" } else { "start" };
            assert_eq!(cells[4], when, "when {name} takes effect");
        }
    }
}

#[test]
fn what_is_set_on_a_router_is_an_option_with_such_a_value() {
    // Given all that the pages have somebody type on a router,
    let blocks = blocks("text").join("");
    let lines = blocks.lines().filter_map(|line| line.strip_prefix("uci "));
    let set = lines.filter_map(|line| line.split_once(" fau3.").map(|(_, option)| option.replace('\'', "")));
    let set: Vec<_> = set.filter(|option| option.split('=').next().unwrap().contains('.')).collect();
    assert!(set.len() >= 2, "the options are not found: {set:?}");
    // then the program takes each.
    for option in set {
        let home = TempDir::new("uci");
        let mut command = fau3(&["keys", "--set", &option]);
        command.env("HOME", home.path()).env_remove("XDG_STATE_HOME");
        let taken = finish(command);
        assert!(taken.status.success(), "{option}: {taken}");
    }
}

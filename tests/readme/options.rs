//! Every option stands in `docs/configuration.md`, with the default that the
//! package's file gives it.

use std::collections::BTreeMap;
use std::path::Path;

use super::ROOT;
use crate::common::readme::PAGES;

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

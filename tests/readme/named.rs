//! What the pages and the table of rules name: links, anchors, files, tests, words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::common::readme::{Page, page, pages, root};

/// The places where this project's files are.
const PLACES: [&str; 8] = ["src/", "tests/", "sim/", "benches/", "election/", "openwrt/", "docs/", ".ci/"];

/// Where links of a page lead, pictures included.
fn links(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let targets = prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    targets.filter(|target| !target.contains("://")).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut within = false;
    let headings = page.text.lines().filter(|line| {
        within ^= line.starts_with("```");
        !within && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let kept = heading.trim_matches(['#', ' ']).to_lowercase();
        let kept = kept.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn each_link_and_each_anchor_leads_somewhere() {
    let mut followed = 0;
    for from in pages() {
        for link in links(&from) {
            let (path, anchor) = link.split_once('#').map_or((&*link, None), |(path, it)| (path, Some(it)));
            let folder = Path::new(&from.path).parent().unwrap();
            let target = if path.is_empty() { PathBuf::from(&from.path) } else { folder.join(path) };
            assert!(root().join(&target).exists(), "{}: {link} is not there", from.path);
            if let Some(anchor) = anchor {
                let to = page(target.to_str().unwrap());
                assert!(anchors(&to).contains(anchor), "{}: no heading {link}", from.path);
            }
            followed += 1;
        }
    }
    assert!(followed >= 60, "the pages' links are not found: {followed}");
}

#[test]
fn the_index_has_every_page_and_every_page_says_what_it_is_for() {
    let index = links(&page("docs/README.md"));
    for page in pages() {
        let from_docs = page.path.strip_prefix("docs/").map_or(format!("../{}", page.path), str::to_owned);
        assert!(from_docs == "README.md" || index.contains(&from_docs), "docs/README.md lacks {}", page.path);
        let mut begin = page.text.lines();
        let (title, empty, first) = (begin.next(), begin.next(), begin.next());
        let begins = title.is_some_and(|it| it.starts_with("# ")) && empty == Some("") && first.is_some();
        assert!(begins, "{} begins otherwise", page.path);
        let tells = |it: &str| it.starts_with("This page ") || page.path.ends_with("README.md");
        assert!(first.is_some_and(tells), "{} does not say what it is for", page.path);
    }
}

#[test]
fn each_file_that_is_named_is_there() {
    let mut named = 0;
    for page in pages() {
        for path in page.quoted().iter().filter(|it| PLACES.iter().any(|place| it.starts_with(place))) {
            // A command begins with its path.
            let path = path.split([' ', ':']).next().unwrap();
            assert!(root().join(path).exists(), "{} names {path}, which is not there", page.path);
            named += 1;
        }
    }
    assert!(named >= 40, "the places of CONTRIBUTING.md are not found: {named}");
}

#[test]
fn one_thing_has_one_name() {
    for page in pages() {
        let prose = page.prose().to_lowercase();
        for (other, word) in [("default server", "main server"), ("legacy server", "main server")] {
            assert!(!prose.contains(other), "{}: '{other}' is called '{word}' (docs/glossary.md)", page.path);
        }
    }
}

#[test]
fn each_test_in_the_table_of_rules_exists() {
    let table = std::fs::read_to_string(root().join("src/router/tests/mod.rs")).unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("//! | ")).skip(1).collect();
    assert!(rows.len() >= 50, "the table is not found");
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        sources_below(&root().join(folder), &mut sources);
    }
    let known: BTreeSet<_> = sources.iter().flat_map(|text| names_of_tests(text)).collect();
    for row in rows {
        let named = row.rsplit('|').nth(1).unwrap();
        let named: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        // A place (`wire::names`, `tests/voice.rs`, `limits`), then its tests.
        let tests = named.iter().map(|name| name.rsplit("::").next().unwrap());
        let (tests, _): (Vec<_>, Vec<_>) = tests.partition(|name| name.matches('_').count() >= 2);
        assert!(!named.is_empty() && (!tests.is_empty() || row.contains("all of `")), "no test: {row}");
        let missing: Vec<_> = tests.iter().filter(|name| !known.contains(**name)).collect();
        assert!(missing.is_empty(), "no such test: {missing:?} in\n{row}");
    }
}

fn sources_below(folder: &Path, sources: &mut Vec<String>) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources_below(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names of functions that stand below `#[test]`.
fn names_of_tests(source: &str) -> Vec<&str> {
    let bodies = source.split("#[test]").skip(1);
    bodies.filter_map(|body| body.split("fn ").nth(1)?.split('(').next()).collect()
}

//! Links, anchors, and files that pages name.

use std::path::Path;

use super::ROOT;
use crate::common::readme::{PAGES, Piece, pieces};

/// The text outside of blocks.
fn prose(page: &str) -> String {
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let headings = pieces(page).into_iter().filter_map(|piece| match piece {
        Piece::Heading(heading) => Some(heading.to_lowercase()),
        Piece::Block(..) => None,
    });
    let kept = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    };
    headings.map(|heading| heading.chars().filter_map(kept).collect()).collect()
}

/// Where a page's links lead, but for those to elsewhere.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let links = prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    links.filter(|link| !link.contains("://")).map(str::to_owned).collect()
}

/// A path with its `..` resolved.
fn plain(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.to_str().unwrap().split('/') {
        match part {
            "." | "" => {}
            ".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// What is wrong with a link of the page `name`.
fn fault(name: &str, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(name).parent().unwrap();
    let path = if path.is_empty() { name.to_owned() } else { plain(&folder.join(path)) };
    if !Path::new(ROOT).join(&path).exists() {
        return Some(format!("{name}: {link} is not there"));
    }
    let anchor = anchor?;
    let Some((_, page)) = PAGES.iter().find(|(page, _)| *page == path) else {
        return Some(format!("{name}: {link} has an anchor, and is no page"));
    };
    (!anchors(page).contains(&anchor.to_owned())).then(|| format!("{name}: no heading for {link}"))
}

#[test]
fn each_link_and_each_anchor_leads_somewhere() {
    let all: Vec<_> =
        PAGES.iter().flat_map(|(name, page)| links(page).into_iter().map(move |link| (name, link))).collect();
    assert!(all.len() >= 60, "the pages' links are not found: {all:?}");
    let faults: Vec<_> = all.iter().filter_map(|(name, link)| fault(name, link)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // This test can fail.
    for wrong in ["#no-such-heading", "no-such.md", "mesh.md#no-such-heading", "../LICENSE-MIT#x"] {
        assert!(fault("docs/README.md", wrong).is_some(), "{wrong}");
    }
}

#[test]
fn every_page_is_read_here_and_can_be_found_from_the_readme() {
    for entry in std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap() {
        let name = format!("docs/{}", entry.unwrap().file_name().to_str().unwrap());
        let known = PAGES.iter().any(|(page, _)| *page == name);
        assert!(known || !name.ends_with(".md"), "{name} is missing in tests/common/readme.rs");
    }
    let index = PAGES.iter().find(|(name, _)| *name == "docs/README.md").unwrap().1;
    let listed: Vec<_> = links(index).iter().map(|link| plain(&Path::new("docs").join(link))).collect();
    for (name, _) in PAGES {
        let found = *name == "docs/README.md" || listed.iter().any(|link| link == name);
        assert!(found, "{name} is missing in docs/README.md");
    }
    assert!(links(PAGES[0].1).contains(&"docs/README.md".to_owned()));
}

#[test]
fn one_thing_has_one_name() {
    for (name, page) in PAGES {
        let prose = prose(page).to_lowercase();
        for other in ["default server", "legacy server"] {
            assert!(!prose.contains(other), "{name}: '{other}' is a main server (docs/glossary.md)");
        }
    }
    for (path, text) in sources(&["src", "election/src", "sim/src"]) {
        assert!(
            !text.to_lowercase().contains("default server"),
            "{path}: it is a main server (docs/glossary.md)"
        );
    }
}

/// Every Rust file below these folders, with its path.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = folders.iter().map(|folder| top.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 300, "{}", found.len());
    found
}

/// Paths in backquotes that begin as a folder of this workspace does.
fn named_files(page: &str) -> Vec<String> {
    const FOLDERS: [&str; 8] =
        ["src/", "tests/", "sim/", "election/", "benches/", "openwrt/", "docs/", ".ci/"];
    let prose = prose(page);
    let words = prose.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    words
        .into_iter()
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(' '))
        .collect()
}

#[test]
fn each_place_that_is_named_exists() {
    let all: Vec<_> = PAGES
        .iter()
        .flat_map(|(name, page)| named_files(page).into_iter().map(move |file| (name, file)))
        .collect();
    assert!(all.len() >= 40, "the places are not found: {all:?}");
    for (name, file) in all {
        assert!(Path::new(ROOT).join(&file).exists(), "{name} names {file}, which is not there");
    }
}

//! Runs the table of `decisions.txt` against the rule that the state machine
//! uses. The table explains its own format.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use fau3_election::{
    Coordinator, Incarnation, Link, ListVersion, Map, Record, Report, RouterId, ServerEntry, ServerList,
};

const TABLE: &str = include_str!("decisions.txt");
/// As the acceptance asks for.
const ROWS_MIN: usize = 60;

struct Row {
    line: usize,
    lists: BTreeMap<u64, ServerList>,
    routers: BTreeMap<char, BTreeSet<String>>,
    arrows: BTreeSet<(char, char)>,
    /// Router, deputy, coordinator: as expected.
    expected: Vec<(char, String, String)>,
}

fn id(letter: char) -> RouterId {
    RouterId([letter as u8; 16])
}

fn parse(line: usize, text: &str) -> Row {
    let fields: Vec<&str> = text.split('|').map(str::trim).collect();
    let [lists, routers, links, expected] = fields[..] else {
        panic!("line {line}: four fields, not {text:?}")
    };
    let lists =
        lists.split_whitespace().filter(|list| *list != "-").map(|list| parse_list(line, list)).collect();
    let routers = routers
        .split_whitespace()
        .map(|router| {
            let mut parts = router.split(':');
            let letter = parts.next().unwrap().parse().unwrap();
            (letter, parts.flat_map(|marks| marks.split(',')).map(String::from).collect())
        })
        .collect();
    let mut row = Row { line, lists, routers, arrows: BTreeSet::new(), expected: Vec::new() };
    links.split_whitespace().filter(|link| *link != "-").for_each(|link| row.link(link));
    for group in expected.split_whitespace() {
        let parts: Vec<&str> = group.split('=').collect();
        let [members, outcome] = parts[..] else {
            panic!("line {line}: AB=deputy/coordinator, not {group:?}")
        };
        let (deputy, coordinator) = outcome.split_once('/').unwrap_or((outcome, outcome));
        for member in members.chars() {
            row.expected.push((member, deputy.into(), coordinator.into()));
        }
    }
    row
}

/// `3=ABC`: list number 3 with these names.
fn parse_list(line: usize, text: &str) -> (u64, ServerList) {
    let (number, names) =
        text.split_once('=').unwrap_or_else(|| panic!("line {line}: NUMBER=NAMES, not {text:?}"));
    let entry = |name: char| ServerEntry { name: name.to_string(), id: None };
    let number = number.parse().unwrap();
    (number, ServerList::new(number, names.chars().map(entry).collect()))
}

impl Row {
    /// `A-B` two-way, `A>B`: B hears A. Longer chains, and `*` for all pairs of the letters before.
    fn link(&mut self, text: &str) {
        let letters: Vec<char> = text.chars().filter(char::is_ascii_uppercase).collect();
        if text.ends_with('*') {
            for a in &letters {
                letters.iter().filter(|b| *b != a).for_each(|b| _ = self.arrows.insert((*a, *b)));
            }
            return;
        }
        let signs: Vec<char> = text.chars().filter(|sign| !sign.is_ascii_uppercase()).collect();
        for (pair, sign) in letters.windows(2).zip(signs) {
            self.arrows.insert((pair[0], pair[1]));
            match sign {
                '-' => _ = self.arrows.insert((pair[1], pair[0])),
                '>' => {}
                other => panic!("line {}: link with {other:?}", self.line),
            }
        }
    }

    fn record(&self, letter: char, marks: &BTreeSet<String>) -> Record {
        let value = |key: &str| marks.iter().find_map(|mark| mark.strip_prefix(key)).map(String::from);
        let number: Option<u64> = value("v").map(|number| number.parse().unwrap());
        let number = number.or(self.lists.keys().max().copied());
        let list = number.map(|number| self.lists[&number].clone()).unwrap_or_default();
        let name = value("name").unwrap_or_else(|| letter.to_string());
        let held_by_me = value("holds").unwrap_or_default();
        let links = self.arrows.iter().filter(|(_, hearer)| *hearer == letter);
        let link =
            |(heard, _): &(char, char)| Link { to: id(*heard), held: held_by_me.contains(*heard), flaps: 0 };
        Record {
            origin: id(letter),
            incarnation: Incarnation { counter: 1, random: 1 },
            revision: 1,
            place: list.place(id(letter), &name),
            name,
            ready: !marks.contains("listening"),
            leaving: marks.contains("leaving"),
            leaf: marks.contains("leaf"),
            default_server: match (marks.contains("sees"), marks.contains("blind")) {
                (true, _) => Report::Reachable,
                (_, true) => Report::Unreachable,
                _ => Report::Unknown,
            },
            list: if list.entries().is_empty() { ListVersion::default() } else { list.version() },
            leading: 0,
            seen: None,
            links: links.map(link).collect(),
        }
    }

    /// What the map says for each router, next to what the table expects.
    fn check(&self) -> Result<(), String> {
        let mut map = Map::new();
        // Known in the reverse order: the order of arrival must not matter.
        for (letter, marks) in self.routers.iter().rev() {
            assert!(map.insert(self.record(*letter, marks)));
        }
        let named: BTreeSet<char> = self.expected.iter().map(|(letter, ..)| *letter).collect();
        let all: BTreeSet<char> = self.routers.keys().copied().collect();
        if named != all {
            return Err(format!("line {}: expectations for {named:?}, routers {all:?}", self.line));
        }
        for (letter, deputy, coordinator) in &self.expected {
            let decision = map.decide(id(*letter));
            let found = (show(decision.deputy), show_coordinator(decision.coordinator));
            if found != (deputy.clone(), coordinator.clone()) {
                return Err(format!(
                    "line {}: {letter} finds {found:?}, not {deputy}/{coordinator}",
                    self.line
                ));
            }
        }
        Ok(())
    }
}

fn show(router: Option<RouterId>) -> String {
    router.map_or_else(|| "none".into(), |id| (id.0[0] as char).to_string())
}

fn show_coordinator(coordinator: Coordinator) -> String {
    match coordinator {
        Coordinator::None => "none".into(),
        Coordinator::DefaultServer => "default".into(),
        Coordinator::Router(id) => show(Some(id)),
    }
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().enumerate().map(|(index, text)| (index + 1, text.trim()));
    let lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    lines.map(|(line, text)| parse(line, text)).collect()
}

#[test]
fn every_row_of_the_table_decides_as_written() {
    let wrong: Vec<String> = rows().iter().filter_map(|row| row.check().err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_large_enough_and_covers_the_hard_cases() {
    let rows = rows();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let one_way = rows.iter().filter(|row| row.arrows.iter().any(|(a, b)| !row.arrows.contains(&(*b, *a))));
    assert!(one_way.count() >= 8, "rows with one-way links");
    let mixed = rows.iter().filter(|row| row.lists.len() > 1);
    assert!(mixed.count() >= 8, "rows with mixed list versions");
    let missing = |row: &&Row| {
        row.routers.keys().any(|a| row.routers.keys().any(|b| a < b && !row.arrows.contains(&(*a, *b))))
    };
    assert!(rows.iter().filter(missing).count() >= 10, "rows where not everyone hears everyone");
}

#[test]
fn a_row_that_is_wrong_is_found() {
    let row = parse(1, "1=AB | A B | A-B | AB=B");
    assert_eq!(row.check(), Err("line 1: A finds (\"A\", \"A\"), not B/B".into()));
}

//! What the pages for people say: the README and all that it leads to, their
//! blocks, and the commands in those that are marked `sh`.

macro_rules! pages {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../../", $name)))),*] };
}

/// Each page's path from the root of this workspace, and its text, as compiled in.
pub(crate) const PAGES: &[(&str, &str)] = pages![
    "README.md" "CONTRIBUTING.md" "openwrt/README.md" "docs/README.md" "docs/architecture.md"
    "docs/benchmarks.md" "docs/configuration.md" "docs/demo.md" "docs/doors.md" "docs/election.md" "docs/fau3vom-d.md"
    "docs/glossary.md" "docs/limits.md" "docs/main-server.md" "docs/mesh.md" "docs/openwrt.md"
    "docs/safety.md" "docs/storage.md" "docs/watching.md"
];

/// What a page consists of, as far as it matters here.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// A line that begins with `#`, without these.
    Heading(&'a str),
    /// A block, the word that it is marked with, and its text.
    Block(&'a str, String),
}

/// A page's headings and blocks, in their order.
pub(crate) fn pieces(page: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut block: Option<(&str, String)> = None;
    for line in page.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                let (marked, text) = block.take().unwrap();
                pieces.push(Piece::Block(marked, text));
            }
            (None, Some(marked)) => block = Some((marked, String::new())),
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, None) if line.starts_with('#') => {
                pieces.push(Piece::Heading(line.trim_start_matches('#').trim()));
            }
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a block has no end: {block:?}");
    pieces
}

/// The contents of all blocks of one page that are marked with `language`.
pub(crate) fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let blocks = pieces(page).into_iter().filter_map(|piece| match piece {
        Piece::Block(marked, text) if marked == language => Some(text),
        _ => None,
    });
    blocks.collect()
}

/// The contents of all blocks of all pages that are marked with `language`.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    PAGES.iter().flat_map(|(_, page)| blocks_of(page, language)).collect()
}

/// Each command line of all pages: a line of the shell.
pub(crate) fn command_lines() -> Vec<String> {
    let blocks = blocks("sh");
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The words of a command line, up to where its output goes. They hold no quotes
/// in front of this project's programs, which this would not understand.
pub(crate) fn words_of(line: &str) -> Vec<String> {
    let words = line.split_whitespace().take_while(|word| !matches!(*word, ">" | "|"));
    words.map(str::to_owned).collect()
}

/// The arguments of each command that runs the program `name`: by its name, from
/// `target/debug/`, or through `cargo run` with `selection` (`-p PACKAGE`, or nothing).
pub(crate) fn arguments_of(name: &str, selection: &[&str]) -> Vec<Vec<String>> {
    let built = format!("target/debug/{name}");
    let starts = [
        [&["cargo", "run"][..], selection, &["--"]].concat(),
        [&["cargo", "run", "--release"][..], selection, &["--"]].concat(),
        vec![name],
        vec![&built],
    ];
    let after_start = |line: String| {
        let words = words_of(&line);
        let start = starts.iter().find(|start| {
            words.len() >= start.len() && start.iter().zip(&words).all(|(wanted, word)| wanted == word)
        })?;
        Some(words[start.len()..].to_vec())
    };
    command_lines().into_iter().filter_map(after_start).collect()
}

//! The project's pages for people: README, CONTRIBUTING, `docs/` and OpenWrt's. What
//! stands in their blocks, and which commands those are.

use std::path::{Path, PathBuf};

/// One page.
pub(crate) struct Page {
    /// Where it is, from the workspace's root.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What stands between two fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// What it is marked with: `sh` (commands), `text` (what they print), or nothing.
    pub(crate) language: String,
    pub(crate) text: String,
    /// The last heading above it.
    pub(crate) heading: String,
}

/// One line of a block of commands.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    /// The page's path.
    pub(crate) page: String,
    pub(crate) line: String,
}

/// The workspace's folder: the one with the lock file, above whichever package is tested.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap().to_owned()
}

/// One page by its path.
pub(crate) fn page(path: &str) -> Page {
    let text = std::fs::read_to_string(root().join(path));
    Page { path: path.to_owned(), text: text.unwrap_or_else(|error| panic!("{path}: {error}")) }
}

/// All of them.
pub(crate) fn pages() -> Vec<Page> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut paths: Vec<_> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    paths.sort();
    let first = ["README.md", "CONTRIBUTING.md", "openwrt/README.md"].map(str::to_owned);
    first.into_iter().chain(paths).map(|path| page(&path)).collect()
}

impl Page {
    /// Its blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut heading = String::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{line}\n"),
                (None, Some(language)) => {
                    open = Some(Block {
                        language: language.to_owned(),
                        text: String::new(),
                        heading: heading.clone(),
                    });
                }
                (None, None) if line.starts_with('#') => heading = line.to_owned(),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "a block of {} has no end", self.path);
        blocks
    }

    /// Its text without blocks and without what stands in backquotes.
    pub(crate) fn prose(&self) -> String {
        let mut within = false;
        let outside = self.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            within ^= fence;
            !fence && !within
        });
        let outside: Vec<_> = outside.collect();
        outside.join("\n").split('`').step_by(2).collect::<Vec<_>>().join("`")
    }

    /// What stands in backquotes, outside of blocks.
    pub(crate) fn quoted(&self) -> Vec<String> {
        let blocks = self.text.split("\n```").step_by(2);
        blocks
            .flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

/// The contents of all blocks of all pages marked with `language`.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let all = pages().into_iter().flat_map(|page| page.blocks());
    all.filter(|block| block.language == language).map(|block| block.text).collect()
}

/// Each line of all blocks marked `sh`.
pub(crate) fn command_lines() -> Vec<CommandLine> {
    let of = |page: Page| {
        let shell = page.blocks().into_iter().filter(|block| block.language == "sh");
        let lines = shell.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>());
        let page = page.path;
        lines.map(|line| CommandLine { page: page.clone(), line }).collect::<Vec<_>>()
    };
    pages().into_iter().flat_map(of).filter(|command| !command.line.is_empty()).collect()
}

/// The simple commands of a line of shell, each as its words: what stands between `;`,
/// `|`, `&&` and parentheses, without redirections. Knows quotes, and no more.
pub(crate) fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None::<char>);
    for char in line.chars().chain([';']) {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(char),
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ' ' | ';' | '|' | '&' | '(' | ')' | '>') => {
                commands.last_mut().unwrap().extend(word.take());
                match char {
                    ' ' => {}
                    // Where to is no word of the command's.
                    '>' => commands.push(vec![">".to_owned()]),
                    _ => commands.push(Vec::new()),
                }
            }
            (None, _) => word.get_or_insert_default().push(char),
        }
    }
    assert!(quote.is_none(), "a quote has no end: {line}");
    commands.retain(|words| words.first().is_some_and(|first| first != ">"));
    commands
}

/// The words of each simple command of all pages.
pub(crate) fn commands() -> Vec<Vec<String>> {
    command_lines().iter().flat_map(|command| simple_commands(&command.line)).collect()
}

/// The arguments of each command that runs the program `name`: by its name, from where it
/// is built, or through `cargo run`.
pub(crate) fn arguments_of(name: &str) -> Vec<Vec<String>> {
    commands().into_iter().filter_map(|words| program_arguments(&words, name)).collect()
}

/// The same of one command; `None`: it runs something else.
pub(crate) fn program_arguments(words: &[String], name: &str) -> Option<Vec<String>> {
    let through_cargo: &[&str] = match name {
        "fau3" => &["cargo", "run", "--"],
        _ => &["cargo", "run", "--release", "-p", name, "--"],
    };
    let built = ["debug", "release"].map(|kind| format!("target/{kind}/{name}"));
    if words.len() >= through_cargo.len()
        && words.iter().zip(through_cargo).all(|(word, wanted)| word == wanted)
    {
        return Some(words[through_cargo.len()..].to_vec());
    }
    (built.contains(&words[0]) || words[0] == name).then(|| words[1..].to_vec())
}

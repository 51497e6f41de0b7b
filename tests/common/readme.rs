//! The README's commands: what stands in its blocks marked `sh`.

/// The README of this workspace, as compiled in.
pub(crate) const README: &str = include_str!("../../README.md");

/// The contents of all blocks marked with `language`.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in README.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                let (wanted, text) = block.take().unwrap();
                blocks.extend(wanted.then_some(text));
            }
            (None, Some(marked)) => block = Some((marked == language, String::new())),
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a block of the README has no end");
    blocks
}

/// The words of each command line. They hold no quotes and no pipes into
/// this project's programs, which this would not understand.
pub(crate) fn commands() -> Vec<Vec<String>> {
    let lines = blocks("sh");
    let lines = lines.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The arguments of each command that runs the program `name`: by its name, from
/// `target/release/`, or through `cargo run` with `selection` (`-p PACKAGE`, or nothing).
pub(crate) fn arguments_of(name: &str, selection: &[&str]) -> Vec<Vec<String>> {
    let through_cargo = [&["cargo", "run", "--release"][..], selection, &["--"]].concat();
    let starts = [through_cargo, vec![name]];
    let built = format!("target/release/{name}");
    let after_start = |command: Vec<String>| {
        let start = starts.iter().find(|start| {
            command.len() >= start.len() && start.iter().zip(&command).all(|(wanted, word)| wanted == word)
        });
        match start {
            Some(start) => Some(command[start.len()..].to_vec()),
            None => (command[0] == built).then(|| command[1..].to_vec()),
        }
    };
    commands().into_iter().filter_map(after_start).collect()
}

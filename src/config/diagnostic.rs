//! What is said about a configuration: where, which option, what is wrong and
//! what would be right.

use core::fmt;
use std::path::PathBuf;

/// From where a value came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1; 0 where it is about the file itself.
    File(PathBuf, u32),
    /// The command line's `--set`.
    Set,
    /// Given nowhere.
    Default,
}

/// One error or warning, one line of text:
/// `/etc/config/fau3:12: clients.retry_count: 'many' is not a whole number from 0 to 100`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// From where the value came.
    pub origin: Origin,
    /// `SECTION` or `SECTION.OPTION`; empty where it is about neither.
    pub subject: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path, 0) => write!(f, "{}: ", path.display())?,
            Origin::File(path, line) => write!(f, "{}:{line}: ", path.display())?,
            Origin::Set => f.write_str("--set: ")?,
            Origin::Default => {}
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.message)
    }
}

/// Something odd that the program can live with.
pub type Warning = Diagnostic;

/// All that keeps a configuration from being used, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<Diagnostic>);

/// One error a line.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Diagnostic::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Errors {}

/// The one of `known` that was probably meant: at most a third of its letters differ.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|name| (distance(given, name), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

/// The longest name that is compared letter by letter, in bytes.
const COMPARED_LEN_MAX: usize = 64;

/// Levenshtein's edit distance in bytes, with a swap of neighbours as one edit
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase().into_bytes(), b.to_ascii_lowercase().into_bytes());
    if a.len().max(b.len()) > COMPARED_LEN_MAX {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut best = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_insertions_deletions_replacements_and_swaps() {
        let pairs = [("", "", 0), ("abc", "abc", 0), ("abc", "ab", 1), ("ab", "axb", 1), ("abc", "axc", 1)];
        let swaps =
            [("abc", "acb", 1), ("listen", "lsiten", 1), ("kitten", "sitting", 3), ("Mesh", "mesh", 0)];
        for (a, b, expected) in pairs.into_iter().chain(swaps) {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn nearest_is_silent_where_nothing_is_near() {
        let known = ["listen", "max_clients", "copies"];
        assert_eq!(nearest("maxclients", known.into_iter()), Some("max_clients"));
        assert_eq!(nearest("volume", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(4_000), known.into_iter()), None);
    }
}

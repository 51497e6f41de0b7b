//! Which file is read, and its text.

use super::diagnostic::{Diagnostic, Errors, Origin};
use super::uci::FILE_LEN_MAX;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What is read where no `--config` and no `--set` is given.
pub const DEFAULT_FILE: &str = "/etc/config/fau3";

/// The file to be read, if one is, and its text. `default` is read if it
/// exists and neither `named` nor `sets` is given.
pub(super) fn choose(
    named: Option<&Path>,
    sets: &[String],
    default: &Path,
) -> Result<Option<(PathBuf, String)>, Errors> {
    match named {
        Some(path) => Ok(Some((path.to_owned(), text_of(path)?))),
        None if sets.is_empty() && is_there(default) => Ok(Some((default.to_owned(), text_of(default)?))),
        None => Ok(None),
    }
}

/// A file that may not be looked at is there: not to be taken for none.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

fn text_of(path: &Path) -> Result<String, Errors> {
    let bytes = bytes_of(path).map_err(|error| {
        let message = format!("cannot be read: {error}; mend its path or its permissions");
        let origin = Origin::File(path.to_owned(), 0);
        Errors(vec![Diagnostic { origin, subject: String::new(), message }])
    })?;
    Ok(text(&bytes))
}

/// UCI knows bytes, not characters: what is no UTF-8, in a comment say, is what an
/// editor of old meant by it, Latin-1.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
    }
    text
}

/// At most one byte more than is accepted, so that the parser sees that it is too much.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(FILE_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("fau3-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_named_file_is_read_even_beside_sets() {
        let file = folder("named").join("fau3");
        std::fs::write(&file, "config node\n").unwrap();
        let sets = ["node.log=debug".to_owned()];
        let chosen = choose(Some(&file), &sets, Path::new("/nonexistent")).unwrap();
        assert_eq!(chosen, Some((file, "config node\n".to_owned())));
    }

    #[test]
    fn the_default_file_is_read_only_if_it_exists_and_nothing_is_set() {
        let folder = folder("default");
        let (file, missing) = (folder.join("fau3"), folder.join("missing"));
        std::fs::write(&file, "").unwrap();
        let sets = ["node.log=debug".to_owned()];
        assert_eq!(choose(None, &[], &file).unwrap(), Some((file.clone(), String::new())));
        assert_eq!(choose(None, &sets, &file).unwrap(), None);
        assert_eq!(choose(None, &[], &missing).unwrap(), None);
    }

    #[test]
    fn a_named_file_must_exist_and_be_a_file() {
        let folder = folder("wrong");
        let missing = folder.join("missing");
        for path in [&missing, &folder] {
            let text = choose(Some(path), &[], path).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{}: cannot be read: ", path.display())), "{text}");
            assert!(text.contains("mend its path"), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_latin_1_in_comments_and_values_alike() {
        let file = folder("latin").join("fau3");
        std::fs::write(&file, b"# B\xfcro, \xc3\xbc\nconfig node\n\toption data_dir '/B\xfcro'\n").unwrap();
        let (_, text) = choose(Some(&file), &[], &file).unwrap().unwrap();
        assert_eq!(text, "# B\u{fc}ro, \u{fc}\nconfig node\n\toption data_dir '/B\u{fc}ro'\n");
    }
}

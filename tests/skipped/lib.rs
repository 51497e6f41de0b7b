//! A test that lacks something is left out, and nobody may take it for one that
//! has passed: it says so at once, past what Cargo captures, and once more with all
//! others at the end of `cargo test --workspace`, where this package's own test counts
//! them. It knows nothing of what is tested.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;

/// Whether all that tests need has to be here, as in CI: `FAU3_REQUIRE_ALL=1`.
#[must_use]
pub fn all_required() -> bool {
    is_set("FAU3_REQUIRE_ALL")
}

/// Whether a variable of the environment is 1.
#[must_use]
pub fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value == "1")
}

/// Leaves the calling test out, since this machine lacks something. Always `true`,
/// so that a test reads `if missing_program && skipped("...") { return; }`.
///
/// # Panics
/// With `FAU3_REQUIRE_ALL=1`.
pub fn skipped(lacking: &str) -> bool {
    assert!(!all_required(), "FAU3_REQUIRE_ALL is set, and this machine lacks {lacking}");
    excused(&format!("this machine lacks {lacking}"))
}

/// The same, also with `FAU3_REQUIRE_ALL=1`: for what whoever started the tests has
/// said itself that it cannot be had.
pub fn excused(why: &str) -> bool {
    let thread = thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    // Not with `eprintln!`, which the harness keeps back of tests that pass.
    let _ = write!(io::stderr(), "SKIPPED, NOT TESTED: {line}");
    // What cannot be noted has been said.
    let _ = note(&line);
    true
}

/// One write of one line: tests of several programs may do so at once.
fn note(line: &str) -> io::Result<()> {
    File::options().create(true).append(true).open(list()?)?.write_all(line.as_bytes())
}

/// All that was left out since the last call, sorted, a line each.
///
/// # Errors
/// If the list is there and cannot be read or removed.
pub fn take() -> io::Result<Vec<String>> {
    let path = list()?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

/// Beside the folder that holds the test programs, which is the same for all of
/// one build.
fn list() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let build = program.parent().and_then(|folder| folder.parent());
    Ok(build.ok_or(io::ErrorKind::NotFound)?.join("skipped-tests.txt"))
}

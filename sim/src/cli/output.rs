//! Standard output, which may be a pipe that somebody closes, or a file on a full disk.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

/// What a shell says of a process that wrote where nobody reads: 128 and the signal's number.
const NOBODY_READS: i32 = 141;

/// Prints a line, as `println!` does.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::output::print(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(super) use say;

/// Prints as it is. Whoever has closed standard output has seen enough: then this process
/// ends, as one does that nobody keeps from it. A file that cannot be written is an error.
pub(super) fn print(text: Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(NOBODY_READS);
    }
    eprintln!("fau3-sim: cannot write to standard output: {error}");
    std::process::exit(1);
}

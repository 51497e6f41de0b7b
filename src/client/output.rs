//! What a command has to say in one piece, on standard output.

use std::io::{self, Write as _};

use super::Error;

/// Whoever closed standard output has seen enough.
///
/// # Errors
/// [`Error::File`] if it cannot be written otherwise: a key or a picture that went into a
/// full disk is none.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::File { what: "write", path: "to standard output".into(), error })
        }
        _ => Ok(()),
    }
}

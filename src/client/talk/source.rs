use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;

use tokio::sync::mpsc;

use crate::client::SPEEX_FRAME_BYTES;
use crate::client::error::Error;

/// Frames that are read ahead: one second of voice.
const READ_AHEAD_FRAMES: usize = 50;

/// Where a record or a stream comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// `-`.
    StandardInput,
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::StandardInput } else { Self::File(text.into()) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    /// Whether it can be read, and holds no more than `limit` bytes, as far as
    /// that can be known beforehand.
    pub(super) fn check(&self, limit: Option<usize>) -> Result<(), Error> {
        let Self::File(path) = self else { return Ok(()) };
        let metadata = File::open(path).and_then(|file| file.metadata()).map_err(|e| self.failed(e))?;
        if metadata.is_dir() {
            return Err(self.failed(io::ErrorKind::IsADirectory.into()));
        }
        // A pipe or a device has no size.
        if metadata.is_file() {
            self.check_size(metadata.len(), limit)?;
        }
        Ok(())
    }

    fn check_size(&self, bytes: u64, limit: Option<usize>) -> Result<(), Error> {
        match limit {
            _ if bytes == 0 => Err(Error::Empty { what: self.to_string() }),
            Some(limit) if bytes > limit as u64 => Err(Error::TooLarge { what: self.to_string(), limit }),
            _ => Ok(()),
        }
    }

    /// All of it, at most `limit` bytes. Read beside the runtime, which goes on.
    pub(super) fn read(&self, limit: usize) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>>>> {
        let source = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut payload = Vec::new();
            let file = source.open().map_err(|error| source.failed(error))?;
            file.take(limit as u64 + 1).read_to_end(&mut payload).map_err(|error| source.failed(error))?;
            source.check_size(payload.len() as u64, Some(limit))?;
            Ok(payload)
        });
        Box::pin(async { task.await.map_err(|error| Error::System(error.into()))? })
    }

    /// Its Speex frames, as they come. The last one may be shorter.
    pub(super) fn frames(&self) -> mpsc::Receiver<Result<Vec<u8>, Error>> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD_FRAMES);
        let source = self.clone();
        // A thread that waits for standard input does not keep the program from
        // ending, as a task of the runtime would.
        std::thread::spawn(move || {
            let frames = match source.open() {
                Ok(file) => Frames(file),
                Err(error) => {
                    let _ = sender.blocking_send(Err(source.failed(error)));
                    return;
                }
            };
            for frame in frames {
                let frame = frame.map_err(|error| source.failed(error));
                if sender.blocking_send(frame).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::StandardInput => Box::new(io::stdin().lock()),
            Self::File(path) => Box::new(io::BufReader::new(File::open(path)?)),
        })
    }

    fn failed(&self, error: io::Error) -> Error {
        let path = match self {
            Self::StandardInput => Path::new("standard input").to_owned(),
            Self::File(path) => path.clone(),
        };
        Error::File { what: "read", path, error }
    }
}

/// Cuts what is read into frames of [`SPEEX_FRAME_BYTES`].
struct Frames<R>(R);

impl<R: Read> Iterator for Frames<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let mut frame = Vec::with_capacity(SPEEX_FRAME_BYTES);
        match self.0.by_ref().take(SPEEX_FRAME_BYTES as u64).read_to_end(&mut frame) {
            Ok(0) => None,
            Ok(_) => Some(Ok(frame)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_38_bytes_however_the_reads_are_cut() {
        struct Dribble(Vec<u8>);
        impl Read for Dribble {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.0.len().min(buffer.len()).min(7);
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0.drain(..length);
                Ok(length)
            }
        }
        let sizes: Vec<_> = Frames(Dribble(vec![1; 100])).map(|frame| frame.unwrap().len()).collect();
        assert_eq!(sizes, [38, 38, 24]);
    }

    #[test]
    fn a_file_that_cannot_be_sent_is_known_before_anything_is() {
        let source = |path: &str| path.parse::<Source>().unwrap();
        assert_eq!(source("-"), Source::StandardInput);
        assert!(matches!(source("/").check(None), Err(Error::File { .. })));
        assert!(matches!(source("/nonexistent/x").check(None), Err(Error::File { .. })));
        assert!(matches!(source("/dev/null").check(None), Ok(())), "a device has no size");
        let this = source(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert!(matches!(this.check(Some(10)), Err(Error::TooLarge { limit: 10, .. })));
        assert!(matches!(this.check(None), Ok(())));
    }
}

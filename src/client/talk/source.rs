use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;

use tokio::sync::mpsc;

use super::format::{Format, HEAD_BYTES, conversion};
use super::ogg::OggSpeex;
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
    /// Whether it can be read, holds no more than `limit` bytes, and, where there is no
    /// limit, whole frames, as far as that can be known beforehand.
    pub(super) fn check(&self, limit: Option<usize>) -> Result<(), Error> {
        let Some(bytes) = self.bytes()? else { return Ok(()) };
        self.check_size(bytes, limit)?;
        if limit.is_none() && !bytes.is_multiple_of(SPEEX_FRAME_BYTES as u64) {
            return Err(Error::NotFrames { what: self.to_string(), bytes });
        }
        Ok(())
    }

    /// How many bytes of voice a file holds; `None` for what has no end yet.
    pub(super) fn bytes(&self) -> Result<Option<u64>, Error> {
        let Self::File(path) = self else { return Ok(None) };
        let metadata = std::fs::metadata(path).map_err(|error| self.failed(error))?;
        if metadata.is_dir() {
            return Err(self.failed(io::ErrorKind::IsADirectory.into()));
        }
        // A pipe or a device has no size, and what is read of it is gone.
        if !metadata.is_file() {
            return Ok(None);
        }
        let (format, mut file) = self.open()?;
        if format == Format::Bare {
            return Ok(Some(metadata.len()));
        }
        let counted = io::copy(&mut file, &mut io::sink());
        counted.map(Some).map_err(|error| self.failed(error))
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
            let (_, file) = source.open()?;
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
                Ok((_, file)) => Frames(file),
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
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

    /// Opens it where its frames begin.
    fn open(&self) -> Result<(Format, Box<dyn Read>), Error> {
        let mut file: Box<dyn Read> = match self {
            Self::StandardInput => Box::new(io::stdin().lock()),
            Self::File(path) => {
                Box::new(io::BufReader::new(File::open(path).map_err(|error| self.failed(error))?))
            }
        };
        let mut head = Vec::new();
        file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|error| self.failed(error))?;
        let format = Format::of(&head);
        let whole = io::Cursor::new(head).chain(file);
        match format {
            Format::Bare => Ok((format, Box::new(whole))),
            Format::OggSpeex => Ok((format, Box::new(OggSpeex::new(whole)))),
            Format::Foreign(is) => Err(self.no_voice(is.to_owned())),
        }
    }

    /// It holds something else than what radios play.
    fn no_voice(&self, is: String) -> Error {
        let next = match self {
            _ if is == "text" => "give the file of a voice message".to_owned(),
            Self::File(path) => conversion(path),
            Self::StandardInput => "convert it: ffmpeg -i - -ar 8000 -ac 1 -c:a libspeex -f ogg -".to_owned(),
        };
        Error::NoVoice { what: self.to_string(), is, next }
    }

    fn failed(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::InvalidData {
            return self.no_voice(format!("an Ogg file that cannot be used ({error})"));
        }
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
    use super::super::ogg::tests::file;
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
        let this = source(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/voice/voice.speex"));
        assert!(matches!(this.check(Some(10)), Err(Error::TooLarge { limit: 10, .. })));
        assert!(matches!(this.check(None), Ok(())));
    }

    #[test]
    fn a_file_that_is_no_voice_is_refused_with_the_line_to_type_whichever_way_it_is_to_be_sent() {
        let folder = std::env::temp_dir().join(format!("fau3-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let written = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            Source::File(path)
        };
        let wav = written("a.wav", &[b"RIFF\x24\0\0\0WAVEfmt ".as_slice(), &[0; 100]].concat());
        let text = written("a.txt", &b"this is no voice message. ".repeat(9));
        for limit in [None, Some(1_000)] {
            let told = wav.check(limit).unwrap_err().to_string();
            assert!(told.contains("a.wav is a WAV file") && told.contains("ffmpeg -i "), "{told}");
            let told = text.check(limit).unwrap_err().to_string();
            assert!(told.contains("a.txt is text"), "{told}");
        }
        // Speex in Ogg is what it holds, and one of another quality is told, with its reason.
        let frame = [9; SPEEX_FRAME_BYTES];
        let good = written("good.spx", &file(&[&frame, &frame]));
        assert_eq!(good.bytes().unwrap(), Some(2 * SPEEX_FRAME_BYTES as u64));
        assert_eq!(good.frames().blocking_recv().unwrap().unwrap(), frame);
        let told = written("low.spx", &file(&[&[9; 20]])).check(None).unwrap_err().to_string();
        assert!(told.contains("20 bytes") && told.contains("libspeex"), "{told}");
        // What is no whole number of frames cannot be sent live.
        let odd = written("odd.speex", &[7; 100]);
        assert!(matches!(odd.check(None), Err(Error::NotFrames { bytes: 100, .. })));
        assert!(matches!(odd.check(Some(1_000)), Ok(())), "as a record it is what it is");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

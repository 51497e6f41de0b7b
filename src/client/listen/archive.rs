use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::client::error::Error;
use crate::wire::fau3d::from_router::Record;

/// Characters of a client id that stand in a file's name.
const CLIENT_CHARS_MAX: usize = 64;
/// Bare Speex frames, in no container.
const EXTENSION: &str = "spx-raw";
/// Names with one time and client that are tried before it is an error.
const NAMES_MAX: u32 = 100_000;

/// A folder of voice messages, each a file that appears whole or not at all.
pub(super) struct Archive {
    dir: PathBuf,
    stream: Option<Growing>,
}

/// A file that is not whole yet.
struct Growing {
    file: File,
    hidden: PathBuf,
    path: PathBuf,
}

type Failed = (PathBuf, io::Error);

impl Archive {
    /// Makes the folder if there is none, and tries whether it can be written
    /// to: better now than with the first message.
    pub(super) fn open(dir: PathBuf) -> Result<Self, Error> {
        if dir.exists() && !dir.is_dir() {
            let error = io::Error::other("that is a file: name a folder, which is made if there is none");
            return Err(Error::File { what: "save into", path: dir, error });
        }
        let tried = fs::create_dir_all(&dir).and_then(|()| {
            let growing = Growing::new(&dir, "test", "test")?;
            fs::remove_file(&growing.hidden)
        });
        match tried {
            Ok(()) => Ok(Self { dir, stream: None }),
            Err(error) => Err(Error::File { what: "write to", path: dir, error }),
        }
    }

    /// Saves the records of a Playlist: all of them, or none.
    pub(super) fn save_all(&mut self, stamp: &str, records: &[Record]) -> Result<Vec<PathBuf>, Failed> {
        let mut files = Vec::new();
        for record in records {
            match self.save(stamp, record) {
                Ok(path) => files.push(path),
                Err(error) => {
                    for path in files {
                        // The Playlist comes again, and is saved whole then.
                        let _ = fs::remove_file(path);
                    }
                    return Err((self.dir.clone(), error));
                }
            }
        }
        Ok(files)
    }

    fn save(&self, stamp: &str, record: &Record) -> io::Result<PathBuf> {
        let mut growing = Growing::new(&self.dir, stamp, &record.client_id)?;
        growing.add(&record.payload)?;
        growing.finish()
    }

    pub(super) fn begin_stream(&mut self, stamp: &str) -> Result<(), Failed> {
        let growing = Growing::new(&self.dir, stamp, "stream").map_err(|error| (self.dir.clone(), error))?;
        self.stream = Some(growing);
        Ok(())
    }

    /// Does nothing once the stream could not be saved.
    pub(super) fn add_to_stream(&mut self, audio: &[u8]) -> Result<(), Failed> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Err(error) = stream.add(audio) else { return Ok(()) };
        let path = stream.path.clone();
        // What was saved before the disk was full stays.
        let _ = self.end_stream();
        Err((path, error))
    }

    pub(super) fn end_stream(&mut self) -> Result<Option<PathBuf>, Failed> {
        let Some(stream) = self.stream.take() else { return Ok(None) };
        let path = stream.path.clone();
        stream.finish().map(Some).map_err(|error| (path, error))
    }
}

impl Growing {
    /// A hidden file beside the place that it will take, so that nobody finds
    /// half of one. The hidden name is this process's alone: it is made only
    /// where none is.
    fn new(dir: &Path, stamp: &str, client: &str) -> io::Result<Self> {
        let client = sanitized(client);
        for number in 1..=NAMES_MAX {
            let name = format!("{stamp}-{client}-{number}.{EXTENSION}");
            let (path, hidden) = (dir.join(&name), dir.join(format!(".{name}.part")));
            match OpenOptions::new().write(true).create_new(true).open(&hidden) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Asked while the name is ours: nobody can finish it meanwhile.
                Ok(_) if path.exists() => fs::remove_file(&hidden)?,
                file => return Ok(Self { file: file?, hidden, path }),
            }
        }
        Err(io::Error::other("the folder holds too many messages of this client and second"))
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// On the disk under its name: what is confirmed after this stays.
    fn finish(self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        fs::rename(&self.hidden, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(self.path.clone())
    }
}

impl Drop for Growing {
    /// After [`Growing::finish`] there is none of that name any more.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.hidden);
    }
}

/// A client id as part of a name: no separators, no dots, nothing that a shell
/// or another file system minds.
fn sanitized(client: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let text: String = client.chars().take(CLIENT_CHARS_MAX).map(keep).collect();
    if text.is_empty() { "_".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("fau3-archive-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    fn record(client_id: &str, payload: &[u8]) -> Record {
        Record { client_id: client_id.into(), payload: payload.to_vec() }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn ids_that_imitate_paths_stay_in_the_folder() {
        let dir = scratch("paths");
        let mut archive = Archive::open(dir.clone()).unwrap();
        for id in ["../../etc/passwd", "/etc/passwd", "..", "", "a\\b:c", "я".repeat(200).as_str()] {
            let files = archive.save_all("20260131-123456", &[record(id, b"voice")]).unwrap();
            assert_eq!(files[0].parent(), Some(&*dir), "{id}");
            assert_eq!(fs::read(&files[0]).unwrap(), b"voice");
        }
        assert_eq!(names(&dir).len(), 6);
        assert!(names(&dir).contains(&"20260131-123456-______etc_passwd-1.spx-raw".to_owned()));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn messages_of_one_second_get_names_of_their_own_and_none_is_overwritten() {
        let dir = scratch("names");
        for run in 0..2 {
            let mut archive = Archive::open(dir.clone()).unwrap();
            let records = [record("c", b"1"), record("c", b"2")];
            let files = archive.save_all("t", &records).unwrap();
            assert!(files[1].ends_with(format!("t-c-{}.spx-raw", run * 2 + 2)), "{files:?}");
        }
        assert_eq!(names(&dir).len(), 4);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_stream_appears_whole_when_it_ends() {
        let dir = scratch("stream");
        let mut archive = Archive::open(dir.clone()).unwrap();
        archive.begin_stream("t").unwrap();
        archive.add_to_stream(b"ab").unwrap();
        archive.add_to_stream(b"cd").unwrap();
        assert_eq!(names(&dir), [".t-stream-1.spx-raw.part"]);
        let file = archive.end_stream().unwrap().unwrap();
        assert_eq!(fs::read(file).unwrap(), b"abcd");
        assert_eq!(names(&dir), ["t-stream-1.spx-raw"]);
        assert!(archive.end_stream().unwrap().is_none());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_known_at_once() {
        let file = scratch("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Archive::open(file.join("below")), Err(Error::File { .. })));
        fs::remove_file(file).unwrap();
    }
}

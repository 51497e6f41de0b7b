//! Small files, written all or nothing.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::warn;

use super::Error;

/// A larger file is not one of these, in bytes.
const SIZE_MAX: u64 = 64 * 1_024;
/// Files written by this process, for people who mind their flash.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

/// How many of these files this process has written.
#[must_use]
pub fn written() -> u32 {
    WRITTEN.load(Ordering::Relaxed)
}

/// A file's content; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut content));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(path)(error)),
        Ok(_) if content.len() as u64 > SIZE_MAX => {
            let error = io::Error::other(format!("it is larger than {SIZE_MAX} bytes"));
            Err(Error::read(path)(error))
        }
        Ok(_) => Ok(Some(content)),
    }
}

/// Whether nothing is left of a file but its name, as after a power cut in the midst of
/// a write: no bytes, or only zeros and white space.
pub(super) fn is_lost(content: &[u8]) -> bool {
    content.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace())
}

/// Warns if others than its owner may read what has been found to be a secret:
/// of any other file that would be bad advice.
pub(super) fn warn_unless_secret(path: &Path) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        warn!("{0}: others may read or change this secret; run: chmod 600 {0}", path.display());
    }
}

/// Makes a file that only its owner may read. One that is there already stays
/// as it is, without an error.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, content)?;
    // A link, unlike a renaming, never replaces; some file systems have none.
    let made = match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) if !path.exists() => fs::rename(&draft, path),
        other => other,
    };
    let _ = fs::remove_file(&draft);
    made.and_then(|()| sync_folder(path))
}

/// Replaces a file's content: after a loss of power it holds either the old one
/// or the new one.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, content)?;
    if let Err(error) = fs::rename(&draft, path) {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    sync_folder(path)
}

/// The path with `suffix` behind its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

fn write_draft(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder(path))?;
    let draft = with_suffix(path, &format!(".{}.tmp", std::process::id()));
    WRITTEN.fetch_add(1, Ordering::Relaxed);
    // One that a crash left behind is in the way, and may be anybody's link.
    let _ = fs::remove_file(&draft);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
    match written {
        Ok(()) => Ok(draft),
        Err(error) => {
            let _ = fs::remove_file(&draft);
            Err(error)
        }
    }
}

/// The name is on disk only once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A folder of its own, gone at the end.
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let dir = std::env::temp_dir().join(format!("fau3-identity-{}-{number}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn creating_never_replaces_and_replacing_does() {
        let folder = Folder::new();
        let path = folder.path().join("f");
        create(&path, b"first").unwrap();
        create(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"first");
        replace(&path, b"third").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"third");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no drafts are left");
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused_and_an_absent_one_is_none() {
        let folder = Folder::new();
        let path = folder.path().join("f");
        assert!(read(&path).unwrap().is_none());
        fs::write(&path, vec![0; SIZE_MAX as usize + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger than 65536 bytes"));
    }
}

//! The files in the data folder, by name: whether they are still those that are
//! open, that nobody else reads them, and how one that is in the way is moved.
//!
//! None of this opens the database's file: closing it again would drop SQLite's
//! lock on it (fcntl(2)).

use std::fs::{self, DirBuilder, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::{error, warn};

use super::database::Fault;
use super::{DAMAGED_NAME, FILE_NAME, FOUND_NAME};

/// Databases found in the way that are kept; with so many there nothing is
/// stored until somebody has looked at them.
const FOUND_MAX: u32 = 9;
/// What belongs to a database, itself last: a log that stayed would be applied
/// to the next file.
const SUFFIXES: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// What a name leads to. Two files that exist at one time differ in the first
/// two; whoever writes into one changes at least one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Seen {
    fn at(path: &Path) -> Result<Option<Self>, Fault> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(Self {
                device: found.dev(),
                inode: found.ino(),
                bytes: found.len(),
                changed: (found.mtime(), found.mtime_nsec()),
            })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Fault::Disk(format!("{}: {error}", path.display()))),
        }
    }

    fn is_same_file(one: Option<Self>, other: Option<Self>) -> bool {
        one.map(|seen| (seen.device, seen.inode)) == other.map(|seen| (seen.device, seen.inode))
    }
}

/// The database and its write-ahead log, as they were after the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    database: Option<Seen>,
    log: Option<Seen>,
}

impl Files {
    /// What the names lead to now.
    pub(super) fn at(file: &Path) -> Result<Self, Fault> {
        Ok(Self { database: Seen::at(file)?, log: Seen::at(&with(file, "-wal"))? })
    }

    /// Whether the names lead to the same files, whatever is in them.
    pub(super) fn are_same(&self, other: &Self) -> bool {
        Seen::is_same_file(self.database, other.database) && Seen::is_same_file(self.log, other.log)
    }

    /// These are no longer what the names lead to: makes way for a new
    /// database without losing what somebody put there. Says what was found.
    pub(super) fn make_way(&self, dir: &Path) -> Result<String, Fault> {
        let file = dir.join(FILE_NAME);
        let now = Self::at(&file)?;
        if now.log.is_some() && now.log == self.log && now.database != self.database {
            // It belongs to the file that is gone, and is in memory.
            let _ = fs::remove_file(with(&file, "-wal"));
        }
        let (is_own, is_log_own) = (now.database == self.database, now.log.is_none() || now.log == self.log);
        Ok(match now.database {
            Some(_) if is_own && is_log_own => format!("{FILE_NAME}-wal is gone"),
            Some(_) if is_own => {
                format!("another {FILE_NAME}-wal is in its place; {}", set_found_aside(dir)?)
            }
            Some(_) => format!("another {FILE_NAME} is in its place; {}", set_found_aside(dir)?),
            None => {
                if !is_log_own {
                    set_found_aside(dir)?;
                }
                format!("{FILE_NAME} is gone")
            }
        })
    }
}

fn with(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The folder and an empty file, made if absent: the disk below may have come
/// since the last try. An empty one that is there is said to be so.
pub(super) fn prepare(dir: &Path) -> Result<PathBuf, Fault> {
    let failed = |error: io::Error| Fault::Disk(error.to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let file = dir.join(FILE_NAME);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::metadata(&file).is_ok_and(|found| found.len() == 0) {
                warn!(
                    "{}: is empty, as a power cut or a full disk leaves it; beginning anew. If there is a \
                     backup, stop fau3, put it in this place, and start again",
                    file.display()
                );
            }
        }
        Err(error) => return Err(failed(error)),
    }
    make_private(dir);
    Ok(file)
}

/// What an older version, or a umask, left open to others is closed.
fn make_private(dir: &Path) {
    let is_database = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(FILE_NAME.as_bytes());
    let is_open = |found: &Metadata| found.permissions().mode() & 0o077 != 0;
    let close = |path: &Path, mode| {
        if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) {
            warn!("{}: others may read it, and that cannot be changed: {error}", path.display());
        }
    };
    let mut is_shared = false;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if !is_open(&found) || found.is_symlink() {
            continue;
        }
        if is_database(&entry.file_name()) && found.is_file() {
            close(&entry.path(), 0o600);
        } else {
            is_shared = true;
        }
    }
    if !fs::metadata(dir).is_ok_and(|found| is_open(&found)) {
        return;
    }
    if is_shared {
        warn!(
            "{}: holds other files that everybody may read, so the folder is left open (the records in it are \
             private); give node.data_dir a folder of its own",
            dir.display()
        );
    } else {
        close(dir, 0o700);
    }
}

/// Moves a database that cannot be used out of the way, with what belongs to it.
/// One of an earlier damage is replaced.
pub(super) fn set_aside(dir: &Path, why: &str) -> Result<(), Fault> {
    let to = dir.join(DAMAGED_NAME);
    move_all(dir, &to).map_err(|error| {
        Fault::Disk(format!("{FILE_NAME} is damaged ({why}) and cannot be moved: {error}"))
    })?;
    error!(
        "{}: cannot be used ({why}); moved to {}, beginning with an empty one. What it held is lost for \
         delivery unless it is in memory; delete it if nobody wants to look into it",
        dir.join(FILE_NAME).display(),
        to.display()
    );
    Ok(())
}

/// Moves a database that another life or another person left there, which may
/// be a backup: never one over another. Says where it is, and how to use it.
pub(super) fn set_found_aside(dir: &Path) -> Result<String, Fault> {
    let free = |number: &u32| {
        let to = dir.join(format!("{FOUND_NAME}{number}"));
        SUFFIXES.iter().all(|suffix| fs::symlink_metadata(with(&to, suffix)).is_err())
    };
    let Some(number) = (1..=FOUND_MAX).find(free) else {
        return Err(Fault::Disk(format!(
            "another {FILE_NAME} is in the way, and {FOUND_NAME}1 to {FOUND_NAME}{FOUND_MAX} are taken: move \
             those away that you want, delete the others"
        )));
    };
    let to = dir.join(format!("{FOUND_NAME}{number}"));
    move_all(dir, &to).map_err(|error| {
        Fault::Disk(format!("another {FILE_NAME} is in the way and cannot be moved: {error}"))
    })?;
    Ok(format!("it was moved to {} (to use it, stop fau3 and move it back)", to.display()))
}

/// With its logs. What lies at the new name goes, since it belongs to nothing there.
fn move_all(dir: &Path, to: &Path) -> io::Result<()> {
    for suffix in SUFFIXES {
        let (from, to) = (with(&dir.join(FILE_NAME), suffix), with(to, suffix));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let _ = fs::remove_file(&to);
            }
            other => other?,
        }
    }
    Ok(())
}

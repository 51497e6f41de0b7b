//! The database file: opening, schema, reading all of it, writing one batch.
//!
//! It is laid out for flash. Everything that a record brings is appended
//! (row ids rise with positions), so that a burst touches few pages; pages of
//! deleted rows are used again instead of being given back; one transaction
//! costs one flush of the write-ahead log. Memory stays below 1 MiB.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, ffi};

use super::batch::{Batch, Whole, signed};
use super::files::Files;
use super::row::{self, BadRow};
use crate::router::{REMEMBERED_MAX, Restored, StoredRecord};

/// In the file's header, so that `file` and people can tell whose it is: "FAU3".
const APPLICATION_ID: i32 = 0x4641_5533;
/// The schema below. A change that old programs cannot read counts it up.
pub(super) const SCHEMA_VERSION: i32 = 1;
/// Remembered messages live this many times as long as records (DESIGN.md,
/// "Record").
const REMEMBERED_LIVES: i32 = 2;

/// Nothing is answered before it is flushed (`synchronous`), a second process
/// is kept out and no memory is mapped (`locking_mode`), 256 KiB of cache, a
/// log of some 512 KiB.
const PRAGMAS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -256;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA secure_delete = OFF;
    PRAGMA wal_autocheckpoint = 128;
    PRAGMA journal_size_limit = 1048576;";

/// Moments are in ms on a clock that runs on from life to life and stands still
/// between them; `life` has one row.
const SCHEMA: &str = "
    CREATE TABLE records (
        position INTEGER PRIMARY KEY, born_ms INTEGER NOT NULL,
        router BLOB NOT NULL, counter INTEGER NOT NULL, random INTEGER NOT NULL,
        sequence INTEGER NOT NULL, lamport INTEGER NOT NULL, previous TEXT,
        room TEXT NOT NULL, client_id TEXT NOT NULL, message_uuid TEXT NOT NULL,
        payload BLOB NOT NULL) STRICT;
    CREATE TABLE sessions (
        client_id TEXT PRIMARY KEY, room TEXT, monitor_period_s INTEGER NOT NULL,
        ping_period_s INTEGER NOT NULL, settled TEXT NOT NULL, version TEXT NOT NULL,
        entered TEXT NOT NULL, moved_over TEXT NOT NULL, last TEXT) STRICT, WITHOUT ROWID;
    CREATE TABLE remembered (
        position INTEGER PRIMARY KEY, born_ms INTEGER NOT NULL, key BLOB NOT NULL) STRICT;
    CREATE TABLE life (
        id INTEGER PRIMARY KEY CHECK (id = 0), life INTEGER NOT NULL,
        clock_ms INTEGER NOT NULL, top INTEGER NOT NULL) STRICT;";
/// What a main server has of which origin; programs before it know nothing of it, and
/// need not.
const PUSHED: &str = "
    CREATE TABLE IF NOT EXISTS pushed (
        router BLOB NOT NULL, counter INTEGER NOT NULL, random INTEGER NOT NULL,
        floor INTEGER NOT NULL, top INTEGER NOT NULL) STRICT;";

/// What can be wrong with the file, by what is to be done about it.
#[derive(Debug)]
pub(super) enum Fault {
    /// Another process has it.
    InUse,
    /// A newer program made it.
    Newer(i32),
    /// It holds what no fau3 wrote: to be moved out of the way.
    Damaged(String),
    /// The disk does not do what it is asked for now: full, read-only, broken.
    Disk(String),
    /// The file by this name is not the one that is open: what was stored is lost
    /// with the power.
    Replaced,
    /// The file by this name was not the one that was open: the way is free now, and what was found there.
    Lost(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another process uses the database"),
            Self::Newer(version) => write!(f, "a newer fau3 wrote it, schema {version}"),
            Self::Damaged(why) => write!(f, "the database is damaged: {why}"),
            Self::Disk(why) | Self::Lost(why) => f.write_str(why),
            Self::Replaced => f.write_str("the database is not the file that was open"),
        }
    }
}

/// The last word of the life that wrote last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LastLife {
    /// Drawn at its start; 0: nothing was ever written.
    pub(super) life: u64,
    pub(super) clock_ms: i64,
    pub(super) top: u64,
}

/// An open database file. Closing it folds the write-ahead log into it.
#[derive(Debug)]
pub(super) struct Database {
    conn: Connection,
    file: PathBuf,
    /// What was open after the last commit.
    files: Files,
    /// Rows in `remembered`.
    remembered: usize,
    pub(super) last: LastLife,
}

impl Database {
    /// Opens the file or makes it.
    pub(super) fn open(file: &Path) -> Result<Self, Fault> {
        let conn = Connection::open(file)?;
        // The lock is held for as long as the other process lives.
        conn.busy_timeout(Duration::ZERO)?;
        // Before anything is changed: is it ours?
        conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE;")?;
        let fresh = is_fresh(&conn)?;
        conn.execute_batch(PRAGMAS)?;
        if fresh {
            create_schema(&conn)?;
        }
        conn.execute_batch(PUSHED)?;
        let remembered: i64 = conn.query_row("SELECT count(*) FROM remembered", [], |row| row.get(0))?;
        let last = conn.query_row("SELECT life, clock_ms, top FROM life", [], |row| {
            let (life, top) = (row.get::<_, i64>(0)?, row.get::<_, i64>(2)?);
            Ok(LastLife { life: life.cast_unsigned(), clock_ms: row.get(1)?, top: top.cast_unsigned() })
        })?;
        let files = Files::at(file)?;
        let remembered = usize::try_from(remembered).unwrap_or(usize::MAX);
        Ok(Self { conn, file: file.into(), files, remembered, last })
    }

    /// Whether the names still lead to the files that are open, and nobody else
    /// has written into them.
    pub(super) fn look(&self) -> Result<(), Fault> {
        if Files::at(&self.file)? == self.files { Ok(()) } else { Err(Fault::Replaced) }
    }

    /// Lets go of it without another write: what has its name is another's now.
    pub(super) fn abandon(self) -> Files {
        // Else closing would fold the log into whatever lies there.
        let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        self.files
    }

    /// Everything that earlier lives left; ages are reckoned until the last
    /// commit. What is remembered for longer than it may be is left out.
    pub(super) fn load(&self, age_max: Duration) -> Result<Restored, Fault> {
        let now_ms = self.last.clock_ms;
        let records = self.rows("SELECT * FROM records ORDER BY position", |row| row::record(row, now_ms))?;
        let sessions = self.rows("SELECT * FROM sessions", row::session)?;
        // Of what is still held the key is made anew: programs before this one made
        // it of less.
        let key_of = |position: u64| {
            let at = records.binary_search_by_key(&position, |stored: &StoredRecord| stored.position).ok()?;
            Some(records[at].record.key())
        };
        let mut remembered = self.rows("SELECT * FROM remembered ORDER BY position", |row| {
            let position = row.get::<_, i64>("position")?.cast_unsigned();
            let key = key_of(position).map_or_else(|| row::key(row, "key"), Ok)?;
            Ok((key, row::age_ms(row.get("born_ms")?, now_ms)))
        })?;
        let oldest = age_max * REMEMBERED_LIVES.unsigned_abs();
        remembered.retain(|(_, age_ms)| Duration::from_millis(*age_ms) < oldest);
        let top = records.last().map_or(self.last.top, |last| last.position.max(self.last.top));
        let pushed = self.rows("SELECT * FROM pushed", row::pushed)?;
        Ok(Restored { records, sessions, remembered, top, pushed })
    }

    /// Writes a batch, all or nothing. `base_ms` is the clock at the start of
    /// this life.
    pub(super) fn write(
        &mut self,
        batch: &Batch,
        life: u64,
        base_ms: i64,
        age_max: Duration,
    ) -> Result<(), Fault> {
        self.look()?;
        let clock_ms = base_ms.saturating_add(signed(batch.clock_ms));
        let top = batch.records.last().map_or(0, |(stored, _)| stored.position);
        let top = top.max(batch.whole.as_ref().map_or(0, |whole| whole.top));
        let last = LastLife { life, clock_ms, top: top.max(self.last.top) };
        let transaction = self.conn.transaction()?;
        let mut remembered = self.remembered + batch.records.len();
        if let Some(whole) = &batch.whole {
            remembered = batch.records.len() + replace_all(&transaction, whole, base_ms)?;
        }
        if let Some((first, last)) = batch.disowned {
            remembered = remembered.saturating_sub(disown(&transaction, first, last)?);
        }
        for (stored, born_ms) in &batch.records {
            row::insert_record(&transaction, stored, base_ms.saturating_add(*born_ms))?;
        }
        transaction
            .prepare_cached("DELETE FROM records WHERE position < ?1")?
            .execute([batch.floor.cast_signed()])?;
        for (client_id, session) in &batch.sessions {
            match session {
                Some(session) => row::replace_session(&transaction, session)?,
                None => row::delete_session(&transaction, client_id)?,
            }
        }
        if let Some(pushed) = &batch.pushed {
            row::replace_pushed(&transaction, pushed)?;
        }
        let remembered = forget(&transaction, remembered, clock_ms, age_max)?;
        transaction.prepare_cached("UPDATE life SET life = ?1, clock_ms = ?2, top = ?3")?.execute([
            last.life.cast_signed(),
            last.clock_ms,
            last.top.cast_signed(),
        ])?;
        transaction.commit()?;
        let files = Files::at(&self.file)?;
        if !files.are_same(&self.files) {
            return Err(Fault::Replaced);
        }
        (self.last, self.remembered, self.files) = (last, remembered, files);
        Ok(())
    }

    fn rows<T>(
        &self,
        sql: &str,
        read: impl Fn(&rusqlite::Row<'_>) -> Result<T, BadRow>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

/// Whether nothing is in the file yet.
fn is_fresh(conn: &Connection) -> Result<bool, Fault> {
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i32>(0));
    if number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(true);
    }
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(Fault::Damaged("it is the database of another program".into()));
    }
    match number("PRAGMA user_version")? {
        SCHEMA_VERSION => Ok(false),
        newer if newer > SCHEMA_VERSION => Err(Fault::Newer(newer)),
        unknown => Err(Fault::Damaged(format!("its schema has the unknown version {unknown}"))),
    }
}

fn create_schema(conn: &Connection) -> Result<(), Fault> {
    conn.execute_batch(&format!(
        "BEGIN; {SCHEMA} INSERT INTO life VALUES (0, 0, 0, 0);
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    ))?;
    Ok(())
}

/// Whatever was in the file gives way. Says how many messages are remembered.
fn replace_all(conn: &Connection, whole: &Whole, base_ms: i64) -> Result<usize, Fault> {
    conn.execute_batch("DELETE FROM records; DELETE FROM remembered; DELETE FROM sessions;")?;
    // Before all records, in order.
    let first = -signed(whole.remembered.len() as u64);
    for (position, (key, born_ms)) in (first..).zip(&whole.remembered) {
        row::insert_remembered(conn, position, base_ms.saturating_add(*born_ms), *key)?;
    }
    for (stored, born_ms) in &whole.records {
        row::insert_record(conn, stored, base_ms.saturating_add(*born_ms))?;
    }
    Ok(whole.remembered.len() + whole.records.len())
}

/// Takes back what was answered with "not on disk". Says how many were there.
fn disown(conn: &Connection, first: u64, last: u64) -> Result<usize, Fault> {
    let range = [first.cast_signed(), last.cast_signed()];
    conn.prepare_cached("DELETE FROM records WHERE position BETWEEN ?1 AND ?2")?.execute(range)?;
    Ok(conn.prepare_cached("DELETE FROM remembered WHERE position BETWEEN ?1 AND ?2")?.execute(range)?)
}

/// Keeps what is remembered within its bounds, oldest first. Says how many rows
/// are left of `rows`.
fn forget(conn: &Connection, rows: usize, clock_ms: i64, age_max: Duration) -> Result<usize, Fault> {
    let lifetime_ms = (age_max * REMEMBERED_LIVES.unsigned_abs()).as_millis();
    let born_ms_min = clock_ms.saturating_sub(i64::try_from(lifetime_ms).unwrap_or(i64::MAX));
    // Reads only what is too old, and the first that is not.
    let mut gone = conn
        .prepare_cached(
            "DELETE FROM remembered WHERE position < coalesce((SELECT position FROM remembered
             WHERE born_ms > ?1 ORDER BY position LIMIT 1), 9223372036854775807)",
        )?
        .execute([born_ms_min])?;
    let over = rows.saturating_sub(gone).saturating_sub(REMEMBERED_MAX);
    if over > 0 {
        gone += conn
            .prepare_cached(
                "DELETE FROM remembered WHERE position <= (SELECT position FROM remembered
                 ORDER BY position LIMIT 1 OFFSET ?1)",
            )?
            .execute([i64::try_from(over - 1).unwrap_or(i64::MAX)])?;
    }
    Ok(rows.saturating_sub(gone))
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error() else {
            // A column of the wrong type, a row that is missing.
            return Self::Damaged(error.to_string());
        };
        match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::InUse,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged(error.to_string()),
            // The file ends in the middle; or it lacks a table or column.
            ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
                Self::Damaged(error.to_string())
            }
            ErrorCode::Unknown if code.extended_code == ffi::SQLITE_ERROR => Self::Damaged(error.to_string()),
            _ => Self::Disk(error.to_string()),
        }
    }
}

impl From<BadRow> for Fault {
    fn from(bad: BadRow) -> Self {
        match bad {
            BadRow::Sql(error) => error.into(),
            BadRow::Content(what) => Self::Damaged(what),
        }
    }
}

//! Files that hold something else than what was written.

use std::fs;
use std::path::Path;

use crate::store::testing::{AGE_MAX, Folder, commit, open, store_all, with_payload};
use crate::store::{Bounds, DAMAGED_NAME, FILE_NAME, Store};

/// A folder with 50 records and no write-ahead log.
fn with_records() -> Folder {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    store_all(&mut store, (1..=50).map(|number| with_payload(number, &[7; 2_000])));
    folder
}

/// Opens with nothing in it, stores, and finds that again.
fn begins_anew(dir: &Path, damaged: &[u8]) {
    let (mut store, restored) = open(dir);
    assert!(restored.records.is_empty() && restored.top == 0);
    assert_eq!(fs::read(dir.join(DAMAGED_NAME)).unwrap(), damaged, "moved aside as it was");
    assert!(store_all(&mut store, [commit(1)])[0].ok);
    drop(store);
    assert_eq!(open(dir).1.records.len(), 1);
}

#[test]
fn a_file_that_is_no_database_is_moved_aside() {
    let folder = Folder::new();
    let garbage: Vec<u8> = (0..50_000_u32).map(|n| ((n * n) >> 7) as u8).collect();
    fs::write(folder.path().join(FILE_NAME), &garbage).unwrap();
    begins_anew(folder.path(), &garbage);
}

#[test]
fn a_file_that_ends_in_the_middle_is_moved_aside() {
    let folder = with_records();
    let file = folder.path().join(FILE_NAME);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    begins_anew(folder.path(), &whole[..whole.len() / 2]);
}

#[test]
fn a_file_with_pages_overwritten_is_moved_aside() {
    let folder = with_records();
    let file = folder.path().join(FILE_NAME);
    let mut content = fs::read(&file).unwrap();
    content[4_096..].fill(0xff);
    fs::write(&file, &content).unwrap();
    begins_anew(folder.path(), &content);
}

#[test]
fn rows_that_fau3_never_writes_are_moved_aside() {
    for change in [
        "UPDATE records SET room = '' WHERE position = 7",
        "UPDATE records SET router = zeroblob(1) WHERE position = 7",
        "UPDATE records SET previous = '[1]' WHERE position = 7",
        "INSERT INTO sessions VALUES ('a', 'r', 0, 0, 'settled', '[1,\"01\",1,1,1]', '[]', '[]', NULL)",
        "INSERT INTO sessions VALUES ('a', 'r', 0, -1, '[]', '[1,\"01\",1,1,1]', '[]', '[]', NULL)",
        "DELETE FROM life",
        "DROP TABLE sessions",
        "PRAGMA application_id = 1",
    ] {
        let folder = with_records();
        let file = folder.path().join(FILE_NAME);
        rusqlite::Connection::open(&file).unwrap().execute_batch(change).unwrap();
        let content = fs::read(&file).unwrap();
        begins_anew(folder.path(), &content);
    }
}

#[test]
fn a_write_ahead_log_is_never_applied_to_the_next_file() {
    // Given: the files of a node that was killed, the larger one damaged.
    let (alive, folder) = (Folder::new(), Folder::new());
    let (mut store, _) = open(alive.path());
    store_all(&mut store, (1..=20).map(|number| with_payload(number, &[7; 2_000])));
    let log = format!("{FILE_NAME}-wal");
    assert!(fs::copy(alive.path().join(&log), folder.path().join(&log)).unwrap() > 40_000);
    let garbage = [0x5a; 8_192];
    fs::write(folder.path().join(FILE_NAME), garbage).unwrap();
    // When, then: whatever becomes of that, the next file holds only its own.
    let (mut store, restored) = open(folder.path());
    let before = restored.records.len();
    store_all(&mut store, [commit(21)]);
    drop(store);
    let (_store, restored) = open(folder.path());
    assert_eq!(restored.records.len(), before + 1);
    assert!(before == 0 || before == 20, "all or nothing: {before}");
}

#[test]
fn a_newer_programs_file_is_an_error_and_stays() {
    let folder = with_records();
    let file = folder.path().join(FILE_NAME);
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(conn);
    let text = Store::open(folder.path(), Bounds { age_max: AGE_MAX }).unwrap_err().to_string();
    assert!(text.contains("records.db") && text.contains("schema 99"), "{text}");
    assert!(!folder.path().join(DAMAGED_NAME).exists());
}

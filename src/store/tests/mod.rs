//! The store against real files, by what it promises.

mod damage;
mod failing;

use std::time::{Duration, Instant};

use super::FILE_NAME;
use super::batch::Batch;
use super::database::Database;
use super::testing::{AGE_MAX, Folder, client, commit, next, open, session, store_all, with_payload};
use crate::router::{Commit, REMEMBERED_MAX};

#[test]
fn what_was_stored_comes_back_as_it_was() {
    let folder = Folder::new();
    let (mut store, restored) = open(folder.path());
    assert!(restored.records.is_empty() && restored.sessions.is_empty() && restored.top == 0);
    let payload: Vec<u8> = (0..20_000).map(|n| n as u8).collect();
    let mut second = with_payload(2, &payload);
    second.sessions = vec![session("a", 1), session("b", 0), session("c", 9)];
    let last = Commit { number: 3, ended: vec![client("c")], ..Commit::default() };
    let answers = store_all(&mut store, [commit(1), second.clone(), last]);
    assert!(answers.iter().all(|done| done.ok), "{answers:?}");
    drop(store);

    let (_store, restored) = open(folder.path());
    let expected = [&commit(1).records[0], &second.records[0]];
    assert_eq!(restored.records.len(), 2);
    for (found, expected) in restored.records.iter().zip(expected) {
        assert_eq!((found.position, found.record.key()), (expected.position, expected.record.key()));
        assert_eq!(found.record, expected.record);
    }
    assert_eq!(restored.sessions, [session("a", 1), session("b", 0)]);
    let keys: Vec<u128> = restored.remembered.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, expected.map(|stored| stored.record.key()));
    assert_eq!(restored.top, 2);
}

#[test]
fn records_below_the_floor_go_and_their_messages_are_still_remembered() {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    store_all(&mut store, (1..=5).map(commit));
    store_all(&mut store, [Commit { number: 6, floor: 6, ..Commit::default() }]);
    drop(store);
    let (_store, restored) = open(folder.path());
    assert_eq!((restored.records.len(), restored.remembered.len()), (0, 5));
    assert_eq!(restored.top, 5, "a position is never used again");
}

#[test]
fn what_the_default_server_has_comes_back_and_the_newest_word_counts() {
    use super::testing::origin;
    use crate::wire::fau3e::Holding;
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    let runs = |top| {
        vec![Holding { origin: origin(), floor: 1, top }, Holding { origin: origin(), floor: 9, top: 9 }]
    };
    let says = |number, top| Commit { number, pushed: Some(runs(top)), ..Commit::default() };
    store_all(&mut store, [commit(1), says(2, 3)]);
    store_all(&mut store, [says(3, 4), commit(4)]);
    drop(store);
    let (_store, restored) = open(folder.path());
    assert_eq!(restored.pushed, runs(4));
}

#[test]
fn a_burst_of_100_commits_costs_a_few_transactions() {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    let begin = Instant::now();
    // Not all in one moment: then they would wait for the disk together anyhow.
    let burst = (1..=100).inspect(|_| std::thread::sleep(Duration::from_millis(1)));
    let answers = store_all(&mut store, burst.map(|number| with_payload(number, &[7; 9_500])));
    let (counters, took) = (store.counters(), begin.elapsed());
    println!("100 commits: {} transactions, {took:?}", counters.transactions);
    let intervals = took.as_millis() / super::GROUP_INTERVAL.as_millis();
    assert!(u128::from(counters.transactions) <= intervals + 1, "{counters:?} in {took:?}");
    assert_eq!((counters.records, counters.failures), (100, 0));
    assert!(answers.windows(2).all(|pair| pair[0].number < pair[1].number), "in order: {answers:?}");
    assert!(answers.iter().all(|done| done.ok));
}

#[test]
fn a_commit_after_a_pause_is_written_at_once() {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    let mut quickest = Duration::MAX;
    for number in 1..=5 {
        std::thread::sleep(super::GROUP_INTERVAL + Duration::from_millis(20));
        let begin = Instant::now();
        store_all(&mut store, [with_payload(number, &[7; 9_500])]);
        println!("commit latency after a pause: {:?}", begin.elapsed());
        quickest = quickest.min(begin.elapsed());
    }
    assert!(quickest < super::GROUP_INTERVAL / 2, "{quickest:?}");
}

#[test]
fn ages_go_on_over_restarts() {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    // New at 1 s of the first life, and one that was 4 s old already.
    let mut late = commit(2);
    (late.clock_ms, late.records[0].age_ms) = (3_000, 4_000);
    store_all(&mut store, [Commit { clock_ms: 1_000, ..commit(1) }, late]);
    drop(store);
    let ages = |restored: &crate::router::Restored| {
        let records: Vec<u64> = restored.records.iter().map(|stored| stored.age_ms).collect();
        let remembered: Vec<u64> = restored.remembered.iter().map(|(_, age)| *age).collect();
        (records, remembered)
    };
    let (mut store, restored) = open(folder.path());
    assert_eq!(ages(&restored), (vec![2_000, 4_000], vec![2_000, 4_000]));
    // The second life's clock begins at zero and runs for 10 s.
    store_all(&mut store, [Commit { number: 1, clock_ms: 10_000, ..Commit::default() }]);
    drop(store);
    let (_store, restored) = open(folder.path());
    assert_eq!(ages(&restored), (vec![12_000, 14_000], vec![12_000, 14_000]));
}

#[test]
fn what_is_remembered_is_bounded_by_number() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.path().join(FILE_NAME)).unwrap();
    let all = REMEMBERED_MAX as u64 + 700;
    for first in (1..=all).step_by(500) {
        let mut batch = Batch::default();
        (first..all.min(first + 499) + 1).for_each(|number| batch.add(commit(number)));
        database.write(&batch, 1, 0, AGE_MAX).unwrap();
    }
    let restored = database.load(AGE_MAX).unwrap();
    assert_eq!(restored.remembered.len(), REMEMBERED_MAX);
    let newest = commit(all).records[0].record.key();
    assert_eq!(restored.remembered.last().unwrap().0, newest, "the oldest went");
}

#[test]
fn messages_are_remembered_twice_as_long_as_records_live() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.path().join(FILE_NAME)).unwrap();
    let age_max = Duration::from_secs(10);
    for (number, clock_ms) in [(1, 0), (2, 5_000), (3, 20_000)] {
        let mut batch = Batch::default();
        batch.add(Commit { clock_ms, ..commit(number) });
        database.write(&batch, 1, 0, age_max).unwrap();
    }
    let found = database.load(AGE_MAX).unwrap().remembered;
    assert_eq!(found.iter().map(|(_, age)| *age).collect::<Vec<_>>(), [15_000, 0], "one went in a commit");
    assert_eq!(database.load(Duration::from_secs(5)).unwrap().remembered.len(), 1, "one when read");
}

/// A program that made the keys of less has written them: a message that is sent again
/// after the change of program is known all the same.
#[test]
fn the_key_of_a_message_whose_record_is_held_is_made_anew() {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    store_all(&mut store, [commit(1), commit(2), Commit { floor: 2, ..commit(3) }]);
    drop(store);
    let conn = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    conn.execute_batch("UPDATE remembered SET key = zeroblob(16)").unwrap();
    drop(conn);
    let keys: Vec<u128> = open(folder.path()).1.remembered.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [0, commit(2).records[0].record.key(), commit(3).records[0].record.key()]);
}

#[test]
fn what_was_answered_with_not_on_disk_is_gone_after_the_next_commit() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.path().join(FILE_NAME)).unwrap();
    let mut batch = Batch::default();
    (1..=3).for_each(|number| batch.add(commit(number)));
    // Given: it is there all the same, as after a flush that failed too late.
    database.write(&batch, 1, 0, AGE_MAX).unwrap();
    // When: it was answered with "not on disk", and the next commit succeeds.
    batch.disown_records();
    batch.add(commit(4));
    database.write(&batch, 1, 0, AGE_MAX).unwrap();
    // Then:
    let restored = database.load(AGE_MAX).unwrap();
    assert_eq!((restored.records.len(), restored.remembered.len()), (1, 1));
    assert_eq!(restored.records[0].position, 4);
}

#[test]
fn dropping_the_store_writes_what_was_handed_over() {
    let folder = Folder::new();
    let (store, _) = open(folder.path());
    (1..=20).for_each(|number| store.submit(commit(number)));
    drop(store);
    assert_eq!(open(folder.path()).1.records.len(), 20);
}

#[test]
fn pages_of_records_that_went_are_used_again() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.path().join(FILE_NAME)).unwrap();
    let mut sizes = Vec::new();
    for number in 1..=600_u64 {
        let mut batch = Batch::default();
        batch.add(Commit { floor: number.saturating_sub(50), ..with_payload(number, &[1; 9_500]) });
        database.write(&batch, 1, 0, AGE_MAX).unwrap();
        let written = ["", "-wal"].map(|suffix| {
            let path = folder.path().join(format!("{FILE_NAME}{suffix}"));
            std::fs::metadata(path).map_or(0, |file| file.len())
        });
        sizes.push(written.iter().sum::<u64>());
    }
    let (early, late) = (sizes[..100].iter().max().unwrap(), sizes[100..].iter().max().unwrap());
    println!("50 records of 9,500 bytes take {early} bytes, later {late}");
    assert!(*late <= early + 128 * 1_024, "{early} {late}");
}

#[test]
fn one_process_has_the_folder() {
    let folder = Folder::new();
    let (mut store, _) = open(folder.path());
    let bounds = super::Bounds { age_max: AGE_MAX };
    let text = super::Store::open(folder.path(), bounds).unwrap_err().to_string();
    assert!(text.contains("records.db") && text.contains("another process"), "{text}");
    store.submit(commit(1));
    assert!(next(&mut store).ok, "the first one is not disturbed");
}

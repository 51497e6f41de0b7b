//! What the store has answered for is there after `kill -9` at any moment.
//!
//! The test runs itself again as the process that stores and says what was
//! answered, kills that at moments drawn from a seed, and reads the file.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fau3::router::{Commit, Origin, Record, RecordId, SavedSession, StoredRecord};
use fau3::store::{Bounds, Store};
use fau3::wire::fau3e::SessionVersion;
use fau3::wire::{ClientId, Message, RoomId};
use fau3_election::{Incarnation, RouterId};

/// In the child's environment: where to store.
const DIR: &str = "FAU3_STORE_KILL_DIR";
const ROUNDS: u64 = 25;
const SEED: u64 = 0x5eed_0f4a_113d_0001;

#[test]
fn what_was_answered_is_there_after_kill_9_at_any_moment() {
    if let Some(dir) = std::env::var_os(DIR) {
        return store_until_killed(Path::new(&dir));
    }
    let dir = std::env::temp_dir().join(format!("fau3-store-kill-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let mut seed = SEED;
    let mut answered = 0;
    for round in 1..=ROUNDS {
        // xorshift64*
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        let moment = Duration::from_micros(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) % 600_000);
        answered = answered.max(kill_after(&dir, moment));
        check(&dir, answered, round);
    }
    assert!(answered > ROUNDS, "too few were answered to show anything: {answered}");
    println!("{answered} commits answered in {ROUNDS} lives, all there");
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Runs a child, kills it some time after its first answer, and says which
/// commit was answered last.
fn kill_after(dir: &Path, moment: Duration) -> u64 {
    let name = "store_kill::what_was_answered_is_there_after_kill_9_at_any_moment";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let number = |line: String| line.strip_prefix("answered ").and_then(|number| number.parse::<u64>().ok());
    let first = lines.by_ref().find_map(number).expect("the child answers");
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    lines.filter_map(number).last().map_or(first, |last| last.max(first))
}

/// Positions are numbered through all lives: every one up to `answered` has to
/// be there, whole, with the session that it was stored with.
fn check(dir: &Path, answered: u64, round: u64) {
    let (_store, restored) = open(dir);
    let positions: Vec<u64> = restored.records.iter().map(|stored| stored.position).collect();
    let expected: Vec<u64> = (1..=positions.len() as u64).collect();
    assert_eq!(positions, expected, "round {round}: no gaps, no doubles");
    assert!(
        positions.len() as u64 >= answered,
        "round {round}: {answered} answered, {} there",
        positions.len()
    );
    for stored in &restored.records {
        assert_eq!(*stored.record, *record(stored.position), "round {round}");
    }
    let top = restored.records.last().unwrap().position;
    assert_eq!(restored.sessions, [session(top)], "round {round}: all of a commit or nothing");
    assert_eq!(restored.remembered.len(), positions.len());
}

/// The child: commits in bursts, and a line for each answer.
fn store_until_killed(dir: &Path) {
    let (mut store, restored) = open(dir);
    let top = restored.top;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut number = 0;
    loop {
        for _ in 0..1 + number % 7 {
            number += 1;
            store.submit(commit(number, top + number));
        }
        let mut done = 0;
        while done < number {
            let answer = runtime.block_on(store.done());
            assert!(answer.ok, "the disk works");
            done = answer.number;
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "answered {}", top + number).unwrap();
        out.flush().unwrap();
    }
}

fn open(dir: &Path) -> (Store, fau3::router::Restored) {
    Store::open(dir, Bounds { age_max: Duration::from_secs(3_600) }).unwrap()
}

fn commit(number: u64, position: u64) -> Commit {
    let record = record(position);
    let stored = StoredRecord { position, record, age_ms: 0 };
    let sessions = vec![session(position)];
    Commit { number, clock_ms: number, records: vec![stored], sessions, ..Commit::default() }
}

/// Large enough for pages of its own, and different for each position.
fn record(position: u64) -> Arc<Record> {
    let incarnation = Incarnation { counter: 1, random: 2 };
    let id = RecordId { origin: Origin { router: RouterId([3; 16]), incarnation }, sequence: position };
    let payload: Vec<u8> = (0..9_500).map(|n| ((n * position) >> 3) as u8).collect();
    let message = Message {
        room: RoomId::new("r").unwrap(),
        client_id: ClientId::new("speaker").unwrap(),
        message_uuid: position.to_string().into(),
        payload: payload.into(),
    };
    Arc::new(Record::new(id, None, position, message))
}

/// As it is stored together with the record at this position.
fn session(position: u64) -> SavedSession {
    let holder = Origin { router: RouterId([3; 16]), incarnation: Incarnation { counter: 1, random: 2 } };
    let version = SessionVersion { generation: 1, holder, revision: position };
    SavedSession {
        client_id: ClientId::new("listener").unwrap(),
        room: Some(RoomId::new("r").unwrap()),
        monitor_period_s: 0,
        ping_period_s: u32::try_from(position).unwrap(),
        settled: std::collections::BTreeMap::new(),
        version,
        entered: version,
        moved_over: version,
        last: None,
    }
}

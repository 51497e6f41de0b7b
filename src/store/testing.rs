//! What the store's tests have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fau3_election::{Incarnation, RouterId};

use super::{Bounds, Done, Store};
use crate::router::{Commit, Origin, Record, RecordId, Restored, SavedSession, Settled, StoredRecord};
use crate::wire::fau3e::SessionVersion;
use crate::wire::{ClientId, Message, RoomId};

pub(super) const AGE_MAX: Duration = Duration::from_secs(3_600);

/// A folder of its own, gone at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("fau3-store-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn open(dir: &Path) -> (Store, Restored) {
    Store::open(dir, Bounds { age_max: AGE_MAX }).unwrap()
}

/// Hands commits over and waits for the answer to the last one.
pub(super) fn store_all(store: &mut Store, commits: impl IntoIterator<Item = Commit>) -> Vec<Done> {
    let mut last = 0;
    for commit in commits {
        last = commit.number;
        store.submit(commit);
    }
    let mut answers = Vec::new();
    while answers.last().is_none_or(|done: &Done| done.number < last) {
        answers.push(next(store));
    }
    answers
}

pub(super) fn next(store: &mut Store) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let patience = Duration::from_secs(20);
    runtime.block_on(async { tokio::time::timeout(patience, store.done()).await }).expect("an answer")
}

pub(super) fn origin() -> Origin {
    let incarnation = Incarnation { counter: u32::MAX, random: u64::MAX - 1 };
    Origin { router: RouterId([0xfe; 16]), incarnation }
}

/// A commit of one record at the position of its number.
pub(super) fn commit(number: u64) -> Commit {
    with_payload(number, &[0, 255, 10])
}

pub(super) fn with_payload(number: u64, payload: &[u8]) -> Commit {
    let id = |sequence| RecordId { origin: origin(), sequence };
    let message = Message {
        room: RoomId::new("комната").unwrap(),
        client_id: client("AA:BB"),
        message_uuid: format!("uuid {number}").into(),
        payload: payload.into(),
    };
    let previous = (number > 1).then(|| id(number - 1));
    let record = Record::new(id(number), previous, u64::MAX - number, message);
    let stored = StoredRecord { position: number, record: Arc::new(record), age_ms: 0 };
    Commit { number, clock_ms: number, records: vec![stored], ..Commit::default() }
}

pub(super) fn client(id: &str) -> ClientId {
    ClientId::new(id).unwrap()
}

pub(super) fn session(id: &str, prefix: u64) -> SavedSession {
    let settled = Settled { before: prefix / 2, prefix, beyond: [prefix + 2, u64::MAX].into() };
    SavedSession {
        client_id: client(id),
        room: (prefix > 0).then(|| RoomId::new("комната").unwrap()),
        monitor_period_s: u32::MAX,
        ping_period_s: 30,
        settled: BTreeMap::from([(origin(), settled)]),
        version: SessionVersion { generation: prefix, holder: origin(), revision: u64::MAX },
        entered: SessionVersion { generation: 1, holder: origin(), revision: prefix },
        moved_over: SessionVersion { generation: 0, holder: origin(), revision: 5 },
        last: (prefix > 0).then(|| RecordId { origin: origin(), sequence: prefix }),
    }
}

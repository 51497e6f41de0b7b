use std::collections::{BTreeMap, VecDeque};

use fau3::router::{Commit, REMEMBERED_MAX, Restored, SavedSession, StoredRecord};
use fau3::wire::ClientId;

/// What is on a router's disk: what a real store would read back after the
/// power failed. Time stands still between lives.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Each with when it was new, on a clock that runs on from life to life.
    rows: BTreeMap<u64, (StoredRecord, i64)>,
    sessions: BTreeMap<ClientId, SavedSession>,
    remembered: VecDeque<(u128, i64)>,
    top: u64,
    /// The clock at the newest commit, in ms.
    clock_ms: i64,
    /// That clock at the start of this life.
    started_ms: i64,
}

impl Disk {
    /// Everything of it is there, or nothing.
    pub(super) fn apply(&mut self, commit: Commit) {
        self.clock_ms = self.clock_ms.max(self.started_ms + commit.clock_ms as i64);
        for stored in commit.records {
            let born_ms = self.started_ms + commit.clock_ms as i64 - stored.age_ms as i64;
            self.top = self.top.max(stored.position);
            self.remembered.push_back((stored.record.key(), born_ms));
            self.rows.insert(stored.position, (stored, born_ms));
        }
        while self.remembered.len() > REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.rows = self.rows.split_off(&commit.floor);
        for client_id in &commit.ended {
            self.sessions.remove(client_id);
        }
        for session in commit.sessions {
            self.sessions.insert(session.client_id.clone(), session);
        }
    }

    /// What the next life gets.
    pub(super) fn restored(&mut self) -> Restored {
        let now_ms = self.clock_ms;
        self.started_ms = now_ms;
        let age = |born_ms: i64| u64::try_from(now_ms - born_ms).unwrap_or(0);
        let record = |(stored, born_ms): &(StoredRecord, i64)| StoredRecord {
            age_ms: age(*born_ms),
            ..stored.clone()
        };
        Restored {
            records: self.rows.values().map(record).collect(),
            sessions: self.sessions.values().cloned().collect(),
            remembered: self.remembered.iter().map(|(key, born_ms)| (*key, age(*born_ms))).collect(),
            top: self.top,
            pushed: Vec::new(),
        }
    }

    /// The records on it.
    pub(super) fn records(&self) -> impl Iterator<Item = &StoredRecord> {
        self.rows.values().map(|(stored, _)| stored)
    }
}

//! A disk: commits late, fails when told to, and keeps what it has committed
//! when the power fails. What a failed commit says of sessions goes with the
//! next one; its records do not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use crate::router::{Commit, Record, Restored, SavedSession, StoredRecord};
use crate::wire::ClientId;
use crate::wire::fau3e::Holding;

#[derive(Debug, Default)]
pub(super) struct Disk {
    /// From [`crate::router::Output::Store`] to its answer.
    pub(super) delay: Duration,
    /// It is full or read-only.
    pub(super) fails: bool,
    /// What was on it is gone, and it takes nothing but all.
    is_lost: bool,
    /// Every commit that was asked for in this life of the router.
    pub(super) asked: Vec<Commit>,
    waiting: VecDeque<Commit>,
    /// What became of sessions, `None` if they ended, until a commit succeeds.
    held_over: BTreeMap<ClientId, Option<SavedSession>>,
    done_at: Time,
    rows: BTreeMap<u64, (u64, StoredRecord)>,
    pub(super) sessions: BTreeMap<ClientId, SavedSession>,
    keys: Vec<(u128, u64)>,
    pushed: Vec<Holding>,
    top: u64,
    clock_ms: u64,
}

impl Disk {
    /// Says when it will be done.
    pub(super) fn begin(&mut self, now: Time, commit: Commit) -> Time {
        let last = self.asked.last().map_or(0, |last| last.number);
        assert_eq!(commit.number, last + 1, "commits count up by one");
        let positions: Vec<_> = commit.records.iter().map(|stored| stored.position).collect();
        assert!(positions.iter().all(|new| *new >= commit.floor), "{positions:?} gone before they came");
        self.asked.push(commit.clone());
        self.waiting.push_back(commit);
        self.done_at = self.done_at.max(now + self.delay);
        self.done_at
    }

    /// The oldest commit's answer.
    pub(super) fn finish(&mut self) -> (u64, bool) {
        let commit = self.waiting.pop_front().unwrap();
        let number = commit.number;
        for ended in &commit.ended {
            self.held_over.insert(ended.clone(), None);
        }
        for session in &commit.sessions {
            self.held_over.insert(session.client_id.clone(), Some(session.clone()));
        }
        let ok = !self.fails && (!self.is_lost || commit.whole.is_some());
        if ok {
            self.apply(commit);
        }
        (number, ok)
    }

    /// Somebody has removed it; the next one is empty.
    pub(super) fn lose(&mut self) {
        (self.rows, self.sessions, self.keys) = Default::default();
        (self.pushed, self.top) = Default::default();
        self.is_lost = true;
    }

    fn apply(&mut self, commit: Commit) {
        self.clock_ms = commit.clock_ms;
        if let Some(whole) = &commit.whole {
            self.lose();
            self.is_lost = false;
            self.top = whole.top;
            self.keys.extend(whole.remembered.iter().map(|(key, age_ms)| (*key, commit.clock_ms - age_ms)));
        }
        for stored in commit.records {
            self.top = self.top.max(stored.position);
            self.keys.push((stored.record.key(), commit.clock_ms));
            self.rows.insert(stored.position, (commit.clock_ms, stored));
        }
        self.rows = self.rows.split_off(&commit.floor);
        self.pushed = commit.pushed.unwrap_or(std::mem::take(&mut self.pushed));
        for (client_id, session) in std::mem::take(&mut self.held_over) {
            match session {
                Some(session) => self.sessions.insert(client_id, session),
                None => self.sessions.remove(&client_id),
            };
        }
    }

    /// What was under way is lost, and the router counts anew.
    pub(super) fn crash(&mut self) {
        self.waiting.clear();
        self.held_over.clear();
        self.asked.clear();
        self.done_at = Time::ZERO;
    }

    /// What would be there after a crash now, oldest first.
    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.rows.values().map(|(_, stored)| stored.record.clone()).collect()
    }

    /// Their payloads as texts.
    pub(super) fn payloads(&self) -> Vec<String> {
        let text = |record: &Arc<Record>| String::from_utf8_lossy(&record.payload).into_owned();
        self.records().iter().map(text).collect()
    }

    /// What the next life gets; from here on, ages count from its start.
    pub(super) fn restored(&mut self) -> Restored {
        let clock_ms = std::mem::take(&mut self.clock_ms);
        for (since, stored) in self.rows.values_mut() {
            stored.age_ms += clock_ms - std::mem::take(since);
        }
        let remembered: Vec<_> = self.keys.iter().map(|(key, since)| (*key, clock_ms - since)).collect();
        self.keys.iter_mut().for_each(|(_, since)| *since = 0);
        Restored {
            records: self.rows.values().map(|(_, stored)| stored.clone()).collect(),
            sessions: self.sessions.values().cloned().collect(),
            remembered,
            top: self.top,
            pushed: self.pushed.clone(),
        }
    }
}

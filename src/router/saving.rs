//! What goes to the disk, and when: records at once, sessions with the next
//! record or a little later, since flash wears with every write.
//!
//! A commit holds every subscription that was made before its records, so a
//! record that survives a crash finds the sessions it is meant for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fau3_election::Time;

use super::io::{Commit, Output, Restored, StoredRecord, Whole};
use super::record::{Moment, Position};
use super::session::Session;
use super::settings::{ENDED_MAX, SESSION_SAVE_DELAY};
use super::{Router, SessionKey};
use crate::wire::{ClientId, Record};

/// What has changed since the last commit.
#[derive(Debug, Default)]
pub(super) struct SavePlan {
    /// Commits so far.
    number: u64,
    /// Sessions that have subscribed: they go with the next record.
    subscribed: BTreeSet<SessionKey>,
    /// Sessions that have settled something: a lost change costs a repeated
    /// item, which clients recognise.
    settled: BTreeSet<SessionKey>,
    /// At most [`ENDED_MAX`].
    ended: Vec<ClientId>,
    /// What the main server has: a lost change costs a record that is pushed twice.
    pushed: bool,
    /// When the above goes to the disk even if no record does.
    at: Option<Time>,
}

impl SavePlan {
    pub(super) fn due(&self) -> Option<Time> {
        self.at
    }
}

impl Router {
    /// A record goes out at once. Says with which commit.
    pub(super) fn save_record(&mut self, record: StoredRecord) -> u64 {
        let subscribed = std::mem::take(&mut self.save.subscribed);
        self.commit(vec![record], subscribed)
    }

    pub(super) fn save_soon(&mut self, key: SessionKey, subscribed: bool) {
        if self.settings.disk {
            let set = if subscribed { &mut self.save.subscribed } else { &mut self.save.settled };
            set.insert(key);
            self.save_within_delay();
        }
    }

    pub(super) fn save_ended(&mut self, key: SessionKey, client_id: ClientId) {
        if self.settings.disk {
            self.save.subscribed.remove(&key);
            self.save.settled.remove(&key);
            self.save.ended.push(client_id);
            self.save_within_delay();
            if self.save.ended.len() >= ENDED_MAX {
                self.save_now();
            }
        }
    }

    pub(super) fn save_pushed(&mut self) {
        if self.settings.disk {
            self.save.pushed = true;
            self.save_within_delay();
        }
    }

    pub(super) fn save_floor(&mut self) {
        if self.settings.disk {
            self.save_within_delay();
        }
    }

    fn save_within_delay(&mut self) {
        self.save.at.get_or_insert(self.now + SESSION_SAVE_DELAY);
    }

    pub(super) fn save_if_due(&mut self) {
        if self.save.at.is_some_and(|at| at <= self.now) {
            self.save_now();
        }
    }

    /// Everything that has changed goes out.
    pub(super) fn save_now(&mut self) {
        if self.save.at.take().is_some() {
            let mut sessions = std::mem::take(&mut self.save.subscribed);
            sessions.append(&mut self.save.settled);
            self.commit(Vec::new(), sessions);
        }
    }

    fn commit(&mut self, records: Vec<StoredRecord>, sessions: BTreeSet<SessionKey>) -> u64 {
        self.save.number += 1;
        let sessions = sessions.iter().filter_map(|key| self.sessions.get(*key)).map(Session::saved);
        let commit = Commit {
            number: self.save.number,
            clock_ms: self.now.as_millis(),
            floor: self.floor(records.first()),
            records,
            sessions: sessions.collect(),
            ended: std::mem::take(&mut self.save.ended),
            pushed: std::mem::take(&mut self.save.pushed).then(|| self.pushed_runs()),
            whole: None,
        };
        self.outputs.push_back(Output::Store(Box::new(commit)));
        // Every commit holds all but what is settled, so that may be the end of it.
        if self.save.settled.is_empty() {
            self.save.at = None;
        }
        self.save.number
    }

    /// The disk has lost what was on it: all that is held here goes there. What is
    /// on its way to the disk goes by itself.
    pub(super) fn save_whole(&mut self) {
        if !self.settings.disk {
            return;
        }
        let records: Vec<StoredRecord> = self.log.stored(self.now).collect();
        let held: BTreeSet<u128> = records.iter().map(|stored| stored.record.key()).collect();
        let remembered = self.remembered.all(self.now).filter(|(key, _)| !held.contains(key)).collect();
        let whole = Whole { remembered, top: self.log.top() };
        let sessions = self.sessions.iter().filter(|(_, session)| session.room.is_some());
        let sessions = sessions.map(|(_, session)| session.saved()).collect();
        // All that has changed is in it.
        self.save = SavePlan { number: self.save.number + 1, ..SavePlan::default() };
        let commit = Commit {
            number: self.save.number,
            clock_ms: self.now.as_millis(),
            floor: self.floor(None),
            records,
            sessions,
            ended: Vec::new(),
            pushed: Some(self.pushed_runs()),
            whole: Some(Box::new(whole)),
        };
        self.outputs.push_back(Output::Store(Box::new(commit)));
    }

    /// Records on their way to the disk, of which `new` is the newest, lie above
    /// everything in the log, which may be empty.
    fn floor(&self, new: Option<&StoredRecord>) -> u64 {
        let on_the_way = self.uncommitted_floor();
        let on_the_way = on_the_way.or(new.map(|stored| stored.position));
        on_the_way.map_or(self.log.floor(), |position| position.min(self.log.floor()))
    }

    /// Takes over what an earlier life kept. All sessions wait for their
    /// clients, and their grace begins anew.
    pub(super) fn restore(&mut self, restored: Restored) {
        for (key, age_ms) in restored.remembered {
            self.remember(key, age_ms);
        }
        self.restore_records(restored.records);
        self.restore_pushed(&restored.pushed);
        for saved in restored.sessions {
            let room = saved.room.clone();
            let session = Session::restored(saved, self.now);
            let client_id = session.client_id.clone();
            let key = self.sessions.insert(session);
            if let Some(replaced) = self.by_client.insert(client_id, key) {
                debug_assert!(false, "a client has one session, not also {replaced}");
            }
            if let Some(room) = room {
                self.rooms.entry(room).or_default().members.insert(key);
            }
            self.detached.insert((self.now, key));
        }
        self.end_detached();
    }

    /// Clients hear the records of an earlier life as they heard them then: a
    /// message once, by whichever names it goes, and behind the same sender's
    /// previous one, though that may have come later.
    fn restore_records(&mut self, records: Vec<StoredRecord>) {
        let mut messages = BTreeSet::new();
        let mut to_place = BTreeMap::new();
        for StoredRecord { position, age_ms, record } in records {
            self.lamport = self.lamport.max(record.lamport);
            self.origins.insert(&record.id, position, self.now);
            self.log.push(position, Moment::before(self.now, age_ms), record.clone());
            if messages.insert(record.key()) {
                self.log.is_new(&record);
                to_place.insert(position, record);
            } else {
                self.log.add_twin(&record);
                self.rooms.entry(record.room.clone()).or_default().announce(&record);
            }
        }
        while let Some((position, record)) = to_place.pop_first() {
            let mut behind = vec![(position, record)];
            while let Some(before) =
                behind.last().and_then(|(_, record)| self.placed_before(record, &to_place))
            {
                behind.extend(to_place.remove_entry(&before));
            }
            for (position, record) in behind.into_iter().rev() {
                self.put_into_room(position, record);
            }
        }
    }

    /// The same sender's previous message, if it is among these.
    fn placed_before(&self, record: &Record, to_place: &BTreeMap<Position, Arc<Record>>) -> Option<Position> {
        let (previous, _) = self.log.get(self.origins.position(&record.previous?)?, self.now)?;
        let mut names = self.log.ids_of(previous).filter_map(|id| self.origins.position(id));
        names.find(|position| to_place.contains_key(position))
    }
}

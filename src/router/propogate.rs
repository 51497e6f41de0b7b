//! Taking in a voice message: once, whatever is sent again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use super::io::{ConnId, StoredRecord};
use super::record::{Moment, Position, Record, RecordId, propogate_key};
use super::settings::{REMEMBERED_MAX, UNCOMMITTED_MAX};
use super::{Router, SessionKey};
use crate::wire::RoomId;
use crate::wire::fau3d::{FRAME_BYTES_MAX, Invalid, Status, playlist_frame_bytes};

/// Messages taken in lately, by [`propogate_key`]; at most [`REMEMBERED_MAX`],
/// and twice as long as records live.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    since: BTreeMap<u128, Moment>,
    order: VecDeque<u128>,
}

impl Remembered {
    fn contains(&self, key: u128, now: Time, age_max: Duration) -> bool {
        self.since.get(&key).is_some_and(|since| since.age(now) < age_max)
    }

    /// `age_ms`: how long ago it was taken in. Those older than `age_max` give
    /// way, and the oldest at the bound.
    pub(super) fn insert(&mut self, key: u128, now: Time, age_ms: u64, age_max: Duration) {
        while let Some(oldest) = self.order.front()
            && (self.order.len() >= REMEMBERED_MAX || !self.contains(*oldest, now, age_max))
        {
            self.since.remove(oldest);
            self.order.pop_front();
        }
        if self.since.insert(key, Moment::before(now, age_ms)).is_none() {
            self.order.push_back(key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.order.len(), self.since.len());
        self.order.len()
    }
}

/// A record that is on its way to the disk: nobody has heard of it yet, so that
/// nobody hears twice of one that a crash wiped out.
#[derive(Debug)]
pub(super) struct Uncommitted {
    commit: u64,
    pub(super) position: Position,
    record: Arc<Record>,
    key: u128,
    /// Who waits for the Confirm: the sender's newest connection.
    confirm_to: ConnId,
}

impl Router {
    pub(super) fn propogate(
        &mut self,
        key: SessionKey,
        message_uuid: Box<str>,
        room: RoomId,
        payload: Box<[u8]>,
    ) {
        let client_id = &self.sessions[key].client_id;
        if playlist_frame_bytes(client_id, payload.len()) > FRAME_BYTES_MAX {
            // Its own frame was smaller; clients would drop the connection on this one.
            let reason = "the Playlist that would bring it to others is larger than a frame may be, 1 MiB";
            return self.refuse(key, Invalid { message_uuid, reason, was_confirm: false });
        }
        let message = propogate_key(client_id, &message_uuid, &payload);
        if self.remembered.contains(message, self.now, self.remembered_age_max()) {
            self.stats.duplicates += 1;
            return self.confirm(key, message_uuid, Status::STORED);
        }
        if self.await_commit(key, message) {
            self.stats.duplicates += 1;
            return;
        }
        let record = self.new_record(key, message_uuid.clone(), room, payload);
        let on_the_way: usize = self.uncommitted.iter().map(|waiting| waiting.record.cost_bytes()).sum();
        let too_large = record.cost_bytes() + on_the_way > self.settings.storage_bytes_max;
        if self.shutting_down || too_large || self.uncommitted.len() >= UNCOMMITTED_MAX {
            self.stats.records_refused += 1;
            return self.confirm(key, message_uuid, Status::SERROR);
        }
        self.sequence = record.id.sequence;
        self.lamport = record.lamport;
        let position = self.log.next_position();
        let record = Arc::new(record);
        if self.settings.disk {
            self.commit_record(key, position, record, message);
        } else {
            self.taken_in(message);
            self.confirm(key, message_uuid, Status::STORED);
            self.publish(position, record);
        }
    }

    /// A message sent again while its first copy is being committed: its
    /// Confirm goes to where the newest one came from.
    fn await_commit(&mut self, key: SessionKey, message: u128) -> bool {
        let Some(link) = &self.sessions[key].link else { return false };
        let waiting = self.uncommitted.iter_mut().find(|waiting| waiting.key == message);
        let found = waiting.is_some();
        if let Some(waiting) = waiting {
            waiting.confirm_to = link.conn;
        }
        found
    }

    fn new_record(
        &self,
        key: SessionKey,
        message_uuid: Box<str>,
        room: RoomId,
        payload: Box<[u8]>,
    ) -> Record {
        let client_id = self.sessions[key].client_id.clone();
        let on_the_way = self.uncommitted.iter().rev().find(|waiting| waiting.record.client_id == client_id);
        let previous = on_the_way.map(|waiting| waiting.record.id).or_else(|| self.log.newest_of(&client_id));
        Record {
            id: RecordId { origin: self.origin, sequence: self.sequence + 1 },
            room,
            client_id,
            message_uuid,
            previous,
            lamport: self.lamport + 1,
            payload,
        }
    }

    fn commit_record(&mut self, key: SessionKey, position: Position, record: Arc<Record>, message: u128) {
        let Some(confirm_to) = self.sessions[key].link.as_ref().map(|link| link.conn) else { return };
        let stored = StoredRecord { position, record: record.clone(), age_ms: 0, key: message };
        let commit = self.save_record(stored);
        self.uncommitted.push_back(Uncommitted { commit, position, record, key: message, confirm_to });
    }

    /// The newest record of a room that is on its way to the disk.
    pub(super) fn on_its_way_to(&self, room: &RoomId) -> Option<RecordId> {
        let of_room = self.uncommitted.iter().rev().find(|waiting| waiting.record.room == *room);
        of_room.map(|waiting| waiting.record.id)
    }

    /// The disk's answer: what is there is heard and confirmed; what is not is
    /// the sender's to send again.
    pub(super) fn stored(&mut self, commit: u64, ok: bool) {
        while self.uncommitted.front().is_some_and(|waiting| waiting.commit <= commit) {
            let Some(waiting) = self.uncommitted.pop_front() else { break };
            if ok {
                self.taken_in(waiting.key);
                self.publish(waiting.position, waiting.record.clone());
            } else {
                self.stats.records_refused += 1;
                self.stats.store_failed += 1;
            }
            let status = if ok { Status::STORED } else { Status::SERROR };
            if let Some(&key) = self.by_conn.get(&waiting.confirm_to) {
                self.confirm(key, waiting.record.message_uuid.clone(), status);
            }
        }
    }

    pub(super) fn remember(&mut self, message: u128, age_ms: u64) {
        let age_max = self.remembered_age_max();
        self.remembered.insert(message, self.now, age_ms, age_max);
    }

    /// Twice as long as records live.
    fn remembered_age_max(&self) -> Duration {
        self.settings.storage_age_max.saturating_mul(2)
    }

    fn taken_in(&mut self, message: u128) {
        self.remember(message, 0);
        self.stats.records_stored += 1;
        // As long as a router is alone, no second one holds what it confirms.
        self.stats.confirmed_single += 1;
    }
}

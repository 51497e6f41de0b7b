//! Rooms: who is in them, and which records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::io::ToClient;
use super::record::{Moment, Position};
use super::session::Settled;
use super::{Router, SessionKey};
use crate::wire::{ClientId, Origin, Record, RoomId};

/// Exists while it has a member or a record.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Sessions that are subscribed, connected or not.
    pub(super) members: BTreeSet<SessionKey>,
    /// Its records in the order in which they came in.
    pub(super) records: BTreeMap<Position, Arc<Record>>,
    /// The same by origin: sequence and sender.
    by_origin: BTreeMap<Origin, BTreeMap<u64, ClientId>>,
}

impl Room {
    fn insert(&mut self, position: Position, record: Arc<Record>) {
        let of_origin = self.by_origin.entry(record.id.origin).or_default();
        of_origin.insert(record.id.sequence, record.client_id.clone());
        self.records.insert(position, record);
    }

    fn remove(&mut self, position: Position) {
        let Some(record) = self.records.remove(&position) else { return };
        if let Some(of_origin) = self.by_origin.get_mut(&record.id.origin) {
            of_origin.remove(&record.id.sequence);
            if of_origin.is_empty() {
                self.by_origin.remove(&record.id.origin);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.records.is_empty()
    }

    /// Everything that is here now, as settled.
    fn all_settled(&self) -> BTreeMap<Origin, Settled> {
        let top = |of_origin: &BTreeMap<u64, ClientId>| of_origin.last_key_value().map_or(0, |(top, _)| *top);
        let settled = |of_origin| Settled { prefix: top(of_origin), beyond: BTreeSet::new() };
        self.by_origin.iter().map(|(origin, of_origin)| (*origin, settled(of_origin))).collect()
    }

    /// An origin's records after `prefix`, rising, each with whether it is the
    /// receiver's own and so needs no delivery.
    pub(super) fn after(
        &self,
        origin: &Origin,
        prefix: u64,
        receiver: &ClientId,
    ) -> impl Iterator<Item = (u64, bool)> {
        let of_origin = self.by_origin.get(origin).into_iter();
        of_origin.flat_map(move |of_origin| {
            of_origin.range(prefix + 1..).map(move |(sequence, sender)| (*sequence, sender == receiver))
        })
    }

    /// Whether it holds records of this origin.
    pub(super) fn knows(&self, origin: &Origin) -> bool {
        self.by_origin.contains_key(origin)
    }

    fn end(&self) -> Position {
        self.records.last_key_value().map_or(0, |(last, _)| last + 1)
    }
}

impl Router {
    /// One room a client: moves it there. The same room again resumes; another
    /// one starts at what is newest.
    pub(super) fn subscribe(&mut self, key: SessionKey, room: RoomId, monitor_s: u32, ping_s: u32) {
        if self.sessions[key].room.as_ref() != Some(&room) {
            if let Some(old) = self.sessions[key].room.take() {
                self.leave_room(key, &old);
            }
            self.enter_room(key, room);
        }
        let session = &mut self.sessions[key];
        let changed = (session.monitor_period_s, session.ping_period_s) != (monitor_s, ping_s);
        session.monitor_period_s = monitor_s;
        session.ping_period_s = ping_s;
        if changed {
            // Asking for the same periods again must not put them off.
            if let Some(link) = &mut session.link {
                link.schedule(self.now, monitor_s, ping_s);
            }
        }
        self.save_soon(key, true);
    }

    fn enter_room(&mut self, key: SessionKey, room_id: RoomId) {
        let on_its_way = self.on_its_way_to(&room_id);
        let room = self.rooms.entry(room_id.clone()).or_default();
        room.members.insert(key);
        let session = &mut self.sessions[key];
        session.room = Some(room_id);
        session.settled = room.all_settled();
        // What is on its way to the disk was said before this, and its commit
        // does not know of this client.
        if let Some(id) = on_its_way {
            session.settled.entry(id.origin).or_default().prefix = id.sequence;
        }
        if let Some(link) = &mut session.link {
            link.next = room.end();
            // What was in flight belongs to the room that was left.
            link.playlists.clear();
        }
    }

    pub(super) fn leave_room(&mut self, key: SessionKey, room_id: &RoomId) {
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.members.remove(&key);
            if room.is_empty() {
                self.rooms.remove(room_id);
            }
        }
    }

    /// Puts a record into log and room and sends it to the room's members.
    pub(super) fn publish(&mut self, position: Position, record: Arc<Record>) {
        self.drop_over_bounds(record.cost_bytes());
        let room = self.rooms.entry(record.room.clone()).or_default();
        room.insert(position, record.clone());
        let members: Vec<SessionKey> = room.members.iter().copied().collect();
        self.log.push(position, Moment::before(self.now, 0), record);
        for key in members {
            self.pump(key);
            self.set_timer(key);
        }
    }

    /// Drops the oldest records until bounds hold with `room_for` bytes more.
    pub(super) fn drop_over_bounds(&mut self, room_for: usize) {
        let age_max = self.settings.storage_age_max;
        let bytes_max = self.settings.storage_bytes_max.saturating_sub(room_for);
        while let Some((position, record)) = self.log.pop_over(self.now, age_max, bytes_max) {
            self.stats.records_expired += 1;
            self.forget_in_room(position, &record.room);
            self.save_floor();
        }
    }

    fn forget_in_room(&mut self, position: Position, room_id: &RoomId) {
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.remove(position);
            if room.is_empty() {
                self.rooms.remove(room_id);
            }
        }
    }

    /// Puts a record of an earlier life back where it was.
    pub(super) fn restore_record(&mut self, position: Position, age_ms: u64, record: Arc<Record>) {
        let room = self.rooms.entry(record.room.clone()).or_default();
        room.insert(position, record.clone());
        self.log.push(position, Moment::before(self.now, age_ms), record);
    }

    /// Live audio: to the others in the sender's room, at once or not at all.
    pub(super) fn stream(&mut self, key: SessionKey, frame: Arc<[u8]>) {
        let Some(room) = self.sessions[key].room.as_ref().and_then(|room| self.rooms.get(room)) else {
            self.stats.streams_without_room += 1;
            return;
        };
        self.stats.streams_in += 1;
        let others: Vec<SessionKey> = room.members.iter().copied().filter(|&member| member != key).collect();
        for other in others {
            if self.send(other, ToClient::Stream(frame.clone())).is_some() {
                self.stats.streams_out += 1;
            }
        }
    }
}

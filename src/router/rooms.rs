//! Rooms: who is in them, and which records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::mutants::mutated;
use super::record::{Dropped, Moment, Position};
use super::session::Coming;
use super::words::Told;
use super::{Router, SessionKey};
use crate::wire::fau3e::SessionVersion;
use crate::wire::{ClientId, Origin, Record, RecordId, RoomId, Settled};

/// Exists while it has a member or a record.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Sessions that are subscribed, connected or not.
    pub(super) members: BTreeSet<SessionKey>,
    /// Its records in the order in which they came in.
    pub(super) records: BTreeMap<Position, Arc<Record>>,
    /// Its records by origin: sequence and sender.
    by_origin: BTreeMap<Origin, BTreeMap<u64, ClientId>>,
}

impl Room {
    fn insert(&mut self, position: Position, record: Arc<Record>) {
        self.announce(&record);
        self.records.insert(position, record);
    }

    /// It will be heard here: what is settled must not count it as passed.
    pub(super) fn announce(&mut self, record: &Record) {
        let of_origin = self.by_origin.entry(record.id.origin).or_default();
        of_origin.insert(record.id.sequence, record.client_id.clone());
    }

    fn remove(&mut self, position: Position) {
        if let Some(record) = self.records.remove(&position) {
            self.renounce(&record);
        }
    }

    fn renounce(&mut self, record: &Record) {
        if let Some(of_origin) = self.by_origin.get_mut(&record.id.origin) {
            of_origin.remove(&record.id.sequence);
            if of_origin.is_empty() {
                self.by_origin.remove(&record.id.origin);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.by_origin.is_empty()
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

    fn end(&self) -> Position {
        self.records.last_key_value().map_or(0, |(last, _)| last + 1)
    }
}

impl Router {
    /// One room a client: moves it there. The same room again resumes; another
    /// one starts at what is newest.
    pub(super) fn enter(&mut self, key: SessionKey, room: RoomId, monitor_s: u32, ping_s: u32) {
        if self.sessions[key].room.as_ref() != Some(&room) {
            if let Some(old) = self.sessions[key].room.take() {
                // By its own word. Since then it may have moved where nothing was heard of it.
                self.sessions[key].moved_over = self.sessions[key].entered;
                self.leave_room(key, &old);
            }
            self.enter_room(key, room);
        }
        let session = &mut self.sessions[key];
        // Asked for anew: it counts more than what others know from before.
        session.entered = SessionVersion { revision: session.version.revision + 1, ..session.version };
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
        self.session_changed(key, true);
        self.look_at_carried_of(key);
    }

    fn enter_room(&mut self, key: SessionKey, room_id: RoomId) {
        let settled = self.all_settled();
        let room = self.rooms.entry(room_id.clone()).or_default();
        room.members.insert(key);
        let session = &mut self.sessions[key];
        session.room = Some(room_id);
        session.settled = settled;
        session.came = Some(Coming::before(self.now, 0));
        session.suspects.clear();
        if let Some(link) = &mut session.link {
            link.next = room.end();
            // What was in flight belongs to the room that was left.
            link.items.clear();
        }
    }

    /// Everything that has been said so far, here or where others have told of
    /// it: what comes before a Subscribe is not for this client.
    fn all_settled(&self) -> BTreeMap<Origin, Settled> {
        let settled = |prefix| Settled { before: prefix, prefix, beyond: BTreeSet::new() };
        self.tops().into_iter().map(|(origin, top)| (origin, settled(top))).collect()
    }

    pub(super) fn leave_room(&mut self, key: SessionKey, room_id: &RoomId) {
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.members.remove(&key);
            if room.is_empty() {
                self.rooms.remove(room_id);
            }
        }
    }

    /// Holds a record from now on, and sends it to its room's members unless
    /// they have it as another record, or must hear another one first.
    pub(super) fn publish(&mut self, position: Position, record: Arc<Record>, age_ms: u64, is_twin: bool) {
        self.drop_over_bounds(record.cost_bytes());
        self.log.push(position, Moment::before(self.now, age_ms), record.clone());
        if is_twin {
            self.log.add_twin(&record);
            self.twin_held_for_push(&record);
            self.twin_came(&record);
            self.previous_came(&record);
            return;
        }
        self.log.is_new(&record);
        self.held_for_push(&record);
        if !self.waits_for_previous(position, &record) {
            self.put_into_room(position, record.clone());
            self.previous_came(&record);
        } else if !mutated!(self.settings, WaitingSettled) {
            self.rooms.entry(record.room.clone()).or_default().announce(&record);
        }
    }

    /// A message is known by one more id, which counts as passed only where the
    /// message was heard: else no client would hear it, nor one of whom another router
    /// knows that it came before it was said.
    fn twin_came(&mut self, record: &Arc<Record>) {
        let room = self.rooms.entry(record.room.clone()).or_default();
        room.announce(record);
        let members: Vec<SessionKey> = room.members.iter().copied().collect();
        for key in members {
            let settled = &self.sessions[key].settled;
            let was_heard = |id: &RecordId| {
                let of_origin = settled.get(&id.origin);
                of_origin.is_some_and(|known| id.sequence > known.before && known.contains(id.sequence))
            };
            if self.log.ids_of(record).any(was_heard) {
                self.settle(key, record);
            }
        }
    }

    /// Clients hear of a record that is held: its place is behind all that
    /// they have been told of.
    pub(super) fn put_into_room(&mut self, position: Position, record: Arc<Record>) {
        let room = self.rooms.entry(record.room.clone()).or_default();
        let place = if position >= room.end() { position } else { self.log.next_position() };
        self.log.set_place(position, place);
        room.insert(place, record);
        let members: Vec<SessionKey> = room.members.iter().copied().collect();
        for key in members {
            self.pump(key);
            self.set_timer(key);
        }
    }

    /// Drops the oldest records until bounds hold with `room_for` bytes more.
    pub(super) fn drop_over_bounds(&mut self, room_for: usize) {
        let age_max = self.settings.storage_age_max;
        let bytes_max = self.settings.storage_bytes_max.saturating_sub(room_for);
        while let Some(Dropped { place, record }) = self.log.pop_over(self.now, age_max, bytes_max) {
            self.stats.records_expired += 1;
            self.origins.remove(&record.id);
            self.upstream_forgets(&record);
            match place {
                Some(place) => self.forget_in_room(place, &record.room),
                None => {
                    self.waits_no_more(&record.id);
                    if let Some(room) = self.rooms.get_mut(&record.room) {
                        room.renounce(&record);
                    }
                }
            }
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

    /// Live audio: to the others in the sender's room, at once or not at all.
    pub(super) fn live(&mut self, key: SessionKey, frame: Arc<[u8]>) {
        let Some(room) = self.sessions[key].room.clone() else {
            self.stats.streams_without_room += 1;
            return;
        };
        self.stats.streams_in += 1;
        self.stream_on(key, &room, &frame);
        self.stream_up(key, &frame);
        let speaker = self.sessions[key].client_id.clone();
        self.stream_to_members(&room, &speaker, &frame);
    }

    /// To everyone in the room who is connected here, but not to who speaks.
    pub(super) fn stream_to_members(&mut self, room: &RoomId, speaker: &ClientId, frame: &Arc<[u8]>) {
        let Some(room) = self.rooms.get(room) else { return };
        let others = room.members.iter().copied().filter(|key| self.sessions[*key].client_id != *speaker);
        let others: Vec<SessionKey> = others.collect();
        for other in others {
            if self.is_audio_news(other, frame) && self.tell(other, Told::Live(frame.clone())).is_some() {
                self.stats.streams_out += 1;
            }
        }
    }
}

//! Taking in a voice message: once, whatever is sent again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{RouterId, Time};

use super::io::{Alone, ConnId, Output, StoredRecord};
use super::mutants::mutated;
use super::record::{Moment, Position};
use super::settings::{REMEMBERED_MAX, UNCOMMITTED_MAX};
use super::{Answer, Router, SessionKey, Token};
use crate::wire::fau3e::LAMPORT_MAX;
use crate::wire::{BODY_BYTES_MAX, ClientId, Message, Record, RecordId, RoomId, Status, Uuid};

/// What one is told whose message is longer than [`BODY_BYTES_MAX`].
const TOO_LONG: &str = "a message may have 785,664 bytes at most";

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

    /// All of them with their age in ms, oldest first.
    pub(super) fn all(&self, now: Time) -> impl Iterator<Item = (u128, u64)> {
        self.order.iter().filter_map(move |key| Some((*key, self.since.get(key)?.age_ms(now))))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.order.len(), self.since.len());
        self.order.len()
    }
}

/// A record that is on its way to the disk: no client has heard of it yet, so
/// that nobody hears twice of one that a crash wiped out.
#[derive(Debug)]
pub(super) struct Uncommitted {
    commit: u64,
    position: Position,
    record: Arc<Record>,
    age_ms: u64,
    is_twin: bool,
    waiter: Waiter,
}

/// Who waits for a record to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiter {
    /// Its sender's newest connection, for FAU3_STORED.
    Client(ConnId),
    /// Its sender's newest connection, for FAU3_STORED, once other routers hold it too.
    Copies,
    /// Another router, for the Confirm with this MessageUuid.
    Peer(RouterId, Uuid),
    /// Nobody.
    None,
}

impl Router {
    pub(super) fn post(&mut self, key: SessionKey, token: Token, room: RoomId, body: Box<[u8]>) {
        if body.len() > BODY_BYTES_MAX {
            return self.refuse(key, Some(token), TOO_LONG);
        }
        let client_id = self.sessions[key].client_id.clone();
        let said = Message { room, client_id, message_uuid: token.clone(), payload: body };
        let message = said.key();
        if self.is_under_way(key, message) {
            self.stats.duplicates += 1;
            return;
        }
        if self.is_remembered(message) {
            self.stats.duplicates += 1;
            return self.confirm_again(key, message, token);
        }
        let record = self.new_record(key, said, message);
        if self.shutting_down || !self.has_place_for(&record) {
            self.stats.records_refused += 1;
            return self.answer(key, token, Answer::Failed);
        }
        self.sequence = record.id.sequence;
        self.lamport_heard(record.lamport);
        let record = Arc::new(record);
        self.sessions[key].last = Some((record.lamport, record.id));
        // The main server may have told of it before, while its sender was elsewhere.
        let is_twin = self.is_known_from_server(&record, 0);
        self.take_in(key, record, is_twin);
    }

    /// It was taken in before: by an earlier life, perhaps, that died before
    /// another router held it.
    fn confirm_again(&mut self, key: SessionKey, message: u128, token: Token) {
        let is_of_earlier_life = |record: &&Arc<Record>| {
            record.id.origin.router == self.origin.router && record.id.origin != self.origin
        };
        let record = self.log.of_message(message).filter(is_of_earlier_life).cloned();
        let conn = self.sessions[key].link.as_ref().map(|link| link.conn);
        if let (Some(record), Some(conn)) = (record, conn)
            && self.settings.copies > 1
        {
            if self.has_peers() || self.a_peer_may_appear() {
                return self.await_copies(&record, conn, true);
            }
            self.confirmed_alone(&record, Alone::NoRouter);
        }
        self.answer(key, token, Answer::Stored);
    }

    /// FAU3_STORED is said of what only this router holds.
    pub(super) fn confirmed_alone(&mut self, record: &Arc<Record>, why: Alone) {
        if self.settings.copies > 1 {
            self.stats.confirmed_single += 1;
            self.outputs.push_back(Output::ConfirmedAlone { record: record.clone(), why });
        }
    }

    /// Stores, confirms, tells other routers and delivers, whichever of these
    /// has to be done.
    fn take_in(&mut self, key: SessionKey, record: Arc<Record>, is_twin: bool) {
        let Some(conn) = self.sessions[key].link.as_ref().map(|link| link.conn) else { return };
        let position = self.log.next_position();
        self.origins.insert(&record.id, position, self.now);
        let disk = self.settings.disk;
        let needs_copies = self.settings.copies > 1 && (self.has_peers() || self.a_peer_may_appear());
        if disk {
            let waiter = if needs_copies { Waiter::Copies } else { Waiter::Client(conn) };
            self.commit_record(position, record.clone(), 0, is_twin, waiter);
        } else {
            self.taken_in(record.key());
        }
        if needs_copies {
            self.await_copies(&record, conn, !disk);
        } else {
            self.push_on(&record, 0, None, None);
        }
        if !disk {
            if !needs_copies {
                self.confirmed_alone(&record, Alone::NoRouter);
                self.answer(key, record.message_uuid.clone(), Answer::Stored);
            }
            self.publish(position, record, 0, is_twin);
        }
    }

    /// Takes in what another router holds. True: it is held here from now on;
    /// else `confirm` is sent once it is.
    pub(super) fn replicate(
        &mut self,
        record: Arc<Record>,
        age_ms: u64,
        confirm: Option<(RouterId, Uuid)>,
    ) -> bool {
        let position = self.log.next_position();
        self.origins.insert(&record.id, position, self.now);
        let is_known = self.is_remembered(record.key())
            || self.uncommitted.iter().any(|waiting| waiting.record.key() == record.key());
        let is_twin = is_known && !mutated!(self.settings, TwinsTwice);
        let is_twin = self.is_known_from_server(&record, age_ms) || is_twin;
        if !mutated!(self.settings, ReplicatedNotRemembered) {
            self.remember(record.key(), age_ms);
        }
        if self.settings.disk {
            let waiter = confirm.map_or(Waiter::None, |(router, uuid)| Waiter::Peer(router, uuid));
            self.commit_record(position, record, age_ms, is_twin, waiter);
            return false;
        }
        self.publish(position, record, age_ms, is_twin);
        true
    }

    /// Takes in what no client here has said, for the whole mesh; nobody waits for it.
    pub(super) fn take_in_own(&mut self, record: Arc<Record>) {
        self.sequence = record.id.sequence;
        self.lamport_heard(record.lamport);
        let position = self.log.next_position();
        self.origins.insert(&record.id, position, self.now);
        self.taken_in(record.key());
        self.push_on(&record, 0, None, None);
        if self.settings.disk {
            self.commit_record(position, record, 0, false, Waiter::None);
        } else {
            self.publish(position, record, 0, false);
        }
    }

    /// A message sent again while its first copy is being stored here or by
    /// others: its Confirm goes to where the newest one came from.
    fn is_under_way(&mut self, key: SessionKey, message: u128) -> bool {
        let Some(conn) = self.sessions[key].link.as_ref().map(|link| link.conn) else { return false };
        if self.copies_came_again(message, conn) {
            return true;
        }
        let own = |waiting: &&mut Uncommitted| matches!(waiting.waiter, Waiter::Client(_));
        let waiting = self.uncommitted.iter_mut().filter(own).find(|waiting| waiting.record.key() == message);
        let found = waiting.is_some();
        if let Some(waiting) = waiting {
            waiting.waiter = Waiter::Client(conn);
        }
        found
    }

    /// Whether one more may be on its way.
    pub(super) fn has_place_for(&self, record: &Record) -> bool {
        let on_the_way: usize = self.uncommitted.iter().map(|waiting| waiting.record.cost_bytes()).sum();
        let fits = record.cost_bytes() + on_the_way <= self.settings.storage_bytes_max;
        fits && self.uncommitted.len() < UNCOMMITTED_MAX && self.copies_awaited() < UNCOMMITTED_MAX
    }

    /// A client's message, whose key is known, as the next record.
    fn new_record(&self, key: SessionKey, message: Message, message_key: u128) -> Record {
        let session = &self.sessions[key];
        let latest = self.latest_of(&session.client_id).max(session.last);
        self.make_record(latest, message, message_key)
    }

    /// The next record that is made here, behind the latest one of its sender.
    pub(super) fn make_record(
        &self,
        latest: Option<(u64, RecordId)>,
        message: Message,
        message_key: u128,
    ) -> Record {
        let lamport = self.lamport_after(latest).max(self.lamport.saturating_add(1));
        self.make_record_of(lamport, latest, message, message_key)
    }

    /// A record that is made here of a message of an earlier time.
    pub(super) fn make_record_of(
        &self,
        lamport: u64,
        latest: Option<(u64, RecordId)>,
        message: Message,
        message_key: u128,
    ) -> Record {
        let id = RecordId { origin: self.origin, sequence: self.sequence + 1 };
        let lamport = if mutated!(self.settings, AllBelieved) { lamport } else { lamport.min(LAMPORT_MAX) };
        Record::keyed(id, latest.map(|(_, id)| id), lamport, message, message_key)
    }

    /// By the mesh's clock a router that has just come, and lacks what was said before,
    /// does not count behind it.
    pub(super) fn lamport_after(&self, latest: Option<(u64, RecordId)>) -> u64 {
        latest.map_or(0, |(lamport, _)| lamport.saturating_add(1)).max(self.mesh_clock_ms())
    }

    /// The latest record of a client that is here, behind its Lamport time.
    pub(super) fn latest_of(&self, client_id: &ClientId) -> Option<(u64, RecordId)> {
        let on_the_way = self.uncommitted.iter().filter(|waiting| !waiting.is_twin);
        let on_the_way = on_the_way.map(|waiting| &waiting.record);
        let on_the_way = on_the_way.filter(|record| record.client_id == *client_id);
        let held = on_the_way.map(|record| (record.lamport, record.id));
        held.chain(self.log.newest_of(client_id)).max()
    }

    fn commit_record(
        &mut self,
        position: Position,
        record: Arc<Record>,
        age_ms: u64,
        is_twin: bool,
        waiter: Waiter,
    ) {
        let commit = self.save_record(StoredRecord { position, record: record.clone(), age_ms });
        self.uncommitted.push_back(Uncommitted { commit, position, record, age_ms, is_twin, waiter });
    }

    /// The oldest position that is on its way to the disk.
    pub(super) fn uncommitted_floor(&self) -> Option<Position> {
        self.uncommitted.front().map(|waiting| waiting.position)
    }

    /// The disk's answer: what is there is heard and confirmed; what is not is
    /// the sender's to send again.
    pub(super) fn stored(&mut self, commit: u64, ok: bool) {
        while self.uncommitted.front().is_some_and(|waiting| waiting.commit <= commit) {
            let Some(waiting) = self.uncommitted.pop_front() else { break };
            self.committed(waiting, ok);
        }
        self.fetch_missing();
    }

    fn committed(&mut self, waiting: Uncommitted, ok: bool) {
        let Uncommitted { position, record, age_ms, is_twin, waiter, .. } = waiting;
        self.stats.store_failed += u64::from(!ok);
        let is_own = matches!(waiter, Waiter::Client(_) | Waiter::Copies);
        if is_own && ok {
            self.taken_in(record.key());
        } else if is_own {
            self.stats.records_refused += 1;
            self.origins.remove(&record.id);
            self.upstream_never_had(&record);
            // Whoever took it in as well has the only one.
            let twin = self.uncommitted.iter_mut().find(|waiting| waiting.record.key() == record.key());
            twin.into_iter().for_each(|twin| twin.is_twin = false);
        }
        match waiter {
            Waiter::Client(conn) => {
                if ok {
                    self.confirmed_alone(&record, Alone::NoRouter);
                }
                let answer = if ok { Answer::Stored } else { Answer::Failed };
                if let Some(&key) = self.by_conn.get(&conn) {
                    self.answer(key, record.message_uuid.clone(), answer);
                }
            }
            Waiter::Copies => self.copy_committed(record.key(), ok),
            Waiter::Peer(router, uuid) if ok => self.confirm_to_peer(router, uuid, Status::STORED),
            Waiter::Peer(..) | Waiter::None => {}
        }
        // What another router's client said is heard even if the disk fails.
        if ok || !is_own {
            self.publish(position, record, age_ms, is_twin);
        }
    }

    pub(super) fn remember(&mut self, message: u128, age_ms: u64) {
        let age_max = self.remembered_age_max();
        self.remembered.insert(message, self.now, age_ms, age_max);
    }

    /// Whether a message was taken in before.
    pub(super) fn is_remembered(&self, message: u128) -> bool {
        self.remembered.contains(message, self.now, self.remembered_age_max())
    }

    /// Twice as long as records live.
    fn remembered_age_max(&self) -> Duration {
        self.settings.storage_age_max.saturating_mul(2)
    }

    fn taken_in(&mut self, message: u128) {
        self.remember(message, 0);
        self.stats.records_stored += 1;
    }
}

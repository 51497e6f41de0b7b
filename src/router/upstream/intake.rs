//! What clients of the main server say becomes records of the mesh, once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::echoes::echo_key;
use super::{LEGACY_CLIENT_ID_MAX, ToServer, UpConn, UpstreamOutput};
use crate::router::mesh::Place;
use crate::router::mutants::mutated;
use crate::router::{Answer, Output, Router};
use crate::wire::{BODY_BYTES_MAX, ClientId, Message, Record, RecordId, RoomId, Uuid};

/// How the MessageUuid of a record begins that was taken in from the server.
/// One that a client gives to its own is merely not pushed.
const FROM_SERVER: &str = "from-server-";
/// For how long a copy of what a client of the mesh has said waits for the record.
const HELD_BACK: Duration = Duration::from_secs(2);
/// Copies that wait; beyond it the oldest is taken in at once.
const HELD_BACK_MAX: usize = 256;
/// The router that has told the server of a message says so within this, if it lives.
const TOLD_BY_ANOTHER_WITHIN: Duration = Duration::from_millis(100);
/// For how long a Playlist that the server sends again is known.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Playlists known of one connection.
const KNOWN_MAX: usize = 64;

/// Whether a record was taken in from the server.
pub(super) fn is_from_server(record: &Record) -> bool {
    record.message_uuid.starts_with(FROM_SERVER)
}

/// Whether the server has no need of a record, or cannot bear its sender.
pub(super) fn is_never_pushed(record: &Record) -> bool {
    is_from_server(record) || record.client_id.as_str().len() > LEGACY_CLIENT_ID_MAX
}

/// A message of the server whose record is probably on its way over the mesh.
#[derive(Debug)]
pub(super) struct HeldBack {
    pub(super) until: Time,
    key: u128,
    room: RoomId,
    client_id: ClientId,
    payload: Box<[u8]>,
    told: BTreeSet<UpConn>,
    when: When,
}

/// When the server told of a message: what is made of it later is of that time, so that
/// what its sender has said since, and came over the mesh, comes behind it.
#[derive(Debug, Clone, Copy)]
struct When {
    lamport: u64,
    /// Its sender's latest record.
    latest: Option<(u64, RecordId)>,
}

impl HeldBack {
    /// It is this message, of which the connection was not told yet.
    pub(super) fn is_for(&self, key: u128, conn: UpConn) -> bool {
        self.key == key && !self.told.contains(&conn)
    }
}

impl Router {
    pub(super) fn confirm_to_server(&mut self, conn: UpConn, message_uuid: Box<str>, answer: Answer) {
        let frame = ToServer::Confirm { message_uuid, answer };
        self.outputs.push_back(Output::Upstream(UpstreamOutput::Send { conn, frame }));
    }

    /// Voice messages from the server, for the client in whose name the
    /// connection is. Confirmed once all are held here.
    pub(super) fn server_plays(
        &mut self,
        conn: UpConn,
        message_uuid: Box<str>,
        records: Vec<(ClientId, Box<[u8]>)>,
    ) {
        let Some(receiver) = self.upstream.by_conn.get(&conn).cloned() else { return };
        let mut answer = Answer::Stored;
        let line = self.upstream.clients.get(&receiver).and_then(|carried| carried.line.as_ref());
        let subscribed = line.and_then(|line| {
            let leaving = line.leaving.as_ref().map(|(_, room)| room.clone());
            Some((leaving, line.subscribed.clone()?.0, line.since))
        });
        // It is sent again until the client is in a room.
        let Some((leaving, room, since)) = subscribed else { return };
        if self.is_known_playlist(&receiver, &message_uuid, &records) {
            return self.confirm_to_server(conn, message_uuid, answer);
        }
        for (client_id, payload) in records {
            if client_id == receiver {
                continue;
            }
            // Of the room that is being left, unless it is known to be of the new one.
            let awaits = |room: &RoomId| {
                self.upstream.echoes.awaits(echo_key(room, &client_id, &payload), conn, since)
            };
            let left = leaving.as_ref().filter(|left| awaits(left) || !awaits(&room));
            let room = left.unwrap_or(&room).clone();
            if !self.told_by_server(conn, since, &room, client_id, payload) {
                answer = Answer::Failed;
            }
        }
        if answer == Answer::Failed {
            // To be taken in when it is sent again.
            if let Some(carried) = self.upstream.clients.get_mut(&receiver) {
                carried.known.pop_back();
            }
        }
        self.confirm_to_server(conn, message_uuid, answer);
    }

    /// A Playlist once more, as the server sends it when a Confirm was
    /// lost. Its MessageUuids alone say little: it repeats them.
    fn is_known_playlist(
        &mut self,
        receiver: &ClientId,
        message_uuid: &str,
        records: &[(ClientId, Box<[u8]>)],
    ) -> bool {
        let now = self.now;
        let mut bytes = message_uuid.as_bytes().to_vec();
        for (client_id, payload) in records {
            bytes.extend_from_slice(client_id.as_str().as_bytes());
            bytes.extend_from_slice(&xxh3_128(payload).to_le_bytes());
        }
        let hash = xxh3_64(&bytes);
        let carried = self.upstream.clients.entry(receiver.clone()).or_default();
        let known = &mut carried.known;
        while known.len() >= KNOWN_MAX || known.front().is_some_and(|(at, _)| now.since(*at) >= KNOWN_FOR) {
            known.pop_front();
        }
        if known.iter().any(|(_, other)| *other == hash) {
            return true;
        }
        known.push_back((now, hash));
        false
    }

    /// One message: known here as a record, on its way as one, or new. False:
    /// there is no place for it.
    fn told_by_server(
        &mut self,
        conn: UpConn,
        since: Time,
        room: &RoomId,
        client_id: ClientId,
        payload: Box<[u8]>,
    ) -> bool {
        let key = echo_key(room, &client_id, &payload);
        let known = self.upstream.echoes.told(key, conn, since);
        if let Some(id) = known.filter(|_| !mutated!(self.settings, EchoesNotPaired)) {
            self.stats.upstream_paired += 1;
            if let Some(id) = id {
                self.server_told_of(&id);
            }
            return true;
        }
        let waiting = self.upstream.echoes.held_back.iter_mut();
        if let Some(held) = waiting.filter(|held| held.key == key).find(|held| !held.told.contains(&conn)) {
            held.told.insert(conn);
            return true;
        }
        let told = BTreeSet::from([conn]);
        if !self.is_of_mesh(&client_id) {
            let when = self.told_now(&client_id);
            return self.take_in_from_server(key, room.clone(), client_id, payload, told, when);
        }
        let until = self.now + HELD_BACK;
        if self.upstream.echoes.held_back.len() >= HELD_BACK_MAX {
            self.release_held_back(0);
        }
        let when = self.told_now(&client_id);
        let held = HeldBack { until, key, room: room.clone(), client_id, payload, told, when };
        self.upstream.echoes.held_back.push(held);
        true
    }

    fn told_now(&self, client_id: &ClientId) -> When {
        let latest = self.latest_of(client_id);
        When { lamport: self.lamport_after(latest), latest }
    }

    /// A client that is connected to a router of the mesh.
    fn is_of_mesh(&self, client_id: &ClientId) -> bool {
        self.by_client.get(client_id).is_some_and(|key| {
            let session = &self.sessions[*key];
            session.link.is_some() || session.place == Place::Elsewhere
        })
    }

    /// The server tells others of this record, so it has it.
    fn server_told_of(&mut self, id: &RecordId) {
        let record = self.origins.position(id).and_then(|at| self.log.get(at, self.now));
        if let Some(record) =
            record.map(|(record, _)| record.clone()).filter(|record| !is_from_server(record))
        {
            // Each router whose clients hear it finds so: one that told it says it first.
            if self.note_server_has(&record) {
                self.tell_upstream_within(TOLD_BY_ANOTHER_WITHIN);
            }
        }
    }

    pub(super) fn intake_due(&mut self) {
        while let Some(at) = self.upstream.echoes.held_back.iter().position(|held| held.until <= self.now) {
            self.release_held_back(at);
        }
    }

    fn release_held_back(&mut self, at: usize) {
        let held = self.upstream.echoes.held_back.remove(at);
        let HeldBack { key, room, client_id, payload, told, when, .. } = held;
        if !self.take_in_from_server(key, room, client_id, payload, told, when) {
            self.stats.records_refused += 1;
        }
    }

    /// Makes a record of it. False: there is no place.
    fn take_in_from_server(
        &mut self,
        key: u128,
        room: RoomId,
        client_id: ClientId,
        payload: Box<[u8]>,
        told: BTreeSet<UpConn>,
        When { lamport, latest }: When,
    ) -> bool {
        if payload.is_empty() || payload.len() > BODY_BYTES_MAX {
            self.stats.records_refused += 1;
            return true; // Not for later either.
        }
        let message_uuid = self.uuid_from_server(key, &room, &client_id, &payload);
        let message = Message { room, client_id, message_uuid, payload };
        let message_key = message.key();
        let record = self.make_record_of(lamport, latest, message, message_key);
        if self.shutting_down || !self.has_place_for(&record) {
            return false;
        }
        self.stats.upstream_taken_in += 1;
        self.upstream.echoes.insert(&record, Some(self.now), true, told);
        self.upstream.pushed.insert(&record.id);
        // What its sender has said next waits here, too.
        for held in &mut self.upstream.echoes.held_back {
            if held.client_id == record.client_id {
                let latest = Some((record.lamport, record.id)).max(held.when.latest);
                held.when = When { lamport: held.when.lamport.max(record.lamport.saturating_add(1)), latest };
            }
        }
        self.take_in_own(Arc::new(record));
        true
    }

    /// It is one on every router that takes the same message in, so that they
    /// find that it is one; another one for the same words said again.
    fn uuid_from_server(&self, key: u128, room: &RoomId, client_id: &ClientId, payload: &[u8]) -> Box<str> {
        let uuid = |nth: usize| {
            let hash = xxh3_128(&[key.to_le_bytes(), (nth as u128).to_le_bytes()].concat());
            format!("{FROM_SERVER}{}", Uuid::from_hash(hash)).into_boxed_str()
        };
        let mut nth = self.upstream.echoes.taken_in(key);
        while self.is_remembered(crate::wire::propogate_key(client_id, room, &uuid(nth), payload)) {
            nth += 1;
        }
        uuid(nth)
    }

    /// A record is held here from now on. The one that is the same message, if
    /// one of the two came from the server and the other did not.
    pub(in crate::router) fn upstream_hears_of(
        &mut self,
        record: &Record,
        age_ms: u64,
    ) -> Option<(u128, Option<RecordId>)> {
        if !self.upstream.is_legacy() {
            return None;
        }
        let is_from_server = is_from_server(record);
        let since = Time::from_millis(self.now.as_millis().saturating_sub(age_ms));
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        let held_back = &mut self.upstream.echoes.held_back;
        let waiting = held_back.iter().position(|held| held.key == key);
        let told = waiting.map(|at| held_back.remove(at).told);
        let was_told = told.is_some();
        let is_there = is_from_server || self.upstream.pushed.contains(&record.id);
        if is_never_pushed(record) {
            // So that what is pushed of an origin is one run, not many.
            self.upstream.pushed.insert(&record.id);
        }
        let there_since = is_there.then_some(since);
        self.upstream.echoes.insert(record, there_since, is_from_server, told.unwrap_or_default());
        if was_told && !is_from_server {
            self.server_has(record);
        }
        self.upstream.echoes.pair(record, is_from_server)
    }

    /// A record that came over the mesh is the same message as one that came
    /// from the server. That one may have left the log: then nobody hears it again.
    pub(in crate::router) fn is_known_from_server(&mut self, record: &Record, age_ms: u64) -> bool {
        let Some((message, id)) = self.upstream_hears_of(record, age_ms) else { return false };
        if let Some(id) = id {
            self.log.link((record.key(), record.id), (message, id));
        }
        self.server_has(record);
        !mutated!(self.settings, ServerTwinDelivered)
    }

    /// It was not taken in after all.
    pub(in crate::router) fn upstream_never_had(&mut self, record: &Record) {
        self.upstream.echoes.discard(record);
    }

    pub(in crate::router) fn upstream_forgets(&mut self, record: &Record) {
        self.upstream.echoes.remove(record, self.now);
        self.push_expired(record);
    }
}

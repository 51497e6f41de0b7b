//! Who is owed what: kept from what goes into the router alone, so that it can
//! be held against what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::router::{ConnId, Input, Output, Record, Router, Says};
use crate::wire::{ClientId, RoomId};

/// A record and whom it is for.
type Promised = (Arc<Record>, BTreeSet<ClientId>);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    clients: BTreeMap<ConnId, ClientId>,
    rooms: BTreeMap<ClientId, RoomId>,
    /// Messages taken in so far: sender, MessageUuid, payload.
    said: BTreeSet<(ClientId, Box<str>, Box<[u8]>)>,
    /// Records on their way to the disk, by commit, and who was in their room
    /// when they came and has not left it since.
    on_the_way: BTreeMap<u64, Vec<Promised>>,
    /// What each client has to hear since it came into its room, heard or not.
    owed: BTreeMap<ClientId, BTreeSet<String>>,
}

impl Ledger {
    pub(super) fn room(&self, client_id: &ClientId) -> Option<&RoomId> {
        self.rooms.get(client_id)
    }

    pub(super) fn owed(&self, client_id: &ClientId) -> impl Iterator<Item = &str> {
        self.owed.get(client_id).into_iter().flatten().map(String::as_str)
    }

    pub(super) fn input(&mut self, router: &Router, input: &Input) {
        match input {
            Input::Connect { conn, client_id, .. } => {
                self.clients.insert(*conn, client_id.clone());
            }
            Input::Says { conn, what } if router.by_conn.contains_key(conn) => {
                let client_id = self.clients[conn].clone();
                self.says(router, client_id, what);
            }
            Input::Stored { commit, ok } => {
                let later = self.on_the_way.split_off(&(commit + 1));
                let done = std::mem::replace(&mut self.on_the_way, later);
                for (record, receivers) in done.into_values().flatten().filter(|_| *ok) {
                    self.published(&receivers, &record.payload);
                }
            }
            _ => {}
        }
    }

    fn says(&mut self, router: &Router, client_id: ClientId, what: &Says) {
        match what {
            Says::Enter { room, .. } => self.moved(client_id, room),
            Says::Post { token, room, body } if !router.settings.disk => {
                self.said(client_id, token, room, body);
            }
            _ => {}
        }
    }

    fn said(&mut self, sender: ClientId, message_uuid: &str, room: &RoomId, payload: &[u8]) {
        let receivers = self.receivers(&sender, room);
        if self.said.insert((sender, message_uuid.into(), payload.into())) {
            self.published(&receivers, payload);
        }
    }

    fn moved(&mut self, client_id: ClientId, room: &RoomId) {
        if self.rooms.insert(client_id.clone(), room.clone()).as_ref() == Some(room) {
            return;
        }
        self.owed.remove(&client_id);
        for (_, receivers) in self.on_the_way.values_mut().flatten() {
            receivers.remove(&client_id);
        }
    }

    pub(super) fn output(&mut self, output: &Output) {
        if let Output::Store(commit) = output {
            let records = commit.records.iter().map(|stored| stored.record.clone());
            let receivers = |record: &Record| self.receivers(&record.client_id, &record.room);
            let records = records.map(|record| (record.clone(), receivers(&record))).collect();
            self.on_the_way.insert(commit.number, records);
        }
    }

    fn receivers(&self, sender: &ClientId, room: &RoomId) -> BTreeSet<ClientId> {
        let others = self.rooms.iter().filter(|&(client_id, at)| at == room && client_id != sender);
        others.map(|(client_id, _)| client_id.clone()).collect()
    }

    fn published(&mut self, receivers: &BTreeSet<ClientId>, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload).into_owned();
        for receiver in receivers.iter().filter(|receiver| self.rooms.contains_key(receiver)) {
            self.owed.entry(receiver.clone()).or_default().insert(text.clone());
        }
    }

    /// Those whose session has ended are owed nothing any more.
    pub(super) fn end_sessions(&mut self, router: &Router) {
        self.rooms.retain(|client_id, _| router.by_client.contains_key(client_id));
        self.owed.retain(|client_id, _| router.by_client.contains_key(client_id));
    }

    /// Whoever was owed something must have been on the disk, in its room.
    pub(super) fn restarted(&mut self, router: &Router) {
        self.on_the_way.clear();
        let sessions = router.sessions.iter().map(|(_, session)| session);
        let in_rooms =
            sessions.filter_map(|session| Some((session.client_id.clone(), session.room.clone()?)));
        let restored: BTreeMap<_, _> = in_rooms.collect();
        for client_id in self.owed.keys() {
            assert_eq!(restored.get(client_id), self.rooms.get(client_id), "{client_id} was owed something");
        }
        self.rooms = restored;
    }
}

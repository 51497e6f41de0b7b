//! What must hold at every step of every test, whatever it is about.

use std::collections::{BTreeMap, BTreeSet};

use fau3_election::Time;

use super::ledger::Ledger;
use crate::router::settings::{
    CONTESTED_MAX, DETACHED_SESSIONS_MAX, IN_FLIGHT_MAX, REMEMBERED_MAX, UNCOMMITTED_MAX,
};
use crate::router::{Answer, ConnId, Input, Origin, Output, RecordId, Router, Told};
use crate::wire::{ClientId, RoomId, SETTLED_BEYOND_MAX, Uuid, playlist_uuid};

/// Looks at everything that goes into a router and comes out of it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Who is to hear what behind the others.
    pub(super) behind: BTreeSet<(ClientId, String)>,
    open: BTreeSet<ConnId>,
    /// Playlists sent, by receiver: their MessageUuids.
    playlists: BTreeMap<ClientId, BTreeSet<Uuid>>,
    /// The newest record sent, by receiver, origin, sender and room.
    newest: BTreeMap<(ClientId, Origin, ClientId, RoomId), u64>,
    /// The newest Monitor, by connection.
    monitors: BTreeMap<ConnId, Uuid>,
    /// MessageUuids of Pings, and of Monitors when they are new.
    uuids: BTreeSet<Uuid>,
    /// Records on their way to the disk, by commit.
    on_the_way: BTreeMap<u64, Vec<(RecordId, ClientId, Box<str>)>>,
    committed: BTreeSet<RecordId>,
    stored: BTreeSet<(ClientId, Box<str>)>,
    pub(super) ledger: Ledger,
}

impl Watch {
    pub(super) fn input(&mut self, router: &Router, input: &Input) {
        self.ledger.input(router, input);
        match input {
            Input::Disconnected { conn } => {
                self.open.remove(conn);
            }
            Input::Stored { commit, ok } => {
                let later = self.on_the_way.split_off(&(commit + 1));
                let done = std::mem::replace(&mut self.on_the_way, later);
                for (id, client_id, uuid) in done.into_values().flatten().filter(|_| *ok) {
                    self.committed.insert(id);
                    self.stored.insert((client_id, uuid));
                }
            }
            _ => {}
        }
    }

    pub(super) fn restarted(&mut self, router: &Router) {
        self.ledger.restarted(router);
        self.open.clear();
        self.on_the_way.clear();
    }

    pub(super) fn output(&mut self, router: &Router, output: &Output) {
        self.ledger.output(output);
        match output {
            Output::Accept { conn } => assert!(self.open.insert(*conn), "accepted once"),
            Output::Refuse { conn, .. } => assert!(!self.open.contains(conn)),
            Output::Probe { conn, .. } | Output::Invalid { conn, .. } => {
                assert!(self.open.contains(conn), "{conn:?} is closed")
            }
            Output::Close { conn, .. } => assert!(self.open.remove(conn), "closed once"),
            Output::Tell { conn, what: frame } => {
                assert!(self.open.contains(conn), "{conn:?} is closed");
                self.frame(router, *conn, frame);
            }
            Output::ConfirmedAlone { .. } | Output::Upstream(_) => {}
            Output::PutBehind { client_id, record } => {
                let text = String::from_utf8_lossy(&record.payload).into_owned();
                self.behind.insert((client_id.clone(), text));
            }
            Output::Beacon { .. }
            | Output::Told { .. }
            | Output::ToPeer { .. }
            | Output::Persist { .. }
            | Output::View(_)
            | Output::Uplink { .. }
            | Output::Warning(_) => panic!("{output:?} of a router in no mesh"),
            Output::Store(commit) => {
                assert!(router.settings.disk, "ram writes nothing");
                let known = commit.records.iter().map(|stored| &stored.record);
                let known = known.map(|new| (new.id, new.client_id.clone(), new.message_uuid.clone()));
                self.on_the_way.insert(commit.number, known.collect());
            }
        }
    }

    fn frame(&mut self, router: &Router, conn: ConnId, frame: &Told) {
        // A connection that is closed later in the same step has left the table.
        let session = router.by_conn.get(&conn).map(|key| &router.sessions[*key]);
        match frame {
            Told::Ask { item: message_uuid } => assert!(self.uuids.insert(*message_uuid), "fresh"),
            Told::Present { item: message_uuid, .. } => {
                if self.monitors.get(&conn) != Some(message_uuid) {
                    assert!(self.uuids.insert(*message_uuid), "no Monitor after a newer one");
                    self.monitors.insert(conn, *message_uuid);
                }
            }
            Told::Item { item: message_uuid, record } => {
                let Some(session) = session else { return };
                let receiver = &session.client_id;
                assert_ne!(*receiver, record.client_id, "no echo");
                assert_eq!(self.ledger.room(receiver), Some(&record.room), "of its own room only");
                let derived = playlist_uuid(record.key(), receiver);
                assert!(router.upstream.is_legacy() || *message_uuid == derived, "derived");
                assert!(!router.settings.disk || self.committed.contains(&record.id), "committed first");
                if self.playlists.entry(receiver.clone()).or_default().insert(*message_uuid) {
                    let of_sender =
                        (receiver.clone(), record.id.origin, record.client_id.clone(), record.room.clone());
                    let newest = self.newest.insert(of_sender, record.id.sequence);
                    assert!(newest < Some(record.id.sequence), "in the sender's order");
                }
            }
            Told::Answer { token: message_uuid, answer: Answer::Stored } if router.settings.disk => {
                let Some(session) = session else { return };
                let message = (session.client_id.clone(), message_uuid.clone());
                assert!(self.stored.contains(&message), "confirmed before it was on disk");
            }
            Told::Answer { .. } => {}
            Told::Live(_) => {
                assert!(session.is_none_or(|session| session.room.is_some()), "in a room");
            }
        }
    }

    /// The tables agree with each other and keep their bounds, and the router
    /// does not ask to be called again at once.
    pub(super) fn tables(&mut self, router: &Router, now: Time) {
        self.ledger.end_sessions(router);
        let due = router.poll_timeout();
        assert!(due.is_none_or(|due| due > now), "due {due:?} at {now}: the shell would spin");
        assert!(router.detached.len() <= DETACHED_SESSIONS_MAX);
        assert!(router.uncommitted.len() <= UNCOMMITTED_MAX);
        assert!(router.remembered.len() <= REMEMBERED_MAX);
        assert!(router.log.bytes() <= router.settings.storage_bytes_max);
        assert!(router.contests.len() <= CONTESTED_MAX);
        assert_eq!(router.sessions.len(), router.by_client.len());
        assert_eq!(router.sessions.len(), router.by_conn.len() + router.detached.len());
        assert_eq!(router.by_address.values().sum::<usize>(), router.by_conn.len());
        assert_eq!(router.by_conn.keys().copied().collect::<BTreeSet<_>>(), self.open);
        assert_eq!(router.rooms.values().map(|room| room.records.len()).sum::<usize>(), router.log.count());
        for (key, session) in &router.sessions {
            let in_room = session.room.as_ref().map(|room| router.rooms[room].members.contains(&key));
            assert_ne!(in_room, Some(false), "a member of its room");
            assert!(session.settled.values().all(|settled| settled.beyond.len() <= SETTLED_BEYOND_MAX));
            if let Some(link) = &session.link {
                assert!(link.items.len() <= IN_FLIGHT_MAX);
                assert!(link.pings.len() <= 3);
                assert!(link.timer.is_some_and(|at| router.timers.contains(&(at, key))));
            }
        }
        assert_eq!(router.timers.len(), router.by_conn.len(), "one timer a connection");
        let members: usize = router.rooms.values().map(|room| room.members.len()).sum();
        assert_eq!(members, router.sessions.iter().filter(|(_, session)| session.room.is_some()).count());
    }
}

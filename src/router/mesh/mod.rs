//! The router among others: neighbours, who leads, sessions that roam, records
//! and live audio from router to router (DESIGN.md, "Data, the short way").
//! As pure as the rest of the router; connections are the shell's.
//!
//! Everything goes the same way: what a router makes (records, sessions,
//! audio) it tells the next routers on the shortest-path tree from itself
//! (`routes`), and these tell those behind them. What is lost on the way is
//! found by comparing (`state`) and asked for (`fetch`). So no router needs a
//! leader to hold the same as the others.

mod audience;
mod beyond;
mod clock;
mod copies;
mod election;
mod fetch;
mod main_node;
mod order;
mod origins;
mod peers;
mod push;
mod roam;
mod routes;
mod state;
mod status;
mod stay;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Election, Incarnation, RouterId, ServerList, Time};

use super::{ConnId, Output, Router, SessionKey};
use crate::wire::fau3e::{Invalid, Message};
use crate::wire::{Origin, RecordId, Status, Uuid};

pub(super) use audience::Audience;
use beyond::Lives;
use clock::MeshClock;
pub(super) use copies::Copies;
use fetch::Fetches;
use main_node::Main;
pub use main_node::MainNode;
#[cfg(test)]
pub(super) use order::WAITING_MAX;
pub(super) use order::Waiting;
pub(super) use origins::Origins;
use peers::Peers;
pub(super) use roam::Place;
use routes::Routes;
pub use status::{MeshStatus, RouterStatus};
use streams::Heard;

/// Changes of sessions are told together after this long (DESIGN.md, "Session").
const COALESCE: Duration = Duration::from_millis(250);

/// What a router in a mesh has more than one alone.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) election: Election,
    peers: Peers,
    routes: Routes,
    clock: MeshClock,
    fetches: Fetches,
    pub(super) copies: Copies,
    pub(super) waiting: Waiting,
    audience: Audience,
    heard: Heard,
    /// Sessions of which the others have yet to hear.
    changed: BTreeSet<SessionKey>,
    /// They have yet to hear of who leads, or of neighbours, as seen here.
    is_own_news: bool,
    /// When they do.
    tell_at: Option<Time>,
    /// When holdings are compared next.
    compare_at: Time,
    /// When they were last.
    compared_at: Time,
    /// Records taken in by then.
    compared: u64,
    /// Streams made here.
    streams: u64,
    /// The routers in reach over however many hops, each in its life.
    members: Lives,
    /// Those of them that are reached through the main server, itself included.
    beyond: Lives,
    main: Main,
    /// Which map they were taken from.
    map_seen: u64,
    /// Until when routers that are not connected may be soon.
    reunion_until: Time,
}

impl Mesh {
    pub(super) fn new(election: Election) -> Self {
        Self {
            election,
            peers: Peers::default(),
            routes: Routes::default(),
            clock: MeshClock::default(),
            fetches: Fetches::default(),
            copies: Copies::default(),
            waiting: Waiting::default(),
            audience: Audience::default(),
            heard: Heard::default(),
            changed: BTreeSet::new(),
            is_own_news: false,
            tell_at: None,
            compare_at: Time::ZERO,
            compared_at: Time::ZERO,
            compared: 0,
            streams: 0,
            members: Lives::new(),
            beyond: Lives::new(),
            main: Main::default(),
            map_seen: u64::MAX,
            reunion_until: Time::ZERO,
        }
    }

    /// Neighbours, by id.
    pub(super) fn peer_ids(&self) -> impl Iterator<Item = RouterId> + '_ {
        self.peers.ids()
    }

    fn timeout(&self, now: Time) -> Option<Time> {
        let times = [
            self.election.poll_timeout(),
            self.tell_at,
            self.fetches.timeout(),
            self.copies.timeout(),
            self.waiting.timeout(),
            self.main.timeout(now),
            (!self.peers.is_empty()).then_some(self.compare_at),
        ];
        times.into_iter().flatten().min()
    }
}

impl Router {
    pub(super) fn mesh_timeout(&self) -> Option<Time> {
        self.mesh.as_ref().and_then(|mesh| mesh.timeout(self.now))
    }

    /// What is due by the clock.
    pub(super) fn mesh_due(&mut self) {
        if self.mesh.is_none() {
            return;
        }
        self.election_due();
        self.watch_main();
        self.fetches_due();
        self.copies_due();
        self.waiting_due();
        self.tell_if_due();
        self.compare_if_due();
    }

    pub(super) fn peer_says(&mut self, router: RouterId, message: Result<Message, Invalid>) {
        let Some(mesh) = &mut self.mesh else { return };
        if !mesh.peers.contains(router) {
            return; // Of a connection that has gone meanwhile.
        }
        match message {
            Ok(Message::State(state)) => self.state_heard(router, *state),
            Ok(Message::AskState) => self.tell_all(router),
            Ok(Message::Playlist(playlist)) => self.records_heard(router, playlist),
            Ok(Message::Want(from)) => self.wanted(router, from),
            Ok(Message::Stream(stream)) => self.stream_heard(router, stream),
            Ok(Message::Upstream(state)) => self.upstream_heard(router, state),
            Ok(Message::Confirm { message_uuid, status }) => {
                self.copy_confirmed(router, message_uuid, status)
            }
            Err(invalid) => {
                self.stats.peer_invalid += u64::from(!invalid.is_unknown);
                if let Some(message_uuid) = invalid.message_uuid {
                    self.confirm_to_peer(router, message_uuid, Status::INVALID);
                }
            }
        }
    }

    pub(super) fn confirm_to_peer(&mut self, router: RouterId, message_uuid: Uuid, status: Status) {
        self.tell_peer(router, Arc::new(Message::Confirm { message_uuid, status }));
    }

    /// Sends a frame, unless the queue to this router is full. Says whether it
    /// went out; the shell may still say that it found no place.
    pub(super) fn tell_peer(&mut self, router: RouterId, message: Arc<Message>) -> bool {
        let Some(mesh) = &self.mesh else { return false };
        if !mesh.peers.takes(router) {
            return false;
        }
        self.outputs.push_back(Output::ToPeer { router, message });
        true
    }
}

/// What the rest of the router asks of the mesh; harmless without one.
impl Router {
    /// When the next goodbye is due, after [`Input::Shutdown`](super::Input::Shutdown);
    /// `None` once all are said.
    #[must_use]
    pub fn goodbye_due(&self) -> Option<Time> {
        self.mesh.as_ref().and_then(|mesh| mesh.election.poll_timeout())
    }

    /// This life, as others are told; counted up when an earlier one is heard
    /// of that was not known (DESIGN.md, "Incarnation"). `None` without a mesh.
    #[must_use]
    pub fn life(&self) -> Option<Incarnation> {
        self.mesh.as_ref().map(|mesh| mesh.election.incarnation())
    }

    /// The ExtraServers list in use; `None` without a mesh.
    #[must_use]
    pub fn extra_servers(&self) -> Option<&ServerList> {
        self.mesh.as_ref().map(|mesh| mesh.election.list())
    }

    /// The routers in reach over however many hops, each in its life.
    pub(super) fn members_in_life(&self) -> Vec<(RouterId, Incarnation)> {
        self.mesh.iter().flat_map(|mesh| mesh.members.iter().map(|(id, life)| (*id, *life))).collect()
    }

    pub(super) fn has_peers(&self) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| !mesh.peers.is_empty())
    }

    pub(super) fn copies_came_again(&mut self, message: u128, conn: ConnId) -> bool {
        self.mesh.as_mut().is_some_and(|mesh| mesh.copies.came_again(message, conn))
    }

    pub(super) fn copies_awaited(&self) -> usize {
        self.mesh.as_ref().map_or(0, |mesh| mesh.copies.len())
    }

    /// A record has left the log before its turn came.
    pub(super) fn waits_no_more(&mut self, id: &RecordId) {
        if let Some(mesh) = &mut self.mesh {
            mesh.waiting.remove(id);
        }
    }

    /// The newest sequence of each origin that is held here or was told of.
    pub(super) fn tops(&self) -> BTreeMap<Origin, u64> {
        let mut tops: BTreeMap<Origin, u64> =
            self.origins.tops().map(|(origin, top)| (*origin, top)).collect();
        for (_, peer) in self.mesh.iter().flat_map(|mesh| mesh.peers.iter()) {
            for origin in peer.holds.keys() {
                let top = tops.entry(*origin).or_default();
                *top = (*top).max(peer.top(origin));
            }
        }
        tops
    }
}

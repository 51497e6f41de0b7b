//! The router as a pure state machine: sessions, rooms, records, delivery.
//!
//! It does not know sockets, files, clocks, random sources or tokio: what
//! happens comes in as an [`Input`] with the time at which it happens, what is
//! to be done leaves as an [`Output`]. The same inputs give the same outputs on
//! every machine. Every rule of PROTOCOLS.md section 1 that is not about bytes
//! is decided here.
//!
//! A record's way: `posts` takes it in, `saving` has it stored, `rooms`
//! and `delivery` bring it to every session of its room until it is confirmed.

mod behind;
mod clients;
mod delivery;
mod io;
mod liveness;
mod look;
mod mesh;
mod mutants;
mod posts;
mod record;
mod rooms;
mod saving;
mod session;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod upstream;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fau3_election::{Election, Time};
use slab::Slab;
use xxhash_rust::xxh3::xxh3_128;

use crate::wire::{ClientId, RoomId, Uuid};
pub use clients::AddressBlock;
use clients::Contests;
use mesh::{Mesh, Origins};
use posts::{Remembered, Uncommitted};
use record::Log;
use rooms::Room;
use saving::SavePlan;
use session::Session;
use status::MonitorList;
use upstream::Upstream;

pub use crate::wire::{Origin, Record, RecordId, Settled, propogate_key};
pub use io::{Alone, Commit, ConnId, FrameNo, Input, Output, Restored, StoredRecord, Whole};
pub use mesh::{MainNode, MeshStatus, RouterStatus};
#[cfg(feature = "mutants")]
pub use mutants::Mutant;
pub use record::Position;
pub use session::SavedSession;
pub use settings::*;
pub use status::{LATENCY_BOUNDS_MS, RoomStatus, Snapshot, Stats};
pub use upstream::{
    FromServer, LEGACY_CLIENT_ID_MAX, Outages, ServerKind, ToServer, UpConn, UpstreamInput, UpstreamOutput,
    UpstreamStatus,
};
pub use words::{Answer, CloseReason, Refusal, Says, Token, Told};

/// Where a session stands in the table of sessions.
type SessionKey = usize;

/// One router. See the module's text.
#[derive(Debug)]
pub struct Router {
    /// Who this is, in this life.
    origin: Origin,
    settings: Settings,
    /// The latest `now` that was seen.
    now: Time,
    sessions: Slab<Session>,
    by_client: BTreeMap<ClientId, SessionKey>,
    by_conn: BTreeMap<ConnId, SessionKey>,
    /// Connections for each address, for sharing the places.
    by_address: BTreeMap<AddressBlock, usize>,
    /// Sessions without a connection, longest first.
    detached: BTreeSet<(Time, SessionKey)>,
    contests: Contests,
    rooms: BTreeMap<RoomId, Room>,
    log: Log,
    remembered: Remembered,
    /// Records on their way to the disk, oldest first.
    uncommitted: VecDeque<Uncommitted>,
    save: SavePlan,
    /// When which link needs attention ([`session::ClientConnection::timer`]).
    timers: BTreeSet<(Time, SessionKey)>,
    outputs: VecDeque<Output>,
    /// The newest record made here.
    sequence: u64,
    /// Lamport time: later than every record known.
    lamport: u64,
    /// MessageUuids made for Pings and Monitors.
    uuids: u64,
    monitor_list: MonitorList,
    shutting_down: bool,
    stats: Stats,
    /// What is held of every origin's records.
    origins: Origins,
    /// Set in a router that is in a mesh.
    mesh: Option<Box<Mesh>>,
    /// The main server.
    upstream: Upstream,
}

impl Router {
    /// A router in a new life, with what an earlier one kept. Its clock stands
    /// at zero.
    #[must_use]
    pub fn new(origin: Origin, settings: Settings, restored: Restored) -> Self {
        let mut router = Self {
            origin,
            settings,
            now: Time::ZERO,
            sessions: Slab::new(),
            by_client: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            by_address: BTreeMap::new(),
            detached: BTreeSet::new(),
            contests: Contests::default(),
            rooms: BTreeMap::new(),
            log: Log::after(restored.top),
            remembered: Remembered::default(),
            uncommitted: VecDeque::new(),
            save: SavePlan::default(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            sequence: 0,
            lamport: 0,
            uuids: 0,
            monitor_list: MonitorList::default(),
            shutting_down: false,
            stats: Stats::default(),
            origins: Origins::default(),
            mesh: None,
            upstream: Upstream::default(),
        };
        router.restore(restored);
        router
    }

    /// A router in a mesh, whose election has just been made at time zero: its
    /// incarnation is the router's.
    #[must_use]
    pub fn in_mesh(election: Election, settings: Settings, restored: Restored) -> Self {
        let origin = Origin { router: election.id(), incarnation: election.incarnation() };
        let mut router = Self::new(origin, settings, restored);
        router.mesh = Some(Box::new(Mesh::new(election)));
        let lamport = std::mem::take(&mut router.lamport);
        router.lamport_heard(lamport);
        router.elect(fau3_election::Input::Timeout);
        router
    }

    /// Takes in what happened at `now`, which never runs backwards. Never
    /// blocks; does work bounded by the tables' bounds; what follows from it is
    /// fetched with [`Self::poll_output`].
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Connect { conn, client_id, address } => self.connect(conn, client_id, address),
            Input::Says { conn, what } => self.hear(conn, what),
            Input::Left { conn, frame } => self.frames_left(conn, frame),
            Input::Pong { conn, probe } => self.pong(conn, probe),
            Input::Alive { conn } => self.alive(conn),
            Input::Disconnected { conn } => self.disconnected(conn),
            Input::Stored { commit, ok } => self.stored(commit, ok),
            Input::StoreLost => self.save_whole(),
            Input::Configure(settings) => self.configure(*settings),
            Input::Beacon(bytes) => self.beacon(&bytes),
            Input::PeerUp { router } => self.peer_up(router),
            Input::CloneMet => {
                let me = self.origin.router;
                self.elect(fau3_election::Input::Connected(me));
                self.elect(fau3_election::Input::Closed(me));
            }
            Input::Contact { router, contact } => self.contact(router, contact),
            Input::PeerDown { router, closed } => self.peer_down(router, closed),
            Input::FromPeer { router, message } => self.peer_says(router, message),
            Input::PeerFull { router } => self.peer_full(router),
            Input::PeerDrained { router } => self.peer_drained(router),
            Input::Persisted { ticket } => self.elect(fau3_election::Input::Persisted { ticket }),
            Input::ListConfigured(list) => self.elect(fau3_election::Input::ListConfigured(&list)),
            Input::Renamed(name) => self.elect(fau3_election::Input::Renamed(&name)),
            Input::Upstream(input) => self.upstream_happens(input),
            Input::Shutdown => self.shutdown(),
            Input::Tick => {}
        }
        self.run_timers();
    }

    /// What to do next, in the order in which it is to be done; `None` until
    /// the next [`Self::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle`] with [`Input::Tick`], if nothing else
    /// happens before. May lie in the past.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let link = self.timers.first().map(|(at, _)| *at);
        let grace = self.detached.first().map(|(since, _)| *since + self.settings.session_grace);
        let age = self.log.due(self.settings.storage_age_max);
        let up = self.upstream.timeout();
        [link, grace, age, self.save.due(), self.mesh_timeout(), up].into_iter().flatten().min()
    }

    fn run_timers(&mut self) {
        while let Some(&(at, key)) = self.timers.first() {
            if at > self.now {
                break;
            }
            self.link_due(key);
        }
        self.end_detached();
        self.drop_over_bounds(0);
        self.save_if_due();
        self.mesh_due();
        self.upstream_due();
    }

    fn hear(&mut self, conn: ConnId, what: Says) {
        // Of a connection that was taken over meanwhile.
        let Some(&key) = self.by_conn.get(&conn) else { return };
        let was_silent = self.sessions[key].link.as_ref().is_some_and(|link| link.silent_until.is_some());
        self.is_alive(key);
        match what {
            Says::Ask { token } => self.answer(key, token, Answer::Here),
            Says::Settles { item, is_taken } => self.settles(key, item, is_taken),
            Says::Post { token, room, body } => self.post(key, token, room, body),
            Says::Enter { token, room, monitor_period_s, ping_period_s } => {
                self.enter(key, room, monitor_period_s, ping_period_s);
                self.answer(key, token, Answer::Done);
                self.pump(key);
            }
            Says::Live(frame) => self.live(key, frame.into()),
            Says::Nonsense { token, reason } => self.refuse(key, token, reason),
        }
        if was_silent {
            self.pump(key);
        }
        self.set_timer(key);
    }

    /// Counts, and answers, what is not as it must be.
    fn refuse(&mut self, key: SessionKey, token: Option<Token>, reason: &'static str) {
        self.stats.invalid += 1;
        let session = &mut self.sessions[key];
        if let Some(link) = &mut session.link
            && !std::mem::replace(&mut link.invalid_told, true)
        {
            let (conn, client_id) = (link.conn, session.client_id.clone());
            self.outputs.push_back(Output::Invalid { conn, client_id, reason });
        }
        if let Some(token) = token {
            self.answer(key, token, Answer::Invalid);
        }
    }

    fn configure(&mut self, settings: Settings) {
        // Where records are kept is decided once, at the start.
        self.settings = Settings { disk: self.settings.disk, ..settings };
        let unwanted: Vec<ConnId> = self
            .by_conn
            .iter()
            .filter(|&(_, &key)| !self.is_allowed(&self.sessions[key].client_id))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in unwanted {
            self.close(conn, CloseReason::NotAllowed);
        }
    }

    fn shutdown(&mut self) {
        self.shutting_down = true;
        let conns: Vec<ConnId> = self.by_conn.keys().copied().collect();
        for conn in conns {
            self.close(conn, CloseReason::ShuttingDown);
        }
        self.save_now();
        self.elect(fau3_election::Input::Leave);
        self.upstream_may_lead();
    }

    fn answer(&mut self, key: SessionKey, token: Token, answer: Answer) {
        self.tell(key, Told::Answer { token, answer });
    }

    /// Tells a client something if the session is connected, and says which number it has. What
    /// is live, and comes before the client has said a word, is not for it.
    fn tell(&mut self, key: SessionKey, what: Told) -> Option<FrameNo> {
        let link = self.sessions.get_mut(key)?.link.as_mut().filter(|link| link.silent_until.is_none())?;
        link.frames += 1;
        self.outputs.push_back(Output::Tell { conn: link.conn, what });
        Some(link.frames)
    }

    /// A MessageUuid that no router makes a second time.
    fn fresh_uuid(&mut self) -> Uuid {
        self.uuids += 1;
        let mut bytes = [0; 36];
        bytes[..16].copy_from_slice(&self.origin.router.0);
        bytes[16..20].copy_from_slice(&self.origin.incarnation.counter.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.origin.incarnation.random.to_le_bytes());
        bytes[28..].copy_from_slice(&self.uuids.to_le_bytes());
        // An item's has a client id behind this, so that the two never hash
        // the same bytes.
        Uuid::from_hash(xxh3_128(&bytes))
    }
}

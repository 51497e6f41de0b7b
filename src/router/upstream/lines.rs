//! Connections to the main server, each in the name of one client.
//!
//! A legacy server ends if one id connects twice. So a client's connection
//! moves with it: its old router closes it, waits until the server has
//! answered, and tells; only then does the new one connect.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{RouterId, Time};
use xxhash_rust::xxh3::xxh3_64;

use super::alive::ABORTED_PAUSE;
use super::audio::Audio;
use super::claim::{Claim, LEASE, May};
use super::push::Flight;
use super::{LEGACY_CLIENT_ID_MAX, ToServer, UpConn, UpstreamOutput};
use crate::router::mesh::Place;
use crate::router::mutants::mutated;
use crate::router::{Output, Router, SessionKey};
use crate::wire::fau3e::UPSTREAM_LINES_MAX;
use crate::wire::{ClientId, Record, RecordId, RoomId, Uuid};

/// For how long a client that has lost its connection here keeps the one to the
/// server: radios come back within it, and nothing is missed.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// After which what an absent client has said is pushed for it by the deputy.
const ABSENT_AFTER: Duration = Duration::from_secs(15);
/// Connections at one time in names of absent clients.
const ABSENT_LINES_MAX: usize = 8;
/// After a connection has failed, doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// See [`RETRY_FIRST`].
pub(super) const RETRY_MAX: Duration = Duration::from_secs(8);
/// Each connection asks the server for Pings, so that it finds those that died.
const PING_PERIOD_S: u32 = 5;

/// A client that has a connection to the server, or something to be pushed.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) line: Option<Line>,
    /// What the server does not have, in the order in which it was said.
    pub(super) waiting: BTreeMap<(u64, RecordId), Arc<Record>>,
    /// Records of its backlog that have gone.
    pub(super) turns: u32,
    pub(super) audio: Audio,
    /// Playlists of the server that were taken in lately: when, and their hash.
    pub(super) known: VecDeque<(Time, u64)>,
    /// When it is looked at again, as in the table of wakes.
    pub(super) wake: Option<Time>,
    /// Failures to connect in a row, and when the next try may be.
    pub(super) failures: u32,
    pub(super) retry_at: Time,
    /// The right to a connection.
    pub(super) claim: Claim,
    /// Since when nobody knows where the client is.
    absent_since: Option<Time>,
    /// The server takes no more connections.
    pub(super) has_no_place: bool,
    /// When the last one ended without the server's knowing, perhaps: it may still
    /// take it for one, until its Pings find out.
    pub(super) suspect_since: Option<Time>,
    /// It ended with a reset that has probably got there: this router connects again,
    /// over the same way; another one cannot know whether that is open.
    pub(super) was_reset: bool,
}

/// One connection to the server.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) conn: UpConn,
    pub(super) stage: Stage,
    /// Since when it has stood.
    pub(super) since: Time,
    /// The last sign of life on it.
    pub(super) alive_at: Time,
    /// It was asked for one since then, and is given up without one by then.
    pub(super) dead_at: Option<Time>,
    /// What was subscribed to last: room, and period of Monitor messages.
    pub(super) subscribed: Option<(RoomId, u32)>,
    /// What was sent and is not confirmed.
    pub(super) flight: Option<Flight>,
    /// The Subscribe that is on its way there, and the room that it leaves: until the
    /// server has read it, it says what was said there.
    pub(super) leaving: Option<(Uuid, RoomId)>,
    /// It has outlived an absence of the server, and has shown no life since: a
    /// reset reaches the server now.
    pub(super) has_outlived: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Opening,
    Up,
    Closing,
}

/// What a client's connection is for.
enum Want {
    /// It is connected here.
    Serve(SessionKey),
    /// It has just gone, or has left something to be pushed.
    Keep,
    /// It is absent, and this router speaks for it.
    Push,
    /// Perhaps at that time.
    Later(Time),
    /// Not now; a change will be told.
    Nothing,
}

impl Line {
    fn opening(conn: UpConn, now: Time) -> Self {
        let stage = Stage::Opening;
        Self {
            conn,
            stage,
            since: now,
            alive_at: now,
            dead_at: None,
            subscribed: None,
            flight: None,
            leaving: None,
            has_outlived: false,
        }
    }

    /// The room in which the server surely takes the client to be.
    pub(super) fn room(&self) -> Option<&RoomId> {
        let is_settled = self.leaving.is_none();
        self.subscribed.as_ref().map(|(room, _)| room).filter(|_| is_settled)
    }
}

impl Carried {
    /// What was sent and is not confirmed.
    pub(super) fn flight(&self) -> Option<&Flight> {
        self.line.as_ref().and_then(|line| line.flight.as_ref())
    }

    /// The server may take a connection of this router for one.
    pub(super) fn may_be_connected(&self) -> bool {
        self.line.is_some() || self.suspect_since.is_some()
    }

    /// The server may take a connection of this router for one, now or soon.
    pub(super) fn may_be_there(&self) -> bool {
        self.may_be_connected() || self.claim.stands()
    }

    /// It would connect, if the deputy had heard of it.
    pub(super) fn awaits_deputy(&self) -> bool {
        self.line.is_none() && self.claim.stands()
    }

    /// The connection, if it can be used.
    pub(super) fn standing(&self) -> Option<UpConn> {
        let line = self.line.as_ref().filter(|line| line.stage == Stage::Up && line.dead_at.is_none());
        line.map(|line| line.conn)
    }

    fn is_needless(&self) -> bool {
        !self.may_be_there() && self.waiting.is_empty() && !self.has_no_place && self.wake.is_none()
    }
}

impl Router {
    /// A client is to be looked at before this input is done with.
    fn look_at_carried(&mut self, client_id: &ClientId) {
        if self.upstream.is_legacy() || self.upstream.clients.contains_key(client_id) {
            self.upstream.looks.insert(client_id.clone());
        }
    }

    /// The client of a session is to be looked at before this input is done with.
    pub(in crate::router) fn look_at_carried_of(&mut self, key: SessionKey) {
        if self.upstream.is_legacy() {
            let client_id = self.sessions[key].client_id.clone();
            self.look_at_carried(&client_id);
        }
    }

    /// Who leads, or who is the deputy, may have changed.
    pub(in crate::router) fn look_at_all_carried(&mut self) {
        if !self.upstream.is_legacy() && self.upstream.clients.is_empty() {
            return;
        }
        if self.mesh.is_some() && self.is_deputy() {
            self.tell_upstream_soon(); // Whom it has heard, if it has just become that.
        }
        let here = self.by_conn.values().map(|key| self.sessions[*key].client_id.clone());
        self.upstream.looks.extend(here);
        self.upstream.looks.extend(self.upstream.clients.keys().cloned());
    }

    /// Brings one client's connection to where it should be.
    pub(super) fn carry(&mut self, client_id: &ClientId) {
        self.suspicion_due(client_id);
        let want = self.want(client_id);
        // Of one that is here it is known which live audio it has heard.
        let is_here = matches!(want, Want::Serve(_));
        match want {
            Want::Serve(key) => {
                let may = self.may_serve(key);
                self.have_line_if(client_id, may);
            }
            Want::Keep => {}
            Want::Push if self.absent_lines() < ABSENT_LINES_MAX => {
                let may = self.may_speak_for(client_id);
                self.have_line_if(client_id, may);
            }
            Want::Push => self.wake_at(client_id, self.now + RETRY_FIRST),
            Want::Later(at) => {
                self.leave_line(client_id);
                self.wake_at(client_id, at);
            }
            Want::Nothing => self.leave_line(client_id),
        }
        if self.upstream.leads {
            self.subscribe_up(client_id);
            self.push_up(client_id);
            self.probe_line(client_id);
        }
        if !is_here && self.upstream.clients.get(client_id).is_some_and(Carried::is_needless) {
            self.upstream.clients.remove(client_id);
        }
    }

    fn want(&mut self, client_id: &ClientId) -> Want {
        let can_be = self.upstream.is_legacy() && !self.shutting_down;
        if !can_be || client_id.as_str().len() > LEGACY_CLIENT_ID_MAX {
            return Want::Nothing;
        }
        let key = self.by_client.get(client_id).copied();
        let session = key.map(|key| &self.sessions[key]);
        let here = key.filter(|key| self.sessions[*key].link.is_some());
        let is_elsewhere = session.is_some_and(|session| session.place == Place::Elsewhere) && here.is_none();
        let gone_at = session.map(|session| session.detached_at);
        if let Some(carried) = self.upstream.clients.get_mut(client_id) {
            if here.is_none() {
                carried.claim.doubt();
            }
            if here.is_some() || is_elsewhere {
                carried.absent_since = None;
            }
        }
        match here {
            Some(key) => Want::Serve(key),
            None if is_elsewhere => Want::Nothing,
            None => self.want_of_absent(client_id, gone_at),
        }
    }

    fn want_of_absent(&mut self, client_id: &ClientId, gone_at: Option<Time>) -> Want {
        let (now, speaks) = (self.now, self.is_deputy());
        let is_leased = self.upstream.others.has_missing(now);
        let Some(carried) = self.upstream.clients.get_mut(client_id) else { return Want::Nothing };
        let gone_at = *carried.absent_since.get_or_insert(gone_at.unwrap_or(now));
        let has_more = !carried.waiting.is_empty();
        let kept_until = gone_at + if is_leased { LEASE } else { KEPT_FOR };
        if carried.line.is_some() && (now < kept_until || has_more && !is_leased) {
            if now < kept_until {
                self.wake_at(client_id, kept_until);
            }
            return Want::Keep;
        }
        match (has_more, now < gone_at + ABSENT_AFTER) {
            (false, _) => Want::Nothing,
            (true, true) => Want::Later(gone_at + ABSENT_AFTER),
            (true, false) if speaks => Want::Push,
            (true, false) => Want::Later(now + ABSENT_AFTER), // Until this one is the deputy.
        }
    }

    fn absent_lines(&self) -> usize {
        let is_absent = |client_id: &&ClientId| {
            self.by_client.get(*client_id).is_none_or(|key| self.sessions[*key].link.is_none())
        };
        self.upstream.by_conn.values().filter(is_absent).count()
    }

    fn have_line_if(&mut self, client_id: &ClientId, may: May) {
        match may {
            May::Yes => self.have_line(client_id),
            May::Not(again_at) => {
                self.close_line(client_id);
                if let Some(at) = again_at {
                    self.wake_at(client_id, at);
                }
            }
        }
    }

    /// The client needs no connection from here.
    fn leave_line(&mut self, client_id: &ClientId) {
        self.close_line(client_id);
        let Some(carried) = self.upstream.clients.get_mut(client_id) else { return };
        carried.has_no_place = false;
        if carried.claim.withdraw() {
            self.tell_upstream_soon();
        }
    }

    /// Opens a connection unless there is one, or it is too early. One that fell
    /// silent stays while the server is out of reach: whoever ends it does not
    /// know whether the server notices.
    fn have_line(&mut self, client_id: &ClientId) {
        let now = self.now;
        if !self.upstream.leads {
            return;
        }
        let carried = self.upstream.clients.entry(client_id.clone()).or_default();
        if carried.line.is_some() {
            return;
        }
        if carried.suspect_since.is_some() && !carried.was_reset {
            return;
        }
        if now < carried.retry_at {
            let at = carried.retry_at;
            return self.wake_at(client_id, at);
        }
        if !self.has_place_there(client_id) {
            return self.wake_at(client_id, now + RETRY_MAX);
        }
        self.upstream.conns += 1;
        let conn = UpConn(self.upstream.conns);
        let carried = self.upstream.clients.entry(client_id.clone()).or_default();
        carried.line = Some(Line::opening(conn, now));
        self.upstream.by_conn.insert(conn, client_id.clone());
        let open = UpstreamOutput::Open { conn, client_id: client_id.clone() };
        self.outputs.push_back(Output::Upstream(open));
        self.tell_upstream_soon();
    }

    /// Whether the server takes one more. Of those that come at the same time, the
    /// router of the lower id goes first.
    pub(super) fn has_place_there(&mut self, client_id: &ClientId) -> bool {
        let (now, led_since, me) = (self.now, self.upstream.led_since, self.origin.router);
        let own = self
            .upstream
            .clients
            .iter()
            .filter(|(other, carried)| *other != client_id && carried.may_be_there());
        let own = own.count();
        let carried = self.upstream.clients.entry(client_id.clone()).or_default();
        let others = &self.upstream.others;
        let is_new = !carried.claim.stands();
        let before = others.lines(now, led_since, |other| is_new || other < me);
        let has_place = own + before < UPSTREAM_LINES_MAX;
        carried.has_no_place = !has_place;
        if !has_place && carried.claim.withdraw() {
            self.tell_upstream_soon();
        }
        has_place
    }

    pub(super) fn close_line(&mut self, client_id: &ClientId) {
        let Some(carried) = self.upstream.clients.get_mut(client_id) else { return };
        let Some(line) = carried.line.as_mut().filter(|line| line.stage != Stage::Closing) else { return };
        line.stage = Stage::Closing;
        self.outputs.push_back(Output::Upstream(UpstreamOutput::Close { conn: line.conn }));
    }

    pub(super) fn line_up(&mut self, conn: UpConn) {
        let now = self.now;
        let Some((client_id, line)) = self.line(conn) else { return };
        if line.stage == Stage::Opening {
            (line.stage, line.since, line.alive_at) = (Stage::Up, now, now);
            if let Some(carried) = self.upstream.clients.get_mut(&client_id) {
                carried.suspect_since = None;
            }
            self.upstream.looks.insert(client_id);
        }
    }

    pub(super) fn line_down(&mut self, conn: UpConn, clean: bool) {
        let Some(client_id) = self.upstream.by_conn.remove(&conn) else { return };
        let (now, leads) = (self.now, self.upstream.leads);
        let Some(carried) = self.upstream.clients.get_mut(&client_id) else { return };
        let Some(line) = carried.line.take() else { return };
        // Whether the server has taken it in is not known; it is sent again.
        if !mutated!(self.settings, LostConfirmNotCounted) {
            self.stats.upstream_unsure += u64::from(line.flight.is_some());
        }
        let clean = clean || mutated!(self.settings, RemainsForgotten);
        let is_reset = line.has_outlived && leads;
        (carried.suspect_since, carried.was_reset) = ((!clean).then_some(now), is_reset);
        if !clean {
            carried.retry_at = carried.retry_at.max(now + ABORTED_PAUSE);
        }
        if line.stage != Stage::Closing {
            // A server that lets in and closes at once is none to be called often.
            let has_stood = line.stage == Stage::Up && now.since(line.since) >= RETRY_MAX;
            carried.failures = if has_stood { 1 } else { carried.failures.saturating_add(1) };
            let pause = (RETRY_FIRST * (1 << (carried.failures - 1).min(8))).min(RETRY_MAX);
            // Not all at the same moment.
            let share = xxh3_64(client_id.as_str().as_bytes()) % 256;
            let again_at = now + pause + pause * u32::try_from(share).unwrap_or(0) / 1_024;
            carried.retry_at = carried.retry_at.max(again_at);
        }
        self.upstream.looks.insert(client_id);
        self.tell_upstream_soon();
    }

    pub(super) fn line(&mut self, conn: UpConn) -> Option<(ClientId, &mut Line)> {
        let client_id = self.upstream.by_conn.get(&conn)?.clone();
        let line = self.upstream.clients.get_mut(&client_id)?.line.as_mut()?;
        Some((client_id, line))
    }

    /// The server learns the client's room, and what it wants to hear of.
    fn subscribe_up(&mut self, client_id: &ClientId) {
        let Some(&key) = self.by_client.get(client_id) else { return };
        let session = &self.sessions[key];
        let Some(room) = session.room.clone() else { return };
        let wish = (room.clone(), session.monitor_period_s);
        let carried = self.upstream.clients.get_mut(client_id);
        let line = carried.and_then(|carried| carried.line.as_mut());
        let Some(line) = line.filter(|line| line.stage == Stage::Up) else { return };
        if line.subscribed.as_ref() == Some(&wish) {
            return;
        }
        let (conn, monitor_period_s) = (line.conn, wish.1);
        let before = line.subscribed.replace(wish).map(|(room, _)| room).filter(|before| *before != room);
        let message_uuid = self.fresh_uuid();
        let carried = self.upstream.clients.get_mut(client_id);
        let leaves = before.is_some();
        if let (Some(before), Some(line)) = (before, carried.and_then(|carried| carried.line.as_mut())) {
            line.leaving = Some((message_uuid, before));
        }
        let ping_period_s = PING_PERIOD_S;
        let frame = ToServer::Subscribe { message_uuid, room, monitor_period_s, ping_period_s };
        self.outputs.push_back(Output::Upstream(UpstreamOutput::Send { conn, frame }));
        if leaves {
            // The answer to it may be missing.
            self.outputs.push_back(Output::Upstream(UpstreamOutput::Probe { conn }));
        }
    }

    /// Looks at a client at that time, or before.
    pub(super) fn wake_at(&mut self, client_id: &ClientId, at: Time) {
        let upstream = &mut self.upstream;
        let carried = upstream.clients.entry(client_id.clone()).or_default();
        if carried.wake.is_some_and(|wake| wake <= at && wake > self.now) {
            return;
        }
        if let Some(wake) = carried.wake.replace(at) {
            upstream.wakes.remove(&(wake, client_id.clone()));
        }
        upstream.wakes.insert((at, client_id.clone()));
    }

    /// Whether this router does what needs exactly one.
    pub(super) fn is_deputy(&self) -> bool {
        self.deputy() == Some(self.origin.router)
    }

    /// Who does.
    pub(super) fn deputy(&self) -> Option<RouterId> {
        match &self.mesh {
            Some(mesh) => mesh.election.view().deputy,
            None => Some(self.origin.router),
        }
    }

    pub(super) fn neighbours(&self) -> Vec<RouterId> {
        self.mesh.iter().flat_map(|mesh| mesh.peer_ids()).collect()
    }
}

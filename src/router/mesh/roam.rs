//! Sessions that roam: every router knows all of them, and where each client
//! is attached (DESIGN.md, "Session").
//!
//! Who holds the client writes its session; the others take over what is
//! newer. What is settled only grows while the client stays in a room, so two
//! states of it are put together (`stay`) rather than chosen between.

use std::time::Duration;

use fau3_election::Time;

use super::stay::Joined;
use crate::router::mutants::mutated;
use crate::router::record::Moment;
use crate::router::session::Coming;
use crate::router::settings::SESSIONS_MAX;
use crate::router::{CloseReason, Router, SessionKey};
use crate::wire::RoomId;
use crate::wire::fau3e::{COUNTS, SessionState, SessionVersion, TIMES};
use fau3_election::RouterId;

/// Less is the way between two routers.
pub(super) const CLOCK_JUMP_MIN: Duration = Duration::from_secs(1);

/// Where a session's client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::router) enum Place {
    /// Connected here, or waited for since the time in the table of those detached.
    HereOrNowhere,
    /// Connected to the router that the version names.
    Elsewhere,
}

impl Router {
    /// A version for a client that attaches here now: newer than any that is
    /// known.
    pub(in crate::router) fn attachment(&self, known: SessionVersion) -> SessionVersion {
        let clock_ms = self.mesh_clock_ms();
        // What a disk may hold of impossible ones is not gone beyond: others would not
        // believe it.
        let latest_ms = clock_ms.saturating_add(TIMES.step - 1);
        let generation = clock_ms.max(known.generation.saturating_add(1)).min(latest_ms);
        SessionVersion { generation, holder: self.origin, revision: 0 }
    }

    /// 0 without a mesh.
    pub(in crate::router) fn mesh_clock_ms(&self) -> u64 {
        self.mesh.as_ref().map_or(0, |mesh| mesh.clock.now(self.now))
    }

    /// A record of this Lamport time is known. The mesh's clock is never behind it: who
    /// hears that clock gives the same sender's next message a later time, also where
    /// this record has yet to come. One that is not believed moves nothing: else all that
    /// is said from then on would be of one time, and in no order.
    pub(in crate::router) fn lamport_heard(&mut self, lamport: u64) {
        let jump_ms = self.mesh.as_mut().map_or(0, |mesh| mesh.clock.heard(self.now, lamport, 0));
        let believed = if self.mesh.is_some() { lamport.min(self.mesh_clock_ms()) } else { lamport };
        self.lamport = self.lamport.max(believed);
        self.attachments_move_with_the_clock(jump_ms);
    }

    /// The mesh's clock has jumped, since this router had just started or was cut off
    /// when most others started: what clients did here was done by the mesh's clock, too.
    pub(super) fn attachments_move_with_the_clock(&mut self, jump_ms: u64) {
        if Duration::from_millis(jump_ms) < CLOCK_JUMP_MIN {
            return;
        }
        let own = self.origin;
        let held = self.sessions.iter().filter(|(_, session)| session.version.holder == own);
        let held: Vec<SessionKey> = held.map(|(key, _)| key).collect();
        for key in held {
            let session = &mut self.sessions[key];
            for version in [&mut session.version, &mut session.entered, &mut session.moved_over] {
                if version.holder == own && version.generation > 0 {
                    version.generation = version.generation.saturating_add(jump_ms).min(TIMES.last);
                }
            }
            self.save_soon(key, true);
            self.session_changed(key, true);
        }
    }

    /// Something about a session that is held here has changed; the others
    /// hear of it `now` or with the next changes.
    pub(in crate::router) fn session_changed(&mut self, key: SessionKey, at_once: bool) {
        let session = &mut self.sessions[key];
        if session.version.holder != self.origin {
            return;
        }
        session.version.revision += 1;
        if let Some(mesh) = &mut self.mesh {
            mesh.changed.insert(key);
            if at_once {
                self.tell_now();
            } else {
                self.tell_soon();
            }
        }
    }

    /// One session as another router knows it.
    pub(super) fn session_heard(&mut self, mut heard: SessionState) {
        let grace = self.settings.session_grace;
        if !self.believes_attachments(&heard) {
            self.stats.peer_invalid += 1;
            return;
        }
        if heard.detached_ms.is_some_and(|ms| Duration::from_millis(ms) >= grace) {
            return;
        }
        let Some(&key) = self.by_client.get(&heard.client_id) else {
            return self.session_is_new(heard);
        };
        let known = self.sessions[key].version;
        if !mutated!(self.settings, AllBelieved) {
            let of_it = (heard.version.generation, heard.version.holder) == (known.generation, known.holder);
            let revision = if of_it { known.revision } else { 0 };
            heard.version.revision = COUNTS.of(revision, heard.version.revision);
        }
        if heard.version > known && [heard.version.holder, known.holder] == [self.origin; 2] {
            // What it has not said itself would keep the others from hearing it: it
            // goes on above.
            self.sessions[key].version = heard.version;
            self.session_changed(key, false);
        }
        let known = self.sessions[key].version;
        // Nobody but this router writes what it holds.
        let is_newer = heard.version > known && heard.version.holder != self.origin;
        let is_newer = is_newer || mutated!(self.settings, AttachmentByArrival);
        let has_moved = self.room_heard(key, &heard);
        if is_newer {
            self.take_over_state(key, &heard);
        } else if heard.version == known && heard.detached_ms.is_none() {
            // It was thought lost while its router was out of reach.
            self.sessions[key].is_held = true;
            self.place(key, None);
        }
        if is_newer || has_moved {
            if self.sessions[key].version.holder == self.origin {
                self.session_changed(key, false);
            } else if let Some(mesh) = &mut self.mesh {
                mesh.changed.insert(key);
                self.tell_soon();
            }
        }
        self.pump(key);
        self.set_timer(key);
    }

    /// Who attaches does so by the mesh's clock, and whoever tells of it has heard that
    /// clock: what lies far ahead of it no router's next attachment could come after.
    fn believes_attachments(&mut self, heard: &SessionState) -> bool {
        let versions = [heard.version, heard.entered, heard.moved_over];
        let latest_ms = versions.iter().map(|version| version.generation).max().unwrap_or(0);
        let ahead_ms = latest_ms.saturating_sub(self.mesh_clock_ms());
        if mutated!(self.settings, AllBelieved) || Duration::from_millis(ahead_ms) < CLOCK_JUMP_MIN {
            return true;
        }
        if ahead_ms > TIMES.step {
            return false;
        }
        let jump_ms = self.mesh.as_mut().map_or(0, |mesh| mesh.clock.heard(self.now, latest_ms, 0));
        self.attachments_move_with_the_clock(jump_ms);
        true
    }

    fn session_is_new(&mut self, heard: SessionState) {
        if self.sessions.len() >= SESSIONS_MAX {
            self.stats.sessions_refused += 1;
            return;
        }
        let key = self.session_of(heard.client_id.clone());
        let session = &mut self.sessions[key];
        session.entered = heard.entered;
        session.moved_over = heard.moved_over;
        session.settled = heard.settled.clone();
        session.came = heard.room_age_ms.map(|age_ms| Coming::before(self.now, age_ms));
        if let Some(room) = heard.room.clone() {
            session.room = Some(room.clone());
            self.rooms.entry(room).or_default().members.insert(key);
        }
        self.take_over_state(key, &heard);
        if let Some(mesh) = &mut self.mesh {
            mesh.changed.insert(key);
            self.tell_soon();
        }
    }

    /// Takes over everything but room and what is settled, and lets the client
    /// go if it is connected here.
    fn take_over_state(&mut self, key: SessionKey, heard: &SessionState) {
        self.audience_without(key);
        let session = &mut self.sessions[key];
        session.version = heard.version;
        session.monitor_period_s = heard.monitor_period_s;
        session.ping_period_s = heard.ping_period_s;
        session.since = Moment::before(self.now, heard.age_ms);
        session.last = session.last.max(heard.last);
        session.is_held = heard.detached_ms.is_none();
        if let Some(conn) = session.link.as_ref().map(|link| link.conn) {
            self.stats.roamed += 1;
            self.close(conn, CloseReason::TakenOver);
        }
        self.audience_with(key);
        self.place(key, heard.detached_ms);
    }

    /// Puts what is known of one stay in a room together, or moves to the room that was
    /// entered later. True if that changed anything.
    fn room_heard(&mut self, key: SessionKey, heard: &SessionState) -> bool {
        let (now, clock_ms) = (self.now, self.mesh_clock_ms());
        let takes_settled = !mutated!(self.settings, SettledNotMerged);
        let session = &mut self.sessions[key];
        if heard.version <= session.moved_over {
            return false; // Of a time before it came to the room.
        }
        if session.room == heard.room && session.version > heard.moved_over {
            let joined = session.join_stay(heard, now, clock_ms, takes_settled);
            self.look_again(key, joined);
            return joined > Joined::Unchanged;
        }
        if heard.entered <= session.entered {
            return false;
        }
        self.follow_to_room(key, heard);
        true
    }

    /// More is settled for a client than was known here, or more is owed to it.
    fn look_again(&mut self, key: SessionKey, joined: Joined) {
        let Self { sessions, log, .. } = self;
        let session = &mut sessions[key];
        if let Some(link) = &mut session.link {
            if joined == Joined::Reopened {
                (link.next, link.behind) = (0, 0); // From the first one again.
            }
            link.items.retain(|item| !log.is_settled(&session.settled, &item.what));
        }
    }

    fn follow_to_room(&mut self, key: SessionKey, heard: &SessionState) {
        self.audience_without(key);
        let session = &mut self.sessions[key];
        session.entered = heard.entered;
        session.moved_over = heard.moved_over;
        session.settled = heard.settled.clone();
        session.came = heard.room_age_ms.map(|age_ms| Coming::before(self.now, age_ms));
        session.suspects.clear();
        if let Some(link) = &mut session.link {
            link.next = 0;
            link.items.clear();
        }
        let old = std::mem::replace(&mut session.room, heard.room.clone());
        if let Some(old) = old {
            self.leave_room(key, &old);
        }
        if let Some(room) = heard.room.clone() {
            self.rooms.entry(room).or_default().members.insert(key);
        }
        self.audience_with(key);
    }

    /// Says where the client of a session that has no connection here is:
    /// at the router that its version names, or lost for so many ms.
    fn place(&mut self, key: SessionKey, detached_ms: Option<u64>) {
        let session = &self.sessions[key];
        if session.link.is_some() {
            return;
        }
        let is_there = detached_ms.is_none() && self.is_holder_reachable(key);
        self.audience_without(key);
        let now = self.now;
        let session = &mut self.sessions[key];
        if is_there {
            self.detached.remove(&(session.detached_at, key));
            session.place = Place::Elsewhere;
        } else {
            let at = Time::from_millis(now.as_millis().saturating_sub(detached_ms.unwrap_or(0)));
            if session.place == Place::HereOrNowhere {
                self.detached.remove(&(session.detached_at, key));
            }
            session.place = Place::HereOrNowhere;
            session.detached_at = at;
            self.detached.insert((at, key));
        }
        self.audience_with(key);
        self.look_at_carried_of(key);
    }

    /// The life of the router that holds it is in reach.
    fn is_holder_reachable(&self, key: SessionKey) -> bool {
        let holder = self.sessions[key].version.holder;
        let Some(mesh) = &self.mesh else { return false };
        // One that has lost its flash counts its life up when it hears of the
        // one before; the random half stays, and is enough.
        let life = mesh.members.get(&holder.router).map(|incarnation| incarnation.random);
        holder != self.origin && life == Some(holder.incarnation.random)
    }

    /// Routers came or went: clients of those that went are waited for, and
    /// those of who came are where it has said they are.
    pub(super) fn holders_changed(&mut self) {
        let held = self.sessions.iter().filter(|(_, session)| session.is_held);
        let held: Vec<SessionKey> = held.map(|(key, _)| key).collect();
        for key in held {
            let is_there = self.sessions[key].place == Place::Elsewhere;
            if is_there != self.is_holder_reachable(key) {
                self.place(key, is_there.then_some(0));
            }
        }
    }

    /// Of sessions at other routers: where live audio for them goes.
    fn audience_key(&self, key: SessionKey) -> Option<(RoomId, RouterId)> {
        let session = &self.sessions[key];
        let room = session.room.clone().filter(|_| session.place == Place::Elsewhere)?;
        Some((room, session.version.holder.router))
    }

    fn audience_with(&mut self, key: SessionKey) {
        let counted = self.audience_key(key);
        if let (Some((room, router)), Some(mesh)) = (counted, &mut self.mesh) {
            mesh.audience.add(room, router);
        }
    }

    pub(in crate::router) fn audience_without(&mut self, key: SessionKey) {
        let counted = self.audience_key(key);
        if let (Some((room, router)), Some(mesh)) = (counted, &mut self.mesh) {
            mesh.audience.remove(&room, router);
        }
    }

    /// A session as the others are told.
    pub(super) fn session_state(&self, key: SessionKey) -> SessionState {
        let session = &self.sessions[key];
        let is_connected = session.link.is_some() || session.place == Place::Elsewhere;
        let detached_ms = self.now.since(session.detached_at).as_millis();
        SessionState {
            client_id: session.client_id.clone(),
            room: session.room.clone(),
            monitor_period_s: session.monitor_period_s,
            ping_period_s: session.ping_period_s,
            age_ms: session.since.age_ms(self.now),
            detached_ms: (!is_connected).then_some(u64::try_from(detached_ms).unwrap_or(u64::MAX)),
            version: session.version,
            entered: session.entered,
            moved_over: session.moved_over,
            room_age_ms: session.came.map(|came| came.age_ms(self.now)),
            settled: session.settled.clone(),
            last: session.last,
        }
    }
}

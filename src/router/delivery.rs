//! Items: sent in order, a few in flight, again when unconfirmed, given up
//! without being lost.
//!
//! A resend must not overtake a slow link. So T counts from when the frame has
//! left the socket buffer, and once it has passed, a WebSocket ping is sent and
//! awaited: only what is still unconfirmed behind its answer is sent again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::io::{ConnId, FrameNo, Output};
use super::mutants::mutated;
use super::session::{Departure, InFlight, Session, Wait};
use super::settings::{ENDINGS_MAX, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX};
use super::words::Told;
use super::{Router, SessionKey};
use crate::wire::{Record, Uuid};

/// Lives of routers of which something may be settled for one client without
/// anyone asking whether they still matter.
const SETTLED_ORIGINS_FEW: usize = 16;

impl Router {
    /// Sends what the session has not settled, until its window is full.
    pub(super) fn pump(&mut self, key: SessionKey) {
        let session = &mut self.sessions[key];
        if session.link.as_ref().is_none_or(|link| link.silent_until.is_some()) {
            return;
        }
        let Some(room) = session.room.as_ref().and_then(|room| self.rooms.get(room)) else { return };
        while let Some(link) = &mut session.link
            && link.items.len() < IN_FLIGHT_MAX
            && let Some((position, record)) = link.next_of(room, &session.suspects)
        {
            let is_own = record.client_id == session.client_id && !mutated!(self.settings, OwnEcho);
            if is_own || self.log.is_settled(&session.settled, record) {
                continue;
            }
            let said = self.origins.position(&record.id).and_then(|at| self.log.since(at));
            if said.zip(session.came).is_some_and(|(said, came)| came.is_after(said, self.now)) {
                continue;
            }
            let uuid = self.upstream.playlist_uuid(record, &session.client_id);
            if link.items.iter().any(|item| item.uuid == uuid) {
                continue; // Looked at again, since more is owed than was known.
            }
            link.frames += 1;
            let wait = Wait::ToLeave(link.frames);
            let in_flight = InFlight { uuid, what: record.clone(), sent: 1, wait, since: self.now };
            link.items.push_back(in_flight);
            if session.suspects.get(&position).is_some_and(|endings| *endings + 1 == ENDINGS_MAX) {
                link.alone = Some(uuid);
            }
            let what = Told::Item { item: uuid, record: record.clone() };
            self.outputs.push_back(Output::Tell { conn: link.conn, what });
            self.stats.playlists_sent += 1;
        }
    }

    /// A client says what became of something. Of what is not in flight to it that
    /// changes nothing.
    pub(super) fn settles(&mut self, key: SessionKey, item: Option<Uuid>, is_taken: bool) {
        let Some(uuid) = item else {
            self.stats.confirms_unmatched += 1;
            return;
        };
        let Some(link) = &mut self.sessions[key].link else { return };
        if let Some(at) = link.items.iter().position(|item| item.uuid == uuid) {
            self.item_settled(key, at, is_taken);
        } else if let Some(at) = link.pings.iter().position(|(ping, _)| *ping == uuid) {
            // Whatever it says, somebody is there.
            link.pings.drain(..=at);
        } else if link.monitor.as_ref().is_some_and(|monitor| monitor.uuid == uuid) {
            self.list_settled(key, is_taken);
        } else {
            self.stats.confirms_unmatched += 1;
        }
    }

    fn item_settled(&mut self, key: SessionKey, at: usize, is_taken: bool) {
        let Some(link) = &mut self.sessions[key].link else { return };
        if is_taken {
            let Some(item) = link.items.remove(at) else { return };
            self.stats.delivered(self.now.since(item.since));
            self.settle(key, &item.what);
            self.pump(key);
        } else {
            // A failed try: the next one comes after T, as if it had been lost.
            link.items[at].wait = Wait::Until(self.now + self.settings.retry_interval);
        }
    }

    fn list_settled(&mut self, key: SessionKey, is_taken: bool) {
        let Some(link) = &mut self.sessions[key].link else { return };
        if is_taken {
            link.monitor = None;
        } else if let Some(monitor) = &mut link.monitor {
            monitor.wait = Wait::Until(self.now + self.settings.retry_interval);
        }
    }

    pub(super) fn settle(&mut self, key: SessionKey, record: &Arc<Record>) {
        let Session { settled, room, client_id, suspects, .. } = &mut self.sessions[key];
        let Some(room) = room.as_ref().and_then(|room| self.rooms.get(room)) else { return };
        for id in self.log.ids_of(record) {
            if !suspects.is_empty()
                && let Some(place) = self.origins.position(id).and_then(|at| self.log.place(at))
            {
                suspects.remove(&place);
            }
            let of_origin = settled.entry(id.origin).or_default();
            let after = room.after(&id.origin, of_origin.prefix, client_id);
            if of_origin.insert(id.sequence, after) {
                self.stats.gaps_given_up += 1;
            }
        }
        self.forget_settled(key);
        self.save_soon(key, false);
        self.session_changed(key, false);
    }

    /// Lives of which no router holds anything any more need no entry. What
    /// others hold may still come here.
    fn forget_settled(&mut self, key: SessionKey) {
        if mutated!(self.settings, SettledForgotten) {
            let own = self.origin;
            self.sessions[key].settled.retain(|origin, _| *origin == own);
        }
        if self.sessions[key].settled.len() > SETTLED_ORIGINS_FEW {
            let (tops, own) = (self.tops(), self.origin);
            self.sessions[key].settled.retain(|origin, _| tops.contains_key(origin) || *origin == own);
        }
    }

    /// Frames have left the socket buffer: T begins for those that wait.
    pub(super) fn frames_left(&mut self, conn: ConnId, frame: FrameNo) {
        let Some(&key) = self.by_conn.get(&conn) else { return };
        let until = Wait::Until(self.now + self.settings.retry_interval);
        let Some(link) = &mut self.sessions[key].link else { return };
        link.alive_at = self.now;
        let waits = link.items.iter_mut().map(|item| &mut item.wait);
        for wait in waits.chain(link.monitor.as_mut().map(|monitor| &mut monitor.wait)) {
            if matches!(wait, Wait::ToLeave(number) if *number <= frame) {
                *wait = until;
            }
        }
        for (_, departure) in &mut link.pings {
            if matches!(departure, Departure::Waiting(number) if *number <= frame) {
                *departure = Departure::At(self.now);
            }
        }
        self.set_timer(key);
    }

    /// A probe came back: whatever waited for it is sent again.
    pub(super) fn pong(&mut self, conn: ConnId, probe: u32) {
        let Some(&key) = self.by_conn.get(&conn) else { return };
        let Some(link) = &mut self.sessions[key].link else { return };
        if probe > link.probes {
            return; // Nothing that we sent.
        }
        (link.alive_at, link.heard_at) = (self.now, self.now);
        if link.probe.is_some_and(|(newest, _)| newest <= probe) {
            link.probe = None;
        }
        let back = |wait: &Wait| matches!(wait, Wait::Pong(number) if *number <= probe);
        let mut resends = 0;
        for item in link.items.iter_mut().filter(|item| back(&item.wait)) {
            link.frames += 1;
            let what = Told::Item { item: item.uuid, record: item.what.clone() };
            item.resent(link.frames);
            self.outputs.push_back(Output::Tell { conn, what });
            resends += 1;
        }
        for monitor in link.monitor.iter_mut().filter(|monitor| back(&monitor.wait)) {
            link.frames += 1;
            let what = Told::Present { item: monitor.uuid, clients: monitor.what.clone() };
            monitor.resent(link.frames);
            self.outputs.push_back(Output::Tell { conn, what });
            resends += 1;
        }
        self.stats.resends += resends;
        if resends > 0 {
            self.pump(key); // What was sent alone has not ended the connection.
        }
        self.set_timer(key);
    }

    /// T has passed for some: those with tries left wait for a probe, the
    /// others are given up. They stay unsettled, so the client gets them when
    /// it comes back.
    pub(super) fn retry_due(&mut self, key: SessionKey) {
        let now = self.now;
        let sends_max = self.settings.retry_count.saturating_add(1);
        let Some(link) = &mut self.sessions[key].link else { return };
        let due = |wait: &Wait| matches!(wait, Wait::Until(at) if *at <= now);
        let before = link.items.len();
        link.items.retain(|item| !due(&item.wait) || item.sent < sends_max);
        let given_up = before - link.items.len();
        link.monitor.take_if(|monitor| due(&monitor.wait) && monitor.sent >= sends_max);
        let waits = link.items.iter().map(|item| &item.wait);
        if waits.chain(link.monitor.iter().map(|monitor| &monitor.wait)).any(due) {
            let probe = self.probe(key);
            let Some(link) = &mut self.sessions[key].link else { return };
            let waits = link.items.iter_mut().map(|item| &mut item.wait);
            for wait in waits.chain(link.monitor.as_mut().map(|monitor| &mut monitor.wait)) {
                if due(wait) {
                    *wait = Wait::Pong(probe);
                }
            }
        }
        if given_up > 0 {
            self.stats.given_up += given_up as u64;
            self.pump(key);
        }
    }
}

/// Whether one more fits beside those in flight, by its bytes: one alone always does.
pub(super) fn has_room_for(in_flight: &VecDeque<InFlight<Arc<Record>>>, record: &Record) -> bool {
    let bytes: usize = in_flight.iter().map(|item| item.what.payload.len()).sum();
    in_flight.is_empty() || bytes + record.payload.len() <= IN_FLIGHT_BYTES_MAX
}

impl<T> InFlight<T> {
    fn resent(&mut self, frame: FrameNo) {
        self.sent += 1;
        self.wait = Wait::ToLeave(frame);
    }
}

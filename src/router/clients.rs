//! Who is let in, taken over, waited for and let go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fau3_election::Time;

use super::io::{ConnId, Output};
use super::mesh::Place;
use super::session::{ClientConnection, Session};
use super::settings::{
    CONTEST_PAUSE, CONTEST_WINDOW, CONTESTED_MAX, DETACHED_SESSIONS_MAX, PROBE_INTERVAL, TAKEOVERS_MAX,
    THROWN_OUT_MAX,
};
use super::words::{CloseReason, Refusal};
use super::{Router, SessionKey};
use crate::wire::ClientId;
use crate::wire::fau3e::SessionVersion;

/// Addresses that belong to one place: one of IPv4, or an IPv6 network of 64
/// bits, which is what one site gets (RFC 6177). Those that are good for one link
/// only are all of one network, and each is one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressBlock(u128);

impl From<IpAddr> for AddressBlock {
    fn from(address: IpAddr) -> Self {
        let bits = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => v6.to_bits(),
            IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
        };
        Self(bits)
    }
}

/// Ids that several devices take from each other, and until when each is
/// refused.
#[derive(Debug, Default)]
pub(super) struct Contests {
    refused: BTreeMap<ClientId, Time>,
    /// Connections that were taken over and have not answered that.
    thrown_out: BTreeMap<ConnId, ClientId>,
}

impl Contests {
    fn is_refused(&self, client_id: &ClientId, now: Time) -> bool {
        self.refused.get(client_id).is_some_and(|until| *until > now)
    }

    fn throw_out(&mut self, conn: ConnId, client_id: ClientId) {
        if self.thrown_out.len() >= THROWN_OUT_MAX {
            self.thrown_out.pop_first();
        }
        self.thrown_out.insert(conn, client_id);
    }

    fn refuse(&mut self, client_id: ClientId, now: Time) {
        self.refused.retain(|_, until| *until > now);
        if self.refused.len() >= CONTESTED_MAX {
            let oldest = self.refused.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.refused.remove(&id));
        }
        self.refused.insert(client_id, now + CONTEST_PAUSE);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.refused.len().max(self.thrown_out.len())
    }
}

impl Router {
    pub(super) fn is_allowed(&self, client_id: &ClientId) -> bool {
        let allowed = &self.settings.allow_clients;
        allowed.is_empty()
            || allowed.contains(client_id)
            || allowed.iter().any(|known| known.is_same_device(client_id))
    }

    pub(super) fn connect(&mut self, conn: ConnId, client_id: ClientId, address: IpAddr) {
        let block = AddressBlock::from(address);
        match self.admit(&client_id, block) {
            Ok(()) => {
                let key = self.session_of(client_id);
                self.attach(key, conn, block);
            }
            Err(why) => {
                self.stats.refused += 1;
                self.outputs.push_back(Output::Refuse { conn, why });
            }
        }
    }

    fn admit(&mut self, client_id: &ClientId, block: AddressBlock) -> Result<(), Refusal> {
        if self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        if !self.is_allowed(client_id) {
            return Err(Refusal::NotAllowed);
        }
        if self.contests.is_refused(client_id, self.now) {
            return Err(Refusal::Contested);
        }
        let old = self.connection_of(client_id);
        if old.is_some() || self.is_elsewhere(client_id) {
            return self.take_over(client_id, old);
        }
        if self.by_conn.len() >= self.settings.max_clients {
            return Err(Refusal::Full);
        }
        let from_there = self.by_address.get(&block).copied().unwrap_or(0);
        if from_there >= self.settings.clients_per_address_max() {
            return Err(Refusal::AddressFull);
        }
        Ok(())
    }

    fn connection_of(&self, client_id: &ClientId) -> Option<ConnId> {
        let key = self.by_client.get(client_id)?;
        self.sessions[*key].link.as_ref().map(|link| link.conn)
    }

    /// Connected to another router: one more attachment takes the client from there.
    fn is_elsewhere(&self, client_id: &ClientId) -> bool {
        self.by_client.get(client_id).is_some_and(|key| self.sessions[*key].place == Place::Elsewhere)
    }

    /// The newest connection wins, unless two devices do this to each other
    /// again and again: then neither is served for a while. One device whose link
    /// breaks unnoticed does it, too, but nobody is at the other end of what it left.
    fn take_over(&mut self, client_id: &ClientId, old: Option<ConnId>) -> Result<(), Refusal> {
        let now = self.now;
        let Some(&key) = self.by_client.get(client_id) else { return Ok(()) };
        let takeovers = &mut self.sessions[key].takeovers;
        while takeovers.front().is_some_and(|at| now.since(*at) >= CONTEST_WINDOW) {
            takeovers.pop_front();
        }
        if takeovers.len() >= TAKEOVERS_MAX {
            takeovers.clear();
            self.contests.refuse(client_id.clone(), now);
            if let Some(old) = old {
                self.close(old, CloseReason::Contested);
            }
            return Err(Refusal::Contested);
        }
        if old.is_none() && !takeovers.is_empty() {
            // Who was thrown out here has it from there again.
            takeovers.push_back(now);
        }
        self.stats.takeovers += 1;
        if let Some(old) = old {
            self.close(old, CloseReason::TakenOver);
        }
        Ok(())
    }

    pub(super) fn session_of(&mut self, client_id: ClientId) -> SessionKey {
        if let Some(&key) = self.by_client.get(&client_id) {
            return key;
        }
        let oldest = SessionVersion { generation: 0, holder: self.origin, revision: 0 };
        let key = self.sessions.insert(Session::new(client_id.clone(), self.now, oldest));
        self.by_client.insert(client_id, key);
        self.detached.insert((self.now, key));
        key
    }

    fn attach(&mut self, key: SessionKey, conn: ConnId, block: AddressBlock) {
        self.audience_without(key);
        let version = self.attachment(self.sessions[key].version);
        let session = &mut self.sessions[key];
        self.detached.remove(&(session.detached_at, key));
        session.version = version;
        session.place = Place::HereOrNowhere;
        session.is_held = false;
        let mut link = ClientConnection::new(conn, block, self.now);
        link.schedule(self.now, session.monitor_period_s, session.ping_period_s);
        link.probe_at = self.now + PROBE_INTERVAL;
        session.link = Some(Box::new(link));
        self.by_conn.insert(conn, key);
        *self.by_address.entry(block).or_default() += 1;
        self.outputs.push_back(Output::Accept { conn });
        self.session_changed(key, true);
        self.look_at_carried_of(key);
        self.pump(key);
        self.set_timer(key);
    }

    /// Somebody is at the other end of a connection that was taken over: two
    /// devices use one id.
    pub(super) fn rival_alive(&mut self, conn: ConnId) {
        let Some(client_id) = self.contests.thrown_out.remove(&conn) else { return };
        let Some(&key) = self.by_client.get(&client_id) else { return };
        let takeovers = &mut self.sessions[key].takeovers;
        takeovers.truncate(TAKEOVERS_MAX);
        takeovers.push_back(self.now);
    }

    /// Ends a connection from this side; the session stays for its grace.
    pub(super) fn close(&mut self, conn: ConnId, why: CloseReason) {
        if let Some(&key) = self.by_conn.get(&conn) {
            if why == CloseReason::TakenOver {
                self.contests.throw_out(conn, self.sessions[key].client_id.clone());
            }
            self.outputs.push_back(Output::Close { conn, why });
            self.disconnected(conn);
        }
    }

    /// The connection is gone; its session waits for the client's return.
    pub(super) fn disconnected(&mut self, conn: ConnId) {
        let Some(key) = self.by_conn.remove(&conn) else { return };
        self.suspect(key);
        let session = &mut self.sessions[key];
        let Some(link) = session.link.take() else { return };
        if let Some(count) = self.by_address.get_mut(&link.block) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&link.block);
            }
        }
        if let Some(at) = link.timer {
            self.timers.remove(&(at, key));
        }
        session.detached_at = self.now;
        self.detached.insert((self.now, key));
        self.session_changed(key, true);
        self.look_at_carried_of(key);
    }

    /// Ends the sessions whose grace is over, and those over the bound.
    pub(super) fn end_detached(&mut self) {
        while let Some(&(since, key)) = self.detached.first() {
            let over = self.detached.len() > DETACHED_SESSIONS_MAX;
            if !over && self.now.since(since) < self.settings.session_grace {
                break;
            }
            self.detached.pop_first();
            self.end_session(key);
        }
    }

    fn end_session(&mut self, key: SessionKey) {
        self.audience_without(key);
        self.look_at_carried_of(key);
        let session = self.sessions.remove(key);
        self.by_client.remove(&session.client_id);
        self.stats.sessions_ended += 1;
        // One that never subscribed was never saved.
        if let Some(room) = session.room {
            self.leave_room(key, &room);
            self.save_ended(key, session.client_id);
        }
    }
}

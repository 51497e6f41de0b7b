//! What is due on a connection by the clock: Pings, Monitors, WebSocket pings,
//! resends, and the end of a connection that shows no life.

use std::collections::VecDeque;
use std::time::Duration;

use fau3_election::Time;

use super::clients::AddressBlock;
use super::io::{ConnId, Output};
use super::session::{ClientConnection, Departure, InFlight, Wait};
use super::settings::{FIRST_WORD_WAIT, PROBE_INTERVAL};
use super::words::{CloseReason, Told};
use super::{Router, SessionKey};

impl ClientConnection {
    pub(super) fn new(conn: ConnId, block: AddressBlock, now: Time) -> Self {
        Self {
            conn,
            block,
            frames: 0,
            next: 0,
            items: VecDeque::new(),
            monitor: None,
            monitor_at: None,
            pings: VecDeque::new(),
            ping_at: None,
            probe: None,
            probes: 0,
            probe_at: now + PROBE_INTERVAL,
            silent_until: Some(now + FIRST_WORD_WAIT),
            alone: None,
            behind: 0,
            invalid_told: false,
            alive_at: now,
            heard_at: now,
            timer: None,
        }
    }

    /// Starts the periods anew; in seconds, 0 for none.
    pub(super) fn schedule(&mut self, now: Time, monitor_s: u32, ping_s: u32) {
        self.monitor_at = period(monitor_s).map(|period| now + period);
        self.ping_at = period(ping_s).map(|period| now + period);
        self.pings.clear();
        // Nor is one that is unconfirmed sent again once they are switched off.
        self.monitor.take_if(|_| monitor_s == 0);
    }

    /// When the oldest unanswered Ping has been so for two periods.
    fn ping_deadline(&self, period: Option<Duration>) -> Option<Time> {
        let (_, Departure::At(at)) = self.pings.front()? else { return None };
        Some(*at + period? * 2)
    }

    fn due(&self, ping_period: Option<Duration>) -> Time {
        if let Some(until) = self.silent_until {
            return until;
        }
        let waits = self.items.iter().map(|item| item.wait);
        let retries =
            waits.chain(self.monitor.iter().map(|monitor| monitor.wait)).filter_map(|wait| match wait {
                Wait::Until(at) => Some(at),
                Wait::ToLeave(_) | Wait::Pong(_) => None,
            });
        let periodic = [self.monitor_at, self.ping_at, self.ping_deadline(ping_period)];
        retries.chain(periodic.into_iter().flatten()).fold(self.probe_at, Time::min)
    }
}

fn period(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

impl Router {
    /// Sets the link's timer to the first thing that is due on it.
    pub(super) fn set_timer(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let ping_period = period(session.ping_period_s);
        let Some(link) = &mut session.link else { return };
        let due = Some(link.due(ping_period));
        if link.timer != due {
            if let Some(old) = link.timer {
                self.timers.remove(&(old, key));
            }
            link.timer = due;
            self.timers.extend(due.map(|at| (at, key)));
        }
    }

    /// Does all that is due on a link now.
    pub(super) fn link_due(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(link) = &mut self.sessions[key].link else { return };
        if link.silent_until.take_if(|until| *until <= now).is_some() {
            self.pump(key);
        }
        self.retry_due(key);
        self.ping_due(key);
        self.monitor_due(key);
        self.probe_due(key);
        self.set_timer(key);
    }

    /// The client at the other end has said something, or shown life otherwise.
    pub(super) fn is_alive(&mut self, key: SessionKey) {
        let Some(link) = &mut self.sessions[key].link else { return };
        (link.alive_at, link.heard_at) = (self.now, self.now);
        link.silent_until = None;
    }

    /// The client at the other end has shown life without a word.
    pub(super) fn alive(&mut self, conn: ConnId) {
        let Some(&key) = self.by_conn.get(&conn) else { return self.rival_alive(conn) };
        self.is_alive(key);
        self.pump(key);
        self.set_timer(key);
    }

    fn ping_due(&mut self, key: SessionKey) {
        let now = self.now;
        let ping_period = period(self.sessions[key].ping_period_s);
        let Some(link) = &mut self.sessions[key].link else { return };
        if link.ping_deadline(ping_period).is_some_and(|at| at <= now) {
            let conn = link.conn;
            self.stats.pings_unanswered += 1;
            return self.close(conn, CloseReason::PingUnanswered);
        }
        if link.ping_at.is_none_or(|at| at > now) {
            return;
        }
        link.ping_at = ping_period.map(|period| now + period);
        // While one waits behind a slow link, another would only join it.
        if matches!(link.pings.back(), Some((_, Departure::Waiting(_)))) {
            return;
        }
        let item = self.fresh_uuid();
        let frame = self.tell(key, Told::Ask { item });
        if let (Some(link), Some(frame)) = (&mut self.sessions[key].link, frame) {
            link.pings.push_back((item, Departure::Waiting(frame)));
        }
    }

    fn monitor_due(&mut self, key: SessionKey) {
        let now = self.now;
        let monitor_period = period(self.sessions[key].monitor_period_s);
        let Some(link) = &mut self.sessions[key].link else { return };
        if link.monitor_at.is_none_or(|at| at > now) {
            return;
        }
        link.monitor_at = monitor_period.map(|period| now + period);
        if link.monitor.as_ref().is_some_and(|monitor| matches!(monitor.wait, Wait::ToLeave(_))) {
            return;
        }
        let item = self.fresh_uuid();
        let clients = self.connected_clients();
        let frame = self.tell(key, Told::Present { item, clients: clients.clone() });
        if let (Some(link), Some(frame)) = (&mut self.sessions[key].link, frame) {
            let wait = Wait::ToLeave(frame);
            let monitor = InFlight { uuid: item, what: clients, sent: 1, wait, since: now };
            // The one before is never sent again once there is a newer one.
            link.monitor = Some(monitor);
        }
    }

    fn probe_due(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(link) = &mut self.sessions[key].link else { return };
        if link.probe_at > now {
            return;
        }
        link.probe_at = now + PROBE_INTERVAL;
        let silent = now.since(link.alive_at) >= PROBE_INTERVAL;
        if link.probe.is_some() && silent {
            let conn = link.conn;
            self.stats.silent += 1;
            return self.close(conn, CloseReason::Silent);
        }
        // While something moves, an answer that is missing is behind it, or was
        // never sent: the answer to a later probe does for all before it.
        self.probe(key);
    }

    /// Sends a WebSocket ping and says which one to wait for.
    pub(super) fn probe(&mut self, key: SessionKey) -> u32 {
        let Some(link) = &mut self.sessions[key].link else { return 0 };
        link.probes = link.probes.wrapping_add(1);
        link.probe = Some((link.probes, self.now));
        self.outputs.push_back(Output::Probe { conn: link.conn, probe: link.probes });
        link.probes
    }
}

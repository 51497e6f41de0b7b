//! Whether a connection to the main server is still one: it is asked for a sign of
//! life where none comes, and reset where it shows none.
//!
//! What a reset ends has ended for the server as well, if the reset gets there. So where
//! a client is to be connected again at once, this router first tries whether the way
//! is open.

use std::time::Duration;

use fau3_election::Time;

use super::lines::Stage;
use super::others::LINGER;
use super::{UpConn, UpstreamOutput};
use crate::router::{Output, Router};
use crate::wire::ClientId;

/// Without a sign of life for three of them, a connection is asked for one.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// And given up if none comes within this.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);
/// Within this where the connection has outlived an absence of the server: what lay in its
/// queues would be sent again only after twice as long as that has lasted.
const OUTLIVED_SHOWS_WITHIN: Duration = Duration::from_millis(500);
/// From a reset until its id connects again: it travels faster than a handshake.
pub(super) const ABORTED_PAUSE: Duration = Duration::from_millis(500);

impl Router {
    /// The server is back: connections that have outlived its absence show it at
    /// once, or are made anew.
    pub(super) fn lines_after_outage(&mut self) {
        let dead_at = self.now + OUTLIVED_SHOWS_WITHIN;
        for carried in self.upstream.clients.values_mut() {
            (carried.failures, carried.retry_at) = (0, Time::ZERO);
            if let Some(line) = carried.line.as_mut().filter(|line| line.stage == Stage::Up) {
                (line.dead_at, line.has_outlived) = (Some(dead_at), true);
                self.outputs.push_back(Output::Upstream(UpstreamOutput::Probe { conn: line.conn }));
            }
        }
    }

    /// Something came in.
    pub(super) fn line_lives(&mut self, conn: UpConn) {
        let now = self.now;
        if let Some((_, line)) = self.line(conn) {
            (line.alive_at, line.dead_at, line.has_outlived) = (now, None, false);
        }
    }

    /// Finds out whether a connection on which the server's Pings stay out is still one.
    pub(super) fn probe_line(&mut self, client_id: &ClientId) {
        let now = self.now;
        let carried = self.upstream.clients.get_mut(client_id);
        let line = carried.and_then(|carried| carried.line.as_mut());
        let Some(line) = line.filter(|line| line.stage == Stage::Up) else { return };
        let quiet_until = line.alive_at + QUIET_MAX;
        if now >= quiet_until && line.dead_at.is_none() {
            line.dead_at = Some(now + SHOWS_WITHIN);
            self.outputs.push_back(Output::Upstream(UpstreamOutput::Probe { conn: line.conn }));
        }
        match line.dead_at {
            Some(at) if now >= at && line.has_outlived => self.knock(),
            Some(at) if now >= at => self.abort_line(client_id),
            Some(at) => self.wake_at(client_id, at),
            None => self.wake_at(client_id, quiet_until),
        }
    }

    /// Tries the way to the server, once for all connections.
    fn knock(&mut self) {
        if !std::mem::replace(&mut self.upstream.is_knocking, true) {
            self.outputs.push_back(Output::Upstream(UpstreamOutput::Knock));
        }
    }

    /// The way to the server's machine is open, or is not. Only where it is has a reset
    /// surely got there.
    pub(super) fn server_knocked(&mut self, is_open: bool) {
        let now = self.now;
        self.upstream.is_knocking = false;
        if !self.upstream.leads {
            return;
        }
        let mut silent = Vec::new();
        for (client_id, carried) in &mut self.upstream.clients {
            let line = carried.line.as_mut().filter(|line| line.has_outlived);
            if let Some(line) = line.filter(|line| line.dead_at.is_some_and(|at| at <= now)) {
                line.has_outlived = is_open;
                silent.push(client_id.clone());
            }
        }
        silent.iter().for_each(|client_id| self.abort_line(client_id));
    }

    /// A connection that is none any more, or may be none.
    pub(super) fn abort_line(&mut self, client_id: &ClientId) {
        let again_at = self.now + ABORTED_PAUSE;
        let Some(carried) = self.upstream.clients.get_mut(client_id) else { return };
        let Some(line) = carried.line.as_mut().filter(|line| line.stage != Stage::Closing) else { return };
        line.stage = Stage::Closing;
        carried.retry_at = again_at;
        self.outputs.push_back(Output::Upstream(UpstreamOutput::Abort { conn: line.conn }));
    }

    /// The server has been in reach for long enough to know which connections are none.
    pub(super) fn suspicion_due(&mut self, client_id: &ClientId) {
        let (leads, led_since) = (self.upstream.leads, self.upstream.led_since);
        // Without that server here nobody knows when it is there.
        let has_server = self.upstream.is_legacy();
        let Some(carried) = self.upstream.clients.get_mut(client_id) else { return };
        let Some(since) = carried.suspect_since.filter(|_| leads || !has_server) else { return };
        let found_at = if has_server { since.max(led_since) } else { since } + LINGER;
        if self.now < found_at {
            return self.wake_at(client_id, found_at);
        }
        carried.suspect_since = None;
        self.tell_upstream_soon();
    }
}

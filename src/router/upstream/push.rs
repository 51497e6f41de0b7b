//! What clients have said goes to the main server: each client's in its
//! order, one at a time, until the server has confirmed it.

use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use super::lines::Carried;
use super::{ToServer, UpConn, UpstreamOutput};
use crate::router::{Answer, Output, Router};
use crate::wire::fau3e::Holding;
use crate::wire::{ClientId, Record, RecordId};

/// A record older than this is backlog: it goes at a bounded rate, and what is
/// said now passes it.
const LIVE_AGE: Duration = Duration::from_secs(5);
/// Between two records of the backlog: 40 a second of each router. At 9,500 bytes
/// each that is 4 Mbit/s of base64, less than a weak link's whole.
const BACKLOG_INTERVAL: Duration = Duration::from_millis(25);

/// Turns of one client that make a difference: a microsecond each, less than an interval together.
const TURNS_MAX: u32 = 10_000;

/// A record that was sent and is not confirmed.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) record: Arc<Record>,
    /// How often it was sent so far.
    sent: u32,
    wait: FlightWait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlightWait {
    /// T has to pass.
    Until(Time),
    /// A WebSocket ping behind it has to come back, by then.
    Pong(Time),
    /// It has come back: the server has read all and does not answer.
    Back,
}

impl Router {
    /// A record is held here: it is to be pushed, unless the server has it.
    pub(in crate::router) fn held_for_push(&mut self, record: &Arc<Record>) {
        if self.upstream.is_legacy() {
            self.wait_for_push(record);
        }
    }

    /// A twin of what waits already, or not: the server may have it by this id.
    pub(in crate::router) fn twin_held_for_push(&mut self, record: &Record) {
        let pushed = &self.upstream.pushed;
        if self.upstream.is_legacy() && self.log.ids_of(record).any(|id| pushed.contains(id)) {
            self.server_has(record);
        }
    }

    pub(super) fn wait_for_push(&mut self, record: &Arc<Record>) {
        if super::intake::is_never_pushed(record)
            || self.log.ids_of(record).any(|id| self.upstream.pushed.contains(id))
        {
            return;
        }
        let carried = self.upstream.clients.entry(record.client_id.clone()).or_default();
        carried.waiting.insert((record.lamport, record.id), record.clone());
        self.upstream.looks.insert(record.client_id.clone());
    }

    /// It has left the log: it goes nowhere any more.
    pub(in crate::router) fn push_expired(&mut self, record: &Record) {
        let Some(carried) = self.upstream.clients.get_mut(&record.client_id) else { return };
        if carried.waiting.remove(&(record.lamport, record.id)).is_some() {
            // What is in flight may still be confirmed.
            let is_in_flight = carried.flight().is_some_and(|flight| flight.record.id == record.id);
            self.stats.upstream_expired += u64::from(!is_in_flight);
            self.upstream.looks.insert(record.client_id.clone());
        }
    }

    /// Sends a client's next record, or asks after the one that is unconfirmed.
    pub(super) fn push_up(&mut self, client_id: &ClientId) {
        let now = self.now;
        let Some(carried) = self.upstream.clients.get(client_id) else { return };
        let Some(line) = carried.line.as_ref().filter(|_| carried.standing().is_some()) else { return };
        if line.flight.is_some() {
            return self.flight_due(client_id);
        }
        let Some(next) = self.next_to_push(carried) else {
            if let Some(carried) = self.upstream.clients.get_mut(client_id) {
                carried.turns = 0;
            }
            return;
        };
        let age = self.origins.position(&next.id).and_then(|at| self.log.get(at, now)).map(|(_, age)| age);
        if age.is_some_and(|age| age >= LIVE_AGE) {
            // Who has had fewer turns goes first, whoever has how much.
            let turn = Duration::from_micros(carried.turns.min(TURNS_MAX).into());
            if now < self.upstream.backlog_at + turn {
                return self.wake_at(client_id, self.upstream.backlog_at + turn);
            }
            self.upstream.backlog_at = now + BACKLOG_INTERVAL;
            if let Some(carried) = self.upstream.clients.get_mut(client_id) {
                carried.turns += 1;
            }
        }
        let wait = FlightWait::Until(now);
        self.fly(client_id, Flight { record: next, sent: 0, wait });
    }

    /// What the client said first. Routers that did not hear each other have
    /// Lamport times that do not compare, so what a record names as the one before it
    /// goes before it.
    fn next_to_push(&self, carried: &Carried) -> Option<Arc<Record>> {
        let mut next = carried.waiting.first_key_value()?.1;
        for _ in 0..carried.waiting.len() {
            let held = |id: &RecordId| Some(self.log.get(self.origins.position(id)?, self.now)?.0);
            let Some(before) = next.previous.as_ref().and_then(held) else { break };
            let mut names = self.log.ids_of(before).filter_map(held);
            let Some(earlier) = names.find_map(|twin| carried.waiting.get(&(twin.lamport, twin.id))) else {
                break;
            };
            next = earlier;
        }
        Some(next.clone())
    }

    /// Sends a record, for the first time or again.
    fn fly(&mut self, client_id: &ClientId, flight: Flight) {
        let until = self.now + self.settings.retry_interval;
        // Who took it in and is gone, an earlier life of this router maybe, may have told the
        // server, and nobody else of it.
        let origin = flight.record.id.origin;
        let is_of_gone = origin != self.origin && !self.is_in_reach(&origin);
        let carried = self.upstream.clients.get_mut(client_id);
        let Some(line) = carried.and_then(|carried| carried.line.as_mut()) else { return };
        let (conn, record) = (line.conn, flight.record.clone());
        self.stats.upstream_unsure += u64::from(flight.sent == 0 && is_of_gone);
        line.flight = Some(Flight { sent: flight.sent + 1, wait: FlightWait::Until(until), ..flight });
        let send = UpstreamOutput::Send { conn, frame: ToServer::Propogate(record) };
        self.outputs.push_back(Output::Upstream(send));
        self.wake_at(client_id, until);
    }

    /// T has passed without a Confirm: the server may not have read it yet, or
    /// does not answer. Only in the second case it is sent again.
    fn flight_due(&mut self, client_id: &ClientId) {
        let (now, retry) = (self.now, self.settings.retry_interval);
        let sends_max = self.settings.retry_count.saturating_add(1);
        let carried = self.upstream.clients.get_mut(client_id);
        let Some(line) = carried.and_then(|carried| carried.line.as_mut()) else { return };
        let Some(flight) = &mut line.flight else { return };
        match flight.wait {
            FlightWait::Until(at) | FlightWait::Pong(at) if at > now => self.wake_at(client_id, at),
            FlightWait::Until(_) => {
                flight.wait = FlightWait::Pong(now + retry);
                let probe = UpstreamOutput::Probe { conn: line.conn };
                self.outputs.push_back(Output::Upstream(probe));
                self.wake_at(client_id, now + retry);
            }
            FlightWait::Back if flight.sent < sends_max => {
                self.stats.upstream_repeated += 1;
                if let Some(flight) = line.flight.take() {
                    self.fly(client_id, flight);
                }
            }
            // It answers nothing any more: another connection may be served better.
            FlightWait::Back => self.close_line(client_id),
            FlightWait::Pong(_) => self.abort_line(client_id),
        }
    }

    pub(super) fn server_pongs(&mut self, conn: UpConn) {
        let Some(client_id) = self.upstream.by_conn.get(&conn).cloned() else { return };
        self.line_lives(conn);
        let carried = self.upstream.clients.get_mut(&client_id);
        let Some(line) = carried.and_then(|carried| carried.line.as_mut()) else { return };
        line.leaving = None;
        if let Some(flight) = line.flight.as_mut().filter(|flight| matches!(flight.wait, FlightWait::Pong(_)))
        {
            flight.wait = FlightWait::Back;
            self.upstream.looks.insert(client_id);
        }
    }

    /// The server's answer to a record, or to something that needs none.
    pub(super) fn server_confirms(&mut self, conn: UpConn, message_uuid: &str, answer: Answer) {
        let retry_at = self.now + self.settings.retry_interval;
        let Some(client_id) = self.upstream.by_conn.get(&conn).cloned() else { return };
        let Some(carried) = self.upstream.clients.get_mut(&client_id) else { return };
        if let Some(line) = &mut carried.line {
            line.leaving.take_if(|(uuid, _)| uuid.to_string() == message_uuid);
        }
        if answer == Answer::Failed {
            let flight = carried.line.as_mut().and_then(|line| line.flight.as_mut());
            if let Some(flight) = flight.filter(|flight| &*flight.record.message_uuid == message_uuid) {
                flight.wait = FlightWait::Until(retry_at);
                self.wake_at(&client_id, retry_at);
            }
            return;
        }
        // It wakes up late at times: then it answers what was sent before. Of two
        // that go by one MessageUuid, as to two rooms, the one in flight is meant.
        let in_flight = carried.flight().map(|flight| &flight.record);
        let mut waiting = in_flight.into_iter().chain(carried.waiting.values());
        let meant = waiting.find(|record| &*record.message_uuid == message_uuid).cloned();
        if let Some(record) = meant {
            self.stats.upstream_pushed += u64::from(answer != Answer::Invalid);
            self.stats.upstream_refused += u64::from(answer == Answer::Invalid);
            self.server_has(&record);
        }
    }

    /// The server has taken it in, or never will.
    pub(super) fn server_has(&mut self, record: &Record) {
        if self.note_server_has(record) {
            self.tell_upstream_soon();
        }
    }

    /// Notes that the server has taken it in, or never will, and tells nobody. True if it is news.
    pub(super) fn note_server_has(&mut self, record: &Record) -> bool {
        let ids: Vec<_> = self.log.ids_of(record).copied().collect();
        let mut is_news = false;
        for id in &ids {
            is_news |= self.upstream.pushed.insert(id);
        }
        if is_news {
            self.upstream.echoes.is_there(record, self.now);
            self.save_pushed();
            self.forget_what_was_pushed_of(&record.client_id.clone());
        }
        is_news
    }

    /// All records that the server has, for the disk.
    pub(in crate::router) fn pushed_runs(&self) -> Vec<Holding> {
        self.upstream.pushed.runs()
    }

    pub(in crate::router) fn restore_pushed(&mut self, runs: &[Holding]) {
        for run in runs {
            self.upstream.pushed.join(run);
        }
    }

    /// Others have told what the server has.
    pub(super) fn forget_what_was_pushed(&mut self) {
        self.save_pushed();
        let has_some = |carried: &Carried| !carried.waiting.is_empty() || carried.flight().is_some();
        let clients = self.upstream.clients.iter().filter(|(_, carried)| has_some(carried));
        let clients: Vec<ClientId> = clients.map(|(client_id, _)| client_id.clone()).collect();
        clients.iter().for_each(|client_id| self.forget_what_was_pushed_of(client_id));
    }

    fn forget_what_was_pushed_of(&mut self, client_id: &ClientId) {
        let (now, upstream, log) = (self.now, &mut self.upstream, &self.log);
        let Some(carried) = upstream.clients.get_mut(client_id) else { return };
        let pushed = &upstream.pushed;
        let is_there = |record: &Record| log.ids_of(record).any(|id| pushed.contains(id));
        let echoes = &mut upstream.echoes;
        carried.waiting.retain(|_, record| {
            let is_there = is_there(record);
            if is_there {
                echoes.is_there(record, now);
            }
            !is_there
        });
        if let Some(line) = &mut carried.line {
            line.flight.take_if(|flight| is_there(&flight.record));
        }
        upstream.looks.insert(client_id.clone());
    }
}

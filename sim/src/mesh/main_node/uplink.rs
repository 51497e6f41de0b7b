//! The connection between a router and the main server: called as `mesh::uplink`
//! calls, ended when its pulse says so, and what passes on it beside messages.

use std::time::Duration;

use fau3::pulse::{Action, Pace, Pulse};
use fau3::router::{Input, Mutant};
use fau3::wire::fau3e::Message;
use fau3_election::Time;

use super::{MainEvent, MainFaultKind, World};
use crate::mesh::connections::{Connection, Load};
use crate::mesh::events::Event;
use crate::mesh::machine::NONE;

/// The deputy asks so often whether it is there, as by default.
const CHECK: Duration = Duration::from_millis(250);
/// As `mesh::AGAIN_LATELY`: one that was there lately is called again after this long.
const AGAIN_LATELY: Duration = Duration::from_millis(250);
/// As `mesh::AGAIN`: any other.
const AGAIN: Duration = Duration::from_secs(1);
/// As `mesh::LATELY`.
const LATELY: Duration = Duration::from_secs(60);
/// As `mesh::PATIENCE_LATELY`: one that was there lately has so long to answer.
const PATIENCE_LATELY: Duration = Duration::from_secs(1);
/// As `mesh::PATIENCE`: any other.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A handshake may take so many times as long.
const PATIENCE_FACTOR: u32 = 3;
/// From calling until both ends have agreed: TCP, the key, noise, yamux, hello and welcome.
const ROUND_TRIPS: u32 = 6;
/// A question or an answer on the connection, in bytes.
const SIGN_BYTES: usize = 5;

/// How a router calls the main server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Call {
    is_wanted: bool,
    /// Whatever was scheduled under another turn is void.
    turn: u32,
    /// When it was last connected.
    seen_at: Option<Time>,
}

impl Call {
    /// Another life of the router.
    pub(super) fn begin(&mut self) {
        *self = Self { turn: self.turn + 1, ..Self::default() };
    }

    fn is_lately(&self, now: Time) -> bool {
        self.seen_at.is_some_and(|at| now.since(at) < LATELY)
    }

    fn again(&self, now: Time) -> Duration {
        if self.is_lately(now) { AGAIN_LATELY } else { AGAIN }
    }

    fn patience(&self, now: Time) -> Duration {
        if self.is_lately(now) { PATIENCE_LATELY } else { PATIENCE }
    }
}

/// What an uplink has more than a connection within the segment.
#[derive(Debug)]
pub(in crate::mesh) struct Pulses {
    /// Of the router's end, then of the main server's.
    ends: [Pulse; 2],
    /// When each has to act.
    due: [Time; 2],
    /// The life of the router in which it was made.
    boot: u32,
}

/// What passes on a connection that is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) enum Sign {
    /// Is the other end there?
    Ping,
    /// All until here was read.
    Seen,
}

impl World {
    /// A router asks for a connection to the main server, or for none.
    pub(in crate::mesh) fn keep_uplink(&mut self, node: usize, keep: bool) {
        let now = self.now;
        let call = &mut self.main().calls[node];
        (call.is_wanted, call.turn) = (keep, call.turn + 1);
        let (node, turn) = (node as u8, call.turn);
        self.main_later(
            now,
            if keep { MainEvent::Dial { node, turn } } else { MainEvent::LetGo { node, turn } },
        );
    }

    /// The way of calling, if the turn is still the same and there is no connection.
    fn wanted(&mut self, node: usize, turn: u32) -> Option<Call> {
        let call = self.main().calls[node];
        let main = self.main().setup.node;
        let machine = &self.machines[node];
        let is_free = machine.router.is_some() && machine.peers[main] == NONE;
        (is_free && call.is_wanted && call.turn == turn).then_some(call)
    }

    /// A router that stands still does it later.
    fn stands_still(&mut self, node: usize, event: MainEvent) -> bool {
        let is_frozen = self.machines[node].frozen;
        if is_frozen {
            self.machines[node].keep(Event::Main(event));
        }
        is_frozen
    }

    /// TCP's SYN, and what becomes of it.
    pub(super) fn call(&mut self, node: usize, turn: u32) {
        let Some(call) = self.wanted(node, turn) else { return };
        let event = MainEvent::Dial { node: node as u8, turn };
        if self.stands_still(node, event) {
            return;
        }
        self.tally.main_calls += 1;
        let (now, main) = (self.now, self.main().setup.node);
        if !self.has_power(main) || !self.is_open(node, main) {
            return self.main_later(now + call.patience(now) + call.again(now), event);
        }
        let round = self.way(node, main) + self.way(main, node);
        if self.machines[main].router.is_none() {
            return self.main_later(now + round + call.again(now), event); // Refused.
        }
        let rest = (1..ROUND_TRIPS).map(|_| self.way(node, main) + self.way(main, node)).sum::<Duration>();
        self.main_later(now + round + rest, MainEvent::Made { node: node as u8, turn });
    }

    /// How long what TCP sends takes, sent again until it comes.
    fn way(&mut self, from: usize, to: usize) -> Duration {
        let quality = self.network.quality(from, to);
        self.way_takes(quality)
    }

    /// The handshake is through, if anything still passes; the ends agree.
    pub(super) fn called(&mut self, node: usize, turn: u32) {
        let Some(call) = self.wanted(node, turn) else { return };
        if self.stands_still(node, MainEvent::Made { node: node as u8, turn }) {
            return;
        }
        let (now, main) = (self.now, self.main().setup.node);
        let again = MainEvent::Dial { node: node as u8, turn };
        if !self.is_main_there(node) {
            let late = call.patience(now) * (PATIENCE_FACTOR - 1);
            return self.main_later(now + late + call.again(now), again);
        }
        let old = self.machines[main].peers[node];
        if old != NONE {
            // The lower id decides, and takes one of the same life for the same.
            let (decides, boot) = (self.machines[main].id < self.machines[node].id, self.machines[node].boot);
            let is_same = self.connections[old as usize].pulses.as_ref().is_some_and(|old| old.boot == boot);
            if decides && is_same {
                let local = self.machines[main].clock.local(now);
                if let Some(pulses) = &mut self.connections[old as usize].pulses {
                    pulses.ends[1].doubt(local);
                }
                self.watch_pulse(old, 1);
                return self.main_later(now + call.again(now), again);
            }
            self.lose_end(old, 1, Some(true));
        }
        self.connect_uplink(node, main);
    }

    fn connect_uplink(&mut self, node: usize, main: usize) {
        let local = |end: usize| self.machines[end].clock.local(self.now);
        let mut watching = Pulse::new(local(node), Pace::Watching(CHECK));
        match self.setup.settings.mutant {
            Some(Mutant::ProbeLostIsOutage) => watching.patient_for(CHECK * 2),
            Some(Mutant::OutageWaitedOut) => watching.patient_for(CHECK * 32),
            _ => {}
        }
        let ends = [watching, Pulse::new(local(main), Pace::Watched)];
        let pulses = Pulses { ends, due: [Time::MAX; 2], boot: self.machines[node].boot };
        let connection = self.connections.len() as u32;
        self.connections.push(Connection::new([node, main]).with_pulses(pulses));
        self.standing.push(connection);
        (self.machines[node].peers[main], self.machines[main].peers[node]) = (connection, connection);
        self.note(Some(node), || "is connected with the main server".into());
        self.tally.main_uplinks += 1;
        self.truth_changed();
        (0..2).for_each(|end| self.watch_pulse(connection, end));
        let (id, id_main) = (self.machines[node].id, self.machines[main].id);
        self.main_found(node, connection);
        self.feed(node, Input::PeerUp { router: id_main });
        self.feed(main, Input::PeerUp { router: id });
    }

    /// A router has lost its connection to the main server: it calls again.
    pub(in crate::mesh) fn call_again(&mut self, node: usize) {
        let now = self.now;
        let Some(main) = &mut self.main else { return };
        let Some(call) = main.calls.get_mut(node) else { return };
        call.seen_at = Some(now);
        let (call, node) = (*call, node as u8);
        if call.is_wanted {
            self.main_later(now + call.again(now), MainEvent::Dial { node, turn: call.turn });
        }
    }

    pub(super) fn let_go_of_main(&mut self, node: usize, turn: u32) {
        if self.main().calls[node].turn != turn
            || self.stands_still(node, MainEvent::LetGo { node: node as u8, turn })
        {
            return;
        }
        let main = self.main().setup.node;
        let connection = self.machines[node].peers[main];
        if connection != NONE {
            self.close_end(connection, 0, Some(false));
        }
    }

    /// An end of an uplink has something to say of its pulse.
    pub(in crate::mesh) fn with_pulse<T>(
        &mut self,
        connection: u32,
        end: usize,
        does: impl FnOnce(&mut Pulse, Time) -> T,
    ) -> Option<T> {
        let place = &mut self.connections[connection as usize];
        let local = self.machines[place.ends[end]].clock.local(self.now);
        place.pulses.as_mut().map(|pulses| does(&mut pulses.ends[end], local))
    }

    /// Acts if it is time to, and sets when it is next.
    pub(in crate::mesh) fn watch_pulse(&mut self, connection: u32, end: usize) {
        loop {
            let place = &self.connections[connection as usize];
            let node = place.ends[end];
            if !place.holds[end] || self.machines[node].frozen {
                return; // One that stands still looks when it runs again.
            }
            let Some(action) = self.with_pulse(connection, end, Pulse::poll) else { return };
            match action {
                Action::Wait(until) => {
                    let at = self.machines[node].clock.when(until).max(self.now + Duration::from_micros(1));
                    return self.pulse_at(connection, end, at);
                }
                Action::Ask => {
                    self.with_pulse(connection, end, Pulse::asked);
                    self.send_sign(connection, end, Sign::Ping);
                    self.tally.main_pings += u64::from(end == 0);
                    if self.with_pulse(connection, end, |pulse, now| pulse.is_in_doubt(now)) == Some(true) {
                        self.tally.main_doubts += 1;
                        self.send_datagram(connection, end);
                    }
                }
                Action::GiveUp => {
                    self.tally.main_given_up += 1;
                    return self.close_end(connection, end, Some(false));
                }
            }
        }
    }

    /// It looks then.
    pub(in crate::mesh) fn pulse_at(&mut self, connection: u32, end: usize, at: Time) {
        let Some(pulses) = &mut self.connections[connection as usize].pulses else { return };
        if std::mem::replace(&mut pulses.due[end], at) != at {
            self.main_later(at, MainEvent::Pulse { connection, end: end as u8 });
        }
    }

    pub(super) fn pulse_due(&mut self, connection: u32, end: usize) {
        let place = &mut self.connections[connection as usize];
        let node = place.ends[end];
        let now = self.now;
        let Some(pulses) = place.pulses.as_mut().filter(|pulses| pulses.due[end] <= now) else { return };
        let due = std::mem::replace(&mut pulses.due[end], Time::MAX);
        if !self.stands_still(node, MainEvent::Pulse { connection, end: end as u8 }) {
            self.watch_pulse(connection, end);
        } else if let Some(pulses) = &mut self.connections[connection as usize].pulses {
            pulses.due[end] = due;
        }
    }

    /// Something was read at this end: it may be time to say so.
    pub(in crate::mesh) fn has_read(
        &mut self,
        connection: u32,
        end: usize,
        sign: Option<Sign>,
        bytes: usize,
    ) {
        if !self.connections[connection as usize].holds[end] {
            return;
        }
        let is_due = self.with_pulse(connection, end, |pulse, now| pulse.read(now, bytes)) == Some(true);
        match sign {
            Some(Sign::Seen) => {
                self.with_pulse(connection, end, Pulse::seen);
            }
            Some(Sign::Ping) => self.send_sign(connection, end, Sign::Seen),
            None => {}
        }
        if is_due && sign != Some(Sign::Ping) {
            self.send_sign(connection, end, Sign::Seen);
        }
        self.watch_pulse(connection, end);
    }

    fn send_sign(&mut self, connection: u32, end: usize, sign: Sign) {
        self.put_on_way(connection, end, Load::Sign(sign), SIGN_BYTES);
    }

    /// Something came for a connection that this end does not know: its kernel says so.
    pub(in crate::mesh) fn reset(&mut self, connection: u32, to: usize) {
        let place = &self.connections[connection as usize];
        let [knows_not, node] = [1 - to, to].map(|end| place.ends[end]);
        let is_told = place.pulses.is_some() && place.holds[to] && self.has_power(knows_not);
        if is_told && self.network.reaches(knows_not) & (1 << node) != 0 {
            let at = self.now + self.way(knows_not, node);
            self.queue.push(at, Event::Closed { connection, end: to as u8 });
        }
    }

    fn has_power(&self, node: usize) -> bool {
        let Some(main) = &self.main else { return true };
        node != main.setup.node || !main.faults_on().any(|kind| kind == MainFaultKind::PowerOff)
    }

    /// A Confirm is lost: something between resets the connection.
    pub(in crate::mesh) fn is_reset_instead(&mut self, connection: u32, message: &Message) -> bool {
        let is_uplink = self.connections[connection as usize].pulses.is_some();
        if !is_uplink || !matches!(message, Message::Confirm { .. }) {
            return false;
        }
        let main = self.main();
        let ppm = main.faults_on().map(MainFaultKind::resets_ppm).max().unwrap_or(0);
        if !main.random.chance(ppm) {
            return false;
        }
        let [node, main] = self.connections[connection as usize].ends;
        self.note(Some(node), || "its connection with the main server is reset".into());
        self.tally.main_resets += 1;
        self.excuse_fall_back(node);
        for (from, end) in [(main, 0), (node, 1)] {
            let at = self.now + self.way(from, node + main - from);
            self.queue.push(at, Event::Closed { connection, end });
        }
        true
    }

    /// Asks, or answers, beside the connection.
    fn send_datagram(&mut self, connection: u32, end: usize) {
        let [from, to] = [end, 1 - end].map(|end| self.connections[connection as usize].ends[end]);
        if !self.main().setup.datagrams {
            return;
        }
        let mut comes = Vec::new();
        self.network.transmit(self.now, from, 1 << to, |at, _| comes.push(at));
        for at in comes {
            self.main_later(at, MainEvent::Datagram { connection, end: 1 - end as u8 });
        }
    }

    pub(super) fn datagram(&mut self, connection: u32, end: usize) {
        let place = &self.connections[connection as usize];
        let node = place.ends[end];
        let is_known = place.holds[end];
        if self.stands_still(node, MainEvent::Datagram { connection, end: end as u8 }) || !is_known {
            return;
        }
        if end == 1 {
            return self.send_datagram(connection, end);
        }
        self.tally.main_datagrams += 1;
        self.with_pulse(connection, end, Pulse::heard);
        self.watch_pulse(connection, end);
    }
}

//! The deputy's look at the server, as the shell's watch judges it: gone soon
//! after a close, or after 2 s of silence; back after a hold time of 3 s.

use std::time::Duration;

use fau3::router::{Input, UpstreamInput};

use super::{ServerEvent, World};
use crate::mesh::events::Event;

/// From looking until the server has answered for the first time, in microseconds.
const FIRST_US: (u64, u64) = (5_000, 80_000);
/// From the server's end until a connection that was dialled anew is refused, in microseconds.
const CLOSED_US: (u64, u64) = (1_000, 300_000);
/// From the last sign of life until it is judged gone, in microseconds.
const SILENT_US: (u64, u64) = (1_750_000, 2_200_000);
/// Until a router that tries each second has found it again, in microseconds.
const FOUND_US: (u64, u64) = (10_000, 1_200_000);
/// How long it has to answer before it counts.
const HOLD: Duration = Duration::from_secs(3);
/// Within which all sessions are back on it.
const BACK_WITHIN: Duration = Duration::from_millis(2_100);

/// One router's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    is_on: bool,
    pub(super) judged: Option<bool>,
    /// Counts what has changed since it was switched on.
    turn: u32,
}

impl World {
    /// A router has become the deputy, or is so no longer.
    pub(in crate::mesh) fn watch_if_deputy(&mut self, node: usize) {
        let machine = &self.machines[node];
        let is_deputy = machine.view.as_ref().is_some_and(|view| view.deputy == Some(machine.id));
        let Some(server) = &mut self.server else { return };
        let is_reached = server.is_reached(node);
        let watch = &mut server.watches[node];
        if watch.is_on == is_deputy {
            return;
        }
        *watch = Watch { is_on: is_deputy, judged: None, turn: watch.turn };
        let span = if !is_deputy {
            (0, 0)
        } else if is_reached {
            FIRST_US
        } else {
            self.unreached_for(node)
        };
        self.judge_within(node, span, Duration::ZERO);
    }

    /// Something about the way to it has changed.
    pub(super) fn look_again(&mut self, node: usize, was_reached: bool) {
        let server = self.server();
        let is_reached = server.is_reached(node);
        let watch = server.watches[node];
        if !watch.is_on || was_reached == is_reached {
            return;
        }
        if !is_reached {
            let span = self.unreached_for(node);
            self.judge_within(node, span, Duration::ZERO);
        } else if watch.judged == Some(true) {
            self.server().watches[node].turn += 1; // It had not been missed yet.
        } else {
            self.judge_within(node, FOUND_US, HOLD);
        }
    }

    fn unreached_for(&mut self, node: usize) -> (u64, u64) {
        if self.server().is_blocked(node) { SILENT_US } else { CLOSED_US }
    }

    fn judge_within(&mut self, node: usize, (low, high): (u64, u64), hold: Duration) {
        let boot = self.machines[node].boot;
        let server = self.server();
        server.watches[node].turn += 1;
        let turn = server.watches[node].turn;
        let after = Duration::from_micros(server.random.between(low, high)) + hold;
        let at = self.now + after;
        self.server_later(at, ServerEvent::Judge { node: node as u8, boot, turn });
    }

    pub(super) fn judged(&mut self, node: usize, boot: u32, turn: u32) {
        if self.machines[node].boot != boot || self.server().watches[node].turn != turn {
            return;
        }
        if self.machines[node].frozen {
            self.machines[node].keep(Event::Server(ServerEvent::Judge { node: node as u8, boot, turn }));
            return;
        }
        let now = self.now;
        let server = self.server();
        let reach = server.watches[node].is_on.then(|| server.is_reached(node));
        server.watches[node].judged = reach;
        self.note(Some(node), || format!("judges the server: {reach:?}"));
        if reach == Some(true) {
            self.server_later(now + BACK_WITHIN, ServerEvent::Back { judged_at: now });
        }
        self.feed(node, Input::Upstream(UpstreamInput::Reach(reach)));
    }
}

use std::collections::VecDeque;

use fau3::router::{Commit, Router};
use fau3_election::{RouterId, SavedState, Time, View};

use super::disk::Disk;
use super::events::Event;
use super::setup::{NODES_MAX, Setup};
use crate::engine::Clock;
use crate::faults::FaultKind;

/// Beacons that wait for a process that stands still; later ones are lost.
const SOCKET_BUFFER_DATAGRAMS: usize = 256;
/// No connection.
pub(super) const NONE: u32 = u32::MAX;

/// One machine with a router on it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) id: RouterId,
    /// The state machine; `None` while it is down.
    pub(super) router: Option<Router>,
    /// Who leads, as it last said.
    pub(super) view: Option<View>,
    pub(super) clock: Clock,
    pub(super) clock_ppm: i32,
    /// Counts its lives.
    pub(super) boot: u32,
    /// Reasons to be down; it runs at none.
    pub(super) down: u32,
    pub(super) frozen: bool,
    pub(super) wake_at: Time,
    /// The deadline, on its own clock, that `wake_at` stands for or comes before.
    pub(super) due: Time,
    /// What arrived while it stood still.
    pub(super) kept: VecDeque<Event>,
    /// Identity, epochs and list.
    pub(super) flash: SavedState,
    /// A copy of it from early in the run.
    pub(super) backup: SavedState,
    pub(super) writing: VecDeque<(u64, SavedState)>,
    /// When flash and disk have done all that they were told to.
    pub(super) flash_free: Time,
    pub(super) disk_free: Time,
    /// Records and sessions, where they are kept.
    pub(super) disk: Disk,
    pub(super) storing: VecDeque<Commit>,
    /// Its connection to each other router, or [`NONE`].
    pub(super) peers: [u32; NODES_MAX],
    /// Frames and their bytes sent to other routers, beacons included.
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
}

impl Machine {
    /// Keeps what arrives while it stands still; false if the buffer is full.
    pub(super) fn keep(&mut self, event: Event) -> bool {
        let is_beacon = |event: &Event| matches!(event, Event::Beacon { .. });
        let beacons =
            if is_beacon(&event) { self.kept.iter().filter(|kept| is_beacon(kept)).count() } else { 0 };
        let room = beacons < SOCKET_BUFFER_DATAGRAMS;
        if room {
            self.kept.push_back(event);
        }
        room
    }

    /// It runs and does not stand still.
    pub(super) fn is_awake(&self) -> bool {
        self.router.is_some() && !self.frozen
    }
}

/// All machines of a setup, switched off.
pub(super) fn all(setup: &Setup) -> Vec<Machine> {
    let mut machines: Vec<Machine> = (0..setup.nodes()).map(|node| off(setup, node)).collect();
    if let Some(main) = &setup.main {
        machines[main.node].clock_ppm = main.clock_ppm;
    }
    for fault in &setup.faults {
        if let FaultKind::ClockError { node, ppm } = fault.kind {
            machines[node].clock_ppm = ppm;
        }
    }
    machines
}

fn off(setup: &Setup, node: usize) -> Machine {
    Machine {
        id: setup.id_of(node),
        router: None,
        view: None,
        clock: Clock::new(Time::ZERO, 0),
        clock_ppm: 0,
        boot: 0,
        down: 0,
        frozen: false,
        wake_at: Time::MAX,
        due: Time::MAX,
        kept: VecDeque::new(),
        flash: SavedState::default(),
        backup: SavedState::default(),
        writing: VecDeque::new(),
        flash_free: Time::ZERO,
        disk_free: Time::ZERO,
        disk: Disk::default(),
        storing: VecDeque::new(),
        peers: [NONE; NODES_MAX],
        sent: 0,
        sent_bytes: 0,
    }
}

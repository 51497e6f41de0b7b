use std::collections::VecDeque;

use fau3_election::{Coordinator, Counters, Election, ListVersion, Role, RouterId, SavedState, Time, View};

use super::events::Event;
use super::setup::{Setup, name_of};
use crate::engine::Clock;
use crate::faults::FaultKind;

/// Datagrams that wait for a process that stands still: what a socket buffer
/// of 208 KiB (the kernel's default) holds of small ones. Later ones are lost.
const SOCKET_BUFFER_DATAGRAMS: usize = 256;

/// One machine.
#[derive(Debug)]
pub struct Node {
    /// Its identity.
    pub id: RouterId,
    /// What it says now; the last word of the last life while it is down.
    pub view: View,
    /// The state machine; `None` while it is down.
    pub election: Option<Election>,
    /// When this life began, in true time.
    pub started: Time,
    /// Datagrams and their bytes (without any header), since the beginning.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Datagrams received.
    pub received: u64,
    /// Bytes of those.
    pub received_bytes: u64,
    pub(crate) clock: Clock,
    pub(crate) clock_ppm: i32,
    /// Whose name it has: its own number, unless someone made a mistake.
    pub(crate) name_as: usize,
    /// Counts its lives.
    pub(crate) boot: u32,
    /// Reasons to be down; it runs at none.
    pub(crate) down: u32,
    pub(crate) wake_at: Time,
    /// The deadline, on its own clock, that `wake_at` stands for or comes before.
    pub(crate) due: Time,
    pub(crate) frozen: bool,
    /// Reasons to count it as not quite there: a stall between two freezes.
    pub(crate) stalling: u32,
    /// SIGTERM has been said.
    pub(crate) leaving: bool,
    /// It tells its election about the main server.
    pub(crate) watching: bool,
    /// The main server is up and in its reach.
    pub(crate) default_reached: bool,
    /// The order in its UCI file.
    pub(crate) uci: Vec<usize>,
    pub(crate) disk: SavedState,
    /// What flash is being written with, each with its ticket.
    pub(crate) writing: VecDeque<(u64, SavedState)>,
    /// When its flash has written all that it was told to.
    pub(crate) flash_free: Time,
    /// A copy of the flash from early in the run.
    pub(crate) backup: SavedState,
    /// Increased whenever the flash is lost or replaced.
    pub(crate) disk_lives: u32,
    /// What arrived while it stood still.
    pub(crate) kept: VecDeque<Event>,
    /// Counters of earlier lives.
    pub(crate) counters: Vec<Counters>,
}

impl Node {
    /// True if it runs and has not stopped by itself.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.election.is_some() && self.view.role != Role::Stopped
    }

    /// True if it leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.runs() && self.view.leads()
    }

    /// The name by which lists know it.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.name_as)
    }

    /// Keeps what arrives while it stands still; false if the buffer is full.
    pub(crate) fn keep(&mut self, event: Event) -> bool {
        let room = self.kept.len() < SOCKET_BUFFER_DATAGRAMS;
        if room {
            self.kept.push_back(event);
        }
        room
    }

    /// The view of one that has just been started.
    pub(crate) fn fresh_view(list: ListVersion) -> View {
        View {
            role: Role::Waiting,
            coordinator: Coordinator::None,
            deputy: None,
            epoch: None,
            list,
            members: 1,
            ready: false,
            held: false,
        }
    }
}

/// All routers of a setup, switched off, and one more place for a clone.
pub(crate) fn all(setup: &Setup) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..setup.places()).map(|node| off(setup, node)).collect();
    for fault in &setup.faults {
        if let FaultKind::ClockError { node, ppm } = fault.kind {
            nodes[node].clock_ppm = ppm;
        }
    }
    nodes
}

fn off(setup: &Setup, node: usize) -> Node {
    Node {
        id: setup.id_of(node),
        view: Node::fresh_view(ListVersion::default()),
        election: None,
        started: Time::ZERO,
        sent: 0,
        sent_bytes: 0,
        received: 0,
        received_bytes: 0,
        clock: Clock::new(Time::ZERO, 0),
        clock_ppm: 0,
        name_as: node,
        boot: 0,
        down: 0,
        wake_at: Time::MAX,
        due: Time::MAX,
        frozen: false,
        stalling: 0,
        leaving: false,
        watching: false,
        default_reached: setup.default_server,
        uci: setup.first_order(),
        disk: SavedState::default(),
        writing: VecDeque::new(),
        flash_free: Time::ZERO,
        backup: SavedState::default(),
        disk_lives: 0,
        kept: VecDeque::new(),
        counters: Vec::new(),
    }
}

//! The main server in virtual time: one more whole router, elsewhere, with the
//! uplink between it and the segment, clients of its own, and what befalls them.
//!
//! It is a machine like the others (`machine`), but on nobody's map: only a router that
//! asks for it (`Output::Uplink`) calls it, over an `uplink` that the project's own
//! [`Pulse`](fau3::pulse::Pulse) watches from both ends. `rules` holds what the segment
//! makes of its coming and going against where it really was.

mod live;
mod rules;
mod setup;
mod uplink;

use fau3::router::{Input, MainNode, UpstreamInput};
use fau3_election::Time;

use super::World;
use super::events::Event;
use crate::engine::{NodeSet, Random};
use crate::faults::Disk;
use live::Spoken;
use rules::Watch;
use uplink::Call;

pub(super) use live::LIVE;
pub(super) use rules::{FALL_BACK, FALSE_ALARM, HAND_BACK, HOLD, KEPT, ONE_CALL, ONE_LEADER};
pub use setup::{MainFault, MainFaultKind, MainSetup};
pub(super) use uplink::{Pulses, Sign};

/// What it is called.
pub(super) const NAME: &str = "main";
/// Answering for so long makes it lead again after its first outage, as by default.
pub(super) const HOLD_BASE: std::time::Duration = std::time::Duration::from_secs(3);

/// What happens to the main server and on the ways to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MainEvent {
    /// A fault begins or ends.
    Fault { index: u8 },
    /// A router calls it, if it still wants to.
    Dial { node: u8, turn: u32 },
    /// The handshake would be through by now.
    Made { node: u8, turn: u32 },
    /// A router lets go of it.
    LetGo { node: u8, turn: u32 },
    /// An end of a connection looks whether the other one lives.
    Pulse { connection: u32, end: u8 },
    /// A question or an answer comes to this end beside the connection.
    Datagram { connection: u32, end: u8 },
    /// The deputy could not reach it since then: it leads by now.
    FallBack { since: Time },
    /// All was well since then: it has been called by now.
    Called { since: Time },
    /// It was called then: it leads by now.
    Back { connection: u32, since: Time },
    /// Routers disagreed since then on whether it leads.
    Split { since: Time },
}

/// It, and all that is known of it.
#[derive(Debug)]
pub(super) struct MainSide {
    setup: MainSetup,
    random: Random,
    /// For each fault, whether it is on.
    on: Vec<bool>,
    /// When anything about it or the ways to it changed last.
    changed_at: Time,
    /// Each router's way of calling it.
    calls: Vec<Call>,
    watch: Watch,
    spoken: Spoken,
}

impl MainSide {
    pub(super) fn new(setup: &MainSetup, random: Random) -> Box<Self> {
        Box::new(Self {
            random,
            on: vec![false; setup.faults.len()],
            changed_at: Time::ZERO,
            calls: vec![Call::default(); setup.node],
            watch: Watch::new(setup.node),
            spoken: Spoken::default(),
            setup: setup.clone(),
        })
    }

    fn faults_on(&self) -> impl Iterator<Item = MainFaultKind> + '_ {
        self.setup.faults.iter().zip(&self.on).filter(|(_, on)| **on).map(|(fault, _)| fault.kind)
    }

    /// What a connection to it carries, in bytes a millisecond.
    pub(super) fn rate(&self) -> u32 {
        self.faults_on().filter_map(MainFaultKind::rate).min().unwrap_or(self.setup.rate)
    }
}

impl World {
    /// There is one wherever this is called.
    #[expect(clippy::expect_used, reason = "events and uplinks exist only with a main server")]
    fn main(&mut self) -> &mut MainSide {
        self.main.as_mut().expect("a main server's event without one")
    }

    /// The main server's place among all routers.
    pub(super) fn main_node(&self) -> Option<usize> {
        self.setup.main.as_ref().map(|main| main.node)
    }

    /// All routers but the main server.
    pub(super) fn segment(&self) -> NodeSet {
        (1 << self.setup.routers) - 1
    }

    fn main_later(&mut self, at: Time, event: MainEvent) {
        self.queue.push(at, Event::Main(event));
    }

    /// Lines up the faults, and switches it on.
    pub(super) fn begin_main(&mut self) {
        let Some(main) = &mut self.main else { return };
        let faults = main.setup.faults.clone();
        let (node, at) = (main.setup.node as u8, Time::from_millis(main.random.below(2_000)));
        self.queue.push(at, Event::Start { node });
        for (index, fault) in faults.iter().enumerate() {
            self.main_later(fault.from, MainEvent::Fault { index: index as u8 });
            self.main_later(fault.until, MainEvent::Fault { index: index as u8 });
        }
    }

    /// A router has started: its configuration names the main server.
    pub(super) fn tell_of_main(&mut self, node: usize) {
        if let Some(main) = &mut self.main
            && node != main.setup.node
        {
            main.calls[node].begin();
            let named = MainNode { name: NAME.into(), router: None, hold: HOLD_BASE };
            self.feed(node, Input::Upstream(UpstreamInput::Node(Some(named))));
        }
    }

    pub(super) fn main_event(&mut self, event: MainEvent) {
        match event {
            MainEvent::Fault { index } => self.main_fault(index.into()),
            MainEvent::Dial { node, turn } => self.call(node.into(), turn),
            MainEvent::Made { node, turn } => self.called(node.into(), turn),
            MainEvent::LetGo { node, turn } => self.let_go_of_main(node.into(), turn),
            MainEvent::Pulse { connection, end } => self.pulse_due(connection, end.into()),
            MainEvent::Datagram { connection, end } => self.datagram(connection, end.into()),
            MainEvent::FallBack { since } => self.must_have_fallen_back(since),
            MainEvent::Called { since } => self.must_have_called(since),
            MainEvent::Back { connection, since } => self.must_be_handed_back(connection, since),
            MainEvent::Split { since } => self.must_agree(since),
        }
    }

    fn main_fault(&mut self, index: usize) {
        let now = self.now;
        let main = self.main();
        let (fault, node) = (main.setup.faults[index], main.setup.node);
        let on = fault.is_on(now);
        if std::mem::replace(&mut main.on[index], on) == on {
            return;
        }
        main.changed_at = now;
        self.note(None, || format!("{} {}", if on { "+++" } else { "---" }, fault.kind));
        self.tally.main_faults += u64::from(on);
        match fault.kind {
            MainFaultKind::Killed { .. } if on => self.power_off(node, false),
            MainFaultKind::PowerOff if on => self.power_off(node, true),
            MainFaultKind::Leaves if on => self.leave(node),
            MainFaultKind::Stuck if on => self.machines[node].frozen = self.machines[node].router.is_some(),
            MainFaultKind::Killed { wiped } => {
                self.replace_disk(node, if wiped { Disk::Lost } else { Disk::Kept });
                self.power_on(node);
            }
            MainFaultKind::PowerOff | MainFaultKind::Leaves => self.power_on(node),
            MainFaultKind::Stuck => self.thaw(node),
            _ => {}
        }
        self.retrace();
        self.all_is_well_since_now();
    }

    /// What the ways to it are like, after the segment's own were worked out.
    pub(super) fn retrace_main(&mut self) {
        let all = self.segment();
        let Some(main) = &self.main else { return };
        let node = 1 << main.setup.node;
        for quality in main.faults_on().map(MainFaultKind::quality).chain([main.setup.quality()]) {
            self.network.worsen(all, node, quality);
            self.network.worsen(node, all, quality);
        }
        for [to_main, from_main] in main.faults_on().map(MainFaultKind::cuts) {
            self.network.cut(to_main, node);
            self.network.cut(node, from_main);
        }
    }

    /// A router and the main server's process get through to each other.
    fn is_main_there(&self, node: usize) -> bool {
        self.main_node().is_some_and(|main| self.machines[main].is_awake() && self.is_open(node, main))
    }

    /// Something gets from one to the other, and back.
    fn is_open(&self, node: usize, main: usize) -> bool {
        self.network.reaches(node) & (1 << main) != 0 && self.network.reaches(main) & (1 << node) != 0
    }
}

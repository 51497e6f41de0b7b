//! A main server in virtual time: one that speaks FAU3VOM-D only, as it
//! exists today, with the ways to it, clients of its own, and what befalls them.
//!
//! Routers meet it through `UpstreamInput` and `UpstreamOutput` alone, as they
//! meet a real one through their shell: `upline` is the shell's and the kernels'
//! part, `talk` the server's, `watch` the deputy's look at it. `rules` holds
//! what the server was told against what was said.

mod rules;
mod setup;
mod talk;
mod upline;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use fau3::router::{Input, ServerKind, UpConn, UpstreamInput};
use fau3::wire::{ClientId, Origin};
use fau3_election::Time;

use super::World;
use super::events::Event;
use crate::engine::{NodeSet, Random};
use rules::{RunTold, Store};
use talk::OwnClient;
use upline::{Down, End, Upline};
use watch::Watch;

pub(super) use rules::{BACK, PLAYED, PUSHED, PUSHED_IN_ORDER, PUSHED_ONCE, TWICE};
pub use setup::{Above, ServerFault, ServerFaultKind, ServerSetup};

/// After a silence, what was held back comes at most this much later, in microseconds.
const RESUME_US_MAX: u64 = 5_000_000;
/// The longest client id that it bears.
pub(super) const ID_MAX: usize = fau3::router::LEGACY_CLIENT_ID_MAX;

/// What happens to the server and the ways to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerEvent {
    /// The oldest thing on its way to the server has come.
    Up { line: u32 },
    /// The oldest thing on its way to the router has come.
    Down { line: u32 },
    /// The router's shell waits no longer, if it is still there.
    GiveUp { line: u32, end: End },
    /// A reset has come to the server, if it has not got lost.
    Reset { line: u32 },
    /// A router's shell has tried the way.
    Knocked { node: u8, boot: u32, is_open: bool },
    /// The server sends a Ping, or has waited too long for the answer.
    Ping { line: u32 },
    /// A Playlist is sent again, if it is not confirmed.
    Replay { line: u32, nth: u32 },
    /// An answer that comes late.
    LateConfirm { line: u32, number: u32 },
    /// A client of the server says something.
    Act { client: u8 },
    /// A fault begins or ends.
    Fault { index: u8 },
    /// A router's watch has made up its mind, if nothing has changed since.
    Judge { node: u8, boot: u32, turn: u32 },
    /// All sessions are to be back by now.
    Back { judged_at: Time },
}

/// The server, and all that is known of it.
#[derive(Debug)]
pub(super) struct Server {
    random: Random,
    setup: ServerSetup,
    is_up: bool,
    /// For each fault, whether it is on.
    on: Vec<bool>,
    /// When anything about it or the ways to it changed last.
    changed_at: Time,
    lines: Vec<Upline>,
    by_conn: BTreeMap<(usize, u32, UpConn), u32>,
    /// Whom it takes as connected.
    connected: BTreeMap<ClientId, u32>,
    /// Since when it may take an old connection as standing whose router does not.
    remains: BTreeMap<ClientId, Time>,
    own: Vec<OwnClient>,
    plays: u32,
    watches: Vec<Watch>,
    /// With which others each router was ever connected in its life, over however many hops.
    met: Vec<NodeSet>,
    /// Which records each router was told to be there.
    pushed_told: Vec<BTreeMap<Origin, Vec<RunTold>>>,
    /// What it was told, by number in the ledger.
    told: BTreeMap<usize, Vec<Store>>,
    /// The newest message of each device that it was told.
    newest: BTreeMap<usize, usize>,
    /// When a device first heard a piece of live audio.
    audio_heard: BTreeMap<(usize, u8, u32), Time>,
    streams: u32,
}

impl Server {
    pub(super) fn new(setup: &ServerSetup, random: Random, routers: usize) -> Box<Self> {
        Box::new(Self {
            random,
            setup: setup.clone(),
            is_up: true,
            on: vec![false; setup.faults.len()],
            changed_at: Time::ZERO,
            lines: Vec::new(),
            by_conn: BTreeMap::new(),
            connected: BTreeMap::new(),
            remains: BTreeMap::new(),
            own: Vec::new(),
            plays: 0,
            watches: vec![Watch::default(); routers],
            met: vec![0; routers],
            pushed_told: vec![BTreeMap::new(); routers],
            told: BTreeMap::new(),
            newest: BTreeMap::new(),
            audio_heard: BTreeMap::new(),
            streams: 0,
        })
    }

    fn delay(&mut self) -> Duration {
        let base = self.setup.delay_us;
        Duration::from_micros(self.random.between(base, base * 2))
    }

    fn faults_on(&self) -> impl Iterator<Item = ServerFaultKind> + '_ {
        self.setup.faults.iter().zip(&self.on).filter(|(_, on)| **on).map(|(fault, _)| fault.kind)
    }

    /// Nothing gets from this router to the server's process or back.
    fn is_blocked(&self, node: usize) -> bool {
        self.is_cut(node) || self.is_stuck()
    }

    fn is_cut(&self, node: usize) -> bool {
        self.faults_on().any(|kind| match kind {
            ServerFaultKind::Silent { .. } => true,
            ServerFaultKind::Cut { nodes } => nodes & (1 << node) != 0,
            _ => false,
        })
    }

    fn is_stuck(&self) -> bool {
        self.faults_on().any(|kind| kind == ServerFaultKind::Stuck)
    }

    /// Whether a router that looks finds it.
    fn is_reached(&self, node: usize) -> bool {
        self.is_up && !self.is_blocked(node)
    }
}

impl World {
    /// There is one wherever this is called.
    #[expect(clippy::expect_used, reason = "events and outputs of a server exist only with one")]
    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a server's event without a server")
    }

    fn server_later(&mut self, at: Time, event: ServerEvent) {
        self.queue.push(at, Event::Server(event));
    }

    /// Lines up the faults, and has the server's clients begin.
    pub(super) fn begin_server(&mut self) {
        let Some(server) = &self.server else { return };
        let changes: Vec<(u8, Time, Time)> = server
            .setup
            .faults
            .iter()
            .enumerate()
            .map(|(index, fault)| (index as u8, fault.from, fault.until))
            .collect();
        for (index, from, until) in changes {
            self.server_later(from, ServerEvent::Fault { index });
            self.server_later(until, ServerEvent::Fault { index });
        }
        self.begin_own_clients();
    }

    /// A router has started: its configuration names the server.
    pub(super) fn tell_of_server(&mut self, node: usize) {
        if let Some(server) = &mut self.server {
            server.watches[node] = Watch::default();
            server.met[node] = 0;
            server.pushed_told[node].clear();
            server.met.iter_mut().for_each(|met| *met &= !(1 << node));
            self.forget_forsaken(node);
            self.feed(node, Input::Upstream(UpstreamInput::Configure(Some(ServerKind::Legacy))));
            self.watch_if_deputy(node);
        }
    }

    pub(super) fn server_event(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Up { line } => self.up_came(line),
            ServerEvent::Down { line } => self.down_came(line),
            ServerEvent::GiveUp { line, end } => self.up_given_up(line, end),
            ServerEvent::Reset { line } => self.reset_came(line),
            ServerEvent::Knocked { node, boot, is_open } => self.knocked(node.into(), boot, is_open),
            ServerEvent::Ping { line } => self.server_pings(line),
            ServerEvent::Replay { line, nth } => self.server_plays_again(line, nth),
            ServerEvent::LateConfirm { line, number } => self.server_confirms(line, number as usize),
            ServerEvent::Act { client } => self.own_client_acts(client.into()),
            ServerEvent::Fault { index } => self.server_fault(index.into()),
            ServerEvent::Judge { node, boot, turn } => self.judged(node.into(), boot, turn),
            ServerEvent::Back { judged_at } => self.must_be_back(judged_at),
        }
    }

    fn server_fault(&mut self, index: usize) {
        let now = self.now;
        let server = self.server();
        let fault = server.setup.faults[index];
        let before: Vec<bool> = (0..server.watches.len()).map(|node| server.is_reached(node)).collect();
        let on = fault.from <= now && now < fault.until;
        if std::mem::replace(&mut server.on[index], on) == on {
            return;
        }
        server.changed_at = now;
        let has_ended = server.faults_on().any(|kind| kind == ServerFaultKind::Ends);
        server.is_up = !has_ended;
        self.note(None, || format!("{} {}", if on { "+++" } else { "---" }, fault.kind));
        self.tally.server_faults += u64::from(on);
        match fault.kind {
            ServerFaultKind::Ends if on => self.server_ends(true),
            ServerFaultKind::Silent { forgets: true } if !on => self.server_ends(false),
            _ => {}
        }
        if !on {
            let quiet =
                if fault.kind == ServerFaultKind::Stuck { Duration::ZERO } else { now.since(fault.from) };
            self.ways_changed(quiet);
        }
        for (node, was_reached) in before.into_iter().enumerate() {
            self.look_again(node, was_reached);
        }
    }

    /// All its connections are gone; its kernel says so, if it is there.
    fn server_ends(&mut self, is_told: bool) {
        let lines: Vec<u32> = self.server().connected.values().copied().collect();
        for line in lines {
            self.server_lets_go(line);
            if is_told {
                self.push_down(line, Down::Closed);
            }
        }
    }
}

//! The state machine. Each file beside this one holds one of its concerns:
//! `receive` what comes in, `timers` what is due, `flood` what is sent of
//! records, `lead` what follows from the map, `lists` the ExtraServers list,
//! `identity` its own id heard elsewhere, `peer` what is remembered of a router.
//!
//! They change the fields of [`Election`] and raise flags; [`Election::settle`],
//! at the end of each input, draws the consequences.

mod flood;
mod identity;
mod lead;
mod lists;
mod peer;
mod receive;
#[cfg(test)]
mod tests;
mod timers;

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use crate::api::{Counters, Input, Output, Role, View, Warning};
use crate::config::{Config, mutated};
use crate::epoch::{COUNTS, Epoch, NUMBER_MAX, NUMBERS};
use crate::id::{Incarnation, RouterId};
use crate::list::{ServerList, cut_name};
use crate::map::{Coordinator, Map};
use crate::record::{Datagram, Heartbeat, Record, Report};
use crate::state::SavedState;
use crate::time::Time;
use identity::Stranger;
use lead::Term;
use peer::{Peers, Spans};

/// Most outputs that wait to be polled; datagrams beyond it are dropped, as a
/// network may drop them. Enough for a summary of a full table and its answers.
const OUTPUTS_MAX: usize = 2_048;

/// Most warnings remembered as said.
const WARNINGS_MAX: usize = 64;

/// Rounds after which an input's consequences must have settled. What a
/// decision changes in the own record (term, report) changes no decision.
const SETTLE_ROUNDS: u32 = 4;

/// One router's part in the election. Two that are equal, and hash alike,
/// behave alike: what a model checker needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Election {
    config: Config,
    spans: Spans,
    me: RouterId,
    incarnation: Incarnation,
    /// Everything that records say, the own one included.
    map: Map,
    /// What is known of others beyond their records.
    peers: Peers,
    /// Sum over the component's records, as heartbeats carry it.
    digest: u64,
    /// Of the latest heartbeat sent.
    sequence: u32,
    /// Of the own record.
    revision: u32,
    list: ServerList,
    /// A neighbour holds a newer list.
    list_behind: bool,
    /// When the list was asked for last.
    list_asked: Time,
    /// Up to which number a list is believed: rises with each that is beyond.
    list_floor: u64,
    /// Until when a connection has shown that another router has this one's identity.
    clone_shown_until: Time,
    /// How often an earlier life was outbid lately, and when last.
    outbids: u8,
    outbid_at: Time,
    /// What this router itself found out about the main server.
    own_report: Option<bool>,
    /// What it takes over from the deputy before it while it has no word of its own.
    inherited: Report,
    /// When the inherited word ends; set once it is the deputy.
    inherited_until: Time,
    term: Term,
    stranger: Option<Stranger>,
    phase: Phase,
    /// The start of regular heartbeats, and the last one due.
    next_beacon: Time,
    /// Draws the phase of the beacons once.
    phase_shift: Duration,
    /// A change of the own record waits for its turn, until then.
    flood_at: Time,
    last_flood: Time,
    /// How many more beacons carry the record with them, in case one was lost.
    repeats: u8,
    /// Summaries that may still be sent in this interval.
    summaries_left: u8,
    /// No link, hold-down or memory ends before.
    deadline: Time,
    /// Nothing at all is due before: the least of all the above.
    wake: Time,
    /// The map changed: decide again.
    map_changed: bool,
    /// Something that the own record says changed: write it anew.
    own_changed: bool,
    /// Write it anew even if it says nothing new: others know of a higher revision.
    write_anew: bool,
    persisted: Persisted,
    view: View,
    counters: Counters,
    outputs: VecDeque<Output>,
    warned: BTreeSet<Warning>,
}

/// What a router is doing, apart from leading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// It only listens, until then.
    Listening(Time),
    /// It may lead.
    Running,
    /// It says goodbye so many times more.
    Leaving(u8),
    /// It sends nothing more.
    Stopped,
}

/// What was handed out to be written, and what is on flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Persisted {
    /// Of the latest output.
    ticket: u64,
    /// The latest that is on flash; 0 before the first.
    acknowledged: u64,
    /// There is more to write when the write under way has ended.
    again: bool,
}

impl Election {
    /// A router that starts at `now`. `seed` must be new at each start: the
    /// random half of the incarnation and the phase of the beacons come from
    /// it. `saved` is what the last [`Output::Persist`] said, or its default
    /// if that is lost.
    #[must_use]
    pub fn new(mut config: Config, identity: RouterId, saved: SavedState, seed: u64, now: Time) -> Self {
        cut_name(&mut config.name);
        // A heartbeat every 0 s would be no interval at all.
        config.beacon = config.beacon.max(Duration::from_millis(1));
        let random = mix(seed);
        let phase_shift = config.beacon * (mix(random) % 1_000) as u32 / 1_000;
        let listening = if mutated!(config, NoListening) { Duration::ZERO } else { config.detection() };
        let configured = ServerList::new(0, config.list.clone());
        // What the main server once said outranks the file, and the file
        // outranks what was kept of an older file.
        let keeps = saved.list.version().number > 0 || configured.entries().is_empty();
        let number = NUMBERS.of_saved(saved.list.version().number);
        let list = if keeps { saved.list.numbered(number) } else { configured };
        // A file is a word like any other: one that holds what nobody comes to by
        // counting must not stop this router in all its lives.
        let ceiling = NUMBERS.of_saved(saved.epoch_ceiling);
        let counter = COUNTS.of_saved(saved.counter.into()) as u32 + 1;
        let incarnation = Incarnation { counter, random };
        let view = View {
            role: Role::Waiting,
            coordinator: Coordinator::None,
            deputy: None,
            epoch: None,
            list: list.version(),
            members: 1,
            ready: false,
            held: false,
        };
        #[cfg_attr(not(feature = "mutants"), allow(unused_mut))]
        let mut map = Map::new();
        #[cfg(feature = "mutants")]
        {
            map.mutant = config.mutant;
        }
        let mut election = Self {
            spans: Spans::new(&config),
            me: identity,
            incarnation,
            map,
            peers: Peers::default(),
            digest: 0,
            sequence: 0,
            revision: 0,
            list,
            list_behind: false,
            list_asked: Time::ZERO,
            list_floor: 0,
            clone_shown_until: Time::ZERO,
            outbids: 0,
            outbid_at: Time::ZERO,
            own_report: None,
            inherited: Report::Unknown,
            inherited_until: Time::MAX,
            term: Term::new(if mutated!(config, EpochNotPersisted) { 0 } else { ceiling }),
            stranger: None,
            phase: Phase::Listening(now + listening),
            next_beacon: now,
            phase_shift,
            flood_at: Time::MAX,
            last_flood: Time::ZERO,
            repeats: 0,
            summaries_left: 0,
            deadline: Time::MAX,
            wake: now,
            map_changed: true,
            own_changed: true,
            write_anew: false,
            persisted: Persisted::default(),
            view,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            warned: BTreeSet::new(),
            config,
        };
        election.reserve_epochs();
        election
    }

    /// Takes an input. Bounded work, in the size of the map; a heartbeat that
    /// brings no news is constant work without allocation.
    #[inline]
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        // Nearly always: a heartbeat that says nothing new, while nothing is due.
        if let Input::Datagram(bytes) = input
            && now < self.wake
            && self.phase != Phase::Stopped
            && let Some(heartbeat) = Heartbeat::decode(bytes)
            && self.no_news(now, &heartbeat)
        {
            return;
        }
        self.handle_news(now, input);
    }

    #[inline(never)]
    fn handle_news(&mut self, now: Time, input: Input<'_>) {
        if self.phase == Phase::Stopped {
            return;
        }
        if now >= self.wake {
            self.timers(now);
            if matches!(input, Input::Timeout) && matches!(self.phase, Phase::Listening(_) | Phase::Running) {
                return; // The timers have settled it.
            }
        }
        match input {
            Input::Timeout => {}
            Input::Datagram(bytes) => match Heartbeat::decode(bytes) {
                Some(heartbeat) if self.no_news(now, &heartbeat) => return,
                Some(heartbeat) => self.heartbeat(now, heartbeat),
                None => self.datagram(now, bytes),
            },
            Input::Connected(router) => self.greet(router),
            Input::Closed(router) => self.closed(now, router),
            Input::DefaultServer(reachable) => self.default_server(Some(reachable)),
            Input::DefaultServerUnwatched => self.default_server(None),
            Input::ListConfigured(entries) => self.list_configured(entries),
            Input::Renamed(name) => self.renamed(name),
            Input::ListFetched(entries) => self.list_fetched(entries),
            Input::Persisted { ticket } => self.persisted(ticket),
            Input::Leave => self.leave(now),
        }
        self.settle(now);
    }

    /// What to do next; to be called until it returns `None` after each input.
    #[inline]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle` with [`Input::Timeout`] at the latest; `None`
    /// once this router has stopped.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<Time> {
        (self.phase != Phase::Stopped).then_some(self.wake)
    }

    /// Whether a write of this epoch may be accepted: no newer one is known, and
    /// its number is below 2^62. A refusal is counted and warned about.
    pub fn accepts(&mut self, epoch: Epoch) -> bool {
        if self.term.seen.is_some_and(|seen| epoch < seen) || epoch.number > NUMBER_MAX {
            self.counters.stale_epochs += 1;
            self.warn(Warning::StaleEpoch(epoch));
            return false;
        }
        self.see_epoch(Some(Epoch { number: self.believed_number(0, epoch.number), ..epoch }));
        true
    }

    /// Who leads, as this router sees it.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// All records known, this router's own included; the full topology.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// The ExtraServers list in use.
    #[must_use]
    pub fn list(&self) -> &ServerList {
        &self.list
    }

    /// This life of this router.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// This router.
    #[must_use]
    pub fn id(&self) -> RouterId {
        self.me
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The timers and what follows from them.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Draws the consequences of what an input changed.
    fn settle(&mut self, now: Time) {
        if matches!(self.phase, Phase::Leaving(_) | Phase::Stopped) {
            // It takes part in nothing any more.
            return self.rewind();
        }
        for _ in 0..SETTLE_ROUNDS {
            if self.own_changed {
                self.own_changed = false;
                self.write_record(now);
            }
            if !self.map_changed {
                break;
            }
            self.map_changed = false;
            self.decide(now);
        }
        self.flood_if_due(now);
        self.rewind();
    }

    /// Finds anew when something is due.
    fn rewind(&mut self) {
        let phase = match self.phase {
            Phase::Listening(until) => until,
            _ => Time::MAX,
        };
        let grace = if self.inherited == Report::Reachable { self.inherited_until } else { Time::MAX };
        self.wake = self.next_beacon.min(self.flood_at).min(self.deadline).min(phase).min(grace);
    }

    /// Whether this router may lead.
    fn is_ready(&self) -> bool {
        let silent_flash = self.persisted.acknowledged == 0 && !mutated!(self.config, EpochNotPersisted);
        self.phase == Phase::Running && !silent_flash
    }

    fn persisted(&mut self, ticket: u64) {
        // Only the write that is under way can have ended.
        if ticket != self.persisted.ticket || ticket == self.persisted.acknowledged {
            return;
        }
        self.persisted.acknowledged = ticket;
        self.term.usable = self.term.written;
        self.own_changed = true;
        self.map_changed = true;
        if core::mem::take(&mut self.persisted.again) {
            self.persist();
        }
    }

    /// Hands out the state to be written, one write at a time: an older one
    /// that ends late must not undo a newer one.
    fn persist(&mut self) {
        if self.persisted.ticket > self.persisted.acknowledged {
            self.persisted.again = true;
            return;
        }
        self.persisted.ticket += 1;
        self.term.written = self.term.reserved;
        let state = SavedState {
            counter: self.incarnation.counter,
            epoch_ceiling: self.term.reserved,
            list: self.list.clone(),
        };
        self.outputs.push_back(Output::Persist { ticket: self.persisted.ticket, state });
    }

    fn default_server(&mut self, reachable: Option<bool>) {
        if self.own_report != reachable {
            self.own_report = reachable;
            self.own_changed = true;
        }
    }

    fn warn(&mut self, warning: Warning) {
        if self.warned.len() < WARNINGS_MAX && self.warned.insert(warning) {
            self.outputs.push_back(Output::Warning(warning));
        }
    }

    fn broadcast(&mut self, datagram: Datagram) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(Output::Broadcast(datagram));
        }
    }

    fn send(&mut self, to: RouterId, datagram: Datagram) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(Output::Send(to, datagram));
        }
    }

    /// The own record, as others were told.
    fn own_record(&self) -> Option<&Record> {
        self.map.get(self.me)
    }
}

/// SplitMix64's finalizer: spreads a seed over 64 bits.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

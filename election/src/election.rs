//! The state machine.

use alloc::vec::Vec;

use crate::api::{Counters, Input, Output, Outputs, Role, View};
use crate::config::Config;
use crate::epoch::Epoch;
use crate::id::{Incarnation, RouterId};
use crate::list::ServerList;
use crate::map::{Coordinator, Map};
use crate::state::SavedState;
use crate::time::Time;

/// One router's part in the election.
#[derive(Debug, Clone)]
pub struct Election {
    config: Config,
    map: Map,
    list: ServerList,
    incarnation: Incarnation,
    counters: Counters,
    outputs: Outputs,
    view: View,
}

impl Election {
    /// A router that starts at `now`. `seed` must be new at each start: the
    /// random half of the incarnation and the phase of the beacons come from it.
    #[must_use]
    pub fn new(config: Config, identity: RouterId, saved: SavedState, seed: u64, now: Time) -> Self {
        let _ = (now, identity);
        let view = View {
            role: Role::Waiting,
            coordinator: Coordinator::None,
            deputy: None,
            epoch: None,
            list: saved.list.version(),
            members: 1,
            ready: false,
            held: false,
        };
        Self {
            config,
            map: Map::new(),
            list: saved.list,
            incarnation: Incarnation { counter: saved.counter.saturating_add(1), random: seed },
            counters: Counters::default(),
            outputs: Vec::new(),
            view,
        }
    }

    /// Takes an input. Bounded work, in the size of the map; a heartbeat that
    /// brings no news is constant work without allocation.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        let _ = (now, input);
    }

    /// What to do next; to be called until it returns `None` after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When to call `handle` with [`Input::Timeout`] at the latest; `None`
    /// once this router has stopped.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Whether a write of this epoch may be accepted: no newer one is known.
    /// A refusal is counted and warned about.
    pub fn accepts(&mut self, epoch: Epoch) -> bool {
        self.view.epoch.is_none_or(|known| known <= epoch)
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
}

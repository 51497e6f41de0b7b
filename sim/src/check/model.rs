use std::collections::VecDeque;

use fau3_election::{Config, Datagram, Election, Epoch, Input, Output, RouterId, SavedState, Time};
use stateright::{Model, Property};

const ROUTERS: usize = 3;
/// Directed links: bit `from * 2 + n` for the n-th other router.
const LINK_SETS: u8 = 1 << (ROUTERS * (ROUTERS - 1));
/// Crashes and sets of dropping links in one history.
const FAULTS: u8 = 2;
/// A dropping link does so for three intervals: one more than the detection time.
const DROP_ROUNDS: u8 = 3;
/// More datagrams in one round than any of these histories needs: a storm.
const DATAGRAMS_MAX: u32 = 2_000;

/// The model: three routers with shortened timers.
#[derive(Debug, Clone)]
pub struct Three {
    config: Config,
    /// Rounds in which something may go wrong.
    rounds: u64,
    /// Rounds after which all must be well again, from the timers.
    heal_rounds: u64,
}

/// What may happen at the beginning of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing.
    Pass,
    /// These links drop everything for three rounds.
    Drop(u8),
    /// A router is gone without a word.
    Crash(usize),
    /// It starts again, with or without its state file.
    Restart {
        /// Who.
        router: usize,
        /// With it.
        disk: bool,
    },
    /// All faults end, and time passes until everything must be well.
    Heal,
}

/// One state: the three routers, and what is left to go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    routers: [Option<Box<Election>>; ROUTERS],
    disks: [SavedState; ROUTERS],
    started: [u64; ROUTERS],
    /// Number of each router's latest term, while its state file lives.
    latest: [u64; ROUTERS],
    lives: u8,
    round: u64,
    dropping: u8,
    drop_rounds: u8,
    faults: u8,
    healed: bool,
    epochs: Vec<Epoch>,
    early: bool,
    twice: bool,
    backwards: bool,
    storm: bool,
}

fn id(router: usize) -> RouterId {
    RouterId([router as u8 + 1; 16])
}

fn drops(set: u8, from: usize, to: usize) -> bool {
    let nth = if to > from { to - 1 } else { to };
    set >> (from * (ROUTERS - 1) + nth) & 1 == 1
}

impl Three {
    /// The model with the rules (and the wrong variant, if any) of `config`
    /// and timers that make its histories short: a link is gone after two intervals.
    #[must_use]
    pub fn new(config: &Config, rounds: u8) -> Self {
        let config = Config { missed_weak: 1, missed_gone: 2, ..config.clone() };
        let well = config.converged_max(ROUTERS as u32 - 1);
        let heal_rounds = (well.as_micros() / config.beacon.as_micros()) as u64 + 2;
        Self { config, rounds: rounds.into(), heal_rounds }
    }

    fn start(&self, state: &mut State, router: usize) {
        let now = self.at(state.round);
        let seed = u64::from(state.lives) * ROUTERS as u64 + router as u64;
        let saved = state.disks[router].clone();
        let election = Election::new(self.config.clone(), id(router), saved, seed, now);
        state.routers[router] = Some(Box::new(election));
        state.started[router] = state.round;
        state.lives += 1;
    }

    fn at(&self, round: u64) -> Time {
        Time::ZERO + self.config.beacon * round as u32
    }

    /// Lets one interval pass: deadlines in their order, datagrams at once.
    fn pass(&self, state: &mut State) {
        let end = self.at(state.round + 1);
        let mut datagrams = 0;
        let mut mail = VecDeque::new();
        let mut now = self.at(state.round);
        for router in 0..ROUTERS {
            self.drain(state, router, now, &mut mail);
        }
        loop {
            while let Some((from, to, datagram)) = mail.pop_front() {
                datagrams += 1;
                self.hand_over(state, now, from, to, &datagram, &mut mail);
                if datagrams > DATAGRAMS_MAX {
                    state.storm = true;
                    return;
                }
            }
            let due = |router: usize| Some((state.routers[router].as_ref()?.poll_timeout()?, router));
            let Some((at, router)) = (0..ROUTERS).filter_map(due).min().filter(|(at, _)| *at < end) else {
                break;
            };
            now = now.max(at);
            if let Some(election) = &mut state.routers[router] {
                election.handle(now, Input::Timeout);
            }
            self.drain(state, router, now, &mut mail);
        }
        state.round += 1;
        state.drop_rounds = state.drop_rounds.saturating_sub(1);
        if state.drop_rounds == 0 {
            state.dropping = 0;
        }
    }

    fn hand_over(
        &self,
        state: &mut State,
        now: Time,
        from: usize,
        to: usize,
        datagram: &Datagram,
        mail: &mut VecDeque<(usize, usize, Datagram)>,
    ) {
        if drops(state.dropping, from, to) {
            return;
        }
        if let Some(election) = &mut state.routers[to] {
            election.handle(now, Input::Datagram(datagram.as_bytes()));
            self.drain(state, to, now, mail);
        }
    }

    fn drain(
        &self,
        state: &mut State,
        router: usize,
        now: Time,
        mail: &mut VecDeque<(usize, usize, Datagram)>,
    ) {
        while let Some(output) = state.routers[router].as_mut().and_then(|election| election.poll_output()) {
            match output {
                Output::Broadcast(datagram) => {
                    let others = (0..ROUTERS).filter(|other| *other != router);
                    mail.extend(others.map(|other| (router, other, datagram.clone())));
                }
                Output::Send(to, datagram) => {
                    mail.extend((0..ROUTERS).find(|other| id(*other) == to).map(|to| (router, to, datagram)));
                }
                Output::Persist { ticket, state: saved } => {
                    state.disks[router] = saved;
                    if let Some(election) = &mut state.routers[router] {
                        election.handle(now, Input::Persisted { ticket });
                    }
                }
                Output::View(view) if view.leads() => self.led(state, router, now, view.epoch),
                Output::View(_) | Output::Warning(_) => {}
            }
        }
    }

    /// A router leads: the rules that hold at every moment.
    fn led(&self, state: &mut State, router: usize, now: Time, epoch: Option<Epoch>) {
        let ready = self.at(state.started[router]) + self.config.detection();
        state.early |= now < ready;
        let Some(epoch) = epoch.filter(|epoch| epoch.router == id(router)) else {
            state.twice = true;
            return;
        };
        match state.epochs.binary_search(&epoch) {
            Ok(_) => {
                // The same term, said again with another view of the rest.
                let latest = state.epochs.iter().filter(|known| known.router == epoch.router).max();
                state.twice |= latest != Some(&epoch);
            }
            Err(place) => {
                state.backwards |= epoch.number <= state.latest[router];
                state.latest[router] = epoch.number;
                state.epochs.insert(place, epoch);
            }
        }
    }

    /// All that run agree, and one of them leads.
    fn well(state: &State) -> bool {
        let mut views = state.routers.iter().flatten().map(|election| election.view());
        let Some(first) = views.next() else { return true };
        let agree = views.all(|view| (view.deputy, view.coordinator) == (first.deputy, first.coordinator));
        agree && leaders(state) == 1
    }
}

fn leaders(state: &State) -> usize {
    state.routers.iter().flatten().filter(|election| election.view().leads()).count()
}

impl Model for Three {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            routers: [None, None, None],
            disks: std::array::from_fn(|_| SavedState::default()),
            started: [0; ROUTERS],
            latest: [0; ROUTERS],
            lives: 0,
            round: 0,
            dropping: 0,
            drop_rounds: 0,
            faults: 0,
            healed: false,
            epochs: Vec::new(),
            early: false,
            twice: false,
            backwards: false,
            storm: false,
        };
        (0..ROUTERS).for_each(|router| self.start(&mut state, router));
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // A history that broke a rule needs no end.
        if state.healed || state.early || state.twice || state.backwards || state.storm {
            return;
        }
        if state.round >= self.rounds {
            actions.push(Action::Heal);
            return;
        }
        actions.push(Action::Pass);
        for router in 0..ROUTERS {
            if state.routers[router].is_none() {
                actions.extend([true, false].map(|disk| Action::Restart { router, disk }));
            } else if state.faults < FAULTS {
                actions.push(Action::Crash(router));
            }
        }
        if state.faults < FAULTS {
            actions.extend((1..LINK_SETS).map(Action::Drop));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Pass => {}
            Action::Drop(links) => {
                state.dropping |= links;
                state.drop_rounds = DROP_ROUNDS;
                state.faults += 1;
            }
            Action::Crash(router) => {
                state.routers[router] = None;
                state.faults += 1;
            }
            Action::Restart { router, disk } => {
                if !disk {
                    state.disks[router] = SavedState::default();
                    state.latest[router] = 0;
                }
                self.start(&mut state, router);
            }
            Action::Heal => {
                state.dropping = 0;
                for _ in 0..self.heal_rounds {
                    self.pass(&mut state);
                }
                state.healed = true;
                return Some(state);
            }
        }
        self.pass(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no leading before one detection time", |_, state: &State| !state.early),
            Property::always("no epoch twice", |_, state: &State| !state.twice),
            Property::always("epochs go up", |_, state: &State| !state.backwards),
            Property::always("no storm", |_, state: &State| !state.storm),
            Property::always("well after the heal", |_, state: &State| !state.healed || Self::well(state)),
            Property::sometimes("two lead", |_, state: &State| leaders(state) == 2),
            Property::sometimes("three lead", |_, state: &State| leaders(state) == 3),
            Property::sometimes("nobody leads", |_, state: &State| state.round > 4 && leaders(state) == 0),
        ]
    }
}

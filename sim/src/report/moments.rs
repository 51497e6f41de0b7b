use std::time::Duration;

use fau3_election::{Config, Time};

use super::Spread;
use crate::engine::Random;
use crate::faults::{Fault, FaultKind};
use crate::timeline::What;
use crate::world::{List, Setup, World};

const ROUTERS: usize = 5;
/// Until then everyone has started and agrees.
const QUIET_S: u64 = 10;

/// From a router's silent death until another leads.
#[must_use]
pub fn dies(config: &Config, trials: u64) -> Spread {
    after(config, trials, |world, leader| world.power_off(leader, true))
}

/// From the end of a router's process, whose kernel closes its connections.
#[must_use]
pub fn closes(config: &Config, trials: u64) -> Spread {
    after(config, trials, |world, leader| world.power_off(leader, false))
}

/// From SIGTERM.
#[must_use]
pub fn leaves(config: &Config, trials: u64) -> Spread {
    after(config, trials, |world, leader| world.leave(leader))
}

fn setup(config: &Config, seed: u64) -> Setup {
    Setup { list: List::Names((0..ROUTERS).collect()), ..Setup::healthy(seed, ROUTERS, config) }
}

fn after(config: &Config, trials: u64, end: impl Fn(&mut World, usize)) -> Spread {
    let trial = |seed| {
        let mut world = World::new(setup(config, seed));
        let moment = Time::from_secs(QUIET_S) + Duration::from_micros(Random::new(seed).below(1_000_000));
        world.run_until(moment);
        let leader = world.nodes().iter().position(crate::world::Node::leads)?;
        world = world.with_timeline();
        end(&mut world, leader);
        world.run_until(moment + Duration::from_secs(QUIET_S));
        begins_to_lead(&world, |node| node != leader).map(|at| at.since(moment))
    };
    Spread::of(all(trials, trial))
}

/// A trial that comes to nothing counts as one that took for ever.
fn all(trials: u64, trial: impl Fn(u64) -> Option<Duration>) -> Vec<Duration> {
    (0..trials).map(|seed| trial(seed).unwrap_or(Duration::from_secs(QUIET_S))).collect()
}

/// When one of these routers first began to lead in the recorded time.
fn begins_to_lead(world: &World, who: impl Fn(usize) -> bool) -> Option<Time> {
    let leads = |what: &What| matches!(what, What::View(view) if view.leads());
    let first = |entry: &&crate::timeline::Entry| entry.node.is_some_and(&who) && leads(&entry.what);
    world.timeline().iter().find(first).map(|entry| entry.at)
}

/// From the heal of a partition into two parts, with a leader each, until no
/// more than one leads.
#[must_use]
pub fn heals(config: &Config, trials: u64) -> Spread {
    let trial = |seed| {
        let mut random = Random::new(seed);
        let part = 1 + random.below((1 << ROUTERS) - 2);
        let heal = Time::from_secs(3 * QUIET_S) + Duration::from_micros(random.below(1_000_000));
        let rest = !part & ((1 << ROUTERS) - 1);
        let cut = FaultKind::Cut { from: part, to: rest, both: true };
        let faults = vec![Fault { from: Time::from_secs(QUIET_S), until: heal, kind: cut }];
        let mut world = World::new(Setup { faults, ..setup(config, seed) });
        // Up to the moment before the heal, whose fault event lies at it.
        world.run_until(Time::from_micros(heal.as_micros() - 1));
        if count(&world) < 2 {
            return None;
        }
        let step = Duration::from_millis(1);
        let mut now = heal;
        let mut last = heal;
        while now < heal + Duration::from_secs(QUIET_S) {
            world.run_until(now);
            if count(&world) > 1 {
                last = now;
            }
            now += step;
        }
        Some(last.since(heal) + step)
    };
    Spread::of(all(trials / 4, trial))
}

fn count(world: &World) -> usize {
    world.nodes().iter().filter(|node| node.leads()).count()
}

/// From the start of the highest entry, which was not there, until it leads.
#[must_use]
pub fn hands_back(config: &Config, trials: u64) -> Spread {
    let trial = |seed| {
        let start = Time::from_secs(QUIET_S) + Duration::from_micros(Random::new(seed).below(1_000_000));
        let faults = vec![Fault { from: Time::ZERO, until: start, kind: FaultKind::Absent { node: 0 } }];
        let mut world = World::new(Setup { faults, ..setup(config, seed) }).with_timeline();
        world.run_until(start + Duration::from_secs(QUIET_S));
        begins_to_lead(&world, |node| node == 0).map(|at| at.since(start))
    };
    Spread::of(all(trials, trial))
}

use std::time::Duration;

use fau3_election::{Config, Time};

use crate::engine::Quality;
use crate::world::{List, Setup, World};

const ROUTERS: usize = 5;
/// Starting up is no take-over.
const SETTLED_S: u64 = 60;

/// How often in so many hours a router began to lead although the leader was
/// alive and in the same room, where every datagram is lost with this chance.
#[must_use]
pub fn take_overs_per_hour(config: &Config, loss_percent: u32, hours: u64) -> u64 {
    let base = Quality { loss_ppm: loss_percent * 10_000, ..Quality::HEALTHY };
    let one_hour = |hour: u64| {
        let healthy = Setup::healthy(hour, ROUTERS, config);
        let setup = Setup { base, list: List::Names((0..ROUTERS).collect()), ..healthy };
        let mut world = World::new(setup);
        world.run_until(Time::from_secs(SETTLED_S));
        let before = world.tally().take_overs;
        world.run_until(Time::from_secs(SETTLED_S) + Duration::from_secs(3_600));
        world.tally().take_overs - before
    };
    (0..hours).map(one_hour).sum()
}

//! Random faults, then quiet: what must hold afterwards whatever happened.
//! The simulator does far more of this; here it guards each build.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::net::{Net, entries};
use crate::{Input, Role, SavedState, Time};

/// Routers of a storm.
const ROUTERS: usize = 5;

fn shake(net: &mut Net, one: usize, other: usize, dice: u64) {
    match dice {
        0..=14 => net.kill(one),
        15..=22 => net.crash(one),
        23..=47 if net.nodes[one].election.is_none() => net.start(one),
        48..=70 => {
            let up = net.up[one][other];
            net.link(one, other, !up);
        }
        71..=78 => net.up[one][other] ^= true,
        79..=82 => net.loss = [0, 0, 10, 30][other % 4],
        83..=86 => net.nodes[one].stalled_until = net.now + Duration::from_millis(900 * other as u64),
        87..=90 => net.input(one, Input::ListFetched(&entries(["ABCDE", "EDC", "CA", "", "BD"][other]))),
        91..=94 => net.input(one, Input::DefaultServer(other < 3)),
        95..=96 => net.input(one, Input::Leave),
        97 => {
            net.kill(one);
            net.nodes[one].saved = SavedState::default();
        }
        _ => {}
    }
}

/// One storm; the routers that lead in the end, and those expected to.
fn storm(seed: u64) -> Net {
    let mut net = Net::running(ROUTERS, "CBAED");
    net.seed(seed);
    for _ in 0..120 {
        let (one, other, dice) = (net.draw() as usize % 5, net.draw() as usize % 5, net.draw() % 100);
        if one != other {
            shake(&mut net, one, other, dice);
        }
        let pause = net.draw() % 900;
        net.run(pause);
    }
    net.loss = 0;
    // In the end a room, a line, a star or a ring
    let room = (0..ROUTERS).flat_map(|one| (0..one).map(move |other| (one, other)));
    let links: Vec<(usize, usize)> = match seed % 4 {
        0 => room.collect(),
        1 => (1..ROUTERS).map(|one| (one - 1, one)).collect(),
        2 => (0..ROUTERS).filter(|one| *one != 3).map(|one| (3, one)).collect(),
        _ => (0..ROUTERS).map(|one| (one, (one + 1) % ROUTERS)).collect(),
    };
    net.topology(&links);
    for one in 0..ROUTERS {
        net.nodes[one].stalled_until = Time::ZERO;
        if net.nodes[one].election.is_none() || net.view(one).role == Role::Stopped {
            net.start(one);
        }
        net.input(one, Input::DefaultServer(false));
    }
    net
}

#[test]
fn after_any_storm_the_best_router_leads_and_all_agree() {
    let storms = if cfg!(debug_assertions) { 12 } else { 1_000 };
    for seed in 0..storms {
        let mut net = storm(seed);
        let config = &net.nodes[0].config;
        let bound = config.converged_max(ROUTERS as u32 - 1);
        // One leads and all agree, within the bound
        net.run(bound.as_millis() as u64);
        let all: Vec<usize> = (0..ROUTERS).collect();
        let leaders = net.leaders();
        assert_eq!(leaders.len(), 1, "seed {seed}");
        assert!(net.led_by(leaders[0], &all), "seed {seed}: {}", net.describe());
        let lists: BTreeSet<_> = all.iter().map(|index| net.view(*index).list).collect();
        assert_eq!(lists.len(), 1, "seed {seed}");
        // When hold-downs are over, it is the first of the list
        net.run(net.nodes[0].config.hold_max.as_millis() as u64);
        let list = net.election(0).list();
        let place = |index: &usize| {
            let node = &net.nodes[*index];
            (list.place(node.id, &node.config.name).unwrap_or(u8::MAX), *index)
        };
        let best = *all.iter().min_by_key(|index| place(index)).unwrap();
        assert!(net.led_by(best, &all), "seed {seed}");
        // Its epoch is the highest that anyone has seen, and nobody was called a clone
        let epoch = net.view(best).epoch.unwrap();
        for node in &mut net.nodes {
            assert!(node.election.as_mut().unwrap().accepts(epoch), "seed {seed}");
            assert!(!node.warnings.contains(&crate::Warning::ClonedIdentity), "seed {seed}");
            terms_only_rise(node.views.iter().filter_map(|(_, view)| view.epoch.filter(|_| view.leads())));
        }
    }
}

/// No router's own epochs ever repeat.
fn terms_only_rise(epochs: impl Iterator<Item = crate::Epoch>) {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for epoch in epochs.filter(|epoch| last.replace(*epoch) != Some(*epoch)) {
        assert!(seen.insert(epoch), "{epoch} twice");
    }
}

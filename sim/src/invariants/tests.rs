//! Each rule can be broken: given a mesh in which all is well, when one thing
//! about it is falsified, then the rule for it says so.

use std::collections::BTreeSet;

use fau3_election::{Config, Coordinator, Epoch, Role, Time};

use super::{Checker, Limits, always, settled};
use crate::world::{List, Node, Setup, World};

const ALL: u64 = 0b11111;

fn well() -> World {
    let config = Config::default();
    let list = List::Names(vec![3, 0, 1, 2, 4]);
    let mut world = World::new(Setup { list, checked: true, ..Setup::healthy(5, 5, &config) });
    world.run_until(Time::from_secs(20));
    world
}

fn broken_by(falsify: impl FnOnce(&mut [Node])) -> &'static str {
    let mut world = well();
    assert_eq!(settled::check(&world.nodes, ALL), Ok(()), "all is well to begin with");
    falsify(&mut world.nodes);
    settled::check(&world.nodes, ALL).unwrap_err().0
}

#[test]
fn two_leaders_or_none_break_one_leader_or_following() {
    assert_eq!(broken_by(|nodes| nodes[1].view.role = Role::Server), settled::ONE_LEADER);
    assert_eq!(broken_by(|nodes| nodes[3].view.role = Role::Follower), settled::FOLLOWING);
    let nobody = |nodes: &mut [Node]| {
        nodes.iter_mut().for_each(|node| node.view.coordinator = Coordinator::None);
    };
    assert_eq!(broken_by(nobody), settled::ONE_LEADER);
}

#[test]
fn members_that_differ_break_agreement() {
    let other = |nodes: &mut [Node]| nodes[2].view.deputy = Some(nodes[2].id);
    assert_eq!(broken_by(other), settled::AGREEMENT);
}

#[test]
fn all_following_a_lower_entry_breaks_highest_entry() {
    let lower = |nodes: &mut [Node]| {
        let id = nodes[0].id;
        for node in nodes {
            node.view.deputy = Some(id);
            node.view.coordinator = Coordinator::Router(id);
        }
    };
    assert_eq!(broken_by(lower), settled::HIGHEST);
}

#[test]
fn a_default_server_in_reach_that_does_not_lead_breaks_default_server() {
    assert_eq!(broken_by(|nodes| nodes[3].default_reached = true), settled::DEFAULT_SERVER);
}

#[test]
fn two_lists_break_one_list() {
    assert_eq!(broken_by(|nodes| nodes[4].view.list.number = 9), settled::ONE_LIST);
}

#[test]
fn a_member_with_another_epoch_breaks_fencing() {
    let mut world = well();
    let used = BTreeSet::new();
    assert_eq!(settled::fencing(&mut world.nodes, ALL, &used), Ok(0));
    world.nodes[0].view.epoch = None;
    assert_eq!(settled::fencing(&mut world.nodes, ALL, &used).unwrap_err().0, settled::FENCING);
}

#[test]
fn an_accepted_write_of_another_leader_breaks_fencing() {
    let mut world = well();
    // Given a member whose latest term has a number that nobody has heard of
    let life = world.nodes[1].election.as_ref().unwrap().incarnation();
    let unheard = Epoch { number: 1_000, router: world.nodes[1].id, incarnation: life };
    let found = settled::fencing(&mut world.nodes, ALL, &BTreeSet::from([unheard]));
    assert_eq!(found.unwrap_err().0, settled::FENCING);
}

#[test]
fn an_epoch_that_is_used_again_or_is_not_its_own_breaks_epoch_unique() {
    let world = well();
    let limits = Limits::of(&Config::default(), 5);
    let mut rules = always::Always::new(5);
    let before = Node::fresh_view(world.nodes[3].view.list);
    let mut leads = |nodes: &[Node]| rules.viewed(&limits, nodes, 3, &before, world.now());
    assert_eq!(leads(&world.nodes), Ok(()));
    assert_eq!(leads(&world.nodes).unwrap_err().0, always::EPOCH_UNIQUE);
    let mut stolen = well();
    stolen.nodes[3].view.epoch = None;
    assert_eq!(leads(&stolen.nodes).unwrap_err().0, always::EPOCH_UNIQUE);
}

#[test]
fn an_epoch_that_goes_back_breaks_epoch_order_unless_the_disk_was_lost() {
    let mut world = well();
    let limits = Limits::of(&Config::default(), 5);
    let mut rules = always::Always::new(5);
    let before = Node::fresh_view(world.nodes[3].view.list);
    let mut leads = |nodes: &[Node]| rules.viewed(&limits, nodes, 3, &before, Time::from_secs(20));
    let epoch = world.nodes[3].view.epoch.unwrap();
    world.nodes[3].view.epoch = Some(Epoch { number: 7, ..epoch });
    assert_eq!(leads(&world.nodes), Ok(()));
    world.nodes[3].view.epoch = Some(Epoch { number: 6, ..epoch });
    assert_eq!(leads(&world.nodes).unwrap_err().0, always::EPOCH_ORDER);
    world.nodes[3].disk_lives += 1;
    world.nodes[3].view.epoch = Some(Epoch { number: 5, ..epoch });
    assert_eq!(leads(&world.nodes), Ok(()));
}

#[test]
fn a_role_that_changes_without_cause_or_too_often_breaks_cause() {
    let world = well();
    let limits = Limits::of(&Config::default(), 5);
    // Given a change long after the last cause
    let mut rules = always::Always::new(5);
    let (cause, now) = (Time::from_secs(5), world.now());
    assert_eq!(rules.note_change(&limits, 1, cause, now), Ok(()));
    let touched = vec![cause; 6];
    let found = rules.look(&limits, &world.truth, &touched, now + limits.grace);
    assert_eq!(found.unwrap_err().0, always::CAUSE);
    // And given one change more than a cause may have
    let mut rules = always::Always::new(5);
    for _ in 0..limits.changes_max {
        assert_eq!(rules.note_change(&limits, 1, cause, now), Ok(()));
    }
    assert_eq!(rules.note_change(&limits, 1, cause, now).unwrap_err().0, always::CAUSE);
}

#[test]
fn a_mesh_that_still_changes_or_lacks_a_router_is_not_converged() {
    let world = well();
    let finish = |touch: Option<u64>, world: &World| {
        let mut checker = Checker::new(&world.setup);
        touch.into_iter().for_each(|nodes| checker.touched(nodes, world.now()));
        checker.finish(&world.nodes, &world.truth, world.now());
        checker.violation.map(|violation| violation.invariant)
    };
    assert_eq!(finish(None, &world), None);
    assert_eq!(finish(Some(1), &world), Some(super::CONVERGED));
    let mut short = well();
    short.power_off(2, true);
    assert_eq!(finish(None, &short), Some(super::CONVERGED));
}

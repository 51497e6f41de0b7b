//! FAU3_STORED among several routers (DESIGN.md, "Confirm").

use super::super::harness::{ms, secs};
use super::net::{GIVEN_UP_AFTER, LATENCY, MeshNet, R};
use crate::wire::fau3d::Status;

#[test]
fn stored_is_said_only_once_a_second_router_holds_the_record() {
    let mut net = MeshNet::new(3);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    let uuid = net.say(talker, "room", "word");
    net.run(LATENCY);
    assert!(net[talker].statuses(&uuid).is_empty(), "the other one has just heard of it");
    net.run(LATENCY);
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 0);
}

#[test]
fn a_router_alone_confirms_at_once_and_counts_it() {
    let mut net = MeshNet::new(1);
    let talker = net.listener("talker", R(0), "room");
    let uuid = net.say(talker, "room", "word");
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 1);
}

#[test]
fn a_router_that_does_not_answer_is_passed_over_after_250_ms() {
    let mut net = MeshNet::new(3);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    // Whichever of the two is asked first, one of these two does not answer.
    net.deaf.insert(R(1));
    let first = net.say(talker, "room", "one");
    net.run(ms(253));
    assert_eq!(net[talker].statuses(&first), [Status::STORED]);
    // From then on the quick one is asked first.
    let second = net.say(talker, "room", "two");
    net.run(ms(2));
    let third = net.say(talker, "room", "three");
    net.run(ms(300));
    assert_eq!([&second, &third].map(|uuid| net[talker].statuses(uuid)), [[Status::STORED]; 2]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 0);
}

#[test]
fn where_none_answers_it_is_confirmed_and_counted() {
    let mut net = MeshNet::new(3);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.deaf.extend([R(1), R(2)]);
    let uuid = net.say(talker, "room", "word");
    net.run(ms(499));
    assert!(net[talker].statuses(&uuid).is_empty());
    net.run(ms(2));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 1);
}

#[test]
fn a_resend_while_copies_are_awaited_is_confirmed_once_where_it_came_from() {
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    let uuid = net.say(talker, "room", "word");
    net.attach(talker, R(0));
    net.resend(talker);
    net.run(ms(10));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().records_stored, 1);
}

#[test]
fn a_router_that_dies_with_the_record_is_replaced_by_the_next() {
    let mut net = MeshNet::new(3);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.deaf.extend([R(1), R(2)]);
    let uuid = net.say(talker, "room", "word");
    net.deaf.clear();
    // Both die before they answer: nobody is left to ask, and after half a second
    // nobody has come back.
    net.kill(R(1));
    net.kill(R(2));
    net.run(ms(490));
    assert!(net[talker].statuses(&uuid).is_empty());
    net.run(ms(30));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 1);
}

#[test]
fn a_router_that_has_just_started_waits_for_a_neighbour_before_it_confirms_alone() {
    // Given: two routers, one of which has just started, its connection yet to come.
    let mut net = MeshNet::new(2);
    net.kill(R(1));
    net.run(secs(5));
    net.cut(R(0), R(1));
    net.start(R(1));
    let talker = net.listener("talker", R(1), "room");
    let uuid = net.say(talker, "room", "word");
    net.run(ms(300));
    assert!(net[talker].statuses(&uuid).is_empty());
    // When: it comes. Then: a second router holds the record.
    net.mend(R(0), R(1));
    net.run(ms(100));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(1)).stats().confirmed_single, 0);
    // Where none comes, it says so after a second.
    net.kill(R(1));
    net.kill(R(0));
    net.start(R(1));
    net.attach(talker, R(1));
    let uuid = net.say(talker, "room", "another");
    net.run(ms(990));
    assert!(net[talker].statuses(&uuid).is_empty());
    net.run(ms(20));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(1)).stats().confirmed_single, 1);
}

#[test]
fn a_router_that_has_just_lost_all_others_waits_half_a_second_for_one_to_come_back() {
    // Given two routers whose connection has just gone, as one finds it that stood still.
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(GIVEN_UP_AFTER);
    // When something is said, and the connection comes back: then a second router holds it.
    let uuid = net.say(talker, "room", "word");
    net.run(ms(300));
    assert!(net[talker].statuses(&uuid).is_empty());
    net.mend(R(0), R(1));
    net.run(ms(50));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 0);
    // Where it does not come back, the router says so half a second after the loss, and then at once.
    net.cut(R(0), R(1));
    net.run(GIVEN_UP_AFTER);
    let uuid = net.say(talker, "room", "another");
    net.run(ms(490));
    assert!(net[talker].statuses(&uuid).is_empty());
    net.run(ms(30));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    let uuid = net.say(talker, "room", "a third");
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 2);
}

#[test]
fn a_router_that_hears_another_one_again_waits_a_second_for_their_connection() {
    // Given two routers that were parted for long, and now hear each other's beacons again.
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    net.cut(R(0), R(1));
    net.run(GIVEN_UP_AFTER + secs(5));
    net.mend_beacons(R(0), R(1));
    net.run(ms(600));
    // When something is said before they are connected: then it is held by both when it is confirmed.
    let uuid = net.say(talker, "room", "word");
    net.run(ms(100));
    assert!(net[talker].statuses(&uuid).is_empty());
    net.mend(R(0), R(1));
    net.run(ms(50));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 0);
    // Where beacons pass and connections do not, no client waits for that for ever.
    net.cut(R(0), R(1));
    net.run(GIVEN_UP_AFTER + secs(5));
    net.mend_beacons(R(0), R(1));
    net.run(secs(3));
    let uuid = net.say(talker, "room", "another");
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
}

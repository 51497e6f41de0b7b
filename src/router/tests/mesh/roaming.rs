//! Sessions that roam (DESIGN.md, "Session").

use super::super::harness::{ms, secs};
use super::net::{D, MeshNet, R};
use crate::gateway::fau3d::close_code;
use crate::router::{CloseReason, Refusal};
use crate::wire::fau3d::{FromClient, Status};

fn heard(net: &MeshNet, device: D) -> Vec<&str> {
    net[device].heard.iter().map(String::as_str).collect()
}

#[test]
fn a_client_that_moves_without_closing_gets_what_it_missed_once() {
    // Given: a listener that has heard one message at its first router.
    let mut net = MeshNet::new(3);
    let listener = net.listener("listener", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.say(talker, "room", "one");
    net.run(secs(1));
    // When: its link breaks unnoticed, something is said, and it comes back
    // elsewhere without a word about its room.
    net[listener].conn = None;
    net.say(talker, "room", "two");
    net.run(secs(1));
    net.attach(listener, R(2));
    net.run(secs(1));
    // Then: it hears what it missed, and the old router lets go.
    assert_eq!(heard(&net, listener), ["one", "two"]);
    assert_eq!(net[listener].playlists().len(), 1, "the first one is not sent again");
    assert!(net.router(R(1)).snapshot(net.now).clients.is_empty());
}

#[test]
fn a_client_whose_router_died_is_known_elsewhere() {
    let mut net = MeshNet::new(3);
    let listener = net.listener("listener", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.say(talker, "room", "one");
    net.run(secs(1));
    net.kill(R(1));
    net.say(talker, "room", "two");
    net.run(secs(2));
    net.attach(listener, R(2));
    net.run(secs(1));
    assert_eq!(heard(&net, listener), ["one", "two"]);
    assert_eq!(net[listener].playlists().len(), 1);
}

#[test]
fn the_old_connection_is_closed_with_4001_when_the_client_appears_elsewhere() {
    let mut net = MeshNet::new(2);
    let old = net.listener("client", R(0), "room");
    net.run(secs(1));
    let _new = net.listener("client", R(1), "room");
    net.run(ms(10));
    assert_eq!(net[old].closed, Some(CloseReason::TakenOver));
    assert_eq!(close_code(CloseReason::TakenOver), 4001);
}

#[test]
fn two_routers_that_held_the_client_during_a_partition_settle_by_the_newest_attachment() {
    let mut net = MeshNet::new(2);
    let old = net.listener("client", R(1), "room");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(10));
    let new = net.listener("client", R(0), "room");
    net.run(secs(1));
    assert!(net[old].conn.is_some() && net[new].conn.is_some(), "both hold it");
    net.mend(R(0), R(1));
    net.run(secs(1));
    assert!(net[old].conn.is_none() && net[new].conn.is_some());
}

#[test]
fn what_was_said_on_both_sides_while_a_client_roamed_between_them_reaches_it_once() {
    let mut net = MeshNet::new(2);
    let roamer = net.listener("roamer", R(0), "room");
    let [left, right] = [0, 1].map(|at| net.listener(&format!("talker-{at}"), R(at), "room"));
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(10));
    net.say(left, "room", "left 1");
    net.say(right, "room", "right 1");
    net.run(secs(1));
    net.attach(roamer, R(1));
    net.subscribe(roamer, "room");
    net.run(secs(1));
    net.say(left, "room", "left 2");
    net.say(right, "room", "right 2");
    net.run(secs(1));
    net.mend(R(0), R(1));
    net.run(secs(3));
    assert_eq!(heard(&net, roamer), ["left 1", "right 1", "right 2", "left 2"]);
}

#[test]
fn a_move_to_another_room_is_known_everywhere() {
    let mut net = MeshNet::new(2);
    let roamer = net.listener("roamer", R(0), "first");
    let talker = net.listener("talker", R(1), "second");
    net.run(secs(1));
    net.subscribe(roamer, "second");
    net.run(secs(1));
    net.detach(roamer);
    net.say(talker, "first", "not for it");
    net.say(talker, "second", "for it");
    net.run(secs(1));
    net.attach(roamer, R(1));
    net.run(secs(1));
    assert_eq!(heard(&net, roamer), ["for it"]);
}

#[test]
fn a_session_ends_everywhere_after_its_grace() {
    let mut net = MeshNet::new(2);
    let roamer = net.listener("roamer", R(0), "room");
    net.run(secs(1));
    net.detach(roamer);
    net.run(secs(58));
    assert_eq!([0, 1].map(|at| net.router(R(at)).snapshot(net.now).detached), [1, 1]);
    net.run(secs(4));
    assert_eq!([0, 1].map(|at| net.router(R(at)).snapshot(net.now).detached), [0, 0]);
}

#[test]
fn monitor_lists_the_clients_of_the_whole_mesh() {
    let mut net = MeshNet::new(3);
    let watcher = net.listener("watcher", R(0), "room");
    net.listener("other", R(2), "another room");
    net.run(secs(1));
    let message = FromClient::Subscribe {
        message_uuid: net.uuid(),
        room: super::super::harness::room("room"),
        monitor_period_s: 1,
        ping_period_s: 0,
    };
    net.send(watcher, message);
    net.run(secs(3));
    let (_, clients) = net[watcher].monitors().pop().unwrap();
    let names: Vec<&str> = clients.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(names, ["other", "watcher"]);
}

#[test]
fn two_devices_that_take_an_id_from_each_other_across_routers_are_both_refused() {
    let mut net = MeshNet::new(2);
    let a = net.listener("same", R(0), "room");
    let b = net.listener("same", R(1), "room");
    net.run(ms(100));
    for _ in 0..4 {
        net.attach(a, R(0));
        net.run(ms(100));
        net.attach(b, R(1));
        net.run(ms(100));
    }
    assert!(net[a].refused.is_some() || net[b].refused.is_some());
}

#[test]
fn an_unconfirmed_message_can_be_brought_to_another_router() {
    let mut net = MeshNet::new(2);
    let listener = net.listener("listener", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    let uuid = net.say(talker, "room", "word");
    net.kill(R(0));
    net.run(secs(1));
    net.attach(talker, R(1));
    net.resend(talker);
    net.run(secs(1));
    assert_eq!(net[talker].statuses(&uuid), [Status::STORED]);
    assert_eq!(heard(&net, listener), ["word"]);
}

#[test]
fn a_client_of_a_router_that_is_not_on_the_map_yet_is_there_once_it_is() {
    // Given: a router that starts with a client, and whose beacons come late.
    let mut net = MeshNet::new(2);
    net.kill(R(1));
    net.run(secs(5));
    net.silent = true;
    net.start(R(1));
    net.listener("client", R(1), "room");
    net.run(secs(2));
    assert_eq!(net.elsewhere(R(0)), 0, "nobody has heard its router yet");
    // When they are heard. Then: its client is shown where it is.
    net.silent = false;
    net.run(secs(2));
    assert_eq!(net.elsewhere(R(0)), 1);
}

#[test]
fn a_newcomer_at_a_router_that_has_just_started_hears_nothing_older_than_its_coming() {
    // Given: a room with a past, and a router that knows nothing of it yet.
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    for nth in 0..5 {
        net.say(talker, "room", &format!("old {nth}"));
        net.run(secs(1));
    }
    net.kill(R(1));
    net.run(secs(3));
    net.start(R(1));
    // When: somebody comes there before it is connected.
    let newcomer = net.listener("newcomer", R(1), "room");
    net.run(secs(2));
    net.say(talker, "room", "new");
    net.run(secs(2));
    // Then: it hears what is said from then on, there and wherever it goes.
    assert_eq!(heard(&net, newcomer), ["new"]);
    net.attach(newcomer, R(0));
    net.run(secs(1));
    assert_eq!(heard(&net, newcomer), ["new"]);
}

#[test]
fn who_comes_back_to_a_router_that_has_just_started_stays_connected_and_gets_what_it_missed() {
    // Given: a listener, known at the other router alone, that misses two messages.
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    net.say(talker, "room", "before it came");
    net.run(secs(5));
    let listener = net.listener("listener", R(0), "room");
    net.say(talker, "room", "one");
    net.run(secs(1));
    net.kill(R(1));
    net.detach(listener);
    net.say(talker, "room", "two");
    net.say(talker, "room", "three");
    net.run(secs(1));
    // When: it comes back to one that has just started, and says where it wants to be.
    net.start(R(1));
    net.attach(listener, R(1));
    net.subscribe(listener, "room");
    net.run(secs(3));
    // Then: that is its newest attachment, although the router's clock was behind.
    assert!(net[listener].conn.is_some());
    assert_eq!(heard(&net, listener), ["one", "two", "three"]);
}

#[test]
fn what_was_said_by_a_router_that_only_others_knew_is_not_lost_with_a_restart() {
    // Given: a listener at a router that is killed, and a third router of which
    // nothing has been heard before it came.
    let mut net = MeshNet::new(3);
    let listener = net.listener("listener", R(1), "room");
    net.run(secs(1));
    net.kill(R(1));
    net.detach(listener);
    let talker = net.listener("talker", R(2), "room");
    net.say(talker, "room", "one");
    net.run(secs(1));
    net.say(talker, "room", "two");
    net.run(secs(1));
    // When: it comes back to that router's next life before that has heard anything.
    net.start(R(1));
    net.attach(listener, R(1));
    net.subscribe(listener, "room");
    net.run(secs(3));
    // Then: it gets all that was said meanwhile.
    assert_eq!(heard(&net, listener), ["one", "two"]);
}

#[test]
fn what_a_router_still_owes_from_an_earlier_stay_in_the_room_is_not_owed_any_more() {
    // Given: a listener whose router is cut off while it goes elsewhere, to another
    // room, and comes back to the first one after something was said there.
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    let listener = net.listener("listener", R(1), "room");
    net.run(secs(10));
    net.cut(R(0), R(1));
    net.attach(listener, R(0));
    net.subscribe(listener, "another room");
    net.run(secs(1));
    net.say(talker, "room", "while it was in another room");
    net.run(secs(10));
    net.subscribe(listener, "room");
    net.run(secs(1));
    net.say(talker, "room", "since it is back");
    net.run(secs(10));
    // When: it goes back to its first router, which knows only that stay, and the two
    // meet again.
    net.attach(listener, R(1));
    net.subscribe(listener, "room");
    net.run(secs(1));
    net.mend(R(0), R(1));
    net.run(secs(5));
    // Then: it does not hear what was said while it was not there.
    assert_eq!(heard(&net, listener), ["since it is back"]);
}

#[test]
fn one_device_that_roams_without_a_word_is_not_two() {
    let mut net = MeshNet::new(3);
    let roamer = net.listener("roamer", R(0), "room");
    for turn in 1..30 {
        net.run(secs(2));
        net.attach(roamer, R(turn % 3));
        net.subscribe(roamer, "room");
        assert_eq!(net[roamer].refused, None, "{turn}");
    }
}

#[test]
fn two_devices_at_two_routers_that_take_one_id_from_each_other_are_refused() {
    let mut net = MeshNet::new(2);
    let devices = [0, 1].map(|at| net.listener("id", R(at), "room"));
    let mut refused = 0;
    for turn in 0..10 {
        net.run(ms(500));
        net.attach(devices[turn % 2], R(turn % 2));
        net.run(ms(20));
        refused += u32::from(net[devices[turn % 2]].refused == Some(Refusal::Contested));
    }
    assert!(refused > 0, "they fight for ever");
}

//! Ping, Monitor, and the WebSocket ping that finds silent connections.

use super::device::Manner::{Answers, Desktop, Mute, Radio};
use super::harness::{Net, T, ms, room, secs};
use crate::router::{CloseReason, Settings};
use crate::wire::fau3d::Status;

#[test]
fn a_ping_is_sent_every_period_with_a_fresh_message_uuid() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.subscribe_with(a, "r", 0, 7);
    net.run(secs(7) - ms(1));
    assert_eq!(net[a].pings().len(), 0);
    net.run(secs(700) + ms(1));
    // That each is fresh is watched at every step of every test.
    assert_eq!((net[a].pings().len(), net[a].closed), (101, None));
}

#[test]
fn a_period_of_0_is_off_and_switches_off() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Desktop);
    net.subscribe(a, "r");
    net.run(secs(100));
    assert_eq!((net[a].pings().len(), net[a].monitors().len()), (0, 0));
    net.subscribe_with(a, "r", 2, 2);
    net.run(secs(4));
    net.subscribe(a, "r");
    net.run(secs(100));
    assert_eq!((net[a].pings().len(), net[a].monitors().len()), (2, 2));
}

#[test]
fn a_ping_unanswered_for_two_periods_ends_the_connection_and_the_session_stays() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Mute);
    net.subscribe_with(a, "r", 0, 4);
    net.run(secs(12) - ms(1));
    assert_eq!(net[a].closed, None);
    net.run(ms(1));
    assert_eq!(net[a].closed, Some(CloseReason::PingUnanswered));
    let sender = net.join("sender", Radio);
    net.say(sender, "r", "missed");
    net[a].manner = Desktop;
    net.run(secs(59));
    net.connect(a);
    assert_eq!(net[a].heard, ["missed"]);
}

#[test]
fn answering_one_ping_late_is_enough() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.subscribe_with(a, "r", 0, 4);
    net[a].latency = secs(3);
    net.run(secs(400));
    assert_eq!(net[a].closed, None, "6 s there and back are less than two periods");
}

#[test]
fn any_status_answers_a_ping() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Mute);
    net.subscribe_with(a, "r", 0, 5);
    for _ in 0..10 {
        net.run(secs(5));
        let ping = net[a].pings().last().copied();
        net.send(a, super::device::confirm(ping, Status::SERROR));
    }
    assert_eq!((net[a].pings().len(), net[a].closed), (10, None));
}

#[test]
fn a_ping_that_waits_in_the_socket_buffer_does_not_count_against_the_client() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.subscribe_with(a, "r", 0, 2);
    net.stop_reading(a);
    net.run(secs(20));
    assert_eq!(net[a].closed, None);
    net.read_again(a);
    assert_eq!(net[a].pings().len(), 1, "nor do others pile up behind it");
    net.run(secs(20));
    assert_eq!((net[a].pings().len(), net[a].closed), (11, None));
}

#[test]
fn a_monitor_lists_who_is_connected_with_room_and_seconds() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Desktop);
    net.subscribe_with(a, "r", 10, 0);
    net.run(secs(3));
    net.join("b", Radio);
    let gone = net.listener("gone", Radio, "r");
    net.drop_line(gone);
    net.run(secs(7));
    let (_, clients) = &net[a].monitors()[0];
    let list: Vec<_> = clients.iter().map(|c| (c.client_id.as_str(), c.room.clone(), c.alive_s)).collect();
    assert_eq!(list, [("a", Some(room("r")), 10), ("b", None, 7)]);
}

#[test]
fn a_monitor_is_resent_k_times_with_the_same_message_uuid() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.subscribe_with(a, "r", 100, 0);
    net.run(secs(199));
    let monitors = net[a].monitors();
    assert_eq!(monitors.len(), 4);
    assert!(monitors.iter().all(|monitor| *monitor == monitors[0]), "the same, list included");
    assert_eq!(net[a].closed, None, "radios do not answer a Monitor, and may");
}

#[test]
fn a_monitor_is_settled_by_ok_and_by_moned_and_a_negative_status_is_a_failed_try() {
    for (status, sent) in [(Status::OK, 1), (Status::MONED, 1), (Status::INVALID, 4)] {
        let mut net = Net::new(Settings::default());
        let a = net.join("a", Answers(status));
        net.subscribe_with(a, "r", 100, 0);
        net.run(secs(199));
        assert_eq!(net[a].monitors().len(), sent, "{status:?}");
    }
}

#[test]
fn a_monitor_is_never_resent_once_a_newer_one_has_been_sent() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.subscribe_with(a, "r", 6, 0);
    // Monitors at 6 and 12; T for the first is over at 11, and the answer to
    // the WebSocket ping before its resend comes at 15.
    net[a].latency = secs(2);
    net.run(secs(17));
    let monitors = net[a].monitors();
    assert_eq!(monitors.len(), 2);
    assert_ne!(monitors[0].0, monitors[1].0);
    assert_eq!(net.router.stats().resends, 0);
}

#[test]
fn a_monitor_is_not_resent_once_the_client_has_switched_it_off() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.subscribe_with(a, "r", 10, 0);
    net.run(secs(11));
    net.subscribe_with(a, "r", 0, 0);
    net.run(secs(60));
    assert_eq!(net[a].monitors().len(), 1);
}

#[test]
fn monitors_do_not_pile_up_behind_a_slow_link() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Desktop);
    net.subscribe_with(a, "r", 1, 0);
    net.stop_reading(a);
    net.run(secs(25));
    net.read_again(a);
    assert_eq!(net[a].monitors().len(), 1);
}

#[test]
fn asking_for_the_same_periods_again_does_not_put_them_off() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Desktop);
    for _ in 0..40 {
        net.subscribe_with(a, "r", 10, 10);
        net.run(secs(1));
    }
    assert_eq!((net[a].pings().len(), net[a].monitors().len()), (4, 4));
}

#[test]
fn a_websocket_ping_every_30_s_finds_a_connection_that_died_silently() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Radio, "r");
    let quiet = net.listener("quiet", Radio, "r");
    net[a].pongs = false;
    net.run(secs(60) - ms(1));
    assert_eq!(net[a].closed, None);
    net.run(ms(1));
    assert_eq!(net[a].closed, Some(CloseReason::Silent));
    net.run(secs(3_600));
    assert_eq!(net[quiet].closed, None, "one that answers stays");
    assert_eq!(net.router.stats().silent, 1);
}

#[test]
fn a_slow_link_on_which_something_moves_is_not_silent() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    // Every frame takes 14 s, so a WebSocket ping behind five of them takes
    // longer than its interval.
    net[a].leave = secs(14);
    net.run(secs(29));
    for number in 0..10 {
        net.say(sender, "r", &number.to_string());
    }
    net.run(secs(600));
    assert_eq!((net[a].closed, net[a].heard.len(), net[a].playlists().len()), (None, 10, 10));
}

#[test]
fn a_client_that_neither_reads_nor_speaks_is_let_go() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.join("a", Mute);
    net.subscribe_with(a, "r", 1, 1);
    net.stop_reading(a);
    net.say(sender, "r", "hello");
    net.run(secs(60) + T);
    assert_eq!(net[a].closed, Some(CloseReason::Silent));
}

#[test]
fn a_message_uuid_is_never_used_twice_not_even_in_the_routers_next_life() {
    // `watch` sees every Ping and Monitor of both lives.
    let mut net = Net::new(Settings { disk: true, ..Settings::default() });
    let clients = ["a", "b", "c"].map(|name| net.join(name, Desktop));
    let mut uuids = Vec::new();
    for _ in 0..2 {
        for id in clients {
            net.connect(id);
            net.subscribe_with(id, "r", 1, 1);
        }
        net.run(secs(20));
        for id in clients {
            uuids.extend(net[id].pings());
            uuids.extend(net[id].monitors().into_iter().map(|monitor| monitor.0));
        }
        net.restart();
    }
    assert_eq!(uuids.len(), 2 * 3 * (20 + 20));
    uuids.sort();
    uuids.dedup();
    assert_eq!(uuids.len(), 2 * 3 * (20 + 20));
}

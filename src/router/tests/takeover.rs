//! "Same id connects again", the session's grace, and ids that devices take
//! from each other.

use super::device::Manner::{Desktop, Mute, Radio};
use super::harness::{Net, ms, secs};
use crate::gateway::fau3d::{close_code, http_status, says};
use crate::router::settings::{CONTEST_PAUSE, CONTEST_WINDOW, CONTESTED_MAX, THROWN_OUT_MAX};
use crate::router::{CloseReason, Input, Refusal, Settings};
use crate::wire::fau3d::FromClient;

#[test]
fn the_new_connection_takes_over_and_the_old_one_is_closed_with_4001() {
    let mut net = Net::new(Settings::default());
    let old = net.listener("id", Desktop, "r");
    let new = net.join("id", Desktop);
    assert_eq!((net[old].closed, net[old].conn), (Some(CloseReason::TakenOver), None));
    assert_eq!(close_code(CloseReason::TakenOver), 4001);
    assert!(net[new].conn.is_some());
    assert_eq!(net.router.stats().takeovers, 1);
}

#[test]
fn a_takeover_keeps_the_room_and_the_intervals() {
    let mut net = Net::new(Settings::default());
    let old = net.join("id", Desktop);
    net.subscribe_with(old, "r", 3, 4);
    let new = net.join("id", Desktop);
    let sender = net.join("sender", Radio);
    net.say(sender, "r", "hello");
    net.run(secs(12));
    assert_eq!(net[new].heard, ["hello"], "without a Subscribe of its own");
    assert_eq!((net[new].monitors().len(), net[new].pings().len()), (4, 3));
}

#[test]
fn a_takeover_keeps_the_unconfirmed_playlists_in_order_with_their_message_uuids() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let old = net.listener("id", Mute, "r");
    for number in 0..8 {
        net.say(sender, "r", &number.to_string());
    }
    let (first, confirmed) = (net[old].playlists(), net[old].playlists()[1].0);
    net.send(old, super::device::confirm(Some(confirmed), crate::wire::fau3d::Status::STORED));
    let new = net.join("id", Desktop);
    let again: Vec<_> = net[new].playlists();
    let texts: Vec<_> = again.iter().map(|playlist| playlist.1.as_str()).collect();
    assert_eq!(texts, ["0", "2", "3", "4", "5", "6", "7"], "what was confirmed is not sent again");
    assert_eq!((again[0].0, again[1].0), (first[0].0, first[2].0));
}

#[test]
fn what_comes_from_a_connection_that_was_taken_over_changes_nothing() {
    let mut net = Net::new(Settings::default());
    let listener = net.listener("listener", Desktop, "r");
    let old = net.listener("id", Desktop, "r");
    let conn = net[old].conn.unwrap();
    let new = net.join("id", Desktop);
    let message = FromClient::Propogate {
        message_uuid: "late".into(),
        room: super::harness::room("r"),
        payload: b"late"[..].into(),
    };
    net.input(Input::Says { conn, what: says(Ok(message)) });
    net.input(Input::Left { conn, frame: 9 });
    net.input(Input::Pong { conn, probe: 1 });
    net.input(Input::Disconnected { conn });
    assert_eq!(net[listener].heard.len(), 0, "it is the sender's to send again");
    assert!(net[new].conn.is_some() && net[new].closed.is_none());
}

#[test]
fn a_takeover_finds_a_place_in_a_full_router() {
    let mut net = Net::new(Settings { max_clients: 2, ..Settings::default() });
    net.join("a", Desktop);
    net.join("b", Desktop);
    let again = net.join("a", Desktop);
    assert_eq!(net[again].refused, None);
}

#[test]
fn a_session_stays_for_its_grace_and_the_client_gets_what_it_missed() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say(sender, "r", "heard");
    net.drop_line(a);
    for number in 0..7 {
        net.say(sender, "r", &number.to_string());
    }
    net.run(secs(60) - ms(1));
    net.connect(a);
    assert_eq!(net[a].heard, ["heard", "0", "1", "2", "3", "4", "5", "6"]);
}

#[test]
fn after_the_grace_a_client_begins_anew() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.drop_line(a);
    net.say(sender, "r", "missed");
    net.run(secs(60));
    assert_eq!(net.router.stats().sessions_ended, 1);
    net.connect(a);
    net.say(sender, "r", "without a room");
    net.subscribe(a, "r");
    net.run(secs(60));
    assert_eq!(net[a].heard.len(), 0);
    net.say(sender, "r", "new");
    assert_eq!(net[a].heard, ["new"]);
}

#[test]
fn a_connected_session_has_no_end() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    for _ in 0..10 {
        net.drop_line(a);
        net.run(secs(50));
        net.connect(a);
        net.run(secs(500));
    }
    let alive = net.router.snapshot(net.now).clients[0].alive_s;
    assert_eq!((alive, net.router.stats().sessions_ended), (5_500, 0));
}

#[test]
fn two_devices_that_take_one_id_from_each_other_are_both_refused_for_a_while() {
    // Given two devices that come back at once whenever they are thrown out
    let mut net = Net::new(Settings::default());
    let [one, two] = ["id", "id"].map(|name| net.add(name, Desktop));
    let other = net.listener("other", Desktop, "r");
    net.connect(one);
    for device in [two, one, two] {
        net.run(secs(3));
        net.connect(device);
        assert_eq!(net[device].refused, None, "three times within 10 s are believed");
    }
    // when it happens a fourth time
    net.connect(one);
    // then neither is served, and both are told why
    assert_eq!(net[one].refused, Some(Refusal::Contested));
    assert_eq!(net[two].closed, Some(CloseReason::Contested));
    assert_eq!((http_status(Refusal::Contested), close_code(CloseReason::Contested)), (409, 4002));
    net.run(CONTEST_PAUSE - ms(1));
    net.connect(two);
    assert_eq!(net[two].refused, Some(Refusal::Contested));
    assert!(net[other].closed.is_none(), "nobody else is disturbed");
    // until the pause is over.
    net.run(ms(1));
    net.connect(two);
    assert_eq!(net[two].refused, None);
}

#[test]
fn one_device_whose_link_breaks_unnoticed_again_and_again_is_not_two() {
    // Given a device whose link breaks each 2 s, so that nobody is left at the old end
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    for turn in 1..=50 {
        net.run(secs(2));
        net.connect_over(a);
        net.subscribe(a, "r");
        assert_eq!((net[a].refused, net.router.stats().takeovers), (None, turn));
    }
    // also where it has just left a fight with another one.
    let other = net.add("a", Desktop);
    for device in [other, a, other] {
        net.run(secs(1));
        net.connect(device);
    }
    net.run(CONTEST_WINDOW);
    net.connect_over(other);
    assert_eq!(net[other].refused, None);
}

#[test]
fn what_was_taken_over_and_never_answers_is_bounded() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Desktop);
    for _ in 0..THROWN_OUT_MAX + 10 {
        net.connect_over(a);
    }
    assert_eq!(net.router.contests.len(), THROWN_OUT_MAX);
}

#[test]
fn takeovers_that_are_far_between_are_all_believed() {
    let mut net = Net::new(Settings::default());
    let [one, two] = ["id", "id"].map(|name| net.add(name, Desktop));
    net.connect(one);
    for turn in 0..40 {
        net.run(CONTEST_WINDOW / 3 + ms(1));
        let device = if turn % 2 == 0 { two } else { one };
        net.connect(device);
        assert_eq!(net[device].refused, None);
    }
}

#[test]
fn a_client_whose_line_breaks_often_is_not_contested() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    for _ in 0..50 {
        net.drop_line(a);
        net.run(ms(10));
        net.connect(a);
    }
    assert_eq!((net[a].refused, net.router.stats().takeovers), (None, 0));
}

#[test]
fn contested_ids_are_bounded_and_the_oldest_is_let_in_again() {
    let mut net = Net::new(Settings::default());
    for number in 0..=CONTESTED_MAX {
        let name = format!("id-{number}");
        let [one, two] = [&name, &name].map(|name| net.add(name, Desktop));
        for device in [one, two, one, two, one] {
            net.connect(device);
        }
        assert_eq!(net[one].refused, Some(Refusal::Contested));
        net.run(ms(1));
    }
    let [first, second] = ["id-0", "id-1"].map(|name| net.join(name, Desktop));
    assert_eq!((net[first].refused, net[second].refused), (None, Some(Refusal::Contested)));
}

//! Bounds and what is answered at each, settings that change, and the goodbye.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::device::Manner::{Desktop, Mute, Radio};
use super::harness::{Net, ms, room, secs};
use crate::gateway::fau3d::{close_code, http_status};
use crate::router::settings::DETACHED_SESSIONS_MAX;
use crate::router::{CloseReason, Refusal, Settings};
use crate::wire::fau3d::{FRAME_BYTES_MAX, Status, propogate};
use crate::wire::{BODY_BYTES_MAX, ClientId};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn beyond_max_clients_a_client_is_refused_with_http_503() {
    let mut net = Net::new(Settings { max_clients: 3, ..Settings::default() });
    let ids = ["a", "b", "c"].map(|name| net.join(name, Desktop));
    let late = net.join("late", Desktop);
    assert_eq!(net[late].refused, Some(Refusal::Full));
    assert_eq!(http_status(Refusal::Full), 503);
    assert!(ids.iter().all(|id| net[*id].closed.is_none()));
    // One leaves, though its session stays: there is a place.
    net.drop_line(ids[1]);
    net.connect(late);
    assert_eq!((net[late].refused, net.router.stats().refused), (None, 1));
}

#[test]
fn one_address_cannot_take_the_last_places() {
    let mut net = Net::new(Settings { max_clients: 64, ..Settings::default() });
    let flood: Vec<_> = (0..1_000).map(|number| net.add(&format!("flood-{number}"), Mute)).collect();
    for id in &flood {
        net.connect_from(*id, address("192.0.2.1"));
    }
    let inside = flood.iter().filter(|id| net[**id].refused.is_none()).count();
    assert_eq!((inside, net[flood[999]].refused), (56, Some(Refusal::AddressFull)));
    assert_eq!(http_status(Refusal::AddressFull), 503);
    // The same address, written in IPv6.
    net.connect_from(flood[999], address("::ffff:192.0.2.1"));
    assert_eq!(net[flood[999]].refused, Some(Refusal::AddressFull));
    // Others keep their service, and a place that is given back is free again.
    let other = net.join("other", Desktop);
    net.drop_line(flood[0]);
    net.connect_from(flood[999], address("192.0.2.1"));
    assert_eq!((net[other].refused, net[flood[999]].refused), (None, None));
}

#[test]
fn an_ipv6_network_of_64_bits_counts_as_one_address() {
    let mut net = Net::new(Settings { max_clients: 64, ..Settings::default() });
    for number in 0..56 {
        let id = net.add(&format!("flood-{number}"), Mute);
        net.connect_from(id, address(&format!("2001:db8:0:1::{number:x}")));
        assert_eq!(net[id].refused, None);
    }
    let [same, other] = ["same", "other"].map(|name| net.add(name, Desktop));
    net.connect_from(same, address("2001:db8:0:1:ffff::1"));
    net.connect_from(other, address("2001:db8:0:2::1"));
    assert_eq!((net[same].refused, net[other].refused), (Some(Refusal::AddressFull), None));
}

#[test]
fn a_small_router_does_not_share_its_places_out() {
    let mut net = Net::new(Settings { max_clients: 63, ..Settings::default() });
    for number in 0..63 {
        let id = net.add(&format!("a-{number}"), Mute);
        net.connect_from(id, address("192.0.2.1"));
        assert_eq!(net[id].refused, None);
    }
}

#[test]
fn only_those_on_the_allow_list_are_let_in() {
    let allow_clients = BTreeSet::from([ClientId::new("AA:BB:CC:DD:EE:FF").unwrap()]);
    let only = Settings { allow_clients, ..Settings::default() };
    let mut net = Net::new(Settings::default());
    let [listed, other] = ["AA:BB:CC:DD:EE:FF", "other"].map(|name| net.listener(name, Desktop, "r"));
    // The list comes with a new configuration: whoever it does not name goes.
    net.configure(only);
    assert_eq!((net[listed].closed, net[other].closed), (None, Some(CloseReason::NotAllowed)));
    net.connect(other);
    net.connect(listed);
    assert_eq!((net[listed].refused, net[other].refused), (None, Some(Refusal::NotAllowed)));
    assert_eq!((http_status(Refusal::NotAllowed), close_code(CloseReason::NotAllowed)), (403, 1008));
    net.configure(Settings::default());
    net.connect(other);
    assert_eq!(net[other].refused, None);
}

/// A radio writes its MAC address in its own capitals.
#[test]
fn mac_addresses_are_on_the_allow_list_whatever_their_capitals_and_other_ids_as_they_are() {
    let ids = ["AA:BB:CC:DD:EE:0F", "aa-bb-cc-dd-ee-10", "aabbccddeeff", "Desk"];
    let allow_clients = ids.map(|id| ClientId::new(id).unwrap()).into();
    let mut net = Net::new(Settings { allow_clients, ..Settings::default() });
    for (id, may) in [
        ("aa:bb:cc:dd:ee:0f", true),
        ("Aa:bB:cc:DD:ee:0F", true),
        ("AA-BB-CC-DD-EE-10", true),
        ("AABBCCDDEEFF", true),
        ("Desk", true),
        ("desk", false),
        ("aa:bb:cc:dd:ee:10", false),
        ("aa:bb:cc:dd:ee:0f:00", false),
        ("aa:bb:cc:dd:ee-0f", false),
    ] {
        let device = net.add(id, Mute);
        net.connect(device);
        assert_eq!(net[device].refused, (!may).then_some(Refusal::NotAllowed), "{id}");
    }
}

#[test]
fn a_new_configuration_drops_no_client_and_takes_effect() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    for number in 0..20 {
        net.say(sender, "r", &number.to_string());
    }
    let storage_bytes_max = 5 * 400;
    let settings = Settings {
        storage_bytes_max,
        max_clients: 2,
        session_grace: secs(5),
        disk: true,
        ..Settings::default()
    };
    net.configure(settings);
    assert_eq!((net[a].closed, net[sender].closed), (None, None));
    assert_eq!(net.router.snapshot(net.now).records, 5);
    assert_eq!(net.router.stats().records_expired, 15);
    let late = net.join("late", Desktop);
    assert_eq!(net[late].refused, Some(Refusal::Full));
    // Where records are kept is decided at the start.
    let uuid = net.say(sender, "r", "in ram");
    assert_eq!(net[sender].statuses(&uuid), [Status::STORED]);
    net.drop_line(a);
    net.run(secs(5));
    assert_eq!(net.router.stats().sessions_ended, 1);
}

#[test]
fn detached_sessions_are_bounded_and_the_one_that_waited_longest_ends() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let waiting: Vec<_> =
        (0..=DETACHED_SESSIONS_MAX).map(|number| net.add(&format!("c-{number}"), Desktop)).collect();
    for id in &waiting {
        net.connect(*id);
        net.subscribe(*id, "r");
        net.run(ms(1));
        net.drop_line(*id);
    }
    assert_eq!(net.router.stats().sessions_ended, 1);
    net.say(sender, "r", "hello");
    for id in [waiting[0], waiting[1], waiting[DETACHED_SESSIONS_MAX]] {
        net.connect(id);
    }
    assert_eq!(net[waiting[0]].heard.len(), 0, "its session has ended");
    assert_eq!(net[waiting[1]].heard, ["hello"]);
    assert_eq!(net[waiting[DETACHED_SESSIONS_MAX]].heard, ["hello"]);
}

#[test]
fn records_are_bounded_by_bytes_the_oldest_go_first_and_are_counted() {
    let mut net = Net::new(Settings { storage_bytes_max: 100 * 1_024, ..Settings::default() });
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.drop_line(a);
    let payload = |number: u32| format!("{number:04} {}", "x".repeat(9_500));
    for number in 0..1_000 {
        let uuid = net.say(sender, "r", &payload(number));
        assert_eq!(net[sender].statuses(&uuid), [Status::STORED]);
        assert!(net.router.snapshot(net.now).record_bytes <= 100 * 1_024);
    }
    let held = net.router.snapshot(net.now).records;
    assert_eq!((held, net.router.stats().records_expired), (10, 990));
    net.connect(a);
    assert_eq!(net[a].heard, (990..1_000).map(payload).collect::<Vec<_>>());
}

#[test]
fn records_are_bounded_by_age_and_counted() {
    let mut net =
        Net::new(Settings { storage_age_max: secs(50), session_grace: secs(500), ..Settings::default() });
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.drop_line(a);
    net.say(sender, "r", "old");
    net.run(secs(1));
    net.say(sender, "r", "newer");
    net.run(secs(49) - ms(1));
    assert_eq!(net.router.snapshot(net.now).records, 2);
    net.run(ms(1));
    assert_eq!((net.router.snapshot(net.now).records, net.router.stats().records_expired), (1, 1));
    net.connect(a);
    assert_eq!(net[a].heard, ["newer"]);
    net.run(secs(50));
    assert_eq!(net.router.snapshot(net.now).record_bytes, 0);
}

#[test]
fn a_record_larger_than_the_storage_is_answered_with_serror_and_disturbs_nothing() {
    let mut net = Net::new(Settings { storage_bytes_max: 10_000, ..Settings::default() });
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say(sender, "r", "small");
    let uuid = net.say(sender, "r", &"x".repeat(10_000));
    assert_eq!(net[sender].statuses(&uuid), [Status::SERROR]);
    assert_eq!((net[sender].closed, net.router.snapshot(net.now).records), (None, 1));
    assert_eq!((net[a].heard.len(), net.router.stats().records_refused), (1, 1));
}

#[test]
fn a_message_that_would_not_fit_a_frame_is_invalid_and_the_log_is_told_once() {
    // Given a sender whose name takes as many bytes as a name can,
    let mut net = Net::new(Settings::default());
    let sender = net.join(&"\"".repeat(64), Radio);
    let a = net.listener("a", Desktop, "r");
    let conn = net[sender].conn.unwrap();
    let frame = |uuid: &str, bytes: usize| {
        let mut frame = Vec::new();
        propogate(&mut frame, uuid, &room("r"), &vec![b'x'; bytes]);
        assert!(frame.len() <= FRAME_BYTES_MAX, "the gateway lets it in");
        frame
    };
    // when it sends what fits, and twice what does not,
    net.frame(sender, &frame("fits", BODY_BYTES_MAX));
    net.frame(sender, &frame("1", BODY_BYTES_MAX + 1));
    net.frame(sender, &frame("2", BODY_BYTES_MAX + 3));
    // then that is refused, nothing of it stored or heard, and said once.
    assert_eq!(net[sender].statuses("fits"), [Status::STORED]);
    assert_eq!(net[sender].statuses("1"), [Status::INVALID]);
    assert_eq!(net[sender].statuses("2"), [Status::INVALID]);
    assert_eq!((net[a].heard.len(), net.router.snapshot(net.now).records), (1, 1));
    assert_eq!((net.router.stats().invalid, net[sender].closed), (2, None));
    assert!(
        matches!(net.told[..], [(told, reason)] if told == conn && reason.contains("785,664 bytes")),
        "{:?}",
        net.told
    );
    // A new connection may say it again.
    let conn = net.connect(sender);
    net.frame(sender, b"not JSON");
    assert_eq!(net.told.last().map(|(told, _)| *told), Some(conn));
}

#[test]
fn a_router_that_goes_down_says_goodbye_and_refuses_with_503() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    let b = net.join("b", Radio);
    net.input(crate::router::Input::Shutdown);
    assert_eq!([net[a].closed, net[b].closed], [Some(CloseReason::ShuttingDown); 2]);
    let late = net.join("late", Desktop);
    assert_eq!(net[late].refused, Some(Refusal::ShuttingDown));
    assert_eq!((close_code(CloseReason::ShuttingDown), http_status(Refusal::ShuttingDown)), (1001, 503));
}

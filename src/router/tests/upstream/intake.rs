//! What clients of the server say reaches those here.

use super::super::harness::{ms, secs};
use super::super::mesh::net::{D, MeshNet, R};
use crate::router::{FromServer, Told, UpConn, UpstreamInput};
use crate::wire::ClientId;

fn heard(net: &MeshNet, device: D) -> Vec<&str> {
    net[device].heard.iter().map(String::as_str).collect()
}

fn audio(net: &MeshNet, device: D) -> usize {
    net[device].inbox.iter().filter(|frame| matches!(frame, Told::Live(_))).count()
}

#[test]
fn a_message_of_the_server_reaches_each_client_once_however_many_copies_come() {
    let mut net = MeshNet::new(2).with_server();
    let here = [("a", 0), ("b", 0), ("c", 1)].map(|(name, at)| net.listener(name, R(at), "r"));
    let elsewhere = net.listener("d", R(1), "other");
    net.run(secs(1));
    net.say_there("main-1", "r", "one");
    net.say_there("main-1", "r", "two");
    net.run(secs(10));
    for device in here {
        assert_eq!(heard(&net, device), ["one", "two"], "{device:?}");
    }
    assert!(heard(&net, elsewhere).is_empty(), "another room");
    assert_eq!(net.unconfirmed_there(), 0);
    let records: usize = net.router(R(0)).snapshot(net.now).rooms.iter().map(|room| room.records).sum();
    assert_eq!(records, 2, "each is one record, though both routers have taken it in");
}

#[test]
fn the_same_words_said_twice_are_heard_twice() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    net.say_there("main-1", "r", "mayday");
    net.run(secs(3));
    net.say_there("main-1", "r", "mayday");
    net.run(secs(3));
    assert_eq!(heard(&net, a), ["mayday"; 2]);
    assert_eq!(heard(&net, b), ["mayday"; 2]);
}

#[test]
fn what_a_client_of_the_mesh_says_is_heard_once_although_the_server_repeats_it_to_all() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b, c) =
        (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"), net.listener("c", R(0), "r"));
    net.run(secs(1));
    for text in ["one", "one", "two"] {
        net.say(a, "r", text);
        net.run(ms(50));
    }
    net.run(secs(10));
    assert_eq!(heard(&net, b), ["one", "one", "two"]);
    assert_eq!(heard(&net, c), ["one", "one", "two"]);
    assert!(heard(&net, a).is_empty(), "no echo");
}

#[test]
fn halves_of_a_mesh_that_both_reach_the_server_hear_each_other_once_also_after_the_heal() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(10));
    net.say(a, "r", "over the server");
    net.run(secs(5));
    assert_eq!(heard(&net, b), ["over the server"], "although no router is in reach");
    net.mend(R(0), R(1));
    net.run(secs(10));
    assert_eq!(heard(&net, b), ["over the server"]);
    // The next one, and a client that comes to the other router.
    net.say(a, "r", "next");
    net.run(secs(1));
    assert_eq!(heard(&net, b), ["over the server", "next"]);
    net.attach(b, R(0));
    net.subscribe(b, "r");
    net.run(secs(10));
    assert_eq!(heard(&net, b), ["over the server", "next"]);
    assert_eq!(net.server.crashed, None);
}

#[test]
fn who_goes_over_to_the_other_half_of_a_mesh_finds_that_it_has_heard_what_that_has_from_the_server() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(0), "r"));
    net.listener("c", R(1), "r");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(5));
    // Given: one half has a message from its sender, the other one from the server.
    net.say(a, "r", "hello");
    net.run(secs(4));
    let named = |frame: &Told| match frame {
        Told::Item { item: message_uuid, .. } => Some(*message_uuid),
        _ => None,
    };
    let before: Vec<_> = net[b].inbox.iter().filter_map(named).collect();
    // When: a client that has heard it goes over.
    net.attach(b, R(1));
    net.subscribe(b, "r");
    net.run(secs(3));
    // Then: neither half can know, but the message has one name, by which the client knows it.
    let after: Vec<_> = net[b].inbox.iter().filter_map(named).collect();
    assert_eq!((before.len(), &before), (1, &after));
    assert_eq!(heard(&net, b), ["hello"]);
}

#[test]
fn a_playlist_that_the_server_sends_again_is_confirmed_and_not_heard_again() {
    use crate::router::{FromServer, UpConn, UpstreamInput};
    use crate::wire::ClientId;
    let mut net = MeshNet::new(1).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    let records = || vec![(ClientId::new("main-1").unwrap(), b"hello"[..].into())];
    for _ in 0..2 {
        let message = FromServer::Playlist { message_uuid: "u".into(), records: records() };
        net.upstream(R(0), UpstreamInput::Says { conn: UpConn(1), message });
        net.run(secs(2));
    }
    assert_eq!(heard(&net, a), ["hello"]);
    // Another message by the same MessageUuid, as the server makes them.
    let records = vec![(ClientId::new("main-2").unwrap(), b"other"[..].into())];
    let message = FromServer::Playlist { message_uuid: "u".into(), records };
    net.upstream(R(0), UpstreamInput::Says { conn: UpConn(1), message });
    net.run(secs(1));
    assert_eq!(heard(&net, a), ["hello", "other"]);
}

#[test]
fn a_client_that_is_away_for_a_moment_misses_nothing_of_the_server() {
    let mut net = MeshNet::new(1).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.detach(a);
    net.run(secs(2));
    net.say_there("main-1", "r", "hello");
    net.run(secs(3));
    net.attach(a, R(0));
    net.subscribe(a, "r");
    net.run(secs(1));
    assert_eq!(heard(&net, a), ["hello"]);
}

#[test]
fn live_audio_passes_both_ways_once() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    for nth in 0..10 {
        net.stream_there("r", format!("F3SBthere{nth}F3FN").as_bytes());
        net.stream(a, format!("F3SBhere{}F3FN", nth / 2).as_bytes());
        net.run(ms(20));
    }
    net.run(secs(3));
    assert_eq!((audio(&net, a), audio(&net, b)), (10, 20), "b hears both, a not itself");
    assert_eq!(net.server.audio.len(), 10);
}

#[test]
fn live_audio_is_heard_once_where_the_server_tells_of_it_just_after_the_connection_stands() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    // Given: the way of what a says to the server is slow.
    net.server.cut.insert(R(0));
    let b = net.listener("b", R(1), "r");
    while audio(&net, b) == 0 {
        net.stream(a, b"F3SBoneF3FN");
        net.run(ms(1));
    }
    assert!(!net.connected_there().contains(&"b".to_owned()), "it is still being opened");
    net.run(secs(1));
    assert!(net.connected_there().contains(&"b".to_owned()));
    let before = audio(&net, b);
    (0..before).for_each(|_| net.stream_there("r", b"F3SBoneF3FN"));
    net.run(secs(1));
    assert_eq!(audio(&net, b), before);
}

#[test]
fn a_monitor_lists_the_clients_of_the_mesh_and_those_of_the_server() {
    use crate::wire::fau3d::FromClient;
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.listener("b", R(1), "r");
    let room = super::super::harness::room("r");
    let subscribe =
        FromClient::Subscribe { message_uuid: "s".into(), room, monitor_period_s: 2, ping_period_s: 0 };
    net.send(a, subscribe);
    net.run(secs(1));
    net.server_monitors(&["main-1"]);
    net.run(secs(3));
    let mut lists = net[a].inbox.iter().filter_map(|frame| match frame {
        Told::Present { clients, .. } => Some(clients.clone()),
        _ => None,
    });
    let last = lists.next_back().unwrap();
    let ids: Vec<&str> = last.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "main-1"]);
}

#[test]
fn a_record_and_its_copy_from_the_server_pair_also_while_the_first_is_on_its_way_to_the_disk() {
    let settings = crate::router::Settings { disk: true, ..Default::default() };
    let mut net = MeshNet::with(3, settings).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    let c = net.listener("c", R(2), "r");
    net.run(secs(1));
    // Given: c's router reaches neither the server nor the others, which do not reach each other.
    net.server.cut.insert(R(2));
    [(0, 1), (0, 2), (1, 2)].iter().for_each(|(one, other)| net.cut(R(*one), R(*other)));
    net.run(secs(10));
    net.say(a, "r", "hello");
    net.run(secs(5));
    assert_eq!(heard(&net, b), ["hello"]);
    // When: it gets both records at once.
    [(0, 2), (1, 2)].iter().for_each(|(one, other)| net.mend(R(*one), R(*other)));
    net.run(secs(10));
    assert_eq!(heard(&net, c), ["hello"]);
}

#[test]
fn what_the_server_has_told_of_is_not_new_when_its_sender_brings_it() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    // Given: the server has it from a, and b's router from the server; a knows of no Confirm.
    net.cut(R(0), R(1));
    net.run(secs(10));
    net.say(a, "r", "hello");
    let unconfirmed = net[a].unconfirmed.clone();
    net.run(secs(5));
    assert_eq!(heard(&net, b), ["hello"]);
    // When: a goes there and says it again.
    net.detach(a);
    net.run(secs(20));
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net[a].unconfirmed = unconfirmed;
    net.resend(a);
    net.run(secs(20));
    assert!(net[a].unconfirmed.is_empty(), "confirmed");
    assert_eq!(heard(&net, b), ["hello"]);
    assert_eq!(net.server.told.len(), 1, "nor does the server get it again");
}

#[test]
fn what_was_said_in_the_room_that_a_client_leaves_is_not_heard_in_the_next_one() {
    let mut net = MeshNet::new(1).with_server();
    let (a, b) = (net.listener("a", R(0), "old"), net.listener("b", R(0), "new"));
    net.run(secs(1));
    // Given: the server says something to the old room before it hears of the new one.
    net.subscribe(a, "new");
    net.say_there("main-1", "old", "hello");
    net.run(secs(5));
    assert!(heard(&net, b).is_empty());
}

#[test]
fn audio_of_the_room_that_a_client_leaves_is_not_heard_in_the_next_one() {
    let mut net = MeshNet::new(1).with_server();
    let b = net.listener("b", R(0), "old");
    net.run(secs(1));
    let before = net[b].streams().len();
    // Given: the server speaks to the old room before it hears of the new one.
    net.subscribe(b, "new");
    net.stream_there("old", b"F3SBoldF3FN");
    net.run(secs(1));
    assert_eq!(net[b].streams().len(), before);
    net.stream_there("new", b"F3SBnewF3FN");
    net.run(secs(1));
    assert_eq!(net[b].streams().len(), before + 1);
}

#[test]
fn what_the_server_says_before_the_client_is_in_a_room_is_taken_in_when_it_says_it_again() {
    let mut net = MeshNet::new(1).with_server();
    let a = net.device("a");
    net.attach(a, R(0));
    net.run(ms(100));
    assert_eq!(net.connected_there(), ["a"]);
    let records = || vec![(ClientId::new("main-1").unwrap(), b"hi"[..].into())];
    let says = || FromServer::Playlist { message_uuid: "m".into(), records: records() };
    let conn = UpConn(1);
    net.upstream(R(0), UpstreamInput::Says { conn, message: says() });
    net.run(secs(1));
    net.subscribe(a, "r");
    net.run(secs(2));
    net.upstream(R(0), UpstreamInput::Says { conn, message: says() });
    net.run(secs(3));
    assert_eq!(heard(&net, a), ["hi"]);
}

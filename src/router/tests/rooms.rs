//! "One room a client", "no echo", and Streams.

use super::device::Manner::{Desktop, Mute, Radio};
use super::harness::{Net, T, room, secs};
use crate::router::Settings;
use crate::wire::fau3d::FromClient;

#[test]
fn a_client_is_in_one_room_and_subscribe_moves_it() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "old");
    net.subscribe(a, "new");
    net.say(sender, "old", "to the old room");
    net.say(sender, "new", "to the new room");
    assert_eq!(net[a].heard, ["to the new room"]);
}

#[test]
fn nobody_receives_its_own_record_or_stream() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    let b = net.listener("b", Desktop, "r");
    net.say(a, "r", "from a");
    net.send(a, FromClient::Stream(b"F3SB123F3FN"[..].into()));
    net.run(secs(60));
    assert_eq!((net[a].heard.len(), net[a].streams().len()), (0, 0));
    assert_eq!((net[b].heard.len(), net[b].streams().len()), (1, 1));
    // Nor after it has come back.
    net.connect(a);
    net.run(secs(60));
    assert_eq!(net[a].heard.len(), 0);
}

#[test]
fn subscribing_to_the_same_room_resumes() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say(sender, "r", "before");
    net.drop_line(a);
    // It missed more than may be in flight when its Subscribe comes in.
    for number in 1..=8 {
        net.say(sender, "r", &number.to_string());
    }
    net[a].latency = secs(1);
    net.connect(a);
    net.subscribe(a, "r");
    net.say(sender, "r", "after");
    net.run(secs(60));
    assert_eq!(net[a].heard, ["before", "1", "2", "3", "4", "5", "6", "7", "8", "after"]);
    assert_eq!(net[a].playlists().len(), 9, "each once on the new connection");
}

#[test]
fn subscribing_to_another_room_starts_at_what_is_newest_there() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    net.listener("keeps the room", Mute, "new");
    net.say(sender, "new", "earlier");
    let a = net.listener("a", Desktop, "old");
    net.subscribe(a, "new");
    net.say(sender, "new", "later");
    // Back in the first room, what was said there meanwhile is not news.
    net.say(sender, "old", "while away");
    net.subscribe(a, "old");
    net.say(sender, "old", "again here");
    // Nor is it later, on a new connection.
    net.connect(a);
    net.run(secs(30));
    assert_eq!(net[a].heard, ["later", "again here"]);
}

#[test]
fn what_was_in_flight_from_the_room_that_was_left_is_not_sent_again() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "old");
    net.say(sender, "old", "hello");
    net.subscribe(a, "new");
    net.run(T * 3);
    assert_eq!(net[a].playlists().len(), 1);
    assert_eq!(net.router.stats().resends, 0);
}

#[test]
fn a_room_exists_only_while_it_has_a_member_or_a_record() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r-0");
    for number in 1..=2_000 {
        net.subscribe(a, &format!("r-{number}"));
    }
    let rooms = net.router.snapshot(net.now).rooms;
    assert_eq!(rooms.len(), 1, "a flood of Subscribes leaves nothing behind");
    assert_eq!((rooms[0].room.as_str(), rooms[0].clients), ("r-2000", 1));
}

#[test]
fn names_that_look_like_paths_are_names() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("../../etc/passwd", Radio);
    let a = net.listener("/dev/null", Desktop, "../r");
    let b = net.listener("b", Desktop, "r");
    net.say(sender, "../r", "hello");
    assert_eq!((&net[a].heard[..], net[b].heard.len()), (&["hello".to_owned()][..], 0));
}

#[test]
fn a_stream_goes_as_it_is_to_the_others_in_the_senders_room_unconfirmed() {
    let mut net = Net::new(Settings::default());
    let speaker = net.listener("speaker", Radio, "r");
    let [a, b] = ["a", "b"].map(|name| net.listener(name, Desktop, "r"));
    let elsewhere = net.listener("elsewhere", Desktop, "other");
    let nowhere = net.join("nowhere", Desktop);
    let answers = net[speaker].confirms.len();
    let frames: Vec<_> = (0..50u8).map(|n| [b"F3SB", &[n, 0xff, 0xfe][..], b"F3FN"].concat()).collect();
    for frame in &frames {
        net.frame(speaker, frame);
    }
    net.run(secs(60));
    assert_eq!((net[a].streams(), net[b].streams()), (frames.clone(), frames));
    assert_eq!((net[elsewhere].streams().len(), net[nowhere].streams().len()), (0, 0));
    assert_eq!(net[speaker].confirms.len(), answers);
    let stats = net.router.stats();
    assert_eq!((stats.streams_in, stats.streams_out, stats.resends), (50, 100, 0));
}

#[test]
fn a_stream_from_nowhere_goes_nowhere_and_is_counted() {
    let mut net = Net::new(Settings::default());
    let speaker = net.join("speaker", Radio);
    let a = net.listener("a", Desktop, "r");
    net.frame(speaker, b"F3SB123F3FN");
    assert_eq!(net[a].streams().len(), 0);
    assert_eq!(net.router.stats().streams_without_room, 1);
}

#[test]
fn a_stream_is_not_kept_for_those_who_are_away() {
    let mut net = Net::new(Settings::default());
    let speaker = net.listener("speaker", Radio, "r");
    let a = net.listener("a", Desktop, "r");
    net.drop_line(a);
    net.frame(speaker, b"F3SB123F3FN");
    net.connect(a);
    net.run(secs(60));
    assert_eq!(net[a].streams().len(), 0);
}

#[test]
fn the_rooms_shown_count_connected_clients_and_records() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    let b = net.listener("b", Desktop, "r");
    net.say(a, "r", "hello");
    net.drop_line(b);
    let snapshot = net.router.snapshot(net.now);
    assert_eq!((snapshot.rooms[0].clients, snapshot.rooms[0].records), (1, 1));
    assert_eq!((snapshot.clients.len(), snapshot.detached), (1, 1));
    assert_eq!(snapshot.clients[0].room, Some(room("r")));
}

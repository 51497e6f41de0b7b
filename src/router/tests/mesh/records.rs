//! Records from router to router.

use super::super::harness::{ms, secs};
use super::net::{MeshNet, R};
use crate::router::Settings;
use crate::wire::fau3e::{Holding, Message};

#[test]
fn a_record_is_heard_on_every_router_once_and_in_order() {
    // Given: a listener on each of three routers, and one in another room.
    let mut net = MeshNet::new(3);
    let listeners = [0, 1, 2].map(|at| net.listener(&format!("listener-{at}"), R(at), "room"));
    let elsewhere = net.listener("elsewhere", R(1), "other room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    // When: one speaks.
    for word in ["one", "two", "three"] {
        net.say(talker, "room", word);
    }
    net.run(secs(1));
    // Then: everyone in the room hears it, and nobody else.
    for listener in listeners {
        assert_eq!(net[listener].heard, ["one", "two", "three"]);
    }
    assert!(net[elsewhere].heard.is_empty() && net[talker].heard.is_empty());
}

#[test]
fn a_record_crosses_each_link_of_a_full_mesh_at_most_once() {
    let mut net = MeshNet::new(4);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.messages.clear();
    net.say(talker, "room", "word");
    net.run(secs(1));
    let sent: Vec<(R, R)> = net
        .messages
        .iter()
        .filter(|(_, _, message)| matches!(message, Message::Playlist(_)))
        .map(|(from, to, _)| (*from, *to))
        .collect();
    assert_eq!(sent.len(), 3, "to each other router, by who took it in: {sent:?}");
    assert!(sent.iter().all(|(from, _)| *from == R(0)));
}

#[test]
fn routers_in_the_middle_pass_records_on() {
    let mut net = MeshNet::line(4);
    let listener = net.listener("listener", R(3), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.say(talker, "room", "word");
    net.run(ms(20));
    assert_eq!(net[listener].heard, ["word"], "over three hops, at once");
}

#[test]
fn a_router_that_was_away_asks_for_what_it_lacks() {
    // Given: two routers that do not hear each other while one takes in much.
    let mut net = MeshNet::new(2);
    let listener = net.listener("listener", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(20));
    for number in 0..300 {
        net.say(talker, "room", &format!("word {number}"));
        net.run(ms(10));
    }
    // When: they hear each other again. Then: nothing is missing.
    net.mend(R(0), R(1));
    net.run(secs(5));
    assert_eq!(net[listener].heard.len(), 300);
    assert_eq!(net[listener].heard[299], "word 299");
}

#[test]
fn both_sides_of_a_partition_hear_each_other_after_the_heal() {
    let mut net = MeshNet::new(4);
    let [a, b] = [0, 3].map(|at| net.listener(&format!("client-{at}"), R(at), "room"));
    net.run(secs(1));
    for (left, right) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.cut(R(left), R(right));
    }
    net.run(secs(10));
    net.say(a, "room", "from a");
    net.say(b, "room", "from b");
    net.run(secs(5));
    assert!(net[a].heard.is_empty() && net[b].heard.is_empty(), "they are apart");
    for (left, right) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.mend(R(left), R(right));
    }
    net.run(secs(5));
    assert_eq!((&net[a].heard[..], &net[b].heard[..]), (&["from b".into()][..], &["from a".into()][..]));
}

#[test]
fn a_gap_that_no_router_holds_any_more_is_jumped_and_counted() {
    // Given: a router that is away while the others' storage overflows.
    let settings = Settings { storage_bytes_max: 4_096, ..Settings::default() };
    let mut net = MeshNet::with(2, settings);
    let listener = net.listener("listener", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(10));
    for number in 0..30 {
        net.say(talker, "room", &format!("word {number}"));
        net.run(ms(10));
    }
    // When: it comes back. Then: it hears what is left, at once.
    net.mend(R(0), R(1));
    net.run(secs(2));
    let heard = net[listener].heard.len();
    assert!((5..15).contains(&heard), "{heard}");
    assert_eq!(net[listener].heard.last().unwrap(), "word 29");
    assert_eq!(net.router(R(1)).stats().records_expired, 30 - heard as u64);
}

#[test]
fn the_same_message_stored_on_two_sides_is_heard_once_everywhere() {
    // Given: a talker whose Confirm is lost with its router's link.
    let mut net = MeshNet::new(3);
    let listeners = [0, 1, 2].map(|at| net.listener(&format!("listener-{at}"), R(at), "room"));
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.cut(R(0), R(2));
    net.run(secs(10));
    let uuid = net.say(talker, "room", "word");
    let message = (uuid, net[talker].unconfirmed.clone());
    net.run(ms(1));
    // When: it brings the same message to the other side.
    let unconfirmed = net[talker].unconfirmed.clone();
    net.attach(talker, R(1));
    if unconfirmed.is_empty() {
        net[talker].unconfirmed = message.1;
    }
    net.subscribe(talker, "room");
    net.resend(talker);
    net.run(secs(1));
    net.mend(R(0), R(1));
    net.mend(R(0), R(2));
    net.run(secs(5));
    // Then: both sides have heard it, once.
    for listener in listeners {
        assert_eq!(net[listener].heard, ["word"]);
        assert_eq!(net[listener].playlists().len(), 1, "not even sent twice");
    }
}

#[test]
fn one_message_uuid_to_two_rooms_on_two_sides_is_two_messages() {
    // Given: a talker that says one thing to one room here, and to another one there.
    let mut net = MeshNet::new(2);
    let listeners = ["first", "second"].map(|room| net.listener(room, R(0), room));
    let far = ["first", "second"].map(|room| net.listener(&format!("far {room}"), R(1), room));
    let talkers = [0, 1].map(|at| net.device(&format!("talker at {at}")));
    net[talkers[1]].client_id = net[talkers[0]].client_id.clone();
    net.run(secs(1));
    net.cut(R(0), R(1));
    net.run(secs(10));
    for (at, room) in ["first", "second"].into_iter().enumerate() {
        net.attach(talkers[at], R(at));
        net.say_as(talkers[at], room, "word", "one-uuid");
    }
    net.run(secs(1));
    // When: the sides hear each other again. Then: each room hears it, everywhere, once.
    net.mend(R(0), R(1));
    net.run(secs(5));
    for listener in listeners.into_iter().chain(far) {
        assert_eq!(
            (&net[listener].heard[..], net[listener].playlists().len()),
            (&["word".to_owned()][..], 1)
        );
    }
}

#[test]
fn a_record_waits_up_to_two_seconds_for_the_same_senders_previous_one() {
    // Given: a talker that has moved, whose first words reach the listener's
    // router late, since the link to its first router is gone.
    let mut net = MeshNet::new(3);
    let listener = net.listener("listener", R(2), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.deaf.insert(R(2));
    net.say(talker, "room", "first");
    net.run(ms(300));
    net.deaf.clear();
    net.attach(talker, R(1));
    net.say(talker, "room", "second");
    net.run(ms(300));
    net.run(secs(5));
    assert_eq!(net[listener].heard, ["first", "second"]);
}

#[test]
fn impossible_sequences_of_its_own_are_refused() {
    let mut net = MeshNet::new(2);
    let talker = net.listener("talker", R(0), "room");
    net.say(talker, "room", "word");
    net.run(secs(1));
    let record = net.messages.iter().find_map(|(_, _, message)| match message {
        Message::Playlist(playlist) => playlist.records.first().cloned(),
        _ => None,
    });
    let (record, age_ms) = record.unwrap();
    // A neighbour that says what this router never said.
    let forged = crate::wire::Record::new(
        crate::wire::RecordId { sequence: 2, ..record.id },
        None,
        1,
        crate::wire::Message {
            room: record.room.clone(),
            client_id: record.client_id.clone(),
            message_uuid: "forged".into(),
            payload: [1].into(),
        },
    );
    let playlist = crate::wire::fau3e::Playlist { confirm: None, records: vec![(forged.into(), age_ms)] };
    let from = MeshNet::id(R(1));
    net.input(
        R(0),
        crate::router::Input::FromPeer { router: from, message: Ok(Message::Playlist(playlist)) },
    );
    assert_eq!(net.router(R(0)).snapshot(net.now).records, 1);
    assert_eq!(net.router(R(0)).stats().peer_invalid, 1);
    // Nor does it ask for what it cannot have said.
    net.run(secs(3));
    assert_eq!(net.router(R(0)).stats().fetches, 0);
}

#[test]
fn holdings_agree_at_rest_and_cost_little() {
    let mut net = MeshNet::new(3);
    let talker = net.listener("talker", R(0), "room");
    for number in 0..50 {
        net.say(talker, "room", &format!("word {number}"));
    }
    net.run(secs(15));
    net.messages.clear();
    net.run(secs(30));
    let holdings = |message: &Message| match message {
        Message::State(state) => state.holdings.clone(),
        other => panic!("{other:?} at rest"),
    };
    let told: Vec<Vec<Holding>> = net.messages.iter().map(|(_, _, message)| holdings(message)).collect();
    assert!(told.len() <= 3 * 2 * 4, "{} States in 30 s", told.len());
    assert!(
        told.iter().all(|holdings| holdings.iter().any(|holding| (holding.floor, holding.top) == (1, 50)))
    );
}

#[test]
fn a_state_that_is_older_than_what_is_on_its_way_holds_nothing_up() {
    // Given: a State in which another router says that it holds nothing yet.
    let mut net = MeshNet::new(3);
    let listener = net.listener("listener", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.say(talker, "room", "one");
    net.run(secs(2));
    let is_state = |message: &Message| matches!(message, Message::State(state) if !state.holdings.is_empty());
    let of_r1 = net
        .messages
        .iter()
        .rev()
        .find(|(from, to, message)| (*from, *to) == (R(1), R(0)) && is_state(message));
    let stale = of_r1.unwrap().2.clone();
    net.say(talker, "room", "two");
    net.run(ms(20));
    // When: it comes after the next record has been sent.
    net.input(R(0), crate::router::Input::FromPeer { router: MeshNet::id(R(1)), message: Ok(stale) });
    net.say(talker, "room", "three");
    net.run(ms(5));
    // Then: what follows is pushed all the same.
    assert_eq!(net[listener].heard, ["one", "two", "three"]);
}

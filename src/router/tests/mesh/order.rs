//! One sender's records are heard in the sender's order, whichever routers
//! took them in and whatever way they come (DESIGN.md, "Session").

use std::sync::Arc;

use fau3_election::Incarnation;

use super::super::harness::{ms, room, secs};
use super::net::{COMMIT, D, MeshNet, R};
use crate::router::mesh::WAITING_MAX;
use crate::router::{Input, Settings, StoredRecord};
use crate::wire::fau3e::{Message, Playlist};
use crate::wire::{self, ClientId, Origin, Record, RecordId};

/// A record of one life of the third router, which makes none itself.
fn id(life: u64, sequence: u64) -> RecordId {
    let incarnation = Incarnation { counter: 1_000, random: life };
    RecordId { origin: Origin { router: MeshNet::id(R(2)), incarnation }, sequence }
}

/// What the talker says in the room, as the router that made it knew it.
fn said(id: RecordId, previous: Option<RecordId>, lamport: u64, word: &str) -> Record {
    let message = wire::Message {
        room: room("room"),
        client_id: ClientId::new("talker").unwrap(),
        message_uuid: word.into(),
        payload: word.as_bytes().into(),
    };
    Record::new(id, previous, lamport, message)
}

/// The second router brings records to the first one.
fn bring(net: &mut MeshNet, records: Vec<Record>) {
    let records = records.into_iter().map(|record| (Arc::new(record), 0)).collect();
    let playlist = Message::Playlist(Playlist { confirm: None, records });
    net.input(R(0), Input::FromPeer { router: MeshNet::id(R(1)), message: Ok(playlist) });
}

/// Three routers, and a listener at the first one.
fn listening(settings: Settings) -> (MeshNet, D) {
    let mut net = MeshNet::with(3, settings);
    let listener = net.listener("listener", R(0), "room");
    net.run(secs(1));
    (net, listener)
}

/// The record that a router made last.
fn made_last(net: &MeshNet, by: R) -> Arc<Record> {
    let records = net.messages.iter().filter_map(|(_, _, message)| match message {
        Message::Playlist(playlist) => Some(&playlist.records),
        _ => None,
    });
    let made = records.flatten().filter(|(record, _)| record.id.origin.router == MeshNet::id(by));
    made.max_by_key(|(record, _)| record.id.sequence).unwrap().0.clone()
}

#[test]
fn a_record_waits_for_a_message_that_waits_under_its_other_name() {
    // Given: a message that two routers took in; under one name it waits for
    // what was said before it.
    let (mut net, listener) = listening(Settings::default());
    bring(&mut net, vec![said(id(1, 1), Some(id(3, 1)), 2, "two")]);
    bring(&mut net, vec![said(id(2, 1), None, 2, "two")]);
    // When: the next one names the other. Then: it is not heard before it.
    bring(&mut net, vec![said(id(2, 2), Some(id(2, 1)), 3, "three")]);
    net.run(ms(500));
    assert!(net[listener].heard.is_empty(), "{:?}", net[listener].heard);
    bring(&mut net, vec![said(id(3, 1), None, 1, "one")]);
    net.run(ms(1));
    assert_eq!(net[listener].heard, ["one", "two", "three"]);
}

#[test]
fn a_record_waits_for_one_that_is_on_its_way_to_the_disk() {
    let (mut net, listener) = listening(Settings { disk: true, ..Settings::default() });
    // Given: a record on its way to the disk, and behind it the one before it.
    bring(&mut net, vec![said(id(1, 1), Some(id(2, 1)), 2, "two")]);
    net.run(COMMIT / 2);
    bring(&mut net, vec![said(id(2, 1), None, 1, "one")]);
    // When: the first of the two is there. Then: it is not heard yet.
    net.run(COMMIT * 3 / 4);
    assert!(net[listener].heard.is_empty(), "{:?}", net[listener].heard);
    net.run(COMMIT);
    assert_eq!(net[listener].heard, ["one", "two"]);
}

#[test]
fn a_record_that_has_waited_long_enough_is_heard_behind_what_is_here_of_those_before_it() {
    // Given: a record that waits, and later those before it, of which the first
    // one waits for what never comes.
    let (mut net, listener) = listening(Settings::default());
    bring(&mut net, vec![said(id(1, 1), Some(id(2, 2)), 4, "four")]);
    net.run(secs(1));
    let two = said(id(2, 1), Some(id(3, 1)), 2, "two");
    bring(&mut net, vec![two, said(id(2, 2), Some(id(2, 1)), 3, "three")]);
    // When: its two seconds are over. Then: they go first, though theirs are not.
    net.run(ms(900));
    assert!(net[listener].heard.is_empty());
    net.run(ms(200));
    assert_eq!(net[listener].heard, ["two", "three", "four"]);
}

#[test]
fn when_too_many_wait_the_longest_goes_on_and_order_stays() {
    // Given: as many as may wait, each for the one before it.
    let (mut net, listener) = listening(Settings::default());
    let waiting = u64::try_from(WAITING_MAX).unwrap();
    let record = |number: u64| {
        let previous = if number == 1 { id(2, 1) } else { id(1, number - 1) };
        said(id(1, number), Some(previous), number, &number.to_string())
    };
    bring(&mut net, (1..=waiting).map(record).collect());
    net.run(ms(10));
    assert!(net[listener].heard.is_empty());
    // When: one more comes. Then: it does not go before them.
    bring(&mut net, vec![record(waiting + 1)]);
    net.run(ms(10));
    let all: Vec<String> = (1..=waiting + 1).map(|number| number.to_string()).collect();
    assert_eq!(net[listener].heard, all);
}

#[test]
fn of_records_that_name_each_other_in_a_circle_the_one_that_has_waited_longest_goes_first() {
    let (mut net, listener) = listening(Settings::default());
    bring(&mut net, vec![said(id(1, 1), Some(id(2, 1)), 1, "one"), said(id(1, 2), Some(id(1, 1)), 1, "two")]);
    bring(&mut net, vec![said(id(2, 1), Some(id(1, 2)), 1, "three")]);
    net.run(secs(3));
    assert_eq!(net[listener].heard, ["one", "two", "three"]);
}

#[test]
fn of_records_that_wait_in_vain_the_senders_earliest_goes_first() {
    // Given: a record that waits for one that never comes, and later an earlier one of
    // the same sender's that does so too.
    let (mut net, listener) = listening(Settings::default());
    bring(&mut net, vec![said(id(1, 1), Some(id(2, 9)), 4, "four")]);
    net.run(secs(1));
    bring(&mut net, vec![said(id(3, 1), Some(id(4, 1)), 2, "two")]);
    // When: the first one has waited long enough. Then: the earlier one goes before it.
    net.run(ms(1_100));
    assert_eq!(net[listener].heard, ["two", "four"]);
}

#[test]
fn a_record_names_the_one_before_it_whatever_its_session_still_says() {
    // Given: a talker whose session another router heard of when it had said
    // only "one"; that has left the storage since, and "two" has come.
    let mut net = MeshNet::with(2, Settings { storage_bytes_max: 4_096, ..Settings::default() });
    let talker = net.listener("talker", R(0), "room");
    let other = net.listener("other", R(1), "another room");
    net.say(talker, "room", "one");
    net.subscribe(talker, "room");
    net.run(secs(1));
    for number in 0..12 {
        net.say(other, "another room", &format!("word {number}"));
        net.run(ms(50));
    }
    net.say(talker, "room", "two");
    net.run(secs(1));
    let two = made_last(&net, R(0));
    // When: it says the next one there.
    net.attach(talker, R(1));
    net.say(talker, "room", "three");
    net.run(secs(1));
    // Then: that one stands behind "two".
    assert_eq!(made_last(&net, R(1)).previous, Some(two.id));
}

#[test]
fn a_record_stands_behind_the_latest_not_behind_what_came_late() {
    let (mut net, _) = listening(Settings::default());
    let talker = net.listener("talker", R(0), "room");
    // Given: a record, one from before it that comes after it, and that one once
    // more as a third router took it in later.
    bring(&mut net, vec![said(id(1, 1), None, 20, "two")]);
    bring(&mut net, vec![said(id(2, 1), None, 10, "one")]);
    bring(&mut net, vec![said(id(3, 1), None, 30, "one")]);
    net.say(talker, "room", "three");
    net.run(ms(10));
    assert_eq!(made_last(&net, R(0)).previous, Some(id(1, 1)));
}

#[test]
fn a_record_stands_behind_one_that_is_on_its_way_to_the_disk() {
    let (mut net, _) = listening(Settings { disk: true, ..Settings::default() });
    let talker = net.listener("talker", R(0), "room");
    bring(&mut net, vec![said(id(1, 1), None, 1, "one")]);
    net.say(talker, "room", "two");
    net.run(secs(1));
    assert_eq!(made_last(&net, R(0)).previous, Some(id(1, 1)));
}

#[test]
fn a_message_that_is_still_on_its_way_to_the_disk_is_heard_once_when_another_router_brings_it() {
    let (mut net, listener) = listening(Settings { disk: true, ..Settings::default() });
    let talker = net.listener("talker", R(0), "room");
    let uuid = net.say(talker, "room", "one");
    let message = wire::Message {
        room: room("room"),
        client_id: ClientId::new("talker").unwrap(),
        message_uuid: uuid,
        payload: "one".as_bytes().into(),
    };
    net.run(COMMIT / 2);
    bring(&mut net, vec![Record::new(id(1, 1), None, 1, message)]);
    net.run(secs(1));
    assert_eq!((net[listener].heard.len(), net[listener].playlists().len()), (1, 1));
}

#[test]
fn after_a_restart_records_are_heard_once_and_in_order_in_whatever_order_they_had_come() {
    // Given: a router on whose disk "two" came before "one", and once more under
    // another name.
    let (mut net, listener) = listening(Settings { disk: true, ..Settings::default() });
    net.kill(R(0));
    let others = ["a", "b", "c", "d", "e", "f"].into_iter().zip(1..);
    let others = others.map(|(word, number)| said(id(4, number), None, number, word));
    let mut came = vec![said(id(1, 1), Some(id(2, 1)), 2, "two"), said(id(2, 1), None, 1, "one")];
    came.extend(others);
    came.push(said(id(3, 1), None, 3, "two"));
    came.push(said(id(3, 2), Some(id(3, 1)), 4, "three"));
    let stored = |(at, record)| StoredRecord { position: at, record: Arc::new(record), age_ms: 0 };
    net.on_disk = (1..).zip(came).map(stored).collect();
    net.start(R(0));
    net.run(secs(2));
    // When: the listener comes back. Then: nobody could tell.
    net.attach(listener, R(0));
    net.run(secs(1));
    assert_eq!(net[listener].heard, ["one", "two", "a", "b", "c", "d", "e", "f", "three"]);
    assert_eq!(net[listener].playlists().len(), 9);
}

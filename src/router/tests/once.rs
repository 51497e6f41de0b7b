//! "The pair (client id, MessageUuid) with the same payload is stored and
//! delivered once, and confirmed every time", and the senders' order.

use super::device::Manner::{Desktop, Mute, Radio};
use super::harness::{Net, ms, secs};
use crate::router::Settings;
use crate::router::settings::REMEMBERED_MAX;
use crate::wire::fau3d::Status;

#[test]
fn a_resent_propogate_is_stored_once_and_confirmed_every_time() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    for _ in 0..5 {
        net.say_as(sender, "r", "hello", "u");
        net.run(secs(6));
    }
    assert_eq!(net[sender].statuses("u"), [Status::STORED; 5]);
    assert_eq!((net[a].playlists().len(), net.router.snapshot(net.now).records), (1, 1));
    assert_eq!(net.router.stats().duplicates, 4);
}

#[test]
fn a_resend_on_a_new_connection_is_the_same_message() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say_as(sender, "r", "hello", "u");
    net.connect(sender);
    net.say_as(sender, "r", "hello", "u");
    // Also after its session has ended.
    net.drop_line(sender);
    net.run(secs(61));
    net.connect(sender);
    net.say_as(sender, "r", "hello", "u");
    assert_eq!((net[sender].statuses("u").len(), net[a].heard.len()), (3, 1));
}

#[test]
fn another_payload_or_another_client_with_that_message_uuid_is_another_message() {
    // The server in use today repeats MessageUuids, and so may clients.
    let mut net = Net::new(Settings::default());
    let [one, two] = ["one", "two"].map(|name| net.join(name, Radio));
    let a = net.listener("a", Desktop, "r");
    net.say_as(one, "r", "hello", "u");
    net.say_as(one, "r", "world", "u");
    net.say_as(two, "r", "hello", "u");
    assert_eq!(net[a].heard, ["hello", "world", "hello"]);
    assert_eq!(net.router.stats().duplicates, 0);
}

#[test]
fn the_same_words_under_the_same_message_uuid_to_another_room_are_another_message() {
    // Given a button that says one thing to two rooms, with one MessageUuid,
    let mut net = Net::new(Settings { disk: true, ..Settings::default() });
    let sender = net.join("sender", Radio);
    let [a, b] = ["first", "second"].map(|room| net.listener(room, Desktop, room));
    for room in ["first", "second", "first", "second"] {
        net.say_as(sender, room, "hello", "u");
    }
    // then each room hears it once, and each is confirmed every time,
    assert_eq!((&*net[a].heard, &*net[b].heard), (&["hello".to_owned()][..], &["hello".to_owned()][..]));
    assert_eq!((net[sender].statuses("u"), net.router.stats().duplicates), (vec![Status::STORED; 4], 2));
    // also after a restart,
    net.restart();
    net.connect(sender);
    for room in ["first", "second"] {
        net.say_as(sender, room, "hello", "u");
    }
    assert_eq!((net.router.stats().records_stored, net.router.stats().duplicates), (0, 2));
    // and by who goes from one room to the other, who must not take one for the other.
    net.connect(a);
    net.subscribe(a, "second");
    net.say_as(sender, "second", "again", "u2");
    net.say_as(sender, "first", "again", "u2");
    net.subscribe(a, "first");
    net.say_as(sender, "first", "once more", "u3");
    assert_eq!(net[a].heard, ["hello", "again", "once more"]);
}

#[test]
fn a_message_is_remembered_twice_as_long_as_records_live() {
    let mut net = Net::new(Settings { storage_age_max: secs(100), ..Settings::default() });
    let sender = net.join("sender", Desktop);
    net.say_as(sender, "r", "hello", "u");
    net.run(secs(200) - ms(1));
    assert_eq!(net.router.snapshot(net.now).records, 0, "long gone, and still known");
    net.say_as(sender, "r", "hello", "u");
    assert_eq!(net.router.stats().records_stored, 1);
    net.run(ms(1));
    net.say_as(sender, "r", "hello", "u");
    assert_eq!(net.router.stats().records_stored, 2);
    // Taken in anew, it is remembered anew.
    net.run(secs(199));
    net.say_as(sender, "r", "hello", "u");
    assert_eq!(net.router.stats().records_stored, 2);
}

#[test]
fn remembered_messages_are_bounded_and_the_oldest_is_forgotten_first() {
    let mut net = Net::new(Settings { storage_bytes_max: 64 * 1_024, ..Settings::default() });
    let sender = net.join("sender", Mute);
    for number in 0..=REMEMBERED_MAX {
        net.say_as(sender, "r", "x", &number.to_string());
        net[sender].unconfirmed.clear();
    }
    let stored = net.router.stats().records_stored;
    for number in [1, REMEMBERED_MAX] {
        net.say_as(sender, "r", "x", &number.to_string());
    }
    assert_eq!(net.router.stats().records_stored, stored, "remembered");
    net.say_as(sender, "r", "x", "0");
    assert_eq!(net.router.stats().records_stored, stored + 1, "forgotten");
}

#[test]
fn a_message_taken_in_anew_is_not_the_oldest_remembered() {
    // Given a message that was remembered, forgotten for its age, and taken in
    // anew after many others
    let mut net = Net::new(Settings {
        storage_bytes_max: 64 * 1_024,
        storage_age_max: secs(10),
        ..Settings::default()
    });
    let sender = net.join("sender", Mute);
    net.say_as(sender, "r", "x", "first");
    net.run(secs(21));
    let others = |net: &mut Net, numbers| {
        for number in numbers {
            net.say_as(sender, "r", "x", &format!("{number}"));
            net[sender].unconfirmed.clear();
        }
    };
    others(&mut net, 10..REMEMBERED_MAX);
    net.say_as(sender, "r", "x", "first");
    // when the table overflows
    others(&mut net, REMEMBERED_MAX..REMEMBERED_MAX + 20);
    // then it is not the one to go.
    let stored = net.router.stats().records_stored;
    net.say_as(sender, "r", "x", "first");
    assert_eq!(net.router.stats().records_stored, stored);
}

#[test]
fn records_of_one_sender_arrive_in_the_order_in_which_they_were_sent() {
    let mut net = Net::new(Settings::default());
    let [one, two] = ["one", "two"].map(|name| net.listener(name, Desktop, "r"));
    let a = net.listener("a", Desktop, "r");
    net[a].leave = ms(300);
    net[a].latency = ms(200);
    for number in 0..60 {
        net.say(one, "r", &format!("1 {number:02}"));
        net.say(two, "r", &format!("2 {number:02}"));
        // and the listener's line breaks again and again
        if number % 7 == 3 {
            net.connect(a);
        }
        net.run(ms(150));
    }
    net.run(secs(600));
    assert_eq!(net[a].heard.len(), 120);
    for sender in ["1 ", "2 "] {
        let heard: Vec<_> = net[a].heard.iter().filter(|text| text.starts_with(sender)).collect();
        assert!(heard.is_sorted(), "{heard:?}");
    }
}

#[test]
fn a_sender_that_resends_all_it_had_under_way_keeps_its_order() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Desktop);
    let a = net.listener("a", Desktop, "r");
    net[sender].latency = secs(1);
    for number in 0..5 {
        net.say(sender, "r", &number.to_string());
        net.run(ms(300));
    }
    // The first two have arrived and no Confirm has come back.
    net.drop_line(sender);
    net.connect(sender);
    net.resend(sender);
    net.run(secs(10));
    assert_eq!(net[a].heard, ["0", "1", "2", "3", "4"]);
    assert_eq!(net[sender].unconfirmed.len(), 0);
    assert!(net.router.stats().duplicates > 0);
}

#[test]
fn a_record_names_its_senders_previous_one_and_is_later_than_every_one_before_it() {
    let mut net = Net::new(Settings { disk: true, ..Settings::default() });
    // The second is said while the first is still on its way to the disk.
    net.disk.delay = secs(1);
    let [one, two] = ["one", "two"].map(|name| net.join(name, Radio));
    net.say(one, "r", "1");
    net.say(two, "r", "2");
    net.say(one, "s", "3");
    net.run(secs(2));
    net.say(two, "r", "4");
    net.run(secs(2));
    net.restart();
    net.connect(one);
    net.say(one, "r", "5");
    net.run(secs(2));
    let records = net.disk.records();
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    let previous: Vec<_> = records.iter().map(|record| record.previous).collect();
    assert_eq!(previous, [None, None, Some(ids[0]), Some(ids[1]), Some(ids[2])]);
    assert!(records.is_sorted_by_key(|record| record.lamport) && records[4].lamport > records[3].lamport);
}

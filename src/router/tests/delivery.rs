//! "The server resends": K times after T with the same MessageUuid, never
//! overtaking a slow link, giving up without losing, five in flight.

use super::device::Manner::{Answers, Desktop, Mute, Radio};
use super::device::confirm;
use super::harness::{Net, T, ms, secs};
use crate::router::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, Input, Settings};
use crate::wire::fau3d::{FromClient, Status};

#[test]
fn a_playlist_is_resent_k_times_after_t_with_the_same_message_uuid_then_given_up() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "hello");
    for sent in 1..=3 {
        assert_eq!(net[a].playlists().len(), sent);
        net.run(T - ms(1));
        assert_eq!(net[a].playlists().len(), sent, "not before T");
        net.run(ms(1));
    }
    assert_eq!(net[a].playlists().len(), 4, "once and K times again");
    net.run(secs(600));
    let playlists = net[a].playlists();
    assert_eq!(playlists.len(), 4);
    assert!(playlists.iter().all(|playlist| *playlist == playlists[0]));
    assert_eq!((net.router.stats().resends, net.router.stats().given_up), (3, 1));
    assert_eq!(net[a].closed, None, "it still answers WebSocket pings");
}

#[test]
fn t_and_k_are_settings() {
    let mut net = Net::new(Settings { retry_interval: secs(2), retry_count: 1, ..Settings::default() });
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "hello");
    net.run(ms(1_999));
    assert_eq!(net[a].playlists().len(), 1);
    net.run(ms(1));
    assert_eq!(net[a].playlists().len(), 2);
    net.run(secs(60));
    assert_eq!(net[a].playlists().len(), 2);
    let never = Settings { retry_count: 0, ..Settings::default() };
    net.configure(never);
    net.say(sender, "r", "once");
    net.run(secs(60));
    assert_eq!(net[a].playlists().len(), 3);
}

#[test]
fn a_playlist_given_up_on_is_delivered_again_when_the_client_reconnects() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "hello");
    net.run(secs(300));
    assert_eq!(net.router.stats().given_up, 1);
    let uuid = net[a].playlists()[0].0;
    net[a].manner = Desktop;
    net.drop_line(a);
    net.run(secs(59));
    net.connect(a);
    assert_eq!(net[a].playlists(), [(uuid, "hello".to_owned())]);
    assert_eq!((net.router.stats().deliveries, &net[a].heard[..]), (1, &["hello".to_owned()][..]));
}

#[test]
fn t_counts_from_when_the_frame_has_left_the_socket_buffer() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.stop_reading(a);
    net.say(sender, "r", "hello");
    net.run(secs(20));
    net.read_again(a);
    net.run(T - ms(1));
    assert_eq!(net[a].playlists().len(), 1);
    net.run(ms(1));
    assert_eq!(net[a].playlists().len(), 2);
}

#[test]
fn a_resend_waits_for_a_websocket_ping_that_was_sent_before_it() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net[a].latency = secs(2);
    net.say(sender, "r", "hello");
    net.run(T + secs(4) - ms(1));
    assert_eq!(net.router.stats().resends, 0, "the answer to the ping is still under way");
    net.run(ms(1));
    assert_eq!(net.router.stats().resends, 1);
}

#[test]
fn the_answer_to_an_earlier_websocket_ping_does_not_count() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net[a].latency = secs(4);
    net.run(secs(29));
    net.say(sender, "r", "hello");
    // The ping of every 30 s goes out at 30 and is back at 38; the one for the
    // resend goes out at 34 and is back at 42.
    net.run(secs(12));
    assert_eq!(net.router.stats().resends, 0);
    net.run(secs(1));
    assert_eq!(net.router.stats().resends, 1);
}

#[test]
fn a_websocket_pong_for_nothing_that_was_asked_resends_nothing() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    let conn = net[a].conn.unwrap();
    net[a].pongs = false;
    net.say(sender, "r", "hello");
    net.run(T + secs(1));
    for probe in [0, 2, u32::MAX] {
        net.input(Input::Pong { conn, probe });
    }
    assert_eq!(net.router.stats().resends, 0);
    for _ in 0..3 {
        net.input(Input::Pong { conn, probe: 1 });
    }
    assert_eq!(net.router.stats().resends, 1, "once, however often it comes");
}

#[test]
fn a_slow_link_gets_everything_once() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    // Each frame takes 4 s to get away and another 3 s to arrive, and so does
    // its Confirm: more than T, many times over.
    net[a].leave = secs(4);
    net[a].latency = secs(3);
    for number in 0..20 {
        net.say(sender, "r", &number.to_string());
    }
    net.run(secs(300));
    assert_eq!(net[a].heard, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(net[a].playlists().len(), 20);
    assert_eq!((net.router.stats().resends, net[a].closed), (0, None));
}

#[test]
fn a_negative_status_counts_as_a_failed_try() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Answers(Status::SERROR), "r");
    net.say(sender, "r", "hello");
    net.run(T - ms(1));
    assert_eq!(net[a].playlists().len(), 1, "the next try comes after T");
    net.run(secs(60));
    assert_eq!(net[a].playlists().len(), 4);
    assert_eq!((net.router.stats().given_up, net.router.stats().deliveries), (1, 0));
    // Nor is it lost.
    net[a].manner = Desktop;
    net.connect(a);
    assert_eq!(net.router.stats().deliveries, 1);
}

#[test]
fn a_client_that_takes_it_at_the_second_try_has_it() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Answers(Status::INVALID), "r");
    net.say(sender, "r", "hello");
    net.run(secs(1));
    net[a].manner = Answers(Status::STORED);
    net.run(secs(60));
    assert_eq!((net[a].playlists().len(), net.router.stats().deliveries), (2, 1));
}

#[test]
fn at_most_5_unconfirmed_playlists_are_in_flight() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    for number in 0..9 {
        net.say(sender, "r", &number.to_string());
    }
    assert_eq!(net[a].playlists().len(), 5);
    let third = net[a].playlists()[2].0;
    net.send(a, confirm(Some(third), Status::STORED));
    assert_eq!(net[a].playlists().len(), 6, "one confirmed, one more sent");
    assert_eq!(net[a].playlists()[5].1, "5");
    // All five are given up after K resends, which makes room for the rest.
    net.run(T * 4);
    let newest: Vec<_> = net[a].playlists().into_iter().map(|playlist| playlist.1).collect();
    assert_eq!(newest[newest.len() - 3..], ["6", "7", "8"]);
}

#[test]
fn a_client_that_does_not_answer_holds_up_nobody_else() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let stuck = net.listener("stuck", Mute, "r");
    net.stop_reading(stuck);
    let a = net.listener("a", Desktop, "r");
    for number in 0..100 {
        net.say(sender, "r", &number.to_string());
    }
    assert_eq!(net[a].heard.len(), 100);
    net.run(secs(30));
    net[stuck].manner = Desktop;
    net.read_again(stuck);
    assert_eq!(net[stuck].heard, net[a].heard, "and it lost nothing");
}

#[test]
fn a_radio_that_remembers_a_message_is_asked_again_until_it_answers() {
    // Given a radio that has heard a message, but its line broke before its
    // Confirm was through
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Desktop);
    let radio = net.listener("radio", Radio, "r");
    net[radio].latency = secs(1);
    net.say(sender, "r", "hello");
    net.run(ms(1_500));
    assert_eq!(net[radio].heard, ["hello"]);
    net.drop_line(radio);
    // when it comes back while it still remembers
    net[radio].latency = secs(0);
    net.connect(radio);
    assert_eq!(net[radio].playlists().len(), 1);
    assert_eq!((net[radio].heard.len(), net.router.stats().deliveries), (1, 0), "no answer");
    // then it is asked again, and answers once it has forgotten.
    net.run(secs(60));
    assert_eq!((net[radio].playlists().len(), net.router.stats().deliveries), (2, 1));
}

#[test]
fn radios_and_desktop_clients_get_each_message_once() {
    let mut net = Net::new(Settings::default());
    let sender = net.listener("sender", Desktop, "r");
    let others = [("radio", Radio), ("desktop", Desktop)].map(|(name, how)| net.listener(name, how, "r"));
    for number in 0..40 {
        net.say(sender, "r", &number.to_string());
        net.run(ms(700));
    }
    net.run(secs(60));
    for id in others {
        assert_eq!(net[id].heard, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(net[id].playlists().len(), 40);
    }
}

#[test]
fn a_playlists_message_uuid_differs_by_receiver_and_stays_for_a_receiver() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let [a, b] = ["a", "b"].map(|name| net.listener(name, Mute, "r"));
    net.say(sender, "r", "hello");
    let uuid = net[a].playlists()[0].0;
    assert_ne!(uuid, net[b].playlists()[0].0);
    net.drop_line(a);
    net.connect(a);
    assert_eq!(net[a].playlists()[0].0, uuid);
}

#[test]
fn gaps_that_are_too_many_to_remember_are_given_up_and_counted() {
    // Given a client that confirms every Playlist but each fifth
    let mut net = Net::new(Settings { retry_count: 0, ..Settings::default() });
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    let mut confirmed = 0;
    for number in 0..500 {
        net.say(sender, "r", &number.to_string());
        for (uuid, text) in net[a].playlists().split_off(confirmed) {
            if text.parse::<u32>().unwrap() % 5 != 0 {
                net.send(a, confirm(Some(uuid), Status::STORED));
            }
            confirmed += 1;
        }
        net.run(secs(2));
    }
    // then the bound holds (see `watch`), and it is counted.
    assert!(net.router.stats().gaps_given_up > 0);
}

#[test]
fn a_confirm_may_come_before_the_news_that_its_frame_has_left() {
    // The shell asks the sockets only now and then what has left them.
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "hello");
    let (conn, uuid) = (net[a].conn.unwrap(), net[a].playlists()[0].0);
    net.stop_reading(a);
    for number in 0..3 {
        net.say(sender, "r", &number.to_string());
    }
    net.send(a, confirm(Some(uuid), Status::STORED));
    net.input(Input::Left { conn, frame: 2 });
    net.run(T * 2);
    assert_eq!((net.router.stats().deliveries, net.router.stats().resends), (1, 0));
}

#[test]
fn an_answer_to_a_websocket_ping_that_never_comes_is_not_waited_for_for_ever() {
    // Given a client that is there, but swallowed the ping before a resend
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "hello");
    net[a].pongs = false;
    net.run(T + secs(1));
    net[a].pongs = true;
    // when it goes on talking
    for _ in 0..9 {
        net.send(a, FromClient::Ping { message_uuid: "there".into() });
        net.run(secs(10));
    }
    // then the next ping does it, within two of its intervals.
    assert_eq!((net.router.stats().given_up, net[a].playlists().len()), (1, 4));
}

/// On a slow link what else is said, the answer to a ping say, waits behind what was
/// handed out: so that is no more than one of the longest messages.
#[test]
fn what_is_in_flight_is_bounded_in_bytes_but_one_message_always_is() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.stop_reading(a);
    let long = |number: usize| format!("{number}").repeat(38_000);
    for number in 0..3 {
        net.say(sender, "r", &long(number));
    }
    // Given three long ones, then one is in flight.
    assert_eq!(net.router.stats().playlists_sent, 1);
    // When it is answered, then the next one is, and in the end all are, in order.
    net[a].manner = Desktop;
    net.read_again(a);
    assert_eq!(net[a].heard, [long(0), long(1), long(2)]);
    // Of short ones as many as before, and one that is longer than the bound alone.
    let b = net.listener("b", Mute, "s");
    for number in 0..7 {
        net.say(sender, "s", &number.to_string().repeat(1_000));
    }
    assert_eq!(net[b].playlists().len(), IN_FLIGHT_MAX);
    let c = net.listener("c", Mute, "t");
    net.say(sender, "t", &"x".repeat(IN_FLIGHT_BYTES_MAX + 1));
    net.say(sender, "t", "y");
    assert_eq!(net[c].playlists().len(), 1);
}

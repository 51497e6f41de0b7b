//! Nothing is said to a connection before its client's first word, or for 2 s:
//! radios read the answer to their upgrade with one read(2), and take what has
//! come right behind it for the rest of that.

use super::device::Manner::{Desktop, Radio};
use super::harness::{Id, Net, ms, secs};
use crate::router::settings::FIRST_WORD_WAIT;
use crate::router::{Input, Settings};

/// Somebody to whom a message, a Ping and a Monitor are owed, not connected.
fn owed() -> (Net, Id, Id) {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.join("a", Desktop);
    net.subscribe_with(a, "r", 1, 1);
    net.subscribe(sender, "r");
    net.drop_line(a);
    net[a].speaks = false;
    net.say(sender, "r", "owed");
    (net, sender, a)
}

#[test]
fn a_client_that_never_says_a_word_is_spoken_to_after_two_seconds() {
    let (mut net, _, a) = owed();
    net.connect(a);
    net.run(FIRST_WORD_WAIT - ms(1));
    assert_eq!(net[a].inbox, [], "no Playlist, no Ping and no Monitor, though both were due after 1 s");
    net.run(ms(1));
    assert_eq!(
        (&*net[a].heard, net[a].pings().len(), net[a].monitors().len()),
        (&["owed".to_owned()][..], 1, 1)
    );
}

#[test]
fn the_first_word_may_be_anything() {
    type Word = fn(&mut Net, Id);
    let words: [(&str, Word); 6] = [
        ("Subscribe", |net, a| drop(net.subscribe(a, "r"))),
        ("Propogate", |net, a| drop(net.say(a, "elsewhere", "hello"))),
        ("Ping", |net, a| net.frame(a, br#"{"MessageType":"Ping","MessageUuid":"u"}"#)),
        ("nonsense", |net, a| net.frame(a, b"\xff\x00")),
        ("a Confirm that is none", |net, a| net.frame(a, br#"{"MessageType":"Confirm"}"#)),
        ("a WebSocket ping", |net, a| {
            let conn = net[a].conn.unwrap();
            net.input(Input::Alive { conn });
        }),
    ];
    for (what, say) in words {
        let (mut net, _, a) = owed();
        net.connect(a);
        net.run(ms(100));
        assert_eq!(net[a].inbox, [], "{what}");
        say(&mut net, a);
        assert_eq!(net[a].heard, ["owed"], "{what}");
    }
}

#[test]
fn live_audio_before_the_first_word_is_not_for_it() {
    let (mut net, sender, a) = owed();
    net.connect(a);
    net.frame(sender, b"F3SBonF3FN");
    net.run(secs(1));
    assert_eq!(net[a].inbox, []);
    net.subscribe(a, "r");
    net.frame(sender, b"F3SBtwF3FN");
    assert_eq!(net[a].streams(), [b"F3SBtwF3FN".to_vec()]);
}

#[test]
fn a_takeover_is_spoken_to_as_late_and_an_answer_is_not_held_back() {
    let (mut net, sender, a) = owed();
    net.connect(a);
    net.connect_over(a);
    net.say(sender, "r", "and this");
    net.run(secs(1));
    assert_eq!(net[a].inbox, []);
    let uuid = net.subscribe(a, "r");
    assert_eq!(net[a].statuses(&uuid).len(), 1);
    assert_eq!(net[a].heard, ["owed", "and this"]);
}

#[test]
fn who_moves_with_its_first_word_hears_nothing_of_the_room_before() {
    let (mut net, sender, a) = owed();
    net.connect(a);
    net.subscribe(a, "other");
    net.say(sender, "other", "new");
    net.run(secs(5));
    assert_eq!(net[a].heard, ["new"]);
}

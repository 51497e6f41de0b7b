//! A record on which a client's connections end waits behind the others, and is
//! not lost.

use super::device::Manner::{Mute, Radio};
use super::device::confirm;
use super::harness::{Id, Net, T, ms, secs};
use crate::router::Settings;
use crate::router::settings::{ENDINGS_MAX, IN_FLIGHT_MAX};
use crate::wire::fau3d::Status;

/// What a picky client takes, in bytes.
const BYTES_MAX: usize = 100;

fn big(name: &str) -> String {
    format!("{name:-<200}")
}

/// It comes, confirms what it can take, and closes on what it cannot; reads all
/// before it confirms if it is hasty. True: it stays.
fn visit(net: &mut Net, id: Id, heard: &mut Vec<String>, hasty: bool) -> bool {
    net.connect(id);
    net.subscribe(id, "r");
    let mut seen = 0;
    loop {
        let all = net[id].playlists();
        let new = all[seen..].to_vec();
        if hasty && new.iter().any(|(_, text)| text.len() > BYTES_MAX) {
            net.drop_line(id);
            return false;
        }
        let Some((uuid, text)) = new.into_iter().next() else { return true };
        if text.len() > BYTES_MAX {
            net.drop_line(id);
            return false;
        }
        heard.push(text);
        seen += 1;
        net.send(id, confirm(Some(uuid), Status::STORED));
    }
}

fn picky() -> (Net, Id, Id) {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.drop_line(a);
    (net, sender, a)
}

#[test]
fn one_too_large_for_its_hearer_does_not_keep_the_others_from_it() {
    for hasty in [false, true] {
        let (mut net, sender, a) = picky();
        // Given one that is too large among short ones
        net.say(sender, "r", "one");
        net.say(sender, "r", &big("too large"));
        for text in ["two", "three", "four"] {
            net.say(sender, "r", text);
        }
        // when its hearer comes back each time, then it hears the short ones after a few
        // connections, once each and in order,
        let (mut heard, mut visits) = (Vec::new(), 0);
        while heard.len() < 4 {
            assert!(!visit(&mut net, a, &mut heard, hasty));
            net.run(ms(500));
            visits += 1;
            assert!(visits <= 4 * ENDINGS_MAX, "{heard:?}");
        }
        assert_eq!(heard, ["one", "two", "three", "four"]);
        assert_eq!(net.router.stats().put_behind, 1, "and people are told once");
        // and what is said later at once,
        net.say(sender, "r", "five");
        visit(&mut net, a, &mut heard, hasty);
        assert_eq!(heard.last().unwrap(), "five");
        // while the large one is tried again each time, behind the others, until it is taken.
        net.connect(a);
        net.subscribe(a, "r");
        let (uuid, text) = net[a].playlists().pop().unwrap();
        assert_eq!(text, big("too large"));
        net.send(a, confirm(Some(uuid), Status::STORED));
        net.connect(a);
        net.subscribe(a, "r");
        assert_eq!(net[a].playlists(), [], "all is settled");
        assert_eq!(net.router.stats().put_behind, 1);
    }
}

#[test]
fn several_that_are_too_large_keep_nothing_from_their_hearer_either() {
    let (mut net, sender, a) = picky();
    for number in 0..2 * IN_FLIGHT_MAX {
        net.say(sender, "r", &big(&number.to_string()));
    }
    net.say(sender, "r", "short");
    let (mut heard, mut visits) = (Vec::new(), 0);
    while heard.is_empty() {
        visit(&mut net, a, &mut heard, true);
        visits += 1;
        assert!(visits <= 2 * IN_FLIGHT_MAX * ENDINGS_MAX as usize + 1);
    }
    // Each has its turn: one that is given up makes way for the next.
    net.connect(a);
    net.subscribe(a, "r");
    net.run(secs(1) + T * 10);
    let mut tried: Vec<_> = net[a].playlists().into_iter().map(|(uuid, _)| uuid).collect();
    tried.sort_unstable();
    tried.dedup();
    assert!(tried.len() >= 2, "{tried:?}");
}

#[test]
fn one_that_is_taken_late_is_not_put_behind_and_the_count_begins_anew_for_each() {
    let (mut net, sender, a) = picky();
    for text in ["one", "two", "three"] {
        net.say(sender, "r", text);
    }
    // (a connection that ends after the first one is confirmed ends on the second one)
    for (text, before) in [("one", 0), ("two", 1), ("three", 1)] {
        for _ in before + 1..ENDINGS_MAX {
            net.connect(a);
            net.subscribe(a, "r");
            net.drop_line(a);
        }
        net.connect(a);
        net.subscribe(a, "r");
        let playlists = net[a].playlists();
        assert_eq!((playlists.len(), &*playlists[0].1), (1, text), "it goes alone");
        net.send(a, confirm(Some(playlists[0].0), Status::STORED));
        net.drop_line(a);
    }
    assert_eq!(net.router.stats().put_behind, 0);
}

#[test]
fn one_that_goes_alone_and_is_not_answered_holds_nothing_up_for_longer_than_t() {
    let (mut net, sender, a) = picky();
    net.say(sender, "r", "one");
    net.say(sender, "r", "two");
    for _ in 1..ENDINGS_MAX {
        net.connect(a);
        net.subscribe(a, "r");
        net.drop_line(a);
    }
    net.connect(a);
    net.subscribe(a, "r");
    net.run(T - ms(1));
    assert_eq!(net[a].playlists().len(), 1);
    net.run(ms(1));
    assert_eq!(net[a].playlists().last().unwrap().1, "two");
}

#[test]
fn who_goes_to_another_room_and_back_begins_anew() {
    let (mut net, sender, a) = picky();
    net.say(sender, "r", &big("too large"));
    let mut heard = Vec::new();
    for _ in 0..ENDINGS_MAX {
        visit(&mut net, a, &mut heard, false);
    }
    net.connect(a);
    net.subscribe(a, "other");
    net.subscribe(a, "r");
    net.say(sender, "r", &big("another"));
    net.say(sender, "r", "short");
    let texts: Vec<_> = net[a].playlists().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, [big("too large"), big("another"), "short".into()], "the first one in its turn");
}

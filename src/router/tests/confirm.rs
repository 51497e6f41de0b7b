//! "Confirm, in both directions": what is answered, with which Status.

use super::device::Manner::{Desktop, Mute, Radio};
use super::device::confirm;
use super::harness::{Net, T, room, secs};
use crate::router::{Answer, Settings, Told};
use crate::wire::Uuid;
use crate::wire::fau3d::{FromClient, Status};

#[test]
fn a_ping_is_confirmed_with_pong() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    net.send(a, FromClient::Ping { message_uuid: "p-1".into() });
    assert_eq!(net[a].confirms, [("p-1".into(), Status::PONG)]);
}

#[test]
fn a_subscribe_is_confirmed_with_ok_before_anything_else_is_sent() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Desktop);
    let b = net.listener("b", Desktop, "r");
    let subscribe = net.subscribe(a, "r");
    net.say(b, "r", "hello");
    let Told::Answer { token: message_uuid, answer: Answer::Done } = &net[a].inbox[0] else { panic!() };
    assert_eq!(*message_uuid, subscribe);
    assert_eq!(net[a].heard, ["hello"]);
}

#[test]
fn a_propogate_is_confirmed_with_stored_and_needs_no_subscription() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let listener = net.listener("listener", Desktop, "r");
    let uuid = net.say(sender, "r", "hello");
    assert_eq!(net[sender].confirms, [(uuid, Status::STORED)]);
    assert_eq!(net[listener].heard, ["hello"]);
}

#[test]
fn a_frame_that_is_no_message_is_confirmed_with_invalid_and_the_connection_stays() {
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Radio, "r");
    let before = net[a].confirms.len();
    for (frame, echoed) in [
        (&b"not JSON"[..], ""),
        (br#"{"MessageType":"Ping"}"#, ""),
        (br#"{"MessageType":"Wave","MessageUuid":"u"}"#, "u"),
        (br#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r"}"#, "u"),
        (br#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":"!"}"#, "u"),
        (br#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":[]}"#, "u"),
        (b"F3SB without its end mark", ""),
    ] {
        net.frame(a, frame);
        let answer = net[a].confirms.last().cloned();
        assert_eq!(answer, Some((echoed.into(), Status::INVALID)), "{frame:?}");
    }
    assert_eq!(net[a].confirms.len(), before + 7);
    assert_eq!(net.router.stats().invalid, 7);
    let b = net.join("b", Desktop);
    net.say(b, "r", "still there");
    assert_eq!((net[a].closed, &net[a].heard[..]), (None, &["still there".to_owned()][..]));
}

#[test]
fn a_confirm_is_never_answered_not_even_a_broken_one() {
    // A desktop client answers every Confirm with a Confirm of -2, so an answer
    // to it would never end.
    let mut net = Net::new(Settings::default());
    let a = net.listener("a", Desktop, "r");
    let sent = net[a].inbox.len();
    net.send(a, confirm(None, Status::SERROR));
    net.send(a, confirm(Some(Uuid::from_hash(9)), Status(i32::MIN)));
    net.frame(a, br#"{"MessageType":"Confirm"}"#);
    net.frame(a, br#"{"MessageType":"Confirm","MessageUuid":"u","Status":{}}"#);
    assert_eq!(net[a].inbox.len(), sent);
}

#[test]
fn a_confirm_for_what_is_not_in_flight_to_that_client_changes_nothing() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    let b = net.listener("b", Mute, "r");
    let uuid = net.say(sender, "r", "hello");
    let of_b = net[b].playlists()[0].0;
    // B's Playlist, the sender's own MessageUuid, none at all: nothing of a's.
    for foreign in [Some(of_b), uuid.parse().ok(), None] {
        for status in [Status::STORED, Status::SERROR] {
            net.send(a, confirm(foreign, status));
        }
    }
    assert_eq!(net.router.stats().confirms_unmatched, 6);
    net.run(T + secs(1));
    assert_eq!(net[a].playlists().len(), 2, "still unconfirmed, so sent again");
    assert_eq!(net.router.stats().deliveries, 0);
}

#[test]
fn any_status_from_0_up_settles_a_playlist() {
    for status in [Status::OK, Status::PONG, Status::MONED, Status::STORED, Status(77)] {
        let mut net = Net::new(Settings::default());
        let sender = net.join("sender", Radio);
        let a = net.listener("a", super::device::Manner::Answers(status), "r");
        net.say(sender, "r", "hello");
        net.run(secs(60));
        assert_eq!(net[a].playlists().len(), 1, "{status:?}");
        assert_eq!(net.router.stats().deliveries, 1);
    }
}

#[test]
fn an_unconfirmed_message_that_is_resent_is_confirmed_again() {
    let mut net = Net::new(Settings::default());
    let a = net.join("a", Radio);
    let subscribe = FromClient::Subscribe {
        message_uuid: "s".into(),
        room: room("r"),
        monitor_period_s: 0,
        ping_period_s: 0,
    };
    net.send(a, subscribe.clone());
    net.send(a, subscribe);
    net.say_as(a, "r", "hello", "p");
    net.say_as(a, "r", "hello", "p");
    assert_eq!(net[a].statuses("s"), [Status::OK; 2]);
    assert_eq!(net[a].statuses("p"), [Status::STORED; 2]);
}

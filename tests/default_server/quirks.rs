//! The server for tests has the quirks that it says, and none when they are off.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::desktop::{Desktop, Got, confirm, playlist, propogate};
use crate::common::http::{exchange, http, upgrade};
use crate::common::wait_for;
use crate::default_server::PATIENCE;
use crate::legacy::{Answer, Legacy, Quirks};

fn pair(server: &Legacy) -> (Desktop, Desktop) {
    let mut talker = Desktop::connect(server.address(), "AA:01");
    let mut listener = Desktop::connect(server.address(), "AA:02");
    talker.subscribe("hall");
    listener.subscribe("hall");
    (talker, listener)
}

fn lives(server: &Legacy) -> bool {
    TcpStream::connect(server.address()).is_ok()
}

#[test]
fn it_confirms_passes_on_to_the_room_but_the_sender_and_logs() {
    let server = Legacy::start(Quirks::default());
    let (mut talker, mut listener) = pair(&server);
    let mut elsewhere = Desktop::connect(server.address(), "AA:03");
    elsewhere.subscribe("kitchen");
    assert_eq!(talker.say("hall", "u1", b"hello"), 3);
    let heard = listener.hear(PATIENCE).unwrap();
    assert_eq!((&*heard.client_id, &*heard.payload), ("AA:01", &b"hello"[..]));
    listener.confirm(&heard);
    for other in [&mut talker, &mut elsewhere] {
        assert!(other.hear(Duration::from_millis(200)).is_none());
    }
    let logged = &server.propogates()[0];
    assert_eq!((&*logged.client_id, &*logged.room, &*logged.message_uuid), ("AA:01", "hall", "u1"));
    wait_for("the Confirm", PATIENCE, || server.confirms().len() == 1);
    assert_eq!(server.clients(), ["AA:01", "AA:02", "AA:03"]);
    // It remembers nothing: the same once more is another one.
    assert_eq!(talker.say("hall", "u1", b"hello"), 3);
    assert!(listener.hear(PATIENCE).is_some());
    assert_eq!(server.propogates().len(), 2);
}

#[test]
fn what_is_unconfirmed_is_sent_three_times() {
    let server = Legacy::start(Quirks { resends_after: Duration::from_millis(100), ..Quirks::default() });
    let (mut talker, mut listener) = pair(&server);
    talker.say("hall", "u1", b"hello");
    let mut heard = Vec::new();
    while let Some(playlist) = listener.hear(Duration::from_millis(400)) {
        heard.push(playlist.uuid);
    }
    assert_eq!(heard.len(), 3);
}

#[test]
fn message_uuids_repeat_within_a_second_or_not() {
    for (repeats_uuids, kinds) in [(true, 1..=2), (false, 10..=10)] {
        let server = Legacy::start(Quirks { repeats_uuids, ..Quirks::default() });
        let (mut talker, mut listener) = pair(&server);
        for number in 0..10 {
            talker.say("hall", &format!("u{number}"), b"x");
        }
        let mut uuids: Vec<_> = (0..10).map(|_| listener.hear(PATIENCE).unwrap().uuid).collect();
        uuids.dedup();
        assert!(kinds.contains(&uuids.len()), "{repeats_uuids}: {uuids:?}");
    }
}

#[test]
fn a_second_connection_of_one_id_and_an_empty_array_are_its_end_until_it_is_restarted() {
    let server = Legacy::start(Quirks::default());
    let (mut talker, _listener) = pair(&server);
    assert!(Desktop::try_connect(server.address(), "AA:02").is_err());
    wait_for("its end", PATIENCE, || !lives(&server));
    assert!(matches!(talker.next(PATIENCE), Got::Lost));
    server.restart();
    let (mut talker, _listener) = pair(&server);
    talker.send(&json!([]));
    wait_for("its end", PATIENCE, || !lives(&server));
    assert_eq!(server.crashes(), ["AA:02 connected twice", "got []"]);
    // Without these quirks it bears both.
    server.set(|quirks| (quirks.crashes_on_second_id, quirks.crashes_on_empty_array) = (false, false));
    server.restart();
    let (mut talker, _listener) = pair(&server);
    Desktop::connect(server.address(), "AA:02");
    talker.send(&json!([]));
    let Got::Message(answer) = talker.next(PATIENCE) else { panic!("no answer") };
    assert_eq!(confirm(&answer), Some(("", -1)));
    assert_eq!(talker.say("hall", "u", b"x"), 3);
}

#[test]
fn one_client_more_than_it_takes_is_closed() {
    let server = Legacy::start(Quirks { clients_max: 2, ..Quirks::default() });
    let _pair = pair(&server);
    assert!(Desktop::try_connect(server.address(), "AA:03").is_err());
    assert_eq!(server.clients(), ["AA:01", "AA:02"]);
}

#[test]
fn each_third_confirm_is_lost() {
    let server = Legacy::start(Quirks { loses_confirm: Some(3), ..Quirks::default() });
    let mut talker = Desktop::connect(server.address(), "AA:01");
    let confirmed = (1..=6).filter(|number| {
        talker.send(&propogate("hall", &format!("u{number}"), b"x"));
        match talker.next(Duration::from_millis(300)) {
            Got::Message(message) => confirm(&message).is_some(),
            _ => false,
        }
    });
    assert_eq!(confirmed.collect::<Vec<_>>(), [1, 2, 4, 5]);
    let logged: Vec<_> = server.propogates().iter().map(|propogated| propogated.confirmed).collect();
    assert_eq!(logged, [true, true, false, true, true, false]);
}

#[test]
fn it_oversleeps_and_everything_waits() {
    let server =
        Legacy::start(Quirks { late_wakeup: Some((Duration::from_millis(400), 6)), ..Quirks::default() });
    let (mut talker, mut listener) = pair(&server);
    // Four messages so far; the sixth is late.
    for (number, late) in [(5, false), (6, true), (7, false)] {
        let since = Instant::now();
        talker.say("hall", &format!("u{number}"), b"x");
        assert_eq!(since.elapsed() >= Duration::from_millis(400), late, "{number}");
        assert!(listener.hear(PATIENCE).is_some());
    }
}

#[test]
fn live_audio_is_forwarded_in_text_frames_though_it_is_no_text() {
    for (streams_as_text, first) in [(true, 0x81), (false, 0x82)] {
        let server = Legacy::start(Quirks { streams_as_text, ..Quirks::default() });
        let (mut talker, _other) = pair(&server);
        let mut socket = TcpStream::connect(server.address()).unwrap();
        exchange(&mut socket, &upgrade("/", &["fau3-client-id: raw"])).unwrap();
        // Masked with zeros.
        let subscribe = br#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"hall"}"#;
        socket
            .write_all(&[&[0x81, 0x80 | subscribe.len() as u8, 0, 0, 0, 0], &subscribe[..]].concat())
            .unwrap();
        wait_for("its room", PATIENCE, || server.room_of("raw").is_some());
        let mut confirm = [0; 1_024];
        let _ = socket.read(&mut confirm).unwrap();
        talker.send_stream(b"F3SB\xff\xfe\x80F3FN");
        let mut frame = [0; 13];
        socket.read_exact(&mut frame).unwrap();
        assert_eq!((frame[0], &frame[2..]), (first, &b"F3SB\xff\xfe\x80F3FN"[..]));
        assert_eq!(server.streams(), [("AA:01".to_owned(), b"F3SB\xff\xfe\x80F3FN".to_vec())]);
    }
}

#[test]
fn ping_and_monitor_come_as_the_client_has_asked() {
    let server = Legacy::start(Quirks::default());
    let mut client = Desktop::connect(server.address(), "AA:01");
    client.send(&json!({"MessageType": "Subscribe", "MessageUuid": "u", "RoomId": "hall",
        "IsMonitorRequired": 1, "IsPingRequired": "2"}));
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let Got::Message(message) = client.next(PATIENCE) else { panic!("nothing comes") };
        assert!(playlist(&message).is_none());
        kinds.push(message["MessageType"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["Confirm", "Monitor"], "and no Ping, since its period was text");
}

#[test]
fn the_list_is_answered_as_it_is_told_or_not_at_all() {
    let server = Legacy::start(Quirks::default());
    let request = "GET /fau3vom/GetExtraServersList HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(http(server.address(), request).status, 404);
    for (list, status, body) in [
        (Answer::Status(426), 426, "no\n"),
        (Answer::Body("{}".into()), 200, "{}"),
        (Answer::Redirect("http://elsewhere/".into()), 301, ""),
    ] {
        server.set(|quirks| quirks.list = list);
        let answer = http(server.address(), request);
        assert_eq!((answer.status, &*answer.body), (status, body));
    }
    server.set(|quirks| quirks.list = Answer::Nothing);
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    assert!(socket.read(&mut [0]).is_err(), "nothing comes");
    assert_eq!(server.list_requests(), 5);
}

//! Frames that are no message, and messages with fields that are not as they
//! should be: FAU3_INVALID, with the MessageUuid as far as there is one, and
//! the connection stays.

use serde_json::{Value, json};

use crate::bad_input::bystanders::undisturbed;
use crate::bad_input::{A_WHILE, assert_hears_only_its_pong, count};
use crate::common::Node;
use crate::common::radio::{Heard, PATIENCE, Radio, SPEEX, TEXT};

/// FAU3_INVALID for `uuid`, and nothing else.
fn assert_invalid(radio: &mut Radio, frame: &[u8], uuid: &str) {
    let shown = String::from_utf8_lossy(&frame[..frame.len().min(200)]).into_owned();
    radio.send(TEXT, frame);
    let answer = radio.message(PATIENCE).unwrap_or_else(|| panic!("no answer to {shown}"));
    let wanted = json!({"MessageType": "Confirm", "MessageUuid": uuid, "Status": -1});
    assert_eq!(answer, wanted, "{shown}");
    assert_hears_only_its_pong(radio);
}

/// One message of each kind that is answered, all of it right.
fn right_messages() -> [Value; 3] {
    [
        json!({"MessageType": "Ping", "MessageUuid": "u"}),
        json!({"MessageType": "Subscribe", "MessageUuid": "u", "RoomId": "cellar",
            "IsMonitorRequired": 0, "IsPingRequired": 0}),
        json!({"MessageType": "Propogate", "MessageUuid": "u", "RoomId": "hall", "Payload": "QUJD"}),
    ]
}

#[test]
fn what_is_not_a_json_object_is_invalid_and_the_connection_stays() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        for frame in [
            &b""[..],
            b" ",
            b"hello",
            b"{",
            b"}",
            b"[]",
            b"null",
            b"7",
            b"\"text\"",
            b"{'MessageType':'Ping'}",
            b"{\"MessageType\"}",
            b"{}{}",
            b"\xef\xbb\xbf{}",
            b"\xff\xfe\x00\x01",
            b"\x00",
            b"F3S",
        ] {
            assert_invalid(&mut radio, frame, "");
        }
        // One that breaks off, or goes wrong late, still has its MessageUuid echoed.
        assert_invalid(&mut radio, br#"{"MessageUuid":"u","MessageType":"Ping""#, "u");
        assert_invalid(&mut radio, br#"{"MessageUuid":"u","MessageType":"Ping",}"#, "u");
        assert_invalid(&mut radio, b"{\"MessageUuid\":\"u\",\"MessageType\":\"Ping\xff\"}", "u");
        assert_invalid(&mut radio, br#"{"MessageUuid":"u","MessageType":"Ping"}x"#, "u");
    });
    assert_eq!(count(&node, "drops", "invalid"), 20);
}

#[test]
fn deep_nesting_is_invalid_where_it_matters_ignored_where_it_does_not_and_harms_neither() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        let deep = |field: &str, open: &str, close: &str| {
            let times = 900_000 / (open.len() + close.len());
            let nested = [open.repeat(times), "0".to_owned(), close.repeat(times)].concat();
            format!(r#"{{"MessageUuid":"u","MessageType":"Ping","{field}":{nested}}}"#)
        };
        for (open, close) in [("[", "]"), ("{\"x\":", "}"), ("[[{\"a\":", "}]]")] {
            assert_invalid(&mut radio, deep("MessageType", open, close).as_bytes(), "u");
            assert_invalid(&mut radio, deep("MessageUuid", open, close).as_bytes(), "");
            // Unknown fields are ignored, whatever they hold.
            radio.send(TEXT, deep("x", open, close).as_bytes());
            assert_eq!(radio.confirmed("u"), 1, "FAU3_PONG");
        }
        assert_invalid(&mut radio, deep("x", "[", "").as_bytes(), "u");
        assert_invalid(&mut radio, "[".repeat(1_000_000).as_bytes(), "");
        assert_invalid(&mut radio, r#"{"MessageType":"#.repeat(60_000).as_bytes(), "");
    });
}

#[test]
fn a_field_that_is_missing_null_or_of_the_wrong_type_is_invalid() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        let mut hearer = Radio::connect(&node, "AA:02");
        hearer.subscribe("hall");
        let optional = ["IsMonitorRequired", "IsPingRequired"];
        let mut cases = 0;
        for message in right_messages() {
            for field in message.as_object().unwrap().keys() {
                let echo = if field == "MessageUuid" { "" } else { "u" };
                let text = if optional.contains(&&**field) { json!("soon") } else { json!(7) };
                let wrong =
                    [Value::Null, json!(true), json!([]), json!({}), json!(["u"]), json!({"u": "u"}), text];
                // What may be missing may be null.
                for value in wrong.into_iter().skip(usize::from(optional.contains(&&**field))) {
                    let mut bad = message.clone();
                    bad[field] = value;
                    assert_invalid(&mut radio, bad.to_string().as_bytes(), echo);
                    cases += 1;
                }
                if !optional.contains(&&**field) {
                    let mut bad = message.clone();
                    bad.as_object_mut().unwrap().remove(field);
                    assert_invalid(&mut radio, bad.to_string().as_bytes(), echo);
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 9 * 7 + 2 * 6 + 9);
        // And nothing of it has been heard or has moved anybody.
        assert_eq!(hearer.hear(A_WHILE), None);
    });
    let status = node.status();
    let rooms: Vec<_> = status["rooms"].as_array().unwrap().iter().map(|room| room["room"].clone()).collect();
    assert!(!rooms.contains(&json!("cellar")), "{rooms:?}");
}

#[test]
fn a_message_uuid_that_is_empty_or_endless_is_invalid_and_not_echoed() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        for uuid in ["".to_owned(), "u".repeat(129), "ü".repeat(65), "u".repeat(500_000)] {
            let frame = json!({"MessageType": "Ping", "MessageUuid": uuid}).to_string();
            assert_invalid(&mut radio, frame.as_bytes(), "");
        }
        // Any other text is echoed as it came.
        for uuid in ["u".repeat(128), "\"\\/\n\u{0}\u{7f}я🎙".to_owned(), "../../etc/passwd".to_owned()] {
            radio.send(TEXT, json!({"MessageType": "Ping", "MessageUuid": uuid}).to_string().as_bytes());
            assert_eq!(radio.confirmed(&uuid), 1);
        }
    });
}

#[test]
fn bad_base64_is_invalid_and_nothing_of_it_is_heard() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        let mut hearer = Radio::connect(&node, "AA:02");
        hearer.subscribe("hall");
        let large = format!("{}!", "QUJD".repeat(200_000));
        let bad =
            ["", "!!!!", "QUJ", "QUJDQ", "QQ", "QQ=", "Q===", "=", "QUJD=", "QR==", "QUJD QUJD", "QUJD\n"];
        for payload in bad.into_iter().chain(["_-_-", "QUJDя", "QQ==QUJD", "data:audio;base64,QUJD", &large])
        {
            let frame =
                json!({"MessageType": "Propogate", "MessageUuid": "u", "RoomId": "hall", "Payload": payload});
            assert_invalid(&mut radio, frame.to_string().as_bytes(), "u");
        }
        assert_eq!(hearer.hear(A_WHILE), None);
        // The same MessageUuid with the right payload is a new message.
        let [_, _, right] = right_messages();
        radio.send(TEXT, right.to_string().as_bytes());
        assert_eq!(radio.confirmed("u"), 3);
        assert!(matches!(hearer.hear(PATIENCE), Some(Heard::Voice(_, payload)) if payload == b"ABC"));
    });
}

#[test]
fn an_unknown_message_type_is_invalid_and_so_is_what_only_a_router_says() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        for name in
            ["", "Propagate", "ping", "PING", " Ping", "Ping\u{0}", "State", "Stream", "Playlist", "Monitor"]
        {
            let frame = json!({"MessageType": name, "MessageUuid": "u", "RoomId": "hall", "Payload": "QUJD",
                "Records": [], "ConnectedClients": []});
            assert_invalid(&mut radio, frame.to_string().as_bytes(), "u");
        }
    });
}

#[test]
fn a_room_name_of_no_65_or_10_000_characters_or_with_control_characters_is_invalid() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        let mut hearer = Radio::connect(&node, "AA:02");
        radio.subscribe("hall");
        let bad = ["".to_owned(), "x".repeat(65), "я".repeat(65), "x".repeat(10_000), "🎙".repeat(10_000)];
        let control = ["a\u{0}", "\n", "a\u{7f}b", "\u{1b}[31mred", "a\u{85}", "\t"].map(str::to_owned);
        for room in bad.iter().chain(&control) {
            for message in right_messages().iter().skip(1) {
                let mut message = message.clone();
                message["RoomId"] = json!(room);
                assert_invalid(&mut radio, message.to_string().as_bytes(), "u");
            }
        }
        // It is where it was: it hears what is said there.
        let (uuid, message) = hearer.propogate("hall", &SPEEX);
        hearer.send(TEXT, &message);
        assert_eq!(hearer.confirmed(&uuid), 3);
        assert!(matches!(radio.hear(PATIENCE), Some(Heard::Voice(_, payload)) if payload == SPEEX));
        // 64 characters of any script are a room.
        for room in ["x".repeat(64), "я".repeat(64), "🎙".repeat(64), " ".repeat(3)] {
            hearer.subscribe(&room);
            let (uuid, message) = radio.propogate(&room, &SPEEX);
            radio.send(TEXT, &message);
            assert_eq!(radio.confirmed(&uuid), 3);
            assert!(matches!(hearer.hear(PATIENCE), Some(Heard::Voice(_, payload)) if payload == SPEEX));
        }
    });
}

#[test]
fn a_confirm_of_something_never_sent_is_not_answered_and_settles_nothing() {
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    undisturbed(&node, || {
        let [mut speaker, mut hearer, mut liar] =
            ["AA:01", "AA:02", "AA:03"].map(|id| Radio::connect(&node, id));
        hearer.subscribe("hall");
        liar.subscribe("hall");
        let (uuid, message) = speaker.propogate("hall", &SPEEX);
        speaker.send(TEXT, &message);
        assert_eq!(speaker.confirmed(&uuid), 3);
        // Given a Playlist that its hearer has not confirmed
        let playlist = hearer.message(PATIENCE).unwrap();
        assert!(matches!(liar.hear(PATIENCE), Some(Heard::Voice(..))));
        // When others confirm it, and he what was never sent to him
        let confirm =
            |uuid: &str| json!({"MessageType": "Confirm", "MessageUuid": uuid, "Status": 3}).to_string();
        let theirs = playlist["MessageUuid"].as_str().unwrap();
        liar.send(TEXT, confirm(theirs).as_bytes());
        for never_sent in [uuid.as_str(), "00000000-0000-8000-8000-000000000000", "no UUID at all", "", "u"] {
            liar.send(TEXT, confirm(never_sent).as_bytes());
            hearer.send(TEXT, confirm(never_sent).as_bytes());
        }
        assert_hears_only_its_pong(&mut liar);
        assert_hears_only_its_pong(&mut hearer);
        // Then it comes again, the same
        assert_eq!(hearer.message(PATIENCE).unwrap(), playlist);
    });
    assert_eq!((count(&node, "drops", "confirm_unmatched"), count(&node, "drops", "invalid")), (9, 2));
}

#[test]
fn a_status_out_of_range_is_a_number_still_and_what_is_none_settles_nothing() {
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    undisturbed(&node, || {
        let [mut speaker, mut hearer] = ["AA:01", "AA:02"].map(|id| Radio::connect(&node, id));
        hearer.subscribe("hall");
        let mut hear_with = |status: &str, again: bool| {
            let (uuid, message) = speaker.propogate("hall", status.as_bytes());
            speaker.send(TEXT, &message);
            assert_eq!(speaker.confirmed(&uuid), 3);
            let playlist = hearer.message(PATIENCE).unwrap();
            let confirm = |status: &str| {
                format!(
                    r#"{{"MessageType":"Confirm","MessageUuid":{},"Status":{status}}}"#,
                    playlist["MessageUuid"]
                )
            };
            hearer.send(TEXT, confirm(status).as_bytes());
            // A Confirm is never answered, not even a bad one.
            assert_hears_only_its_pong(&mut hearer);
            if again {
                assert_eq!(
                    hearer.message(PATIENCE).as_ref(),
                    Some(&playlist),
                    "Status {status} is a failed try"
                );
                hearer.send(TEXT, confirm("3").as_bytes());
            }
        };
        for settles in ["4", "2147483648", "99999999999999999999", "1e300", "\"77\""] {
            hear_with(settles, false);
        }
        for fails in ["-99999999999999999999", "1e999", "null", "\"very well\"", "[3]"] {
            hear_with(fails, true);
        }
        // Longer than T: what was settled stays so.
        assert_eq!(hearer.hear(std::time::Duration::from_millis(2_500)), None);
    });
}

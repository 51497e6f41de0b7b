use super::*;
use crate::random::Random;
use crate::wire::{Uuid, fau3d};

fn invalid(frame: &str) -> Invalid {
    parse(frame.as_bytes()).expect_err(frame)
}

#[test]
fn numbers_may_be_numeric_strings_and_periods_from_0_down_are_off() {
    for (given, wanted) in [
        ("5", 5),
        (r#""5""#, 5),
        ("5.9", 6),
        ("0", 0),
        ("-1", 0),
        (r#""-3""#, 0),
        ("1e99", u32::MAX),
        // A part of a second is asked for: off is not what was meant.
        ("0.4", 1),
        (r#""0.4""#, 1),
        ("1e-300", 1),
        ("-0.4", 0),
        ("0.0", 0),
        ("5.0", 5),
        ("4294967295", u32::MAX),
        // Not there.
        ("null", 0),
    ] {
        let frame = format!(
            r#"{{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"r","IsPingRequired":{given}}}"#
        );
        let Ok(FromClient::Subscribe { ping_period_s, monitor_period_s: 0, .. }) = parse(frame.as_bytes())
        else {
            panic!("{frame}");
        };
        assert_eq!(ping_period_s, wanted, "{given}");
    }
}

/// As Windows and C put around what they print.
#[test]
fn a_mark_of_utf8_before_the_json_and_nuls_behind_it_change_nothing() {
    let ping = br#"{"MessageType":"Ping","MessageUuid":"u"}"#;
    let right = Ok(FromClient::Ping { message_uuid: "u".into() });
    for (before, behind) in
        [(&b"\xef\xbb\xbf"[..], &b""[..]), (b"", b"\0"), (b"", b" \n\0\0"), (b"\xef\xbb\xbf", b"\0")]
    {
        let frame = [before, &ping[..], behind].concat();
        assert_eq!(parse(&frame), right, "{frame:?}");
    }
    // Within, they are wrong as before.
    for wrong in [&b"\0{}"[..], b"{\xef\xbb\xbf}", br#"{"MessageType":"Ping"\0,"MessageUuid":"u"}"#] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
    // What is no JSON is taken byte for byte.
    assert!(parse(b"F3SBxF3FN\0").is_err());
}

#[test]
fn unknown_fields_are_ignored_and_capitals_count() {
    let frame = r#"{"x":{"y":[1,{"z":null}]},"MessageType":"Ping","MessageUuid":"u","Status":[]}"#;
    assert_eq!(parse(frame.as_bytes()), Ok(FromClient::Ping { message_uuid: "u".into() }));
    assert_eq!(invalid(r#"{"messagetype":"Ping","MessageUuid":"u"}"#).message_uuid, "u".into());
    assert!(invalid(r#"{"MessageType":"Propagate","MessageUuid":"u"}"#).reason.contains("MessageType"));
}

#[test]
fn a_bad_field_is_named_and_the_message_uuid_echoed() {
    for (field, frame) in [
        ("Payload", r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r"}"#),
        ("Payload", r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":null}"#),
        ("Payload", r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":7}"#),
        ("base64", r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":"!!!!"}"#),
        ("base64", r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":"QUJ"}"#),
        ("Payload", r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":""}"#),
        ("RoomId", r#"{"MessageType":"Propogate","MessageUuid":"u","Payload":"QUJD"}"#),
        ("RoomId", r#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":""}"#),
        ("RoomId", r#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"a\u0000"}"#),
        (
            "IsPingRequired",
            r#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"r","IsPingRequired":"soon"}"#,
        ),
        (
            "IsMonitorRequired",
            r#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"r","IsMonitorRequired":[]}"#,
        ),
        ("MessageType", r#"{"MessageUuid":"u"}"#),
        ("MessageType", r#"{"MessageType":"Playlist","MessageUuid":"u"}"#),
        ("JSON", r#"{"MessageUuid":"u","MessageType":"Ping""#),
        ("JSON", r#"{"MessageUuid":"u","MessageType":"Ping"} x"#),
    ] {
        let invalid = invalid(frame);
        assert!(invalid.reason.contains(field), "{frame}: {}", invalid.reason);
        assert_eq!(&*invalid.message_uuid, "u", "{frame}");
    }
}

#[test]
fn without_a_usable_message_uuid_an_empty_one_is_echoed() {
    let long = format!(r#"{{"MessageType":"Ping","MessageUuid":"{}"}}"#, "x".repeat(129));
    for frame in [
        "",
        "x",
        "[]",
        "null",
        r#"{"MessageType":"Ping"}"#,
        r#"{"MessageType":"Ping","MessageUuid":3}"#,
        &long,
        "\u{1}",
    ] {
        assert_eq!(&*invalid(frame).message_uuid, "", "{frame}");
    }
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let deep = format!(r#"{{"MessageUuid":"u","x":{}"#, "[".repeat(500_000));
    assert_eq!(&*invalid(&deep).message_uuid, "u");
}

#[test]
fn a_confirm_that_is_broken_is_known_as_one() {
    assert!(invalid(r#"{"MessageType":"Confirm","MessageUuid":"u"}"#).was_confirm);
    assert!(!invalid(r#"{"MessageType":"Ping"}"#).was_confirm);
}

#[test]
fn a_confirm_for_something_that_is_no_uuid_is_nothing_of_ours() {
    let frame = r#"{"MessageType":"Confirm","MessageUuid":"u","Status":"-2"}"#;
    assert_eq!(parse(frame.as_bytes()), Ok(FromClient::Confirm { message_uuid: None, status: Status(-2) }));
    let uuid = Uuid::from_hash(5);
    let frame = format!(r#"{{"MessageType":"Confirm","MessageUuid":"{uuid}","Status":99999999999}}"#);
    let wanted = FromClient::Confirm { message_uuid: Some(uuid), status: Status(i32::MAX) };
    assert_eq!(parse(frame.as_bytes()), Ok(wanted));
}

#[test]
fn a_payload_may_hold_escaped_slashes_as_json_c_prints_them() {
    let frame = r#"{"MessageType":"Propogate","MessageUuid":"u","RoomId":"r","Payload":"\/wA="}"#;
    let Ok(FromClient::Propogate { payload, .. }) = parse(frame.as_bytes()) else { panic!() };
    assert_eq!(&*payload, b"\xff\x00");
}

#[test]
fn a_stream_keeps_its_bytes_and_needs_both_marks_within_4_kib() {
    let frame = b"F3SB\xff\xfe\x00F3FN";
    assert_eq!(parse(frame), Ok(FromClient::Stream(frame[..].into())));
    assert!(parse(b"F3SBF3FN").is_ok());
    for bad in [&b"F3SB"[..], b"F3SBabc", b"F3SBF3F", &[b"F3SB", &[0; 4089][..], b"F3FN"].concat()] {
        assert!(parse(bad).expect_err("bad").reason.contains("Stream"));
    }
    let largest = [b"F3SB", &[0; 4088][..], b"F3FN"].concat();
    assert!(parse(&largest).is_ok());
}

#[test]
fn what_a_client_prints_a_router_reads() {
    let room = RoomId::new("комната \"1\"").unwrap();
    let mut frame = Vec::new();
    fau3d::propogate(&mut frame, "u", &room, &[0, 255, 3]);
    let wanted =
        FromClient::Propogate { message_uuid: "u".into(), room: room.clone(), payload: [0, 255, 3].into() };
    assert_eq!(parse(&frame), Ok(wanted));
    frame.clear();
    fau3d::subscribe(&mut frame, "u", &room, 3, 0);
    let wanted =
        FromClient::Subscribe { message_uuid: "u".into(), room, monitor_period_s: 3, ping_period_s: 0 };
    assert_eq!(parse(&frame), Ok(wanted));
}

/// As its sender prints it, where a client has a printer for it.
fn printed(message: &FromClient) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match message {
        FromClient::Ping { message_uuid } => fau3d::ping(&mut out, message_uuid.parse().ok()?),
        FromClient::Confirm { message_uuid, status } => {
            fau3d::confirm(&mut out, &(*message_uuid)?.to_string(), *status);
        }
        FromClient::Propogate { message_uuid, room, payload } => {
            fau3d::propogate(&mut out, message_uuid, room, payload);
        }
        FromClient::Subscribe { message_uuid, room, monitor_period_s, ping_period_s } => {
            fau3d::subscribe(&mut out, message_uuid, room, *monitor_period_s, *ping_period_s);
        }
        FromClient::Stream(frame) => out.extend_from_slice(frame),
    }
    Some(out)
}

/// Whatever comes in, it is answered within the bounds; what is taken (then
/// true) is printed and read back.
fn survives(frame: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(frame);
    // What a client makes of it must not end the client either.
    let _ = fau3d::from_router::parse(frame, fau3d::from_router::BadRecord::LeftOut);
    let message = match parse(frame) {
        Ok(message) => message,
        Err(invalid) => {
            assert!(invalid.message_uuid.len() <= MESSAGE_UUID_BYTES_MAX, "{shown}");
            return false;
        }
    };
    if let FromClient::Propogate { payload, .. } | FromClient::Stream(payload) = &message {
        assert!(!payload.is_empty() && payload.len() <= frame.len(), "{shown}");
    }
    if let Some(printed) = printed(&message) {
        // Upper case of a UUID is read, and printed in lower case.
        let again = match (parse(&printed), &message) {
            (Ok(FromClient::Ping { .. }), FromClient::Ping { .. }) => return true,
            (again, _) => again,
        };
        assert_eq!(again, Ok(message), "{shown}");
    }
    true
}

/// One of each kind, as devices print them.
const RIGHT: [&[u8]; 6] = [
    br#"{"MessageType":"Ping","MessageUuid":"9e783777-44b3-8e1c-a26b-8e2b1ad35f0e"}"#,
    br#"{ "MessageType": "Confirm", "MessageUuid": "9E783777-44B3-8E1C-A26B-8E2B1AD35F0E", "Status": "3" }"#,
    br#"{"MessageUuid":"u","MessageType":"Confirm","Status":-2.5e0,"x":[{"y":null},true,1e9]}"#,
    br#"{"MessageType":"Propogate","MessageUuid":"u\u00e4\n","RoomId":"\ud83c\udf99 \/ \"","Payload":"QUJDRA=="}"#,
    br#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"r","IsMonitorRequired":"5","IsPingRequired":-1}"#,
    b"F3SB\xff\xfe\x00{\"MessageType\"}F3FN",
];

#[test]
fn no_bytes_make_the_parser_panic() {
    let mut random = Random(1);
    // What tells something to one of the parsers within.
    let telling: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"\\",
        b"\\u",
        b"\\ud83c",
        b"-",
        b"1",
        b"e99",
        b".5",
        b"null",
        b"true",
        b" ",
        b"\n",
        b"\0",
        b"\xff",
        b"\xc3",
        b"F3SB",
        b"F3FN",
        b"\"MessageType\"",
        b"\"MessageUuid\"",
        b"\"Confirm\"",
        b"\"Ping\"",
        b"\"Propogate\"",
        b"\"RoomId\"",
        b"\"Payload\"",
        b"\"QQ==\"",
        b"\"Status\"",
    ];
    for _ in 0..10_000 {
        let length = random.index(60);
        survives(&random.bytes(length));
        let pieces: Vec<_> = (0..length).map(|_| random.pick(&telling)).collect();
        survives(&pieces.concat());
        survives(&[b"{", &pieces.concat()[..], b"}"].concat());
    }
}

#[test]
fn no_mutated_message_makes_the_parser_panic_and_what_is_taken_is_printed_and_read_back() {
    let mut random = Random(2);
    let mut taken = 0;
    assert!(RIGHT.iter().all(|right| survives(right)));
    for _ in 0..5_000 {
        for right in RIGHT {
            taken += u32::from(survives(&random.mutated(right)));
        }
    }
    // Both ways out were taken, each many times.
    assert!((2_000..28_000).contains(&taken), "{taken}");
}

#[test]
fn what_is_printed_is_read_back_whatever_the_names_and_bytes() {
    let mut random = Random(3);
    let characters: Vec<char> = "ab/\"\\{}[]:,\u{20}\u{7f}\u{ff}äя🎙\n\t\u{0}\u{2028}".chars().collect();
    for _ in 0..3_000 {
        let length = 1 + random.index(32);
        let text: String = (0..length).map(|_| random.pick(&characters)).collect();
        let message_uuid: Box<str> = text.as_str().into();
        let Ok(room) = RoomId::new(&text.replace(char::is_control, "_")) else { panic!("{text:?}") };
        let length = 1 + random.index(300);
        let payload = random.bytes(length).into();
        let periods = [0, 1, 5, i32::MAX as u32, u32::MAX];
        let (monitor_period_s, ping_period_s) = (random.pick(&periods), random.pick(&periods));
        let status = Status(random.pick(&[i32::MIN, -2, -1, 0, 3, 99, i32::MAX]));
        let uuid = Uuid::from_hash(u128::from(random.next()) << 64 | u128::from(random.next()));
        for message in [
            FromClient::Propogate { message_uuid: message_uuid.clone(), room: room.clone(), payload },
            FromClient::Subscribe { message_uuid, room, monitor_period_s, ping_period_s },
            FromClient::Confirm { message_uuid: Some(uuid), status },
            FromClient::Ping { message_uuid: uuid.to_string().into() },
        ] {
            let frame = printed(&message).expect("each of these has a printer");
            assert_eq!(parse(&frame), Ok(message), "{}", String::from_utf8_lossy(&frame));
        }
    }
}

#[test]
fn the_worst_frames_of_1_mib_take_no_more_time_than_the_others() {
    use std::time::{Duration, Instant};

    // Far more than a frame takes, far less than anything quadratic does.
    const TIME_MAX: Duration = Duration::from_secs(2);
    let fill = |begin: &str, repeated: &str, end: &str| {
        let times = (fau3d::FRAME_BYTES_MAX - begin.len() - end.len()) / repeated.len();
        [begin, &repeated.repeat(times), end].concat()
    };
    let frames = [
        fill("", "[", ""),
        fill("", "{\"x\":", ""),
        fill("{\"x\":", "[", "}"),
        fill("{\"x\":[", "{},", "0]}"),
        fill("{\"MessageUuid\":\"", "\\u00e4", "\"}"),
        fill("{\"RoomId\":\"", "я", "\"}"),
        fill("{", "\"MessageUuid\":\"\\n\",", "\"x\":0}"),
        fill("{", "\"x\":0,", "\"y\":0}"),
        fill("{\"Status\":", "1", "}"),
        fill("{\"Status\":0.", "1", "}"),
        fill("{\"Status\":1e", "9", "}"),
        fill("{\"MessageType\":\"Confirm\",\"MessageUuid\":\"u\",\"Status\":\"", "9", "\"}"),
        fill("{\"MessageType\":\"Confirm\",\"MessageUuid\":\"u\",\"Status\":\"1.", "9", "e1\"}"),
        fill(
            "{\"MessageType\":\"Propogate\",\"MessageUuid\":\"u\",\"RoomId\":\"r\",\"Payload\":\"",
            "QUJD",
            "\"}",
        ),
        fill(
            "{\"MessageType\":\"Propogate\",\"MessageUuid\":\"u\",\"RoomId\":\"r\",\"Payload\":\"",
            "\\/",
            "\"}",
        ),
        fill("F3SB", "F3FN", "F3FN"),
        fill("", " ", ""),
    ];
    for frame in frames {
        let since = Instant::now();
        survives(frame.as_bytes());
        let span = since.elapsed();
        assert!(span < TIME_MAX, "{span:?}: {}", &frame[..80]);
    }
}

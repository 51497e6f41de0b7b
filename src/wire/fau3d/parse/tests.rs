use super::*;
use crate::wire::{Uuid, fau3d};

fn invalid(frame: &str) -> Invalid {
    parse(frame.as_bytes()).expect_err(frame)
}

#[test]
fn numbers_may_be_numeric_strings_and_periods_from_0_down_are_off() {
    for (given, wanted) in
        [("5", 5), (r#""5""#, 5), ("5.9", 5), ("0", 0), ("-1", 0), (r#""-3""#, 0), ("1e99", u32::MAX)]
    {
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
            r#"{"MessageType":"Subscribe","MessageUuid":"u","RoomId":"r","IsMonitorRequired":null}"#,
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

//! WebSocket frames that break the rules, and Streams that do.

use std::io::Write;

use serde_json::json;

use crate::bad_input::bystanders::undisturbed;
use crate::bad_input::{A_WHILE, assert_hears_only_its_pong, goodbye};
use crate::common::Node;
use crate::common::radio::{BINARY, CLOSE, CONTINUATION, PATIENCE, PING, Radio, SPEEX, TEXT, marked};

const MIB: usize = 1024 * 1024;

#[test]
fn a_frame_over_1_mib_is_answered_with_1009_and_the_largest_is_read() {
    let node = Node::start();
    undisturbed(&node, || {
        let too_big = |send: &dyn Fn(&mut Radio)| {
            let mut radio = Radio::connect(&node, "AA:01");
            send(&mut radio);
            assert_eq!(goodbye(&mut radio), (1009, "a message may have 1 MiB at most".to_owned()));
        };
        for opcode in [TEXT, BINARY] {
            too_big(&|radio| radio.send(opcode, &vec![b' '; MIB + 1]));
        }
        too_big(&|radio| radio.send_fragmented(TEXT, &vec![b' '; MIB + 3]));
        // A header that only announces it, up to what 64 bits hold.
        for length in [MIB as u64 + 1, 1 << 32, i64::MAX as u64, u64::MAX] {
            too_big(&|radio| {
                let header = [&[0x82, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
                radio.socket.write_all(&header).unwrap();
            });
        }
        let mut radio = Radio::connect(&node, "AA:01");
        let mut largest = json!({"MessageType": "Ping", "MessageUuid": "largest"}).to_string();
        largest.push_str(&" ".repeat(MIB - largest.len()));
        radio.send(TEXT, largest.as_bytes());
        assert_eq!(radio.confirmed("largest"), 1);
        radio.send_fragmented(BINARY, largest.as_bytes());
        assert_eq!(radio.confirmed("largest"), 1);
    });
}

#[test]
fn what_breaks_rfc_6455_is_answered_with_1002_and_the_reason() {
    let node = Node::start();
    undisturbed(&node, || {
        let with_first_byte = |first: u8, payload: &[u8]| {
            let mask = [7, 7, 7, 7];
            let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
            frame.extend_from_slice(&mask);
            frame.extend(payload.iter().map(|byte| byte ^ 7));
            frame
        };
        let long_ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat();
        let cases = [
            ("masked", vec![0x81, 2, b'{', b'}']),
            ("reserved bit", with_first_byte(0xc1, b"{}")),
            ("reserved bit", with_first_byte(0x91, b"{}")),
            ("opcode", with_first_byte(0x83, b"{}")),
            ("opcode", with_first_byte(0x8f, b"")),
            ("continuation", with_first_byte(0x80, b"{}")),
            ("new message", [with_first_byte(0x01, b"{"), with_first_byte(0x81, b"}")].concat()),
            ("control frame", with_first_byte(0x09, b"")),
            ("control frame", long_ping),
        ];
        for (reason, bytes) in cases {
            let mut radio = Radio::connect(&node, "AA:01");
            radio.socket.write_all(&bytes).unwrap();
            let (code, said) = goodbye(&mut radio);
            assert!(code == 1002 && said.contains(reason), "{bytes:02x?}: {code} {said}");
        }
    });
}

#[test]
fn a_goodbye_of_any_form_is_answered_and_what_comes_behind_it_is_not() {
    let node = Node::start();
    undisturbed(&node, || {
        for body in [&b""[..], b"\x03", b"\x03\xe8", b"\x03\xe8\xff\xfe", b"\xff\xff", &[0; 125]] {
            let mut radio = Radio::connect(&node, "AA:01");
            radio.send(CLOSE, body);
            // It may be gone already.
            let behind = radio.frame(true, TEXT, br#"{"MessageType":"Ping","MessageUuid":"u"}"#);
            let _ = radio.socket.write_all(&behind);
            assert_eq!(goodbye(&mut radio).0, 1000, "{body:?}");
            assert_eq!(radio.receive(A_WHILE), None);
        }
    });
}

#[test]
fn a_message_in_a_thousand_fragments_some_of_them_empty_is_one_message() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "AA:01");
        let message = json!({"MessageType": "Ping", "MessageUuid": "u", "x": "y".repeat(1_000)}).to_string();
        let first = radio.frame(false, TEXT, b"");
        let mut frames = vec![first];
        for byte in message.as_bytes() {
            frames.push(radio.frame(false, CONTINUATION, &[*byte]));
            frames.push(radio.frame(false, CONTINUATION, b""));
        }
        frames.push(radio.frame(true, CONTINUATION, b""));
        radio.socket.write_all(&frames.concat()).unwrap();
        assert_eq!(radio.confirmed("u"), 1);
        // A ping amid a frame's fragments is answered before the message is whole.
        let begun = radio.frame(false, TEXT, b"{");
        radio.socket.write_all(&begun).unwrap();
        radio.send(PING, b"between");
        assert_eq!(radio.receive(A_WHILE), None, "the Pong, and no answer to half a message");
    });
}

#[test]
fn a_stream_that_is_too_long_lacks_its_end_or_stands_within_json_is_heard_by_nobody() {
    let node = Node::start();
    undisturbed(&node, || {
        let [mut speaker, mut hearer] = ["AA:01", "AA:02"].map(|id| Radio::connect(&node, id));
        speaker.subscribe("hall");
        hearer.subscribe("hall");
        let largest = marked(&[0xfe; 4_096 - 8]);
        let stream = "F3SB live audio F3FN";
        let cases = [
            ("4,097 bytes", "", marked(&[0xfe; 4_097 - 8])),
            ("100,000 bytes", "", marked(&vec![0xfe; 100_000])),
            ("no end mark", "", [b"F3SB", &SPEEX[..]].concat()),
            ("half an end mark", "", [b"F3SB", &SPEEX[..], b"F3F"].concat()),
            ("something behind its end", "", [&marked(&SPEEX)[..], b" "].concat()),
            ("nothing but its begin", "", b"F3SB".to_vec()),
            ("marks that share bytes", "", b"F3SBF3F".to_vec()),
            ("something before its begin", "", [b" ", &marked(&SPEEX)[..]].concat()),
            ("within a JSON string", "", format!("\"{stream}\"").into_bytes()),
            (
                "as a message's field",
                "u",
                json!({"MessageType": "Stream", "MessageUuid": "u", "Payload": stream})
                    .to_string()
                    .into_bytes(),
            ),
            ("bare within JSON", "u", format!(r#"{{"MessageUuid":"u","Payload":{stream}}}"#).into_bytes()),
        ];
        for (what, uuid, frame) in &cases {
            for opcode in [TEXT, BINARY] {
                speaker.send(opcode, frame);
                assert_eq!(speaker.confirmed(uuid), -1, "{what}");
            }
        }
        // Within a field that is ignored it does no harm, and is still no Stream.
        let ping = json!({"MessageType": "Ping", "MessageUuid": "u", "x": stream});
        speaker.send(TEXT, ping.to_string().as_bytes());
        assert_eq!(speaker.confirmed("u"), 1);
        assert_eq!(hearer.receive(A_WHILE), None, "nothing of that was live audio");
        // The largest is, and so is one with nothing in it.
        for right in [&largest, &marked(b"")] {
            speaker.send(TEXT, right);
            assert_eq!(hearer.receive(PATIENCE), Some((BINARY, right.clone())));
        }
        assert_hears_only_its_pong(&mut speaker);
    });
}

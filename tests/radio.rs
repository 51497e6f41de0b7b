//! A radio imitated at the raw socket: it frames for itself (RFC 6455), as the
//! devices in the field do, with all that a router must bear of them
//! (PROTOCOLS.md, section 1).
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use crate::common::Node;
use crate::common::radio::{BINARY, CLOSE, Heard, PATIENCE, REMEMBERED_FOR, Radio, SPEEX, TEXT, marked};
use serde_json::json;

#[test]
fn a_stream_in_text_frames_that_are_not_utf_8_arrives_as_binary() {
    let node = Node::start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    speaker.subscribe("hall");
    hearer.subscribe("hall");
    assert!(std::str::from_utf8(&SPEEX).is_err());
    for number in 0..50 {
        let mut audio = SPEEX;
        audio[37] = number;
        // As radios send it, and every other way that a frame may come.
        match number % 5 {
            0..2 => speaker.send(TEXT, &marked(&audio)),
            2 => speaker.send_fragmented(TEXT, &marked(&audio)),
            3 => speaker.send_dribbling(TEXT, &marked(&audio)),
            _ => speaker.send(BINARY, &marked(&audio)),
        }
        assert_eq!(hearer.receive(PATIENCE), Some((BINARY, marked(&audio))), "frame {number}");
    }
    assert_eq!(speaker.receive(Duration::from_millis(300)), None, "no echo, no Confirm");
}

#[test]
fn a_message_is_stored_however_its_bytes_come_and_with_escaped_slashes() {
    let node = Node::start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    hearer.subscribe("hall / left");
    // 0xff in a row is nothing but slashes in base64; 20 s are a radio's longest.
    for (number, payload) in [vec![0xff; 380], SPEEX.repeat(25), SPEEX.repeat(1_000)].iter().enumerate() {
        let (uuid, message) = speaker.propogate("hall / left", payload);
        assert!(String::from_utf8_lossy(&message).contains("hall \\/ left"));
        match number {
            0 => speaker.send_dribbling(TEXT, &message),
            1 => speaker.send_fragmented(TEXT, &message),
            _ => speaker.send(TEXT, &message),
        }
        assert_eq!(speaker.confirmed(&uuid), 3, "FAU3_STORED");
        let Some(Heard::Voice(_, heard)) = hearer.hear(PATIENCE) else { panic!("message {number} is lost") };
        assert_eq!(&heard, payload);
    }
}

#[test]
fn a_radio_that_remembers_a_message_uuid_answers_it_again_only_after_5_seconds() {
    // Given a router that sends again after 1 s, up to 3 times, and a radio whose
    // Confirm is lost
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    hearer.subscribe("hall");
    let (uuid, message) = speaker.propogate("hall", &SPEEX);
    speaker.send(TEXT, &message);
    assert_eq!(speaker.confirmed(&uuid), 3);
    let lost = hearer.message(PATIENCE).unwrap();
    let playlist = lost["MessageUuid"].as_str().unwrap().to_owned();
    let lost_at = Instant::now();
    hearer.remembered.push_back((lost_at, playlist.clone()));

    // When the router sends it again, the radio is silent, and the router gives
    // up after the third time
    for _ in 0..3 {
        assert_eq!(hearer.hear(PATIENCE), Some(Heard::Remembered(playlist.clone())));
    }
    assert!(lost_at.elapsed() < REMEMBERED_FOR, "too slow to tell anything");
    assert_eq!(hearer.hear(Duration::from_secs(2)), None, "given up");

    // Then it is not lost, and others are heard meanwhile: the radio comes back
    // once it has forgotten, and gets it with the same MessageUuid
    std::thread::sleep(REMEMBERED_FOR.saturating_sub(lost_at.elapsed()));
    let remembered = std::mem::take(&mut hearer.remembered);
    drop(hearer);
    let mut hearer = Radio::connect(&node, "AA:02");
    hearer.remembered = remembered;
    hearer.send_subscribe("hall", 0);
    // The session goes on with the connection, before the room is confirmed.
    let heard = [hearer.hear(PATIENCE).unwrap(), hearer.hear(PATIENCE).unwrap()];
    assert!(heard.contains(&Heard::Voice(playlist, SPEEX.to_vec())), "{heard:?}");
    assert_eq!(hearer.hear(Duration::from_secs(2)), None, "confirmed, so not again");
}

#[test]
fn a_radio_that_answers_only_playlist_and_ping_keeps_its_connection() {
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    let mut radio = Radio::connect(&node, "AA:01");
    let uuid = radio.send_subscribe("hall", 1);
    assert_eq!(radio.confirmed(&uuid), 0);
    let (mut pings, mut monitors) = (0, Vec::new());
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        match radio.hear(PATIENCE).expect("the connection stays") {
            Heard::Ping => pings += 1,
            Heard::Unanswered(message) => {
                assert_eq!(message["MessageType"], "Monitor", "{message}");
                monitors.push(message["MessageUuid"].to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pings >= 4 && monitors.len() >= 4, "{pings} Pings, {} Monitors", monitors.len());
    let (uuid, message) = radio.propogate("hall", &SPEEX);
    radio.send(TEXT, &message);
    loop {
        match radio.hear(PATIENCE).expect("a Confirm") {
            Heard::Unanswered(message) if message["MessageType"] == "Confirm" => {
                assert_eq!(message["MessageUuid"], uuid);
                break;
            }
            _ => {}
        }
    }
}

#[test]
fn a_radio_that_speaks_while_it_is_spoken_to_loses_nothing() {
    let node = Node::start();
    let (mut one, mut two) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    one.subscribe("hall");
    two.subscribe("hall");
    const MESSAGES: usize = 30;
    let mut heard = [Vec::new(), Vec::new()];
    let mut stored = [0, 0];
    for number in 0..MESSAGES {
        for radio in [&mut one, &mut two] {
            let (_, message) = radio.propogate("hall", &[number as u8; 380]);
            radio.send(TEXT, &message);
        }
    }
    for (at, radio) in [&mut one, &mut two].into_iter().enumerate() {
        while heard[at].len() < MESSAGES || stored[at] < MESSAGES {
            match radio.hear(PATIENCE).expect("nothing is lost") {
                Heard::Voice(_, payload) => heard[at].push(payload[0]),
                Heard::Unanswered(message) => {
                    assert_eq!((&message["MessageType"], &message["Status"]), (&json!("Confirm"), &json!(3)));
                    stored[at] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(heard[at].iter().copied().eq(0..MESSAGES as u8), "in the order said: {:?}", heard[at]);
    }
}

#[test]
fn a_goodbye_is_answered_with_a_goodbye() {
    let node = Node::start();
    let mut radio = Radio::connect(&node, "AA:01");
    radio.send(CLOSE, &1000_u16.to_be_bytes());
    let (opcode, payload) = radio.receive(PATIENCE).expect("an answer");
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1000_u16.to_be_bytes()[..]));
}

/// It reads the answer to its upgrade with one read(2), and takes what has come
/// right behind it for the rest of that.
#[test]
fn nothing_comes_behind_the_answer_to_an_upgrade_before_the_radios_first_word() {
    // Given a radio to which a message is owed,
    let node = Node::start();
    let (mut speaker, mut hearer) = (Radio::connect(&node, "AA:01"), Radio::connect(&node, "AA:02"));
    hearer.subscribe("hall");
    drop(hearer);
    let mut say = |text: &[u8]| {
        let (uuid, message) = speaker.propogate("hall", text);
        speaker.send(TEXT, &message);
        assert_eq!(speaker.confirmed(&uuid), 3);
    };
    say(b"owed");
    // when it comes back, then it is not spoken to for 2 s,
    let since = Instant::now();
    let mut silent = Radio::connect(&node, "AA:02");
    assert!(matches!(silent.hear(PATIENCE), Some(Heard::Voice(..))));
    assert!(since.elapsed() >= Duration::from_millis(1_900), "{:?}", since.elapsed());
    drop(silent);
    say(b"and this");
    // or until it says something, and be it nonsense.
    let mut hearer = Radio::connect(&node, "AA:02");
    let since = Instant::now();
    hearer.send(TEXT, b"nonsense");
    hearer.confirmed("");
    assert!(matches!(hearer.hear(PATIENCE), Some(Heard::Voice(..))));
    assert!(since.elapsed() < Duration::from_millis(1_900), "{:?}", since.elapsed());
}

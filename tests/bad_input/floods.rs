//! Too much of something: connections, frames, or what is not read.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bad_input::bystanders::undisturbed;
use crate::bad_input::{ELSEWHERE, assert_hears_only_its_pong, count, resident_kib};
use crate::common::Node;
use crate::common::http::{exchange, upgrade};
use crate::common::radio::{BINARY, Heard, PATIENCE, PING, PONG, Radio, TEXT, marked};

/// How much a node may grow under a flood, beyond what it may store.
const GROWTH_MAX_KIB: u64 = 8 * 1024;
/// A socket that takes nothing for this long is full.
const FULL_AFTER: Duration = Duration::from_secs(1);
/// What of a flood is enough, if the router keeps taking it in, in bytes.
const FLOOD_MAX: usize = 64 * 1024 * 1024;

/// Writes `bytes` again and again until the other side takes no more.
fn flood(socket: &mut TcpStream, bytes: &[u8]) -> usize {
    socket.set_write_timeout(Some(FULL_AFTER)).unwrap();
    let mut written = 0;
    while written < FLOOD_MAX {
        match socket.write(bytes) {
            // The rest of a frame that was taken in part must follow first.
            Ok(length) if length == bytes.len() => written += length,
            Ok(length) => return written + length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("the connection ended under the flood: {error}"),
        }
    }
    written
}

#[test]
fn a_client_that_asks_and_never_reads_costs_bounded_memory() {
    let node = Node::start();
    undisturbed(&node, || {
        let before = resident_kib(&node);
        let ask = json!({"MessageType": "Ping", "MessageUuid": "u".repeat(128)}).to_string().into_bytes();
        let propogate = json!({"MessageType": "Propogate", "MessageUuid": "the same", "RoomId": "hall",
            "Payload": "QUJD"});
        let kinds = [
            (TEXT, ask),
            (TEXT, b"no JSON".to_vec()),
            (PING, vec![0; 125]),
            (TEXT, propogate.to_string().into_bytes()),
        ];
        let flooding: Vec<_> = (0..8).map(|number| Radio::connect(&node, &format!("AA:{number}"))).collect();
        std::thread::scope(|scope| {
            for (mut radio, (opcode, bytes)) in flooding.into_iter().zip(kinds.iter().cycle()) {
                scope.spawn(move || {
                    let frames = radio.frame(true, *opcode, bytes).repeat(100);
                    let written = flood(&mut radio.socket, &frames);
                    assert!(written < FLOOD_MAX, "a client that does not read is read from without end");
                });
            }
        });
        let grown = resident_kib(&node).saturating_sub(before);
        assert!(grown < GROWTH_MAX_KIB, "grew by {grown} KiB");
    });
}

#[test]
fn a_hearer_that_never_reads_costs_bounded_memory_and_the_others_hear_everything() {
    const STORAGE_KIB: u64 = 1_024;
    let node = Node::with(&[&format!("clients.storage_max_kib={STORAGE_KIB}")]).start();
    undisturbed(&node, || {
        let mut deaf: Vec<_> =
            (0..20).map(|number| Radio::connect(&node, &format!("deaf {number}"))).collect();
        let [mut speaker, mut hearer] = ["AA:01", "AA:02"].map(|id| Radio::connect(&node, id));
        for radio in deaf.iter_mut().chain([&mut hearer, &mut speaker]) {
            radio.subscribe("hall");
        }
        for radio in &deaf {
            // So that what they do not read waits at the router, not in the kernel.
            rustix::net::sockopt::set_socket_recv_buffer_size(&radio.socket, 4_096).unwrap();
        }
        let before = resident_kib(&node);
        let audio = marked(&[7; 4_000]);
        for number in 0..200_u8 {
            let payload = vec![number; 38_000];
            let (uuid, message) = speaker.propogate("hall", &payload);
            speaker.send(TEXT, &message);
            assert_eq!(speaker.confirmed(&uuid), 3);
            assert!(matches!(hearer.hear(PATIENCE), Some(Heard::Voice(_, heard)) if heard == payload));
            for _ in 0..30 {
                speaker.send(BINARY, &audio);
                assert_eq!(hearer.receive(PATIENCE), Some((BINARY, audio.clone())));
            }
        }
        let grown = resident_kib(&node).saturating_sub(before);
        assert!(grown < STORAGE_KIB + GROWTH_MAX_KIB, "grew by {grown} KiB");
        // Who begins to read hears what was said first.
        let first = deaf[0].hear(PATIENCE);
        assert!(matches!(&first, Some(Heard::Voice(_, heard)) if *heard == [0; 38_000]), "{first:?}");
    });
}

#[test]
fn a_thousand_silent_connections_from_one_address_keep_nobody_else_out() {
    let node = Node::start();
    undisturbed(&node, || {
        let silent: Vec<_> = (0..1_000).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
        let since = Instant::now();
        let mut newcomer = Radio::connect_from(ELSEWHERE, &node, "newcomer");
        assert_hears_only_its_pong(&mut newcomer);
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        // Those beyond an address's share are told so at once.
        let mut answered = 0;
        for mut socket in silent {
            socket.set_nonblocking(true).unwrap();
            let mut head = [0; 12];
            match std::io::Read::read(&mut socket, &mut head) {
                Ok(12) => {
                    assert_eq!(&head, b"HTTP/1.1 503");
                    answered += 1;
                }
                Ok(length) => panic!("{length} bytes of an answer"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "closed without a word"),
            }
        }
        assert_eq!(answered, 1_000 - 128);
    });
}

#[test]
fn a_thousand_clients_from_one_address_leave_places_for_others() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut let_in = Vec::new();
        let mut refused = 0;
        for number in 0..1_000 {
            match Radio::try_connect_from(Ipv4Addr::LOCALHOST, &node, &format!("one of many {number}")) {
                Ok(radio) => let_in.push(radio),
                Err(answer) => {
                    assert_eq!(answer.status, 503, "{answer:?}");
                    assert!(answer.body.contains("too many clients from your address"), "{answer:?}");
                    refused += 1;
                }
            }
        }
        // 256 places, one in eight for other addresses.
        assert_eq!((let_in.len(), refused), (224, 776));
        let mut newcomer = Radio::connect_from(ELSEWHERE, &node, "newcomer");
        assert_hears_only_its_pong(&mut newcomer);
        // Those let in are served, all of them.
        let_in.iter_mut().for_each(assert_hears_only_its_pong);
    });
    assert_eq!(count(&node, "connections", "refused"), 776);
}

#[test]
fn a_flood_of_subscribes_is_answered_one_by_one_and_leaves_one_room() {
    const SUBSCRIBES: usize = 20_000;
    let node = Node::with(&["clients.storage=disk"]).start();
    let before = resident_kib(&node);
    undisturbed(&node, || {
        let mut radio = Radio::connect(&node, "restless");
        let frames: Vec<u8> = (0..SUBSCRIBES)
            .flat_map(|number| {
                let message = json!({"MessageType": "Subscribe", "MessageUuid": number.to_string(),
                    "RoomId": format!("room {number}"), "IsPingRequired": number % 7});
                radio.frame(true, TEXT, message.to_string().as_bytes())
            })
            .collect();
        let mut writer = radio.socket.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&frames).unwrap());
            for number in 0..SUBSCRIBES {
                assert_eq!(radio.confirmed(&number.to_string()), 0, "FAU3_OK");
            }
        });
        let status = node.status();
        let rooms = status["rooms"].as_array().unwrap();
        let last = format!("room {}", SUBSCRIBES - 1);
        assert!(rooms.iter().any(|room| room["room"] == *last), "{rooms:?}");
        assert_eq!(rooms.len(), 2, "that one, and the bystanders': {rooms:?}");
        radio.socket.shutdown(Shutdown::Both).unwrap();
    });
    let grown = resident_kib(&node).saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIB, "grew by {grown} KiB");
}

/// A radio says its longest, 20 s of voice, in pieces that arrive one by one, as
/// over a slow link.
fn assert_long_messages_are_heard(node: &Node, pair: &str) {
    let ids = [format!("{pair} speaks"), format!("{pair} hears")];
    let [mut speaker, mut hearer] = ids.map(|id| Radio::connect_from(ELSEWHERE, node, &id));
    hearer.subscribe("hall");
    let voice = vec![7; 38_000];
    for _ in 0..3 {
        let (uuid, message) = speaker.propogate("hall", &voice);
        for piece in speaker.frame(true, TEXT, &message).chunks(10_000) {
            speaker.socket.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(speaker.confirmed(&uuid), 3);
        assert!(matches!(hearer.hear(PATIENCE), Some(Heard::Voice(_, heard)) if heard == voice));
    }
}

#[test]
fn messages_that_are_begun_and_never_ended_do_not_keep_others_from_long_ones() {
    let node = Node::start();
    undisturbed(&node, || {
        let before = resident_kib(&node);
        // The longest, and so many short ones that none is longer than a radio's
        for (clients, length) in [(40, 1024 * 1024), (200, 45_000)] {
            let mut begun = Vec::new();
            for number in 0..clients {
                let mut radio = Radio::connect(&node, &format!("AA:{number}"));
                let frame = radio.frame(true, TEXT, &vec![b' '; length]);
                radio.socket.set_write_timeout(Some(FULL_AFTER)).unwrap();
                // Some are ended for it, which may be amid the writing.
                let _ = radio.socket.write_all(&frame[..frame.len() - 1]);
                begun.push(radio);
            }
            assert_long_messages_are_heard(&node, &format!("beside {clients}"));
            let grown = resident_kib(&node).saturating_sub(before);
            assert!(grown < 2 * GROWTH_MAX_KIB, "grew by {grown} KiB");
            let ended = begun.iter_mut().filter_map(|radio| radio.receive(Duration::from_millis(1)));
            let reasons: Vec<_> = ended.map(|(_, payload)| payload[2..].to_vec()).collect();
            assert!(reasons.iter().all(|reason| reason == b"too many long messages at once; try again"));
            assert!(!reasons.is_empty());
        }
    });
}

#[test]
fn long_messages_that_have_ended_take_no_memory_from_those_that_come() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut ended = Vec::new();
        for number in 0..20 {
            let mut radio = Radio::connect(&node, &format!("AA:{number}"));
            let mut ping = json!({"MessageType": "Ping", "MessageUuid": "u"}).to_string();
            ping.push_str(&" ".repeat(1_000_000));
            radio.send(TEXT, ping.as_bytes());
            assert_eq!(radio.confirmed("u"), 1);
            ended.push(radio);
        }
        assert_long_messages_are_heard(&node, "later");
        // Nobody had to give way.
        ended.iter_mut().for_each(assert_hears_only_its_pong);
    });
}

#[test]
fn a_router_out_of_descriptors_goes_on_with_those_it_serves_and_says_so_once() {
    use rustix::process::{Pid, Resource, getrlimit, prlimit};
    let node = Node::start();
    let pid = Pid::from_raw(node.pid().try_into().unwrap());
    undisturbed(&node, || {
        let few = rustix::process::Rlimit { current: Some(40), ..getrlimit(Resource::Nofile) };
        prlimit(pid, Resource::Nofile, few).unwrap();
        let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
        // Those that wait are let in when the silent ones' time is over.
        let mut newcomer = Radio::connect_from(ELSEWHERE, &node, "newcomer");
        assert_hears_only_its_pong(&mut newcomer);
        drop(silent);
    });
    let log = node.log();
    assert!((1..=3).contains(&log.matches("cannot accept connections").count()), "{log}");
}

#[test]
fn a_flood_of_requests_on_one_connection_is_answered_in_order() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut socket = TcpStream::connect(node.address()).unwrap();
        for _ in 0..2_000 {
            let answer = exchange(&mut socket, b"GET /x HTTP/1.1\r\nHost: r\r\n\r\n").unwrap();
            assert_eq!(answer.status, 404);
        }
        let upgraded = exchange(&mut socket, &upgrade("/", &["fau3-client-id: patient"])).unwrap();
        assert_eq!(upgraded.status, 101);
    });
}

/// A client with a ping time-out of 20 s behind a link of 8 KiB/s would drop if its
/// ping were answered behind all that is stored.
#[test]
fn a_ping_and_a_confirm_wait_behind_no_more_than_one_long_message() {
    const MESSAGES: usize = 12;
    /// The longest that a radio sends, in bytes, and what its Playlist has.
    const LONG: usize = 38_000;
    const PLAYLIST_BYTES: usize = 51_200;
    let node = Node::start();
    undisturbed(&node, || {
        // Given twelve long messages for one that reads nothing,
        let [mut speaker, mut hearer] = ["AA:01", "AA:02"].map(|id| Radio::connect(&node, id));
        hearer.subscribe("hall");
        rustix::net::sockopt::set_socket_recv_buffer_size(&hearer.socket, 4_096).unwrap();
        for number in 0..MESSAGES {
            let (uuid, frame) = speaker.propogate("hall", &[number as u8; LONG]);
            speaker.send(TEXT, &frame);
            assert_eq!(speaker.confirmed(&uuid), 3);
        }
        // when it asks whether the router is there, in both ways,
        hearer.send(PING, b"there?");
        hearer.send(TEXT, br#"{"MessageType":"Ping","MessageUuid":"p"}"#);
        std::thread::sleep(Duration::from_millis(300));
        // then the answers stand behind one of them at most,
        let (mut before, mut answers, mut playlists) = (0, 0, Vec::new());
        while answers < 2 {
            let Some((opcode, payload)) = hearer.take_frame() else {
                assert!(hearer.read_more(PATIENCE), "no answers");
                continue;
            };
            let is_confirm = payload.windows(9).any(|part| part == b"\"Confirm\"");
            if opcode == PONG || is_confirm {
                answers += 1;
            } else {
                before += payload.len();
                playlists.push(payload);
            }
        }
        assert!(before <= PLAYLIST_BYTES, "{before} bytes before the answers");
        // and all of them come, in their order, as it answers.
        let mut heard = Vec::new();
        while heard.len() < MESSAGES {
            let payload = match playlists.pop() {
                Some(payload) => payload,
                None => hearer.receive(PATIENCE).expect("the next one").1,
            };
            let playlist: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            if playlist["MessageType"] != "Playlist" {
                continue;
            }
            heard.push(playlist["Records"][0]["Payload"].as_str().unwrap()[..4].to_owned());
            let confirm =
                json!({"MessageType": "Confirm", "MessageUuid": playlist["MessageUuid"], "Status": 3});
            hearer.send(TEXT, confirm.to_string().as_bytes());
        }
        let mut sorted = heard.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((heard.len(), &heard), (sorted.len(), &sorted), "each once, in order");
    });
}

#[test]
fn connections_for_which_there_is_no_place_are_told_logged_once_and_counted() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut sockets: Vec<_> =
            (0..220).map(|_| crate::common::http::connect_from(ELSEWHERE, node.address())).collect();
        crate::common::wait_for("the last ones to be turned away", PATIENCE, || {
            count(&node, "connections", "crowded_out") == 220 - 128
        });
        let answer = exchange(&mut sockets[219], b"").unwrap();
        assert_eq!((answer.status, &*answer.headers["retry-after"]), (503, "10"));
    });
    let log = node.log();
    assert_eq!(log.lines().filter(|line| line.contains("turned away")).count(), 1, "{log}");
    assert!(log.contains("too many connections") && log.contains("address=127.0.0.3"), "{log}");
}

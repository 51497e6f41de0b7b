//! Client ids and upgrades that are not as they should be.

use crate::bad_input::bystanders::undisturbed;
use crate::bad_input::{ELSEWHERE, assert_hears_only_its_pong, count, goodbye};
use crate::common::Node;
use crate::common::http::{Answer, http, upgrade};
use crate::common::radio::Radio;

/// One line that says what to do.
fn assert_one_line(answer: &Answer, what: &str) {
    let lines: Vec<_> = answer.body.lines().collect();
    assert!(lines.len() == 1 && answer.body.ends_with('\n'), "{what}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8", "{what}");
}

#[test]
fn a_client_id_that_is_missing_or_bad_is_answered_with_400_and_one_line() {
    let node = Node::start();
    let long = format!("fau3-client-id: {}", "x".repeat(65));
    let long_target = format!("/?fau3-client-id={}", "x".repeat(65));
    let header = |bytes: &[u8]| {
        let mut request = upgrade("/", &[]);
        request.truncate(request.len() - 2);
        [&request, &b"fau3-client-id: "[..], bytes, b"\r\n\r\n"].concat()
    };
    let cases = [
        ("no header", "missing", upgrade("/", &[])),
        ("another header", "missing", upgrade("/", &["fau3-client: a"])),
        ("another parameter", "missing", upgrade("/?client-id=a", &[])),
        ("empty", "empty", upgrade("/", &["fau3-client-id:"])),
        ("spaces only", "empty", upgrade("/", &["fau3-client-id:    "])),
        ("65 characters", "longer than 64", upgrade("/", &[&long])),
        ("not ASCII", "not ASCII", header("радио".as_bytes())),
        ("not even text", "not ASCII", header(b"\xff\xfe\x80")),
        ("a tab within", "not allowed", header(b"a\tb")),
        ("twice", "twice", upgrade("/", &["fau3-client-id: a", "fau3-client-id: b"])),
        ("empty in the target", "empty", upgrade("/?fau3-client-id=", &[])),
        ("65 characters in the target", "longer than 64", upgrade(&long_target, &[])),
        ("not ASCII in the target", "not allowed", upgrade("/?fau3-client-id=%D1%8F", &[])),
        ("not text in the target", "not ASCII", upgrade("/?fau3-client-id=%FF", &[])),
        ("a NUL in the target", "not allowed", upgrade("/?fau3-client-id=a%00b", &[])),
        ("a line end in the target", "not allowed", upgrade("/?fau3-client-id=a%0D%0Ab", &[])),
        ("a space at its end in the target", "not allowed", upgrade("/?fau3-client-id=a%20", &[])),
        ("half an escape in the target", "not ASCII", upgrade("/?fau3-client-id=a%2", &[])),
    ];
    undisturbed(&node, || {
        for (what, reason, request) in &cases {
            let answer = http(node.address(), request);
            assert_eq!(answer.status, 400, "{what}: {answer:?}");
            assert_one_line(&answer, what);
            assert!(
                answer.body.contains("fau3-client-id") && answer.body.contains(reason),
                "{what}: {answer:?}"
            );
        }
        // What HTTP itself does not allow never becomes a header.
        assert_eq!(http(node.address(), header(b"a\0b")).status, 400);
        // The longest one is one.
        assert_hears_only_its_pong(&mut Radio::connect(&node, &"x".repeat(64)));
    });
}

#[test]
fn an_upgrade_that_is_none_is_told_what_is_missing() {
    let node = Node::start();
    let with = |from: &str, to: &str| {
        let request = String::from_utf8(upgrade("/", &["fau3-client-id: radio"])).unwrap();
        assert!(request.contains(from));
        request.replace(from, to)
    };
    undisturbed(&node, || {
        for version in ["12", "8", "14", "013", "abc", ""] {
            let request = with("Version: 13", &format!("Version: {version}"));
            let answer = http(node.address(), request);
            assert_eq!((answer.status, &*answer.headers["sec-websocket-version"]), (426, "13"), "{answer:?}");
            assert_one_line(&answer, version);
        }
        let answer = http(node.address(), with("Sec-WebSocket-Version: 13\r\n", ""));
        assert_eq!((answer.status, &*answer.headers["sec-websocket-version"]), (426, "13"), "{answer:?}");
        for (what, status, request) in [
            ("no key", 400, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")),
            ("another protocol", 426, with("Upgrade: websocket", "Upgrade: h2c")),
            ("no Upgrade", 426, with("Upgrade: websocket\r\n", "")),
            ("no Connection", 426, with("Connection: Upgrade\r\n", "")),
            ("POST", 404, with("GET", "POST")),
        ] {
            let answer = http(node.address(), request);
            assert_eq!(answer.status, status, "{what}: {answer:?}");
            assert_one_line(&answer, what);
        }
    });
    assert_eq!(node.status()["clients"].as_array().unwrap().len(), 0, "nobody got half in");
}

#[test]
fn two_devices_with_one_id_that_take_it_from_each_other_are_both_refused_with_the_reason() {
    let node = Node::start();
    undisturbed(&node, || {
        // Given two devices that come back as soon as the other one has the id
        let mut holder = Radio::connect(&node, "AA:BB");
        for _ in 0..3 {
            let newcomer = Radio::connect(&node, "AA:BB");
            let (code, reason) = goodbye(&mut holder);
            assert_eq!((code, &*reason), (4001, "the same client id connected again"));
            holder = newcomer;
        }
        // When it goes on, then neither has it
        let refused = |what: &str| {
            let Err(answer) = Radio::try_connect_from(ELSEWHERE, &node, "AA:BB") else { panic!("{what}") };
            assert_eq!(answer.status, 409, "{what}: {answer:?}");
            assert!(
                answer.body.contains("several devices use this client id; give each its own"),
                "{answer:?}"
            );
            assert_one_line(&answer, what);
        };
        refused("the newcomer");
        let (code, reason) = goodbye(&mut holder);
        assert_eq!(code, 4002);
        assert!(reason.contains("several devices use this client id; give each its own"), "{reason}");
        refused("the other one");
        // And whoever has an id of its own is let in.
        assert_hears_only_its_pong(&mut Radio::connect(&node, "AA:BC"));
    });
    assert_eq!(count(&node, "connections", "takeovers"), 3);
}

/// Nobody is at the other end of the connections that it has left: it is not two.
#[test]
fn one_device_whose_link_breaks_without_a_word_is_let_in_each_time() {
    let node = Node::start();
    let left: Vec<Radio> = (0..8).map(|_| Radio::connect(&node, "AA:BB")).collect();
    assert_eq!(count(&node, "connections", "takeovers"), left.len() as u64 - 1);
    assert_eq!(count(&node, "connections", "refused"), 0);
}

#[test]
fn beyond_max_clients_a_client_is_answered_with_503_until_a_place_is_free() {
    let node = Node::with(&["clients.max_clients=4"]).start();
    undisturbed(&node, || {
        let [one, mut two] = ["one", "two"].map(|id| Radio::connect(&node, id));
        for _ in 0..20 {
            let Err(answer) = Radio::try_connect_from(ELSEWHERE, &node, "three") else { panic!("the fifth") };
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.body.contains("clients.max_clients"), "{answer:?}");
            assert_one_line(&answer, "503");
        }
        // Who is in may come again, and takes its own place.
        let again = Radio::connect(&node, "one");
        drop(one);
        assert_hears_only_its_pong(&mut two);
        drop((again, two));
        crate::common::wait_for("a place", std::time::Duration::from_secs(5), || {
            Radio::try_connect_from(ELSEWHERE, &node, "three").is_ok()
        });
    });
}

/// As ESP-IDF looks for them: byte for byte.
#[test]
fn the_fields_of_every_answer_are_spelled_as_the_standards_spell_them() {
    let node = Node::start();
    let wanted: [(Vec<u8>, &[&str]); 4] = [
        (
            upgrade("/", &["fau3-client-id: radio", "Sec-WebSocket-Protocol: Fau3VOMProto"]),
            &[
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Protocol: Fau3VOMProto",
            ],
        ),
        (upgrade("/", &[]), &["Content-Type: text/plain; charset=utf-8", "Connection: close"]),
        (
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(),
            &["Upgrade: websocket", "Connection: close"],
        ),
        (
            b"GET /fau3vom/GetExtraServersList HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(),
            &["Content-Type: application/json", "Content-Length: "],
        ),
    ];
    for (request, fields) in wanted {
        let head = head_of(&node, &request);
        for field in fields {
            assert!(head.contains(&format!("\r\n{field}")), "{field}:\n{head}");
        }
        let names = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        for (name, _) in names {
            assert!(
                name.split('-').all(|part| part.starts_with(|first: char| first.is_ascii_uppercase())),
                "{name}"
            );
        }
    }
}

/// The head of the answer as it came.
fn head_of(node: &Node, request: &[u8]) -> String {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(node.address()).unwrap();
    socket.set_read_timeout(Some(crate::common::radio::PATIENCE)).unwrap();
    socket.write_all(request).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_sub_protocol_is_echoed_as_it_was_offered_or_not_at_all() {
    let node = Node::start();
    for (offered, echoed) in [
        ("Sec-WebSocket-Protocol: fau3vomproto", Some("fau3vomproto")),
        ("Sec-WebSocket-Protocol: other, FAU3VOMPROTO", Some("FAU3VOMPROTO")),
        ("Sec-WebSocket-Protocol: Fau3VOMProto, fau3vomproto", Some("Fau3VOMProto")),
        ("Sec-WebSocket-Protocol: other", None),
        ("x: y", None),
    ] {
        let answer = http(node.address(), upgrade("/", &["fau3-client-id: radio", offered]));
        assert_eq!(answer.status, 101);
        assert_eq!(answer.headers.get("sec-websocket-protocol").map(|it| &**it), echoed, "{offered}");
    }
}

/// Nobody is thrown out by a request that comes to nothing.
#[test]
fn an_upgrade_that_fails_takes_no_session_over() {
    use std::io::Write;
    let node = Node::start();
    let mut radio = Radio::connect(&node, "AA:BB");
    let right = String::from_utf8(upgrade("/", &["fau3-client-id: AA:BB"])).unwrap();
    let with = |from: &str, to: &str| right.replace(from, to);
    for (what, status, request) in [
        ("HTTP/1.0", 426, with("HTTP/1.1", "HTTP/1.0")),
        ("another version", 426, with("Version: 13", "Version: 8")),
        ("no key", 400, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")),
        ("an empty key", 400, with("dGhlIHNhbXBsZSBub25jZQ==", "")),
        ("two keys", 400, with("Host: router", "Sec-WebSocket-Key: x")),
        ("no Connection", 426, with("Connection: Upgrade\r\n", "")),
        ("POST", 404, with("GET", "POST")),
        (
            "a page from elsewhere",
            403,
            with("Host: router", "Host: 127.0.0.1\r\nOrigin: http://attacker.example"),
        ),
    ] {
        let answer = http(node.address(), request);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_one_line(&answer, what);
    }
    // One that asks and goes.
    for _ in 0..50 {
        let mut socket = std::net::TcpStream::connect(node.address()).unwrap();
        socket.write_all(right.as_bytes()).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
    }
    assert_hears_only_its_pong(&mut radio);
}

#[test]
fn pages_from_elsewhere_are_refused_with_the_reason_and_counted_and_devices_never_are() {
    let node = Node::with(&["clients.allow_origin=https://intercom.example", "node.name=router-a"]).start();
    let ask = |host: &str, origin: &str| {
        let request = String::from_utf8(upgrade("/", &["fau3-client-id: page"])).unwrap();
        let origin = if origin.is_empty() { String::new() } else { format!("\r\nOrigin: {origin}") };
        http(node.address(), request.replace("Host: router", &format!("Host: {host}{origin}")))
    };
    undisturbed(&node, || {
        for (host, origin) in [
            ("attacker.example", ""),
            ("127.0.0.1:8901", "http://127.0.0.1:8903"),
            ("router-a.lan:8901", "http://router-a.lan"),
            ("voice.example", "https://intercom.example"),
        ] {
            assert_eq!(ask(host, origin).status, 101, "{origin} to {host}");
        }
        for (host, origin, status) in [
            ("127.0.0.1:8901", "http://attacker.example", 403),
            ("127.0.0.1:8901", "null", 403),
            ("127.0.0.1:8901", "http://intercom.example", 403),
            ("attacker.example:8901", "http://attacker.example:8901", 421),
        ] {
            let answer = ask(host, origin);
            assert_eq!(answer.status, status, "{origin} to {host}: {answer:?}");
            assert_one_line(&answer, origin);
        }
        assert!(ask("127.0.0.1", "http://a.example").body.contains("list allow_origin http://a.example"));
    });
    assert_eq!(count(&node, "connections", "pages_refused"), 5);
    let lines = node.log().lines().filter(|line| line.contains("turned away")).count();
    assert_eq!(lines, 1, "one line a minute: {}", node.log());
}

#[test]
fn one_that_is_refused_again_and_again_fills_no_log() {
    let node = Node::with(&["clients.allow_client=AA:BB"]).start();
    for number in 0..200 {
        let Err(answer) = Radio::try_connect_from(ELSEWHERE, &node, &number.to_string()) else {
            panic!("{number} is let in")
        };
        assert_eq!(answer.status, 403);
    }
    let log = node.log();
    assert_eq!(log.lines().filter(|line| line.contains("turned away")).count(), 1, "{log}");
    assert!(log.contains("allow_client") && log.contains("client_id=0 address=127.0.0.3"), "{log}");
    assert!(count(&node, "connections", "refused") >= 200);
}

/// Cookies and what proxies add: a head of 8 KiB is taken.
#[test]
fn a_long_request_is_taken() {
    let node = Node::start();
    let cookie = format!("Cookie: {}", "x".repeat(8_192));
    assert_eq!(http(node.address(), upgrade("/", &["fau3-client-id: a", &cookie])).status, 101);
}

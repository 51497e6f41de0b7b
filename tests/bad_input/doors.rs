//! Plain HTTP, and what is not even that, on the clients' port.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::bad_input::bystanders::undisturbed;
use crate::common::Node;
use crate::common::http::{exchange, http};
use crate::common::radio::PATIENCE;

#[test]
fn every_http_request_that_is_not_an_upgrade_gets_a_clear_answer() {
    let node = Node::start();
    let endless = "x".repeat(100_000);
    let many: String = (0..200).map(|number| format!("x-{number}: {number}\r\n")).collect();
    let requests = [
        (426, "GET / HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (426, "GET / HTTP/1.0\r\n\r\n".to_owned()),
        (426, "GET /?fau3-client-id=a HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (404, "GET /elsewhere HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (404, "GET /../../etc/passwd HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (404, "GET /fau3vom/GetExtraServersList/ HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (
            404,
            "POST /fau3vom/GetExtraServersList HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        ),
        // As GET, without the body (RFC 9110, section 9.3.2).
        (426, "HEAD / HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (200, "HEAD /fau3vom/GetExtraServersList HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (404, "OPTIONS * HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (404, "CONNECT r:80 HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (404, "BREW /pot HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (426, "GET http://elsewhere/ HTTP/1.1\r\nHost: r\r\n\r\n".to_owned()),
        (
            404,
            "PUT / HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".to_owned(),
        ),
        (404, "POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 9999999999\r\n\r\nand no more".to_owned()),
        (431, format!("GET / HTTP/1.1\r\nHost: r\r\nx: {endless}\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: r\r\n{many}\r\n")),
    ];
    undisturbed(&node, || {
        for (status, request) in &requests {
            let shown = &request[..request.len().min(60)];
            let answer = http(node.address(), request);
            assert_eq!(answer.status, *status, "{shown:?}: {answer:?}");
            if matches!(status, 404 | 426) && !request.starts_with("HEAD") {
                assert_eq!(answer.body.lines().count(), 1, "{shown:?}: {answer:?}");
                assert!(answer.body.contains("WebSocket"), "says what to do: {answer:?}");
            }
        }
    });
}

#[test]
fn what_is_not_http_is_told_so_and_closed() {
    let node = Node::start();
    // The first bytes of: a TLS client (RFC 8446), SSH, a Redis, an SMTP client.
    let tls = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03random\r\n\r\n".to_vec();
    let strangers = [
        tls,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        b"GET / HTTP/7.0\r\n\r\n".to_vec(),
        b"GET  / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
        vec![0; 10_000],
        vec![0xff; 10_000],
    ];
    undisturbed(&node, || {
        for bytes in &strangers {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            let mut socket = TcpStream::connect(node.address()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            // Bytes that were not taken end the connection with a reset.
            let _ = socket.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer:?}");
        }
    });
}

#[test]
fn the_list_of_extra_servers_is_json_and_the_connection_can_be_used_again() {
    let node = Node::start();
    undisturbed(&node, || {
        let mut socket = TcpStream::connect(node.address()).unwrap();
        for target in ["/fau3vom/GetExtraServersList", "/fau3vom/GetExtraServersList?x=../.."] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: r\r\n\r\n");
            let answer = exchange(&mut socket, request.as_bytes()).unwrap();
            assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/json"));
            let list: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let wanted = serde_json::json!({"MessageType": "ExtraServersList", "Version": 0, "Servers": []});
            assert_eq!(list, wanted);
        }
    });
}

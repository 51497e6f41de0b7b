//! Bad input against the running program: it gets a clear answer, nothing else
//! is disturbed, and nothing is lost. In every test a second, well-behaved pair
//! of radios goes on exchanging records, and is served at once.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod bystanders;
mod doors;
mod floods;
mod frames;
mod handshake;
mod messages;
mod paths;
mod silence;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::Node;
use crate::common::radio::{CLOSE, PATIENCE, Radio, TEXT};
use serde_json::{Value, json};

/// An address of this machine's from which nothing bad has come.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Long enough for what should not come to have come.
const A_WHILE: Duration = Duration::from_millis(300);

/// Nothing waits for this client, and its connection stands: the next thing
/// that it hears is the answer to its Ping.
fn assert_hears_only_its_pong(radio: &mut Radio) {
    let uuid = radio.next_uuid();
    radio.send(TEXT, json!({"MessageType": "Ping", "MessageUuid": uuid}).to_string().as_bytes());
    assert_eq!(radio.confirmed(&uuid), 1, "FAU3_PONG");
}

/// The code and the reason with which the router says goodbye.
fn goodbye(radio: &mut Radio) -> (u16, String) {
    let (opcode, payload) = radio.receive(PATIENCE).expect("a close frame");
    assert_eq!(opcode, CLOSE, "{:?}", String::from_utf8_lossy(&payload));
    let (code, reason) = payload.split_first_chunk().expect("a code");
    (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())
}

/// What the router does not hold in memory once it has only been offered: its
/// resident size, in KiB (proc(5), `VmRSS`).
fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One number of the router's status: `count(&node, "connections", "refused")`.
fn count(node: &Node, group: &str, name: &str) -> u64 {
    let status: Value = node.status();
    status[group][name].as_u64().unwrap_or_else(|| panic!("no {group}.{name}: {status}"))
}

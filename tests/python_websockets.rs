//! Debian's `python3-websockets` as a client: each story of
//! `clients/websockets_client.py` against a running node.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::process::Command;

use crate::common::{Node, PYTHON, finish, python_can, skipped};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websockets_client.py");

fn tell(story: &str) {
    if !python_can("import websockets") {
        skipped("python3-websockets (apt-get install python3-websockets)");
        return;
    }
    let node = Node::with(&["clients.retry_interval_s=1"]).start();
    let mut command = Command::new(PYTHON);
    command.args(["-B", CLIENT, story, &node.url()]);
    let told = finish(command);
    assert!(told.status.success(), "{told}\nthe node said:\n{}", node.log());
}

#[test]
fn two_in_a_room_hear_each_other_and_nobody_hears_himself() {
    tell("conversation");
}

#[test]
fn what_is_unconfirmed_comes_again_and_what_is_resent_is_stored_once() {
    tell("resend");
}

#[test]
fn ping_and_monitor_come_as_asked_and_silence_ends_the_connection() {
    tell("ping_and_monitor");
}

#[test]
fn a_stream_arrives_as_bytes_however_it_was_sent() {
    tell("stream");
}

#[test]
fn a_desktop_client_that_confirms_confirms_does_no_harm() {
    tell("desktop");
}

#[test]
fn clients_that_are_cut_off_and_return_all_at_once_lose_nothing() {
    tell("all_at_once");
}

#[test]
fn each_door_opens_or_says_why_not() {
    tell("doors");
}

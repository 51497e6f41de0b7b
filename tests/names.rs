//! A router's name stays bound to the router that it was first seen with: another
//! one that claims it is shown as a conflict, also after a restart.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use crate::common::trio::{SETTLED_MAX, Trio};
use crate::common::{Node, wait_for};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the status warns of about names.
fn conflict(node: &Node) -> Option<String> {
    let status = node.status();
    let mut warnings =
        status["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    warnings.find(|text| text.contains("claims the name"))
}

fn state(node: &Node) -> Value {
    let text = fs::read_to_string(node.dir().join("identity.key.state")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn another_router_with_a_known_name_is_shown_as_a_conflict_also_after_a_restart() {
    // Given three routers that have seen each other's names,
    let mut trio = Trio::start(&[], |_, setup| setup);
    let seen = trio.settle();
    let owner = seen[2]["id"].as_str().unwrap().to_owned();
    wait_for("the names on flash", PATIENCE, || state(&trio.nodes[0])["names"]["router-c"] == *owner);
    assert!(trio.nodes.iter().all(|node| conflict(node).is_none()));
    let written = fs::metadata(trio.nodes[0].dir().join("identity.key.state")).unwrap().modified().unwrap();
    // when one with another identity comes in the place of the third, by its name,
    assert!(trio.nodes[2].terminate().success());
    fs::remove_file(trio.nodes[2].dir().join("identity.key")).unwrap();
    fs::remove_file(trio.nodes[2].dir().join("identity.key.state")).unwrap();
    trio.nodes[2].start_again();
    let claimed_by = trio.nodes[2].status()["id"].as_str().unwrap().to_owned();
    assert_ne!(claimed_by, owner);
    // then the others say who claims whose name and what to do, in the log once,
    wait_for("a conflict", SETTLED_MAX, || trio.nodes[..2].iter().all(|node| conflict(node).is_some()));
    let text = conflict(&trio.nodes[0]).unwrap();
    for part in [&*claimed_by, &owner, "router-c", "identity.key.state", "rename"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let log = trio.nodes[0].log();
    assert_eq!(log.matches("claims the name").count(), 1, "{log}");
    assert!(conflict(&trio.nodes[2]).is_none(), "it knows nothing of before");
    // it is theirs still, and nothing was written for that;
    assert_eq!(state(&trio.nodes[0])["names"]["router-c"], *owner);
    let written_again =
        fs::metadata(trio.nodes[0].dir().join("identity.key.state")).unwrap().modified().unwrap();
    assert_eq!(written_again, written);
    // one that starts again knows it from its flash,
    assert!(trio.nodes[0].terminate().success());
    trio.nodes[0].start_again();
    wait_for("the conflict again", SETTLED_MAX, || conflict(&trio.nodes[0]).is_some());
    // and when the other one has gone, so has the conflict.
    assert!(trio.nodes[2].terminate().success());
    wait_for("no conflict", SETTLED_MAX, || conflict(&trio.nodes[0]).is_none());
}

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

/// What the status warns of about two routers with one name.
fn advice(node: &Node) -> Vec<String> {
    let status = node.status();
    let warnings =
        status["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    warnings
        .flat_map(|text| text.split("; ").map(str::to_owned).collect::<Vec<_>>())
        .filter(|it| it.contains("to be renamed"))
        .collect()
}

#[test]
fn routers_with_one_name_by_default_tell_themselves_apart_by_four_digits_of_their_ids() {
    // Given three routers of which nobody has chosen a name, as they are after the installation,
    let mut trio = Trio::start(&["node.name="], |_, setup| setup);
    // when they meet, then each has the name of the host and four digits of its id,
    let are_apart = |node: &Node| {
        let status = node.status();
        let routers = status["routers"].as_array().unwrap();
        let ends_as_id = |router: &Value| {
            let (name, id) = (router["name"].as_str().unwrap(), router["id"].as_str().unwrap());
            name.ends_with(&format!("-{}", &id[..4]))
        };
        routers.len() == 3 && routers.iter().all(ends_as_id) && status["name"].as_str().unwrap().contains('-')
    };
    wait_for("three names", SETTLED_MAX, || trio.nodes.iter().all(are_apart));
    // nobody is asked to do anything,
    wait_for("no advice", SETTLED_MAX, || trio.nodes.iter().all(|node| advice(node).is_empty()));
    // and one that starts again begins with that name.
    let name = trio.nodes[1].status()["name"].clone();
    wait_for("the name on flash", PATIENCE, || {
        let names = state(&trio.nodes[1])["names"].clone();
        names.as_object().unwrap().contains_key(name.as_str().unwrap())
    });
    assert!(trio.nodes[1].terminate().success());
    trio.nodes[1].start_again();
    assert_eq!(trio.nodes[1].status()["name"], name);
}

#[test]
fn of_routers_that_were_given_one_name_all_say_the_same_one_is_to_be_renamed() {
    let trio = Trio::start(&[], |number, setup| match number {
        2 => setup.and(&["node.name=router-b"]),
        _ => setup,
    });
    wait_for("the same advice everywhere", SETTLED_MAX, || {
        let ids: Vec<_> =
            trio.nodes[1..].iter().map(|node| node.status()["id"].as_str().unwrap().to_owned()).collect();
        let (keeps, changes) = (ids.iter().min().unwrap(), ids.iter().max().unwrap());
        trio.nodes.iter().all(|node| {
            let [text] = &advice(node)[..] else { return false };
            let plain = text.replace("this router (", "router ").replace(')', "");
            plain.contains(&format!("router {keeps} keeps it"))
                && plain.contains(&format!("router {changes} is to be renamed"))
        })
    });
}

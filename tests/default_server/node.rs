//! A main server that is a fau3 node: what is shown of it. How it is
//! followed, `tests/mesh_net/uplink.rs` tells.

use serde_json::json;

use crate::common::trio::own_address;
use crate::common::{Node, Setup, wait_for};
use crate::default_server::{PATIENCE, said, until_reachable};

/// A node of this name in a mesh with the well-known key, which calls nobody.
fn node(name: &str, options: &[&str]) -> (Setup, String) {
    let address = own_address().to_string();
    let (name, listen) = (format!("node.name={name}"), format!("mesh.listen={address}"));
    let common = [&*name, "default_server.name=main", "mesh.enabled=1", "mesh.discovery=", &*listen];
    let options = [&common[..], options].concat();
    (Node::with(&options), address)
}

#[test]
fn a_node_is_shown_with_since_when_how_often_and_why_like_any_other_server() {
    let (main, address) = node("main", &[]);
    let mut main = main.start();
    let url = format!("default_server.url=fau3://{address}");
    let (router, _) = node("router", &[&url, "default_server.hold_ms=500"]);
    let router = router.start();
    until_reachable(&router, true);
    let shown = said(&router);
    assert_eq!((&shown["kind"], &shown["watched_here"]), (&json!("node"), &json!(true)));
    assert_eq!((&shown["outages"], &shown["trouble"]), (&json!(0), &json!(null)));
    // When its process is killed, then that is an outage, and why it is none yet is told.
    main.kill();
    until_reachable(&router, false);
    assert_eq!(said(&router)["outages"], 1);
    wait_for("why", PATIENCE, || said(&router)["trouble"].to_string().contains("refused"));
    assert!(said(&router)["since_s"].as_u64().is_some_and(|since| since < 20));
    // And when it is back, nothing is wrong any more.
    main.start_again();
    until_reachable(&router, true);
    let shown = said(&router);
    assert_eq!((&shown["outages"], &shown["trouble"]), (&json!(1), &json!(null)));
}

#[test]
fn one_with_another_name_or_without_a_mesh_is_told_of() {
    let (main, address) = node("other", &["default_server.name=other"]);
    let _main = main.start();
    let url = format!("default_server.url=fau3://{address}");
    let (router, _) = node("router", &[&url]);
    let router = router.start();
    wait_for("what to do", PATIENCE, || {
        let shown = said(&router);
        shown["reachable"] == false && shown["trouble"].to_string().contains("has the name other, not main")
    });
    let alone = Node::with(&[&url]).start();
    assert!(alone.log().contains("mesh.enabled is 0"), "{}", alone.log());
    assert_eq!((&said(&alone)["watched_here"], &said(&alone)["reachable"]), (&json!(false), &json!(null)));
}

//! `ubus call fau3 ...`: what rpcd's script answers, of a running router and of none.

use serde_json::{Value, json};

use crate::common::desktop::Desktop;
use crate::common::{Finished, Node, finish_with_input};
use crate::openwrt::root::Root;

const SCRIPT: &str = "usr/libexec/rpcd/fau3";

/// What rpcd gets that calls `method`.
fn call(root: &Root, method: &str) -> Value {
    let mut command = root.command(root.path("bin/sh"));
    command.arg(root.path(SCRIPT)).args(["call", method]);
    let Finished { status, stdout, stderr } = finish_with_input(command, b"{}");
    assert!(status.success() && stderr.is_empty(), "{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn it_lists_its_methods_which_take_nothing() {
    let Some(root) = Root::new() else { return };
    let listed: Value = serde_json::from_str(&root.run(SCRIPT, &["list"]).stdout).unwrap();
    assert_eq!(listed, json!({"status": {}, "topology": {}, "check_config": {}, "identity": {}}));
    for method in listed.as_object().unwrap().keys() {
        assert!(call(&root, method).is_object(), "{method}");
    }
    assert!(!root.run(SCRIPT, &["call", "reboot"]).status.success());
}

#[test]
fn it_answers_what_a_running_router_says() {
    // Given a router with a client in a room, where the configuration has its socket,
    let Some(root) = Root::new() else { return };
    let node = Node::with(&["node.name=router-a"]).start();
    let mut client = Desktop::connect(node.address(), "AA:01");
    client.subscribe("hall");
    root.edit(
        &format!("option control '{}'", root.path("var/run/fau3/fau3.sock").display()),
        &format!("option control '{}'", node.control().display()),
    );
    // when it is asked, then it answers what the router does.
    let status = call(&root, "status");
    assert_eq!((&status["name"], &status["rooms"][0]["room"]), (&json!("router-a"), &json!("hall")));
    let topology = call(&root, "topology");
    assert!(topology.get("error").is_none(), "{topology}");
}

#[test]
fn of_a_router_that_does_not_run_it_says_why_there_is_no_answer() {
    let Some(root) = Root::new() else { return };
    let status = call(&root, "status");
    let said = status["error"].to_string();
    assert!(said.contains("fau3.sock") && said.contains("fau3 node"), "{said}");
}

#[test]
fn it_says_of_the_configuration_what_is_wrong_whatever_letters_that_has() {
    let Some(root) = Root::new() else { return };
    assert_eq!(call(&root, "check_config"), json!({"good": true, "messages": []}));
    root.edit("option log 'info'", "option log '\"\\\t<b>'");
    let told = call(&root, "check_config");
    assert_eq!(told["good"], false);
    let said = told["messages"][0].as_str().unwrap();
    assert!(said.contains("node.log: '\"\\") && said.contains("<b>'"), "{said}");
}

#[test]
fn it_shows_who_the_router_is_and_never_a_key() {
    let Some(root) = Root::new() else { return };
    let key =
        root.command(root.path("usr/bin/fau3")).args(["keys", "--new-mesh-key"]).output().unwrap().stdout;
    std::fs::create_dir_all(root.path("etc/fau3")).unwrap();
    std::fs::write(root.path("etc/fau3/mesh.key"), &key).unwrap();
    let shown = call(&root, "identity");
    assert!(shown["peer_id"].as_str().unwrap().starts_with("12D3KooW"), "{shown}");
    assert_eq!(shown["id"].as_str().unwrap().len(), 32);
    let fingerprint = shown["mesh_key_fingerprint"].as_str().unwrap();
    let secret = String::from_utf8(key).unwrap();
    let secret = secret.trim().lines().last().unwrap().to_owned();
    assert!(!fingerprint.is_empty() && !shown.to_string().contains(&secret), "{shown}");
}

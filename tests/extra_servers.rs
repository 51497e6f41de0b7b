//! `GetExtraServersList` (PROTOCOLS.md, section 1) from a mesh of three: what it
//! says, that it outlives a restart, and that a new list is used by all.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::http::http;
use crate::common::trio::{SETTLED_MAX, Trio};
use crate::common::{Node, TempDir, wait_for};
use fau3_election::{ServerEntry, ServerList};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

fn asked(node: &Node) -> Value {
    let answer = http(node.address(), "GET /fau3vom/GetExtraServersList HTTP/1.1\r\nHost: router\r\n\r\n");
    assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/json"));
    serde_json::from_str(&answer.body).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list["Servers"].as_array().unwrap().iter().map(|server| server["Name"].as_str().unwrap()).collect()
}

fn write(file: &Path, list: &[&str]) {
    let sections = list.iter().map(|name| format!("config extra_server\n\toption name '{name}'\n"));
    fs::write(file, sections.collect::<String>()).unwrap();
}

/// Two lists, of which the second one counts more where both have number 0.
fn two_lists() -> [&'static [&'static str]; 2] {
    let version = |list: &[&str]| {
        let entry = |name: &&str| ServerEntry { name: (*name).to_owned(), id: None };
        ServerList::new(0, list.iter().map(entry).collect()).version()
    };
    let mut lists: [&[&str]; 2] = [&["router-c", "router-a"], &["router-b", "absent", "router-c"]];
    lists.sort_by_key(|list| version(list));
    lists
}

#[test]
fn the_list_says_who_and_where_outlives_a_restart_and_follows_the_file() {
    // Given three routers with one list in their files,
    let [first, second] = two_lists();
    let dir = TempDir::new("lists");
    let file = |number: usize| dir.path().join(format!("fau3-{number}"));
    let mut trio = Trio::start(&[], |number, setup| {
        write(&file(number), first);
        setup.configured_by(&file(number))
    });
    let seen = trio.settle();
    let number_of = |name: &str| seen.iter().position(|status| status["name"] == name);
    // then each answers it in its order, with peer ids and multiaddresses, its own too.
    let server = |trio: &Trio, priority: usize, name: &str| {
        let (peer_id, addresses) = number_of(name).map_or((json!(""), json!([])), |number| {
            let at = trio.port(number);
            (seen[number]["peer_id"].clone(), json!([format!("/ip4/{}/tcp/{}", at.ip(), at.port())]))
        });
        json!({"Name": name, "PeerId": peer_id, "Addresses": addresses, "Priority": priority})
    };
    let expected = |trio: &Trio, list: &[&str]| {
        let servers: Vec<_> = list.iter().enumerate().map(|(at, name)| server(trio, at, name)).collect();
        json!({"MessageType": "ExtraServersList", "Version": 0, "Servers": servers})
    };
    for node in &trio.nodes {
        wait_for("the whole list", PATIENCE, || asked(node) == expected(&trio, first));
    }
    // When the files change and SIGHUP says so, then all use the new one,
    for number in 0..3 {
        write(&file(number), second);
        trio.nodes[number].hang_up();
    }
    for node in &trio.nodes {
        wait_for("the new list", PATIENCE, || asked(node) == expected(&trio, second));
    }
    let leader = second[0];
    wait_for("the new first to lead", SETTLED_MAX, || {
        trio.nodes.iter().all(|node| node.status()["coordinator"] == leader)
    });
    assert!(trio.nodes[0].log().contains("applied: extra_server.name"), "{}", trio.nodes[0].log());
    // and one that starts again alone, with no list in its file, still knows it.
    for node in &mut trio.nodes {
        assert!(node.terminate().success());
    }
    write(&file(0), &[]);
    trio.nodes[0].start_again();
    wait_for("the list of before", PATIENCE, || names(&asked(&trio.nodes[0])) == second);
}

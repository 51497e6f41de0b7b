//! Between two routers one channel works and another one does not: each says so, by
//! name, and what can go the other way does.

use std::time::Duration;

use crate::common::{batch, wait_for};
use crate::mesh_net::clients::{Ear, Mouth, ROOM, Sayings};
use crate::mesh_net::routers::{Mesh, new_key};
use crate::mesh_net::{HEARD_MAX, START_MAX};

/// What does not work is named within this.
const NAMED_MAX: Duration = Duration::from_secs(30);
/// And no more within this, once it works again.
const OVER_MAX: Duration = Duration::from_secs(30);

/// What a router says does not work: with whom or where, and of which kind.
pub(crate) fn troubles(mesh: &Mesh, number: usize) -> Vec<(String, String)> {
    let status = mesh.router(number).status();
    let told = status["mesh"]["troubles"].as_array().expect("a list");
    let who = |trouble: &serde_json::Value| {
        trouble["router"].as_str().or(trouble["place"].as_str()).map(str::to_owned)
    };
    told.iter().map(|trouble| (who(trouble).unwrap(), trouble["kind"].as_str().unwrap().to_owned())).collect()
}

/// Waits until a router says just this of another one, in its status and in its log.
fn names(mesh: &Mesh, number: usize, other: &str, kind: &str, text: &str) {
    let what = format!("router {number} says of {other}: {kind}");
    wait_for(&what, NAMED_MAX, || troubles(mesh, number) == [(other.to_owned(), kind.to_owned())]);
    let is_named = |line: &str| line.contains("WARN") && line.contains(other) && line.contains(text);
    wait_for("the log says it, too", NAMED_MAX, || mesh.router(number).log().lines().any(is_named));
}

fn name_of(mesh: &Mesh, number: usize) -> String {
    mesh.router(number).status()["name"].as_str().unwrap().to_owned()
}

/// A client at each of two routers hears what is said at the other one.
fn both_hear(mesh: &Mesh) {
    for (from, to) in [(0, 1), (1, 0)] {
        let (ear, mut said) = (Ear::at(&mesh.net, to, &format!("ear{from}{to}")), Sayings::new());
        Mouth::at(&mesh.net, from, &format!("mouth{from}{to}")).say(&mut said);
        ear.hears(&said, HEARD_MAX);
    }
}

/// With `kinds` of packets blocked between routers 0 and 1 from the start, and as many
/// others as there are left.
fn blocked(routers: usize, kinds: &[(usize, usize, &'static str)]) -> Option<Mesh> {
    let (key, net) = (new_key(), crate::common::Net::new(routers)?);
    for (from, to, kind) in kinds {
        net.block(*from, *to, kind);
    }
    let mesh = Mesh::on(std::sync::Arc::new(net));
    Some((0..routers).fold(mesh, |mesh, _| mesh.with(Some(&key), &[])))
}

#[test]
fn a_blocked_tcp_port_is_named_and_what_is_said_goes_round_over_a_third_router() {
    // given three routers, two of which reach each other by UDP alone
    let tcp = "tcp dport 8902";
    let Some(mesh) = blocked(3, &[(0, 1, tcp), (1, 0, tcp)]) else { return };
    mesh.settled(&[0, 1, 2]);
    // then each of the two names the other one, and the third nobody
    for (number, other) in [(0, 1), (1, 0)] {
        names(&mesh, number, &name_of(&mesh, other), "tcp", "TCP does not pass, UDP does");
    }
    assert_eq!(troubles(&mesh, 2), []);
    // and clients hear each other
    both_hear(&mesh);
    // and when the port is opened, then that is over
    mesh.net.heal();
    wait_for("all is well", OVER_MAX + Duration::from_secs(30), || {
        [0, 1].iter().all(|number| troubles(&mesh, *number).is_empty())
    });
}

#[test]
fn with_udp_blocked_routers_agree_over_the_connection_and_say_so() {
    // given two routers between which no beacon passes
    let udp = "udp dport 8902";
    let Some(mesh) = blocked(2, &[(0, 1, udp), (1, 0, udp)]) else { return };
    // then they find each other all the same, and one leads
    let leader = mesh.settled(&[0, 1]);
    for (number, other) in [(0, 1), (1, 0)] {
        names(&mesh, number, &name_of(&mesh, other), "udp", "UDP does not pass, TCP does");
    }
    both_hear(&mesh);
    // and the leader's end is noticed
    mesh.router(leader).kill();
    mesh.agreed(&[1 - leader], START_MAX);
}

#[test]
fn udp_that_passes_in_one_direction_only_is_named_with_the_direction() {
    let Some(mesh) = blocked(2, &[(0, 1, "udp dport 8902")]) else { return };
    mesh.settled(&[0, 1]);
    names(&mesh, 1, &name_of(&mesh, 0), "udp_in", "UDP from it does not arrive here");
    names(&mesh, 0, &name_of(&mesh, 1), "udp_out", "UDP from here does not arrive there");
    // and when it passes again, then that is over
    mesh.net.heal();
    wait_for("all is well", OVER_MAX, || [0, 1].iter().all(|number| troubles(&mesh, *number).is_empty()));
}

#[test]
fn where_large_packets_vanish_segments_get_smaller_and_records_arrive() {
    // given two routers between which packets over 1,300 bytes vanish without a word
    let large = "meta length gt 1300";
    let Some(mesh) = blocked(2, &[(0, 1, large), (1, 0, large)]) else { return };
    for host in [0, 1] {
        // Cards would put packets together.
        batch(&mesh.net.namespace(host), "link set eth0 gso_max_segs 1\n");
    }
    mesh.settled(&[0, 1]);
    // when something is said that needs large ones
    let long = "long ".repeat(4_000);
    let (ear, mut said) = (Ear::at(&mesh.net, 1, "ear"), Sayings::new());
    let mut mouth = Mouth::at(&mesh.net, 0, "mouth");
    mouth.insist(ROOM, &long);
    said.entry("mouth".to_owned()).or_default().push(long);
    mouth.say(&mut said);
    // then it is named, and all is heard
    names(&mesh, 0, &name_of(&mesh, 1), "large", "large packets vanish on the way");
    ear.hears(&said, NAMED_MAX);
}

#[test]
fn why_routers_do_not_meet_is_said_by_peer() {
    // given routers that find each other by their configuration alone, with one fault each
    let Some(net) = crate::common::Net::new(3) else { return };
    let (key, other_key) = (new_key(), new_key());
    let [mine, other] = [0, 1].map(|number| net.ipv4(number));
    let peers = [
        format!("mesh.peer={other}:8902"),
        format!("mesh.peer={other}:8901"),
        format!("mesh.peer={other}:9"),
        "mesh.peer=10.83.0.77:8902".to_owned(),
        "mesh.peer=no-such-router.invalid:8902".to_owned(),
        format!("mesh.peer={mine}:8902"),
        "mesh.interface=eth99".to_owned(),
    ];
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let mesh = Mesh::on(std::sync::Arc::new(net))
        .with(Some(&key), &peers)
        .with(Some(&other_key), &["mesh.discovery=batman"]);
    // then each line is named with what is wrong with it
    let expected = [
        (format!("mesh.peer {other}:8902"), "refused", "another mesh key"),
        (format!("mesh.peer {other}:8901"), "unreachable", "does not speak as a router"),
        (format!("mesh.peer {other}:9"), "unreachable", "nothing listens there"),
        ("mesh.peer 10.83.0.77:8902".to_owned(), "unreachable", ""),
        ("mesh.peer no-such-router.invalid:8902".to_owned(), "setting", "the name is not found"),
        ("mesh.interface eth99".to_owned(), "setting", "there is no such interface"),
    ];
    let told = |place: &str, kind: &str, text: &str| {
        let status = mesh.router(0).status();
        status["mesh"]["troubles"].as_array().unwrap().iter().any(|trouble| {
            trouble["place"] == place
                && trouble["kind"] == kind
                && trouble["text"].as_str().unwrap().contains(text)
        })
    };
    for (place, kind, text) in &expected {
        wait_for(&format!("{place}: {kind} {text}"), NAMED_MAX, || told(place, kind, text));
    }
    // and nothing else, and in the log as well
    assert_eq!(troubles(&mesh, 0).len(), expected.len());
    for (place, ..) in expected.iter().filter(|(_, kind, _)| *kind != "refused") {
        let is_named = |line: &str| line.contains("WARN") && line.contains(place.as_str());
        wait_for(place, NAMED_MAX, || mesh.router(0).log().lines().any(is_named));
    }
}

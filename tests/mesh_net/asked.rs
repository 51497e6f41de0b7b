//! A router with two addresses on one card, behind the stateful firewall of another one:
//! heartbeats come back from the address that was asked.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Net, batch, feed, wait_for};
use crate::mesh_net::paths::troubles;
use crate::mesh_net::routers::{Mesh, new_key};

/// Heartbeats, at four a second: for longer than it takes until a trouble is named.
const HEARTBEATS: u64 = 60;
const HEARTBEATS_MAX: Duration = Duration::from_secs(60);

/// Lets in what answers what went out; nobody connects from outside, either.
const GUARD: &str = "table inet guard {
    counter answers { }
    chain in {
        type filter hook input priority 0;
        udp dport 8902 ct state established counter name answers accept
        meta l4proto { tcp, udp } th dport 8902 drop
    }
}
";

fn answers(mesh: &Mesh) -> u64 {
    let mut list = mesh.net.command(0, "nft");
    let listed = list.args(["list", "counter", "inet", "guard", "answers"]).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).unwrap_or_else(|| panic!("no counter: {listed}")).parse().unwrap()
}

/// The first router finds the second one by this address alone, which is not the one
/// that the second one's system would answer from.
fn story(second: &str, peer: &str) {
    // given a firewall on the first router, and two addresses of the second one
    let Some(net) = Net::new(2) else { return };
    feed(&["ip", "netns", "exec", &net.namespace(0), "nft", "-f", "-"], GUARD);
    batch(&net.namespace(1), &format!("addr add dev eth0 {second}\n"));
    let (key, peer) = (new_key(), format!("mesh.peer={peer}"));
    let mesh = Mesh::on(Arc::new(net))
        .with(Some(&key), &["mesh.discovery=batman", &peer])
        .with(Some(&key), &["mesh.discovery=batman"]);
    // then they agree
    mesh.settled(&[0, 1]);
    // and not by the connection alone: heartbeats pass, and nothing is amiss
    wait_for("heartbeats pass the firewall", HEARTBEATS_MAX, || answers(&mesh) >= HEARTBEATS);
    for number in [0, 1] {
        assert_eq!(troubles(&mesh, number), []);
    }
    mesh.settled(&[0, 1]);
}

#[test]
fn heartbeats_come_from_the_address_that_was_asked() {
    story("10.83.0.50/24", "10.83.0.50:8902");
}

#[test]
fn heartbeats_come_from_the_ipv6_address_that_was_asked() {
    // Preferred for no time at all: nothing goes from there that need not.
    story("fd83::50/64 nodad preferred_lft 0", "[fd83::50]:8902");
}

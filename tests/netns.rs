//! The network in namespaces that other tests stand on does what it says.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::common::Net;

const PORT: u16 = 7;
/// ARP that has asked in vain asks again after a second, and what was sent waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where nothing shall arrive, less will do.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);

/// How many of `count` datagrams get from one host to another.
fn arrive(net: &Net, from: usize, (host, to): (usize, IpAddr), count: usize, patience: Duration) -> usize {
    let to = SocketAddr::new(to, PORT);
    let receiver = net.inside(host, move || UdpSocket::bind(to).unwrap()).join().unwrap();
    receiver.set_read_timeout(Some(patience)).unwrap();
    let sender = net.inside(from, move || {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        for _ in 0..count {
            // An interface that is down says so here.
            let _ = socket.send_to(b"x", to);
            // A few at a time, so that only the network loses any.
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    let arrived = (0..count).take_while(|_| receiver.recv(&mut [0; 8]).is_ok()).count();
    sender.join().unwrap();
    arrived
}

/// Whether a host hears another, by IPv4 and IPv6 alike, as expected.
fn hears(net: &Net, host: usize, from: usize, expected: bool) -> bool {
    let patience = if expected { PATIENCE } else { SHORT_PATIENCE };
    let addresses: [IpAddr; 2] = [net.ipv4(host).into(), net.ipv6(host).into()];
    addresses.iter().all(|&to| (arrive(net, from, (host, to), 1, patience) == 1) == expected)
}

fn reach_each_other(net: &Net, one: usize, other: usize) -> bool {
    hears(net, other, one, true) && hears(net, one, other, true)
}

fn are_apart(net: &Net, one: usize, other: usize) -> bool {
    hears(net, other, one, false) && hears(net, one, other, false)
}

#[test]
fn hosts_are_parted_and_brought_together_again() {
    let Some(net) = Net::new(3) else { return };
    assert!(reach_each_other(&net, 0, 1) && reach_each_other(&net, 1, 2) && reach_each_other(&net, 2, 0));
    net.partition(&[0], &[1, 2]);
    assert!(are_apart(&net, 0, 1) && are_apart(&net, 0, 2) && reach_each_other(&net, 1, 2));
    net.heal();
    assert!(reach_each_other(&net, 0, 1));
    net.unplug(2);
    assert!(are_apart(&net, 0, 2) && reach_each_other(&net, 0, 1));
    net.plug(2);
    assert!(reach_each_other(&net, 0, 2));
}

#[test]
fn a_card_that_is_down_loses_its_addresses_and_gets_them_back() {
    let Some(net) = Net::new(2) else { return };
    let has_address = || {
        let address = SocketAddr::new(net.ipv4(1).into(), PORT);
        net.inside(1, move || UdpSocket::bind(address).is_ok()).join().unwrap()
    };
    net.down(1);
    assert!(!has_address());
    net.up(1);
    assert!(has_address() && reach_each_other(&net, 0, 1));
}

#[test]
fn what_is_cut_one_way_gets_through_the_other_way() {
    let Some(net) = Net::new(2) else { return };
    assert!(reach_each_other(&net, 0, 1), "and each knows the other's card");
    net.one_way(0, 1);
    assert!(hears(&net, 1, 0, false) && hears(&net, 0, 1, true));
}

#[test]
fn loss_is_what_was_asked_for() {
    let Some(net) = Net::new(2) else { return };
    assert!(reach_each_other(&net, 0, 1), "and each knows the other's card");
    let to = (1, net.ipv4(1).into());
    net.loss(1, 30);
    let arrived = arrive(&net, 0, to, 1_000, SHORT_PATIENCE);
    // Within five standard deviations.
    assert!(arrived.abs_diff(700) < 73, "{arrived} of 1000 arrived");
    net.heal();
    net.loss_everywhere(20);
    let arrived = arrive(&net, 0, to, 1_000, SHORT_PATIENCE);
    assert!(arrived.abs_diff(800) < 64, "once on its way, not at both ends: {arrived} of 1000 arrived");
    net.heal();
    assert_eq!(arrive(&net, 0, to, 1_000, SHORT_PATIENCE), 1_000);
}

#[test]
fn programs_run_on_their_host_and_nothing_is_left_of_it() {
    let Some(net) = Net::new(2) else { return };
    let list = |mut command: Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut address = net.command(1, "ip");
    address.args(["addr", "show", "dev", "eth0"]);
    assert!(list(address).contains("10.83.0.2/24"));
    let hosts = || {
        let mut hosts = Command::new("ip");
        hosts.args(["netns", "list"]);
        list(hosts)
    };
    let name = net.command(1, "x").get_args().nth(2).unwrap().to_str().unwrap().to_owned();
    assert!(hosts().contains(&name));
    drop(net);
    assert!(!hosts().contains(&name));
}

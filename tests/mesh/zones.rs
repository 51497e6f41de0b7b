//! IPv6 link-local addresses, which mean nothing without their zone: in a
//! network namespace of its own, with two interfaces that are each other's peer.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::process::Command;

use fau3::mesh::{BeaconTarget, MeshSettings};

use crate::common::skipped;
use crate::mesh::routers::{Router, settings};

const SCRIPT: &str = "set -e
    ip link set lo up
    ip link add west type veth peer name east
    for side in west east; do
        echo 0 > /proc/sys/net/ipv6/conf/$side/accept_dad
        ip link set $side addrgenmode none up
    done
    ip addr add fe80::1/64 dev west nodad
    ip addr add fe80::2/64 dev east nodad
    exec \"$0\" --ignored --exact mesh::zones::within_the_namespace";

#[test]
fn link_local_addresses_keep_their_zone() {
    let can = Command::new("unshare").args(["--net", "ip", "link", "show"]).output();
    let lacking = "the rights to make a network namespace, or unshare(1) and ip(8)";
    if !can.is_ok_and(|output| output.status.success()) && skipped(lacking) {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let run = Command::new("unshare").args(["--net", "sh", "-c", SCRIPT]).arg(this).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// sysfs shows the namespace in which it was mounted: `ip` is asked.
fn zone(interface: &str) -> u32 {
    let listed = Command::new("ip").args(["-o", "link", "show", interface]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.split(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
#[ignore = "run by the test above, in its namespace"]
async fn within_the_namespace() {
    let any = || MeshSettings { listen: vec![(Ipv6Addr::UNSPECIFIED, 0).into()], ..settings() };
    let mut here = Router::start(any()).await;
    let mut there = Router::start(any()).await;
    // fe80::2 is reached through west, where the other end is.
    let at = SocketAddr::from(SocketAddrV6::new(
        "fe80::2".parse().unwrap(),
        there.address().port(),
        0,
        zone("west"),
    ));
    here.mesh.hint(at, None);
    assert_eq!(here.up(there.id).await, at);
    // Seen from there, it comes from fe80::1, through east.
    let from = there.up(here.id).await;
    let seen = SocketAddrV6::new("fe80::1".parse().unwrap(), from.port(), 0, zone("east"));
    assert_eq!(from, SocketAddr::from(seen));
    here.mesh.beacon(BeaconTarget::Everywhere, b"there");
    assert_eq!(there.beacon(here.id).await, "there");
    there.mesh.beacon(BeaconTarget::Router(here.id), b"back");
    assert_eq!(here.beacon(there.id).await, "back");
}

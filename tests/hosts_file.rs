//! The hosts file for dnsmasq: clients look up their server's name and find the
//! router that they are next to (DESIGN.md, "Who leads").
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use crate::common::{Net, Program, TempDir, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_file_gives_the_clients_name_own_addresses_while_they_are_there() {
    // Given a router on a LAN, by IPv4 and IPv6,
    let Some(net) = Net::new(1) else { return };
    let dir = TempDir::new("hosts");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("hosts")).unwrap();
    let file = at("hosts/fau3");
    let mut command = net.command(0, env!("CARGO_BIN_EXE_fau3"));
    command.arg("node");
    for option in [
        format!("node.data_dir={}", at("data").display()),
        format!("node.identity={}", at("identity.key").display()),
        format!("node.control={}", at("control.sock").display()),
        format!("clients.hosts_file={}", file.display()),
        "default_server.name=fau3vomdMain".to_owned(),
        "mesh.enabled=0".to_owned(),
        "node.console=".to_owned(),
    ] {
        command.args(["--set", &option]);
    }
    let mut node = Program::start(command);
    // when it serves, then the file says its name with each of them,
    let said = || fs::read_to_string(&file).unwrap_or_default();
    let has = |address: &str| said().lines().any(|line| line == format!("{address} fau3vomdMain"));
    let (ipv4, ipv6) = (net.ipv4(0).to_string(), net.ipv6(0).to_string());
    wait_for("both addresses", PATIENCE, || has(&ipv4) && has(&ipv6));
    let entries = said().lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(entries, 2, "{}", said());
    // not while the cable is pulled,
    net.unplug(0);
    wait_for("no addresses", PATIENCE, || !file.exists());
    net.plug(0);
    wait_for("them again", PATIENCE, || has(&ipv4) && has(&ipv6));
    // and it is gone with the router, together with its drafts.
    assert!(node.terminate().success(), "{}", node.stderr());
    assert_eq!(fs::read_dir(at("hosts")).unwrap().count(), 0);
}

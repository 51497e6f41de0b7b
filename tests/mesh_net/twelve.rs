//! A mesh of twelve: all agree, all are reached, and idle ones cost little.

use std::thread::sleep;
use std::time::Duration;

use crate::common::{Net, finish};
use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::routers::Mesh;
use crate::mesh_net::{HEARD_MAX, START_MAX};

const ROUTERS: usize = 12;
/// While this long nothing happens.
const IDLE: Duration = Duration::from_secs(20);
/// Three times what an idle router among twelve may send, and may receive, on
/// the wire: a busy machine makes heartbeats late, and late ones cost floods.
const TRAFFIC_MAX_KIB_S: f64 = 3.0 * 12.0;
/// What an idle router may hold, its code aside: this is no release build, of which the
/// code alone takes as much as a released router in all.
const MEMORY_MAX_KIB: u64 = 4 * 1_024;

#[test]
fn twelve_agree_are_reached_and_cost_little() {
    let Some(mesh) = Mesh::start(ROUTERS) else { return };
    mesh.settled(&mesh.all());
    // when something is said at one of them
    let ears: Vec<_> = (0..ROUTERS).map(|host| Ear::at(&mesh.net, host, &format!("ear {host}"))).collect();
    let mut said = Sayings::new();
    Mouth::at(&mesh.net, 5, "mouth").say(&mut said);
    // then it is heard at all of them
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    drop(ears);
    // and when nothing happens, then little is sent and held
    let before: Vec<_> = (0..ROUTERS).map(|host| traffic(&mesh.net, host)).collect();
    sleep(IDLE);
    let kib_s = |bytes: u64| bytes as f64 / 1_024.0 / IDLE.as_secs_f64();
    for (host, before) in before.into_iter().enumerate() {
        let after = traffic(&mesh.net, host);
        let [received, sent] = [0, 1].map(|way| kib_s(after[way] - before[way]));
        let memory_kib = mesh.router(host).anonymous_kib();
        println!("router {host}: {received:.1} KiB/s in, {sent:.1} KiB/s out, {memory_kib} KiB");
        assert!(received < TRAFFIC_MAX_KIB_S && sent < TRAFFIC_MAX_KIB_S, "{received} in, {sent} out");
        assert!(memory_kib < MEMORY_MAX_KIB, "{memory_kib} KiB");
    }
    mesh.agreed(&mesh.all(), START_MAX);
}

/// Bytes that a host's card has received and sent, with all their headers.
fn traffic(net: &Net, host: usize) -> [u64; 2] {
    let mut command = net.command(host, "cat");
    command.arg("/proc/net/dev");
    let table = finish(command).stdout;
    let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:")).expect("its card");
    let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
    [fields[0], fields[8]]
}

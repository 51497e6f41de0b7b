//! Routers that find each other by multicast DNS alone, each on a host of its
//! own on one switch.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::Net;
use fau3::config::{Config, Mesh, Surroundings};
use fau3::discovery::{ADDRESSES_MAX, Discovery, Hint, News, Own, mdns};
use libp2p_identity::Keypair;
use tokio::sync::oneshot;

const MDNS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);
/// Within this a router shall be found, and a goodbye heard.
const SOON: Duration = Duration::from_secs(2);
/// Interfaces are looked at every two seconds, and then all begins anew; what
/// was missed meanwhile is asked for after ten.
const AFTER_A_CHANGE: Duration = Duration::from_secs(20);

/// A router's discovery, at work on a host.
struct Router {
    peer_id: String,
    news: mpsc::Receiver<News>,
    known: BTreeSet<Hint>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Router {
    fn start(net: &Net, host: usize, name: &str) -> Self {
        Self::on(net, host, name, &[])
    }

    /// With `mesh.interface`.
    fn on(net: &Net, host: usize, name: &str, interfaces: &[&str]) -> Self {
        let interface = interfaces.iter().map(|&name| name.to_owned()).collect();
        let mesh = Mesh { interface, ..mesh() };
        let peer_id = new_peer_id();
        let own = Own {
            peer_id: peer_id.clone(),
            name: name.to_owned(),
            mesh_port: 8902,
            clients_port: Some(8901),
        };
        let (sender, news) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = net.inside(host, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut discovery = Discovery::start(&mesh, &own);
                let telling = async {
                    loop {
                        // The test may have seen enough.
                        let _ = sender.send(discovery.next().await);
                    }
                };
                tokio::select! {
                    () = telling => {}
                    _ = stopped => {}
                }
                discovery.stop().await;
            });
        });
        Self { peer_id, news, known: BTreeSet::new(), stop, thread }
    }

    /// Takes in news until `condition` holds; how long that took.
    fn wait(&mut self, what: &str, span: Duration, condition: impl Fn(&BTreeSet<Hint>) -> bool) -> Duration {
        let since = Instant::now();
        while !condition(&self.known) {
            let left = span.saturating_sub(since.elapsed());
            match self.news.recv_timeout(left) {
                Ok(news) => self.take(news),
                Err(_) => panic!("waited {span:?} in vain: {what}; known: {:?}", self.known),
            }
        }
        since.elapsed()
    }

    fn take(&mut self, news: News) {
        match news {
            News::Found(hint) => {
                assert_ne!(hint.peer_id.as_ref(), Some(&self.peer_id), "itself is not found");
                self.known.insert(hint);
            }
            News::Lost(hint) => {
                self.known.remove(&hint);
            }
            News::Setting(_) => {}
        }
    }

    /// Waits until the other is known at all addresses of its host.
    fn finds(&mut self, other: &Self, net: &Net, host: usize, span: Duration) -> Duration {
        let id = other.peer_id.clone();
        let wanted = [SocketAddr::from((net.ipv4(host), 8902)), SocketAddr::from((net.ipv6(host), 8902))];
        self.wait("a router at its addresses", span, move |known| {
            let addresses = addresses(known, &id);
            wanted.iter().all(|address| addresses.contains(address)) && addresses.iter().any(is_link_local)
        })
    }

    fn loses(&mut self, peer_id: &str, span: Duration) -> Duration {
        let id = peer_id.to_owned();
        self.wait("a router gone", span, move |known| addresses(known, &id).is_empty())
    }

    /// Says goodbye and ends.
    fn stop(self) -> String {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
        self.peer_id
    }
}

fn addresses(known: &BTreeSet<Hint>, peer_id: &str) -> BTreeSet<SocketAddr> {
    known.iter().filter(|hint| hint.peer_id.as_deref() == Some(peer_id)).map(|hint| hint.address).collect()
}

fn is_link_local(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() != 0)
}

fn mesh() -> Mesh {
    Config::read(None, &[], &Surroundings::of_this_process(false)).unwrap().0.mesh
}

fn new_peer_id() -> String {
    Keypair::generate_ed25519().public().to_peer_id().to_string()
}

#[test]
fn two_routers_find_each_other_within_two_seconds_and_hear_goodbyes() {
    let Some(net) = Net::new(2) else { return };
    let mut one = Router::start(&net, 0, "router-a");
    let mut other = Router::start(&net, 1, "router-b");
    // when both are there, then each knows the other with its name
    let spans = [one.finds(&other, &net, 1, SOON), other.finds(&one, &net, 0, SOON)];
    assert!(one.known.iter().all(|hint| hint.name.as_deref() == Some("router-b")));
    assert!(other.known.iter().all(|hint| hint.name.as_deref() == Some("router-a")));
    // when one goes, then the other knows
    let peer_id = other.stop();
    let gone = one.loses(&peer_id, SOON);
    println!("found within {spans:?}, goodbye heard within {gone:?}");
    // when another comes to where the first has long been, then it finds that one
    let mut third = Router::start(&net, 1, "router-c");
    third.finds(&one, &net, 0, SOON);
    one.finds(&third, &net, 1, SOON);
}

#[test]
fn clients_find_their_door() {
    let Some(net) = Net::new(2) else { return };
    let _router = Router::start(&net, 0, "router-a");
    let found = net.inside(1, || {
        let client = mdns_sd::ServiceDaemon::new().unwrap();
        let events = client.browse("_fau3vomd._tcp.local.").unwrap();
        let end = Instant::now() + SOON;
        let found = std::iter::from_fn(|| events.recv_deadline(end).ok()).find_map(|event| match event {
            mdns_sd::ServiceEvent::ServiceResolved(service) if !service.get_addresses_v4().is_empty() => {
                Some(service)
            }
            _ => None,
        });
        client.shutdown().unwrap();
        found
    });
    let door = found.join().unwrap().expect("found soon");
    assert_eq!((door.port, door.get_property_val_str("name")), (8901, Some("router-a")));
    assert!(door.get_addresses_v4().contains(&net.ipv4(0)));
}

#[test]
fn an_uplink_with_a_public_address_hears_nothing_unless_it_is_named() {
    let Some(net) = Net::new(2) else { return };
    // Given a router whose only card has a public address, as an uplink has,
    for change in [&["flush", "scope", "global"][..], &["add", "203.0.113.1/24"]] {
        let mut ip = net.command(0, "ip");
        assert!(ip.arg("addr").args(change).args(["dev", "eth0"]).status().unwrap().success());
    }
    let services = || {
        let heard = net.inside(1, || {
            let listener = mdns_sd::ServiceDaemon::new().unwrap();
            let kinds = ["_fau3._tcp.local.", "_fau3vomd._tcp.local."];
            let browsing = kinds.map(|kind| listener.browse(kind).unwrap());
            std::thread::sleep(SOON);
            let found = |events: &mdns_sd::Receiver<mdns_sd::ServiceEvent>| {
                events.try_iter().any(|event| matches!(event, mdns_sd::ServiceEvent::ServiceFound(..)))
            };
            let heard = browsing.each_ref().map(found);
            listener.shutdown().unwrap();
            heard
        });
        heard.join().unwrap()
    };
    // then nobody there hears of it, neither routers nor clients;
    let router = Router::start(&net, 0, "router-a");
    assert_eq!(services(), [false, false]);
    router.stop();
    // and where another interface is named, neither;
    let router = Router::on(&net, 0, "router-a", &["br-lan"]);
    assert_eq!(services(), [false, false]);
    router.stop();
    // but where it is named, they do.
    let _router = Router::on(&net, 0, "router-a", &["br-lan", "eth0"]);
    assert_eq!(services(), [true, true]);
}

#[test]
fn a_router_that_starts_before_its_network_is_found_when_that_comes() {
    let Some(net) = Net::new(2) else { return };
    net.down(1);
    let mut one = Router::start(&net, 0, "router-a");
    let mut early = Router::start(&net, 1, "router-b");
    std::thread::sleep(Duration::from_millis(500));
    net.up(1);
    one.finds(&early, &net, 1, AFTER_A_CHANGE);
    early.finds(&one, &net, 0, AFTER_A_CHANGE);
}

#[test]
fn a_card_that_goes_down_and_comes_back_is_no_end() {
    let Some(net) = Net::new(2) else { return };
    let mut one = Router::start(&net, 0, "router-a");
    let mut other = Router::start(&net, 1, "router-b");
    one.finds(&other, &net, 1, SOON);
    other.finds(&one, &net, 0, SOON);
    // when a card goes down, then what was found there is lost
    net.down(1);
    other.loses(&one.peer_id, AFTER_A_CHANGE);
    // and when it is back, found again
    net.up(1);
    let span = other.finds(&one, &net, 0, AFTER_A_CHANGE);
    println!("found again within {span:?}");
    // and heard again
    one.finds(&other, &net, 1, AFTER_A_CHANGE);
    let peer_id = other.stop();
    one.loses(&peer_id, SOON);
}

#[test]
fn ten_thousand_announcements_are_bounded_and_pass() {
    let Some(net) = Net::new(3) else { return };
    let mut one = Router::start(&net, 0, "router-a");
    let other = Router::start(&net, 1, "router-b");
    one.finds(&other, &net, 1, SOON);
    // Made before: keys take a busy machine long, and the longer a flood, the longer the pauses.
    let announcements: Vec<_> = (0..10_000).map(|number| announcement(number, &new_peer_id())).collect();
    // when somebody announces ten thousand routers in some seconds
    let before_kib = resident_kib();
    let from = net.ipv4(2);
    let flood = net.inside(2, move || {
        // Its own address says which card to send from.
        let socket = UdpSocket::bind((from, 5353)).unwrap();
        for announcement in &announcements {
            socket.send_to(announcement, MDNS).unwrap();
            // As fast as they are heard, so that the system drops none.
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    let mut most = 0;
    let mut most_kib = 0;
    while !flood.is_finished() || one.news.try_recv().map(|news| one.take(news)).is_ok() {
        if let Ok(news) = one.news.recv_timeout(Duration::from_millis(10)) {
            one.take(news);
        }
        let routers: BTreeSet<_> = one.known.iter().map(|hint| &hint.peer_id).collect();
        most = most.max(routers.len());
        most_kib = most_kib.max(resident_kib());
    }
    flood.join().unwrap();
    // then few of them are believed, and memory stays within bounds
    assert!(most <= mdns::ROUTERS_MAX && one.known.len() <= mdns::ROUTERS_MAX * ADDRESSES_MAX, "{most}");
    let grown_kib = most_kib.max(resident_kib()).saturating_sub(before_kib);
    println!("{most} believed at most, {grown_kib} KiB more for three routers in this process");
    assert!(grown_kib < 24 * 1024, "{grown_kib} KiB more");
    // and a router that comes afterwards is found, and finds the others
    let mut late = Router::start(&net, 2, "router-c");
    let span = one.finds(&late, &net, 2, Duration::from_secs(30));
    println!("after the flood a router is found within {span:?}");
    late.finds(&one, &net, 0, Duration::from_secs(30));
    late.finds(&other, &net, 1, Duration::from_secs(30));
    // and those that were only announced are forgotten
    one.wait("the flood has passed", Duration::from_secs(40), |known| {
        known.iter().map(|hint| &hint.peer_id).collect::<BTreeSet<_>>().len() <= 2
    });
}

/// What was lost while the link was away is found again without anybody's help:
/// three minutes, since announcements are believed for two.
#[test]
#[ignore = "takes three minutes"]
fn a_link_that_comes_back_unseen_brings_its_routers_back() {
    let Some(net) = Net::new(2) else { return };
    let mut one = Router::start(&net, 0, "router-a");
    let mut other = Router::start(&net, 1, "router-b");
    one.finds(&other, &net, 1, SOON);
    other.finds(&one, &net, 0, SOON);
    net.partition(&[0], &[1]);
    one.loses(&other.peer_id, Duration::from_secs(150));
    other.loses(&one.peer_id, Duration::from_secs(30));
    std::thread::sleep(Duration::from_secs(20));
    net.heal();
    let spans = [
        one.finds(&other, &net, 1, Duration::from_secs(60)),
        other.finds(&one, &net, 0, Duration::from_secs(60)),
    ];
    println!("found again within {spans:?}");
}

/// Memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let fields: BTreeMap<_, _> = status.lines().filter_map(|line| line.split_once(':')).collect();
    fields["VmRSS"].trim().trim_end_matches(" kB").parse().unwrap()
}

/// A response as RFC 6762 has it: PTR, SRV, TXT and A of one more router.
fn announcement(number: u32, peer_id: &str) -> Vec<u8> {
    const PTR: u16 = 12;
    const TXT: u16 = 16;
    const A: u16 = 1;
    const SRV: u16 = 33;
    let service = name(&["_fau3", "_tcp", "local"]);
    let instance = name(&[peer_id, "_fau3", "_tcp", "local"]);
    let host = name(&[&format!("host{number}"), "local"]);
    let srv = [&[0, 0, 0, 0][..], &8902_u16.to_be_bytes(), &host].concat();
    let id = format!("id={peer_id}");
    let txt = [&[u8::try_from(id.len()).unwrap()][..], id.as_bytes()].concat();
    let [_, _, c, d] = number.to_be_bytes();
    // An answer, authoritative, with four records.
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    for (owner, kind, data) in [
        (&service, PTR, &instance),
        (&instance, SRV, &srv),
        (&instance, TXT, &txt),
        (&host, A, &vec![10, 83, c, d]),
    ] {
        packet.extend(owner);
        packet.extend(kind.to_be_bytes());
        packet.extend(1_u16.to_be_bytes());
        packet.extend(4_500_u32.to_be_bytes());
        packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        packet.extend(data);
    }
    packet
}

fn name(labels: &[&str]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(u8::try_from(label.len()).unwrap());
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    name
}

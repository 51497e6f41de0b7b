//! Beacons over UDP: who hears them, and what is dropped unheard.

use std::net::SocketAddr;
use std::time::Duration;

use fau3::mesh::{BEACON_MAX_BYTES, BeaconTarget, MeshEvent, MeshSettings};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::mesh::routers::{Router, SOON, key, life, pair, settings};

#[tokio::test]
async fn beacons_reach_neighbours_those_suspected_and_one_alone() {
    let [mut low, mut high] = pair().await;
    low.mesh.beacon(BeaconTarget::Everywhere, b"to all");
    assert_eq!(high.beacon(low.id).await, "to all");
    high.mesh.beacon(BeaconTarget::Router(low.id), b"to one");
    assert_eq!(low.beacon(high.id).await, "to one");
    low.mesh.beacon(BeaconTarget::Address(high.address()), &[7; BEACON_MAX_BYTES]);
    assert_eq!(high.beacon(low.id).await.len(), BEACON_MAX_BYTES);
    // A router that is only suspected hears them before any connection stands.
    let mut late = Router::start(settings()).await;
    low.mesh.hint(late.address(), None);
    low.mesh.beacon(BeaconTarget::Everywhere, b"who is there?");
    assert_eq!(late.beacon(low.id).await, "who is there?");
}

#[tokio::test]
async fn a_beacon_from_an_unknown_router_is_enough_to_connect() {
    let mut one = Router::start(settings()).await;
    let mut other = Router::start(settings()).await;
    one.mesh.beacon(BeaconTarget::Address(other.address()), b"here");
    other.up(one.id).await;
    one.up(other.id).await;
}

/// Between two routers: passes datagrams on, and keeps copies.
struct Tap {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Tap {
    async fn new(to: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), to }
    }

    async fn take(&self) -> Vec<u8> {
        let mut buffer = vec![0; 10_000];
        let received = timeout(SOON, self.socket.recv_from(&mut buffer)).await;
        let (length, _) = received.expect("a beacon").unwrap();
        buffer.truncate(length);
        buffer
    }

    async fn pass(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to).await.unwrap();
    }

    fn target(&self) -> BeaconTarget {
        BeaconTarget::Address(self.socket.local_addr().unwrap())
    }
}

#[tokio::test]
async fn replayed_forged_and_strange_beacons_are_counted_and_nothing_else() {
    let sender = Router::start(settings()).await;
    let mut router = Router::start(settings()).await;
    let other_mesh = Router::start(MeshSettings { keys: vec![key(2)], ..settings() }).await;
    let tap = Tap::new(router.address()).await;
    sender.mesh.beacon(tap.target(), b"first");
    let first = tap.take().await;
    tap.pass(&first).await;
    assert_eq!(router.beacon(sender.id).await, "first");
    // Given the same again, a changed one, another mesh's, and what is none.
    tap.pass(&first).await;
    let mut forged = first.clone();
    let last = forged.len() - 20;
    forged[last] ^= 1;
    tap.pass(&forged).await;
    other_mesh.mesh.beacon(tap.target(), b"of another mesh");
    tap.pass(&tap.take().await).await;
    for strange in [&b""[..], b"x", &[0xF3; 30], &[0; 1_400], b"\xf3\x40"] {
        tap.pass(strange).await;
    }
    // When a good one follows, then it is the only one that is heard.
    sender.mesh.beacon(tap.target(), b"second");
    tap.pass(&tap.take().await).await;
    assert_eq!(router.beacon(sender.id).await, "second");
    let counts = router.mesh.counts();
    assert_eq!((counts.beacons_replayed, counts.beacons_strange), (1, 7), "{counts:?}");
    let more = router.all_within(Duration::from_millis(300)).await;
    assert!(!more.iter().any(|event| matches!(event, MeshEvent::Beacon { .. })), "{more:?}");
}

#[tokio::test]
async fn a_former_lifes_beacons_are_dropped_also_once_a_lost_disk_is_proved() {
    // Given a recording of a life with a high counter.
    let former = Router::start(MeshSettings { incarnation: life(9), ..settings() }).await;
    let mut router = Router::start(settings()).await;
    let tap = Tap::new(router.address()).await;
    former.mesh.beacon(tap.target(), b"former");
    let recorded = tap.take().await;
    former.mesh.beacon(tap.target(), b"former, later");
    let later = tap.take().await;
    tap.pass(&recorded).await;
    assert_eq!(router.beacon(former.id).await, "former");
    let (identity, id) = (former.identity.clone(), former.id);
    former.mesh.goodbye().await;
    // When it comes back without its disk and counts from one again.
    let mut back = Router::start_as(identity, MeshSettings { incarnation: life(1), ..settings() }).await;
    back.mesh.beacon(BeaconTarget::Address(router.address()), b"too early to be believed");
    back.mesh.hint(router.address(), None);
    back.up(router.id).await;
    router.up(id).await;
    back.mesh.beacon(BeaconTarget::Router(router.id), b"back");
    assert_eq!(router.beacon(id).await, "back");
    tap.pass(&later).await;
    back.mesh.beacon(BeaconTarget::Router(router.id), b"and on");
    assert_eq!(router.beacon(id).await, "and on", "the former life stays over");
}

#[tokio::test]
async fn a_router_with_ones_own_identity_is_heard_and_ones_own_echo_is_not() {
    let mut router = Router::start(settings()).await;
    let clone = Router::start_as(router.identity.clone(), settings()).await;
    let tap = Tap::new(router.address()).await;
    router.mesh.beacon(tap.target(), b"echo");
    tap.pass(&tap.take().await).await;
    clone.mesh.beacon(BeaconTarget::Address(router.address()), b"clone");
    assert_eq!(router.beacon(router.id).await, "clone");
}

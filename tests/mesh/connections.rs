//! Pairs that come to stand, stay one, and end.

use std::time::{Duration, Instant};

use fau3::mesh::{Down, FRAME_MAX_BYTES, Frame, MeshEvent, MeshSettings, SendOutcome, Transport};
use libp2p_identity::Keypair;

use crate::mesh::peer::{self, Peer};
use crate::mesh::routers::{Router, id_of, identities, key, life, pair, settings};

const PROTOCOL: &str = "/fau3/e/1";

#[tokio::test]
async fn frames_of_every_length_pass_both_ways_in_order() {
    let [mut low, mut high] = pair().await;
    let lengths = [0, 1, 100, 16_000, 16_384, 16_385, 70_000, FRAME_MAX_BYTES, 5];
    for length in lengths {
        low.send(high.id, vec![length as u8; length]);
    }
    high.send(low.id, "back");
    for length in lengths {
        let frame = high.frame(low.id).await;
        assert!(frame.len() == length && frame.iter().all(|byte| *byte == length as u8), "{length}");
    }
    assert_eq!(low.frame(high.id).await, "back");
}

#[tokio::test]
async fn a_pair_that_dials_each_other_at_once_has_one_connection() {
    for _ in 0..20 {
        let [low, high] = identities();
        let mut low = Router::start_as(low, settings()).await;
        let mut high = Router::start_as(high, settings()).await;
        low.mesh.hint(high.address(), None);
        high.mesh.hint(low.address(), Some(low.peer_id));
        low.up(high.id).await;
        high.up(low.id).await;
        // What comes later shows that none of them was replaced, nor lost.
        low.send(high.id, "first");
        high.send(low.id, "first");
        assert_eq!(high.frame(low.id).await, "first");
        assert_eq!(low.frame(high.id).await, "first");
        for router in [&mut low, &mut high] {
            let more = router.all_within(Duration::from_millis(50)).await;
            assert!(more.is_empty(), "{more:?}");
        }
    }
}

#[tokio::test]
async fn an_end_is_told_at_once_and_the_next_connection_comes_within_half_a_second() {
    let [mut low, mut high] = pair().await;
    let (identity, address) = (high.identity.clone(), high.address());
    let began = Instant::now();
    // As `kill -9` does: the kernel closes the connection, nobody says goodbye.
    high.mesh.goodbye().await;
    assert_eq!(low.down(high.id).await, Down::ClosedByPeer);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let restarted = Instant::now();
    let again = MeshSettings { listen: vec![address], incarnation: life(2), ..settings() };
    high = Router::start_as(identity, again).await;
    low.up(high.id).await;
    assert!(restarted.elapsed() < Duration::from_millis(500), "{:?}", restarted.elapsed());
    high.up(low.id).await;
}

#[tokio::test]
async fn a_goodbye_sends_what_waits_and_says_who_ended_it() {
    let [mut low, mut high] = pair().await;
    // More than one write takes, and little enough to be sealed in the half second that a
    // goodbye may last, also without optimisation on a machine that has other work.
    for number in 0..50_u8 {
        low.send(high.id, vec![number; 950]);
    }
    let id = low.id;
    // It says goodbye before anything of that has gone.
    let ((), ()) = tokio::join!(low.mesh.goodbye(), async {
        for number in 0..50 {
            assert_eq!(high.frame(id).await[0], number);
        }
        assert_eq!(high.down(id).await, Down::ClosedByPeer);
    });
    let told = low.events.recv().await;
    assert_eq!(told, Some(MeshEvent::Down { router: high.id, why: Down::Ours }));
}

#[tokio::test]
async fn a_router_that_starts_anew_replaces_its_former_life() {
    // The former connection is still open: the power went, nobody closed it.
    let [low, other] = identities();
    let mut low = Router::start_as(low, settings()).await;
    let former = Router::start_as(other.clone(), settings()).await;
    former.mesh.hint(low.address(), None);
    low.up(former.id).await;
    let later = Router::start_as(other, MeshSettings { incarnation: life(2), ..settings() }).await;
    later.mesh.hint(low.address(), None);
    assert_eq!(low.down(later.id).await, Down::ClosedByPeer);
    low.up(later.id).await;
    // No further change: the former one does not get in again against the newer.
    drop(former);
    low.send(later.id, "to the newer one");
}

#[tokio::test]
async fn a_router_meets_itself_and_goes_on() {
    let mut router =
        Router::start(MeshSettings { listen: vec![([0, 0, 0, 0], 0).into()], ..settings() }).await;
    let port = router.address().port();
    router.mesh.hint(([127, 0, 0, 1], port).into(), None);
    let events = router.all_within(Duration::from_secs(1)).await;
    assert!(events.is_empty(), "{events:?}");
}

#[tokio::test]
async fn web_socket_and_tcp_come_in_on_one_port() {
    let mut door = Router::start(settings()).await;
    for transport in [Transport::WebSocket, Transport::Tcp] {
        let mut guest = Router::start(MeshSettings { transports: vec![transport], ..settings() }).await;
        guest.mesh.hint(door.address(), Some(door.peer_id));
        guest.up(door.id).await;
        door.up(guest.id).await;
        for length in [10, 200_000, FRAME_MAX_BYTES] {
            guest.send(door.id, vec![1; length]);
            door.send(guest.id, vec![2; length]);
            assert_eq!(door.frame(guest.id).await.len(), length);
            assert_eq!(guest.frame(door.id).await.len(), length);
        }
        drop(guest.mesh);
        assert_eq!(door.down(guest.id).await, Down::ClosedByPeer);
    }
}

#[tokio::test]
async fn where_only_http_gets_through_web_socket_is_tried_next() {
    // Given something between the routers that closes whatever is not HTTP.
    let mut door = Router::start(settings()).await;
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, behind) = (gate.local_addr().unwrap(), door.address());
    tokio::spawn(async move {
        loop {
            let (mut here, _) = gate.accept().await.unwrap();
            let mut begins = [0; 4];
            if here.peek(&mut begins).await.is_ok() && begins == *b"GET " {
                let mut there = tokio::net::TcpStream::connect(behind).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut here, &mut there).await });
            }
        }
    });
    let both = vec![Transport::Tcp, Transport::WebSocket];
    let mut guest = Router::start(MeshSettings { transports: both, ..settings() }).await;
    guest.mesh.hint(at, None);
    guest.up(door.id).await;
    door.up(guest.id).await;
}

#[tokio::test]
async fn while_a_key_is_changed_routers_with_either_key_meet() {
    let keys =
        |bytes: &[u8]| MeshSettings { keys: bytes.iter().map(|byte| key(*byte)).collect(), ..settings() };
    for (dials, listens) in [(&[1][..], &[1, 2][..]), (&[2], &[1, 2]), (&[1, 2], &[2]), (&[1, 2], &[2, 1])] {
        let mut dials = Router::start(keys(dials)).await;
        let mut listens = Router::start(keys(listens)).await;
        dials.mesh.hint(listens.address(), None);
        dials.up(listens.id).await;
        listens.up(dials.id).await;
        // Beacons to a connected router use the key that it has.
        for (from, to) in [(&dials.mesh, &mut listens.events), (&listens.mesh, &mut dials.events)] {
            from.beacon(fau3::mesh::BeaconTarget::Everywhere, b"heard");
            let heard = tokio::time::timeout(Duration::from_secs(5), async {
                while !matches!(to.recv().await, Some(MeshEvent::Beacon { .. })) {}
            });
            heard.await.unwrap();
        }
    }
}

#[tokio::test]
async fn libp2p_itself_dials_and_is_dialled() {
    let [low, high] = identities();
    for (ours, theirs) in [(low.clone(), high.clone()), (high, low)] {
        // Given libp2p's own transport, it dials ...
        let mut router = Router::start_as(ours.clone(), settings()).await;
        let libp2p = Peer::start(theirs.clone(), [1; 32], Some(router.address())).await;
        let mut stream = libp2p.open(router.peer_id, PROTOCOL).await.unwrap();
        libp2p.join(&mut stream, router.id).await;
        router.up(libp2p.id).await;
        peer::write(&mut stream, peer::DATA, b"from libp2p").await;
        assert_eq!(router.frame(libp2p.id).await, "from libp2p");
        router.send(libp2p.id, "to libp2p");
        assert_eq!(peer::read(&mut stream).await.unwrap(), (peer::DATA, b"to libp2p".to_vec()));
        drop((stream, libp2p, router));
        // ... and is dialled.
        let mut router = Router::start_as(ours, settings()).await;
        let libp2p = Peer::start(theirs.clone(), [1; 32], None).await;
        router.mesh.hint(libp2p.address, Some(libp2p.peer_id));
        let mut stream = libp2p.accept(PROTOCOL).await;
        libp2p.join(&mut stream, router.id).await;
        assert_eq!(router.up(id_of(&theirs)).await, libp2p.address);
    }
}

#[tokio::test]
async fn a_full_queue_says_when_it_has_room_again_and_nothing_is_lost() {
    const FRAMES: u32 = 3_000;
    let [mut low, mut high] = pair().await;
    let (from, to) = (low.id, high.id);
    // Given a sender that stops where it is told to.
    let sending = tokio::spawn(async move {
        let (mut number, mut full) = (0_u32, 0);
        while number < FRAMES {
            let frame = [&number.to_be_bytes()[..], &[0; 9_500]].concat();
            match low.mesh.send(to, Frame::reliable(frame)) {
                SendOutcome::Queued => number += 1,
                SendOutcome::Full => {
                    full += 1;
                    low.wait("Drained", |event| (event == MeshEvent::Drained { router: to }).then_some(()))
                        .await;
                }
                other => panic!("{other:?}"),
            }
        }
        (low, full)
    });
    // And a node that is busy at first.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 0..FRAMES {
        assert_eq!(high.frame(from).await[..4], number.to_be_bytes());
    }
    let (_low, full) = sending.await.unwrap();
    assert!(full >= 3, "a node that does not read holds back its peers: {full}");
}

#[tokio::test]
async fn nobody_is_there_for_a_frame_to_a_stranger() {
    let router = Router::start(settings()).await;
    let stranger = id_of(&Keypair::generate_ed25519());
    assert_eq!(router.mesh.send(stranger, Frame::stream("x")), SendOutcome::Gone);
}

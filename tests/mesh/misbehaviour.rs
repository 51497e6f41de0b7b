//! Peers with the right key that misbehave, and strangers that flood. None of
//! it may matter to the others.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fau3::mesh::{
    Down, FRAME_MAX_BYTES, Frame, HANDSHAKE_MAX, MeshEvent, PENDING_MAX_EACH, Refusal, STALL, SendOutcome,
};
use libp2p_identity::Keypair;
use tokio::net::{TcpSocket, TcpStream};

use crate::mesh::peer::{self, Peer};
use crate::mesh::routers::{Router, settings};

const PROTOCOL: &str = "/fau3/e/1";

/// A router, another one connected to it, and a libp2p peer on its stream.
async fn scene() -> (Router, Router, Peer, libp2p::Stream) {
    let mut router = Router::start(settings()).await;
    let mut bystander = Router::start(settings()).await;
    bystander.mesh.hint(router.address(), None);
    bystander.up(router.id).await;
    router.up(bystander.id).await;
    let bad = Peer::start(Keypair::generate_ed25519(), [1; 32], Some(router.address())).await;
    let mut stream = bad.open(router.peer_id, PROTOCOL).await.unwrap();
    bad.join(&mut stream, router.id).await;
    router.up(bad.id).await;
    (router, bystander, bad, stream)
}

async fn nothing_happened_to(bystander: &mut Router, router: &mut Router) {
    bystander.send(router.id, "still here");
    assert_eq!(router.frame(bystander.id).await, "still here");
    assert_eq!(bystander.all_within(Duration::ZERO).await, []);
}

async fn ended_for_a_violation(router: &mut Router, bad: &Peer) {
    let mut refused = false;
    let why = router
        .wait("Down", |event| match event {
            MeshEvent::Refused { why: Refusal::Violation, .. } => {
                refused = true;
                None
            }
            MeshEvent::Down { router, why } if router == bad.id => Some(why),
            MeshEvent::Frame { .. } => panic!("took it for a frame"),
            _ => None,
        })
        .await;
    assert!(why == Down::Ours && refused, "{why:?} {refused}");
}

#[tokio::test]
async fn garbage_after_the_handshake_ends_only_its_own_connection() {
    let (mut router, mut bystander, bad, mut stream) = scene().await;
    peer::write(&mut stream, b'G', b"arbage").await;
    ended_for_a_violation(&mut router, &bad).await;
    assert!(peer::read(&mut stream).await.is_none(), "hung up");
    nothing_happened_to(&mut bystander, &mut router).await;
}

#[tokio::test]
async fn a_second_greeting_is_a_violation() {
    let (mut router, mut bystander, bad, mut stream) = scene().await;
    peer::write(&mut stream, peer::HELLO, &[0; 14]).await;
    ended_for_a_violation(&mut router, &bad).await;
    nothing_happened_to(&mut bystander, &mut router).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_the_connection_before_it_is_read() {
    let (mut router, mut bystander, bad, mut stream) = scene().await;
    peer::write(&mut stream, peer::DATA, &vec![0; FRAME_MAX_BYTES + 1]).await;
    ended_for_a_violation(&mut router, &bad).await;
    nothing_happened_to(&mut bystander, &mut router).await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_timed_out_and_its_queue_stays_bounded() {
    let (mut router, mut bystander, bad, _stream) = scene().await;
    let began = Instant::now();
    let mut full = false;
    for _ in 0..2_000 {
        full |= router.mesh.send(bad.id, Frame::reliable(vec![0; 9_500])) == SendOutcome::Full;
        tokio::task::yield_now().await;
    }
    assert!(full, "nothing beyond the bound is taken");
    nothing_happened_to(&mut bystander, &mut router).await;
    let why = router
        .wait_for(STALL * 2, "Down", &mut |event| match event {
            MeshEvent::Down { router, why } if router == bad.id => Some(why),
            _ => None,
        })
        .await;
    assert_eq!(why, Down::TimedOut);
    let took = began.elapsed();
    assert!(took >= STALL && took < STALL + Duration::from_secs(4), "{took:?}");
    nothing_happened_to(&mut bystander, &mut router).await;
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays_whatever_it_sends() {
    let (router, _bystander, bad, mut stream) = scene().await;
    router.send(bad.id, "a frame that is owed");
    let mut pings = 0;
    let began = Instant::now();
    while began.elapsed() < STALL + Duration::from_secs(3) {
        let next = tokio::time::timeout(Duration::from_secs(1), peer::read(&mut stream)).await;
        match next {
            Ok(Some((peer::PING, _))) => {
                pings += 1;
                peer::write(&mut stream, peer::SEEN, &[]).await;
            }
            Ok(None) => panic!("hung up"),
            _ => {}
        }
    }
    assert!(pings >= 1);
    assert_eq!(router.mesh.send(bad.id, Frame::stream("x")), SendOutcome::Queued);
}

#[tokio::test]
async fn half_open_floods_are_bounded_and_others_get_in_meanwhile() {
    let mut router = Router::start(settings()).await;
    let at = router.address();
    // Given 200 connections of one address that say nothing.
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(TcpStream::connect(at).await.unwrap());
    }
    let refused = router
        .wait("Refused", |event| match event {
            MeshEvent::Refused { why, .. } => Some(why),
            _ => None,
        })
        .await;
    assert_eq!(refused, Refusal::TooMany);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(router.mesh.counts().refused as usize, 200 - PENDING_MAX_EACH);
    // Another address is let in, ...
    let mut other = Router::start(settings()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let through = relay(socket.connect(at).await.unwrap()).await;
    other.mesh.hint(through, None);
    other.up(router.id).await;
    // ... and the same one again once the time for handshakes is over.
    tokio::time::sleep(HANDSHAKE_MAX).await;
    let mut late = Router::start(settings()).await;
    late.mesh.hint(at, None);
    late.up(router.id).await;
    drop(flood);
}

/// An address behind which is this connection.
async fn relay(mut there: TcpStream) -> SocketAddr {
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut here, _) = door.accept().await.unwrap();
        tokio::io::copy_bidirectional(&mut here, &mut there).await
    });
    address
}

#[tokio::test]
async fn a_pair_whose_one_end_lost_the_connection_unseen_meets_again() {
    // Given a relay that can go silent, as a network does.
    let mut low = Router::start(settings()).await;
    let mut high = Router::start(settings()).await;
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, behind) = (door.local_addr().unwrap(), low.address());
    let (cut, mut is_cut) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let (mut here, _) = door.accept().await.unwrap();
        drop(door);
        let mut there = TcpStream::connect(behind).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
            _ = is_cut.wait_for(|cut| *cut) => {}
        }
        // One end is closed, the other one hears nothing of it.
        drop(here);
        let _there = there;
        std::future::pending::<()>().await;
    });
    high.mesh.hint(at, None);
    high.up(low.id).await;
    low.up(high.id).await;
    cut.send(true).unwrap();
    assert_eq!(high.down(low.id).await, Down::ClosedByPeer);
    // When one dials again, then the other gives up the dead connection soon.
    let began = Instant::now();
    high.mesh.hint(low.address(), Some(low.peer_id));
    high.up(low.id).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    high.send(low.id, "over the new one");
    assert_eq!(low.frame(high.id).await, "over the new one");
}

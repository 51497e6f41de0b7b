//! Who is turned away, and how that is said.

use std::net::SocketAddr;
use std::time::Duration;

use fau3::mesh::{MeshEvent, MeshSettings, Protocol, Refusal};
use libp2p_identity::Keypair;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mesh::peer::Peer;
use crate::mesh::routers::{Router, key, settings};

async fn refusal(router: &mut Router) -> Refusal {
    router
        .wait("Refused", |event| match event {
            MeshEvent::Refused { why, .. } => Some(why),
            MeshEvent::Up { .. } => panic!("let in"),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_router_with_another_key_is_refused_by_both_with_one_line_a_minute() {
    let mut ours = Router::start(settings()).await;
    let mut other = Router::start(MeshSettings { keys: vec![key(2), key(3)], ..settings() }).await;
    other.mesh.hint(ours.address(), None);
    assert_eq!(refusal(&mut ours).await, Refusal::OtherKey);
    assert_eq!(refusal(&mut other).await, Refusal::OtherKey);
    // It goes on trying; nobody is let in, and nothing more is said.
    for router in [&mut ours, &mut other] {
        assert_eq!(router.all_within(Duration::from_secs(2)).await, []);
    }
    assert!(ours.mesh.counts().refused >= 4, "{:?}", ours.mesh.counts());
}

#[tokio::test]
async fn a_router_of_another_version_is_refused_by_both() {
    const NEWER: &[Protocol] = &[Protocol { id: "/fau3/e/9", version: 9 }];
    let mut ours = Router::start(settings()).await;
    let mut newer = Router::start(MeshSettings { protocols: NEWER, ..settings() }).await;
    newer.mesh.hint(ours.address(), None);
    assert_eq!(refusal(&mut newer).await, Refusal::OtherVersion);
    assert_eq!(refusal(&mut ours).await, Refusal::OtherVersion);
}

#[tokio::test]
async fn two_versions_that_overlap_meet_in_the_newest_that_both_speak() {
    const NEXT: &[Protocol] =
        &[Protocol { id: "/fau3/e/2", version: 2 }, Protocol { id: "/fau3/e/1", version: 1 }];
    let mut ours = Router::start(settings()).await;
    let next = Router::start(MeshSettings { protocols: NEXT, ..settings() }).await;
    let mut also_next = Router::start(MeshSettings { protocols: NEXT, ..settings() }).await;
    next.mesh.hint(ours.address(), None);
    next.mesh.hint(also_next.address(), None);
    let version = |event| match event {
        MeshEvent::Up { version, .. } => Some(version),
        _ => None,
    };
    assert_eq!(ours.wait("Up", version).await, 1);
    assert_eq!(also_next.wait("Up", version).await, 2);
}

#[tokio::test]
async fn libp2p_with_another_key_or_without_the_protocol_gets_nothing() {
    let mut router = Router::start(settings()).await;
    let stranger = Peer::start(Keypair::generate_ed25519(), [9; 32], Some(router.address())).await;
    assert_eq!(refusal(&mut router).await, Refusal::OtherKey);
    assert!(stranger.open(router.peer_id, "/fau3/e/1").await.is_err());
    let mut router = Router::start(settings()).await;
    let other = Peer::start(Keypair::generate_ed25519(), [1; 32], Some(router.address())).await;
    let error = other.open(router.peer_id, "/other/1").await.unwrap_err();
    assert_eq!(refusal(&mut router).await, Refusal::OtherVersion, "{error}");
}

#[tokio::test]
async fn what_has_no_key_at_all_never_hears_more_than_24_random_bytes() {
    let mut router = Router::start(settings()).await;
    for says in
        [&b"\x13/multistream/1.0.0\n/noise and more to fill it up"[..], &[0; 100], b"GET / HTTP/1.0\r\n\r\n"]
    {
        let mut socket = TcpStream::connect(router.address()).await.unwrap();
        socket.write_all(says).await.unwrap();
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard).await;
        assert!(heard.len() <= 24 || heard.starts_with(b"HTTP/1.1 4"), "{heard:?}");
    }
    assert_eq!(refusal(&mut router).await, Refusal::OtherKey);
}

/// What a request at the port of the mesh is answered.
async fn asked(router: &Router, request: &str) -> String {
    let mut socket = TcpStream::connect(router.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut heard = [0; 1_024];
    let length = socket.read(&mut heard).await.unwrap();
    String::from_utf8_lossy(&heard[..length]).into_owned()
}

#[tokio::test]
async fn a_web_socket_of_the_mesh_is_answered_as_one_of_clients_is_and_others_are_told_where_to_go() {
    let router = Router::start(settings()).await;
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (request, says) in [
        (format!("GET / HTTP/1.1\r\n{upgrade}{version}\r\n"), wanted),
        (format!("GET / HTTP/1.0\r\n{upgrade}{version}\r\n"), "set the proxy between to 1.1"),
        (format!("GET / HTTP/1.1\r\n{upgrade}\r\n"), "version 13"),
        (format!("GET / HTTP/1.1\r\nfau3-client-id: a\r\n{upgrade}{version}\r\n"), "clients.listen"),
        (format!("GET /?fau3-client-id=a HTTP/1.1\r\n{upgrade}{version}\r\n"), "clients.listen"),
        (format!("GET / HTTP/1.1\r\nfau3-relay: 1\r\n{upgrade}{version}\r\n"), "fau3://HOST:8902"),
        ("GET /index.html HTTP/1.1\r\n\r\n".to_owned(), "clients.listen"),
    ] {
        let answer = asked(&router, &request).await;
        assert!(answer.contains(says), "{request}: {answer}");
    }
}

#[tokio::test]
async fn the_well_known_key_is_used_on_the_lan_only() {
    let mut router = Router::start(settings()).await;
    let outside: SocketAddr = "203.0.113.1:8902".parse().unwrap();
    router.mesh.hint(outside, None);
    let refused = MeshEvent::Refused { address: outside, why: Refusal::NotLan };
    assert_eq!(router.events.recv().await, Some(refused));
}

#[tokio::test]
async fn settings_that_cannot_work_say_what_to_do() {
    let taken = Router::start(settings()).await;
    let identity = Keypair::generate_ed25519();
    for (settings, says) in [
        (MeshSettings { keys: vec![], ..settings() }, "one key, or two"),
        (MeshSettings { keys: vec![key(1), key(2), key(3)], ..settings() }, "one key, or two"),
        (MeshSettings { listen: vec![], ..settings() }, "an address"),
        (MeshSettings { listen: vec![taken.address()], ..settings() }, "choose another port"),
    ] {
        let error = fau3::mesh::Mesh::start(settings, &identity).await.err().unwrap();
        assert!(error.contains(says), "{error}");
    }
}

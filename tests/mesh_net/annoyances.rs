//! Bad input at the routers' door, from a host of its own: the coordinator
//! stays, what is said is heard at once, and logs stay short.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fau3::identity::MeshKey;
use fau3::mesh::{Frame, Key, Mesh as Door, MeshEvent, MeshSettings, PROTOCOLS, Transport};
use libp2p_identity::Keypair;

use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::moment::Moment;
use crate::mesh_net::routers::Mesh;

const ROUTERS: [usize; 3] = [0, 1, 2];
/// Where the bad input comes from.
const STRANGER: usize = 3;
/// "At once", far above what a busy test machine makes of a millisecond.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Between two exchanges.
const PAUSE: Duration = Duration::from_millis(50);
/// What a router may say of all that: a line a minute for each address and
/// kind, and connections that come and go as they may.
const LINES_MAX: usize = 10;

/// Three routers with a host beside them.
fn meshed(options: &[&str]) -> Option<Mesh> {
    let mesh = Mesh::start_with(ROUTERS.len(), ROUTERS.len() + 1, options)?;
    mesh.settled(&ROUTERS);
    Some(mesh)
}

/// Runs a story while a record after the other is said and heard.
fn undisturbed<T>(mesh: &Mesh, story: impl FnOnce() -> T) -> T {
    let leader = mesh.settled(&ROUTERS);
    let lines = || ROUTERS.map(|number| mesh.router(number).log().lines().count());
    let (mut mouth, ear) = (Mouth::at(&mesh.net, 0, "mouth"), Ear::at(&mesh.net, 1, "ear"));
    let (before, since) = (lines(), Moment::now());
    let over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let exchanging = scope.spawn(|| {
            let mut said = Sayings::new();
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                mouth.say(&mut said);
                ear.hears(&said, AT_ONCE);
                slowest = slowest.max(began.elapsed());
                assert!(slowest < AT_ONCE, "a record took {slowest:?}");
                sleep(PAUSE);
            }
            (said["mouth"].len(), slowest)
        });
        let over = SetOnDrop(&over);
        let told = story();
        drop(over);
        let (count, slowest) = exchanging.join().expect("clients were disturbed");
        println!("{count} records meanwhile, the slowest within {slowest:?}");
        told
    });
    assert_eq!(mesh.agreed(&ROUTERS, AT_ONCE), leader, "the coordinator has changed");
    assert_eq!(mesh.leaders_since(since), (Duration::ZERO, Duration::ZERO));
    let said = lines().into_iter().zip(before).map(|(after, before)| after - before);
    for (number, lines) in said.enumerate() {
        assert!(lines <= LINES_MAX, "router {number} said {lines} lines");
    }
    told
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where a router meets others.
fn door(mesh: &Mesh, number: usize) -> SocketAddr {
    (mesh.net.ipv4(number), 8902).into()
}

/// A connection to each router from the host beside them.
fn dial(mesh: &Mesh) -> Vec<TcpStream> {
    let doors = ROUTERS.map(|number| door(mesh, number));
    let dialling = mesh.net.inside(STRANGER, move || doors.map(TcpStream::connect));
    dialling.join().unwrap().into_iter().map(Result::unwrap).collect()
}

/// Bytes without any sense, different each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn garbage_at_the_door_disturbs_nobody() {
    let Some(mesh) = meshed(&[]) else { return };
    let web_socket = "GET / HTTP/1.1\r\nHost: router\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // Alone, where a libp2p connection would be, and as a WebSocket's content.
    let beginnings: [&[u8]; 4] = [b"", b"\x13/multistream/1.0.0\n", web_socket.as_bytes(), b"GET /"];
    undisturbed(&mesh, || {
        for round in 0..40 {
            let beginning = beginnings[round % beginnings.len()];
            for (number, mut socket) in dial(&mesh).into_iter().enumerate() {
                socket.set_write_timeout(Some(AT_ONCE)).unwrap();
                let garbage = noise((round * 3 + number) as u64, 1 << (round % 17));
                // The router may close it at any time.
                let _ = socket.write_all(beginning).and_then(|()| socket.write_all(&garbage));
            }
            sleep(PAUSE);
        }
    });
}

#[test]
fn a_router_that_sends_garbage_behind_its_handshake_disturbs_nobody() {
    let Some(mesh) = meshed(&[]) else { return };
    let key = std::fs::read_to_string(mesh.router(0).dir().join("mesh.key")).unwrap();
    let key = *MeshKey::parse_all(&key).unwrap()[0].bytes();
    let doors = ROUTERS.map(|number| door(&mesh, number));
    undisturbed(&mesh, || {
        let misbehaving = mesh.net.inside(STRANGER, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(misbehave(key, doors));
        });
        misbehaving.join().unwrap();
    });
}

/// Connects as a router of the mesh does, and talks nonsense.
async fn misbehave(key: [u8; 32], doors: [SocketAddr; 3]) {
    let settings = MeshSettings {
        leaf: false,
        listen: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))],
        keys: vec![Key::new(key)],
        lan_only: false,
        incarnation: fau3_election::Incarnation { counter: 1, random: 7 },
        transports: vec![Transport::Tcp],
        protocols: PROTOCOLS,
        seed: 1,
    };
    let (door, mut events) = Door::start(settings, &Keypair::generate_ed25519()).await.unwrap();
    doors.into_iter().for_each(|address| door.hint(address, None));
    let mut connected = Vec::new();
    while connected.len() < doors.len() {
        if let MeshEvent::Up { router, .. } = events.recv().await.unwrap() {
            connected.push(router);
        }
    }
    for round in 0..500_u64 {
        for router in &connected {
            let frame = noise(round, 1 << (round % 17));
            let frame = if round % 2 == 0 { Frame::reliable(frame) } else { Frame::stream(frame) };
            // A full queue, or a router that has had enough of it, is fine.
            let _ = door.send(*router, frame);
        }
        door.beacon(fau3::mesh::BeaconTarget::Everywhere, &noise(round, 700));
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    door.goodbye().await;
}

#[test]
fn beacons_of_others_said_again_disturb_nobody() {
    // given routers that look for another one where somebody else listens
    let Some(mesh) = meshed(&["mesh.peer=10.83.0.4:8902"]) else { return };
    let doors = ROUTERS.map(|number| door(&mesh, number));
    let socket = mesh.net.inside(STRANGER, || UdpSocket::bind("0.0.0.0:8902").unwrap()).join().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let record = || {
        let mut buffer = [0; 2_048];
        let (length, from) = socket.recv_from(&mut buffer).expect("a beacon");
        (buffer[..length].to_vec(), from)
    };
    let beacons: Vec<_> = (0..30).map(|_| record()).collect();
    assert!(ROUTERS.iter().all(|&number| beacons.iter().any(|(_, from)| *from == door(&mesh, number))));
    undisturbed(&mesh, || {
        // when it says again what it has heard, to all, and to whom it came from
        for _ in 0..100 {
            for (beacon, _) in &beacons {
                doors.iter().for_each(|door| drop(socket.send_to(beacon, door)));
            }
            sleep(Duration::from_millis(20));
        }
    });
    // and when a router is gone, then its beacons do not bring it back
    mesh.router(2).kill();
    let until = Instant::now() + Duration::from_secs(5);
    mesh.agreed(&[0, 1], Duration::from_secs(4));
    while Instant::now() < until {
        for (beacon, _) in &beacons {
            doors.iter().for_each(|door| drop(socket.send_to(beacon, door)));
        }
        sleep(Duration::from_millis(20));
        mesh.agreed(&[0, 1], Duration::ZERO);
    }
}

#[test]
fn five_hundred_half_open_connections_disturb_nobody() {
    let Some(mesh) = meshed(&[]) else { return };
    undisturbed(&mesh, || {
        let held: Vec<_> = (0..500 / ROUTERS.len()).flat_map(|_| dial(&mesh)).collect();
        sleep(Duration::from_secs(2));
        // Those beyond the bound are closed at once, not held.
        let is_closed = |mut socket: &TcpStream| {
            socket.set_nonblocking(true).unwrap();
            // Where a nonce has been sent, it comes first.
            (0..2).any(|_| matches!(socket.read(&mut [0; 64]), Ok(0)))
        };
        let closed = held.iter().filter(|socket| is_closed(socket)).count();
        println!("{closed} of {} were closed at once", held.len());
        assert!(closed >= 450, "{closed} of {} were closed", held.len());
    });
}

#[test]
fn two_thousand_datagrams_a_second_disturb_nobody() {
    let Some(mesh) = meshed(&[]) else { return };
    let doors = ROUTERS.map(|number| door(&mesh, number));
    undisturbed(&mesh, || {
        let flood = mesh.net.inside(STRANGER, move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let began = Instant::now();
            let mut sent = 0_u64;
            while began.elapsed() < Duration::from_secs(5) {
                // As many as are due by now, to each router.
                while sent < began.elapsed().as_millis() as u64 * 2 {
                    let datagram = noise(sent, 1 + (sent * 37 % 1_400) as usize);
                    doors.iter().for_each(|door| drop(socket.send_to(&datagram, door)));
                    sent += 1;
                }
                sleep(Duration::from_millis(1));
            }
            sent
        });
        let sent = flood.join().unwrap();
        assert!(sent > 5_000, "only {sent} were sent");
    });
}

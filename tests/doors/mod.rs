//! Another door beside that of FAU3VOM-D, against the public interface: one router, one
//! room, though neither door knows of the other.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod lines;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fau3::config::{Config, Places, Surroundings};
use fau3::control::{Control, Identity, Report};
use fau3::gateway::fau3d::{ExtraServers, Fau3d};
use fau3::gateway::{Door, Entrance, HANDSHAKES_PER_ADDRESS_MAX, Hall};
use fau3::node::{Inbox, Node, Request, Shown, UpstreamSide};
use fau3::router::{Origin, Restored, Router, Settings};
use fau3::wire::Present;
use fau3_election::{Incarnation, RouterId};
use lines::Lines;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::common::readme::{PAGES, blocks_of};
use crate::common::{TempDir, fau3, finish_with_input};

/// A node, as the program makes one, with these two doors.
struct Scene {
    lines: SocketAddr,
    fau3d: SocketAddr,
    control: Control,
    _requests: mpsc::Sender<Request>,
    _dir: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let dir = TempDir::new("doors");
        let around = Surroundings { host_name: "doors".into(), places: Places::inside(dir.path()) };
        let config = Config::defaults(&around);
        let router_id = RouterId([7; 16]);
        let identity = Identity { name: "doors".into(), peer_id: String::new(), router_id };
        let (control, questions) = Control::new();
        let (request, requests) = mpsc::channel(1);
        let servers = ExtraServers::default();
        let shown = Shown::new(&config, control.clone(), servers.clone(), identity.clone(), false);
        let upstream = UpstreamSide::new(config.default_server.clone(), router_id, false);
        let origin = Origin { router: router_id, incarnation: Incarnation { counter: 1, random: 2 } };
        let router = Router::new(origin, Settings::default(), Restored::default());
        let inbox = Inbox { requests, questions };
        let (node, hall) = Node::new(router, None, identity, inbox, None, upstream, shown);
        tokio::spawn(node.run());
        let lines = open(&hall, "lines", Arc::new(Lines)).await;
        let fau3d = open(&hall, "fau3d", Arc::new(Fau3d::new(servers))).await;
        Self { lines, fau3d, control, _requests: request, _dir: dir }
    }

    async fn join(&self, name: &str) -> Visitor {
        let mut visitor = Visitor(BufReader::new(TcpStream::connect(self.lines).await.unwrap()));
        visitor.say(name).await;
        visitor
    }

    /// Once so many are in a room.
    async fn until_in_a_room(&self, count: usize) {
        let is_in = |client: &Present| client.room.is_some();
        self.until(|report| report.router.clients.iter().filter(|client| is_in(client)).count() == count)
            .await;
    }

    async fn until(&self, is_so: impl Fn(&Report) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let report = self.control.report().await.unwrap();
            if is_so(&report) {
                return;
            }
            assert!(Instant::now() < deadline, "{:?} {:?}", report.router.clients, report.doors);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn open(hall: &Hall, name: &'static str, door: Arc<dyn Door>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Entrance::new(hall, name).listen(door, listener));
    address
}

struct Visitor(BufReader<TcpStream>);

impl Visitor {
    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line; empty at the end.
    async fn hear(&mut self) -> String {
        let mut line = String::new();
        timeout(Duration::from_secs(10), self.0.read_line(&mut line)).await.unwrap().unwrap();
        line.trim_end().to_owned()
    }
}

#[tokio::test]
async fn clients_of_two_doors_are_in_one_room_and_hear_each_other_once() {
    let scene = Scene::start().await;
    let (mut ann, mut ben) = (scene.join("ann").await, scene.join("ben").await);
    scene.until_in_a_room(2).await;
    ann.say("hello, ben").await;
    assert_eq!(ben.hear().await, "hello, ben");
    // A client of FAU3VOM-D says something, too, and both hear it, behind nothing else.
    let url = format!("ws://{}", scene.fau3d);
    let talked = tokio::task::spawn_blocking(move || {
        finish_with_input(fau3(&["talk", "--room", "lines", "--url", &url, "-"]), b"from a radio")
    });
    let talked = talked.await.unwrap();
    assert!(talked.status.success(), "{talked}");
    assert_eq!((ann.hear().await, ben.hear().await), ("from a radio".into(), "from a radio".into()));
    // What went through each door is counted, and nothing is left of who has gone.
    let through = [("lines", 2, 1, 0), ("fau3d", 0, 1, 0)];
    scene
        .until(|report| {
            let counts =
                report.doors.each.iter().map(|it| (it.name, it.clients, it.messages, it.turned_away));
            counts.eq(through)
        })
        .await;
}

#[tokio::test]
async fn whoever_is_refused_or_ended_is_told_why_and_one_that_leaves_is_gone() {
    let scene = Scene::start().await;
    let mut ann = scene.join("ann").await;
    scene.until_in_a_room(1).await;
    let mut again = scene.join("ann").await;
    assert_eq!(ann.hear().await, "the same client id connected again");
    assert_eq!(ann.hear().await, "");
    assert_eq!(scene.join("").await.hear().await, "a name, please");
    again.0.shutdown().await.unwrap();
    scene.until_in_a_room(0).await;
}

#[tokio::test]
async fn one_address_cannot_take_all_places_of_a_door_nor_any_of_another() {
    let scene = Scene::start().await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_PER_ADDRESS_MAX {
        silent.push(TcpStream::connect(scene.lines).await.unwrap());
    }
    let mut late = Visitor(BufReader::new(TcpStream::connect(scene.lines).await.unwrap()));
    assert_eq!(late.hear().await, "no place; try again");
    let turned_away = scene.control.report().await.unwrap().doors.each[0].turned_away;
    assert_eq!(turned_away, 1);
    let url = format!("ws://{}", scene.fau3d);
    let talked = tokio::task::spawn_blocking(move || {
        finish_with_input(fau3(&["talk", "--room", "lines", "--url", &url, "-"]), b"x")
    });
    assert!(talked.await.unwrap().status.success());
    // A place is free again once one of them has become a client, or has gone.
    silent.clear();
    scene.join("ann").await;
}

#[test]
fn the_page_shows_this_door() {
    let page = PAGES.iter().find(|(name, _)| *name == "docs/doors.md").unwrap().1;
    let source = include_str!("lines.rs");
    let shown = blocks_of(page, "rust");
    assert!(!shown.is_empty());
    for block in shown {
        assert!(
            source.contains(block.trim()),
            "docs/doors.md shows what is not in tests/doors/lines.rs:\n{block}"
        );
    }
}

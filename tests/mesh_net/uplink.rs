//! A main server somewhere else: a fau3 node beyond the NAT of each segment. It
//! is followed while it is there, and nobody notices when it goes or comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Net, batch, feed, wait_for};
use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::moment::Moment;
use crate::mesh_net::routers::{Mesh, Router, new_key};
use crate::mesh_net::{CLOSED_MAX, HEARD_MAX, START_MAX};

/// Where the main server is, seen from behind the NATs (TEST-NET-2, RFC 5737).
const MAIN: &str = "198.51.100.1";
/// From its last sign of life until each router of a segment follows another.
const GONE_MAX: Duration = Duration::from_secs(3);
/// Whoever is the deputy no more lets go within this; at a start several are.
const LET_GO_MAX: Duration = Duration::from_secs(8);
/// How long it has to be there again after its first outage, and its second.
const HOLDS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(6)];
/// And how much later, at most, all follow it again.
const BACK_MAX: Duration = Duration::from_secs(2);

/// Segments, each behind a NAT of its own, and the main server.
struct World {
    segments: Vec<Mesh>,
    main: Mesh,
    // Their networks, in the same order, go after them.
    nets: Vec<Arc<Net>>,
    inet: Arc<Net>,
    /// Where each segment's last host is, the one with the NAT.
    gateways: Vec<usize>,
}

impl World {
    /// Segments of so many routers.
    fn start(sizes: &[usize], scheme: &str) -> Option<Self> {
        let key = new_key();
        let inet = Arc::new(Net::new(1)?);
        let main = inet.namespace(0);
        batch(
            &main,
            &format!("link add inet0 type bridge\nlink set inet0 up\naddr add {MAIN}/24 dev inet0\n"),
        );
        let options = ["node.name=main", "default_server.name=main"];
        let main = Mesh::on(Arc::clone(&inet)).with(Some(&key), &options);
        let url = format!("default_server.url={scheme}://{MAIN}:8902");
        let mut world = Self { segments: Vec::new(), main, nets: Vec::new(), inet, gateways: Vec::new() };
        for (number, &size) in sizes.iter().enumerate() {
            let net = Arc::new(Net::new(size + 1)?);
            world.nets.push(Arc::clone(&net));
            world.gateways.push(size);
            world.put_behind_nat(number);
            let segment = (0..size).fold(Mesh::on(net), |segment, router| {
                let name = format!("node.name=segment{number}-{router}");
                segment.with(Some(&key), &[&name, "default_server.name=main", &url])
            });
            world.segments.push(segment);
        }
        world.all_follow_main(START_MAX);
        Some(world)
    }

    /// The segment's last host gets a second card, on the main server's
    /// network, and hides the others behind it.
    fn put_behind_nat(&self, number: usize) {
        let (net, gateway) = (&self.nets[number], self.gateways[number]);
        let (inside, outside) = (net.namespace(gateway), self.inet.namespace(0));
        let cable = format!(
            "link add up{number} type veth peer name wan0 netns {inside}\nlink set up{number} master inet0\n\
             link set up{number} up\n"
        );
        batch(&outside, &cable);
        batch(&inside, &format!("addr add 198.51.100.{}/24 dev wan0\nlink set wan0 up\n", 10 + number));
        feed(&["ip", "netns", "exec", &inside, "sysctl", "-qw", "net.ipv4.ip_forward=1"], "");
        let nat = "table ip nat {\nchain out { type nat hook postrouting priority 100; oifname wan0 masquerade; }\n}\n";
        feed(&["ip", "netns", "exec", &inside, "nft", "-f", "-"], nat);
        for host in 0..gateway {
            batch(&net.namespace(host), &format!("route add default via {}\n", net.ipv4(gateway)));
        }
    }

    /// From now on nothing passes the segment's uplink, and nobody is told, or
    /// it does again.
    fn drop_uplink(&self, number: usize, drop: bool) -> Moment {
        let inside = self.nets[number].namespace(self.gateways[number]);
        let rule = if drop { "oifname wan0 drop\niifname wan0 drop\n" } else { "" };
        let rules = format!(
            "table ip faults\ndelete table ip faults\n\
             table ip faults {{ chain forward {{ type filter hook forward priority 0;\n{rule}}}\n}}\n"
        );
        feed(&["ip", "netns", "exec", &inside, "nft", "-f", "-"], &rules);
        Moment::now()
    }

    fn all_follow_main(&self, within: Duration) {
        let since = Instant::now();
        while !self
            .segments
            .iter()
            .all(|segment| segment.all().iter().all(|at| follows(&segment.router(*at))))
        {
            assert!(since.elapsed() < within, "not all follow the main server");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How long after `since` the last router of a segment followed the main
    /// server, or no longer did.
    fn changed(&self, number: usize, since: Moment, follow: bool, within: Duration) -> Duration {
        let segment = &self.segments[number];
        let spans = segment.all().into_iter().map(|at| {
            let mut span = None;
            wait_for("it follows another", within, || {
                let views = views(&segment.router(at));
                let mut later = views.into_iter().filter(|(moment, _)| *moment >= since);
                span = later.find(|(_, follows)| *follows == follow).map(|(moment, _)| moment.since(since));
                span.is_some()
            });
            span.unwrap()
        });
        spans.max().unwrap()
    }

    /// Connections that the main server has from routers.
    fn connections(&self) -> usize {
        let log = self.main.router(0).life();
        log.matches("router connected").count() - log.matches("router disconnected").count()
    }

    /// Packets that have come to the main server.
    fn packets(&self) -> u64 {
        let path = "/sys/class/net/inet0/statistics/rx_packets".to_owned();
        self.inet
            .inside(0, move || {
                // sysfs shows the network of whoever mounted it; this file does not.
                let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                let line = table.lines().find_map(|line| line.trim().strip_prefix("inet0:")).expect(&path);
                line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
            })
            .join()
            .unwrap()
    }
}

/// When a router began to follow the main server, or another.
fn views(router: &Router) -> Vec<(Moment, bool)> {
    let log = router.log();
    let views = log.lines().filter(|line| line.contains("; routers in reach: "));
    let views = views.filter(|line| !line.contains("nobody leads"));
    views.filter_map(|line| Some((Moment::of_line(line)?, line.contains("the main server leads")))).collect()
}

fn follows(router: &Router) -> bool {
    let status = router.status();
    status["mode"] == "default" && status["coordinator"] == "main"
}

/// A pair of clients in each segment, and one at the main server.
struct People {
    mouths: Vec<Mouth>,
    ears: Vec<Ear>,
    said: Sayings,
}

impl People {
    fn of(world: &World) -> Self {
        let places = world.nets.iter().map(|net| (net, 1)).chain([(&world.inet, 0)]);
        let (mut mouths, mut ears) = (Vec::new(), Vec::new());
        for (number, (net, host)) in places.enumerate() {
            mouths.push(Mouth::at(net, host, &format!("mouth{number}")));
            ears.push(Ear::at(net, host, &format!("ear{number}")));
        }
        Self { mouths, ears, said: Sayings::new() }
    }

    /// Each of these says something.
    fn say(&mut self, who: impl IntoIterator<Item = usize>) {
        for who in who {
            self.mouths[who].say(&mut self.said);
        }
    }

    /// Everybody has heard all that was said, once.
    fn have_heard_all(&self) {
        self.ears.iter().for_each(|ear| ear.hears(&self.said, HEARD_MAX));
    }
}

/// Two segments and all that may happen to their main server.
fn story(scheme: &str) {
    let Some(world) = World::start(&[2, 2], scheme) else { return };
    let mut people = People::of(&world);
    // All hear each other, over one connection from each segment.
    people.say([0, 1, 2]);
    people.have_heard_all();
    wait_for("one connection from each segment", LET_GO_MAX, || world.connections() == 2);
    // Killed: each segment is served by itself, and goes on talking.
    let fault = world.main.router(0).kill();
    let gone = world.changed(0, fault, false, CLOSED_MAX).max(world.changed(1, fault, false, CLOSED_MAX));
    people.say([0, 1, 0]);
    // Back: it leads again, and what was said meanwhile reaches everyone once.
    world.main.router(0).start();
    let back_since = Moment::now();
    let within = HOLDS[0] + BACK_MAX + Duration::from_secs(1);
    let back = world.changed(0, back_since, true, within).max(world.changed(1, back_since, true, within));
    people.say([0, 1, 2]);
    people.have_heard_all();
    println!("{scheme}: killed: gone after {gone:?}, back after {back:?}");
    assert!(gone < CLOSED_MAX && back < HOLDS[0] + BACK_MAX, "gone after {gone:?}, back after {back:?}");
    // Silent: one segment's uplink drops all; the other one notices nothing.
    let fault = world.drop_uplink(0, true);
    let gone = world.changed(0, fault, false, GONE_MAX + Duration::from_secs(1));
    people.say([0, 1, 2]);
    let mended = world.drop_uplink(0, false);
    let back = world.changed(0, mended, true, HOLDS[1] + BACK_MAX + Duration::from_secs(1));
    people.say([0, 1, 2]);
    people.have_heard_all();
    println!("{scheme}: dropped: gone after {gone:?}, back after {back:?}");
    assert!(gone < GONE_MAX && back < HOLDS[1] + BACK_MAX, "gone after {gone:?}, back after {back:?}");
    let others = views(&world.segments[1].router(0)).into_iter().filter(|(at, _)| *at > fault);
    assert!(others.clone().all(|(_, follows)| follows), "the other segment still follows");
    // No client of a segment was ever without its connection.
    let served = world.segments.iter().map(|segment| segment.router(1).life());
    assert!(served.clone().all(|log| !log.contains("connection ended")), "{:?}", served.collect::<Vec<_>>());
}

#[test]
fn a_main_server_over_tcp_goes_and_comes() {
    story("fau3");
}

#[test]
fn a_main_server_over_websocket_goes_and_comes() {
    story("fau3+ws");
}

#[test]
fn five_routers_at_rest_put_no_more_on_it_than_one() {
    let Some(world) = World::start(&[5], "fau3") else { return };
    // At a start several are the deputy, one after the other.
    std::thread::sleep(LET_GO_MAX / 2);
    wait_for("the deputy's connection alone", LET_GO_MAX, || world.connections() == 1);
    let began = (Instant::now(), world.packets());
    std::thread::sleep(Duration::from_secs(5));
    let rate = (world.packets() - began.1) as f64 / began.0.elapsed().as_secs_f64();
    println!("{rate:.1} packets a second at rest");
    // Four questions, four acknowledgements by TCP, and a State now and then.
    assert!(rate < 12.0, "{rate:.1} packets a second");
    // When the deputy goes, another one has the connection, and nobody leads meanwhile.
    let deputy = world.segments[0].router(0).status()["deputy"].as_str().unwrap().to_owned();
    let number: usize = deputy.rsplit('-').next().unwrap().parse().unwrap();
    let fault = world.segments[0].router(number).kill();
    wait_for("the next one is connected", CLOSED_MAX, || world.connections() == 1);
    std::thread::sleep(Duration::from_secs(3));
    for at in (0..5).filter(|at| *at != number) {
        let views = views(&world.segments[0].router(at)).into_iter().filter(|(moment, _)| *moment >= fault);
        assert!(views.clone().all(|(_, follows)| follows), "router {at}");
    }
}

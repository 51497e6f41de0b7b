//! Two routers with more than one cable between them: the one in use fails, in
//! each way in which it can, and neither the leader nor a client notices.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Net, batch, feed};
use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::moment::Moment;
use crate::mesh_net::routers::{Mesh, new_key};
use crate::mesh_net::{HEAL_MAX, HEARD_MAX};

/// A dead link is noticed within the detection time, 1.75 s; a new connection stands
/// soon after it. Twice that on a machine that does other things, too.
const MOVED_MAX: Duration = Duration::from_secs(4);

/// Two routers, a pair of clients, and some cables more between the hosts.
struct Cabled {
    mesh: Mesh,
    mouth: Mouth,
    ear: Ear,
    said: Sayings,
}

impl Cabled {
    fn start(cables: usize) -> Option<Self> {
        let net = Arc::new(Net::new(2)?);
        for number in 1..cables {
            let (one, other) = (net.namespace(0), net.namespace(1));
            batch(&one, &format!("link add eth{number} type veth peer name eth{number} netns {other}\n"));
            for (host, namespace) in [&one, &other].into_iter().enumerate() {
                let address = format!("10.{}.0.{}/24", 83 + number, host + 1);
                batch(namespace, &format!("link set eth{number} up\naddr add {address} dev eth{number}\n"));
            }
        }
        let key = new_key();
        let mesh = (0..2).fold(Mesh::on(net), |mesh, _| mesh.with(Some(&key), &[]));
        mesh.settled(&[0, 1]);
        let (mouth, ear) = (Mouth::at(&mesh.net, 0, "mouth"), Ear::at(&mesh.net, 1, "ear"));
        let mut cabled = Self { mesh, mouth, ear, said: Sayings::new() };
        cabled.clients_are_served();
        // Until each has heard the other over all cables.
        std::thread::sleep(Duration::from_secs(3) * cables as u32);
        Some(cabled)
    }

    fn clients_are_served(&mut self) {
        self.mouth.say(&mut self.said);
        self.ear.hears(&self.said, HEARD_MAX);
    }

    /// The card that the connection of the two uses on host 0.
    fn in_use(&self) -> String {
        let sockets = self.mesh.net.command(0, "ss").args(["-tnH", "state", "established"]).output().unwrap();
        let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
        let mesh = sockets.lines().find(|line| line.contains(":8902") && !line.contains("127.0.0.1"));
        let line = mesh.unwrap_or_else(|| panic!("no connection: {sockets}"));
        println!("in use: {line}");
        if let Some((_, zone)) = line.split_once("%eth") {
            return format!("eth{}", &zone[..1]);
        }
        match line.split_once("10.") {
            Some((_, rest)) => format!("eth{}", rest[..2].parse::<u8>().unwrap() - 83),
            None => "eth0".to_owned(),
        }
    }

    /// Nothing more passes over this card, and nobody says so.
    fn silence(&self, card: &str) {
        let rules = format!(
            "table netdev silent {{\nchain in {{ type filter hook ingress device {card} priority 0; drop; }}\n}}\n"
        );
        for host in 0..2 {
            feed(&["ip", "netns", "exec", &self.mesh.net.namespace(host), "nft", "-f", "-"], &rules);
        }
    }

    fn heal(&self) {
        for host in 0..2 {
            let namespace = self.mesh.net.namespace(host);
            feed(&["ip", "netns", "exec", &namespace, "nft", "delete", "table", "netdev", "silent"], "");
        }
    }

    fn ip(&self, args: &[&str]) {
        let status = self.mesh.net.command(0, "ip").args(args).status().unwrap();
        assert!(status.success(), "ip {args:?}");
    }

    /// What is said now is heard soon, and there was one leader all the while.
    fn goes_on(&mut self, what: &str, fault: Moment) {
        self.clients_are_served();
        let moved = Moment::now().since(fault);
        let (two, nobody) = self.mesh.leaders_since(fault);
        println!("{what}: heard {moved:?} after the fault; two led for {two:?}, nobody for {nobody:?}");
        assert!(moved < MOVED_MAX, "{what}: heard only {moved:?} after the fault");
        assert!(two.is_zero() && nobody.is_zero(), "{what}: two led for {two:?}, nobody for {nobody:?}");
        self.mesh.agreed(&[0, 1], HEAL_MAX);
    }
}

#[test]
fn the_link_in_use_falls_silent_and_comes_back() {
    let Some(mut cabled) = Cabled::start(2) else { return };
    let first = cabled.in_use();
    let fault = Moment::now();
    cabled.silence(&first);
    cabled.goes_on("silent", fault);
    let second = cabled.in_use();
    assert_ne!(second, first);
    // The first one is there again: it is warm soon, and takes over from the second.
    let healed = Moment::now();
    cabled.heal();
    std::thread::sleep(Duration::from_secs(8));
    cabled.goes_on_after_heal(healed);
    let fault = Moment::now();
    cabled.silence(&second);
    cabled.goes_on("the other one silent", fault);
}

impl Cabled {
    fn goes_on_after_heal(&mut self, healed: Moment) {
        self.clients_are_served();
        let (two, nobody) = self.mesh.leaders_since(healed);
        assert!(two.is_zero() && nobody.is_zero(), "healed: two led for {two:?}, nobody for {nobody:?}");
    }
}

#[test]
fn the_link_in_use_is_set_down_and_up() {
    let Some(mut cabled) = Cabled::start(2) else { return };
    let first = cabled.in_use();
    let fault = Moment::now();
    cabled.ip(&["link", "set", &first, "down"]);
    cabled.goes_on("set down", fault);
    assert_ne!(cabled.in_use(), first);
    let up = Moment::now();
    cabled.ip(&["link", "set", &first, "up"]);
    cabled.goes_on_after_heal(up);
}

#[test]
fn one_link_of_three_falls_silent() {
    let Some(mut cabled) = Cabled::start(3) else { return };
    let first = cabled.in_use();
    let fault = Moment::now();
    cabled.silence(&first);
    cabled.goes_on("one of three", fault);
    assert_ne!(cabled.in_use(), first);
}

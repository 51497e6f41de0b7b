//! The coordinator is gone, in every way in which it can be: another leads
//! soon, and clients of the others notice nothing.

use std::time::Duration;

use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::moment::Moment;
use crate::mesh_net::routers::Mesh;
use crate::mesh_net::{CLOSED_MAX, HEAL_MAX, HEARD_MAX, SILENT_MAX, TWO_LEADERS_MAX};

/// Three routers with a coordinator, and a pair of clients at the others.
struct Led {
    mesh: Mesh,
    leader: usize,
    mouth: Mouth,
    ear: Ear,
    said: Sayings,
}

impl Led {
    fn start() -> Option<Self> {
        let mesh = Mesh::start(3)?;
        let leader = mesh.settled(&[0, 1, 2]);
        let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let (mouth, ear) = (Mouth::at(&mesh.net, one, "mouth"), Ear::at(&mesh.net, other, "ear"));
        let mut led = Self { mesh, leader, mouth, ear, said: Sayings::new() };
        led.clients_are_served();
        Some(led)
    }

    fn others(&self) -> Vec<usize> {
        self.mesh.all().into_iter().filter(|&number| number != self.leader).collect()
    }

    fn clients_are_served(&mut self) {
        self.mouth.say(&mut self.said);
        self.ear.hears(&self.said, HEARD_MAX);
    }

    /// One of the others leads them within `bound` after `fault`.
    fn is_succeeded(&mut self, what: &str, fault: Moment, bound: Duration) {
        let (_, span) = self.mesh.succession(self.leader, fault, bound);
        println!("{what}: the next one leads after {span:?}");
        assert!(span < bound, "{what}: the next one leads after {span:?}");
        self.clients_are_served();
        self.mesh.agreed(&self.others(), HEAL_MAX);
    }

    /// All three are together again, with two leaders no longer than may be.
    fn is_whole_again(&mut self, since: Moment) {
        self.mesh.agreed(&[0, 1, 2], HEAL_MAX);
        let (two, _) = self.mesh.leaders_since(since);
        println!("two leaders for {two:?}");
        assert!(two < TWO_LEADERS_MAX, "two leaders for {two:?}");
        self.clients_are_served();
    }
}

#[test]
fn killed() {
    let Some(mut led) = Led::start() else { return };
    let fault = led.mesh.router(led.leader).kill();
    led.is_succeeded("killed", fault, CLOSED_MAX);
    let back = Moment::now();
    led.mesh.router(led.leader).start();
    led.is_whole_again(back);
}

#[test]
fn asked_to_go() {
    let Some(mut led) = Led::start() else { return };
    let fault = led.mesh.router(led.leader).terminate();
    led.is_succeeded("asked to go", fault, CLOSED_MAX);
    // It has said so: nobody is ever without a leader for a detection time.
    let (two, nobody) = led.mesh.leaders_since(fault);
    assert!(two < TWO_LEADERS_MAX && nobody < CLOSED_MAX, "two led for {two:?}, none for {nobody:?}");
}

#[test]
fn frozen_and_thawed() {
    let Some(mut led) = Led::start() else { return };
    let fault = led.mesh.router(led.leader).freeze();
    led.is_succeeded("frozen", fault, SILENT_MAX);
    // when it goes on as if nothing had been
    let thawed = led.mesh.router(led.leader).thaw();
    led.is_whole_again(thawed);
}

#[test]
fn isolated_and_back() {
    let Some(mut led) = Led::start() else { return };
    let fault = Moment::now();
    led.mesh.net.partition(&[led.leader], &led.others());
    led.is_succeeded("isolated", fault, SILENT_MAX);
    // Alone, it leads itself.
    led.mesh.agreed(&[led.leader], SILENT_MAX);
    let healed = Moment::now();
    led.mesh.net.heal();
    led.is_whole_again(healed);
}

#[test]
fn port_down_and_up() {
    let Some(mut led) = Led::start() else { return };
    let fault = Moment::now();
    led.mesh.net.unplug(led.leader);
    led.is_succeeded("port down", fault, SILENT_MAX);
    led.mesh.net.plug(led.leader);
    let plugged = Moment::now();
    led.is_whole_again(plugged);
}

//! Clients that move from router to router.

use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::routers::Mesh;
use crate::mesh_net::{HEAL_MAX, HEARD_MAX, SILENT_MAX, START_MAX};

#[test]
fn a_client_that_roams_hears_all_once_whether_it_closed_or_not() {
    let Some(mesh) = Mesh::start(3) else { return };
    mesh.settled(&[0, 1, 2]);
    let ear = Ear::at(&mesh.net, 0, "ear");
    let mut mouth = Mouth::at(&mesh.net, 1, "mouth");
    let mut said = Sayings::new();
    // when it moves again and again, and all the time things are said
    for (round, host) in [1, 2, 0, 2, 1, 0].into_iter().enumerate() {
        mouth.say(&mut said);
        ear.leave_for(host, round % 2 == 0);
        mouth.say(&mut said);
        ear.roam(host, true);
        mouth.say(&mut said);
    }
    // then it has heard all, once and in order
    ear.hears(&said, HEARD_MAX);
    // and so has one that talks here and there
    let other = Ear::at(&mesh.net, 2, "other");
    let mut said_since = Sayings::new();
    for host in [0, 2, 1, 0] {
        mouth.roam(host);
        mouth.say(&mut said_since);
    }
    other.hears(&said_since, HEARD_MAX);
}

#[test]
fn a_client_whose_router_died_goes_on_at_another_one() {
    let Some(mesh) = Mesh::start(3) else { return };
    mesh.settled(&[0, 1, 2]);
    let ear = Ear::at(&mesh.net, 2, "ear");
    let mut mouth = Mouth::at(&mesh.net, 0, "mouth");
    let mut said = Sayings::new();
    mouth.say(&mut said);
    ear.hears(&said, HEARD_MAX);
    // when its router is gone, and things are said before it is elsewhere
    mesh.router(2).kill();
    mouth.say(&mut said);
    mouth.say(&mut said);
    ear.roam(1, true);
    // then it misses nothing and hears nothing twice
    ear.hears(&said, HEARD_MAX);
    mouth.say(&mut said);
    ear.hears(&said, HEARD_MAX);
    // also when it comes home
    mesh.router(2).start();
    mesh.agreed(&[0, 1, 2], START_MAX);
    mouth.say(&mut said);
    ear.roam(2, false);
    mouth.say(&mut said);
    ear.hears(&said, HEARD_MAX);
}

#[test]
fn a_client_that_roams_across_a_cut_is_the_newer_ones_after_the_heal() {
    let Some(mesh) = Mesh::start(2) else { return };
    mesh.settled(&[0, 1]);
    let ear = Ear::at(&mesh.net, 0, "ear");
    let [mut left, mut right] = [0, 1].map(|host| Mouth::at(&mesh.net, host, &format!("mouth {host}")));
    let mut said = Sayings::new();
    left.say(&mut said);
    ear.hears(&said, HEARD_MAX);
    // when it goes to the other side of a cut without a goodbye
    mesh.net.partition(&[0], &[1]);
    mesh.agreed(&[1], SILENT_MAX);
    ear.roam(1, false);
    left.say(&mut said);
    right.say(&mut said);
    left.say(&mut said);
    right.say(&mut said);
    // then after the heal it is the newer one's, and hears both sides
    mesh.net.heal();
    mesh.agreed(&[0, 1], HEAL_MAX);
    ear.hears(&said, HEARD_MAX);
    left.say(&mut said);
    right.say(&mut said);
    ear.hears(&said, HEARD_MAX);
}

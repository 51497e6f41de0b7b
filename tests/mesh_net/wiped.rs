//! Routers that come back without what they knew.

use crate::common::wait_for;
use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::routers::Mesh;
use crate::mesh_net::{HEAL_MAX, HEARD_MAX, START_MAX};

#[test]
fn a_router_whose_disk_is_wiped_gets_everything_and_is_somebody_else() {
    let Some(mesh) = Mesh::start(3) else { return };
    mesh.settled(&[0, 1, 2]);
    let ears: Vec<_> = (0..3).map(|host| Ear::at(&mesh.net, host, &format!("ear {host}"))).collect();
    let [mut here, mut there] = [0, 2].map(|host| Mouth::at(&mesh.net, host, &format!("mouth {host}")));
    let mut said = Sayings::new();
    for _ in 0..3 {
        here.say(&mut said);
        there.say(&mut said);
    }
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    let before = mesh.router(2).id();
    // when one loses its power and its disk, and things are said meanwhile
    let mut router = mesh.router(2);
    router.kill();
    for entry in std::fs::read_dir(router.dir()).unwrap().map(Result::unwrap) {
        match entry.file_name().to_str().unwrap() {
            "mesh.key" => {}
            "data" => std::fs::remove_dir_all(entry.path()).unwrap(),
            _ => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
    drop(router);
    here.say(&mut said);
    mesh.agreed(&[0, 1], HEAL_MAX);
    // then it comes back as a router that was never seen before
    mesh.router(2).start();
    mesh.agreed(&[0, 1, 2], START_MAX);
    assert_ne!(mesh.router(2).id(), before);
    // and gets everything
    let count = u64::try_from(said.values().map(Vec::len).sum::<usize>()).unwrap();
    wait_for("it holds all records", HEARD_MAX, || mesh.router(2).status()["records"]["count"] == count);
    // and its clients have heard all once, what it says itself included
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    for _ in 0..3 {
        there.say(&mut said);
        here.say(&mut said);
    }
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
}

#[test]
fn a_router_that_forgot_its_lives_but_not_its_name_repeats_no_id() {
    let Some(mesh) = Mesh::start(3) else { return };
    mesh.settled(&[0, 1, 2]);
    let ears: Vec<_> = (0..3).map(|host| Ear::at(&mesh.net, host, &format!("ear {host}"))).collect();
    let mut mouth = Mouth::at(&mesh.net, 2, "mouth");
    let mut said = Sayings::new();
    for _ in 0..3 {
        mouth.say(&mut said);
    }
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    // when all but its identity is lost
    let before = mesh.router(2).id();
    let mut router = mesh.router(2);
    router.kill();
    for entry in std::fs::read_dir(router.dir()).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if !["mesh.key", "identity.key"].contains(&name.to_str().unwrap()) && entry.path().is_file() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    router.start();
    drop(router);
    mesh.agreed(&[0, 1, 2], START_MAX);
    // then it is the same router, and its new records are new to all
    assert_eq!(mesh.router(2).id(), before);
    for _ in 0..3 {
        mouth.say(&mut said);
    }
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    let log = mesh.router(2).life();
    assert!(!log.contains("same identity key"), "it takes its former self for somebody else:\n{log}");
}

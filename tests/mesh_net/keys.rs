//! Meshes with different keys on one switch, and a key that is being changed.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::common::Net;
use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::routers::{Mesh, new_key};
use crate::mesh_net::{HEARD_MAX, START_MAX};

/// Strangers try again and again meanwhile.
const A_WHILE: Duration = Duration::from_secs(10);

#[test]
fn meshes_of_different_keys_never_mix_until_a_router_has_both() {
    let Some(net) = Net::new(5).map(Arc::new) else { return };
    let [ours, theirs] = [new_key(), new_key()];
    // given two meshes of two routers that see each other's announcements
    let keys = [&ours, &ours, &theirs, &theirs];
    let mesh = keys.into_iter().fold(Mesh::on(net), |mesh, key| mesh.with(Some(key), &[]));
    mesh.agreed(&[0, 1], START_MAX);
    mesh.agreed(&[2, 3], START_MAX);
    let ears: Vec<_> = (0..4).map(|host| Ear::at(&mesh.net, host, &format!("ear {host}"))).collect();
    let mut mouth = Mouth::at(&mesh.net, 0, "mouth");
    let mut said = Sayings::new();
    mouth.say(&mut said);
    ears[..2].iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    // then nothing gets from one to the other, and the log says so, but not often
    sleep(A_WHILE);
    mouth.say(&mut said);
    ears[..2].iter().for_each(|ear| ear.hears(&said, HEARD_MAX));
    ears[2..].iter().for_each(|ear| assert_eq!(ear.sayings(), Sayings::new()));
    for number in 0..4 {
        let life = mesh.router(number).life();
        let strangers = strangers(&life);
        assert!(strangers > 0, "nothing is said of strangers:\n{life}");
        assert!(strangers <= 2, "one line a minute about each of the two, not each address:\n{life}");
        let together = if number < 2 { [0, 1] } else { [2, 3] };
        mesh.agreed(&together, START_MAX);
    }
    // when one comes that has both keys, as while a key is being changed
    let mesh = mesh.with(Some(&format!("{ours}{theirs}")), &[]);
    // then all are one mesh
    mesh.agreed(&[0, 1, 2, 3, 4], START_MAX);
    mouth.say(&mut said);
    ears.iter().for_each(|ear| ear.hears(&said, HEARD_MAX * 2));
}

/// How often it is said that somebody has another key.
fn strangers(life: &str) -> usize {
    life.lines().filter(|line| line.contains("another mesh key")).count()
}

//! Links that are cut, both ways or one way.

use std::thread::sleep;
use std::time::Duration;

use crate::mesh_net::clients::{Ear, Mouth, Sayings};
use crate::mesh_net::moment::Moment;
use crate::mesh_net::routers::Mesh;
use crate::mesh_net::{HEAL_MAX, HEARD_MAX, SILENT_MAX, TWO_LEADERS_MAX};

#[test]
fn halves_have_a_leader_each_and_after_the_heal_all_hear_all_once_and_in_order() {
    let Some(mesh) = Mesh::start(4) else { return };
    mesh.settled(&[0, 1, 2, 3]);
    let ears: Vec<_> = (0..4).map(|host| Ear::at(&mesh.net, host, &format!("ear {host}"))).collect();
    let (mut left, mut right) = (Mouth::at(&mesh.net, 0, "left"), Mouth::at(&mesh.net, 3, "right"));
    let (mut said, mut said_right) = (Sayings::new(), Sayings::new());
    left.say(&mut said);
    right.say(&mut said_right);
    ears.iter().for_each(|ear| ear.hears(&union(&said, &said_right), HEARD_MAX));
    let both_know = said_right.clone();
    // when they are parted
    mesh.net.partition(&[0, 1], &[2, 3]);
    let leaders = [mesh.agreed(&[0, 1], SILENT_MAX), mesh.agreed(&[2, 3], SILENT_MAX)];
    // then each half goes on
    for _ in 0..5 {
        left.say(&mut said);
        right.say(&mut said_right);
    }
    ears[..2].iter().for_each(|ear| ear.hears(&union(&said, &both_know), HEARD_MAX));
    ears[2..].iter().for_each(|ear| {
        let left_before = Sayings::from([("left".into(), said["left"][..1].to_vec())]);
        ear.hears(&union(&left_before, &said_right), HEARD_MAX);
    });
    // and when the cut is healed, then one of the two leaders leads all
    let healed = Moment::now();
    mesh.net.heal();
    let leader = mesh.agreed(&[0, 1, 2, 3], HEAL_MAX);
    assert!(leaders.contains(&leader), "{leader} led neither of the halves: {leaders:?}");
    let (two, nobody) = mesh.leaders_since(healed);
    println!("two leaders for {two:?} after the heal, none for {nobody:?}");
    assert!(two < TWO_LEADERS_MAX, "two leaders for {two:?}");
    assert_eq!(nobody, Duration::ZERO, "there was always one");
    // and all hear what was said on the other side, once and in order
    ears.iter().for_each(|ear| ear.hears(&union(&said, &said_right), HEARD_MAX));
    left.say(&mut said);
    right.say(&mut said_right);
    ears.iter().for_each(|ear| ear.hears(&union(&said, &said_right), HEARD_MAX));
}

#[test]
fn one_that_cannot_hear_the_coordinator_which_another_hears_has_no_other() {
    let Some(mesh) = Mesh::start(3) else { return };
    let leader = mesh.settled(&[0, 1, 2]);
    let deaf = (leader + 1) % 3;
    let ear = Ear::at(&mesh.net, deaf, "ear");
    let mut mouth = Mouth::at(&mesh.net, leader, "mouth");
    let mut said = Sayings::new();
    // when one cannot hear the coordinator, for much longer than a silence may last
    let cut = Moment::now();
    mesh.net.one_way(leader, deaf);
    for _ in 0..6 {
        sleep(Duration::from_secs(1));
        mouth.say(&mut said);
    }
    // then that one leads all the time, alone
    assert_eq!(mesh.leaders_since(cut), (Duration::ZERO, Duration::ZERO));
    assert_eq!(mesh.agreed(&[0, 1, 2], SILENT_MAX), leader);
    // and what is said there gets to the deaf one by the third
    ear.hears(&said, HEARD_MAX);
    // also when it can hear again
    mesh.net.heal();
    mouth.say(&mut said);
    ear.hears(&said, HEARD_MAX);
    sleep(Duration::from_secs(1));
    assert_eq!(mesh.leaders_since(cut), (Duration::ZERO, Duration::ZERO));
    assert_eq!(mesh.agreed(&[0, 1, 2], SILENT_MAX), leader);
}

/// What was said by these and by those, who are others.
fn union(these: &Sayings, those: &Sayings) -> Sayings {
    these.iter().chain(those).map(|(by, texts)| (by.clone(), texts.clone())).collect()
}

//! ExtraServers lists on their way.

use super::net::{Net, entries};
use crate::{Input, Warning};

#[test]
fn the_deputy_numbers_a_fetched_list_and_everyone_gets_it() {
    let mut net = Net::new(4, "ABCD");
    net.topology(&[(0, 1), (1, 2), (2, 3)]);
    (0..4).for_each(|index| net.start(index));
    net.run(6_000);
    assert!(net.led_by(0, &[0, 1, 2, 3]));
    // When the deputy fetches a changed list, then it is everyone's, and D leads
    net.input(0, Input::ListFetched(&entries("DCBA")));
    net.run_until(1_000, |net| net.led_by(3, &[0, 1, 2, 3]));
    assert!((0..4).all(|index| net.election(index).list().version().number == 1));
    // And it survives a restart, whatever the file says
    net.run(100);
    net.kill(3);
    net.start(3);
    net.run(4_000);
    assert!(net.led_by(3, &[0, 1, 2, 3]));
    assert_eq!(net.view(3).list, net.view(0).list);
}

#[test]
fn only_the_deputy_numbers_lists_and_an_equal_list_gets_no_number() {
    let mut net = Net::running(2, "AB");
    net.input(1, Input::ListFetched(&entries("BA")));
    net.input(0, Input::ListFetched(&entries("AB")));
    net.run(1_000);
    assert!((0..2).all(|index| net.view(index).list.number == 0));
}

#[test]
fn the_newest_number_wins_when_two_sides_meet() {
    let mut net = Net::running(2, "AB");
    net.link(0, 1, false);
    net.run(4_000);
    net.input(1, Input::ListFetched(&entries("BA")));
    net.input(1, Input::ListFetched(&entries("BAC")));
    net.link(0, 1, true);
    net.run(2_000);
    assert!(net.led_by(1, &[0, 1]));
    assert_eq!(net.view(0).list.number, 2);
}

#[test]
fn two_lists_of_one_number_are_a_conflict_that_people_hear_of() {
    let mut net = Net::new(2, "AB");
    net.nodes[1].config.list = entries("BA");
    (0..2).for_each(|index| net.start(index));
    net.run(5_000);
    assert_eq!(net.view(0).list, net.view(1).list);
    assert_eq!(net.leaders().len(), 1);
    let warned = (0..2).flat_map(|index| net.nodes[index].warnings.clone());
    assert!(warned.into_iter().any(|warning| matches!(warning, Warning::ListConflict { number: 0, .. })));
}

#[test]
fn a_reread_file_counts_until_the_default_server_gave_a_list() {
    let mut net = Net::running(1, "A");
    net.input(0, Input::ListConfigured(&entries("ZA")));
    assert_eq!(net.election(0).list().entries().len(), 2);
    net.input(0, Input::ListFetched(&entries("YXA")));
    net.input(0, Input::ListConfigured(&entries("A")));
    assert_eq!(net.election(0).list().entries().len(), 3);
}

#[test]
fn a_router_that_takes_another_name_is_known_by_it_everywhere() {
    let mut net = Net::running(3, "A");
    let before = net.election(1).map().records().len();
    let id = net.nodes[1].id;
    net.input(1, Input::Renamed("OpenWrt-0123"));
    net.run(2_000);
    for index in 0..3 {
        let records = net.election(index).map().records();
        assert_eq!(records.len(), before, "nobody is gone, and nobody new");
        assert!(records.iter().any(|record| record.origin == id && record.name == "OpenWrt-0123"));
    }
}

#[test]
fn a_name_claimed_twice_is_said_and_the_lower_id_has_its_place() {
    let mut net = Net::new(3, "X");
    net.nodes[1].config.name = "X".into();
    net.nodes[2].config.name = "X".into();
    (0..3).for_each(|index| net.start(index));
    net.run(5_000);
    assert!(net.led_by(1, &[0, 1, 2]));
    let (b, c) = (net.nodes[1].id, net.nodes[2].id);
    assert!((0..3).all(|index| net.nodes[index].warnings.contains(&Warning::NameTwice(b, c))));
}

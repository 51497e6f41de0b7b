//! The main server, as the deputy reports it.

use super::net::Net;
use crate::{Coordinator, Input, Role, Time};

const ALL: [usize; 3] = [0, 1, 2];

fn default_leads(net: &Net, members: &[usize]) -> bool {
    members.iter().all(|index| net.view(*index).role == Role::Default) && net.leaders().is_empty()
}

#[test]
fn the_deputys_word_about_the_default_server_counts_for_all() {
    let mut net = Net::running(3, "ABC");
    net.input(0, Input::DefaultServer(true));
    net.run_until(100, |net| default_leads(net, &ALL));
    assert_eq!(net.view(2).deputy, Some(net.nodes[0].id));
    net.input(0, Input::DefaultServer(false));
    net.run_until(100, |net| net.led_by(0, &ALL));
}

#[test]
fn another_routers_word_does_not_count() {
    let mut net = Net::running(3, "ABC");
    net.input(1, Input::DefaultServer(true));
    net.run(2_000);
    assert!(net.led_by(0, &ALL));
}

#[test]
fn a_new_deputy_keeps_the_word_of_the_one_before_for_a_while() {
    let mut net = Net::running(3, "ABC");
    net.input(0, Input::DefaultServer(true));
    net.run(1_000);
    let start = net.now;
    net.crash(0);
    net.run(500);
    // Nobody led meanwhile
    assert!(default_leads(&net, &ALL[1..]));
    assert_eq!(net.times_led(1, start) + net.times_led(2, start), 0);
    // When it has not found the main server itself within the grace, it leads
    net.run_until(700, |net| net.led_by(1, &ALL[1..]));
}

#[test]
fn a_new_deputy_that_sees_the_default_server_changes_nothing() {
    let mut net = Net::running(3, "ABC");
    (0..3).for_each(|index| net.input(index, Input::DefaultServer(true)));
    net.run(1_000);
    let start = net.now;
    net.kill(0);
    net.run(10_000);
    assert!(default_leads(&net, &ALL[1..]));
    assert!((1..3).all(|index| {
        net.nodes[index]
            .views
            .iter()
            .all(|(at, view)| *at < start || view.coordinator == Coordinator::DefaultServer)
    }));
}

#[test]
fn a_report_ends_with_the_looking() {
    let mut net = Net::running(1, "A");
    net.input(0, Input::DefaultServer(true));
    assert_eq!(net.view(0).role, Role::Default);
    net.input(0, Input::DefaultServerUnwatched);
    assert_eq!(net.view(0).role, Role::Server);
    assert_eq!(net.times_led(0, Time::ZERO), 2);
}

#[test]
fn a_better_router_that_comes_back_passes_on_the_word_it_followed() {
    // Given that B is the deputy of a main server, when A comes back and has not looked yet
    let mut net = Net::new(3, "ABC");
    net.start(1);
    net.start(2);
    net.run(5_000);
    net.input(1, Input::DefaultServer(true));
    let start = net.now;
    net.start(0);
    net.run(2_300);
    // Then A is the deputy, and nobody led in between
    assert_eq!(net.view(0).deputy, Some(net.nodes[0].id));
    assert!(default_leads(&net, &ALL));
    assert!((0..3).all(|index| net.times_led(index, start) == 0));
}

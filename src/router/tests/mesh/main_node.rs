//! A main server that is a fau3 node, and the segments that follow it.

use fau3_election::{Coordinator, Role, ServerEntry};

use super::super::harness::{ms, secs};
use super::net::{D, MeshNet, R};
use crate::router::{Input, MainNode, UpstreamInput};
use crate::wire::fau3d::FromClient;
use crate::wire::fau3e::{Message, encode};

const FRAME: &[u8] = b"F3SB live F3FN";

fn heard(net: &MeshNet, device: D) -> Vec<&str> {
    net[device].heard.iter().map(String::as_str).collect()
}

fn role(net: &MeshNet, at: R) -> Role {
    net.router(at).snapshot(net.now).mesh.unwrap().view.role
}

fn roles(net: &MeshNet, routers: usize) -> Vec<Role> {
    (0..routers).map(|at| role(net, R(at))).collect()
}

/// Lets time pass until it is so; how long that took.
fn until(net: &mut MeshNet, mut is_so: impl FnMut(&MeshNet) -> bool) -> std::time::Duration {
    let began = net.now;
    while !is_so(net) {
        assert!(net.now.since(began) < secs(60), "never");
        net.run(ms(10));
    }
    net.now.since(began)
}

#[test]
fn the_default_server_leads_and_only_each_segments_deputy_is_connected_to_it() {
    // Given: segments of three and two routers.
    let mut net = MeshNet::with_main(&[3, 2]);
    // Then: all follow, nobody leads, and two connections stand.
    assert_eq!(roles(&net, 6), [Role::Default; 6], "the main server itself included");
    assert_eq!(net.keepers(), [R(0), R(3)]);
    // And at rest nothing but their holdings comes to it, once in ten seconds.
    net.run(secs(20));
    net.messages.clear();
    net.run(secs(30));
    let to_main = net.messages.iter().filter(|(_, to, _)| *to == R(5));
    assert_eq!(to_main.map(|(from, ..)| *from).collect::<Vec<_>>().len(), 6);
}

#[test]
fn what_is_said_anywhere_is_heard_once_everywhere() {
    let mut net = MeshNet::with_main(&[3, 2]);
    let all: Vec<D> = (0..6).map(|at| net.listener(&format!("client {at}"), R(at), "room")).collect();
    net.run(secs(3));
    for (at, speaker) in all.iter().enumerate() {
        net.say(*speaker, "room", &format!("from {at}"));
        net.run(ms(100));
    }
    for (at, listener) in all.iter().enumerate() {
        let others = (0..6).filter(|other| *other != at).map(|other| format!("from {other}"));
        assert_eq!(heard(&net, *listener), others.collect::<Vec<_>>(), "{at}");
        assert_eq!(net.elsewhere(R(at)), 5, "each knows where all the others are");
        assert!(net[*listener].unconfirmed.is_empty() || net.router(R(at)).stats().confirmed_single == 0);
    }
}

#[test]
fn live_audio_is_heard_once_in_all_segments_and_goes_nowhere_in_vain() {
    let mut net = MeshNet::with_main(&[3, 2, 2]);
    let main = R(7);
    let speaker = net.listener("speaker", R(2), "room");
    let listeners: Vec<D> =
        [R(1), R(4), main].map(|at| net.listener(&format!("at {}", at.0), at, "room")).into();
    net.run(secs(3));
    net.messages.clear();
    net.send(speaker, FromClient::Stream(FRAME.into()));
    net.run(ms(20));
    listeners.iter().for_each(|listener| assert_eq!(net[*listener].streams(), [FRAME]));
    let hops = net.messages.iter().filter(|(_, _, message)| matches!(message, Message::Stream(_)));
    let hops: Vec<(R, R)> = hops.map(|(from, to, _)| (*from, *to)).collect();
    // To its own segment's listener and deputy, to the main server, and to
    // the one other segment where somebody listens.
    assert_eq!(hops, [(R(2), R(0)), (R(2), R(1)), (R(0), main), (main, R(3)), (R(3), R(4))]);
    // And the other way.
    net.send(listeners[2], FromClient::Stream(FRAME.into()));
    net.run(ms(20));
    assert_eq!(net[speaker].streams(), [FRAME]);
    assert_eq!((net[listeners[0]].streams().len(), net[listeners[1]].streams().len()), (2, 2));
}

#[test]
fn when_it_is_killed_the_deputy_leads_at_once_and_no_client_notices() {
    let mut net = MeshNet::with_main(&[3]);
    let (a, b) = (net.listener("a", R(1), "room"), net.listener("b", R(2), "room"));
    net.run(secs(2));
    net.kill(R(3));
    let took = until(&mut net, |net| role(net, R(0)) == Role::Server && role(net, R(2)) == Role::Follower);
    assert!(took <= ms(100), "{took:?}");
    net.say(a, "room", "without it");
    net.run(secs(1));
    assert_eq!(heard(&net, b), ["without it"]);
    assert!(net[a].conn.is_some() && net[b].conn.is_some());
}

#[test]
fn when_it_falls_silent_the_deputy_leads_once_its_connection_is_given_up() {
    let mut net = MeshNet::with_main(&[3]);
    net.cut(R(0), R(3));
    let took = until(&mut net, |net| role(net, R(0)) == Role::Server && role(net, R(2)) == Role::Follower);
    assert!(took >= secs(2) && took <= ms(2_100), "{took:?}");
}

#[test]
fn it_leads_again_once_it_has_been_there_for_the_hold_time_which_outages_double_up_to_four_times() {
    let mut net = MeshNet::with_main(&[2]);
    for hold in [3, 6, 12, 12] {
        net.kill(R(2));
        net.run(secs(10));
        assert_eq!(roles(&net, 2), [Role::Server, Role::Follower]);
        net.start(R(2));
        let took = until(&mut net, |net| roles(net, 2) == [Role::Default; 2]);
        // Dialled every 250 ms.
        assert!(took >= secs(hold) && took <= secs(hold) + ms(500), "{hold}: {took:?}");
    }
}

#[test]
fn outages_are_counted_where_they_are_seen() {
    let mut net = MeshNet::with_main(&[2]);
    let seen = |net: &MeshNet, at: usize| {
        let mesh = net.router(R(at)).snapshot(net.now).mesh.unwrap();
        (mesh.watches_main, mesh.main_outages)
    };
    assert_eq!((seen(&net, 0), seen(&net, 1)), ((true, 0), (false, 0)));
    for outages in 1..=2 {
        net.kill(R(2));
        net.run(secs(5));
        net.start(R(2));
        net.run(ms(500));
        // Gone again before it was trusted is one outage.
        net.kill(R(2));
        net.run(secs(5));
        assert_eq!((seen(&net, 0), seen(&net, 1)), ((true, outages), (false, 0)));
        net.start(R(2));
        net.run(secs(10));
        assert_eq!(roles(&net, 2), [Role::Default; 2]);
    }
    // The next one to look begins anew.
    net.kill(R(0));
    net.run(secs(3));
    assert_eq!(seen(&net, 1), (true, 0));
}

#[test]
fn what_was_said_on_both_sides_of_an_outage_reaches_everyone_once_after_it() {
    let mut net = MeshNet::with_main(&[2, 1]);
    let main = R(3);
    let at = [R(1), R(2), main].map(|at| net.listener(&format!("at {}", at.0), at, "room"));
    net.run(secs(2));
    net.cut(R(0), main);
    net.run(secs(10));
    let said = ["one", "two", "three"];
    for (speaker, what) in at.into_iter().zip(said) {
        net.say(speaker, "room", what);
        net.run(secs(1));
    }
    assert_eq!(heard(&net, at[0]), Vec::<&str>::new());
    assert_eq!(net.elsewhere(R(1)), 0, "who is out of reach is waited for");
    net.mend(R(0), main);
    net.run(secs(6));
    for (listener, own) in at.into_iter().zip(said) {
        let mut heard = heard(&net, listener);
        heard.sort_unstable();
        let mut others: Vec<&str> = said.into_iter().filter(|what| *what != own).collect();
        others.sort_unstable();
        assert_eq!(heard, others);
        assert_eq!(net[listener].playlists().len(), 2, "each was sent once");
    }
    assert_eq!(net.elsewhere(R(1)), 2);
}

#[test]
fn the_next_deputy_takes_over_the_connection_and_nobody_leads_meanwhile() {
    let mut net = MeshNet::with_main(&[3]);
    let main = R(3);
    let (inside, outside) = (net.listener("inside", R(2), "room"), net.listener("outside", main, "room"));
    net.run(secs(2));
    net.kill(R(0));
    let took = until(&mut net, |net| net.keepers() == [R(1)]);
    assert!(took <= ms(100), "{took:?}");
    for _ in 0..200 {
        net.run(ms(10));
        assert_eq!((role(&net, R(1)), role(&net, R(2))), (Role::Default, Role::Default));
    }
    net.say(inside, "room", "still there");
    net.run(secs(1));
    assert_eq!(heard(&net, outside), ["still there"]);
    // When the better one is back, the other lets go, a little later.
    net.start(R(0));
    until(&mut net, |net| net.keepers() == [R(0), R(1)]);
    let took = until(&mut net, |net| net.keepers() == [R(0)]);
    assert!(took <= secs(3), "{took:?}");
    assert_eq!(roles(&net, 4), [Role::Default; 4]);
    net.say(outside, "room", "and back");
    net.run(secs(1));
    assert_eq!(heard(&net, inside), ["and back"]);
}

#[test]
fn a_deputy_that_once_saw_an_outage_takes_over_as_smoothly_as_any_other() {
    // Given: an outage that the first deputy saw, and then another deputy.
    let mut net = MeshNet::with_main(&[3]);
    let main = R(3);
    net.kill(main);
    net.run(secs(5));
    net.start(main);
    net.run(secs(5));
    let list = |name: &str| Input::ListConfigured(vec![ServerEntry { name: name.into(), id: None }]);
    net.input(main, list("router-1"));
    until(&mut net, |net| net.keepers() == [R(1)]);
    // When the first one is the deputy again, then it takes the other's word until it knows.
    net.input(main, list("router-0"));
    let began = net.now;
    while net.keepers() != [R(0)] || net.now.since(began) < secs(5) {
        net.run(ms(10));
        assert_eq!(roles(&net, 3), [Role::Default; 3], "after {:?}", net.now.since(began));
    }
}

#[test]
fn a_deputy_that_comes_with_the_outage_holds_the_default_server_to_its_hold_time_too() {
    // Given: both go at once, and the next deputy has the other's word for a second.
    let mut net = MeshNet::with_main(&[3]);
    net.kill(R(0));
    net.kill(R(3));
    until(&mut net, |net| role(net, R(1)) == Role::Server && role(net, R(2)) == Role::Follower);
    net.run(secs(10));
    // When the main server is back, then it leads once it has been there for the hold time.
    net.start(R(3));
    let took = until(&mut net, |net| [R(1), R(2)].iter().all(|at| role(net, *at) == Role::Default));
    assert!(took >= secs(3) && took <= ms(3_500), "{took:?}");
}

#[test]
fn a_client_that_roams_to_the_default_server_and_back_gets_what_it_missed_once() {
    let mut net = MeshNet::with_main(&[2]);
    let main = R(2);
    let roamer = net.listener("roamer", R(1), "room");
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    net.say(talker, "room", "one");
    net.run(secs(1));
    net[roamer].conn = None;
    net.say(talker, "room", "two");
    net.run(secs(1));
    net.attach(roamer, main);
    net.run(secs(1));
    assert_eq!(heard(&net, roamer), ["one", "two"]);
    assert!(net.router(R(1)).snapshot(net.now).clients.is_empty(), "the router before has let go");
    net.attach(roamer, R(1));
    net.say(talker, "room", "three");
    net.run(secs(1));
    assert_eq!(heard(&net, roamer), ["one", "two", "three"]);
    assert_eq!(net[roamer].playlists().len(), 1, "nothing is sent again");
}

#[test]
fn alone_in_its_segment_a_router_confirms_once_the_default_server_holds_the_message() {
    let mut net = MeshNet::with_main(&[1]);
    let talker = net.listener("talker", R(0), "room");
    net.run(secs(1));
    let uuid = net.say(talker, "room", "kept");
    net.run(ms(1));
    assert!(net[talker].statuses(&uuid).is_empty(), "it is on its way");
    net.run(ms(50));
    assert_eq!(net[talker].statuses(&uuid).len(), 1);
    assert_eq!(net.router(R(0)).stats().confirmed_single, 0);
    assert_eq!(net.router(R(1)).snapshot(net.now).records, 1);
}

#[test]
fn the_two_halves_of_a_segment_meet_through_the_default_server() {
    let mut net = MeshNet::with_main(&[4]);
    let (left, right) = (net.listener("left", R(1), "room"), net.listener("right", R(3), "room"));
    net.run(secs(2));
    for a in [R(0), R(1)] {
        [R(2), R(3)].into_iter().for_each(|b| net.cut(a, b));
    }
    net.run(secs(10));
    assert_eq!(net.keepers(), [R(0), R(2)]);
    assert_eq!(roles(&net, 4), [Role::Default; 4]);
    net.say(left, "room", "over the uplink");
    net.send(left, FromClient::Stream(FRAME.into()));
    net.run(secs(1));
    assert_eq!(heard(&net, right), ["over the uplink"]);
    assert_eq!(net[right].streams(), [FRAME]);
}

#[test]
fn who_is_gone_in_one_segment_is_soon_out_of_reach_for_the_others() {
    let mut net = MeshNet::with_main(&[2, 2]);
    let _gone = net.listener("gone", R(3), "room");
    net.run(secs(2));
    assert_eq!((net.elsewhere(R(1)), net.elsewhere(R(4))), (1, 1));
    net.kill(R(3));
    net.run(secs(4));
    assert_eq!((net.elsewhere(R(1)), net.elsewhere(R(4))), (0, 0));
}

#[test]
fn a_backlog_goes_at_a_bounded_rate_and_live_audio_does_not_wait_for_it() {
    // Given: two megabytes of voice that were said during an outage.
    let mut net = MeshNet::with_main(&[1]);
    let main = R(1);
    let (inside, outside) = (net.listener("inside", R(0), "room"), net.listener("outside", main, "room"));
    net.cut(R(0), main);
    net.run(secs(3));
    for _ in 0..200 {
        net.say(inside, "room", &"voice".repeat(2_000));
        net.run(ms(20));
    }
    net.messages.clear();
    net.mend(R(0), main);
    // When the way is there again,
    let mut heard = vec![0];
    for second in 0..12 {
        net.run(secs(1));
        net.send(inside, FromClient::Stream(FRAME.into()));
        net.run(ms(5));
        assert_eq!(net[outside].streams().len(), second + 1, "live audio is there at once");
        heard.push(net[outside].heard.len());
    }
    // then no second brings more than the rate, and all of it comes, once.
    let most = heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(most * 10_000 <= 400 * 1_024, "{heard:?}");
    assert_eq!((heard[12], net[outside].playlists().len()), (200, 200), "{heard:?}");
}

#[test]
fn a_backlog_goes_in_pieces_that_a_slow_uplink_carries_before_they_are_asked_for_again() {
    // Given: what was said on both sides of an outage.
    let mut net = MeshNet::with_main(&[2]);
    let main = R(2);
    let (inside, outside) = (net.listener("inside", R(1), "room"), net.listener("outside", main, "room"));
    net.cut(R(0), main);
    net.run(secs(3));
    for speaker in [inside, outside].repeat(30) {
        net.say(speaker, "room", &"voice".repeat(500));
        net.run(ms(20));
    }
    net.messages.clear();
    // When it is over, then no answer is longer than 64 kbit/s carry in some two seconds.
    net.mend(R(0), main);
    net.run(secs(5));
    let over = |from: R, to: R| (from == main) != (to == main);
    let answers = net.messages.iter().filter(|(from, to, _)| over(*from, *to));
    let answers: Vec<usize> = answers
        .filter_map(|(_, _, message)| match message {
            Message::Playlist(_) => Some(encode(message).len()),
            _ => None,
        })
        .collect();
    assert!(answers.len() > 10 && answers.iter().all(|bytes| *bytes <= 16 * 1_024), "{answers:?}");
    assert_eq!((heard(&net, inside).len(), heard(&net, outside).len()), (30, 30));
}

#[test]
fn the_name_belongs_to_whom_it_was_first_seen_with() {
    let mut net = MeshNet::with_main(&[1]);
    assert_eq!(role(&net, R(0)), Role::Default);
    // When the name belongs to somebody else, then whoever has it now does not lead.
    let other = MainNode { name: super::net::MAIN.into(), router: Some(MeshNet::id(R(9))), hold: secs(3) };
    net.input(R(0), Input::Upstream(UpstreamInput::Node(Some(other))));
    net.run(secs(1));
    assert_eq!(role(&net, R(0)), Role::Server);
    // And without a main server there is no connection to one.
    net.input(R(0), Input::Upstream(UpstreamInput::Node(None)));
    net.run(secs(3));
    assert_eq!(net.keepers(), []);
}

#[test]
fn outages_of_the_one_before_are_not_held_against_another_one() {
    let mut net = MeshNet::with_main(&[1]);
    net.kill(R(1));
    net.run(secs(5));
    // When: it is back, and the configuration has named none in between.
    net.start(R(1));
    let main = MainNode { name: super::net::MAIN.into(), router: None, hold: secs(3) };
    for configured in [None, Some(main)] {
        net.input(R(0), Input::Upstream(UpstreamInput::Node(configured)));
    }
    let took = until(&mut net, |net| role(net, R(0)) == Role::Default);
    assert!(took < secs(1), "{took:?}");
}

#[test]
fn its_own_view_is_that_the_default_server_leads() {
    let net = MeshNet::with_main(&[1]);
    let view = net.router(R(1)).snapshot(net.now).mesh.unwrap().view;
    assert_eq!((view.coordinator, view.deputy), (Coordinator::DefaultServer, None));
}

#[test]
fn its_extra_servers_list_becomes_each_segments_and_an_empty_one_replaces_none() {
    let mut net = MeshNet::with_main(&[2, 1]);
    let main = R(3);
    let list = |names: &[&str]| {
        names.iter().map(|name| ServerEntry { name: (*name).into(), id: None }).collect::<Vec<_>>()
    };
    net.input(main, Input::ListConfigured(list(&["router-1", "router-2"])));
    net.run(secs(3));
    for at in [R(0), R(1), R(2)] {
        let held = net.router(at).extra_servers().unwrap();
        assert_eq!((held.entries(), held.version().number), (&*list(&["router-1", "router-2"]), 1));
    }
    // The first of them that is there is its segment's deputy, and so has the connection.
    net.run(secs(3));
    assert_eq!(net.keepers(), [R(1), R(2)]);
    net.input(main, Input::ListConfigured(list(&[])));
    net.run(secs(3));
    assert_eq!(net.router(R(0)).extra_servers().unwrap().entries().len(), 2);
}

#[test]
fn an_outage_each_minute_loses_doubles_and_reorders_nothing_and_it_is_followed_in_between() {
    const MINUTES: usize = 10;
    let mut net = MeshNet::with_main(&[3]);
    let main = R(3);
    let clients: Vec<D> = (0..6).map(|at| net.listener(&format!("c{at}"), R(at % 3), "room")).collect();
    let outside = net.listener("outside", main, "room");
    net.run(secs(2));
    let mut said: Vec<Vec<String>> = vec![Vec::new(); clients.len()];
    for minute in 0..MINUTES {
        // It is killed, or falls silent, for 5 to 30 s.
        let (is_killed, ends) = (minute % 2 == 0, 10 + 5 + minute * 7 % 26);
        for second in 0..60 {
            if second == 10 {
                assert_eq!(roles(&net, 3), [Role::Default; 3], "before outage {minute}");
            }
            match second {
                10 if is_killed => net.kill(main),
                10 => net.cut(R(0), main),
                _ if second == ends && is_killed => {
                    net.start(main);
                    net.attach(outside, main);
                    net.subscribe(outside, "room");
                }
                _ if second == ends => net.mend(R(0), main),
                _ => {}
            }
            let speaker = (minute + second) % clients.len();
            let what = format!("{} of c{speaker}", said[speaker].len());
            net.say(clients[speaker], "room", &what);
            said[speaker].push(what);
            net.run(secs(1));
            // One that is let go comes back, as clients do.
            let is_gone = is_killed && (10..ends).contains(&second);
            if !is_gone && net[outside].conn.is_none() {
                net.attach(outside, main);
                net.subscribe(outside, "room");
            }
        }
    }
    net.run(secs(120));
    let by = |listener: D, speaker: usize| -> Vec<String> {
        let end = format!(" of c{speaker}");
        net[listener].heard.iter().filter(|what| what.ends_with(&end)).cloned().collect()
    };
    for (at, listener) in clients.iter().enumerate() {
        for (speaker, said) in said.iter().enumerate().filter(|(speaker, _)| *speaker != at) {
            assert_eq!(&by(*listener, speaker), said, "c{at} of c{speaker}");
        }
    }
    for (speaker, said) in said.iter().enumerate() {
        assert_eq!(&by(outside, speaker), said, "at the main server, of c{speaker}");
    }
}

//! What clients say goes to the server.

use super::super::harness::{ms, room, secs};
use super::super::mesh::net::{D, MeshNet, R};
use crate::router::{Answer, FromServer, Input, UpConn, UpstreamInput};
use crate::wire::fau3d::FromClient;
use crate::wire::fau3e::{Holding, Message, UpstreamState};

fn texts(net: &MeshNet) -> Vec<&str> {
    net.server.told.iter().map(|(_, text)| &**text).collect()
}

#[test]
fn what_a_client_says_is_confirmed_here_and_pushed_in_its_name() {
    let mut net = MeshNet::new(2).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(secs(1));
    let uuid = net.say(speaker, "r", "hello");
    net.run(ms(100));
    assert!(net[speaker].unconfirmed.is_empty());
    assert_eq!(net.server.told, [("speaker".to_owned(), "hello".to_owned())]);
    assert_eq!(net.server.uuids, [uuid.to_string()], "with its own MessageUuid");
    for router in [R(0), R(1)] {
        let status = net.router(router).snapshot(net.now).upstream.unwrap();
        assert_eq!((status.waiting, status.leads), (0, true), "both know that the server has it");
    }
}

#[test]
fn what_was_said_during_an_outage_is_pushed_in_order_and_once() {
    let mut net = MeshNet::new(3).with_server();
    let clients = [("a", 0), ("b", 1), ("c", 1)].map(|(name, at)| net.listener(name, R(at), "r"));
    net.run(secs(1));
    // Given: an outage in the middle of what they say.
    let mut wanted = Vec::new();
    for nth in 0..60 {
        if nth == 10 {
            net.server_ends();
        }
        if nth == 50 {
            assert_eq!(net.server.told.len(), 30);
            net.server_returns();
        }
        for client in clients {
            let text = format!("{} {nth}", net[client].client_id.as_str());
            net.say(client, "r", &text);
            wanted.push(text);
        }
        net.run(ms(500));
    }
    net.run(secs(5));
    // Then: nobody was disconnected, and everything is there, by sender in order.
    assert!(clients.iter().all(|client| net[*client].conn.is_some() && net[*client].unconfirmed.is_empty()));
    let mut all = texts(&net);
    all.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(all, wanted);
    for name in ["a", "b", "c"] {
        let own = net.server.told.iter().filter(|(who, _)| who == name).map(|(_, text)| text.clone());
        let in_order: Vec<String> = (0..60).map(|nth| format!("{name} {nth}")).collect();
        assert_eq!(own.collect::<Vec<_>>(), in_order);
    }
    assert_eq!(net.server.crashed, None);
    // And what the server told everyone of the backlog, everyone knew.
    net.run(secs(10));
    for client in clients {
        assert_eq!(net[client].heard.len(), 120);
    }
}

#[test]
fn the_backlog_goes_at_a_bounded_rate_and_what_is_said_now_passes_it() {
    let mut net = MeshNet::new(1).with_server();
    let (many, one) = (net.listener("many", R(0), "r"), net.listener("one", R(0), "r"));
    net.server_ends();
    for nth in 0..200 {
        net.say(many, "r", &format!("old {nth}"));
    }
    net.run(secs(10));
    net.server_returns();
    net.run(secs(1));
    let pushed = net.server.told.len();
    assert!((20..=60).contains(&pushed), "{pushed} in a second");
    net.say(one, "r", "now");
    net.run(ms(100));
    assert!(texts(&net).contains(&"now"));
    assert!(net.server.told.len() < 100, "while the rest still waits");
    net.run(secs(10));
    assert_eq!(net.server.told.len(), 201);
}

#[test]
fn a_confirm_lost_with_its_connection_may_double_and_is_counted() {
    let mut net = MeshNet::new(1).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(ms(100));
    net.server.silent_for = 1;
    net.say(speaker, "r", "hello");
    net.run(ms(100));
    net.server_drops("speaker");
    net.run(secs(2));
    assert_eq!(texts(&net), ["hello", "hello"]);
    assert_eq!(net.router(R(0)).stats().upstream_unsure, 1);
}

#[test]
fn a_missing_answer_is_asked_after_before_it_is_sent_again_and_counted() {
    let mut net = MeshNet::new(1).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(ms(100));
    net.server.silent_for = 1;
    net.say(speaker, "r", "hello");
    net.run(ms(4_900));
    assert_eq!(texts(&net), ["hello"]);
    net.run(secs(1));
    assert_eq!(texts(&net), ["hello", "hello"]);
    let stats = net.router(R(0)).stats();
    assert_eq!((stats.upstream_repeated, stats.upstream_pushed), (1, 1));
}

#[test]
fn a_server_that_reads_nothing_is_not_sent_the_same_again() {
    let mut net = MeshNet::new(1).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(ms(100));
    (net.server.silent_for, net.server.is_stuck) = (1, true);
    net.say(speaker, "r", "hello");
    net.run(ms(9_900));
    assert_eq!(texts(&net), ["hello"], "not before a ping behind it has come back");
    net.server.is_stuck = false;
    net.run(secs(2));
    assert_eq!(net.connected_there(), ["speaker"], "over another connection");
    assert_eq!(net.router(R(0)).stats().upstream_unsure, 1);
}

#[test]
fn a_server_that_tells_others_of_a_message_has_it_even_if_its_answer_is_lost() {
    let mut net = MeshNet::new(1).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.listener("other", R(0), "r");
    net.run(ms(100));
    net.server.silent_for = 1;
    net.say(speaker, "r", "hello");
    net.run(secs(20));
    assert_eq!(texts(&net), ["hello"]);
    assert_eq!(net.router(R(0)).stats().upstream_repeated, 0);
}

#[test]
fn a_refusal_ends_a_record_and_a_failure_is_tried_again() {
    let mut net = MeshNet::new(1).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(ms(100));
    net.server.answers = vec![Answer::Invalid, Answer::Failed];
    net.say(speaker, "r", "refused");
    net.say(speaker, "r", "later");
    net.run(secs(4));
    assert!(net.server.told.is_empty());
    net.run(secs(7));
    assert_eq!(texts(&net), ["later"]);
    assert_eq!(net.router(R(0)).stats().upstream_refused, 1);
}

#[test]
fn the_deputy_pushes_what_an_absent_client_has_said() {
    let mut net = MeshNet::new(3).with_server();
    let speaker = net.listener("speaker", R(2), "r");
    net.run(secs(1));
    net.server_ends();
    net.say(speaker, "r", "hello");
    net.run(secs(1));
    net.detach(speaker);
    net.run(secs(90));
    net.server_returns();
    net.run(secs(20));
    assert_eq!(texts(&net), ["hello"], "once, although its session has ended");
    net.run(secs(5));
    assert_eq!(net.connected_there(), [""; 0], "and its connection with it");
}

#[test]
fn a_router_that_dies_leaves_what_it_did_not_push_to_the_one_that_the_client_goes_to() {
    let mut net = MeshNet::new(3).with_server();
    let speaker = net.listener("speaker", R(2), "r");
    net.run(secs(1));
    net.server.cut.insert(R(2));
    net.say(speaker, "r", "one");
    net.say(speaker, "r", "two");
    net.run(ms(300));
    net.kill(R(2));
    net.attach(speaker, R(1));
    net.subscribe(speaker, "r");
    net.server.cut.clear();
    net.server_loses(R(2));
    net.run(secs(5));
    assert_eq!(texts(&net), ["one", "two"]);
    assert_eq!(net.server.crashed, None);
}

#[test]
fn what_an_earlier_life_has_pushed_is_not_pushed_again() {
    use super::super::harness::origin;
    use crate::router::{Input, Output, Restored, Router, ServerKind, Settings, StoredRecord, UpstreamInput};
    use crate::wire::fau3e::Holding;
    use crate::wire::{ClientId, Message, Record, RecordId};
    use fau3_election::Time;
    let old = origin(1);
    let stored = |sequence: u64| {
        let message = Message {
            room: room("r"),
            client_id: ClientId::new("a").unwrap(),
            message_uuid: format!("u{sequence}").into(),
            payload: b"hello"[..].into(),
        };
        let record = Record::new(RecordId { origin: old, sequence }, None, sequence, message);
        StoredRecord { position: sequence, record: record.into(), age_ms: 0 }
    };
    let restored = Restored {
        records: (1..=3).map(stored).collect(),
        pushed: vec![Holding { origin: old, floor: 1, top: 2 }],
        top: 3,
        ..Restored::default()
    };
    let mut router = Router::new(origin(2), Settings { disk: true, ..Settings::default() }, restored);
    router.handle(Time::ZERO, Input::Upstream(UpstreamInput::Configure(Some(ServerKind::Legacy))));
    assert_eq!(router.snapshot(Time::ZERO).upstream.unwrap().waiting, 1);
    // And another one's word reaches the disk, once and within seconds.
    let mut others =
        Router::new(origin(2), Settings { disk: true, ..Settings::default() }, Restored::default());
    others.handle(Time::ZERO, Input::Upstream(UpstreamInput::Configure(Some(ServerKind::Legacy))));
    assert!(others.poll_timeout().is_none_or(|at| at > Time::from_secs(60)), "nothing is written at rest");
    while let Some(output) = router.poll_output() {
        assert!(!matches!(output, Output::Store(_)), "nor is what was read written again");
    }
}

#[test]
fn what_expires_before_the_server_is_back_is_counted() {
    let settings = crate::router::Settings { storage_age_max: secs(30), ..Default::default() };
    let mut net = MeshNet::with(1, settings).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.server_ends();
    net.say(speaker, "r", "hello");
    net.run(secs(31));
    net.server_returns();
    net.run(secs(5));
    assert!(net.server.told.is_empty());
    assert_eq!(net.router(R(0)).stats().upstream_expired, 1);
}

#[test]
fn a_router_does_not_spin_while_it_pushes_what_a_client_has_left() {
    let mut net = MeshNet::new(1).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(ms(100));
    net.server.silent_for = 2;
    net.say(speaker, "r", "hello");
    net.run(ms(100));
    net.detach(speaker);
    // Longer than a connection is kept for nothing; the net looks for a router that spins.
    net.run(secs(15));
    assert_eq!(texts(&net).len(), 3, "until it was confirmed");
    net.run(secs(5));
    assert!(net.connected_there().is_empty());
}

#[test]
fn what_expires_in_flight_and_is_confirmed_then_is_not_sent_again() {
    let settings = crate::router::Settings { storage_age_max: secs(4), ..Default::default() };
    let mut net = MeshNet::with(1, settings).with_server();
    let speaker = net.listener("speaker", R(0), "r");
    net.run(ms(100));
    net.server.silent_for = 1;
    let uuid = net.say(speaker, "r", "hello");
    net.run(ms(4_500));
    let message = crate::router::FromServer::Confirm { message_uuid: uuid, answer: Answer::Stored };
    net.upstream(R(0), crate::router::UpstreamInput::Says { conn: crate::router::UpConn(1), message });
    net.run(secs(15));
    assert_eq!(texts(&net), ["hello"]);
    assert_eq!(net.router(R(0)).stats().upstream_expired, 0);
}

#[test]
fn what_expires_in_flight_is_not_sent_again_where_another_router_has_heard_that_it_is_there() {
    for is_confirmed in [true, false] {
        let settings = crate::router::Settings { storage_age_max: secs(4), ..Default::default() };
        let mut net = MeshNet::with(2, settings).with_server();
        let speaker = net.listener("speaker", R(0), "r");
        net.run(secs(1));
        net.server.silent_for = 1;
        let uuid = net.say(speaker, "r", "hello");
        net.run(ms(4_500));
        let [origin, other] = [R(0), R(1)].map(|at| net.router(at).origin);
        let pushed = vec![Holding { origin, floor: 1, top: 1 }];
        let (lines, claims, heard) = (Vec::new(), Vec::new(), Vec::new());
        let (revision, gone_ms) = (1_000, None);
        let told = UpstreamState { origin: other, revision, gone_ms, lines, claims, heard, pushed };
        let message = FromServer::Confirm { message_uuid: uuid, answer: Answer::Stored };
        let confirm = Input::Upstream(UpstreamInput::Says { conn: UpConn(1), message });
        let told = Input::FromPeer { router: MeshNet::id(R(1)), message: Ok(Message::Upstream(told)) };
        net.input(R(0), told);
        if is_confirmed {
            net.input(R(0), confirm);
        }
        net.run(secs(20));
        assert_eq!(texts(&net), ["hello"]);
    }
}

#[test]
fn what_was_said_first_goes_first_also_where_lamport_times_do_not_compare() {
    let mut net = MeshNet::new(2).with_server();
    let (a, other) = (net.listener("a", R(0), "r"), net.listener("other", R(0), "r"));
    net.run(secs(1));
    net.server_ends();
    net.cut(R(0), R(1));
    net.run(secs(10));
    // Given: a router whose Lamport time is far ahead has the first, the other one all three.
    (0..20).for_each(|nth| drop(net.say(other, "r", &format!("other {nth}"))));
    let message_uuid = net.say(a, "r", "one");
    net.attach(a, R(1));
    net.subscribe(a, "r");
    let again = FromClient::Propogate { message_uuid, room: room("r"), payload: b"one"[..].into() };
    net.send(a, again);
    net.say(a, "r", "two");
    net.say(a, "r", "three");
    net.mend(R(0), R(1));
    net.run(secs(30));
    net.server_returns();
    net.run(secs(30));
    let own: Vec<&str> =
        net.server.told.iter().filter(|(who, _)| who == "a").map(|(_, text)| &**text).collect();
    assert_eq!(own, ["one", "two", "three"]);
}

/// What was told of the server since, to one router: how many runs of pushed records in each message.
fn runs_told(net: &MeshNet, since: usize, to: R) -> Vec<usize> {
    let told = net.messages[since..].iter().filter(|(_, told, _)| *told == to);
    let runs = told.filter_map(|(_, _, message)| match message {
        Message::Upstream(state) => Some(state.pushed.len()),
        _ => None,
    });
    runs.filter(|runs| *runs > 0).collect()
}

#[test]
fn of_what_is_pushed_only_news_is_told_and_all_of_it_once_to_a_router_that_comes() {
    let mut net = MeshNet::new(4).with_server();
    let clients: Vec<D> = (0..4).map(|at| net.listener(["a", "b", "c", "d"][at], R(at), "r")).collect();
    net.run(secs(1));
    for client in &clients {
        net.say(*client, "r", "one");
        net.run(secs(1));
    }
    // When: one more is pushed. Then: the run that has grown is told, not those of other routers.
    let since = net.messages.len();
    net.say(clients[0], "r", "two");
    net.run(secs(1));
    let told = runs_told(&net, since, R(1));
    assert!(!told.is_empty() && told.iter().all(|runs| *runs == 1), "{told:?}");
    // When: a router comes back. Then: each neighbour tells it all, once.
    for other in [R(0), R(1), R(2)] {
        net.cut(R(3), other);
    }
    net.run(secs(20));
    let since = net.messages.len();
    for other in [R(0), R(1), R(2)] {
        net.mend(R(3), other);
    }
    net.run(secs(10));
    let told = runs_told(&net, since, R(3));
    assert_eq!(told.iter().filter(|runs| **runs == 4).count(), 3, "{told:?}");
    assert!(told.iter().sum::<usize>() <= 3 * 4 + 3, "{told:?}");
    assert_eq!(texts(&net).len(), 5);
}

#[test]
fn what_was_pushed_is_told_again_to_a_router_that_has_lost_it() {
    let mut net = MeshNet::new(3).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    // Given: a router of the segment hears nothing while a message is pushed, and then of something else.
    net.deaf.insert(R(2));
    net.say(a, "r", "one");
    net.run(ms(50));
    assert_eq!(texts(&net), ["one"]);
    net.deaf.clear();
    net.listener("b", R(0), "r");
    net.run(ms(50));
    // When: it is told all again, as after a full queue. The revision is one that it knows.
    net.input(R(0), Input::PeerFull { router: MeshNet::id(R(2)) });
    net.input(R(0), Input::PeerDrained { router: MeshNet::id(R(2)) });
    net.run(ms(100));
    // Then: nothing of it waits there, nor is it pushed when the client comes.
    assert_eq!(net.router(R(2)).snapshot(net.now).upstream.map(|upstream| upstream.waiting), Some(0));
    net.attach(a, R(2));
    net.subscribe(a, "r");
    net.run(secs(30));
    assert_eq!(texts(&net), ["one"]);
}

#[test]
fn what_waits_for_long_goes_in_turns_whoever_has_how_much() {
    let mut net = MeshNet::new(1).with_server();
    let (a, z) = (net.listener("a", R(0), "r"), net.listener("z", R(0), "r"));
    net.server_ends();
    net.say(z, "r", "z old");
    net.run(secs(1));
    for nth in 0..400 {
        net.say(a, "r", &format!("a {nth}"));
    }
    net.run(secs(10));
    net.server_returns();
    net.run(secs(1));
    net.say(z, "r", "z now");
    net.run(secs(30));
    let at = |text: &str| texts(&net).iter().position(|told| *told == text).unwrap();
    assert!(at("z old") < 5 && at("z now") < 60, "{} and {}", at("z old"), at("z now"));
    assert_eq!(texts(&net).len(), 402);
}

#[test]
fn what_a_router_may_have_told_the_server_before_it_died_is_counted() {
    let mut net = MeshNet::new(3).with_server();
    let a = net.listener("a", R(2), "r");
    net.run(secs(2));
    // Given: it dies after the server has the message, and before it tells.
    net.say(a, "r", "hello");
    net.run(ms(10));
    assert_eq!(texts(&net), ["hello"]);
    net.kill(R(2));
    net.attach(a, R(1));
    net.subscribe(a, "r");
    net.run(secs(60));
    let counted: u64 = [R(0), R(1)].iter().map(|at| net.router(*at).stats().upstream_unsure).sum();
    assert!(texts(&net).len() as u64 <= 1 + counted, "{:?}, {counted} counted", texts(&net));
}

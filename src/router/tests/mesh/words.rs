//! What one router says with numbers at their bounds, taken in, stops nobody
//! (DESIGN.md, "Who may do what").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fau3_election::{Incarnation, RouterId};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::super::harness::secs;
use super::net::{MeshNet, R};
use crate::router::Input;
use crate::wire::fau3e::{
    Holding, LAMPORT_MAX, Message, Playlist, SessionState, SessionVersion, State, Stream, UpstreamState,
    decode, encode,
};
use crate::wire::{self, ClientId, Origin, Record, RecordId, RoomId, Settled};

/// Numbers at and around every bound there may be.
fn number() -> impl Strategy<Value = u64> {
    let near = (0..64_u32, -2..3_i64).prop_map(|(bits, by)| (1_u64 << bits).wrapping_add_signed(by));
    prop_oneof![Just(u64::MAX), Just((1 << 50) - 1), near, any::<u64>()]
}

/// All that a router can say with these numbers, of the life `origin`, in the name of a
/// client that speaks.
fn lies(numbers: [u64; 6], origin: Origin) -> Vec<Message> {
    let [one, two, three, four, five, six] = numbers;
    let room = RoomId::new("room").unwrap();
    let client_id = ClientId::new("talker").unwrap();
    let message = wire::Message {
        room: room.clone(),
        client_id: client_id.clone(),
        message_uuid: "lie".into(),
        payload: [1].into(),
    };
    let id = RecordId { origin, sequence: one };
    let record = Record::new(id, Some(RecordId { origin, sequence: two }), three, message);
    let version = SessionVersion { generation: two, holder: origin, revision: three };
    let session = SessionState {
        client_id: client_id.clone(),
        room: Some(room.clone()),
        monitor_period_s: u32::MAX,
        ping_period_s: u32::MAX,
        age_ms: one,
        detached_ms: (six % 2 == 0).then_some(four),
        version,
        entered: SessionVersion { generation: four, ..version },
        moved_over: SessionVersion { generation: five, ..version },
        room_age_ms: Some(five),
        settled: BTreeMap::from([(
            Origin { router: RouterId([99; 16]), ..origin },
            Settled { before: four.min(five), prefix: five, beyond: BTreeSet::from([six]) },
        )]),
        last: Some((six, RecordId { origin, sequence: two })),
    };
    let holding = |sessions: Vec<SessionState>, clock_ms| {
        let Message::State(mut state) = decode(&encode(&bare())).unwrap() else { unreachable!() };
        state.clock_ms = clock_ms;
        state.sessions = sessions;
        state
    };
    let held = Holding { origin, floor: one.max(1), top: two };
    let mut of_holdings = holding(Vec::new(), 0);
    of_holdings.holdings = vec![held];
    vec![
        Message::State(holding(Vec::new(), one)),
        Message::State(holding(vec![session], six)),
        Message::State(of_holdings),
        Message::Playlist(Playlist { confirm: None, records: vec![(Arc::new(record), four)] }),
        Message::Want(RecordId { origin, sequence: five }),
        Message::Stream(Stream { id, hops: u8::MAX, room, client_id, frame: [7].as_slice().into() }),
        Message::Upstream(UpstreamState {
            origin,
            revision: five,
            gone_ms: Some(six),
            lines: Vec::new(),
            claims: Vec::new(),
            heard: vec![(origin, one)],
            pushed: vec![held],
        }),
    ]
}

/// A State that says nothing.
fn bare() -> Message {
    Message::State(Box::new(State {
        name: "liar".into(),
        mode: fau3_election::Role::Follower,
        coordinator: None,
        epoch: None,
        list: fau3_election::ListVersion::default(),
        priority: None,
        neighbours: Vec::new(),
        holdings: Vec::new(),
        sessions: Vec::new(),
        digest: 0,
        clock_ms: 0,
        leaf: false,
        reach: None,
        servers: None,
    }))
}

/// A mesh of three, where the last says all this to the first; then somebody speaks there.
fn after_lies(told: &[[u64; 6]]) -> (MeshNet, [Vec<u64>; 2]) {
    let mut net = MeshNet::new(3);
    let talker = net.listener("talker", R(0), "room");
    net.listener("hearer", R(1), "room");
    net.run(secs(2));
    let liar = Origin { router: MeshNet::id(R(2)), incarnation: Incarnation { counter: 1, random: 5 } };
    for numbers in told {
        for message in lies(*numbers, liar) {
            let message = decode(&encode(&message));
            net.input(R(0), Input::FromPeer { router: MeshNet::id(R(2)), message });
        }
    }
    net.run(secs(3));
    let refused = |net: &MeshNet| [1, 2].map(|at| net.router(R(at)).stats().peer_invalid).to_vec();
    let before = refused(&net);
    // Where the talker was thought to be, it is here again.
    net.detach(talker);
    net.attach(talker, R(0));
    net.subscribe(talker, "room");
    net.run(secs(1));
    net.say(talker, "room", "still there");
    net.run(secs(8));
    let after = refused(&net);
    (net, [before, after])
}

#[test]
fn a_clock_and_a_lamport_time_at_the_bound_are_counted_on_from_and_refused_by_nobody() {
    for most in [(1 << 50) - 1, (1 << 50) - 2, 1 << 50, u64::MAX] {
        let (net, [before, after]) =
            after_lies(&[[most, most, most, most, most, most], [5, 4, most, 2, 1, most]]);
        assert_eq!(before, after, "{most}");
        assert_eq!(net.router(R(1)).stats().records_replicated, net.router(R(2)).stats().records_replicated);
        assert!(net.router(R(1)).stats().records_replicated > 0, "{most}");
    }
}

#[test]
fn a_lamport_time_that_is_not_believed_leaves_in_order_what_is_said_later() {
    // Given a record from the end of time,
    let (net, _) = after_lies(&[[1, 2, u64::MAX, 4, 5, 6]]);
    // then those who have it count on from their clock, not from there, where all would
    // be of one time.
    for at in [0, 1] {
        let router = net.router(R(at));
        assert!(router.lamport < LAMPORT_MAX && router.lamport <= router.mesh_clock_ms(), "{at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whatever_one_router_takes_in_what_it_says_next_is_taken_in_by_another(
        told in proptest::collection::vec([number(), number(), number(), number(), number(), number()], 1..4)
    ) {
        let (net, [before, after]) = after_lies(&told);
        prop_assert_eq!(before, after, "one says what another refuses");
        for at in [1, 2] {
            prop_assert!(net.router(R(at)).stats().records_replicated > 0, "what is said is heard of");
        }
    }
}

//! Clients that say anything at any time, on routers that start again.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::{Just, Strategy};
use proptest::{collection::vec, prop_oneof};

use super::net::*;
use crate::gateway::call::{RINGING_MAX, SILENCE_MAX};
use crate::wire::call::{Packet, Parameters};

const NAMES: [&str; 4] = ["alice", "bob", "carol", ""];

#[derive(Debug, Clone)]
enum Step {
    Connect(usize),
    Says(usize, Packet),
    HangUp(usize),
    Restart(usize),
    Deaf(usize),
    Wait(u64),
}

fn packet() -> impl Strategy<Value = Packet> {
    let parameters = || {
        prop_oneof![
            4 => Just(VOICE),
            2 => Just(Parameters { sample_rate: 16_000, ..VOICE }),
            1 => Just(Parameters { channels: 0, ..VOICE }),
        ]
    };
    let name = || (0..NAMES.len()).prop_map(|at| Box::<[u8]>::from(NAMES[at].as_bytes()));
    prop_oneof![
        6 => (parameters(), name(), name())
            .prop_map(|(parameters, username, data)| Packet::Offer { parameters, username, data }),
        2 => (parameters(), name()).prop_map(|(parameters, data)| Packet::Wishes { parameters, data }),
        4 => name().prop_map(|data| Packet::Accepted { data }),
        1 => name().prop_map(|data| Packet::Refused { data }),
        1 => name().prop_map(|data| Packet::Ended { data }),
        1 => Just(Packet::NoSuchUser),
        4 => Just(audio(b"audio")),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize).prop_map(Step::Connect),
        20 => (any::<usize>(), packet()).prop_map(|(who, packet)| Step::Says(who, packet)),
        1 => any::<usize>().prop_map(Step::HangUp),
        1 => (0..3_usize).prop_map(Step::Restart),
        1 => any::<usize>().prop_map(Step::Deaf),
        6 => (0..40_u64).prop_map(Step::Wait),
        1 => (0..40_000_u64).prop_map(Step::Wait),
    ]
}

fn play(steps: &[Step]) -> Net {
    let mut net = Net::new(3);
    for router in 0..3 {
        net.connect(router);
    }
    for step in steps {
        let clients = net.clients();
        let client = |who: &usize| clients.get(who % clients.len().max(1)).copied();
        match step {
            Step::Connect(router) => drop(net.connect(*router)),
            Step::Says(who, packet) => {
                client(who).into_iter().for_each(|client| net.says(client, packet.clone()));
            }
            Step::HangUp(who) => client(who).into_iter().for_each(|client| net.hang_up(client)),
            Step::Restart(router) => net.restart(*router),
            Step::Deaf(who) => {
                if let Some(client) = client(who)
                    && !net.deaf.remove(&client)
                {
                    net.deaf.insert(client);
                }
            }
            Step::Wait(ms) => net.run(Duration::from_millis(*ms)),
        }
    }
    net
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_call_is_without_an_end_and_nothing_is_left_of_who_has_gone(steps in vec(step(), 1..120)) {
        let mut net = play(&steps);
        net.run(RINGING_MAX.max(SILENCE_MAX) + Duration::from_secs(5));
        prop_assert_eq!(net.routers.iter().map(|calls| calls.in_call()).sum::<usize>(), 0);
        prop_assert!(net.routers.iter().all(|calls| calls.poll_timeout().is_none()));
        net.hang_up_all();
        net.seconds(5);
        prop_assert!(net.routers.iter().all(|calls| calls.is_idle()));
    }

    #[test]
    fn after_anything_two_can_call_each_other(steps in vec(step(), 1..80)) {
        let mut net = play(&steps);
        net.deaf.clear();
        net.seconds(70);
        let (one, other) = (net.named(0, "one"), net.named(2, "other"));
        net.offers(one, VOICE, "other", b"");
        net.seconds(1);
        net.says(other, accepted());
        net.seconds(1);
        net.says(one, audio(b"hello"));
        net.seconds(1);
        prop_assert_eq!(net.got(one), vec![accepted()]);
        prop_assert_eq!(net.got(other), vec![offer(VOICE, "one", ""), audio(b"hello")]);
    }
}

use super::net::*;
use crate::gateway::call::RINGING_MAX;
use crate::wire::call::{Packet, Parameters};

const BETTER: Parameters = Parameters { sample_rate: 48_000, ..VOICE };

/// Alice and Bob, on one router and on two.
fn pairs() -> Vec<(Net, Client, Client)> {
    let at = |router: usize| {
        let mut net = Net::new(2);
        let (alice, bob) = (net.named(0, "alice"), net.named(router, "bob"));
        net.seconds(1);
        (net, alice, bob)
    };
    vec![at(0), at(1)]
}

/// Alice has called Bob, who has answered.
fn talking() -> Vec<(Net, Client, Client)> {
    let mut pairs = pairs();
    for (net, alice, bob) in &mut pairs {
        net.offers(*alice, VOICE, "bob", b"");
        net.seconds(1);
        net.says(*bob, accepted());
        net.seconds(1);
        assert_eq!(net.got(*bob), [offer(VOICE, "alice", "")]);
        assert_eq!(net.got(*alice), [accepted()]);
    }
    pairs
}

#[test]
fn no_such_user_is_type_1_with_an_empty_body() {
    for (mut net, alice, _) in pairs() {
        for nobody in ["carol", "", "\u{0}"] {
            net.offers(alice, VOICE, nobody, b"");
            net.seconds(1);
            assert_eq!(net.got(alice), [Packet::NoSuchUser], "{nobody:?}");
        }
        // A Username that is no UTF-8 is nobody's.
        let username = [0xff, 0xfe][..].into();
        net.says(alice, Packet::Offer { parameters: VOICE, username, data: Box::default() });
        assert_eq!(net.got(alice), [Packet::NoSuchUser]);
    }
}

#[test]
fn a_type_0_to_its_own_name_registers_and_calls_nobody() {
    let mut net = Net::new(1);
    let bob = net.named(0, "bob");
    // Again, and addressed to itself.
    net.offers(bob, VOICE, "bob", b"");
    net.offers(bob, VOICE, "bob", b"bob");
    net.seconds(1);
    assert_eq!(net.got(bob), []);
    let alice = net.connect(0);
    net.offers(alice, VOICE, "bob", b"");
    net.seconds(1);
    assert_eq!(net.got(bob).len(), 1);
}

#[test]
fn a_type_0_to_somebody_else_registers_under_its_optional_data_first() {
    for (mut net, _, bob) in pairs() {
        let carol = net.connect(0);
        net.offers(carol, VOICE, "bob", b"carol");
        net.seconds(1);
        assert_eq!(net.got(bob), [offer(VOICE, "carol", "carol")]);
        net.says(carol, ended(""));
        net.seconds(1);
        assert_eq!(net.got(bob), [ended("")]);
        // It can be called from now on.
        net.offers(bob, VOICE, "carol", b"");
        net.seconds(1);
        assert_eq!(net.got(carol), [offer(VOICE, "bob", "")]);
    }
}

#[test]
fn without_a_name_it_may_call_and_cannot_be_called() {
    for (mut net, _, bob) in pairs() {
        let nameless = net.connect(0);
        // What is no name is passed on as it is.
        let data = [0xff_u8; 300];
        net.offers(nameless, VOICE, "bob", &data);
        net.seconds(1);
        let seen = Packet::Offer { parameters: VOICE, username: Box::default(), data: data[..].into() };
        assert_eq!(net.got(bob), [seen]);
        net.says(bob, accepted());
        net.seconds(1);
        assert_eq!(net.got(nameless), [accepted()]);
        net.says(nameless, audio(b"hello"));
        net.says(bob, audio(b"who?"));
        net.seconds(1);
        assert_eq!((net.got(bob), net.got(nameless)), (vec![audio(b"hello")], vec![audio(b"who?")]));
    }
}

#[test]
fn the_callee_sees_the_type_0_with_the_callers_name() {
    for (mut net, alice, bob) in pairs() {
        net.offers(alice, BETTER, "bob", b"it is me");
        net.seconds(1);
        assert_eq!(net.got(bob), [offer(BETTER, "alice", "it is me")]);
    }
}

#[test]
fn other_wishes_are_relayed_three_times_and_the_fourth_is_refused_to_both() {
    for (mut net, alice, bob) in pairs() {
        net.offers(alice, VOICE, "bob", b"");
        net.seconds(1);
        net.got(bob);
        let wishes = |rate| Packet::Wishes {
            parameters: Parameters { sample_rate: rate, ..VOICE },
            data: b"please"[..].into(),
        };
        for (round, (from, to)) in [(bob, alice), (alice, bob), (bob, alice)].into_iter().enumerate() {
            net.says(from, wishes(9_000 + round as u32));
            net.seconds(1);
            assert_eq!(net.got(to), [wishes(9_000 + round as u32)]);
        }
        net.says(alice, wishes(16_000));
        net.seconds(1);
        assert_eq!(
            (net.got(alice), net.got(bob)),
            (vec![refused("no agreement")], vec![refused("no agreement")])
        );
        assert_eq!(net.routers.iter().map(|calls| calls.in_call()).sum::<usize>(), 0);
    }
}

#[test]
fn wishes_may_be_accepted_by_the_caller() {
    for (mut net, alice, bob) in pairs() {
        net.offers(alice, VOICE, "bob", b"");
        net.seconds(1);
        net.says(bob, Packet::Wishes { parameters: BETTER, data: Box::default() });
        net.seconds(1);
        net.says(alice, accepted());
        net.says(alice, audio(b"at once"));
        net.seconds(1);
        assert_eq!(net.got(bob)[1..], [accepted(), audio(b"at once")]);
    }
}

#[test]
fn who_is_in_a_call_is_busy_for_a_third_party() {
    for (mut net, alice, bob) in talking() {
        let carol = net.named(0, "carol");
        for name in ["alice", "bob"] {
            net.offers(carol, VOICE, name, b"");
            net.seconds(1);
            assert_eq!(net.got(carol), [refused("busy")]);
        }
        assert_eq!((net.got(alice), net.got(bob)), (vec![], vec![]));
    }
}

#[test]
fn two_that_call_each_other_alike_are_connected() {
    for delay in [0, 5, 400] {
        for (mut net, alice, bob) in pairs() {
            net.delay = std::time::Duration::from_millis(delay);
            net.offers(alice, VOICE, "bob", b"");
            net.offers(bob, VOICE, "alice", b"");
            net.seconds(2);
            // Whoever has heard of the other one's call first has accepted it with its own.
            for client in [alice, bob] {
                let got = net.got(client);
                let last = got.last().cloned();
                assert!(last == Some(accepted()) || got == [offer(VOICE, "alice", "")], "{delay}: {got:?}");
            }
            net.says(alice, audio(b"a"));
            net.says(bob, audio(b"b"));
            net.seconds(2);
            assert_eq!((net.got(alice), net.got(bob)), (vec![audio(b"b")], vec![audio(b"a")]), "{delay}");
        }
    }
}

#[test]
fn of_two_that_call_each_other_differently_the_lower_names_offer_stands() {
    for delay in [0, 5, 400] {
        for (mut net, alice, bob) in pairs() {
            net.delay = std::time::Duration::from_millis(delay);
            net.offers(bob, BETTER, "alice", b"");
            net.offers(alice, VOICE, "bob", b"");
            net.seconds(2);
            assert_eq!(net.got(bob), [offer(VOICE, "alice", "")], "{delay}");
            net.says(bob, accepted());
            net.seconds(2);
            assert_eq!(net.got(alice).last(), Some(&accepted()), "{delay}");
            net.says(alice, audio(b"a"));
            net.says(bob, audio(b"b"));
            net.seconds(2);
            assert_eq!((net.got(alice), net.got(bob)), (vec![audio(b"b")], vec![audio(b"a")]), "{delay}");
        }
    }
}

#[test]
fn it_rings_for_30_s_and_then_both_hear_no_answer() {
    for (mut net, alice, bob) in pairs() {
        net.offers(alice, VOICE, "bob", b"");
        net.run(RINGING_MAX - std::time::Duration::from_millis(100));
        assert_eq!((net.got(alice), net.got(bob)), (vec![], vec![offer(VOICE, "alice", "")]));
        net.seconds(1);
        assert_eq!((net.got(alice), net.got(bob)), (vec![ended("no answer")], vec![ended("no answer")]));
        // A late answer is nobody's.
        net.says(bob, accepted());
        net.seconds(1);
        assert_eq!(net.got(alice), []);
    }
}

#[test]
fn audio_before_a_call_stands_is_dropped_and_counted() {
    for (mut net, alice, bob) in pairs() {
        net.says(alice, audio(b"nobody"));
        net.offers(alice, VOICE, "bob", b"");
        net.seconds(1);
        net.says(alice, audio(b"too early"));
        net.says(bob, audio(b"too early"));
        net.seconds(1);
        assert_eq!((net.got(alice), net.got(bob)), (vec![], vec![offer(VOICE, "alice", "")]));
        assert_eq!(net.routers.iter().map(|calls| calls.counts().0.early).sum::<u64>(), 3);
    }
}

#[test]
fn audio_is_relayed_byte_for_byte() {
    for (mut net, alice, bob) in talking() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        net.says(alice, audio(&bytes));
        net.says(alice, audio(b""));
        net.seconds(1);
        assert_eq!(net.got(bob), [audio(&bytes), audio(b"")]);
    }
}

#[test]
fn a_lost_connection_ends_the_call_behind_what_is_queued() {
    for (mut net, alice, bob) in talking() {
        net.deaf.insert(bob);
        net.says(alice, audio(b"last words"));
        net.hang_up(alice);
        net.seconds(1);
        net.deaf.clear();
        assert_eq!(net.got(bob), [audio(b"last words"), ended("")]);
    }
}

#[test]
fn types_3_and_5_end_a_call_with_what_they_say() {
    for packet in [ended("bye"), refused("no more")] {
        for (mut net, alice, bob) in talking() {
            net.says(bob, packet.clone());
            net.seconds(1);
            assert_eq!((net.got(alice), net.got(bob)), (vec![packet.clone()], vec![]));
        }
    }
}

#[test]
fn thirty_silent_seconds_end_a_call_and_audio_either_way_is_no_silence() {
    for (mut net, alice, bob) in talking() {
        for _ in 0..4 {
            net.seconds(25);
            net.says(alice, audio(b"."));
        }
        net.seconds(29);
        assert_eq!((net.got(alice), net.got(bob).len()), (vec![], 4));
        net.seconds(3);
        assert_eq!((net.got(alice), net.got(bob)), (vec![ended("silent")], vec![ended("silent")]));
    }
}

#[test]
fn a_name_that_registers_again_is_the_newer_ones() {
    for (mut net, alice, bob) in talking() {
        for router in [0, 1] {
            let older = if router == 0 { bob } else { net.clients().last().copied().unwrap() };
            let newer = net.named(router, "bob");
            net.seconds(1);
            if router == 0 {
                assert_eq!(net.got(older), [ended("elsewhere")]);
                assert_eq!(net.got(alice), [ended("elsewhere")]);
            }
            net.offers(alice, VOICE, "bob", b"");
            net.seconds(1);
            assert_eq!((net.got(newer).len(), net.got(older).len()), (1, 0));
            net.says(alice, ended(""));
            net.seconds(1);
            net.got(newer);
        }
    }
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    let max =
        Parameters { sample_rate: u32::MAX, channels: u16::MAX, format: u8::MAX, chunk_bytes: u32::MAX };
    let zero = Parameters { sample_rate: 0, channels: 0, format: 0, chunk_bytes: 0 };
    for wrong in [max, zero] {
        for (mut net, alice, bob) in pairs() {
            net.offers(alice, wrong, "bob", b"");
            net.seconds(1);
            assert_eq!((net.got(alice), net.got(bob)), (vec![refused("bad parameters")], vec![]));
            net.offers(alice, VOICE, "bob", b"");
            net.seconds(1);
            net.got(bob);
            net.says(bob, Packet::Wishes { parameters: wrong, data: Box::default() });
            net.seconds(1);
            for client in [alice, bob] {
                assert_eq!(net.got(client), [refused("bad parameters")]);
            }
        }
    }
}

#[test]
fn types_2_and_4_of_who_is_not_asked_are_counted_and_nothing_else() {
    for (mut net, alice, bob) in pairs() {
        net.offers(alice, VOICE, "bob", b"");
        net.seconds(1);
        net.got(bob);
        for packet in
            [accepted(), Packet::Wishes { parameters: BETTER, data: Box::default() }, Packet::NoSuchUser]
        {
            net.says(alice, packet);
        }
        net.seconds(1);
        assert_eq!((net.got(alice), net.got(bob)), (vec![], vec![]));
        assert_eq!(net.routers[0].counts().0.stray, 3);
        // The call goes on.
        net.says(bob, accepted());
        net.seconds(1);
        assert_eq!(net.got(alice), [accepted()]);
    }
}

#[test]
fn a_call_does_not_outlive_its_router() {
    let (mut net, alice, bob) = talking().pop().unwrap();
    // The router of the callee starts again, and nobody has noticed yet.
    net.restart(bob.router);
    net.says(alice, audio(b"are you there?"));
    let again = net.named(1, "bob");
    net.says(alice, audio(b"are you there?"));
    net.seconds(1);
    assert_eq!(net.got(alice), [ended("lost")]);
    assert_eq!(net.got(again), []);
    // And where it is noticed, it ends at once.
    let (mut net, alice, bob) = talking().pop().unwrap();
    net.restart(bob.router);
    net.tell_gone(&[party("bob")]);
    assert_eq!(net.got(alice), [ended("lost")]);
}

#[test]
fn who_calls_again_from_a_router_that_forgot_rings_again() {
    let (mut net, alice, bob) = talking().pop().unwrap();
    net.restart(alice.router);
    let alice = net.named(0, "alice");
    net.offers(alice, VOICE, "bob", b"");
    net.seconds(1);
    assert_eq!(net.got(bob), [ended("lost"), offer(VOICE, "alice", "")]);
}

use std::time::Duration;

use super::net::*;
use crate::wire::call::{Packet, Parameters};

/// Alice talks to Bob, with these parameters.
fn talking(parameters: Parameters) -> (Net, Client, Client) {
    let mut net = Net::new(2);
    let (alice, bob) = (net.named(0, "alice"), net.named(1, "bob"));
    net.offers(alice, parameters, "bob", b"");
    net.seconds(1);
    net.says(bob, accepted());
    net.seconds(1);
    assert_eq!((net.got(alice).len(), net.got(bob).len()), (1, 1));
    (net, alice, bob)
}

fn got_audio(net: &mut Net, client: Client) -> Vec<u8> {
    let first = |packet: Packet| match packet {
        Packet::Audio(audio) => audio[0],
        packet => panic!("{packet:?}"),
    };
    net.got(client).into_iter().map(first).collect()
}

#[test]
fn a_slow_reader_hears_the_last_200_ms_and_what_went_is_counted() {
    // Given packets of 20 ms, so that 200 ms are ten of them,
    let (mut net, alice, bob) = talking(VOICE);
    net.deaf.insert(bob);
    for number in 0..50 {
        net.says(alice, audio(&[number; 320]));
        net.run(Duration::from_millis(20));
    }
    net.deaf.clear();
    assert_eq!(got_audio(&mut net, bob), (40..50).collect::<Vec<u8>>());
    assert_eq!(net.routers[1].counts().1, 40);
    // and of 5 ms, so that it is forty,
    let (mut net, alice, bob) = talking(VOICE);
    net.deaf.insert(bob);
    for number in 0..50 {
        net.says(alice, audio(&[number; 80]));
        net.run(Duration::from_millis(5));
    }
    net.deaf.clear();
    assert_eq!(got_audio(&mut net, bob), (10..50).collect::<Vec<u8>>());
    // and of 100 ms, of which ten may wait.
    let (mut net, alice, bob) = talking(VOICE);
    net.deaf.insert(bob);
    for number in 0..20 {
        net.says(alice, audio(&[number; 1_600]));
        net.run(Duration::from_millis(100));
    }
    net.deaf.clear();
    assert_eq!(got_audio(&mut net, bob), (10..20).collect::<Vec<u8>>());
}

#[test]
fn however_large_the_packets_what_waits_stays_below_128_kib() {
    let most = Parameters { sample_rate: 384_000, channels: 8, format: 4, chunk_bytes: 65_530 };
    let (mut net, alice, bob) = talking(most);
    net.deaf.insert(bob);
    for number in 0..100 {
        net.says(alice, audio(&vec![number; 65_530]));
        net.run(Duration::from_millis(5));
    }
    net.deaf.clear();
    assert_eq!(got_audio(&mut net, bob), [98, 99]);
}

#[test]
fn who_takes_nothing_for_5_s_is_in_no_call_any_more() {
    let (mut net, alice, bob) = talking(VOICE);
    net.deaf.insert(bob);
    for _ in 0..240 {
        net.says(alice, audio(&[7; 320]));
        net.run(Duration::from_millis(20));
    }
    assert_eq!(net.got(alice), []);
    for _ in 0..30 {
        net.says(alice, audio(&[7; 320]));
        net.run(Duration::from_millis(20));
    }
    assert_eq!(net.got(alice), [ended("too slow")]);
    net.deaf.clear();
    assert_eq!(net.got(bob), [ended("too slow")]);
}

#[test]
fn who_never_reads_is_closed_whatever_it_says() {
    let mut net = Net::new(1);
    let flooder = net.named(0, "flooder");
    net.deaf.insert(flooder);
    for _ in 0..100 {
        net.offers(flooder, VOICE, "nobody", b"");
        net.run(Duration::from_millis(20));
    }
    assert!(net.closed.contains(&flooder));
    net.hang_up_all();
    assert!(net.routers[0].is_idle());
}

#[test]
fn a_name_taken_over_100_times_a_second_costs_no_more_than_one() {
    let mut net = Net::new(2);
    let alice = net.named(0, "alice");
    let clients: Vec<Client> = (0..200).map(|number| net.connect(number % 2)).collect();
    for client in &clients {
        net.offers(*client, VOICE, "bob", b"bob");
        net.run(Duration::from_millis(10));
    }
    net.seconds(1);
    net.offers(alice, VOICE, "bob", b"");
    net.seconds(1);
    let rang: Vec<usize> = (0..200).filter(|number| !net.got(clients[*number]).is_empty()).collect();
    assert_eq!(rang, [199]);
    net.hang_up_all();
    net.seconds(1);
    assert!(net.routers.iter().all(|calls| calls.is_idle()));
}

//! Live audio between routers.

use super::super::harness::{ms, secs};
use super::net::{MeshNet, R};
use crate::wire::fau3d::FromClient;
use crate::wire::fau3e::Message;

const FRAME: &[u8] = b"F3SB live F3FN";

fn speak(net: &mut MeshNet, speaker: super::net::D) {
    net.send(speaker, FromClient::Stream(FRAME.into()));
}

#[test]
fn audio_goes_over_the_fewest_hops_to_where_somebody_listens_and_nowhere_else() {
    let mut net = MeshNet::line(4);
    let speaker = net.listener("speaker", R(0), "room");
    let listener = net.listener("listener", R(2), "room");
    let elsewhere = net.listener("elsewhere", R(3), "other room");
    net.run(secs(2));
    net.messages.clear();
    speak(&mut net, speaker);
    net.run(ms(10));
    assert_eq!(net[listener].streams(), [FRAME]);
    assert!(net[elsewhere].streams().is_empty() && net[speaker].streams().is_empty());
    let hops: Vec<(R, R)> = net
        .messages
        .iter()
        .filter_map(|(from, to, message)| matches!(message, Message::Stream(_)).then_some((*from, *to)))
        .collect();
    assert_eq!(hops, [(R(0), R(1)), (R(1), R(2))]);
}

#[test]
fn audio_of_a_room_without_listeners_elsewhere_stays_here() {
    let mut net = MeshNet::new(3);
    let speaker = net.listener("speaker", R(0), "room");
    net.run(secs(1));
    net.messages.clear();
    speak(&mut net, speaker);
    net.run(ms(10));
    assert!(net.messages.iter().all(|(_, _, message)| !matches!(message, Message::Stream(_))));
}

#[test]
fn audio_is_heard_once_though_it_came_twice() {
    let mut net = MeshNet::new(2);
    let speaker = net.listener("speaker", R(0), "room");
    let listener = net.listener("listener", R(1), "room");
    net.run(secs(1));
    net.messages.clear();
    speak(&mut net, speaker);
    net.run(ms(10));
    let again = net.messages.iter().find(|(_, _, message)| matches!(message, Message::Stream(_)));
    let message = again.unwrap().2.clone();
    net.input(R(1), crate::router::Input::FromPeer { router: MeshNet::id(R(0)), message: Ok(message) });
    assert_eq!(net[listener].streams(), [FRAME]);
    assert_eq!(net.router(R(1)).stats().streams_seen_before, 1);
}

//! Connections to the server one by one, without a router: what they bear, and
//! how they end.

use std::time::{Duration, Instant};

use fau3::router::{self, FromServer, ToServer, UpConn, UpstreamInput, UpstreamOutput};
use fau3::upstream::Upstream;
use fau3::upstream::watch::Settings;
use fau3::wire::{ClientId, RoomId, Uuid};

use crate::common::wait_for;
use crate::default_server::PATIENCE;
use crate::legacy::{Answer, Legacy, Quirks};

const CONN: UpConn = UpConn(7);

fn towards(server: &Legacy) -> Upstream {
    let settings = Settings { check_interval: Duration::from_millis(250), hold: Duration::ZERO };
    Upstream::new(server.url().parse().unwrap(), settings, "abcd".into(), 7)
}

fn open(upstream: &mut Upstream, conn: UpConn, client_id: &str) {
    upstream.carry_out(UpstreamOutput::Open { conn, client_id: ClientId::new(client_id).unwrap() });
}

fn send(upstream: &mut Upstream, frame: ToServer) {
    upstream.carry_out(UpstreamOutput::Send { conn: CONN, frame });
}

fn stream(number: u8) -> ToServer {
    ToServer::Stream([&b"F3SB"[..], &[0xff, number], b"F3FN"].concat().into())
}

async fn next(upstream: &mut Upstream) -> UpstreamInput {
    tokio::time::timeout(PATIENCE, upstream.next()).await.expect("something happens")
}

/// One connection that stands.
async fn connected(server: &Legacy) -> Upstream {
    let mut upstream = towards(server);
    open(&mut upstream, CONN, "AA:01");
    assert!(matches!(next(&mut upstream).await, UpstreamInput::Up { conn: CONN }));
    upstream
}

#[tokio::test]
async fn what_a_server_says_in_text_frames_arrives_utf8_or_not() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = connected(&server).await;
    for text in [true, false] {
        for piece in [&b"F3SB\xff\xfe\x80F3FN"[..], b"F3SBplainF3FN", b"F3SBF3FN"] {
            server.send_raw("AA:01", text, piece);
            let UpstreamInput::Says { message: FromServer::Stream(got), .. } = next(&mut upstream).await
            else {
                panic!("no audio")
            };
            assert_eq!(&*got, piece);
        }
    }
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_connection_stays() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = connected(&server).await;
    let bad: [&[u8]; 4] = [b"\xff\xfe", b"[]", b"{}", br#"{"MessageType":"Dance","MessageUuid":"d"}"#];
    bad.iter().for_each(|frame| server.send_raw("AA:01", true, frame));
    server.send_raw("AA:01", true, br#"{"MessageType":"Ping","MessageUuid":"not a UUID"}"#);
    let UpstreamInput::Says { message, .. } = next(&mut upstream).await else { panic!("not connected") };
    assert_eq!(message, FromServer::Ping { message_uuid: "not a UUID".into() });
    wait_for("the refusal", PATIENCE, || server.confirms() == [("AA:01".into(), "d".into(), -1)]);
}

#[tokio::test]
async fn frames_leave_in_their_order_and_a_probe_comes_back_behind_them() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = connected(&server).await;
    let subscribe = ToServer::Subscribe {
        message_uuid: Uuid::from_hash(1),
        room: RoomId::new("hall").unwrap(),
        monitor_period_s: 0,
        ping_period_s: 0,
    };
    send(&mut upstream, subscribe);
    send(&mut upstream, stream(1));
    send(&mut upstream, ToServer::Confirm { message_uuid: "u".into(), answer: router::Answer::Stored });
    upstream.carry_out(UpstreamOutput::Probe { conn: CONN });
    let answer = next(&mut upstream).await;
    assert!(matches!(answer, UpstreamInput::Says { message: FromServer::Confirm { .. }, .. }), "{answer:?}");
    assert!(matches!(next(&mut upstream).await, UpstreamInput::Pong { conn: CONN }));
    assert_eq!(server.room_of("AA:01").as_deref(), Some("hall"));
    assert_eq!(server.streams(), [("AA:01".to_owned(), b"F3SB\xff\x01F3FN".to_vec())]);
    assert_eq!(server.confirms(), [("AA:01".into(), "u".into(), 3)]);
}

#[tokio::test]
async fn live_audio_behind_more_than_four_frames_is_dropped_and_nothing_else_is() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = connected(&server).await;
    // Given frames that wait, since nothing of the connection's ran meanwhile,
    (0..10).for_each(|number| send(&mut upstream, stream(number)));
    (0..20).for_each(|number| {
        let message_uuid = number.to_string().into();
        send(&mut upstream, ToServer::Confirm { message_uuid, answer: router::Answer::Done });
    });
    let all = || server.confirms().len() == 20;
    for _ in 0..500 {
        if all() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(all());
    assert_eq!((server.streams().len(), upstream.streams_dropped()), (5, 5), "four behind one");
}

#[tokio::test]
async fn a_server_that_does_not_read_loses_the_connection_rather_than_frames_in_between() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = connected(&server).await;
    // One more than wait at most, while nothing of the connection's runs: all that a router can
    // be told at once, and some.
    const WAITING_MAX: usize = 1_024 + 256;
    for number in 0..=WAITING_MAX {
        send(
            &mut upstream,
            ToServer::Confirm { message_uuid: number.to_string().into(), answer: router::Answer::Done },
        );
    }
    assert!(matches!(next(&mut upstream).await, UpstreamInput::Down { conn: CONN, .. }));
    wait_for("all that was taken", PATIENCE, || server.confirms().len() == WAITING_MAX);
}

#[tokio::test]
async fn a_goodbye_sends_the_rest_and_ends_when_the_server_has_answered_or_after_a_second() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = connected(&server).await;
    send(&mut upstream, stream(1));
    upstream.carry_out(UpstreamOutput::Close { conn: CONN });
    let since = Instant::now();
    assert!(matches!(next(&mut upstream).await, UpstreamInput::Down { conn: CONN, .. }));
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
    assert_eq!((server.streams().len(), server.clients().len()), (1, 0));
    // One that answers nothing any more is given a second.
    let mut upstream = connected(&server).await;
    server.set(|quirks| quirks.mute = true);
    upstream.carry_out(UpstreamOutput::Close { conn: CONN });
    let since = Instant::now();
    assert!(matches!(next(&mut upstream).await, UpstreamInput::Down { conn: CONN, .. }));
    let took = since.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn whatever_does_not_come_to_stand_is_told_once() {
    for (upgrade, at_least) in [(Answer::Status(503), 0), (Answer::Garbage, 0), (Answer::Nothing, 4)] {
        let server = Legacy::start(Quirks { upgrade, ..Quirks::default() });
        let mut upstream = towards(&server);
        let since = Instant::now();
        open(&mut upstream, CONN, "AA:01");
        assert!(matches!(next(&mut upstream).await, UpstreamInput::Down { conn: CONN, .. }));
        // A silent one may have taken the request: it is left a second to notice the end.
        assert!(since.elapsed() >= Duration::from_secs(at_least), "{:?}", since.elapsed());
        assert!(upstream.try_next().is_none());
    }
}

#[tokio::test]
async fn a_connection_that_is_not_wanted_any_more_before_it_stands_is_ended_well() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = towards(&server);
    for number in 0..20 {
        // Closed at once, in the same name each time: never twice at the server.
        let conn = UpConn(number);
        open(&mut upstream, conn, "AA:01");
        upstream.carry_out(UpstreamOutput::Close { conn });
        while !matches!(next(&mut upstream).await, UpstreamInput::Down { conn: down, .. } if down == conn) {}
    }
    assert_eq!(server.crashes(), [""; 0]);
}

#[tokio::test]
async fn a_crash_of_the_server_is_told_of_each_connection() {
    let server = Legacy::start(Quirks::default());
    let mut upstream = towards(&server);
    (0..50).for_each(|number| open(&mut upstream, UpConn(number), &format!("AA:{number:02}")));
    let (mut up, mut down) = (0, 0);
    while up < 50 {
        up += u32::from(matches!(next(&mut upstream).await, UpstreamInput::Up { .. }));
    }
    server.crash();
    while down < 50 {
        down += u32::from(matches!(next(&mut upstream).await, UpstreamInput::Down { .. }));
    }
    assert!(upstream.try_next().is_none());
}

//! Every message comes back as it went; nothing that comes in panics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fau3_election::{Epoch, Incarnation, ListVersion, Role, RouterId, ServerEntry};

use super::*;
use crate::wire;

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn origin(router: u8) -> Origin {
    let incarnation = Incarnation { counter: u32::MAX, random: u64::MAX - u64::from(router) };
    Origin { router: RouterId([router; 16]), incarnation }
}

fn id(router: u8, sequence: u64) -> RecordId {
    RecordId { origin: origin(router), sequence }
}

fn record(sequence: u64, bytes: usize) -> Arc<Record> {
    let message = wire::Message {
        room: RoomId::new("комната").unwrap(),
        client_id: ClientId::new("AA:BB:CC:DD:EE:FF").unwrap(),
        message_uuid: format!("uuid {sequence}").into(),
        payload: (0..bytes).map(|n| n as u8).collect(),
    };
    Arc::new(Record::new(id(1, sequence), (sequence > 1).then(|| id(2, 1)), 7, message))
}

fn session(name: &str) -> SessionState {
    let version = SessionVersion { generation: 70_000, holder: origin(3), revision: 9 };
    SessionState {
        client_id: ClientId::new(name).unwrap(),
        room: Some(RoomId::new("room").unwrap()),
        monitor_period_s: 5,
        ping_period_s: 0,
        age_ms: 123_456,
        detached_ms: Some(0),
        version,
        entered: SessionVersion { revision: 1, ..version },
        moved_over: SessionVersion { generation: 7, ..version },
        room_age_ms: Some(100_000),
        settled: BTreeMap::from([
            (origin(1), Settled { before: 2, prefix: 5, beyond: BTreeSet::from([7, 9]) }),
            (origin(9), Settled::default()),
        ]),
        last: Some((9, id(1, 4))),
    }
}

fn contact(address: &str) -> Option<Contact> {
    Some(Contact { peer_id: "12D3KooW".into(), address: address.parse().unwrap() })
}

fn examples() -> Vec<Message> {
    let state = State {
        name: "router-a".into(),
        mode: Role::Follower,
        coordinator: Some(RouterId([2; 16])),
        epoch: Some(Epoch { number: 3, router: RouterId([2; 16]), incarnation: Incarnation::default() }),
        list: ListVersion { number: 2, hash: u64::MAX },
        priority: Some(1),
        neighbours: vec![
            Neighbour { router: RouterId([2; 16]), contact: contact("192.168.1.2:8902") },
            Neighbour { router: RouterId([3; 16]), contact: contact("[fd00::1]:8902") },
            Neighbour { router: RouterId([4; 16]), contact: None },
        ],
        holdings: vec![
            Holding { origin: origin(1), floor: 1, top: 5 },
            Holding { origin: origin(1), floor: 8, top: 9 },
            Holding { origin: origin(2), floor: 4, top: 3 },
        ],
        sessions: vec![session("a"), session("b")],
        digest: u64::MAX,
        clock_ms: 42,
        leaf: true,
        reach: Some(vec![origin(2), origin(7)]),
        servers: Some(vec![
            ServerEntry { name: "router-b".into(), id: None },
            ServerEntry { name: "router-c".into(), id: Some(RouterId([3; 16])) },
        ]),
    };
    let bare = State {
        coordinator: None,
        epoch: None,
        priority: None,
        neighbours: Vec::new(),
        holdings: Vec::new(),
        sessions: Vec::new(),
        leaf: false,
        reach: None,
        servers: None,
        ..state.clone()
    };
    vec![
        Message::State(Box::new(state)),
        Message::State(Box::new(bare)),
        Message::AskState,
        Message::Playlist(Playlist { confirm: Some(Uuid::from_hash(5)), records: vec![(record(1, 38), 0)] }),
        Message::Playlist(Playlist {
            confirm: None,
            records: vec![(record(2, 9_500), 60_000), (record(3, 1), 1)],
        }),
        Message::Want(id(1, 12)),
        Message::Stream(Stream {
            id: id(1, 3),
            hops: 16,
            room: RoomId::new("room").unwrap(),
            client_id: ClientId::new("a").unwrap(),
            frame: b"F3SB\xff\x00F3FN"[..].into(),
        }),
        Message::Upstream(UpstreamState {
            origin: id(1, 1).origin,
            revision: 7,
            gone_ms: Some(9_000),
            lines: ["a", "b"].map(|name| ClientId::new(name).unwrap()).to_vec(),
            claims: ["c"].map(|name| ClientId::new(name).unwrap()).to_vec(),
            heard: vec![(id(2, 1).origin, 3), (id(1, 1).origin, 7)],
            pushed: vec![Holding { origin: id(2, 1).origin, floor: 1, top: 5 }],
        }),
        Message::Confirm { message_uuid: Uuid::from_hash(9), status: Status::SERROR },
    ]
}

#[test]
fn every_message_comes_back_as_it_went() {
    for message in examples() {
        assert_eq!(decode(&encode(&message)).as_ref(), Ok(&message));
    }
}

#[test]
fn payloads_are_bytes_and_a_record_costs_little_more_than_its_payload() {
    let playlist = Message::Playlist(Playlist { confirm: None, records: vec![(record(1, 9_500), 0)] });
    let frame = encode(&playlist);
    assert!(frame.len() < 9_500 + 300, "{} bytes", frame.len());
}

#[test]
fn the_largest_message_of_a_client_fits_a_frame() {
    // The largest frame of FAU3VOM-D is 1 MiB of base64 and names.
    let playlist = Message::Playlist(Playlist { confirm: None, records: vec![(record(1, 786_000), 0)] });
    assert!(encode(&playlist).len() <= FRAME_BYTES_MAX);
}

#[test]
fn unknown_fields_are_ignored_and_unknown_types_can_be_answered() {
    let frame = |entries: &[(&str, ciborium::Value)]| {
        let map = entries.iter().map(|(name, value)| (ciborium::Value::from(*name), value.clone())).collect();
        let mut out = Vec::new();
        ciborium::into_writer(&ciborium::Value::Map(map), &mut out).unwrap();
        out
    };
    let uuid = Uuid::from_hash(4);
    let known = frame(&[
        ("MessageType", "Confirm".into()),
        ("MessageUuid", ciborium::Value::Bytes(uuid.bytes().to_vec())),
        ("Status", 3.into()),
        ("Later", ciborium::Value::Array(vec![1.into(), "x".into()])),
    ]);
    assert_eq!(decode(&known), Ok(Message::Confirm { message_uuid: uuid, status: Status::STORED }));
    let unknown = frame(&[
        ("MessageType", "Sing".into()),
        ("MessageUuid", ciborium::Value::Bytes(uuid.bytes().to_vec())),
    ]);
    let invalid = decode(&unknown).unwrap_err();
    assert_eq!((invalid.message_uuid, invalid.is_unknown), (Some(uuid), true));
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let mut state = match examples().swap_remove(0) {
        Message::State(state) => state,
        other => panic!("{other:?}"),
    };
    state.holdings[0].floor = 0;
    let refused = decode(&encode(&Message::State(state.clone()))).unwrap_err();
    assert_eq!((refused.reason, refused.is_unknown), ("State: impossible sequences", false));
    state.holdings[0] = Holding { origin: origin(1), floor: 1, top: u64::MAX };
    assert!(decode(&encode(&Message::State(state.clone()))).is_err());
    state.holdings.clear();
    state.sessions[0].version.generation = u64::MAX;
    assert!(decode(&encode(&Message::State(state))).is_err());
    assert!(
        decode(&encode(&Message::Playlist(Playlist { confirm: None, records: vec![(record(0, 9), 0)] })))
            .is_err()
    );
    assert!(decode(&vec![0; FRAME_BYTES_MAX + 1]).is_err());
}

/// The fuzz target for the frames of FAU3VOM-E: seeded, so that a failure can
/// be repeated.
#[test]
fn arbitrary_and_mutated_frames_never_panic_and_what_is_taken_can_be_said_again() {
    let mut random = Random(7);
    let frames: Vec<Vec<u8>> = examples().iter().map(encode).collect();
    for _ in 0..20_000 {
        let mut frame = frames[random.below(frames.len() as u64) as usize].clone();
        frame.truncate(400);
        for _ in 0..=random.below(4) {
            let at = random.below(frame.len() as u64) as usize;
            match random.below(4) {
                0 => frame[at] = random.next() as u8,
                1 => frame[at] ^= 1 << random.below(8),
                2 => frame.truncate(at + 1),
                _ => frame.insert(at, random.next() as u8),
            }
        }
        if let Ok(message) = decode(&frame) {
            assert_eq!(decode(&encode(&message)), Ok(message));
        }
        let noise: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
        let _ = decode(&noise);
    }
}

#[test]
fn deep_nesting_and_false_lengths_end_quickly() {
    let nested = [&b"\xa1\x61x"[..], &[0x81; 100_000]].concat();
    assert!(decode(&nested).is_err());
    // An array that claims 2^60 elements must not be given room for them.
    let claims = b"\xa1\x67Records\x9b\x10\x00\x00\x00\x00\x00\x00\x00";
    assert!(decode(claims).is_err());
    let bytes = b"\xa1\x67Payload\x5b\x10\x00\x00\x00\x00\x00\x00\x00";
    assert!(decode(bytes).is_err());
}

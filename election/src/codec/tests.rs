//! What is written is read back, and nothing else is read.

use alloc::vec;
use alloc::vec::Vec;

use super::{DATAGRAM_MAX_BYTES, DecodeError, IDS_MAX, ROUTERS_MAX, encode_record, record_head};
use crate::epoch::Epoch;
use crate::id::{Incarnation, RouterId};
use crate::list::{LIST_MAX_ENTRIES, ListVersion, NAME_MAX_BYTES, ServerEntry, ServerList};
use crate::record::{Heartbeat, Link, Packet, Record, Report};

fn id(byte: u8) -> RouterId {
    RouterId([byte; 16])
}

fn life(counter: u32) -> Incarnation {
    Incarnation { counter, random: u64::from(counter) << 40 | 7 }
}

fn heartbeat() -> Heartbeat {
    Heartbeat { origin: id(9), incarnation: life(3), sequence: 77, revision: 5, digest: u64::MAX - 1 }
}

fn record(links: usize) -> Record {
    let to = |index: usize| RouterId(((index as u128 + 1) << 64).to_be_bytes());
    Record {
        origin: id(1),
        incarnation: life(2),
        revision: 8,
        name: "router-\u{e4}".into(),
        ready: true,
        leaving: false,
        leaf: true,
        default_server: Report::Reachable,
        list: ListVersion { number: 4, hash: 99 },
        place: Some(3),
        leading: 12,
        seen: Some(Epoch { number: 13, router: id(7), incarnation: life(1) }),
        links: (0..links).map(|index| Link { to: to(index), held: index % 2 == 0, flaps: 127 }).collect(),
    }
}

fn one_of_each() -> Vec<Packet> {
    let sender = id(4);
    let entry = |name: &str, id| ServerEntry { name: name.into(), id };
    let list = ServerList::new(6, vec![entry("a", None), entry("", Some(id(2)))]);
    vec![
        Packet::Heartbeat(heartbeat()),
        Packet::Relayed { sender, heartbeat: heartbeat(), age_ms: 513 },
        Packet::Record { sender, record: record(3) },
        Packet::Record { sender, record: Record { seen: None, place: None, ..record(0) } },
        Packet::Request { sender, origins: vec![id(5), id(1)] },
        Packet::Summary {
            sender,
            from: id(0),
            to: id(255),
            entries: vec![(id(1), life(1), 1), (id(2), life(9), 2)],
        },
        Packet::Probe { sender, target: id(3), incarnation: life(8), sequence: 1 },
        Packet::ListRequest { sender },
        Packet::List { sender, list },
    ]
}

#[test]
fn every_packet_comes_back_as_it_was() {
    for packet in one_of_each() {
        assert_eq!(Packet::decode(packet.encode().as_bytes()), Ok(packet));
    }
}

#[test]
fn a_records_head_is_what_the_whole_of_it_says() {
    for packet in one_of_each() {
        let bytes = packet.encode().as_bytes().to_vec();
        let expected = match &packet {
            Packet::Record { record, .. } => Some((record.origin, record.incarnation, record.revision)),
            _ => None,
        };
        assert_eq!(record_head(&bytes), expected, "{packet:?}");
        assert_eq!(record_head(&bytes[..bytes.len().min(49)]), None, "the revision is cut");
    }
}

#[test]
fn no_packet_is_accepted_cut_or_with_a_byte_too_many() {
    for packet in one_of_each() {
        let bytes = packet.encode().as_bytes().to_vec();
        for end in 0..bytes.len() {
            assert!(Packet::decode(&bytes[..end]).is_err(), "{end} bytes of {packet:?}");
        }
        let long = [&bytes[..], &[0]].concat();
        assert_eq!(Packet::decode(&long), Err(DecodeError::Long));
    }
}

#[test]
fn a_heartbeat_stays_within_130_bytes_on_the_wire() {
    // Ethernet, IPv6, UDP, and the mesh key's tag.
    assert!(14 + 40 + 8 + heartbeat().encode().as_bytes().len() + 16 <= 130);
    assert_eq!(Heartbeat::decode(heartbeat().encode().as_bytes()), Some(heartbeat()));
    // The layout is fixed: what one version writes another reads.
    assert_eq!(&heartbeat().encode().as_bytes()[..3], [0xE1, 1, 9]);
    assert_eq!(&heartbeat().encode().as_bytes()[30..38], [0, 0, 0, 77, 0, 0, 0, 5]);
}

#[test]
fn records_stay_within_their_frames() {
    let bytes = |links| encode_record(id(1), &record(links)).as_bytes().len();
    assert!(bytes(63) <= 1_300, "a mesh of 64 fits one Ethernet frame: {}", bytes(63));
    assert!(bytes(ROUTERS_MAX - 1) <= DATAGRAM_MAX_BYTES);
    let entry = |_| ServerEntry { name: "x".repeat(NAME_MAX_BYTES), id: Some(id(1)) };
    let list = ServerList::new(1, (0..LIST_MAX_ENTRIES).map(entry).collect());
    assert!(Packet::List { sender: id(1), list }.encode().as_bytes().len() <= DATAGRAM_MAX_BYTES);
}

#[test]
fn what_a_field_may_not_hold_is_refused_with_its_name() {
    let sender = id(4);
    let refused = |packet: Packet| Packet::decode(packet.encode().as_bytes()).unwrap_err();
    let mut twisted = record(3);
    twisted.links.swap(0, 2);
    assert_eq!(refused(Packet::Record { sender, record: twisted }), DecodeError::Field("list of neighbours"));
    let far = Record { leading: u64::MAX, ..record(0) };
    assert_eq!(refused(Packet::Record { sender, record: far }), DecodeError::Field("number"));
    let twice = Packet::Summary { sender, from: id(0), to: id(9), entries: vec![(id(1), life(1), 1); 2] };
    assert_eq!(refused(twice), DecodeError::Field("summary"));
    assert_eq!(
        refused(Packet::Request { sender, origins: vec![id(1); IDS_MAX + 1] }),
        DecodeError::Field("count")
    );
    assert_eq!(Packet::decode(&[0xE0, 1]), Err(DecodeError::Layout(0xE0)));
    assert_eq!(Packet::decode(&[[0xE1, 99].as_slice(), &[0; 16]].concat()), Err(DecodeError::Kind(99)));
}

#[test]
fn a_list_whose_hash_is_another_is_refused() {
    let list = ServerList::new(6, vec![ServerEntry { name: "a".into(), id: None }]);
    let mut bytes = Packet::List { sender: id(4), list }.encode().as_bytes().to_vec();
    let last = bytes.len() - 2;
    bytes[last] = b'b';
    assert_eq!(Packet::decode(&bytes), Err(DecodeError::Field("hash of the list")));
}

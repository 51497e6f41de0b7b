use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::{Just, Strategy};
use proptest::{collection::vec, prop_oneof};

use super::*;

fn parameters() -> impl Strategy<Value = Parameters> {
    (any::<u32>(), any::<u16>(), any::<u8>(), any::<u32>()).prop_map(
        |(sample_rate, channels, format, chunk_bytes)| Parameters {
            sample_rate,
            channels,
            format,
            chunk_bytes,
        },
    )
}

fn data() -> impl Strategy<Value = Box<[u8]>> {
    vec(any::<u8>(), 0..64).prop_map(Into::into)
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (parameters(), data(), data()).prop_map(|(parameters, username, data)| Packet::Offer {
            parameters,
            username,
            data
        }),
        Just(Packet::NoSuchUser),
        (parameters(), data()).prop_map(|(parameters, data)| Packet::Wishes { parameters, data }),
        data().prop_map(|data| Packet::Refused { data }),
        data().prop_map(|data| Packet::Accepted { data }),
        data().prop_map(|data| Packet::Ended { data }),
        vec(any::<u8>(), 0..3_000).prop_map(|audio| Packet::Audio(audio.into())),
    ]
}

/// All packets of these bytes, as they come in pieces of these lengths.
fn read(mut bytes: &[u8], pieces: &[usize]) -> Result<(Vec<Packet>, Order, bool), Mistake> {
    let (mut reader, mut packets, mut lengths) = (Reader::default(), Vec::new(), pieces.iter().cycle());
    while !bytes.is_empty() {
        let (mut piece, rest) = bytes.split_at((*lengths.next().unwrap()).clamp(1, bytes.len()));
        bytes = rest;
        while let Some(packet) = reader.next(&mut piece)? {
            packets.push(packet);
        }
        assert!(piece.is_empty());
    }
    Ok((packets, reader.order(), reader.is_within()))
}

fn printed(order: Order, packets: &[Packet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.print(order, &mut bytes));
    bytes
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again_in_both_orders_and_in_any_pieces(
        packets in vec(packet(), 1..8), little in any::<bool>(), pieces in vec(1..200_usize, 1..8)
    ) {
        let order = if little { Order::Little } else { Order::Big };
        let (read, seen, within) = read(&printed(order, &packets), &pieces).unwrap();
        prop_assert_eq!(read, packets);
        prop_assert!(seen == order && !within);
    }

    #[test]
    fn garbage_neither_panics_nor_is_held_beyond_a_packet(bytes in vec(any::<u8>(), 0..4_000), pieces in vec(1..200_usize, 1..8)) {
        let _ = read(&bytes, &pieces);
    }
}

fn head(length: u32, kind: u16) -> Vec<u8> {
    [&length.to_be_bytes()[..], &kind.to_be_bytes()].concat()
}

#[test]
fn the_seed_s_tables_are_read_to_the_byte() {
    let mut bytes = head(26, 0);
    bytes.extend(48_000_u32.to_be_bytes());
    bytes.extend(2_u16.to_be_bytes());
    bytes.push(2);
    bytes.extend(1_920_u32.to_be_bytes());
    bytes.extend(3_u16.to_be_bytes());
    bytes.extend(b"bobalic");
    let parameters = Parameters { sample_rate: 48_000, channels: 2, format: 2, chunk_bytes: 1_920 };
    assert!(parameters.is_sound());
    assert_eq!(parameters.bytes_a_second(), 192_000);
    let packet = Packet::Offer { parameters, username: b"bob"[..].into(), data: b"alic"[..].into() };
    assert_eq!(read(&bytes, &[1]).unwrap().0, std::slice::from_ref(&packet));
    assert_eq!(printed(Order::Big, &[packet]), bytes);
}

#[test]
fn no_such_user_is_type_1_and_a_bare_type_0() {
    for kind in [0, 1] {
        assert_eq!(read(&head(6, kind), &[6]).unwrap().0, [Packet::NoSuchUser]);
    }
    assert_eq!(printed(Order::Big, &[Packet::NoSuchUser]), head(6, 1));
}

#[test]
fn what_makes_sense_only_in_little_endian_is_answered_so() {
    let bytes = [6, 0, 0, 0, 5, 0];
    let (packets, order, _) = read(&bytes, &[2]).unwrap();
    assert_eq!((packets, order), (vec![Packet::Ended { data: [].into() }], Order::Little));
    // What makes sense in both is the network's: type 0 of 1,536 bytes is one too.
    let both = [0, 0, 6, 0, 0, 0];
    let mut reader = Reader::default();
    assert_eq!(reader.next(&mut &both[..]), Ok(None));
    assert!(reader.is_within());
}

#[test]
fn a_packet_without_sense_ends_the_connection_with_what_is_wrong() {
    for (bytes, mistake, text) in [
        (head(5, 3), Mistake::TooShort(5), "a packet of 5 bytes: its head alone has 6"),
        (head(0, 0), Mistake::TooShort(0), "a packet of 0 bytes"),
        (head(4_097, 3), Mistake::TooLong { length: 4_097, kind: 3 }, "it has 4096 at most"),
        (head(65_537, 6), Mistake::TooLong { length: 65_537, kind: 6 }, "it has 65536 at most"),
        (head(u32::MAX, 6), Mistake::TooLong { length: u32::MAX, kind: 6 }, "it has 65536 at most"),
        (head(6, 7), Mistake::UnknownType(7), "there are types 0 to 6"),
        (b"GET / HTTP/1.1\r\n".to_vec(), Mistake::UnknownType(0x2f20), "type 12064"),
    ] {
        let told = read(&bytes, &[3]).unwrap_err();
        assert_eq!(told, mistake);
        assert!(told.to_string().contains(text), "{told}");
    }
    // A Username longer than its packet; parameters that are cut off.
    let mut long = head(20, 0);
    long.extend([0; 11]);
    long.extend([0, 9, b'x']);
    assert_eq!(read(&long, &[20]), Err(Mistake::Incomplete(0)));
    let mut short = head(16, 2);
    short.extend([0; 10]);
    assert_eq!(read(&short, &[16]), Err(Mistake::Incomplete(2)));
}

#[test]
fn once_shown_the_order_stays() {
    let mut bytes = head(6, 5);
    bytes.extend([6, 0, 0, 0, 5, 0]);
    assert_eq!(read(&bytes, &[12]), Err(Mistake::UnknownType(0x0500)));
}

#[test]
fn parameters_at_and_beyond_their_bounds() {
    let good = Parameters { sample_rate: 8_000, channels: 1, format: 2, chunk_bytes: 320 };
    for (changed, sound) in [
        (Parameters { sample_rate: 0, ..good }, false),
        (Parameters { sample_rate: 384_000, ..good }, true),
        (Parameters { sample_rate: 384_001, ..good }, false),
        (Parameters { channels: 0, ..good }, false),
        (Parameters { channels: 8, ..good }, true),
        (Parameters { channels: 9, ..good }, false),
        (Parameters { format: 4, ..good }, true),
        (Parameters { format: 5, ..good }, false),
        (Parameters { chunk_bytes: 0, ..good }, false),
        (Parameters { chunk_bytes: 65_530, ..good }, true),
        (Parameters { chunk_bytes: 65_531, ..good }, false),
        (
            Parameters { sample_rate: u32::MAX, channels: u16::MAX, format: u8::MAX, chunk_bytes: u32::MAX },
            false,
        ),
    ] {
        assert_eq!(changed.is_sound(), sound, "{changed:?}");
        let _ = changed.bytes_a_second();
    }
}

#[test]
fn a_name_is_1_to_255_bytes_of_utf_8() {
    assert_eq!(Username::new("Björn".as_bytes()).unwrap().as_str(), "Björn");
    assert!(Username::new(&[b'x'; USERNAME_BYTES_MAX]).is_some());
    for wrong in [&[][..], &[b'x'; USERNAME_BYTES_MAX + 1], &[0xff, 0xfe]] {
        assert_eq!(Username::new(wrong), None);
    }
}

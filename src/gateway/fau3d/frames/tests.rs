use super::*;
use crate::random::Random;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const FINAL: u8 = 0x80;

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x83, 0x44];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// What comes out when the bytes come in pieces of `size`: each thing with its
/// kind, until the bytes end or break the rules.
fn decode_until_wrong(bytes: &[u8], size: usize) -> (Vec<(char, Vec<u8>)>, Option<Violation>) {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let (used, received) = match decoder.next(rest) {
                Ok(next) => next,
                Err(violation) => return (out, Some(violation)),
            };
            assert!(used > 0, "each call gets on");
            assert!(decoder.held() <= FRAME_BYTES_MAX);
            if let Some(received) = received {
                let (kind, body) = match &received {
                    Received::Message(body) => ('m', body),
                    Received::Ping(body) => ('i', body),
                    Received::Pong(body) => ('o', body),
                    Received::Close(body) => ('c', body),
                };
                out.push((kind, decoder.body(rest, body).to_vec()));
            }
            rest = &mut rest[used..];
        }
    }
    (out, None)
}

/// The messages that are in it, or what is wrong with one.
fn decode(bytes: &[u8], size: usize) -> Result<Vec<(char, Vec<u8>)>, Violation> {
    let (out, violation) = decode_until_wrong(bytes, size);
    violation.map_or(Ok(out), Err)
}

#[test]
fn text_frames_that_are_not_utf8_come_through_byte_for_byte() {
    let raw: Vec<u8> = (0..=255).collect();
    for first in [TEXT, BINARY] {
        assert_eq!(decode(&frame(FINAL | first, &raw), 7), Ok(vec![('m', raw.clone())]));
    }
}

#[test]
fn pieces_of_any_size_give_the_same_messages() {
    let long = vec![7; 70_000];
    let mut bytes = Vec::new();
    bytes.extend(frame(FINAL | TEXT, b""));
    bytes.extend(frame(TEXT, b"one "));
    bytes.extend(frame(FINAL | 0x9, b"ping amid"));
    bytes.extend(frame(0x0, b"two "));
    bytes.extend(frame(FINAL, b"three"));
    bytes.extend(frame(FINAL | 0xA, &[0, 0, 0, 1]));
    bytes.extend(frame(FINAL | BINARY, &long));
    bytes.extend(frame(FINAL | 0x8, &[0x03, 0xE8]));
    let wanted = vec![
        ('m', b"".to_vec()),
        ('i', b"ping amid".to_vec()),
        ('m', b"one two three".to_vec()),
        ('o', vec![0, 0, 0, 1]),
        ('m', long),
        ('c', vec![0x03, 0xE8]),
    ];
    for size in [1, 2, 3, 5, 13, 1_000, usize::MAX] {
        assert_eq!(decode(&bytes, size.min(bytes.len())), Ok(wanted.clone()), "in pieces of {size}");
    }
}

#[test]
fn a_message_over_1_mib_ends_with_1009_before_it_is_held() {
    let mut header = vec![FINAL | BINARY, 0x80 | 127];
    header.extend_from_slice(&(FRAME_BYTES_MAX as u64 + 1).to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    assert_eq!(decode(&header, 3), Err(TOO_BIG));
    let half = vec![0; FRAME_BYTES_MAX / 2 + 1];
    let halves = [frame(BINARY, &half), frame(FINAL, &half)].concat();
    assert_eq!(decode(&halves, 65_536), Err(TOO_BIG), "in fragments");
    let largest = vec![1; FRAME_BYTES_MAX];
    assert_eq!(decode(&frame(FINAL | TEXT, &largest), 65_536).unwrap()[0].1.len(), FRAME_BYTES_MAX);
}

/// Whatever is announced behind a fragment: no sum of the two wraps.
#[test]
fn no_length_that_is_announced_gets_past_the_bound() {
    for announced in [FRAME_BYTES_MAX as u64, u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX] {
        let mut header = vec![FINAL, 0x80 | 127];
        header.extend_from_slice(&announced.to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        for behind in [1, 2, 1_000] {
            let bytes = [frame(TEXT, &vec![1; behind]), header.clone()].concat();
            assert_eq!(decode(&bytes, 7), Err(TOO_BIG), "{announced} behind {behind}");
        }
    }
}

#[test]
fn what_breaks_the_rules_of_rfc_6455_ends_with_1002() {
    let unmasked = vec![FINAL | TEXT, 1, b'x'];
    let cases = [
        ("not masked", unmasked),
        ("reserved bit", frame(FINAL | 0x40 | TEXT, b"x")),
        ("opcode", frame(FINAL | 0x3, b"x")),
        ("continuation of nothing", frame(FINAL, b"x")),
        ("new message amid fragments", [frame(TEXT, b"x"), frame(FINAL | TEXT, b"x")].concat()),
        ("fragmented ping", frame(0x9, b"x")),
        ("long ping", frame(FINAL | 0x9, &[0; 126])),
    ];
    for (name, bytes) in cases {
        assert_eq!(decode(&bytes, 2).map_err(|violation| violation.code), Err(1002), "{name}");
    }
}

#[test]
fn what_was_handed_out_is_held_no_longer_than_it_is_looked_at() {
    let mut decoder = Decoder::default();
    let mut bytes = frame(FINAL | TEXT, &[b' '; 1_000]);
    let (begin, end) = bytes.split_at_mut(500);
    assert_eq!(decoder.next(begin), Ok((500, None)));
    assert_eq!(decoder.held(), 500 - 8, "all but the header");
    let Ok((_, Some(Received::Message(body)))) = decoder.next(end) else { panic!("not whole") };
    assert_eq!(decoder.body(end, &body), [b' '; 1_000]);
    decoder.release();
    assert_eq!((decoder.held(), decoder.message.capacity()), (0, 0));
}

/// However the bytes are cut, the same comes out, up to the same mistake.
fn assert_same_in_any_pieces(random: &mut Random, bytes: &[u8]) -> bool {
    let whole = decode_until_wrong(bytes, bytes.len().max(1));
    for size in [1, 1 + random.index(20), 1 + random.index(200)] {
        assert_eq!(decode_until_wrong(bytes, size), whole, "in pieces of {size}: {bytes:02x?}");
    }
    whole.1.is_none()
}

/// Some messages, in fragments or not, with control frames between: the bytes,
/// and what they say.
fn conversation(random: &mut Random) -> (Vec<u8>, Vec<(char, Vec<u8>)>) {
    let (mut bytes, mut said) = (Vec::new(), Vec::new());
    for _ in 0..random.below(6) {
        let mut message = Vec::new();
        let fragments = 1 + random.below(4);
        for fragment in 1..=fragments {
            let opcode = if fragment > 1 { 0 } else { random.pick(&[TEXT, BINARY]) };
            let longest = random.pick(&[1, 126, 127, 500]);
            let length = random.index(longest);
            let payload = random.bytes(length);
            let last = if fragment == fragments { FINAL } else { 0 };
            bytes.extend(frame(last | opcode, &payload));
            message.extend(payload);
            if last == 0 && random.one_in(3) {
                let (kind, opcode) = random.pick(&[('i', 0x9), ('o', 0xA), ('c', 0x8)]);
                let length = random.index(126);
                let payload = random.bytes(length);
                bytes.extend(frame(FINAL | opcode, &payload));
                said.push((kind, payload));
            }
        }
        said.push(('m', message));
    }
    (bytes, said)
}

#[test]
fn what_is_framed_is_read_back_however_it_is_cut() {
    let mut random = Random(1);
    for _ in 0..500 {
        let (bytes, said) = conversation(&mut random);
        assert_eq!(decode_until_wrong(&bytes, 1 + random.index(300)), (said, None));
        assert!(assert_same_in_any_pieces(&mut random, &bytes));
    }
}

#[test]
fn no_bytes_and_no_mutated_frames_make_the_decoder_panic_or_stop() {
    let mut random = Random(2);
    let mut accepted = 0;
    for _ in 0..2_000 {
        let noise = random.bytes(200);
        assert_same_in_any_pieces(&mut random, &noise);
        // The noise once more behind a header that is right, so that it gets further.
        assert_same_in_any_pieces(&mut random, &[frame(FINAL | TEXT, &noise), noise].concat());
        let right = conversation(&mut random).0;
        let mutated = random.mutated(&right);
        accepted += u32::from(assert_same_in_any_pieces(&mut random, &mutated));
    }
    // Both ways out were taken, each many times.
    assert!((500..1_900).contains(&accepted), "{accepted}");
}

#[test]
fn a_header_that_is_printed_is_read_back() {
    let mut random = Random(3);
    let edges = [0, 1, 125, 126, 65_535, 65_536, 1 << 20];
    for length in edges.into_iter().chain((0..200).map(|_| random.index(1 << 21))) {
        for opcode in [OpCode::Data(Data::Text), OpCode::Data(Data::Binary), OpCode::Control(Control::Ping)] {
            let mut out = Vec::new();
            header(&mut out, opcode, length);
            let mut cursor = Cursor::new(&out);
            let (header, read) = FrameHeader::parse(&mut cursor).unwrap().expect("a whole header");
            assert_eq!(
                (header.opcode, header.is_final, header.mask, read),
                (opcode, true, None, length as u64)
            );
            assert_eq!(cursor.position(), out.len() as u64);
        }
    }
}

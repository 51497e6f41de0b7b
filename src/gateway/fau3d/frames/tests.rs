use super::*;

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

/// What comes out when the bytes come in pieces of `size`.
fn decode(bytes: &[u8], size: usize) -> Result<Vec<(char, Vec<u8>)>, Violation> {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let (used, received) = decoder.next(rest)?;
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
    Ok(out)
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
fn random_bytes_never_panic_and_never_hold_more_than_a_message() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        for size in [1, 17, 200] {
            let _ = decode(&bytes, size);
        }
        // The same with a header that is right, so that it gets further.
        let _ = decode(&[frame(FINAL | TEXT, &bytes), bytes].concat(), 33);
    }
}

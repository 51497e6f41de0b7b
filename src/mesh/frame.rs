//! Frames on a pair's stream. Four bytes in front: what it is, and the length
//! of what follows, big-endian. Reserves memory only for a length within the
//! bound. Knows no sockets.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use super::beacon::BEACON_MAX_BYTES;

/// Longest frame, in bytes: 1 MiB of payload and what stands around it.
pub const FRAME_MAX_BYTES: usize = 1_024 * 1_024 + 64 * 1_024;

/// What stands in front of each frame, in bytes.
pub(super) const HEADER_BYTES: usize = 4;

/// Longest frame of the mesh's own, in bytes.
pub(super) const CONTROL_MAX_BYTES: usize = 256;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The node's.
    Data = 0,
    /// Asks for a [`Kind::Seen`].
    Ping = 1,
    /// Says that all before was read: to a ping, and after every
    /// [`SEEN_EVERY_BYTES`](crate::pulse::SEEN_EVERY_BYTES).
    Seen = 2,
    /// The last frame.
    Goodbye = 3,
    /// The first frame of both sides.
    Hello = 4,
    /// This is the pair's connection.
    Welcome = 5,
    /// There is another connection already: this one ends.
    Duplicate = 6,
    /// A beacon, for a router that datagrams do not reach. Only to one whose hello
    /// says that it takes them.
    Beacon = 7,
    /// No datagram of the other side arrives. Likewise.
    Deaf = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Data,
            Self::Ping,
            Self::Seen,
            Self::Goodbye,
            Self::Hello,
            Self::Welcome,
            Self::Duplicate,
            Self::Beacon,
            Self::Deaf,
        ];
        kinds.get(usize::from(byte)).copied()
    }

    const fn max_bytes(self) -> usize {
        match self {
            Self::Data => FRAME_MAX_BYTES,
            Self::Beacon => BEACON_MAX_BYTES,
            _ => CONTROL_MAX_BYTES,
        }
    }
}

/// What stands in front of a frame of `length` bytes.
pub(super) fn header(kind: Kind, length: usize) -> [u8; HEADER_BYTES] {
    debug_assert!(length <= kind.max_bytes(), "bounds are kept where frames enter");
    ((kind as u32) << 24 | length as u32).to_be_bytes()
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// Its length is over the limit, in bytes.
    TooLong(usize),
    /// Its kind is unknown, or has no place here.
    Kind(u8),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "a frame of {length} bytes, over the limit"),
            Self::Kind(byte) => write!(f, "a frame of the unknown kind {byte}"),
        }
    }
}

/// Bytes in, frames out.
#[derive(Debug, Default)]
pub(super) struct Decoder(BytesMut);

impl Decoder {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, Bytes)>, Violation> {
        let Some(head) = self.0.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let kind = Kind::from_byte(head[0]).ok_or(Violation::Kind(head[0]))?;
        if length > kind.max_bytes() {
            return Err(Violation::TooLong(length));
        }
        if self.0.len() < HEADER_BYTES + length {
            // Once for each frame, instead of growing by doubling.
            self.0.reserve(HEADER_BYTES + length - self.0.len());
            return Ok(None);
        }
        self.0.advance(HEADER_BYTES);
        Ok(Some((kind, self.0.split_to(length).freeze())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn written(frames: &[Vec<u8>]) -> Vec<u8> {
        frames.iter().flat_map(|frame| [&header(Kind::Data, frame.len())[..], frame].concat()).collect()
    }

    fn read(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, Violation> {
        let mut frames = Vec::new();
        while let Some((kind, bytes)) = decoder.next()? {
            assert_eq!(kind, Kind::Data);
            frames.push(bytes.to_vec());
        }
        Ok(frames)
    }

    #[test]
    fn the_layout_is_one_kind_and_three_bytes_of_length() {
        assert_eq!(header(Kind::Data, 0x01_02_03), [0, 1, 2, 3]);
        assert_eq!(header(Kind::Duplicate, 0), [6, 0, 0, 0]);
    }

    #[test]
    fn a_frame_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let mut decoder = Decoder::default();
        decoder.push(&written(&[vec![7; FRAME_MAX_BYTES]]));
        assert_eq!(read(&mut decoder).unwrap()[0].len(), FRAME_MAX_BYTES);
        let over = FRAME_MAX_BYTES as u32 + 1;
        decoder.push(&over.to_be_bytes());
        assert_eq!(decoder.next(), Err(Violation::TooLong(FRAME_MAX_BYTES + 1)));
    }

    #[test]
    fn the_meshs_own_frames_are_short() {
        let mut decoder = Decoder::default();
        decoder.push(&[Kind::Hello as u8, 0, 1, 1]);
        assert_eq!(decoder.next(), Err(Violation::TooLong(257)));
        let mut decoder = Decoder::default();
        decoder.push(b"GET ");
        assert_eq!(decoder.next(), Err(Violation::Kind(b'G')));
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_stream_is_cut(
            frames in vec(vec(any::<u8>(), 0..300), 0..8), cuts in vec(1_usize..50, 1..40)
        ) {
            let stream = written(&frames);
            let mut decoder = Decoder::default();
            let (mut got, mut rest, mut cuts) = (Vec::new(), &stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                decoder.push(now);
                got.extend(read(&mut decoder).unwrap());
                rest = later;
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn no_bytes_make_the_decoder_fail_otherwise_than_by_a_violation(bytes in vec(any::<u8>(), 0..600)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let mut read = 0;
            while let Ok(Some((_, frame))) = decoder.next() {
                read += HEADER_BYTES + frame.len();
            }
            prop_assert!(read <= bytes.len());
            prop_assert!(decoder.0.capacity() <= FRAME_MAX_BYTES * 2, "memory stays bounded");
        }
    }
}

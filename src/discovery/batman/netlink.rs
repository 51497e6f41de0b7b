//! Netlink messages as bytes (RFC 3549; `linux/netlink.h`, `linux/genetlink.h`).
//! Pure. All numbers are in the byte order of this machine.

/// Length, type, flags, sequence and port of a message.
const HEADER_LEN: usize = 16;
/// Length and type of an attribute.
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// The two upper bits of an attribute's type are flags (`NLA_TYPE_MASK`).
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// Message types below this are netlink's own.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
/// `NLM_F_ROOT | NLM_F_MATCH`: everything that there is.
pub(super) const NLM_F_DUMP: u16 = 0x300;

/// Bytes that are no message, or one cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What one message of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// Something that was asked for, without netlink's header; whether more comes.
    Item { body: &'a [u8], more: bool },
    /// That was all.
    Done,
    /// The kernel refuses, with this errno; 0: it has done it.
    Refused(i32),
}

/// Splits what was received into the answers to the request of this number;
/// others are skipped.
pub(super) fn answers(
    mut bytes: &[u8],
    sequence: u32,
) -> impl Iterator<Item = Result<Answer<'_>, Malformed>> {
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let Some((header, body, rest)) = split(bytes) else {
                bytes = &[];
                return Some(Err(Malformed));
            };
            bytes = rest;
            if header.sequence == sequence {
                return Some(header.answer(body));
            }
        }
        None
    })
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    fn answer<'a>(&self, body: &'a [u8]) -> Result<Answer<'a>, Malformed> {
        match self.kind {
            // A dump's end carries an errno too (`netlink_dump_done`).
            NLMSG_DONE => match u32_at(body, 0) {
                None | Some(0) => Ok(Answer::Done),
                Some(errno) => Ok(Answer::Refused(positive(errno))),
            },
            NLMSG_ERROR => u32_at(body, 0).map(|errno| Answer::Refused(positive(errno))).ok_or(Malformed),
            _ => Ok(Answer::Item { body, more: self.flags & NLM_F_MULTI != 0 }),
        }
    }
}

/// Errnos travel negated.
fn positive(errno: u32) -> i32 {
    i32::from_ne_bytes(errno.to_ne_bytes()).saturating_neg()
}

fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let header = Header { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)? };
    let body = bytes.get(HEADER_LEN..len)?;
    Some((header, body, bytes.get(aligned(len)..).unwrap_or_default()))
}

/// Splits the attributes in a message: type and value. Ends at the first that
/// is cut off.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & ATTRIBUTE_TYPE_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER_LEN..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Everything begins at a multiple of four (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`).
fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Text that ends with a zero byte, as names of interfaces and families do.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).ok()
}

/// A message being written.
#[derive(Debug, Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// `fixed` is the header that messages of this type have before their
    /// attributes.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        Self { bytes }
    }

    /// Adds an attribute. Values are short: names and numbers.
    #[must_use]
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(ATTRIBUTE_HEADER_LEN + value.len()).unwrap_or(u16::MAX);
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    /// The message with its number, by which its answers are known.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        self.bytes.resize(aligned(self.bytes.len()), 0);
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message as the kernel sends it.
    pub(in super::super) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Request::new(kind, 0, body).finish(sequence);
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes
    }

    /// xorshift64*: the same numbers in every run.
    pub(in super::super) struct Chance(pub(in super::super) u64);

    impl Chance {
        pub(in super::super) fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = Request::new(16, NLM_F_DUMP, &[8, 1, 0, 0])
            .with(3, &7_u32.to_ne_bytes())
            .with(2, b"bat0\0")
            .finish(9);
        assert_eq!(bytes.len() % 4, 0);
        let (header, body, rest) = split(&bytes).unwrap();
        assert_eq!((header.kind, header.flags, header.sequence), (16, NLM_F_DUMP | NLM_F_REQUEST, 9));
        assert!(rest.is_empty());
        let found: Vec<_> = attributes(&body[4..]).collect();
        assert_eq!(found, [(3, &7_u32.to_ne_bytes()[..]), (2, b"bat0\0")]);
        assert_eq!(text(found[1].1), Some("bat0"));
    }

    #[test]
    fn answers_are_told_apart() {
        let mut bytes = message(28, NLM_F_MULTI, 5, b"item");
        bytes.extend(message(28, NLM_F_MULTI, 4, b"of another request"));
        bytes.extend(message(NLMSG_ERROR, 0, 5, &(-2_i32).to_ne_bytes()));
        bytes.extend(message(NLMSG_DONE, NLM_F_MULTI, 5, &0_i32.to_ne_bytes()));
        bytes.extend(message(NLMSG_DONE, NLM_F_MULTI, 5, &(-1_i32).to_ne_bytes()));
        let found: Vec<_> = answers(&bytes, 5).map(Result::unwrap).collect();
        let item = Answer::Item { body: b"item", more: true };
        assert_eq!(found, [item, Answer::Refused(2), Answer::Done, Answer::Refused(1)]);
    }

    #[test]
    fn a_message_that_is_cut_off_is_malformed() {
        let bytes = message(28, 0, 5, b"an item of some length");
        for end in 1..bytes.len() - 2 {
            assert_eq!(answers(&bytes[..end], 5).collect::<Vec<_>>(), [Err(Malformed)], "{end}");
        }
        // Lengths that lie: shorter than a header, none at all, beyond the end.
        for len in [0_u32, 1, 15, 4_000, u32::MAX] {
            let mut bytes = bytes.clone();
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(answers(&bytes, 5).collect::<Vec<_>>(), [Err(Malformed)], "{len}");
        }
    }

    #[test]
    fn any_bytes_are_read_in_bounded_time_without_harm() {
        let mut chance = Chance(0x5eed);
        let good: Vec<u8> = (0..8).flat_map(|n| message(28, NLM_F_MULTI, 5, &[n; 40])).collect();
        for _ in 0..20_000 {
            let mut bytes = good[..chance.below(good.len() + 1)].to_vec();
            for _ in 0..chance.below(8) {
                let len = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(chance.below(len)) {
                    *byte = chance.below(256) as u8;
                }
            }
            // Each step takes at least a header's length.
            assert!(answers(&bytes, 5).count() <= bytes.len() / HEADER_LEN + 1);
            assert!(attributes(&bytes).count() <= bytes.len() / ATTRIBUTE_HEADER_LEN + 1);
        }
    }
}

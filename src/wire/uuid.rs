use std::fmt;
use std::str::FromStr;

/// A UUID of version 8 (RFC 9562, section 5.8) made from 128 bits of a hash:
/// every MessageUuid that a router makes is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

/// Not the 36 characters of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAUuid;

/// Characters of the printed form.
pub(super) const TEXT_LEN: usize = 36;
/// Where its dashes stand.
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl Uuid {
    /// The version 8 UUID with the bits of `hash`, six of which give way to
    /// version and variant.
    #[must_use]
    pub const fn from_hash(hash: u128) -> Self {
        const VERSION: u128 = 0xf << 76;
        const VARIANT: u128 = 0b11 << 62;
        Self(hash & !VERSION & !VARIANT | 8 << 76 | 0b10 << 62)
    }

    /// Its 16 bytes, as FAU3VOM-E writes them (RFC 9562, section 4).
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From the same; `None` if there are not 16.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u128::from_be_bytes(bytes)))
    }

    /// The printed form: lower case, with dashes.
    #[must_use]
    pub fn text(self) -> [u8; TEXT_LEN] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; TEXT_LEN];
        let mut digits = (0..32).rev().map(|digit| HEX[(self.0 >> (digit * 4)) as usize & 0xf]);
        for (at, slot) in text.iter_mut().enumerate() {
            if !DASHES.contains(&at) {
                *slot = digits.next().unwrap_or(b'0');
            }
        }
        text
    }
}

/// Takes upper case too: a client may print what it was sent its own way.
impl FromStr for Uuid {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<Self, NotAUuid> {
        if text.len() != TEXT_LEN {
            return Err(NotAUuid);
        }
        let mut value = 0u128;
        for (at, byte) in text.bytes().enumerate() {
            if DASHES.contains(&at) {
                if byte != b'-' {
                    return Err(NotAUuid);
                }
            } else {
                let digit = char::from(byte).to_digit(16).ok_or(NotAUuid)?;
                value = value << 4 | u128::from(digit);
            }
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_version_8_and_the_rfc_variant_and_reads_it_back() {
        let uuid = Uuid::from_hash(u128::MAX);
        assert_eq!(uuid.to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(uuid.to_string().to_uppercase().parse(), Ok(uuid));
        let uuid = Uuid::from_hash(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(uuid.to_string(), "01234567-89ab-8def-8123-456789abcdef");
    }

    #[test]
    fn anything_else_is_not_a_uuid() {
        for text in ["", "x", "01234567-89ab-8def-8123-456789abcdeg", "01234567089ab-8def-8123-456789abcdef"]
        {
            assert_eq!(text.parse::<Uuid>(), Err(NotAUuid), "{text}");
        }
    }
}

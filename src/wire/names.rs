//! The two names that clients choose: their own and their room's. Both are
//! checked once, where they come in, and travel as types from there.

use std::fmt;
use std::sync::Arc;

/// The longest client id, in characters (PROTOCOLS.md, section 1).
pub const CLIENT_ID_CHARS_MAX: usize = 64;
/// The longest room name, in characters.
pub const ROOM_CHARS_MAX: usize = 64;

/// Why a name is not one. Its text is what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// No characters at all.
    Empty,
    /// More than 64 characters.
    TooLong,
    /// A character that may not stand there.
    BadCharacter,
}

/// Who a client says it is: 1 to 64 printable ASCII characters with no space at
/// either end. Real devices use a MAC address such as `AA:BB:CC:DD:EE:FF`.
/// Compared byte by byte, never used as a path. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || text.trim() != text {
            return Err(NameError::BadCharacter);
        }
        if text.len() > CLIENT_ID_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Whether both are one id, or one MAC address in whatever capitals: for lists that
    /// people write. Sessions go by the id as it was sent.
    #[must_use]
    pub fn is_same_device(&self, other: &Self) -> bool {
        self == other || (self.is_mac() && self.0.eq_ignore_ascii_case(&other.0))
    }

    /// `AA:BB:CC:DD:EE:FF`, with `-` between the pairs, or with nothing.
    fn is_mac(&self) -> bool {
        let text = self.0.as_bytes();
        let pairs = match text.len() {
            12 => 2,
            17 if [b':', b'-'].contains(&text[2]) => 3,
            _ => return false,
        };
        let digits = |pair: &[u8]| pair.iter().take(2).all(u8::is_ascii_hexdigit);
        text.chunks(pairs).all(|pair| digits(pair) && pair.get(2).is_none_or(|between| *between == text[2]))
    }

    /// The text as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A room: 1 to 64 characters of any script, none of them a control character.
/// Rooms exist by being named. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        // Bytes first: a name of a megabyte is not walked through.
        if text.len() > ROOM_CHARS_MAX * 4 || text.chars().count() > ROOM_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::BadCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The text as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 64 characters",
            Self::BadCharacter => "holds a character that is not allowed",
        })
    }
}

impl std::error::Error for NameError {}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_is_1_to_64_printable_ascii_characters() {
        assert!(ClientId::new("AA:BB:CC:DD:EE:FF").is_ok());
        assert!(ClientId::new("with space inside").is_ok());
        assert!(ClientId::new(&"x".repeat(64)).is_ok());
        assert_eq!(ClientId::new(""), Err(NameError::Empty));
        assert_eq!(ClientId::new(&"x".repeat(65)), Err(NameError::TooLong));
        for bad in [" a", "a ", "a\tb", "a\u{7f}", "ä", "a\n"] {
            assert_eq!(ClientId::new(bad), Err(NameError::BadCharacter), "{bad:?}");
        }
    }

    #[test]
    fn room_is_1_to_64_characters_of_any_script_without_control_characters() {
        assert!(RoomId::new("комната №1").is_ok());
        assert!(RoomId::new(&"я".repeat(64)).is_ok());
        assert!(RoomId::new("../../etc/passwd").is_ok(), "a name like any other");
        assert_eq!(RoomId::new(""), Err(NameError::Empty));
        for long in [65, 10_000] {
            assert_eq!(RoomId::new(&"x".repeat(long)), Err(NameError::TooLong));
        }
        for bad in ["a\0b", "a\nb", "\u{85}"] {
            assert_eq!(RoomId::new(bad), Err(NameError::BadCharacter), "{bad:?}");
        }
    }
}

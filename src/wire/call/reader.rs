//! Bytes of a connection to packets, in whatever pieces they come.

use std::fmt;

use super::{HEAD_BYTES, Order, Packet};

/// The largest packet that is no audio, in bytes, its head included.
pub const PACKET_BYTES_MAX: usize = 4 * 1024;
/// The largest packet of audio, in bytes, its head included.
pub const AUDIO_BYTES_MAX: usize = 64 * 1024;
/// The type whose packets may be that large.
const AUDIO: u16 = 6;
/// The highest type there is.
const KIND_MAX: u16 = 6;

/// What ends a connection: where the next packet begins nobody knows any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// A Length that is less than a head has.
    TooShort(u32),
    /// One that is more than a packet of this type may have.
    TooLong {
        /// What was said, in bytes.
        length: u32,
        /// The type.
        kind: u16,
    },
    /// A type that is none of 0 to 6.
    UnknownType(u16),
    /// A packet of this type ends before what it has to hold.
    Incomplete(u16),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(length) => {
                write!(f, "a packet of {length} bytes: its head alone has {HEAD_BYTES}")
            }
            Self::TooLong { length, kind } => {
                let most = most(*kind);
                write!(f, "a packet of type {kind} with {length} bytes: it has {most} at most")
            }
            Self::UnknownType(kind) => write!(f, "a packet of type {kind}: there are types 0 to {KIND_MAX}"),
            Self::Incomplete(kind) => write!(f, "a packet of type {kind} that ends before its last field"),
        }
    }
}

const fn most(kind: u16) -> usize {
    if kind == AUDIO { AUDIO_BYTES_MAX } else { PACKET_BYTES_MAX }
}

/// Of one connection. Holds one packet at most.
#[derive(Debug, Default)]
pub struct Reader {
    /// Known from the first packet on.
    order: Option<Order>,
    held: Vec<u8>,
}

impl Reader {
    /// In which order the other side has its bytes, as far as it has shown.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order.unwrap_or_default()
    }

    /// Whether a packet has begun that is not complete yet.
    #[must_use]
    pub fn is_within(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes from the front of `bytes` what the next packet needs. `None`: all of it was
    /// taken, and more is needed.
    ///
    /// # Errors
    /// See [`Mistake`]: the connection is to be closed.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Packet>, Mistake> {
        if !self.take(HEAD_BYTES, bytes) {
            return Ok(None);
        }
        let (order, length, kind) = self.head()?;
        if !self.take(length, bytes) {
            return Ok(None);
        }
        let packet = Packet::read(order, kind, &self.held[HEAD_BYTES..]).ok_or(Mistake::Incomplete(kind))?;
        self.order = Some(order);
        self.held.clear();
        if self.held.capacity() > PACKET_BYTES_MAX {
            self.held.shrink_to(PACKET_BYTES_MAX);
        }
        Ok(Some(packet))
    }

    /// Whether so many bytes of the packet are held now.
    fn take(&mut self, needed: usize, bytes: &mut &[u8]) -> bool {
        let missing = needed.saturating_sub(self.held.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.held.extend_from_slice(taken);
        *bytes = rest;
        self.held.len() >= needed
    }

    fn head(&self) -> Result<(Order, usize, u16), Mistake> {
        let length = [self.held[0], self.held[1], self.held[2], self.held[3]];
        let kind = [self.held[4], self.held[5]];
        let sound = |order: Order| {
            let (length, kind) = (order.u32(length), order.u16(kind));
            match usize::try_from(length) {
                _ if length < HEAD_BYTES as u32 => Err(Mistake::TooShort(length)),
                _ if kind > KIND_MAX => Err(Mistake::UnknownType(kind)),
                Ok(bytes) if bytes <= most(kind) => Ok((order, bytes, kind)),
                _ => Err(Mistake::TooLong { length, kind }),
            }
        };
        match self.order {
            Some(order) => sound(order),
            // What makes sense in neither is told as the network would read it.
            None => sound(Order::Big).or_else(|mistake| sound(Order::Little).map_err(|_| mistake)),
        }
    }
}

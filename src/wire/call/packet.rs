//! The seven packets as values.

use std::fmt;
use std::sync::Arc;

use super::HEAD_BYTES;

/// The longest Username, in bytes.
pub const USERNAME_BYTES_MAX: usize = 255;
/// The highest sample rate, in Hz.
const SAMPLE_RATE_MAX: u32 = 384_000;
/// Most channels.
const CHANNELS_MAX: u16 = 8;
/// The largest chunk, in bytes: one packet less its head.
const CHUNK_BYTES_MAX: u32 = 65_530;

/// In which order a connection's numbers have their bytes: the seed says none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The network's, unless the other side shows another one.
    #[default]
    Big,
    /// That of the machines of most who wrote clients.
    Little,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    fn put_u16(self, out: &mut Vec<u8>, number: u16) {
        out.extend(match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        });
    }

    fn put_u32(self, out: &mut Vec<u8>, number: u32) {
        out.extend(match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        });
    }
}

/// Who somebody is on this door: 1 to 255 bytes of UTF-8, compared byte by byte. Cloning
/// shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(Arc<str>);

impl Username {
    /// `None` for what is empty, too long, or no UTF-8.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let is_length = (1..=USERNAME_BYTES_MAX).contains(&bytes.len());
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_length)?;
        Some(Self(text.into()))
    }

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 0: unsigned, 8 bits.
    U8,
    /// 1: signed, 8 bits.
    I8,
    /// 2: signed, 16 bits.
    I16,
    /// 3: signed, 32 bits.
    I32,
    /// 4: IEEE 754, 32 bits.
    F32,
}

impl Format {
    const ALL: [Self; 5] = [Self::U8, Self::I8, Self::I16, Self::I32, Self::F32];

    /// One sample of one channel, in bytes.
    #[must_use]
    pub const fn sample_bytes(self) -> u32 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
        }
    }
}

/// What the two sides of a call agree on. Numbers as they came: [`Self::is_sound`] says
/// whether there can be such a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// In Hz.
    pub sample_rate: u32,
    /// How many.
    pub channels: u16,
    /// The seed's number of a format.
    pub format: u8,
    /// What one packet of audio carries, in bytes.
    pub chunk_bytes: u32,
}

impl Parameters {
    /// The format, if it is one of the seed's.
    #[must_use]
    pub fn format(self) -> Option<Format> {
        Format::ALL.get(usize::from(self.format)).copied()
    }

    /// Whether all of it lies within PROTOCOLS.md's bounds.
    #[must_use]
    pub fn is_sound(self) -> bool {
        (1..=SAMPLE_RATE_MAX).contains(&self.sample_rate)
            && (1..=CHANNELS_MAX).contains(&self.channels)
            && (1..=CHUNK_BYTES_MAX).contains(&self.chunk_bytes)
            && self.format().is_some()
    }

    /// How much audio a second is, in bytes; 0 of an unknown format.
    #[must_use]
    pub fn bytes_a_second(self) -> u64 {
        let sample = self.format().map_or(0, Format::sample_bytes);
        u64::from(self.sample_rate) * u64::from(self.channels) * u64::from(sample)
    }
}

/// One packet. `data` is the seed's Optional Data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Type 0: asks for a call; or, from the router, somebody asks for one. Without any
    /// body it stands for [`Self::NoSuchUser`].
    Offer {
        /// As the caller wants it.
        parameters: Parameters,
        /// Who is called; from the router, who calls. As it came, and may be no name.
        username: Box<[u8]>,
        /// What the caller says of itself.
        data: Box<[u8]>,
    },
    /// Type 1: nobody has this name.
    NoSuchUser,
    /// Type 2: not like this, but like that.
    Wishes {
        /// That.
        parameters: Parameters,
        /// Why, perhaps.
        data: Box<[u8]>,
    },
    /// Type 3: not at all.
    Refused {
        /// Why, perhaps.
        data: Box<[u8]>,
    },
    /// Type 4: the call stands.
    Accepted {
        /// Whatever.
        data: Box<[u8]>,
    },
    /// Type 5: the call is over.
    Ended {
        /// Why, perhaps.
        data: Box<[u8]>,
    },
    /// Type 6: audio.
    Audio(Arc<[u8]>),
}

impl Packet {
    /// Its number in the seed.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Offer { .. } => 0,
            Self::NoSuchUser => 1,
            Self::Wishes { .. } => 2,
            Self::Refused { .. } => 3,
            Self::Accepted { .. } => 4,
            Self::Ended { .. } => 5,
            Self::Audio(_) => 6,
        }
    }

    /// Reads what stands behind the type. `None`: there is less than the type needs, or
    /// no such type.
    pub(super) fn read(order: Order, kind: u16, body: &[u8]) -> Option<Self> {
        Some(match kind {
            0 if body.is_empty() => Self::NoSuchUser,
            0 => {
                let (parameters, rest) = Self::read_parameters(order, body)?;
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(order.u16(*length));
                let (username, data) = rest.split_at_checked(length)?;
                Self::Offer { parameters, username: username.into(), data: data.into() }
            }
            1 => Self::NoSuchUser,
            2 => {
                let (parameters, data) = Self::read_parameters(order, body)?;
                Self::Wishes { parameters, data: data.into() }
            }
            3 => Self::Refused { data: body.into() },
            4 => Self::Accepted { data: body.into() },
            5 => Self::Ended { data: body.into() },
            6 => Self::Audio(body.into()),
            _ => return None,
        })
    }

    fn read_parameters(order: Order, body: &[u8]) -> Option<(Parameters, &[u8])> {
        let (rate, rest) = body.split_first_chunk::<4>()?;
        let (channels, rest) = rest.split_first_chunk::<2>()?;
        let (format, rest) = rest.split_first()?;
        let (chunk, rest) = rest.split_first_chunk::<4>()?;
        let parameters = Parameters {
            sample_rate: order.u32(*rate),
            channels: order.u16(*channels),
            format: *format,
            chunk_bytes: order.u32(*chunk),
        };
        Some((parameters, rest))
    }

    /// Appends it as it goes over a connection.
    pub fn print(&self, order: Order, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend([0; 4]);
        order.put_u16(out, self.kind());
        match self {
            Self::NoSuchUser => {}
            Self::Offer { parameters, username, data } => {
                parameters.print(order, out);
                // A Username is never longer than the packet it came in.
                order.put_u16(out, u16::try_from(username.len()).unwrap_or(u16::MAX));
                out.extend_from_slice(username);
                out.extend_from_slice(data);
            }
            Self::Wishes { parameters, data } => {
                parameters.print(order, out);
                out.extend_from_slice(data);
            }
            Self::Refused { data } | Self::Accepted { data } | Self::Ended { data } => {
                out.extend_from_slice(data);
            }
            Self::Audio(audio) => out.extend_from_slice(audio),
        }
        let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        order.put_u32(&mut head, length);
        out[at..at + 4].copy_from_slice(&head);
    }
}

impl Parameters {
    fn print(self, order: Order, out: &mut Vec<u8>) {
        order.put_u32(out, self.sample_rate);
        order.put_u16(out, self.channels);
        out.push(self.format);
        order.put_u32(out, self.chunk_bytes);
    }
}

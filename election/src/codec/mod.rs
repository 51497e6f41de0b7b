//! Datagrams as bytes: big-endian, fixed layout, one version byte in front.
//! Decoding allocates only for what the datagram's own length can hold.

mod fields;
#[cfg(test)]
mod tests;

use core::fmt;

use fields::{Reader, Writer};

use crate::config::ROUTERS_MAX;
use crate::epoch::Epoch;
use crate::id::{Incarnation, RouterId};
use crate::list::{LIST_MAX_ENTRIES, ServerEntry, ServerList};
use crate::record::{Bytes, Datagram, Heartbeat, Link, Packet, Record, Report};

/// Longest datagram. A record of a router that hears 63 others needs 1,265
/// bytes and fits one Ethernet frame; larger ones are fragmented by IP.
pub const DATAGRAM_MAX_BYTES: usize = 8_192;

/// First byte: which layout. Others are refused, so that layouts can change.
const LAYOUT: u8 = 0xE1;

/// Most ids of one request and most entries of one summary: one Ethernet frame.
pub(crate) const IDS_MAX: usize = 36;

const HEARTBEAT: u8 = 1;
const RELAYED: u8 = 2;
const RECORD: u8 = 3;
const REQUEST: u8 = 4;
const SUMMARY: u8 = 5;
const PROBE: u8 = 6;
const LIST_REQUEST: u8 = 7;
const LIST: u8 = 8;

const READY: u8 = 1;
const LEAVING: u8 = 2;
const LEAF: u8 = 4;
const SEEN: u8 = 8;
/// A record's datagram up to its revision: two bytes, two ids, an incarnation, a number.
const RECORD_HEAD_BYTES: usize = 2 + 16 + 16 + 12 + 4;
/// What else it says, without the name and the links themselves.
const RECORD_FIELDS_MAX_BYTES: usize = 2 + 16 + 1 + 8 + 36 + 2;
/// An id, and a byte for the rest.
const LINK_BYTES: usize = 17;
/// Room for most other datagrams, so that they need not grow.
const SHORT_BYTES: usize = 160;
/// No place in the list.
const NO_PLACE: u8 = u8::MAX;
/// Bit of a link's byte; the flap count is the rest.
const HELD: u8 = 0x80;

/// Why a datagram was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DecodeError {
    /// It ends in the middle of a field.
    Short,
    /// It goes on after its last field.
    Long,
    /// Its first byte is no layout that this version speaks.
    Layout(u8),
    /// Its kind is unknown.
    Kind(u8),
    /// A field holds what it may not hold.
    Field(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("datagram too short"),
            Self::Long => f.write_str("datagram too long"),
            Self::Layout(byte) => {
                write!(f, "unknown datagram layout {byte:#04x}; are all routers up to date?")
            }
            Self::Kind(byte) => write!(f, "unknown datagram kind {byte}"),
            Self::Field(name) => write!(f, "datagram with a bad {name}"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl Heartbeat {
    /// Length of an encoded heartbeat. With a 16-byte tag, UDP, IPv6 and
    /// Ethernet headers it takes 124 bytes on the wire.
    pub const BYTES: usize = 46;

    /// The heartbeat as a datagram.
    #[must_use]
    pub fn encode(&self) -> Datagram {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = LAYOUT;
        bytes[1] = HEARTBEAT;
        bytes[2..18].copy_from_slice(&self.origin.0);
        bytes[18..22].copy_from_slice(&self.incarnation.counter.to_be_bytes());
        bytes[22..30].copy_from_slice(&self.incarnation.random.to_be_bytes());
        bytes[30..34].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[34..38].copy_from_slice(&self.revision.to_be_bytes());
        bytes[38..46].copy_from_slice(&self.digest.to_be_bytes());
        Datagram(Bytes::Small(bytes))
    }

    /// The heartbeat in `bytes`, `None` if they are another kind of datagram
    /// or damaged; [`Packet::decode`] says which. The hot path of a router at rest.
    #[must_use]
    #[inline]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        if bytes[0] != LAYOUT || bytes[1] != HEARTBEAT {
            return None;
        }
        // Fixed places, read in whole words: a reader that may fail makes the
        // compiler put the id together byte by byte.
        Some(Self {
            origin: RouterId(*bytes[2..].first_chunk()?),
            incarnation: Incarnation {
                counter: u32::from_be_bytes(*bytes[18..].first_chunk()?),
                random: u64::from_be_bytes(*bytes[22..].first_chunk()?),
            },
            sequence: u32::from_be_bytes(*bytes[30..].first_chunk()?),
            revision: u32::from_be_bytes(*bytes[34..].first_chunk()?),
            digest: u64::from_be_bytes(*bytes[38..].first_chunk()?),
        })
    }

    #[inline(always)]
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            origin: reader.id()?,
            incarnation: reader.incarnation()?,
            sequence: reader.u32()?,
            revision: reader.u32()?,
            digest: reader.u64()?,
        })
    }
}

impl Packet {
    /// The packet as a datagram.
    #[must_use]
    pub fn encode(&self) -> Datagram {
        match self {
            Self::Heartbeat(heartbeat) => heartbeat.encode(),
            Self::Relayed { sender, heartbeat, age_ms } => {
                let mut writer = Writer::new(RELAYED, *sender, SHORT_BYTES);
                writer.0.extend_from_slice(&age_ms.to_be_bytes());
                writer.0.extend_from_slice(&heartbeat.encode().as_bytes()[2..]);
                writer.finish()
            }
            Self::Record { sender, record } => encode_record(*sender, record),
            Self::Request { sender, origins } => {
                let mut writer = Writer::new(REQUEST, *sender, SHORT_BYTES);
                writer.u8(origins.len() as u8);
                origins.iter().for_each(|id| writer.id(*id));
                writer.finish()
            }
            Self::Summary { sender, from, to, entries } => {
                let mut writer = Writer::new(SUMMARY, *sender, SHORT_BYTES);
                writer.id(*from);
                writer.id(*to);
                writer.u8(entries.len() as u8);
                for (id, incarnation, revision) in entries {
                    writer.id(*id);
                    writer.incarnation(*incarnation);
                    writer.u32(*revision);
                }
                writer.finish()
            }
            Self::Probe { sender, target, incarnation, sequence } => {
                let mut writer = Writer::new(PROBE, *sender, SHORT_BYTES);
                writer.id(*target);
                writer.incarnation(*incarnation);
                writer.u32(*sequence);
                writer.finish()
            }
            Self::ListRequest { sender } => Writer::new(LIST_REQUEST, *sender, SHORT_BYTES).finish(),
            Self::List { sender, list } => {
                let mut writer = Writer::new(LIST, *sender, SHORT_BYTES);
                writer.list(list);
                writer.finish()
            }
        }
    }

    /// The packet in `bytes`.
    ///
    /// # Errors
    /// What is wrong with them; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > DATAGRAM_MAX_BYTES {
            return Err(DecodeError::Long);
        }
        let mut reader = Reader(bytes);
        let layout = reader.u8()?;
        if layout != LAYOUT {
            return Err(DecodeError::Layout(layout));
        }
        let kind = reader.u8()?;
        if kind == HEARTBEAT {
            let heartbeat = Heartbeat::read(&mut reader)?;
            return reader.end(Self::Heartbeat(heartbeat));
        }
        let sender = reader.id()?;
        let packet = match kind {
            RELAYED => {
                let age_ms = reader.take().map(u16::from_be_bytes)?;
                Self::Relayed { sender, age_ms, heartbeat: Heartbeat::read(&mut reader)? }
            }
            RECORD => Self::Record { sender, record: read_record(&mut reader)? },
            REQUEST => {
                let count = reader.count(IDS_MAX)?;
                Self::Request { sender, origins: reader.many(count, Reader::id)? }
            }
            SUMMARY => {
                let (from, to) = (reader.id()?, reader.id()?);
                let count = reader.count(IDS_MAX)?;
                let entry =
                    |reader: &mut Reader<'_>| Ok((reader.id()?, reader.incarnation()?, reader.u32()?));
                let entries = reader.many(count, entry)?;
                sorted(&entries, |entry| entry.0, "summary")?;
                Self::Summary { sender, from, to, entries }
            }
            PROBE => Self::Probe {
                sender,
                target: reader.id()?,
                incarnation: reader.incarnation()?,
                sequence: reader.u32()?,
            },
            LIST_REQUEST => Self::ListRequest { sender },
            LIST => Self::List { sender, list: read_list(&mut reader)? },
            other => return Err(DecodeError::Kind(other)),
        };
        reader.end(packet)
    }
}

/// Whose record a datagram holds, of which life and which revision; `None`
/// if it holds none. Says nothing about the rest of it.
pub(crate) fn record_head(bytes: &[u8]) -> Option<(RouterId, Incarnation, u32)> {
    let head: &[u8; RECORD_HEAD_BYTES] = bytes.first_chunk()?;
    if head[0] != LAYOUT || head[1] != RECORD {
        return None;
    }
    let mut reader = Reader(&head[18..]); // After the sender.
    Some((reader.id().ok()?, reader.incarnation().ok()?, reader.u32().ok()?))
}

/// A record as a datagram of `sender`, without cloning it first.
pub(crate) fn encode_record(sender: RouterId, record: &Record) -> Datagram {
    let fields = RECORD_FIELDS_MAX_BYTES + record.name.len() + record.links.len() * LINK_BYTES;
    let mut writer = Writer::new(RECORD, sender, RECORD_HEAD_BYTES + fields);
    writer.id(record.origin);
    writer.incarnation(record.incarnation);
    writer.u32(record.revision);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(record.ready, READY)
        | flag(record.leaving, LEAVING)
        | flag(record.leaf, LEAF)
        | flag(record.seen.is_some(), SEEN);
    writer.u8(flags);
    writer.u8(record.default_server as u8);
    writer.version(record.list);
    writer.u8(record.place.unwrap_or(NO_PLACE));
    writer.u64(record.leading);
    if let Some(seen) = record.seen {
        writer.u64(seen.number);
        writer.id(seen.router);
        writer.incarnation(seen.incarnation);
    }
    writer.name(&record.name);
    writer.u8(record.links.len() as u8);
    for link in &record.links {
        writer.id(link.to);
        writer.u8(flag(link.held, HELD) | link.flaps.min(!HELD));
    }
    writer.finish()
}

fn read_record(reader: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let (origin, incarnation, revision) = (reader.id()?, reader.incarnation()?, reader.u32()?);
    let flags = reader.u8()?;
    let default_server = match reader.u8()? {
        0 => Report::Unknown,
        1 => Report::Unreachable,
        2 => Report::Reachable,
        _ => return Err(DecodeError::Field("report about the main server")),
    };
    let list = reader.version()?;
    let place = Some(reader.u8()?).filter(|place| *place != NO_PLACE);
    let leading = reader.number()?;
    let seen = if flags & SEEN == 0 {
        None
    } else {
        Some(Epoch { number: reader.number()?, router: reader.id()?, incarnation: reader.incarnation()? })
    };
    let name = reader.name()?;
    let count = reader.count(ROUTERS_MAX - 1)?;
    let links = reader.many(count, |reader| {
        let (to, byte) = (reader.id()?, reader.u8()?);
        Ok(Link { to, held: byte & HELD != 0, flaps: byte & !HELD })
    })?;
    sorted(&links, |link| link.to, "list of neighbours")?;
    let (ready, leaving, leaf) = (flags & READY != 0, flags & LEAVING != 0, flags & LEAF != 0);
    let record = Record {
        origin,
        incarnation,
        revision,
        name,
        ready,
        leaving,
        leaf,
        default_server,
        list,
        place,
        leading,
        seen,
        links,
    };
    Ok(record)
}

fn read_list(reader: &mut Reader<'_>) -> Result<ServerList, DecodeError> {
    let version = reader.version()?;
    let count = reader.count(LIST_MAX_ENTRIES)?;
    let entries = reader.many(count, |reader| {
        let name = reader.name()?;
        let id = if reader.u8()? == 0 { None } else { Some(reader.id()?) };
        Ok(ServerEntry { name, id })
    })?;
    let list = ServerList::new(version.number, entries);
    if list.version() == version { Ok(list) } else { Err(DecodeError::Field("hash of the list")) }
}

fn sorted<T>(items: &[T], id: impl Fn(&T) -> RouterId, what: &'static str) -> Result<(), DecodeError> {
    let strictly = items.windows(2).all(|pair| id(&pair[0]) < id(&pair[1]));
    if strictly { Ok(()) } else { Err(DecodeError::Field(what)) }
}

//! Datagrams as bytes: big-endian, fixed layout, one version byte in front.
//! Decoding allocates only for what the datagram's own length can hold.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::config::ROUTERS_MAX;
use crate::epoch::{Epoch, NUMBER_MAX};
use crate::id::{Incarnation, RouterId};
use crate::list::{LIST_MAX_ENTRIES, ListVersion, NAME_MAX_BYTES, ServerEntry, ServerList};
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
        let mut reader = Reader(&bytes[2..]);
        Self::read(&mut reader).ok()
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
                let mut writer = Writer::new(RELAYED, *sender);
                writer.0.extend_from_slice(&age_ms.to_be_bytes());
                writer.0.extend_from_slice(&heartbeat.encode().as_bytes()[2..]);
                writer.finish()
            }
            Self::Record { sender, record } => encode_record(*sender, record),
            Self::Request { sender, origins } => {
                let mut writer = Writer::new(REQUEST, *sender);
                writer.u8(origins.len() as u8);
                origins.iter().for_each(|id| writer.id(*id));
                writer.finish()
            }
            Self::Summary { sender, from, to, entries } => {
                let mut writer = Writer::new(SUMMARY, *sender);
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
                let mut writer = Writer::new(PROBE, *sender);
                writer.id(*target);
                writer.incarnation(*incarnation);
                writer.u32(*sequence);
                writer.finish()
            }
            Self::ListRequest { sender } => Writer::new(LIST_REQUEST, *sender).finish(),
            Self::List { sender, list } => {
                let mut writer = Writer::new(LIST, *sender);
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

/// A record as a datagram of `sender`, without cloning it first.
pub(crate) fn encode_record(sender: RouterId, record: &Record) -> Datagram {
    let mut writer = Writer::new(RECORD, sender);
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
        _ => return Err(DecodeError::Field("report about the default server")),
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

struct Writer(Vec<u8>);

impl Writer {
    fn new(kind: u8, sender: RouterId) -> Self {
        let mut writer = Self(Vec::with_capacity(160));
        writer.u8(LAYOUT);
        writer.u8(kind);
        writer.id(sender);
        writer
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn id(&mut self, id: RouterId) {
        self.0.extend_from_slice(&id.0);
    }

    fn incarnation(&mut self, incarnation: Incarnation) {
        self.u32(incarnation.counter);
        self.u64(incarnation.random);
    }

    fn version(&mut self, version: ListVersion) {
        self.u64(version.number);
        self.u64(version.hash);
    }

    /// Names are cut where they enter, so their length fits one byte.
    fn name(&mut self, name: &str) {
        debug_assert!(name.len() <= NAME_MAX_BYTES, "names are cut where they enter");
        self.u8(name.len() as u8);
        self.0.extend_from_slice(name.as_bytes());
    }

    fn list(&mut self, list: &ServerList) {
        self.version(list.version());
        self.u8(list.entries().len() as u8);
        for entry in list.entries() {
            self.name(&entry.name);
            self.u8(u8::from(entry.id.is_some()));
            entry.id.iter().for_each(|id| self.id(*id));
        }
    }

    fn finish(self) -> Datagram {
        debug_assert!(self.0.len() <= DATAGRAM_MAX_BYTES, "every field has its bound");
        Datagram(Bytes::Large(self.0))
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|bytes| bytes[0])
    }

    #[inline(always)]
    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    #[inline(always)]
    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_be_bytes)
    }

    /// A number that others count on from: one that leaves no room is refused.
    fn number(&mut self) -> Result<u64, DecodeError> {
        let number = self.u64()?;
        if number > NUMBER_MAX { Err(DecodeError::Field("number")) } else { Ok(number) }
    }

    #[inline(always)]
    fn id(&mut self) -> Result<RouterId, DecodeError> {
        self.take().map(RouterId)
    }

    #[inline(always)]
    fn incarnation(&mut self) -> Result<Incarnation, DecodeError> {
        Ok(Incarnation { counter: self.u32()?, random: self.u64()? })
    }

    fn version(&mut self) -> Result<ListVersion, DecodeError> {
        Ok(ListVersion { number: self.number()?, hash: self.u64()? })
    }

    fn name(&mut self) -> Result<String, DecodeError> {
        let length = self.count(NAME_MAX_BYTES)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        core::str::from_utf8(head).map(String::from).map_err(|_| DecodeError::Field("name"))
    }

    fn count(&mut self, max: usize) -> Result<usize, DecodeError> {
        let count = usize::from(self.u8()?);
        if count > max { Err(DecodeError::Field("count")) } else { Ok(count) }
    }

    fn many<T>(
        &mut self,
        count: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn end<T>(self, value: T) -> Result<T, DecodeError> {
        if self.0.is_empty() { Ok(value) } else { Err(DecodeError::Long) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn id(byte: u8) -> RouterId {
        RouterId([byte; 16])
    }

    fn life(counter: u32) -> Incarnation {
        Incarnation { counter, random: u64::from(counter) << 40 | 7 }
    }

    fn heartbeat() -> Heartbeat {
        Heartbeat { origin: id(9), incarnation: life(3), sequence: 77, revision: 5, digest: u64::MAX - 1 }
    }

    fn record(links: usize) -> Record {
        let to = |index: usize| RouterId(((index as u128 + 1) << 64).to_be_bytes());
        Record {
            origin: id(1),
            incarnation: life(2),
            revision: 8,
            name: "router-\u{e4}".into(),
            ready: true,
            leaving: false,
            leaf: true,
            default_server: Report::Reachable,
            list: ListVersion { number: 4, hash: 99 },
            place: Some(3),
            leading: 12,
            seen: Some(Epoch { number: 13, router: id(7), incarnation: life(1) }),
            links: (0..links).map(|index| Link { to: to(index), held: index % 2 == 0, flaps: 127 }).collect(),
        }
    }

    fn one_of_each() -> Vec<Packet> {
        let sender = id(4);
        let entry = |name: &str, id| ServerEntry { name: name.into(), id };
        let list = ServerList::new(6, vec![entry("a", None), entry("", Some(id(2)))]);
        vec![
            Packet::Heartbeat(heartbeat()),
            Packet::Relayed { sender, heartbeat: heartbeat(), age_ms: 513 },
            Packet::Record { sender, record: record(3) },
            Packet::Record { sender, record: Record { seen: None, place: None, ..record(0) } },
            Packet::Request { sender, origins: vec![id(5), id(1)] },
            Packet::Summary {
                sender,
                from: id(0),
                to: id(255),
                entries: vec![(id(1), life(1), 1), (id(2), life(9), 2)],
            },
            Packet::Probe { sender, target: id(3), incarnation: life(8), sequence: 1 },
            Packet::ListRequest { sender },
            Packet::List { sender, list },
        ]
    }

    #[test]
    fn every_packet_comes_back_as_it_was() {
        for packet in one_of_each() {
            assert_eq!(Packet::decode(packet.encode().as_bytes()), Ok(packet));
        }
    }

    #[test]
    fn no_packet_is_accepted_cut_or_with_a_byte_too_many() {
        for packet in one_of_each() {
            let bytes = packet.encode().as_bytes().to_vec();
            for end in 0..bytes.len() {
                assert!(Packet::decode(&bytes[..end]).is_err(), "{end} bytes of {packet:?}");
            }
            let long = [&bytes[..], &[0]].concat();
            assert_eq!(Packet::decode(&long), Err(DecodeError::Long));
        }
    }

    #[test]
    fn a_heartbeat_stays_within_130_bytes_on_the_wire() {
        // Ethernet, IPv6, UDP, and the mesh key's tag.
        assert!(14 + 40 + 8 + heartbeat().encode().as_bytes().len() + 16 <= 130);
        assert_eq!(Heartbeat::decode(heartbeat().encode().as_bytes()), Some(heartbeat()));
        // The layout is fixed: what one version writes another reads.
        assert_eq!(&heartbeat().encode().as_bytes()[..3], [0xE1, 1, 9]);
        assert_eq!(&heartbeat().encode().as_bytes()[30..38], [0, 0, 0, 77, 0, 0, 0, 5]);
    }

    #[test]
    fn records_stay_within_their_frames() {
        let bytes = |links| encode_record(id(1), &record(links)).as_bytes().len();
        assert!(bytes(63) <= 1_300, "a mesh of 64 fits one Ethernet frame: {}", bytes(63));
        assert!(bytes(ROUTERS_MAX - 1) <= DATAGRAM_MAX_BYTES);
        let entry = |_| ServerEntry { name: "x".repeat(NAME_MAX_BYTES), id: Some(id(1)) };
        let list = ServerList::new(1, (0..LIST_MAX_ENTRIES).map(entry).collect());
        assert!(Packet::List { sender: id(1), list }.encode().as_bytes().len() <= DATAGRAM_MAX_BYTES);
    }

    #[test]
    fn what_a_field_may_not_hold_is_refused_with_its_name() {
        let sender = id(4);
        let refused = |packet: Packet| Packet::decode(packet.encode().as_bytes()).unwrap_err();
        let mut twisted = record(3);
        twisted.links.swap(0, 2);
        assert_eq!(
            refused(Packet::Record { sender, record: twisted }),
            DecodeError::Field("list of neighbours")
        );
        let far = Record { leading: u64::MAX, ..record(0) };
        assert_eq!(refused(Packet::Record { sender, record: far }), DecodeError::Field("number"));
        let twice = Packet::Summary { sender, from: id(0), to: id(9), entries: vec![(id(1), life(1), 1); 2] };
        assert_eq!(refused(twice), DecodeError::Field("summary"));
        assert_eq!(
            refused(Packet::Request { sender, origins: vec![id(1); IDS_MAX + 1] }),
            DecodeError::Field("count")
        );
        assert_eq!(Packet::decode(&[0xE0, 1]), Err(DecodeError::Layout(0xE0)));
        assert_eq!(Packet::decode(&[[0xE1, 99].as_slice(), &[0; 16]].concat()), Err(DecodeError::Kind(99)));
    }

    #[test]
    fn a_list_whose_hash_is_another_is_refused() {
        let list = ServerList::new(6, vec![ServerEntry { name: "a".into(), id: None }]);
        let mut bytes = Packet::List { sender: id(4), list }.encode().as_bytes().to_vec();
        let last = bytes.len() - 2;
        bytes[last] = b'b';
        assert_eq!(Packet::decode(&bytes), Err(DecodeError::Field("hash of the list")));
    }
}

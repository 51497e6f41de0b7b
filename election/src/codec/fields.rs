//! Fields of datagrams, written and read one after the other. Each has one
//! layout, the same on every machine, and its bound.

use alloc::string::String;
use alloc::vec::Vec;

use super::{DATAGRAM_MAX_BYTES, DecodeError, LAYOUT};
use crate::epoch::NUMBER_MAX;
use crate::id::{Incarnation, RouterId};
use crate::list::{ListVersion, NAME_MAX_BYTES, ServerList};
use crate::record::{Bytes, Datagram};

pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new(kind: u8, sender: RouterId, capacity: usize) -> Self {
        let mut writer = Self(Vec::with_capacity(capacity));
        writer.u8(LAYOUT);
        writer.u8(kind);
        writer.id(sender);
        writer
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn id(&mut self, id: RouterId) {
        self.0.extend_from_slice(&id.0);
    }

    pub(super) fn incarnation(&mut self, incarnation: Incarnation) {
        self.u32(incarnation.counter);
        self.u64(incarnation.random);
    }

    pub(super) fn version(&mut self, version: ListVersion) {
        self.u64(version.number);
        self.u64(version.hash);
    }

    /// Names are cut where they enter, so their length fits one byte.
    pub(super) fn name(&mut self, name: &str) {
        debug_assert!(name.len() <= NAME_MAX_BYTES, "names are cut where they enter");
        self.u8(name.len() as u8);
        self.0.extend_from_slice(name.as_bytes());
    }

    pub(super) fn list(&mut self, list: &ServerList) {
        self.version(list.version());
        self.u8(list.entries().len() as u8);
        for entry in list.entries() {
            self.name(&entry.name);
            self.u8(u8::from(entry.id.is_some()));
            entry.id.iter().for_each(|id| self.id(*id));
        }
    }

    pub(super) fn finish(self) -> Datagram {
        debug_assert!(self.0.len() <= DATAGRAM_MAX_BYTES, "every field has its bound");
        Datagram(Bytes::Large(self.0))
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    #[inline(always)]
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|bytes| bytes[0])
    }

    #[inline(always)]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    #[inline(always)]
    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_be_bytes)
    }

    /// A number that others count on from: one that leaves no room is refused.
    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        let number = self.u64()?;
        if number > NUMBER_MAX { Err(DecodeError::Field("number")) } else { Ok(number) }
    }

    #[inline(always)]
    pub(super) fn id(&mut self) -> Result<RouterId, DecodeError> {
        self.take().map(RouterId)
    }

    #[inline(always)]
    pub(super) fn incarnation(&mut self) -> Result<Incarnation, DecodeError> {
        Ok(Incarnation { counter: self.u32()?, random: self.u64()? })
    }

    pub(super) fn version(&mut self) -> Result<ListVersion, DecodeError> {
        Ok(ListVersion { number: self.number()?, hash: self.u64()? })
    }

    pub(super) fn name(&mut self) -> Result<String, DecodeError> {
        let length = self.count(NAME_MAX_BYTES)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        core::str::from_utf8(head).map(String::from).map_err(|_| DecodeError::Field("name"))
    }

    pub(super) fn count(&mut self, max: usize) -> Result<usize, DecodeError> {
        let count = usize::from(self.u8()?);
        if count > max { Err(DecodeError::Field("count")) } else { Ok(count) }
    }

    pub(super) fn many<T>(
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

    pub(super) fn end<T>(self, value: T) -> Result<T, DecodeError> {
        if self.0.is_empty() { Ok(value) } else { Err(DecodeError::Long) }
    }
}

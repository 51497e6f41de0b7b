//! Records on their way: the own one when it changes, others' where their
//! origin is not heard, and the repair of what was lost.

use alloc::string::String;
use alloc::vec::Vec;

use super::timers::RECORD_REPEATS;
use super::{Election, Phase, mix};
use crate::codec::{IDS_MAX, encode_record};
use crate::config::mutated;
use crate::id::{Incarnation, RouterId};
use crate::record::{Link, Packet, Record};
use crate::time::Time;

/// Heartbeats in a row with another digest before a summary is sent: one may
/// have overtaken a record.
const MISMATCHES: u8 = 2;

impl Election {
    /// Writes the own record anew; if it says something else than before, it
    /// is a new revision and will be flooded.
    pub(super) fn write_record(&mut self, now: Time) {
        let record = self.describe(now);
        let anew = core::mem::take(&mut self.write_anew);
        if !anew && self.own_record() == Some(&record) {
            return;
        }
        self.revision = self.revision.saturating_add(1);
        self.map.insert(Record { revision: self.revision, ..record });
        self.map_changed = true;
        self.repeats = RECORD_REPEATS;
        self.flood_at = self.flood_at.min(now.max(self.last_flood + self.config.flood_gap));
    }

    fn describe(&self, now: Time) -> Record {
        let heard = self.peers.iter().filter(|peer| peer.hears && !peer.unanswered);
        let link = |peer: &super::peer::Peer| Link {
            to: peer.id,
            held: peer.held(now, &self.config),
            flaps: peer.flaps,
        };
        Record {
            origin: self.me,
            incarnation: self.incarnation,
            revision: self.revision,
            name: String::from(self.config.name.as_str()),
            ready: self.is_ready(),
            leaving: matches!(self.phase, Phase::Leaving(_)),
            leaf: self.config.leaf,
            default_server: self.report(),
            list: self.list.version(),
            place: self.list.place(self.me, &self.config.name),
            leading: self.term.own.map_or(0, |epoch| epoch.number),
            seen: self.term.published,
            links: heard.map(link).collect(),
        }
    }

    /// Sends the own record out if its turn has come.
    pub(super) fn flood_if_due(&mut self, now: Time) {
        if now >= self.flood_at {
            self.flood_at = Time::MAX;
            self.last_flood = now;
            self.broadcast_record();
        }
    }

    pub(super) fn broadcast_record(&mut self) {
        if let Some(record) = self.own_record() {
            let datagram = encode_record(self.me, record);
            self.counters.records += 1;
            self.broadcast(datagram);
        }
    }

    /// Sends one record, own or another's, if there is one.
    pub(super) fn send_record(&mut self, to: RouterId, origin: RouterId) {
        let own = origin == self.me;
        if !own && mutated!(self.config, RelayNone) {
            return;
        }
        let Some(record) = self.map.get(origin) else { return };
        let datagram = encode_record(self.me, record);
        if own {
            self.counters.records += 1;
        } else {
            self.counters.repaired_records += 1;
        }
        self.send(to, datagram);
    }

    /// Sends on what members' records have come in, each once, to those that
    /// cannot hear their origin.
    pub(super) fn relay(&mut self) {
        let pending = self.peers.iter().filter(|peer| peer.unrelayed && peer.member);
        let pending: Vec<(RouterId, RouterId)> = pending.map(|peer| (peer.id, peer.from)).collect();
        for (origin, from) in pending {
            if let Some(peer) = self.peers.get_mut(origin) {
                peer.unrelayed = false;
            }
            let targets = self.map.relay_targets(self.me, origin);
            let Some(record) = self.map.get(origin) else { continue };
            let datagram = encode_record(self.me, record);
            for slot in targets.iter() {
                let to = self.map.records()[slot].origin;
                if to != from || mutated!(self.config, RelayToEveryone) {
                    self.counters.relayed_records += 1;
                    self.send(to, datagram.clone());
                }
            }
        }
    }

    pub(super) fn request(&mut self, to: RouterId, origins: Vec<RouterId>) {
        for some in origins.chunks(IDS_MAX) {
            self.send(to, Packet::Request { sender: self.me, origins: some.into() }.encode());
        }
    }

    pub(super) fn answer_request(&mut self, sender: RouterId, origins: &[RouterId]) {
        origins.iter().for_each(|origin| self.send_record(sender, *origin));
    }

    /// A neighbour's heartbeats show another map than this router's.
    pub(super) fn digest_differs(&mut self, neighbour: RouterId) {
        // A leaf's component is itself.
        if self.config.leaf || self.map.get(neighbour).is_some_and(|record| record.leaf) {
            return;
        }
        let Some(peer) = self.peers.get_mut(neighbour) else { return };
        peer.mismatches += 1;
        if peer.mismatches < MISMATCHES || self.summaries_left == 0 {
            peer.mismatches = peer.mismatches.min(MISMATCHES);
            return;
        }
        peer.mismatches = 0;
        self.summaries_left -= 1;
        self.summarise(neighbour);
    }

    /// Tells a neighbour what this router holds of the component, in pieces
    /// of one Ethernet frame that cover all ids without a gap.
    pub(super) fn summarise(&mut self, to: RouterId) {
        let members = self.map.members(self.me);
        let held = members.iter().map(|slot| &self.map.records()[slot]);
        let entries: Vec<(RouterId, Incarnation, u32)> =
            held.map(|record| (record.origin, record.incarnation, record.revision)).collect();
        let mut from = RouterId([0; 16]);
        let mut pieces = entries.chunks(IDS_MAX).peekable();
        while let Some(piece) = pieces.next() {
            let last = piece.last().map_or(from, |entry| entry.0);
            let end = if pieces.peek().is_some() { last } else { RouterId([u8::MAX; 16]) };
            let packet = Packet::Summary { sender: self.me, from, to: end, entries: piece.into() };
            self.counters.summaries += 1;
            self.send(to, packet.encode());
            from = successor(last);
        }
    }

    /// Sends what the other side lacks, asks for what this one lacks.
    pub(super) fn answer_summary(
        &mut self,
        sender: RouterId,
        from: RouterId,
        to: RouterId,
        entries: &[(RouterId, Incarnation, u32)],
    ) {
        if !self.peers.get(sender).is_some_and(|peer| peer.hears) {
            return;
        }
        // Of members it may lack a record; of others it may hold an old one
        // that makes it take them for members.
        let members = self.map.members(self.me);
        let lacks = |(slot, record): &(usize, &Record)| match entries
            .binary_search_by(|entry| entry.0.cmp(&record.origin))
        {
            Ok(found) => (entries[found].1, entries[found].2) < (record.incarnation, record.revision),
            Err(_) => members.contains(*slot),
        };
        let covered = self.map.records().iter().enumerate();
        let covered =
            covered.filter(|(_, record)| (from..=to).contains(&record.origin) && record.origin != sender);
        let lacking: Vec<RouterId> = covered.filter(lacks).map(|(_, record)| record.origin).collect();
        let older = |entry: &&(RouterId, Incarnation, u32)| match self.map.get(entry.0) {
            Some(record) => (record.incarnation, record.revision) < (entry.1, entry.2),
            None => true,
        };
        let wanted: Vec<RouterId> = entries.iter().filter(older).map(|entry| entry.0).collect();
        lacking.iter().for_each(|origin| self.send_record(sender, *origin));
        self.request(sender, wanted);
    }
}

/// One record's part of the digest; parts are summed, so that order is nothing.
pub(super) fn digest_part(record: &Record) -> u64 {
    let (mut high, mut low) = ([0; 8], [0; 8]);
    high.copy_from_slice(&record.origin.0[..8]);
    low.copy_from_slice(&record.origin.0[8..]);
    let id = mix(u64::from_be_bytes(high)) ^ u64::from_be_bytes(low);
    let life = mix(id) ^ record.incarnation.random ^ u64::from(record.incarnation.counter).rotate_left(32);
    mix(life) ^ mix(u64::from(record.revision))
}

/// The next id; the last one has none, and stays.
fn successor(id: RouterId) -> RouterId {
    RouterId(u128::from_be_bytes(id.0).saturating_add(1).to_be_bytes())
}

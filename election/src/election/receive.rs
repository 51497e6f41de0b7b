//! What comes in from other routers.

use core::time::Duration;

use super::Election;
use crate::api::Warning;
use crate::codec::record_head;
use crate::config::mutated;
use crate::epoch::{COUNTS, Epoch};
use crate::id::{Incarnation, RouterId};
use crate::record::{Heartbeat, Packet, Record};
use crate::time::Time;

impl Election {
    /// True if the heartbeat says only what is known already; then its time
    /// is noted, and nothing else is to be done. Nearly all heartbeats are so.
    #[inline]
    pub(super) fn no_news(&mut self, now: Time, heartbeat: &Heartbeat) -> bool {
        let digest = self.digest;
        let Some(peer) = self.peers.get_mut(heartbeat.origin) else { return false };
        let same = peer.hears
            && heartbeat.incarnation == peer.incarnation
            && heartbeat.sequence > peer.sequence
            && heartbeat.revision == peer.revision
            && heartbeat.digest == digest
            && !peer.cut;
        if same {
            peer.hear(now, heartbeat);
            peer.mismatches = 0;
        }
        same
    }

    /// A heartbeat with news: a new router, a new life, a changed record, or
    /// a map that differs.
    pub(super) fn heartbeat(&mut self, now: Time, heartbeat: Heartbeat) {
        let origin = heartbeat.origin;
        if origin == self.me {
            if heartbeat.incarnation.random == self.incarnation.random {
                return self.own_life_heard(heartbeat.sequence, heartbeat.revision);
            }
            return self.own_id_heard(now, heartbeat.incarnation, Some(heartbeat.sequence));
        }
        if !self.admit(now, origin) {
            return;
        }
        let heartbeat = self.believed_beat(heartbeat);
        match self.compare_life(origin, heartbeat.incarnation) {
            core::cmp::Ordering::Less => return self.tell_outdated(now, origin),
            core::cmp::Ordering::Greater => self.reborn(origin, heartbeat.incarnation),
            core::cmp::Ordering::Equal => {}
        }
        let digest = self.digest;
        let ask_gap = self.config.beacon / 2;
        let Some(peer) = self.peers.get_mut(origin) else { return };
        // Behind the times: delayed or doubled on the way.
        if heartbeat.sequence <= peer.sequence || now < peer.deaf_until {
            return;
        }
        peer.hear(now, &heartbeat);
        if !peer.hears {
            peer.hears = true;
            self.own_changed = true;
            self.deadline = self.deadline.min(now + self.config.detection());
        }
        // Whoever says less than is held of it never said that: the maps are compared.
        if peer.cut && heartbeat.revision == peer.revision && now >= peer.asked + ask_gap {
            peer.asked = now;
            self.request(origin, [origin].into());
        } else if heartbeat.revision > peer.revision {
            // The record that goes with it may be on its way, or was lost.
            peer.outdated_since = peer.outdated_since.min(now);
            let ask = now >= peer.asked + ask_gap;
            if ask {
                peer.asked = now;
            }
            if !peer.unanswered && now >= peer.outdated_since + self.spans.gone_after {
                // It does not hear the questions, whatever its old record says,
                // here or at others: no link until it answers.
                peer.unanswered = true;
                peer.forget_record();
                peer.floor = heartbeat.revision;
                self.map.remove(origin);
                self.map_changed = true;
                self.own_changed = true;
            }
            if ask {
                self.request(origin, [origin].into());
            }
        } else if heartbeat.digest == digest {
            peer.mismatches = 0;
        } else if peer.member {
            self.digest_differs(origin);
        }
    }

    /// A heartbeat with as much of its numbers as is believed.
    fn believed_beat(&self, heartbeat: Heartbeat) -> Heartbeat {
        let Some(peer) = self.peers.get(heartbeat.origin) else { return heartbeat };
        if mutated!(self.config, AllBelieved) {
            return heartbeat;
        }
        let incarnation = heartbeat.incarnation.believed(peer.incarnation);
        // Of another life than the one known nothing is known yet.
        let same = incarnation == peer.incarnation;
        let known = |number: u32| if same { number } else { 0 };
        Heartbeat {
            incarnation,
            sequence: COUNTS.of_u32(known(peer.sequence.max(peer.vouched)), heartbeat.sequence),
            revision: COUNTS.of_u32(known(peer.revision.max(peer.floor)), heartbeat.revision),
            ..heartbeat
        }
    }

    /// A record likewise.
    fn believed_record(&self, mut record: Record) -> Record {
        let Some(peer) = self.peers.get(record.origin) else { return record };
        if !mutated!(self.config, AllBelieved) {
            record.incarnation = record.incarnation.believed(peer.incarnation);
            let same = record.incarnation == peer.incarnation;
            let known = if same { peer.revision.max(peer.floor) } else { 0 };
            record.revision = COUNTS.of_u32(known, record.revision);
            // Also of one that is no member yet more is believed with each word.
            let known = self
                .map
                .get(record.origin)
                .map_or(0, |known| known.leading.max(known.seen.map_or(0, |epoch| epoch.number)));
            record.leading = self.believed_number(known, record.leading);
            record.seen =
                record.seen.map(|epoch| Epoch { number: self.believed_number(known, epoch.number), ..epoch });
        }
        record
    }

    /// Any datagram that is not a heartbeat.
    pub(super) fn datagram(&mut self, now: Time, bytes: &[u8]) {
        if self.holds(bytes) {
            return;
        }
        let packet = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(_) => {
                self.counters.malformed += 1;
                return;
            }
        };
        match packet {
            Packet::Heartbeat(heartbeat) => self.heartbeat(now, heartbeat),
            Packet::Relayed { sender, heartbeat, age_ms } => self.vouched(now, sender, heartbeat, age_ms),
            Packet::Record { sender, record } => self.record(now, sender, record),
            Packet::Request { sender, origins } => self.answer_request(sender, &origins),
            Packet::Summary { sender, from, to, entries } => self.answer_summary(sender, from, to, &entries),
            Packet::Probe { sender, target, incarnation, sequence } => {
                self.answer_probe(now, sender, target, incarnation, sequence);
            }
            Packet::ListRequest { sender } => self.answer_list_request(sender),
            Packet::List { list, .. } => self.adopt_list(list),
        }
    }

    /// True for a record that this router has, or a newer one of the same life:
    /// each is sent several times, in case one is lost, and sent on by several.
    fn holds(&self, bytes: &[u8]) -> bool {
        record_head(bytes).is_some_and(|(origin, incarnation, revision)| {
            let peer = self.peers.get(origin).filter(|peer| peer.incarnation == incarnation);
            peer.is_some_and(|peer| revision < peer.revision || revision == peer.revision && !peer.cut)
        })
    }

    /// Another router still hears one that this one does not: it is alive,
    /// only the link is weak. Never makes a link, only keeps one.
    fn vouched(&mut self, now: Time, sender: RouterId, heartbeat: Heartbeat, age_ms: u16) {
        if heartbeat.origin == self.me {
            if heartbeat.incarnation.random == self.incarnation.random {
                return self.own_life_heard(heartbeat.sequence, heartbeat.revision);
            }
            // No sequence: it comes from memory and proves nobody alive.
            return self.own_id_heard(now, heartbeat.incarnation, None);
        }
        if !self.peers.get(sender).is_some_and(|helper| helper.hears && helper.member) {
            return;
        }
        let heartbeat = self.believed_beat(heartbeat);
        let Some(peer) = self.peers.get_mut(heartbeat.origin) else { return };
        let newer = heartbeat.sequence > peer.sequence.max(peer.vouched);
        if !peer.hears || heartbeat.incarnation != peer.incarnation || !newer {
            return;
        }
        peer.vouched = heartbeat.sequence;
        peer.alive = peer.alive.max(now - Duration::from_millis(u64::from(age_ms)));
        if heartbeat.revision > peer.revision {
            self.request(sender, [heartbeat.origin].into());
        }
    }

    /// A record, from its origin or sent on.
    fn record(&mut self, now: Time, sender: RouterId, record: Record) {
        let origin = record.origin;
        if origin == self.me {
            if record.incarnation.random == self.incarnation.random {
                return self.own_life_heard(0, record.revision);
            }
            return self.own_id_heard(now, record.incarnation, None);
        }
        if sender == self.me || !self.admit(now, origin) {
            return;
        }
        let said = (record.leading, record.seen);
        let record = self.believed_record(record);
        match self.compare_life(origin, record.incarnation) {
            core::cmp::Ordering::Less => {
                if sender == origin {
                    self.tell_outdated(now, origin);
                }
                return;
            }
            core::cmp::Ordering::Greater => self.reborn(origin, record.incarnation),
            core::cmp::Ordering::Equal => {}
        }
        let leaves = record.leaving && !mutated!(self.config, LeaveIgnored);
        let Some(peer) = self.peers.get_mut(origin) else { return };
        // The same again, of which more is believed now.
        let goes_on = peer.cut
            && record.revision == peer.revision
            && self
                .map
                .get(origin)
                .is_some_and(|known| known.leading < record.leading || known.seen < record.seen);
        if (record.revision <= peer.revision && !goes_on) || record.revision < peer.floor {
            return;
        }
        peer.cut = said != (record.leading, record.seen);
        let is_cut = peer.cut;
        peer.revision = record.revision;
        peer.outdated_since = Time::MAX;
        self.own_changed |= core::mem::take(&mut peer.unanswered);
        peer.unrelayed = true;
        peer.from = sender;
        if leaves {
            // Its last word in this life: whatever comes after was sent before.
            peer.deaf_until = Time::MAX;
            self.own_changed |= core::mem::take(&mut peer.hears);
        }
        self.note_name(&record);
        self.map.insert(record);
        self.map_changed = true;
        if is_cut {
            // Until all of it is believed, word by word: routers that meet agree on an
            // epoch also where one of them was lied to.
            self.request(sender, [origin].into());
        }
    }

    /// Room for a router in the table; false, said loudly, if there is none.
    fn admit(&mut self, now: Time, id: RouterId) -> bool {
        match self.peers.admit(id, now) {
            Ok(None) => true,
            Ok(Some(evicted)) => {
                self.map.remove(evicted);
                self.map_changed = true;
                true
            }
            Err(_) => {
                self.counters.refused += 1;
                self.warn(Warning::TableFull(id));
                false
            }
        }
    }

    /// How a life compares with the newest known of the same router.
    fn compare_life(&self, id: RouterId, incarnation: Incarnation) -> core::cmp::Ordering {
        if mutated!(self.config, IncarnationIgnored) {
            return core::cmp::Ordering::Equal;
        }
        let known = self.peers.get(id).map(|peer| peer.incarnation).unwrap_or_default();
        incarnation.cmp(&known)
    }

    /// A router has started again: its old record says nothing any more.
    fn reborn(&mut self, id: RouterId, incarnation: Incarnation) {
        if let Some(peer) = self.peers.get_mut(id) {
            // That its last life did not answer says nothing of this one: the link is back.
            self.own_changed |= peer.hears && peer.unanswered;
            peer.reborn(incarnation);
            self.map.remove(id);
            self.map_changed = true;
        }
    }

    /// A router that lost its disk counts from an earlier life: the last
    /// heartbeat of the latest one tells it where to go on. At most one answer
    /// each half interval.
    fn tell_outdated(&mut self, now: Time, id: RouterId) {
        let gap = self.config.beacon / 2;
        let Some(peer) = self.peers.get_mut(id) else { return };
        if now.since(peer.asked) >= gap {
            peer.asked = now;
            let last = peer.last_heartbeat();
            let packet = Packet::Relayed { sender: self.me, heartbeat: last, age_ms: u16::MAX };
            self.send(id, packet.encode());
        }
    }

    /// Two routers of the component with one name: people should know.
    fn note_name(&mut self, record: &Record) {
        if record.name.is_empty() || self.map.get(record.origin).is_some_and(|old| old.name == record.name) {
            return;
        }
        let namesake = |other: &&Record| other.name == record.name && other.origin != record.origin;
        if let Some(other) = self.map.records().iter().find(namesake).map(|other| other.origin) {
            let (low, high) = (other.min(record.origin), other.max(record.origin));
            self.warn(Warning::NameTwice(low, high));
        }
    }

    /// A connection stands: the other side learns at once who is here.
    pub(super) fn greet(&mut self, router: RouterId) {
        if router == self.me {
            return self.clone_shown();
        }
        // One that said goodbye stays unheard until its next life.
        if let Some(peer) = self.peers.get_mut(router).filter(|peer| peer.deaf_until < Time::MAX) {
            peer.deaf_until = Time::ZERO;
        }
        let heartbeat = self.next_heartbeat();
        self.send(router, heartbeat.encode());
        self.send_record(router, self.me);
    }

    /// The other side closed its last connection: its process is gone.
    pub(super) fn closed(&mut self, now: Time, router: RouterId) {
        if router == self.me {
            return self.clone_lost(now);
        }
        let deaf = now + self.config.beacon;
        if let Some(peer) = self.peers.get_mut(router) {
            peer.deaf_until = peer.deaf_until.max(deaf);
            self.own_changed |= core::mem::take(&mut peer.hears);
        }
    }
}

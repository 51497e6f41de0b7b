//! What is due: beacons, silence, the ends of listening and hold-downs.

use alloc::vec::Vec;

use super::{Election, Phase};
use crate::api::Role;
use crate::config::mutated;
use crate::id::{Incarnation, RouterId};
use crate::record::{Heartbeat, Packet, Report};
use crate::time::Time;

/// Neighbours asked about one silent router in one interval: two, so that one
/// lost answer does not decide.
const HELPERS: usize = 2;

/// Summaries sent in one interval: repair goes on in the next one, a mesh
/// that starts is not flooded.
const SUMMARIES_PER_BEACON: u8 = 3;

/// Intervals that carry the record after a change: at 10 % loss one neighbour
/// in a thousand still has to ask for it.
pub(super) const RECORD_REPEATS: u8 = 2;

/// How often a goodbye is said, a flood gap apart.
const GOODBYES: u8 = 3;

impl Election {
    /// All that is due at `now`.
    pub(super) fn timers(&mut self, now: Time) {
        self.after_stall(now);
        if let Phase::Leaving(left) = self.phase {
            return self.say_goodbye(now, left);
        }
        if matches!(self.phase, Phase::Listening(until) if now >= until) {
            self.phase = Phase::Running;
            self.own_changed = true;
        }
        if self.inherited == Report::Reachable && now >= self.inherited_until {
            self.inherited = Report::Unknown;
            self.own_changed = true;
        }
        let tick = now >= self.next_beacon;
        if tick {
            self.beacon(now);
        }
        if (tick || now >= self.deadline) && !self.all_quiet(now) {
            self.scan(now, tick);
        }
        self.settle(now);
    }

    /// True if a scan would find nothing: everyone known has been heard of late
    /// and is not held down. Nearly always so, and several times cheaper than to look
    /// closely; sets when to look again, be it too early.
    fn all_quiet(&mut self, now: Time) -> bool {
        if self.list_behind {
            return false;
        }
        let (weak, forgotten) = (now - self.spans.weak_after, now - self.spans.hold_forget);
        let mut oldest = now;
        for peer in self.peers.iter() {
            let remembered = peer.flaps == 0 || peer.last_flap > forgotten;
            if !(peer.hears && peer.heard > weak && peer.held_until == Time::ZERO && remembered) {
                return false;
            }
            oldest = oldest.min(peer.heard);
        }
        // No link is gone before: `alive` is never before `heard`.
        self.deadline = oldest + self.spans.gone_after;
        true
    }

    /// A router that was not running has heard nothing for that time: the
    /// silence is its own. One that missed more than the detection time is
    /// gone for the others, and listens again as after a start.
    fn after_stall(&mut self, now: Time) {
        if now <= self.wake + self.spans.beacon {
            return;
        }
        let late = now.since(self.wake);
        for peer in self.peers.iter_mut().filter(|peer| peer.hears) {
            peer.heard = (peer.heard + late).min(now);
            peer.alive = (peer.alive + late).min(now);
        }
        let fenced = late >= self.config.detection() && !mutated!(self.config, NoListening);
        if fenced && matches!(self.phase, Phase::Listening(_) | Phase::Running) {
            self.phase = Phase::Listening(now + self.config.detection());
            self.own_changed = true;
        }
    }

    /// The regular heartbeat, and the record with it after a change.
    fn beacon(&mut self, now: Time) {
        let first = self.sequence == 0;
        let step = if first { self.phase_shift.into() } else { self.spans.beacon };
        self.next_beacon += step;
        if self.next_beacon <= now {
            self.next_beacon = now + self.spans.beacon;
        }
        self.summaries_left = SUMMARIES_PER_BEACON;
        let heartbeat = self.next_heartbeat();
        self.broadcast(heartbeat.encode());
        self.counters.heartbeats += 1;
        if self.repeats > 0 {
            self.repeats -= 1;
            self.broadcast_record();
        }
    }

    /// A sign of life newer than any before.
    pub(super) fn next_heartbeat(&mut self) -> Heartbeat {
        // One in 250 ms: 34 years of them.
        self.sequence = self.sequence.saturating_add(1);
        Heartbeat {
            origin: self.me,
            incarnation: self.incarnation,
            sequence: self.sequence,
            revision: self.revision,
            digest: self.digest,
        }
    }

    /// Looks at all others: silent links, ends of hold-downs, what is to be
    /// forgotten. Sets when to look again.
    fn scan(&mut self, now: Time, tick: bool) {
        let config = &self.config;
        let spans = self.spans;
        let mut deadline = Time::MAX;
        let mut weak: Vec<RouterId> = Vec::new();
        let mut purged: Vec<RouterId> = Vec::new();
        for peer in self.peers.iter_mut() {
            if peer.hears && now >= peer.gone_at(&spans) {
                peer.hears = false;
                self.own_changed = true;
            }
            if peer.hears {
                deadline = deadline.min(peer.gone_at(&spans));
                if tick && now >= peer.heard + spans.weak_after {
                    weak.push(peer.id);
                }
            }
            if peer.held_until > Time::ZERO && !peer.held(now, config) {
                peer.held_until = Time::ZERO;
                self.own_changed = true;
            }
            self.own_changed |= peer.forgive(now, config);
            if peer.held_until > Time::ZERO && peer.held_until > now {
                deadline = deadline.min(peer.held_until);
            }
            if peer.incarnation != Incarnation::default()
                && peer.absent()
                && now >= peer.absent_since + spans.gone_after
            {
                peer.forget_life();
                purged.push(peer.id);
            }
        }
        self.deadline = deadline;
        self.forget_records(&purged);
        self.peers
            .retain(|peer| !peer.absent() || peer.flaps > 0 || now < peer.absent_since + spans.hold_forget);
        weak.iter().for_each(|id| self.probe(*id));
        if tick && self.list_behind {
            self.ask_for_list(now);
        }
    }

    /// Asks a silent router itself, and neighbours that still hear it.
    fn probe(&mut self, target: RouterId) {
        let Some(peer) = self.peers.get(target) else { return };
        let (incarnation, sequence) = (peer.incarnation, peer.sequence.max(peer.vouched));
        let probe = Packet::Probe { sender: self.me, target, incarnation, sequence }.encode();
        let slots: Vec<usize> = self.map.helpers(self.me, target).iter().collect();
        // Others each time, so that a deaf helper does not decide.
        let first = if slots.is_empty() { 0 } else { self.sequence as usize % slots.len() };
        let helpers = slots.iter().cycle().skip(first).take(HELPERS.min(slots.len()));
        let helpers: Vec<RouterId> = helpers.map(|slot| self.map.records()[*slot].origin).collect();
        self.send(target, probe.clone());
        helpers.iter().for_each(|helper| self.send(*helper, probe.clone()));
        self.counters.probes += 1 + helpers.len() as u64;
    }

    /// Says that it is here itself, or what it last heard of the router asked for.
    pub(super) fn answer_probe(
        &mut self,
        now: Time,
        sender: RouterId,
        target: RouterId,
        incarnation: Incarnation,
        sequence: u32,
    ) {
        if target == self.me {
            let heartbeat = self.next_heartbeat();
            return self.send(sender, heartbeat.encode());
        }
        let Some(peer) = self.peers.get(target) else { return };
        let age = now.since(peer.heard);
        if !peer.hears || (peer.incarnation, peer.sequence) <= (incarnation, sequence) {
            return;
        }
        let heartbeat = peer.last_heartbeat();
        let age_ms = u16::try_from(age.as_millis()).unwrap_or(u16::MAX);
        self.counters.relayed_heartbeats += 1;
        self.send(sender, Packet::Relayed { sender: self.me, heartbeat, age_ms }.encode());
    }

    /// SIGTERM: from now on not ready, and said so until it is surely heard.
    pub(super) fn leave(&mut self, now: Time) {
        if matches!(self.phase, Phase::Leaving(_)) {
            return;
        }
        self.phase = Phase::Leaving(GOODBYES - 1);
        self.inherited = Report::Unknown;
        self.stop_leading(Role::Stopped);
        self.write_record(now);
        self.broadcast_record();
        self.next_beacon = now + self.config.flood_gap;
        self.flood_at = Time::MAX;
        self.deadline = Time::MAX;
    }

    fn say_goodbye(&mut self, now: Time, left: u8) {
        if left == 0 {
            self.phase = Phase::Stopped;
            return;
        }
        self.broadcast_record();
        self.phase = Phase::Leaving(left - 1);
        self.next_beacon = now + self.config.flood_gap;
        self.rewind();
    }
}

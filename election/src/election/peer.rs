//! What a router remembers of each other one: signs of life, and flaps.

use alloc::vec::Vec;
use core::time::Duration;

use crate::config::{Config, ROUTERS_MAX, mutated};
use crate::id::{Incarnation, RouterId};
use crate::record::Heartbeat;
use crate::time::{Micros, Time};

/// Highest flap count that a record can carry.
const FLAPS_MAX: u8 = 127;

/// What each interval is measured by; worked out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Spans {
    /// [`Config::beacon`].
    pub(super) beacon: Micros,
    /// [`Config::weak_after`].
    pub(super) weak_after: Micros,
    /// [`Config::detection`].
    pub(super) gone_after: Micros,
    /// [`Config::vouched_max`].
    vouched_max: Micros,
    /// [`Config::hold_forget`].
    pub(super) hold_forget: Micros,
}

impl Spans {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            beacon: config.beacon.into(),
            weak_after: config.weak_after().into(),
            gone_after: config.detection().into(),
            vouched_max: config.vouched_max().into(),
            hold_forget: config.hold_forget.into(),
        }
    }
}

/// One other router.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) id: RouterId,
    /// Its newest life known.
    pub(super) incarnation: Incarnation,
    /// Of its latest heartbeat heard directly in that life.
    pub(super) sequence: u32,
    /// Of its latest heartbeat that another sent on.
    pub(super) vouched: u32,
    /// Digest of its latest heartbeat.
    pub(super) digest: u64,
    /// Revision of its record in the map, 0 if there is none.
    pub(super) revision: u32,
    /// Its record says greater numbers than are believed so far.
    pub(super) cut: bool,
    /// No record of this life older than this revision is news.
    pub(super) floor: u32,
    /// Of the record by which it was a member.
    pub(super) member_revision: u32,
    /// Its latest heartbeat came directly at this time.
    pub(super) heard: Time,
    /// Its latest sign of life, direct or through another.
    pub(super) alive: Time,
    /// Reported as heard in the own record.
    pub(super) hears: bool,
    /// Its heartbeats of this life count for nothing before: what was on the
    /// way when it closed its connection, or said goodbye, is no news.
    pub(super) deaf_until: Time,
    /// Heartbeats in a row whose digest differed.
    pub(super) mismatches: u8,
    /// Its heartbeats have spoken of a newer record than the one here since;
    /// `Time::MAX` if not.
    pub(super) outdated_since: Time,
    /// It was asked for that record for a detection time, and did not answer.
    pub(super) unanswered: bool,
    /// Its record was asked for at this time.
    pub(super) asked: Time,
    /// Its record has not been sent on yet, since it was no member.
    pub(super) unrelayed: bool,
    /// Who sent its record.
    pub(super) from: RouterId,
    /// In this router's component.
    pub(super) member: bool,
    /// Was a member, and has left or restarted since.
    pub(super) departed: bool,
    /// Neither heard nor a member since.
    pub(super) absent_since: Time,
    pub(super) flaps: u8,
    pub(super) last_flap: Time,
    /// Held down until then; zero if not.
    pub(super) held_until: Time,
}

impl Peer {
    fn new(id: RouterId, now: Time) -> Self {
        Self {
            id,
            incarnation: Incarnation::default(),
            sequence: 0,
            vouched: 0,
            digest: 0,
            revision: 0,
            cut: false,
            floor: 0,
            member_revision: 0,
            heard: Time::ZERO,
            alive: Time::ZERO,
            hears: false,
            deaf_until: Time::ZERO,
            mismatches: 0,
            outdated_since: Time::MAX,
            unanswered: false,
            asked: Time::ZERO,
            unrelayed: false,
            from: id,
            member: false,
            departed: false,
            absent_since: now,
            flaps: 0,
            last_flap: Time::ZERO,
            held_until: Time::ZERO,
        }
    }

    /// A sign of life that this router heard itself.
    pub(super) fn hear(&mut self, now: Time, heartbeat: &Heartbeat) {
        self.sequence = heartbeat.sequence;
        self.digest = heartbeat.digest;
        self.heard = now;
        self.alive = now;
    }

    /// A new life: nothing of the old one counts any more.
    pub(super) fn reborn(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.sequence = 0;
        self.vouched = 0;
        self.forget_record();
        self.floor = 0;
        self.unanswered = false;
        self.outdated_since = Time::MAX;
        self.deaf_until = Time::ZERO;
        self.departed |= self.member;
    }

    /// Gone for good, or for long: whatever life it comes back with is news.
    /// Only its flaps are remembered.
    pub(super) fn forget_life(&mut self) {
        self.incarnation = Incarnation::default();
        self.sequence = 0;
        self.vouched = 0;
        self.forget_record();
        self.floor = 0;
    }

    /// Its record is to be heard again, but no older one.
    pub(super) fn forget_record(&mut self) {
        self.floor = self.floor.max(self.revision);
        self.revision = 0;
        self.cut = false;
    }

    /// The latest that this router heard of it.
    pub(super) fn last_heartbeat(&self) -> Heartbeat {
        Heartbeat {
            origin: self.id,
            incarnation: self.incarnation,
            sequence: self.sequence,
            revision: self.revision,
            digest: self.digest,
        }
    }

    /// Neither heard nor a member.
    pub(super) fn absent(&self) -> bool {
        !self.hears && !self.member
    }

    /// When its link is gone if nothing more comes: the detection time after
    /// the last sign of life, and not on the word of others for ever.
    pub(super) fn gone_at(&self, spans: &Spans) -> Time {
        (self.alive + spans.gone_after).min(self.heard + spans.vouched_max)
    }

    /// It is back after an absence. The first time costs nothing; from the
    /// second on it is held down, twice as long each time. True if held.
    pub(super) fn flap(&mut self, now: Time, config: &Config) -> bool {
        self.departed = false;
        // A restart whose record overtakes its heartbeat, or the reverse, is one flap.
        if self.flaps > 0 && now.since(self.last_flap) < config.beacon * 2 {
            return false;
        }
        self.flaps = self.flaps.saturating_add(1).min(FLAPS_MAX);
        self.last_flap = now;
        if self.flaps < 2 || mutated!(config, NoHoldDown) {
            return false;
        }
        self.held_until = now + hold(config, self.flaps);
        true
    }

    pub(super) fn held(&self, now: Time, config: &Config) -> bool {
        now < self.held_until || (mutated!(config, EndlessHoldDown) && self.held_until > Time::ZERO)
    }

    /// Forgets flaps after the quiet time. True if the own record changes by it.
    pub(super) fn forgive(&mut self, now: Time, config: &Config) -> bool {
        let over = self.flaps > 0 && now >= self.last_flap + config.hold_forget;
        if over && !mutated!(config, EndlessHoldDown) {
            self.flaps = 0;
            self.held_until = Time::ZERO;
        }
        over
    }
}

/// Hold-down after so many flaps: base, doubled for each beyond the second.
fn hold(config: &Config, flaps: u8) -> Duration {
    let doublings = u32::from(flaps.saturating_sub(2)).min(16);
    (config.hold_base * (1 << doublings)).min(config.hold_max)
}

/// All others, sorted by id, at most [`ROUTERS_MAX`] less this router.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Peers {
    /// The ids alone, as numbers: what each heartbeat is looked up in.
    keys: Vec<u128>,
    /// As long as `keys`.
    peers: Vec<Peer>,
}

impl Peers {
    pub(super) fn iter(&self) -> core::slice::Iter<'_, Peer> {
        self.peers.iter()
    }

    pub(super) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Peer> {
        self.peers.iter_mut()
    }

    #[inline]
    pub(super) fn get(&self, id: RouterId) -> Option<&Peer> {
        self.slot(id).ok().map(|slot| &self.peers[slot])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: RouterId) -> Option<&mut Peer> {
        self.slot(id).ok().map(|slot| &mut self.peers[slot])
    }

    #[inline]
    fn slot(&self, id: RouterId) -> Result<usize, usize> {
        self.keys.binary_search(&u128::from_be_bytes(id.0))
    }

    /// Forgets those that `keep` denies.
    pub(super) fn retain(&mut self, keep: impl Fn(&Peer) -> bool) {
        if !self.peers.iter().all(&keep) {
            self.peers.retain(keep);
            self.keys = self.peers.iter().map(|peer| u128::from_be_bytes(peer.id.0)).collect();
        }
    }

    /// The router `id`, remembered from now on if it is new. Where the table
    /// is full, the one that has been absent longest makes room, and is returned to be
    /// taken off the map; `Err` where none is absent.
    pub(super) fn admit(&mut self, id: RouterId, now: Time) -> Result<Option<RouterId>, Full> {
        let Err(mut slot) = self.slot(id) else { return Ok(None) };
        let mut evicted = None;
        if self.peers.len() >= ROUTERS_MAX - 1 {
            let absent = self.peers.iter().enumerate().filter(|(_, peer)| peer.absent());
            let (oldest, _) = absent.min_by_key(|(_, peer)| peer.absent_since).ok_or(Full)?;
            self.keys.remove(oldest);
            evicted = Some(self.peers.remove(oldest).id);
            slot -= usize::from(oldest < slot);
        }
        self.keys.insert(slot, u128::from_be_bytes(id.0));
        self.peers.insert(slot, Peer::new(id, now));
        Ok(evicted)
    }
}

/// No room for one more router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

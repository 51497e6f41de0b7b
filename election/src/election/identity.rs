//! Its own id heard from elsewhere: what it was before it lost its disk, or
//! another router with the same key.

use super::{Election, Phase};
use crate::api::{Role, Warning};
use crate::config::mutated;
use crate::epoch::COUNTS;
use crate::id::Incarnation;
use crate::time::Time;

/// Heartbeats of a stranger, each newer than the one before, that prove it
/// alive: three may still be in flight from a life that ended just now.
const STRANGER_BEATS: u8 = 4;

/// How often a stranger's counter must rise above the own one while this
/// router runs: records of an earlier life that outbid a still earlier one may
/// come in twice, from two sides of a partition, but they do not go on.
const OUTBIDS: u8 = 3;

/// Someone who uses this router's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stranger {
    incarnation: Incarnation,
    /// Of its latest heartbeat.
    sequence: u32,
    /// How many newer and newer ones there were.
    beats: u8,
    /// How often its counter rose.
    outbids: u8,
    since: Time,
}

/// For so long after its end a connection with another holder of this identity counts
/// as proof, and for so long it is remembered how often one was outbid: detection times.
const SHOWN_DETECTIONS: u32 = 8;

/// What is believed of the own id heard elsewhere. The mesh key proves that somebody is
/// a router, not which one: heartbeats and records in this router's name may be said by
/// anybody who has the key. So they make it go on above what they say, and warn, but
/// stop it only where a connection has shown somebody who has this identity's key
/// itself (noise asks for it): by its connections a router defends itself.
impl Election {
    /// The own id was heard, in a heartbeat (`sequence`) or in a record that
    /// others keep. A record of an earlier life is only outbid; a stranger
    /// whose heartbeats go on, or who outbids in turn, is alive: if it is shown to be one,
    /// this router stops.
    pub(super) fn own_id_heard(&mut self, now: Time, heard: Incarnation, sequence: Option<u32>) {
        let heard = self.believed_life(self.incarnation, heard);
        let known = self.stranger.filter(|stranger| stranger.incarnation.random == heard.random);
        let mut stranger =
            known.unwrap_or(Stranger { incarnation: heard, sequence: 0, beats: 0, outbids: 0, since: now });
        if let Some(sequence) = sequence.filter(|sequence| *sequence > stranger.sequence) {
            stranger.sequence = sequence;
            stranger.beats = stranger.beats.saturating_add(1);
        }
        let rises = heard.counter > stranger.incarnation.counter;
        stranger.outbids = stranger.outbids.saturating_add(u8::from(rises));
        stranger.incarnation = stranger.incarnation.max(heard);
        self.stranger = Some(stranger);
        let lasting = stranger.beats >= STRANGER_BEATS && now.since(stranger.since) >= self.config.beacon * 2;
        let is_alive = stranger.outbids >= OUTBIDS || lasting;
        if is_alive && (now < self.clone_shown_until || mutated!(self.config, CloneByWords)) {
            return self.stop_cloned();
        }
        if is_alive {
            self.warn(Warning::IdentityHeard);
        }
        if heard > self.incarnation && self.may_outbid(now) {
            self.outbid(heard);
        }
    }

    /// A few times at once, then once each detection time: whoever goes on with it, or a
    /// clone that no connection reaches, does not make this router a new one to the
    /// others each time.
    fn may_outbid(&mut self, now: Time) -> bool {
        if now.since(self.outbid_at) >= self.config.detection() * SHOWN_DETECTIONS {
            self.outbids = 0;
        }
        let may = self.outbids <= OUTBIDS || now.since(self.outbid_at) >= self.config.detection();
        if may {
            self.outbids = self.outbids.saturating_add(1);
            self.outbid_at = now;
        }
        may
    }

    /// A connection stands whose other end has this router's own key, and is not
    /// this router: what is heard in its name is true.
    pub(super) fn clone_shown(&mut self) {
        self.clone_shown_until = Time::MAX;
    }

    /// That connection is over.
    pub(super) fn clone_lost(&mut self, now: Time) {
        self.clone_shown_until = now + self.config.detection() * SHOWN_DETECTIONS;
    }

    /// This very life was heard: whoever said more of it than it has said itself would
    /// keep the others from hearing it. It goes on above that.
    pub(super) fn own_life_heard(&mut self, sequence: u32, revision: u32) {
        if mutated!(self.config, AllBelieved) {
            return;
        }
        self.sequence = self.sequence.max(COUNTS.of_u32(self.sequence, sequence));
        if revision > self.revision {
            self.revision = COUNTS.of_u32(self.revision, revision);
            self.write_anew = true;
            self.own_changed = true;
        }
    }

    /// A life as it is believed.
    pub(super) fn believed_life(&self, known: Incarnation, heard: Incarnation) -> Incarnation {
        if mutated!(self.config, AllBelieved) { heard } else { heard.believed(known) }
    }

    /// Goes on above an earlier life that others still remember.
    fn outbid(&mut self, heard: Incarnation) {
        self.incarnation.counter = heard.counter.saturating_add(1);
        // A term belongs to the life that took it.
        self.term.own = None;
        self.persist();
        self.own_changed = true;
        self.map_changed = true;
    }

    fn stop_cloned(&mut self) {
        self.phase = Phase::Stopped;
        self.stop_leading(Role::Stopped);
        self.warn(Warning::ClonedIdentity);
    }
}

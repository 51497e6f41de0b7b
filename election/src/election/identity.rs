//! Its own id heard from elsewhere: what it was before it lost its disk, or
//! another router with the same key.

use super::{Election, Phase};
use crate::api::{Role, Warning};
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

impl Election {
    /// The own id was heard, in a heartbeat (`sequence`) or in a record that
    /// others keep. A record of an earlier life is only outbid; a stranger
    /// whose heartbeats go on, or who outbids in turn, is alive.
    pub(super) fn own_id_heard(&mut self, now: Time, heard: Incarnation, sequence: Option<u32>) {
        if heard.random == self.incarnation.random {
            return;
        }
        let known = self.stranger.filter(|stranger| stranger.incarnation.random == heard.random);
        let mut stranger =
            known.unwrap_or(Stranger { incarnation: heard, sequence: 0, beats: 0, outbids: 0, since: now });
        if let Some(sequence) = sequence.filter(|sequence| *sequence > stranger.sequence) {
            stranger.sequence = sequence;
            stranger.beats = stranger.beats.saturating_add(1);
        }
        stranger.outbids += u8::from(heard.counter > stranger.incarnation.counter);
        stranger.incarnation = stranger.incarnation.max(heard);
        self.stranger = Some(stranger);
        let lasting = stranger.beats >= STRANGER_BEATS && now.since(stranger.since) >= self.config.beacon * 2;
        if stranger.outbids >= OUTBIDS || lasting {
            self.stop_cloned();
        } else if heard > self.incarnation {
            self.outbid(heard);
        }
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

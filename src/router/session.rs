//! One client, wherever and whether it is connected: its room, its intervals,
//! and what is settled for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use super::clients::AddressBlock;
use super::io::{ConnId, FrameNo};
use super::mesh::Place;
use super::record::{Moment, Position};
use super::settings::TAKEOVERS_MAX;
use crate::wire::Present;
use crate::wire::fau3e::SessionVersion;
use crate::wire::{ClientId, Origin, Record, RecordId, RoomId, SETTLED_BEYOND_MAX, Settled, Uuid};

impl Settled {
    /// Whether this record need not be sent any more.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        sequence <= self.prefix || self.beyond.contains(&sequence)
    }

    /// What came up to this sequence is not for the client.
    pub(super) fn begin_after(&mut self, sequence: u64) {
        self.before = self.before.max(sequence);
        self.prefix = self.prefix.max(sequence);
        self.beyond = self.beyond.split_off(&(self.prefix + 1));
    }

    /// Settles one record. `room` are the sequences of the room's records after
    /// the prefix, rising, each with whether it is the client's own: the prefix
    /// moves on over those that are settled or own. Says whether a gap had to
    /// be given up, since there were too many.
    pub(super) fn insert(&mut self, sequence: u64, room: impl Iterator<Item = (u64, bool)>) -> bool {
        if sequence > self.prefix {
            self.beyond.insert(sequence);
        }
        for (next, own) in room {
            if !own && next > self.prefix && !self.beyond.contains(&next) {
                break;
            }
            self.prefix = self.prefix.max(next);
        }
        let gap_given_up = self.beyond.len() > SETTLED_BEYOND_MAX && {
            self.prefix = self.prefix.max(self.beyond.first().copied().unwrap_or(0));
            true
        };
        self.beyond = self.beyond.split_off(&(self.prefix + 1));
        gap_given_up
    }
}

/// A session as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// Whose.
    pub client_id: ClientId,
    /// Its room; `None` before its first Subscribe.
    pub room: Option<RoomId>,
    /// Period of Monitor messages in seconds; 0: none.
    pub monitor_period_s: u32,
    /// Period of Ping messages in seconds; 0: none.
    pub ping_period_s: u32,
    /// What is settled, for each origin.
    pub settled: BTreeMap<Origin, Settled>,
    /// Which state of the session this is.
    pub version: SessionVersion,
    /// The version at which it entered its room.
    pub entered: SessionVersion,
    /// The version at which it last said, as far as known, that it was in another one.
    pub moved_over: SessionVersion,
    /// The newest record that it has sent.
    pub last: Option<RecordId>,
}

/// When a client came to its room, by this router's clock. What was said before
/// is not for it, also where the routers it came to did not know of it yet: they
/// had just started, or were cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coming(Moment);

impl Coming {
    /// So many ms ago, here or as another router says.
    pub(super) fn before(now: Time, age_ms: u64) -> Self {
        Self(Moment::before(now, age_ms))
    }

    /// Surely later than something that was said then.
    pub(super) fn is_after(self, said: Moment, now: Time) -> bool {
        said.later_by(ABOUT + self.0.age(now) / CLOCK_ERROR_PART) < self.0
    }

    pub(super) fn age_ms(self, now: Time) -> u64 {
        self.0.age_ms(now)
    }

    /// Of two times when it came to the same room, both known, one is surely the earlier.
    pub(super) fn is_before(one: Option<Self>, other: Option<Self>, now: Time) -> bool {
        one.zip(other).is_some_and(|(Self(one), Self(other))| {
            one.later_by(ABOUT + one.age(now) / CLOCK_ERROR_PART) < other
        })
    }

    /// Another router knows of a time when it came to the same room: the earlier one
    /// is right. True if that makes a difference to what it is owed.
    pub(super) fn join(known: &mut Option<Self>, heard: Option<Self>) -> bool {
        let Some(Self(was)) = *known else { return false };
        if heard.is_none_or(|Self(heard)| heard < was) {
            *known = heard;
        }
        heard.is_none_or(|Self(heard)| heard.later_by(ABOUT) < was)
    }
}

/// By how much two routers may differ in when something was that one of them tells the
/// other. Rather a word too much is heard than one too few.
const ABOUT: Duration = Duration::from_secs(2);
/// One clock may be slow and the other one fast, together by one part of so many.
const CLOCK_ERROR_PART: u32 = 10;

/// A message that waits for its Confirm.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    pub(super) uuid: Uuid,
    pub(super) what: T,
    /// How often it was sent so far.
    pub(super) sent: u32,
    pub(super) wait: Wait,
    /// When it was sent first, for the latency shown.
    pub(super) since: Time,
}

/// What an unconfirmed message waits for before it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Its frame has to leave the socket buffer first.
    ToLeave(FrameNo),
    /// T has to pass.
    Until(Time),
    /// This probe has to come back, sent when T had passed.
    Pong(u32),
}

/// The connected half of a session.
#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) conn: ConnId,
    /// Where it comes from.
    pub(super) block: AddressBlock,
    /// Frames sent so far on this connection.
    pub(super) frames: FrameNo,
    /// Where in the room's records delivery stands: the next one to look at.
    pub(super) next: Position,
    /// Items, oldest first; at most [`super::settings::IN_FLIGHT_MAX`].
    pub(super) items: VecDeque<InFlight<Arc<Record>>>,
    /// The newest Monitor, while it is unconfirmed.
    pub(super) monitor: Option<InFlight<Arc<[Present]>>>,
    /// When the next Monitor is due.
    pub(super) monitor_at: Option<Time>,
    /// Unanswered Pings, oldest first, each with when it left the socket
    /// buffer; at most three, since after two periods the connection ends.
    pub(super) pings: VecDeque<(Uuid, Departure)>,
    /// When the next Ping is due.
    pub(super) ping_at: Option<Time>,
    /// The newest WebSocket ping and when it was sent, while unanswered.
    pub(super) probe: Option<(u32, Time)>,
    /// Probes sent so far.
    pub(super) probes: u32,
    /// When the next WebSocket ping is due.
    pub(super) probe_at: Time,
    /// Nothing is said to it until it has said something, or until then.
    pub(super) silent_until: Option<Time>,
    /// The item that is sent alone, to see whether the connection ends on it.
    pub(super) alone: Option<Uuid>,
    /// Of the records that wait behind the others, the next one to look at.
    pub(super) behind: Position,
    /// Something that it sent was invalid, and the log has been told.
    pub(super) invalid_told: bool,
    /// The last sign of life: anything received, or a frame that got away.
    pub(super) alive_at: Time,
    /// When anything last came from the client itself.
    pub(super) heard_at: Time,
    /// The earliest moment at which one of the above needs attention; the
    /// router's timers hold it.
    pub(super) timer: Option<Time>,
}

/// Whether a frame has left the socket buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// Not yet.
    Waiting(FrameNo),
    /// At this moment.
    At(Time),
}

/// A client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: ClientId,
    pub(super) since: Moment,
    /// Which state of the session this is, and who holds the client.
    pub(super) version: SessionVersion,
    /// The version at which it entered its room.
    pub(super) entered: SessionVersion,
    /// The version at which it last said, as far as known, that it was in another one.
    pub(super) moved_over: SessionVersion,
    /// Where the client is while it has no connection here.
    pub(super) place: Place,
    /// Its holder, another router, says that it is connected there.
    pub(super) is_held: bool,
    /// The newest record that it has sent, behind its Lamport time; that is 0 where
    /// nobody knows it any more.
    pub(super) last: Option<(u64, RecordId)>,
    pub(super) room: Option<RoomId>,
    pub(super) monitor_period_s: u32,
    pub(super) ping_period_s: u32,
    pub(super) settled: BTreeMap<Origin, Settled>,
    /// When it came to its room; `None`: nobody knows any more.
    pub(super) came: Option<Coming>,
    /// Records of its room, by place, on which connections have ended, and how many.
    pub(super) suspects: BTreeMap<Position, u32>,
    /// The connection, while there is one. Boxed: detached sessions are many
    /// and small.
    pub(super) link: Option<Box<ClientConnection>>,
    /// When it was detached; orders and ends those without a link.
    pub(super) detached_at: Time,
    /// The last take-overs from somebody who was alive, for telling devices that
    /// fight over an id.
    pub(super) takeovers: VecDeque<Time>,
}

impl Session {
    /// `version`: one that is older than every real one.
    pub(super) fn new(client_id: ClientId, now: Time, version: SessionVersion) -> Self {
        Self {
            client_id,
            since: Moment::before(now, 0),
            version,
            entered: version,
            moved_over: version,
            place: Place::HereOrNowhere,
            is_held: false,
            last: None,
            room: None,
            monitor_period_s: 0,
            ping_period_s: 0,
            settled: BTreeMap::new(),
            came: None,
            suspects: BTreeMap::new(),
            link: None,
            detached_at: now,
            takeovers: VecDeque::with_capacity(TAKEOVERS_MAX),
        }
    }

    pub(super) fn restored(saved: SavedSession, now: Time) -> Self {
        Self {
            room: saved.room,
            monitor_period_s: saved.monitor_period_s,
            ping_period_s: saved.ping_period_s,
            settled: saved.settled,
            entered: saved.entered,
            moved_over: saved.moved_over,
            last: saved.last.map(|last| (0, last)),
            ..Self::new(saved.client_id, now, saved.version)
        }
    }

    pub(super) fn saved(&self) -> SavedSession {
        SavedSession {
            client_id: self.client_id.clone(),
            room: self.room.clone(),
            monitor_period_s: self.monitor_period_s,
            ping_period_s: self.ping_period_s,
            settled: self.settled.clone(),
            version: self.version,
            entered: self.entered,
            moved_over: self.moved_over,
            last: self.last.map(|(_, last)| last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_moves_over_what_is_settled_and_stops_at_a_gap() {
        let room = [2, 5, 6, 7, 9].map(|sequence| (sequence, sequence == 6));
        let mut settled = Settled::default();
        assert!(!settled.insert(5, room.into_iter()));
        assert_eq!((settled.prefix, settled.contains(5), settled.contains(2)), (0, true, false));
        assert!(!settled.insert(2, room.into_iter()));
        assert_eq!((settled.prefix, settled.beyond.len()), (6, 0), "over one's own, too");
        assert!(!settled.insert(9, room.into_iter().filter(|next| next.0 > 6)));
        assert_eq!((settled.prefix, settled.contains(7)), (6, false));
    }

    #[test]
    fn too_many_gaps_give_up_the_oldest() {
        let room: Vec<_> =
            (1..=2 * SETTLED_BEYOND_MAX as u64 + 2).map(|sequence| (sequence, false)).collect();
        let mut settled = Settled::default();
        let mut given_up = 0;
        for (even, _) in room.iter().copied().filter(|(sequence, _)| sequence % 2 == 0) {
            let prefix = settled.prefix;
            given_up += u32::from(settled.insert(even, room.iter().copied().filter(|s| s.0 > prefix)));
        }
        assert_eq!(given_up, 1);
        assert!(settled.contains(1) && !settled.contains(3));
        assert!(settled.beyond.len() <= SETTLED_BEYOND_MAX);
    }
}

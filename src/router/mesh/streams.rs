//! Live audio from router to router: at once or not at all, once each, only to
//! where somebody listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use fau3_election::RouterId;

use crate::router::{Router, SessionKey};
use crate::wire::fau3e::{Message, Stream};
use crate::wire::{Origin, RecordId, RoomId};

/// Routers that a piece of audio may pass; no mesh of people's routers is wider.
const HOPS_MAX: u8 = 16;
/// Origins whose audio is remembered; beyond it the one first in order goes.
const ORIGINS_MAX: usize = 512;

/// Nothing is late by so many frames: 20 ms each, some six hours.
const BACK_MAX: u64 = 1 << 20;

/// What was heard of each origin: the newest, and which of the 64 before it
/// (DESIGN.md, "Session": "dropped when seen before (window of 64 an origin)").
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<Origin, Window>);

#[derive(Debug, Default)]
struct Window {
    top: u64,
    /// Bit n: `top` - n was heard.
    seen: u64,
}

impl Heard {
    /// Whether this is heard for the first time, and not too late.
    fn is_new(&mut self, id: &RecordId) -> bool {
        if self.0.len() >= ORIGINS_MAX && !self.0.contains_key(&id.origin) {
            self.0.pop_first();
        }
        let window = self.0.entry(id.origin).or_default();
        if id.sequence > window.top {
            let by = id.sequence - window.top;
            window.seen = if by >= 64 { 1 } else { window.seen << by | 1 };
            window.top = id.sequence;
            return true;
        }
        let back = window.top - id.sequence;
        if back > BACK_MAX {
            // What came before was not its origin's: nobody falls so far behind.
            *window = Window { top: id.sequence, seen: 1 };
            return true;
        }
        let is_new = back < 64 && window.seen & (1 << back) == 0;
        if is_new {
            window.seen |= 1 << back;
        }
        is_new
    }
}

impl Router {
    /// A client here speaks: the other routers with a listener hear it.
    pub(in crate::router) fn stream_on(&mut self, key: SessionKey, room: &RoomId, frame: &Arc<[u8]>) {
        let Some(mesh) = &mut self.mesh else { return };
        if mesh.audience.of(room).next().is_none() {
            return;
        }
        mesh.streams += 1;
        let stream = Stream {
            id: RecordId { origin: self.origin, sequence: mesh.streams },
            hops: HOPS_MAX,
            room: room.clone(),
            client_id: self.sessions[key].client_id.clone(),
            frame: frame.clone(),
        };
        self.pass_stream(stream, None);
    }

    /// Audio came from another router.
    pub(super) fn stream_heard(&mut self, router: RouterId, mut stream: Stream) {
        let own = self.origin.router;
        let Some(mesh) = &mut self.mesh else { return };
        if stream.id.origin.router == own || !mesh.heard.is_new(&stream.id) {
            self.stats.streams_seen_before += 1;
            return;
        }
        self.stats.streams_in += 1;
        self.stream_to_members(&stream.room.clone(), &stream.client_id.clone(), &stream.frame.clone());
        stream.hops = stream.hops.saturating_sub(1);
        if stream.hops > 0 {
            self.pass_stream(stream, Some(router));
        }
    }

    fn pass_stream(&mut self, stream: Stream, via: Option<RouterId>) {
        let next = self.next_hops(stream.id.origin.router, via, Some(&stream.room));
        let message = Arc::new(Message::Stream(stream));
        for router in next {
            if self.tell_peer(router, message.clone()) {
                self.stats.streams_passed += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fau3_election::Incarnation;

    use super::*;

    #[test]
    fn what_was_heard_within_the_last_64_is_not_new_and_what_is_older_is_too_late() {
        let origin = Origin { router: RouterId([1; 16]), incarnation: Incarnation::default() };
        let mut heard = Heard::default();
        let mut is_new = |sequence| heard.is_new(&RecordId { origin, sequence });
        assert_eq!([10, 10, 9, 9, 11, 9].map(&mut is_new), [true, false, true, false, true, false]);
        let far = 1 << 49;
        assert!(is_new(far), "whoever says so");
        assert_eq!([12, 12, 13].map(&mut is_new), [true, false, true], "does not silence it");
        assert_eq!([200, 137, 137, 136].map(&mut is_new), [true, true, false, false]);
    }
}

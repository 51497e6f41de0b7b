//! A record on which a client's connections end, again and again: one that is
//! larger than what the client can take, say, which it answers by closing. Sent
//! first each time, it would keep everything else from the client for ever. So it
//! waits behind the others, and is tried when nothing else is owed: it is never
//! lost.
//!
//! Which of several in flight was it? The oldest is suspected, and the last of
//! the connections that decide carries it alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::delivery::has_room_for;
use super::io::Output;
use super::record::Position;
use super::rooms::Room;
use super::session::ClientConnection;
use super::settings::{ENDINGS_MAX, SUSPECTS_MAX};
use super::{Router, SessionKey};
use crate::wire::Record;

impl ClientConnection {
    /// The record to look at next: in order, but for those that wait behind the
    /// others. `None`: there is none, or it is not its turn yet.
    pub(super) fn next_of<'a>(
        &mut self,
        room: &'a Room,
        suspects: &BTreeMap<Position, u32>,
    ) -> Option<(Position, &'a Arc<Record>)> {
        let first = self.items.front();
        if first.is_some_and(|first| first.sent == 1 && self.alone == Some(first.uuid)) {
            return None;
        }
        let endings = |position: &Position| suspects.get(position).copied().unwrap_or(0);
        let mut in_order = room.records.range(self.next..);
        if let Some((position, record)) = in_order.find(|(position, _)| endings(position) < ENDINGS_MAX) {
            if endings(position) + 1 == ENDINGS_MAX && first.is_some() {
                return None; // It goes alone.
            }
            if !has_room_for(&self.items, record) {
                return None;
            }
            self.next = position + 1;
            return Some((*position, record));
        }
        self.next = room.records.last_key_value().map_or(self.next, |(last, _)| self.next.max(last + 1));
        if first.is_some() {
            return None;
        }
        let mut behind = suspects.range(self.behind..).filter(|(_, endings)| **endings >= ENDINGS_MAX);
        let (position, record) =
            behind.find_map(|(position, _)| Some((*position, room.records.get(position)?)))?;
        self.behind = position + 1;
        Some((position, record))
    }
}

impl Router {
    /// A connection ends: the record that its client should have confirmed next
    /// may be why.
    pub(super) fn suspect(&mut self, key: SessionKey) {
        let session = &mut self.sessions[key];
        let Some(first) = session.link.as_ref().and_then(|link| link.items.front()) else { return };
        if first.sent > 1 {
            return; // It has read on behind it: what came back says so.
        }
        let record = first.what.clone();
        let Some(place) = self.origins.position(&record.id).and_then(|at| self.log.place(at)) else { return };
        let suspects = &mut session.suspects;
        if suspects.len() >= SUSPECTS_MAX && !suspects.contains_key(&place) {
            suspects.pop_first();
        }
        let endings = suspects.entry(place).or_default();
        *endings = endings.saturating_add(1);
        if *endings == ENDINGS_MAX {
            self.stats.put_behind += 1;
            let client_id = session.client_id.clone();
            self.outputs.push_back(Output::PutBehind { client_id, record });
        }
    }
}

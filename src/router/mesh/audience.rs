//! Where the clients of each room are: live audio goes there and nowhere else.

use std::collections::BTreeMap;

use fau3_election::RouterId;

use crate::wire::RoomId;

/// Clients connected to other routers, counted by room and router. Bounded by
/// the table of sessions.
#[derive(Debug, Default)]
pub(in crate::router) struct Audience(BTreeMap<RoomId, BTreeMap<RouterId, u32>>);

impl Audience {
    pub(super) fn add(&mut self, room: RoomId, router: RouterId) {
        *self.0.entry(room).or_default().entry(router).or_default() += 1;
    }

    pub(super) fn remove(&mut self, room: &RoomId, router: RouterId) {
        let Some(routers) = self.0.get_mut(room) else { return };
        if let Some(count) = routers.get_mut(&router) {
            *count -= 1;
            if *count == 0 {
                routers.remove(&router);
            }
        }
        if routers.is_empty() {
            self.0.remove(room);
        }
    }

    /// Routers with a client in the room.
    pub(super) fn of(&self, room: &RoomId) -> impl Iterator<Item = RouterId> + '_ {
        self.0.get(room).into_iter().flat_map(|routers| routers.keys().copied())
    }
}

//! Memory for messages that have begun and not ended, shared by all clients.
//!
//! Whoever begins long messages and never ends them must not keep others from
//! theirs: when it is used up, the address that holds most of it gives way, with
//! its longest message.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frames::Violation;
use crate::router::ConnId;

/// Messages of all clients that have begun and not ended, in bytes together.
pub(super) const UNFINISHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What whoever gives way is told.
const NO_ROOM: Violation = Violation { code: 1013, reason: "too many long messages at once; try again" };

/// A connection with such a message.
pub(super) trait Holding: Send + Sync {
    /// Ends it.
    fn give_way(&self, why: Violation);
}

/// Who holds how much. One who holds nothing has no entry.
#[derive(Default)]
pub(super) struct Unfinished(Mutex<Holders>);

#[derive(Default)]
struct Holders {
    of_conn: BTreeMap<ConnId, Holder>,
    /// The sum over all of them.
    bytes: usize,
}

struct Holder {
    address: IpAddr,
    bytes: usize,
    link: Arc<dyn Holding>,
}

impl Unfinished {
    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This connection's message has `bytes` now, of which none may have been
    /// held before. Ends other connections if that is too much.
    ///
    /// # Errors
    /// If it is this one that has to give way.
    pub(super) fn hold(
        &self,
        conn: ConnId,
        address: IpAddr,
        bytes: usize,
        link: impl FnOnce() -> Arc<dyn Holding>,
    ) -> Result<(), Violation> {
        let mut holders = self.holders();
        let holder =
            holders.of_conn.entry(conn).or_insert_with(|| Holder { address, bytes: 0, link: link() });
        let before = std::mem::replace(&mut holder.bytes, bytes);
        holders.bytes = holders.bytes - before + bytes;
        while holders.bytes > UNFINISHED_BYTES_MAX {
            let Some((ended, holder)) = holders.largest().and_then(|conn| holders.remove(conn)) else {
                break;
            };
            if ended == conn {
                return Err(NO_ROOM);
            }
            // Its task gives the memory back when it is next run.
            holder.link.give_way(NO_ROOM);
        }
        Ok(())
    }

    /// This connection holds nothing any more.
    pub(super) fn release(&self, conn: ConnId) {
        self.holders().remove(conn);
    }
}

impl Holders {
    fn remove(&mut self, conn: ConnId) -> Option<(ConnId, Holder)> {
        let removed = self.of_conn.remove_entry(&conn)?;
        self.bytes -= removed.1.bytes;
        Some(removed)
    }

    /// The longest message of the address that holds most.
    fn largest(&self) -> Option<ConnId> {
        let mut of_address = BTreeMap::<IpAddr, usize>::new();
        for holder in self.of_conn.values() {
            *of_address.entry(holder.address).or_default() += holder.bytes;
        }
        let share =
            |holder: &Holder| (of_address.get(&holder.address).copied(), holder.address, holder.bytes);
        self.of_conn.iter().max_by_key(|(_, holder)| share(holder)).map(|(conn, _)| *conn)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    const MIB: usize = 1024 * 1024;

    /// Remembers with what it was ended.
    #[derive(Default)]
    struct Client(Mutex<Option<u16>>);

    impl Holding for Client {
        fn give_way(&self, why: Violation) {
            *self.0.lock().unwrap() = Some(why.code);
        }
    }

    #[derive(Default)]
    struct Scene {
        unfinished: Unfinished,
        clients: BTreeMap<u64, Arc<Client>>,
    }

    impl Scene {
        fn hold(&mut self, conn: u64, address: IpAddr, bytes: usize) -> Result<(), Violation> {
            let client = self.clients.entry(conn).or_default().clone();
            let held = self.unfinished.hold(ConnId(conn), address, bytes, || client);
            assert!(self.unfinished.holders().bytes <= UNFINISHED_BYTES_MAX);
            held
        }

        fn ended(&self) -> Vec<u64> {
            let ended = |client: &Client| *client.0.lock().unwrap() == Some(1013);
            self.clients.iter().filter(|(_, client)| ended(client)).map(|(conn, _)| *conn).collect()
        }
    }

    #[test]
    fn up_to_the_bound_everybody_is_served_and_what_is_released_can_be_held_again() {
        let mut scene = Scene::default();
        for _ in 0..3 {
            for conn in 0..8 {
                assert_eq!(scene.hold(conn, HERE, MIB / 2), Ok(()));
                assert_eq!(scene.hold(conn, HERE, MIB), Ok(()));
            }
            (0..8).for_each(|conn| scene.unfinished.release(ConnId(conn)));
            assert_eq!((scene.unfinished.holders().bytes, scene.ended()), (0, vec![]));
        }
    }

    #[test]
    fn beyond_it_the_longest_message_gives_way() {
        let mut scene = Scene::default();
        (0..8).for_each(|conn| assert_eq!(scene.hold(conn, HERE, MIB - usize::from(conn != 5)), Ok(())));
        assert_eq!(scene.hold(9, HERE, 50_000), Ok(()));
        assert_eq!(scene.ended(), [5]);
        // It may be the one that asks; of those that are as long, the newest.
        assert_eq!(scene.hold(9, HERE, MIB), Ok(()));
        assert_eq!(scene.hold(10, HERE, MIB), Err(NO_ROOM));
        assert_eq!(scene.ended(), [5]);
    }

    #[test]
    fn an_address_that_holds_most_in_many_short_messages_gives_way_to_a_long_one() {
        let mut scene = Scene::default();
        (0..224).for_each(|conn| assert_eq!(scene.hold(conn, HERE, 37_000), Ok(())));
        assert_eq!(scene.hold(300, THERE, MIB), Ok(()));
        assert!((20..40).contains(&scene.ended().len()), "{:?}", scene.ended());
    }
}

//! Which beacons were seen before. Knows no sockets and no clock.
//!
//! A router's life is known by its random number; its counter orders lives.
//! A life later than all before it is believed, since its tag is right; an
//! earlier one is a replay, unless the handshake of a connection, which nobody
//! can replay, proves it: so comes back a router that lost its disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fau3_election::{Incarnation, RouterId, Time};

use super::beacon::Stamp;
use super::warm::PATH_SILENT;

/// Most routers whose beacons are kept apart. Beyond it, the one that was
/// silent longest is forgotten.
pub const SENDERS_MAX: usize = 256;
/// Most addresses of one router at which it is remembered when it was heard.
const PATHS_MAX: usize = 8;
/// How far behind the newest a beacon may come in.
const WINDOW: u32 = 64;

/// Who sent what last.
#[derive(Debug, Default)]
pub(super) struct Replays(BTreeMap<RouterId, Sender>);

#[derive(Debug, Clone)]
struct Sender {
    life: Incarnation,
    /// The latest of all its lives that were ever believed.
    latest: Incarnation,
    /// The highest sequence of this life.
    newest: u32,
    /// Bit n: `newest - n` was seen.
    seen: u64,
    heard: Time,
    /// Where it is: where a newest one came from, for as long as that address is
    /// heard, by copies too; `None` before the first.
    from: Option<SocketAddr>,
    /// All addresses that it was heard from, and when; at most [`PATHS_MAX`].
    paths: Vec<(SocketAddr, Time)>,
}

impl Sender {
    fn born(life: Incarnation, latest: Incarnation, heard: Time) -> Self {
        Self { life, latest, newest: 0, seen: 0, heard, from: None, paths: Vec::new() }
    }

    /// It was heard from there.
    fn heard_from(&mut self, now: Time, from: SocketAddr) {
        if let Some(path) = self.paths.iter_mut().find(|path| path.0 == from) {
            path.1 = now;
            return;
        }
        if self.paths.len() >= PATHS_MAX {
            let oldest = self.paths.iter().enumerate().min_by_key(|(_, path)| path.1).map(|(at, _)| at);
            oldest.map(|at| self.paths.swap_remove(at));
        }
        self.paths.push((from, now));
    }

    fn is_heard_from(&self, now: Time, from: SocketAddr) -> bool {
        self.paths.iter().any(|path| path.0 == from && now.since(path.1) < PATH_SILENT)
    }

    /// Whether `sequence` is new, and marks it as seen. RFC 4303, appendix A2,
    /// with a window of 64.
    fn is_new(&mut self, sequence: u32) -> bool {
        if sequence > self.newest {
            self.seen = self.seen.checked_shl(sequence - self.newest).unwrap_or(0) | 1;
            self.newest = sequence;
            return true;
        }
        let behind = self.newest - sequence;
        if sequence == 0 || behind >= WINDOW || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

impl Replays {
    /// Whether a beacon with a right tag is new.
    pub(super) fn is_new(&mut self, now: Time, stamp: &Stamp, from: SocketAddr) -> bool {
        let latest = self.0.get(&stamp.sender).map(|sender| sender.latest).unwrap_or_default();
        // A life that none could come after is believed as far as the election does.
        let life = stamp.incarnation.believed(latest);
        if !self.0.contains_key(&stamp.sender) {
            self.make_room();
            self.0.insert(stamp.sender, Sender::born(life, life, now));
        }
        let Some(sender) = self.0.get_mut(&stamp.sender) else { return false };
        if life.random == sender.life.random {
            // The same life goes on, possibly above an earlier one.
            sender.life.counter = sender.life.counter.max(life.counter);
        } else if life > sender.latest {
            *sender = Sender::born(life, life, now);
        } else {
            return false;
        }
        sender.latest = sender.latest.max(sender.life);
        let before = sender.newest;
        let new = sender.is_new(stamp.sequence);
        if new {
            sender.heard = now;
        }
        // A late one does not say where its sender is now.
        if sender.newest > before {
            // Over two links the same beacon comes twice, now this one first, now that one.
            if !sender.from.is_some_and(|steady| sender.is_heard_from(now, steady)) {
                sender.from = Some(from);
            }
            sender.heard_from(now, from);
        }
        new
    }

    /// A beacon that was not new came from an address that is the sender's: over its
    /// other link. False: it is older than that.
    pub(super) fn is_copy(&mut self, now: Time, stamp: &Stamp, from: SocketAddr) -> bool {
        let Some(sender) = self.0.get_mut(&stamp.sender) else { return false };
        let is_late = stamp.sequence > sender.newest || sender.newest - stamp.sequence >= WINDOW;
        if stamp.incarnation.random != sender.life.random || is_late {
            return false;
        }
        sender.heard_from(now, from);
        true
    }

    /// All addresses that the router was heard from, and when.
    pub(super) fn paths(&self, router: RouterId) -> &[(SocketAddr, Time)] {
        self.0.get(&router).map_or(&[], |sender| &sender.paths)
    }

    /// A handshake proves that this is the router's life now.
    pub(super) fn prove(&mut self, now: Time, router: RouterId, life: Incarnation) {
        match self.0.get_mut(&router) {
            Some(sender) if sender.life.random == life.random => {}
            Some(sender) => {
                let latest = sender.latest.max(life);
                *sender = Sender::born(life, latest, now);
            }
            None => {
                self.make_room();
                self.0.insert(router, Sender::born(life, life, now));
            }
        }
    }

    /// Where the router's newest beacon came from.
    pub(super) fn address(&self, router: RouterId) -> Option<SocketAddr> {
        self.0.get(&router)?.from
    }

    /// The routers that were heard at `since` or later, and where.
    pub(super) fn heard(&self, since: Time) -> impl Iterator<Item = (RouterId, SocketAddr)> {
        let lately = self.0.iter().filter(move |(_, sender)| sender.heard >= since);
        lately.filter_map(|(id, sender)| Some((*id, sender.from?)))
    }

    fn make_room(&mut self) {
        if self.0.len() >= SENDERS_MAX {
            let longest = self.0.iter().min_by_key(|(id, sender)| (sender.heard, **id)).map(|(id, _)| *id);
            longest.map(|id| self.0.remove(&id));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    const A: RouterId = RouterId([1; 16]);

    fn life(counter: u32) -> Incarnation {
        Incarnation { counter, random: 1_000 - u64::from(counter) }
    }

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn takes(replays: &mut Replays, incarnation: Incarnation, sequence: u32) -> bool {
        replays.is_new(Time::ZERO, &Stamp { sender: A, incarnation, sequence }, from(1))
    }

    #[test]
    fn each_beacon_is_taken_once_also_out_of_order_within_64() {
        let mut replays = Replays::default();
        for (sequence, new) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (70, true),
            (6, false),
            (7, true),
            (7, false),
            (5_000, true),
            (4_937, true),
            (4_936, false),
            (0, false),
            (u32::MAX, true),
            (5_001, false),
        ] {
            assert_eq!(takes(&mut replays, life(1), sequence), new, "{sequence}");
        }
    }

    #[test]
    fn a_later_life_starts_anew_and_an_earlier_one_is_over() {
        let mut replays = Replays::default();
        assert!(takes(&mut replays, life(3), 900));
        assert!(takes(&mut replays, life(4), 1));
        assert!(!takes(&mut replays, life(3), 901), "an earlier life");
        assert!(
            !takes(&mut replays, Incarnation { counter: 4, random: 1 }, 2),
            "the same counter, drawn lower"
        );
    }

    #[test]
    fn a_router_that_lost_its_disk_is_believed_once_a_handshake_proves_it() {
        let mut replays = Replays::default();
        assert!(takes(&mut replays, life(7), 900));
        assert!(!takes(&mut replays, life(1), 1), "may be a recording of long ago");
        replays.prove(Time::ZERO, A, life(1));
        assert!(takes(&mut replays, life(1), 1) && !takes(&mut replays, life(1), 1));
        assert!(!takes(&mut replays, life(7), 901), "the life before stays over");
        let above = Incarnation { counter: 8, ..life(1) };
        assert!(takes(&mut replays, above, 2), "it goes on above its former life");
        assert!(!takes(&mut replays, above, 2) && !takes(&mut replays, life(8), 1));
        replays.prove(Time::ZERO, A, above);
        assert!(!takes(&mut replays, above, 2), "proving the same life again forgets nothing");
    }

    #[test]
    fn where_a_router_is_comes_from_its_newest_beacon() {
        let mut replays = Replays::default();
        let stamp = |sequence| Stamp { sender: A, incarnation: life(1), sequence };
        assert!(replays.is_new(Time::ZERO, &stamp(5), from(5)));
        assert!(replays.is_new(Time::ZERO, &stamp(4), from(4)), "late");
        assert!(!replays.is_new(Time::ZERO, &stamp(5), from(6)), "replayed from elsewhere");
        assert_eq!(replays.address(A), Some(from(5)));
    }

    #[test]
    fn the_table_forgets_the_router_that_was_silent_longest() {
        let mut replays = Replays::default();
        for number in 0..=SENDERS_MAX as u64 {
            let sender = RouterId(u128::from(number).to_be_bytes());
            let stamp = Stamp { sender, incarnation: life(1), sequence: 1 };
            assert!(replays.is_new(Time::from_secs(number), &stamp, from(1)));
        }
        assert_eq!(replays.0.len(), SENDERS_MAX);
        assert!(replays.address(RouterId([0; 16])).is_none(), "the first one");
        assert_eq!(replays.heard(Time::from_secs(250)).count(), 7);
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice_and_nothing_within_the_window_is_missed(
            sequences in vec(1_u32..200, 1..300)
        ) {
            let (mut replays, mut taken, mut newest) = (Replays::default(), BTreeSet::new(), 0);
            for sequence in sequences {
                newest = newest.max(sequence);
                let new = !taken.contains(&sequence) && newest - sequence < WINDOW;
                prop_assert_eq!(takes(&mut replays, life(1), sequence), new);
                if new {
                    taken.insert(sequence);
                }
            }
        }
    }
}

use fau3::router::Stats;

use crate::sweep::Sum;

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident: $name:literal,)*) => {
        /// What happened how often in a run, or in all runs of a sweep: proof that
        /// the faults bring about what the invariants are there for.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Tally {
            /// Each count with its name.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field)),*]
            }

            /// Adds another run's.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

tally! {
    /// Messages confirmed with FAU3_STORED.
    confirmed: "messages confirmed",
    /// First hearings by clients.
    heard: "messages heard",
    /// Confirmed while no other router held it.
    confirmed_single: "confirmed single",
    /// Of those, lost since the only holder died.
    lost_single: "lost: single holder died",
    /// Lost since all that held it died.
    lost_all: "lost: all holders died",
    /// Not delivered since bounds of age or bytes let them go.
    expired: "not delivered: expired",
    /// The same message taken in by routers that did not hear each other.
    twins: "twins",
    /// Clients that went to another router without having closed.
    roams: "roams",
    /// Of those, while some routers did not reach each other.
    roams_parted: "roams during partitions",
    /// Clients of a dead router that came back elsewhere and were known there.
    taken_over: "clients of the dead resumed",
    /// Clients that began anew at a router which then met one that knew them.
    remembered: "clients remembered by others",
    /// Sessions that went on at another router.
    resumed: "sessions resumed elsewhere",
    /// Questions for records.
    fetches: "fetches",
    /// Records that came through an answer to such a question.
    gaps_fetched: "gaps fetched",
    /// Records that waited for the same sender's previous one.
    order_waits: "order waits",
    /// Of those, in vain.
    order_given_up: "order given up",
    /// Times at which the queue to a router was full.
    peer_full: "queues full",
    /// Times at which it had place again.
    drained: "queues drained",
    /// Connections given up after silence.
    given_up: "connections given up",
    /// Questions for all of a State.
    states_asked: "states asked for",
    /// Clients let go since they are attached elsewhere.
    let_go: "old attachments let go",
    /// Live audio passed on.
    streams_passed: "streams passed",
    /// Live audio dropped as known.
    streams_seen_before: "streams seen before",
    /// Frames from router to router.
    frames: "frames",
    /// Late arrivals out of order across a partition.
    late: "late across a partition",
    /// Late arrivals out of order, of which newer ones had come from a router whose
    /// bounds had let them go.
    late_expired: "late, expired elsewhere",
    /// Heard again after the client had forgotten it: it had not confirmed it, or the
    /// router that it had confirmed it to has died.
    repeated: "heard again, excused",
}

impl Sum for Tally {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }
}

/// Counts that may stay 0 in any sweep: losses and what excuses them.
const RARE: [&str; 7] = [
    "lost: single holder died",
    "lost: all holders died",
    "not delivered: expired",
    "order given up",
    "heard again, excused",
    "late across a partition",
    "late, expired elsewhere",
];

impl Tally {
    /// Adds what a router counted in one life.
    pub(super) fn add_stats(&mut self, stats: &Stats) {
        self.confirmed_single += stats.confirmed_single;
        self.fetches += stats.fetches;
        self.order_waits += stats.order_waits;
        self.order_given_up += stats.order_given_up;
        self.peer_full += stats.peer_full;
        self.states_asked += stats.states_asked;
        self.let_go += stats.roamed;
        self.streams_passed += stats.streams_passed;
        self.streams_seen_before += stats.streams_seen_before;
    }

    /// What a sweep must have brought about and did not: "it really happens".
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.fields().into_iter().filter(|(name, count)| *count == 0 && !RARE.contains(name));
        missing.map(|(name, _)| name).collect()
    }
}

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
    /// Messages of a router that said extreme numbers, beside its true ones.
    words: "words: extreme ones said",
    /// Late arrivals out of order across a partition.
    late: "late across a partition",
    /// Late arrivals out of order, of which newer ones had come from a router whose
    /// bounds had let them go.
    late_expired: "late, expired elsewhere",
    /// Heard again after the client had forgotten it: it had not confirmed it, or the
    /// router that it had confirmed it to has died.
    repeated: "heard again, excused",
    /// Faults of the main server and of the ways to it.
    server_faults: "server: faults",
    /// Connections to it that were asked for.
    server_lines: "server: connections",
    /// Of those, refused since it has no place left.
    server_refused: "server: no place",
    /// Connections that its Pings found dead.
    server_half_open: "server: half-open found",
    /// Connections that it closed instead of an answer.
    server_dropped: "server: closed, no Confirm",
    /// Propogates that it did not answer.
    server_mute: "server: not answered",
    /// Playlists that it sent again.
    server_replays: "server: Playlists again",
    /// Messages that it was told.
    server_told: "server: messages told",
    /// Told again, since no Confirm had come.
    server_doubled: "server: doubled, counted",
    /// Told again, since the router that knew that it has it had died.
    server_doubled_by_death: "server: doubled by a death",
    /// Told again by a router that was cut off from the one that knew.
    server_doubled_apart: "server: doubled apart",
    /// Told again before the router that knew could have said so.
    server_doubled_soon: "server: doubled at once",
    /// A client connected twice, by routers that never met.
    server_twice_unmet: "server: twice, never met",
    /// Told after a newer one of its sender, by a router that did not hold that one.
    server_late: "server: late",
    /// Never told: long ids, no place, or expired.
    server_exempt: "server: exempt",
    /// Times at which all sessions had to be back.
    server_returns: "server: returns in quiet",
    /// Messages of its clients that were heard in the mesh.
    server_heard: "server: its clients heard",
    /// As routers count: unconfirmed when their connection went.
    upstream_unsure: "server: unsure",
    /// Sent again over the same connection.
    upstream_repeated: "server: repeated",
    /// Copies of what was known.
    upstream_paired: "server: paired",
    /// Messages of its clients that became records.
    upstream_taken_in: "server: taken in",
    /// Faults of the main server and of the ways to it.
    main_faults: "main: faults",
    /// Times at which a router called it.
    main_calls: "main: called",
    /// Of those, such that a connection came of it.
    main_uplinks: "main: connections",
    /// Of those, given up after a silence.
    main_given_up: "main: given up",
    /// Reset instead of a Confirm.
    main_resets: "main: reset, no Confirm",
    /// Questions whether it is there.
    main_pings: "main: probes",
    /// Of those, while in doubt.
    main_doubts: "main: probes in doubt",
    /// Answers that came beside a connection.
    main_datagrams: "main: answers by datagram",
    /// Times at which a deputy fell back.
    main_fall_backs: "main: fall-backs",
    /// Times at which it had to have done so.
    main_fall_backs_checked: "main: outages in quiet",
    /// Times at which a deputy followed it again.
    main_hand_backs: "main: hand-backs",
    /// Times at which all had to.
    main_hand_backs_checked: "main: returns in quiet",
    /// Pieces of live audio that had to come over the uplink at once.
    main_live: "main: live audio in quiet",
}

impl Sum for Tally {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }
}

/// Counts that may stay 0 in any sweep: losses and what excuses them.
const RARE: [&str; 12] = [
    "lost: single holder died",
    "lost: all holders died",
    "not delivered: expired",
    "order given up",
    "heard again, excused",
    "late across a partition",
    "late, expired elsewhere",
    "server: doubled by a death",
    "server: doubled apart",
    "server: doubled at once",
    "server: late",
    "server: twice, never met",
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
        self.upstream_unsure += stats.upstream_unsure;
        self.upstream_repeated += stats.upstream_repeated;
        self.upstream_paired += stats.upstream_paired;
        self.upstream_taken_in += stats.upstream_taken_in;
    }

    /// What a sweep must have brought about and did not: "it really happens".
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.shown().into_iter().filter(|(name, count)| *count == 0 && !RARE.contains(name));
        missing.map(|(name, _)| name).collect()
    }

    /// All counts with their names; those of a main server only where there is one,
    /// and those of extreme words likewise.
    #[must_use]
    pub fn shown(&self) -> Vec<(&'static str, u64)> {
        let of = [("server: ", self.server_lines), ("main: ", self.main_calls), ("words: ", self.words)];
        let is_shown = |name: &str| of.iter().all(|(kind, count)| *count > 0 || !name.starts_with(kind));
        self.fields().into_iter().filter(|(name, _)| is_shown(name)).collect()
    }
}

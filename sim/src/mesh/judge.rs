//! What must hold, whatever goes wrong. Each rule has a name and a bound.

use std::time::Duration;

use fau3_election::{Config, Time};

use super::ledger::Ledger;
use super::main_node::{FALL_BACK, FALSE_ALARM, HAND_BACK, HOLD, KEPT, LIVE, ONE_CALL, ONE_LEADER};
use super::server::{BACK, PLAYED, PUSHED, PUSHED_IN_ORDER, PUSHED_ONCE, TWICE};
use super::setup::Setup;
use crate::engine::CLOCK_ERROR_PPM_MAX;
use crate::invariants::Violation;

pub(super) const DELIVERED: &str = "delivered";
pub(super) const ONCE: &str = "once";
pub(super) const AGAIN: &str = "again";
pub(super) const ORDER: &str = "order";
pub(super) const COPIES: &str = "copies";
pub(super) const OWN_ECHO: &str = "own-echo";
pub(super) const ROOM: &str = "room";
pub(super) const KNOWN: &str = "known";
pub(super) const BOUNDS: &str = "bounds";
pub(super) const SPIN: &str = "spin";
pub(super) const REST: &str = "rest";
pub(super) const SAME_RECORDS: &str = "same-records";
pub(super) const SAME_SESSIONS: &str = "same-sessions";
pub(super) const CONNECTED: &str = "connected";
/// Not of a router's doing but of its frames: what is sent is what is read.
pub(super) const CODEC: &str = "codec";
pub(super) const SERVED: &str = "served";

/// All rules: name, and what it says.
pub const NAMES: [(&str, &str); 30] = [
    (
        DELIVERED,
        "final: every message answered FAU3_STORED was heard by all who were subscribed in its room all the time",
    ),
    (ONCE, "always: whoever confirms what it hears and remembers MessageUuids for 60 s hears a message once"),
    (AGAIN, "always: what a client has confirmed is not sent to it again on that connection"),
    (
        ORDER,
        "always: one speaker's messages are heard in the speaker's order, unless the older one came late across a partition, after a wait of 2 s, or had left for the bounds",
    ),
    (
        COPIES,
        "always: FAU3_STORED is said once a second router has held the record, or it is counted as confirmed_single",
    ),
    (OWN_ECHO, "always: nobody hears what they said"),
    (ROOM, "always: nobody hears what was said to another room than their own"),
    (KNOWN, "calm: a router that a client comes to knows its session"),
    (BOUNDS, "always: records and sessions stay within their bounds"),
    (SPIN, "always: no router asks to be called again at once"),
    (REST, "final: with nothing said, routers say little to each other"),
    (SAME_RECORDS, "final: all routers hold the same records"),
    (SAME_SESSIONS, "final: all routers know the same sessions, each at the same place"),
    (CODEC, "always: routers and clients read what routers write, as it was meant"),
    (CONNECTED, "always: nothing is sent where no connection stands"),
    (SERVED, "final: every client is connected, subscribed, and has nothing left to send"),
    (TWICE, "always: no client id is connected to the main server twice, nor one that it cannot bear"),
    (
        PUSHED,
        "final: the main server was told every message answered FAU3_STORED that it can bear and that has not expired; nothing waits",
    ),
    (
        PUSHED_ONCE,
        "always: the main server is told nothing again that a living router in reach knows it to have; what it has twice was counted",
    ),
    (
        PUSHED_IN_ORDER,
        "always: no router tells the main server of a speaker's message while it holds an older one back",
    ),
    (PLAYED, "always: what the main server plays is answered"),
    (BACK, "calm: 2 s after the main server was judged back, all sessions are on it"),
    (FALL_BACK, "calm: 3 s after the main server is out of the deputy's reach, all follow the deputy"),
    (FALSE_ALARM, "calm: nobody falls back while the main server is there, whatever single probes are lost"),
    (
        HAND_BACK,
        "calm: 2 s after the main server's hold time all follow it, and it knows all sessions; final: the same",
    ),
    (HOLD, "calm: after an outage nobody follows the main server before it was there for its hold time"),
    (KEPT, "calm: no client's connection is ended, whatever becomes of the main server"),
    (ONE_LEADER, "calm: routers of one segment disagree for at most 1 s on who leads"),
    (LIVE, "calm: live audio passes the uplink within 0.3 s, whatever backlog does"),
    (ONE_CALL, "final: one router of a segment, the deputy, has called the main server"),
];

/// Looks at one run.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) ledger: Ledger,
    pub(super) limits: Limits,
    /// The first rule that did not hold.
    pub(super) violation: Option<Violation>,
}

/// How long things may take, from the timers of routers and clients. Clocks
/// may run 5 % slow, so every span of a router's own is stretched by as much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// After the last fault, until routers that reach each other know each other again.
    pub(super) settle: Duration,
    /// B: after the last fault and the last word, until everything has been heard.
    pub(super) heal: Duration,
    /// At rest, traffic is measured for so long.
    pub(super) rest: Duration,
}

/// TCP resumes or is dialled anew, in ms: `RESUME_US_MAX` + `DIAL_US`.
const RECONNECT_MS: u64 = 7_000;
/// Holdings are compared at rest (10 s) and all of a State is asked for (5 s), once on the way
/// there and once for what came meanwhile.
const COMPARE_MS: u64 = 2 * 15_000;
/// A client notices a dead router (15 s), is refused for the contest of its own
/// two lines (30 s), tries again (2 s), and sends again (5 s).
const CLIENT_MS: u64 = 52_000;
/// A Playlist behind a slow line, and its Confirm.
const DELIVER_MS: u64 = 10_000;

impl Limits {
    fn of(setup: &Setup) -> Self {
        let hops = setup.routers.saturating_sub(1) as u32;
        let settle = stretch(Config::default().converged_max(hops) + setup.config.beacon * 4);
        let heal = Duration::from_millis(RECONNECT_MS + COMPARE_MS + CLIENT_MS + DELIVER_MS);
        Self {
            settle: settle + Duration::from_millis(RECONNECT_MS),
            heal: settle + stretch(heal),
            rest: Duration::from_secs(11),
        }
    }
}

/// As long as it takes by the slowest clock.
fn stretch(span: Duration) -> Duration {
    span * 1_000_000 / (1_000_000 - CLOCK_ERROR_PPM_MAX as u32)
}

impl Judge {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { ledger: Ledger::new(setup), limits: Limits::of(setup), violation: None }
    }

    pub(super) fn fail(&mut self, invariant: &'static str, at: Time, text: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, at, text });
        }
    }
}

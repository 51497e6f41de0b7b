//! Whether the main server is really there: a judge without socket, clock
//! or chance of its own.
//!
//! One standing connection carries a WebSocket ping each check interval. Only
//! what comes back counts: a connection whose other end has vanished takes
//! writes for minutes. When nothing has come back for half a second, fresh
//! connections are dialled beside it, since one lost segment stalls a TCP
//! connection for 200 ms, then 400, then 800, and a fresh one waits for none
//! of these. What was gone has to answer for a hold time before it counts
//! again, and for longer each time that it goes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fau3_election::Time;
use xxhash_rust::xxh3::xxh3_64;

use crate::router::Outages;

/// Without any sign of life for this long, fresh connections are dialled.
const DOUBT: Duration = Duration::from_millis(500);
/// A question unanswered for this long is needed for it, too.
const DOUBT_ASKED: Duration = Duration::from_millis(250);
/// Without any sign of life for this long the server is gone.
const SILENCE: Duration = Duration::from_millis(1_900);
/// A question unanswered for this long is needed for it, too.
const SILENCE_ASKED: Duration = Duration::from_millis(1_600);
/// Between two fresh connections while in doubt.
const DIAL_EVERY: Duration = Duration::from_millis(100);
/// Fresh connections that are on their way at a time.
const DIALS_MAX: usize = 8;
/// A connection that has not come to stand after this long is let go.
const DIAL_MAX: Duration = Duration::from_secs(2);
/// Between two tries while the server is gone, and by how much that varies, so
/// that routers which lost it together do not come back together.
const RETRY_EVERY: Duration = Duration::from_secs(1);
const RETRY_JITTER: Duration = Duration::from_millis(200);
/// Pings while the server is on trial come at least this often.
const TRIAL_PING_MAX: Duration = Duration::from_secs(1);
/// The list's fetch is waited for this long before the server counts as back.
const LIST_MAX: Duration = Duration::from_secs(1);
/// Between two fetches of the list.
const LIST_EVERY: Duration = Duration::from_secs(60);
/// Called this much later than was asked for, this router itself stood still.
const LATE: Duration = Duration::from_millis(250);

/// How the client id begins of a connection that only looks. No client of a
/// router's begins so.
pub const ID_PREFIX: &str = "fau3w-";

/// One connection of the watch's. A number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchConn(pub u32);

/// What the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Between two pings on the standing connection.
    pub check_interval: Duration,
    /// How long a server that was gone has to answer before it counts again.
    pub hold: Duration,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Look from now on.
    Start,
    /// Look no more.
    Stop,
    /// The server has made this connection a WebSocket.
    Upgraded(WatchConn),
    /// The server has answered something else, and the connection is gone.
    Answered(WatchConn),
    /// The connection was refused, closed by the other side or cannot be made.
    Closed(WatchConn),
    /// A ping has come back.
    Pong(WatchConn),
    /// The list was fetched, or given up.
    ListDone,
    /// The time of [`Watch::poll_timeout`] has come. Every other input does the
    /// same on the way.
    Timeout,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Open a connection.
    Dial(WatchConn),
    /// Send a WebSocket ping on it.
    Ping(WatchConn),
    /// Close it, or stop opening it.
    Drop(WatchConn),
    /// Fetch the ExtraServers list, then say [`Input::ListDone`].
    FetchList,
    /// The server is there, or is not. Said when it changes, and first of all.
    Judged(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not looking.
    Off,
    /// Looking for the first time: whatever comes counts at once.
    First,
    There,
    Gone,
    /// It answers again since then.
    Trial(Time),
}

/// The connection on which pings go.
#[derive(Debug, Clone, Copy)]
struct Standing {
    conn: WatchConn,
    ping_at: Time,
    patience: Patience,
}

/// What is not answered yet, and since when.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// The latest sign of life, or when looking for one began.
    sign_at: Time,
    /// The first question since then.
    asked_at: Option<Time>,
}

impl Patience {
    const fn since(now: Time) -> Self {
        Self { sign_at: now, asked_at: None }
    }

    fn asked(&mut self, now: Time) {
        self.asked_at.get_or_insert(now);
    }

    fn doubt_at(self) -> Option<Time> {
        Some((self.asked_at? + DOUBT_ASKED).max(self.sign_at + DOUBT))
    }

    fn end_at(self) -> Option<Time> {
        Some((self.asked_at? + SILENCE_ASKED).max(self.sign_at + SILENCE))
    }

    /// As if it had begun later.
    fn shift(&mut self, late: Duration) {
        self.sign_at += late;
        self.asked_at.iter_mut().for_each(|at| *at += late);
    }
}

/// The judge.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    seed: u64,
    phase: Phase,
    next_conn: u32,
    standing: Option<Standing>,
    /// Connections on their way, with when they were begun.
    dials: BTreeMap<WatchConn, Time>,
    dial_at: Time,
    /// With the server, whatever the connection.
    patience: Patience,
    list_at: Time,
    /// When the list was asked for that has not come yet.
    list_asked_at: Option<Time>,
    /// When the server went away, of late.
    flaps: Outages,
    outages: u64,
    outputs: VecDeque<Output>,
}

impl Watch {
    /// One that does not look yet. `seed` varies when it tries again, and
    /// where it begins to count its connections.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            seed,
            phase: Phase::Off,
            next_conn: seed as u32,
            standing: None,
            dials: BTreeMap::new(),
            dial_at: Time::ZERO,
            patience: Patience::since(Time::ZERO),
            list_at: Time::MAX,
            list_asked_at: None,
            flaps: Outages::default(),
            outages: 0,
            outputs: VecDeque::new(),
        }
    }

    /// The configuration was read again.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        if let Some(standing) = &mut self.standing {
            standing.ping_at = standing.ping_at.min(standing.patience.sign_at + settings.check_interval);
        }
    }

    /// It is another server from now on: outages of the one before say nothing of it.
    pub fn forget(&mut self) {
        (self.flaps, self.outages) = (Outages::default(), 0);
    }

    /// How often the server went away since the start.
    #[must_use]
    pub const fn outages(&self) -> u64 {
        self.outages
    }

    /// Takes something in. Bounded work.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.forgive_own_standstill(now);
        match input {
            Input::Start if self.phase == Phase::Off => self.start(now),
            Input::Stop => self.stop(),
            Input::Upgraded(conn) if self.dials.remove(&conn).is_some() => self.upgraded(now, conn),
            Input::Answered(conn) if self.dials.remove(&conn).is_some() => self.answered(now),
            Input::Closed(conn) => self.closed(now, conn),
            Input::Pong(conn) => self.pong(now, conn),
            Input::ListDone => self.list_asked_at = None,
            Input::Start | Input::Upgraded(_) | Input::Answered(_) | Input::Timeout => {}
        }
        self.tick(now);
    }

    /// What to do, in this order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to be called again; `None`: not before something happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.phase == Phase::Off {
            return None;
        }
        let ping = self.standing.map(|standing| standing.ping_at);
        let replaced = self.standing.and_then(|standing| standing.patience.end_at());
        let dial = (self.dials.len() < DIALS_MAX).then(|| self.next_dial_at()).flatten();
        let given_up = self.dials.values().min().map(|began| *began + DIAL_MAX);
        let list = self.list_asked_at.map_or(self.list_at, |asked| asked + LIST_MAX);
        let list = (list < Time::MAX).then_some(list);
        // A trial ends with a sign of life, not with time.
        [ping, replaced, dial, given_up, self.gone_at(), list].into_iter().flatten().min()
    }

    fn start(&mut self, now: Time) {
        self.phase = Phase::First;
        self.patience = Patience::since(now);
        self.dial(now);
    }

    fn stop(&mut self) {
        self.let_go();
        self.phase = Phase::Off;
        self.list_at = Time::MAX;
        self.list_asked_at = None;
    }

    fn upgraded(&mut self, now: Time, conn: WatchConn) {
        self.let_go();
        self.patience = Patience::since(now);
        self.standing = Some(Standing { conn, ping_at: now, patience: self.patience });
        match self.phase {
            Phase::First => {
                self.fetch_list(now);
                self.phase = Phase::There;
                self.outputs.push_back(Output::Judged(true));
            }
            Phase::Gone => {
                self.fetch_list(now);
                self.phase = Phase::Trial(now);
            }
            Phase::Off | Phase::There | Phase::Trial(_) => {}
        }
    }

    /// The server lives, but this is no way to it.
    fn answered(&mut self, now: Time) {
        if self.standing.is_some() {
            self.patience = Patience::since(now);
        } else if self.phase != Phase::Gone {
            self.lost(now);
        }
    }

    fn closed(&mut self, now: Time, conn: WatchConn) {
        if self.standing.is_some_and(|standing| standing.conn == conn) {
            self.standing = None;
            match self.phase {
                Phase::Trial(_) => self.lost(now),
                _ => self.dial(now),
            }
        } else if self.dials.remove(&conn).is_some() && self.standing.is_none() && self.phase != Phase::Gone {
            self.lost(now);
        }
    }

    fn pong(&mut self, now: Time, conn: WatchConn) {
        let Some(standing) = self.standing.as_mut().filter(|standing| standing.conn == conn) else { return };
        standing.patience = Patience::since(now);
        self.patience = standing.patience;
        self.drop_dials();
    }

    /// It was there, or might have been, and is not.
    fn lost(&mut self, now: Time) {
        match self.phase {
            Phase::There => {
                self.outages += 1;
                self.flaps.note(now);
                self.outputs.push_back(Output::Judged(false));
            }
            Phase::First => self.outputs.push_back(Output::Judged(false)),
            Phase::Off | Phase::Gone | Phase::Trial(_) => {}
        }
        self.let_go();
        self.phase = Phase::Gone;
        self.list_at = Time::MAX;
        self.list_asked_at = None;
        self.retry_later(now);
    }

    fn tick(&mut self, now: Time) {
        if self.phase == Phase::Off {
            return;
        }
        self.give_up_dials(now);
        if self.gone_at().is_some_and(|at| at <= now) {
            self.lost(now);
        }
        self.replace_silent(now);
        if self.next_dial_at().is_some_and(|at| at <= now) {
            self.dial(now);
        }
        self.ping(now);
        if self.list_asked_at.is_some_and(|asked| asked + LIST_MAX <= now) {
            self.list_asked_at = None;
        }
        if self.list_at <= now {
            self.fetch_list(now);
        }
        self.end_trial(now);
    }

    /// A standing connection on which nothing comes back, while the server
    /// lives, is of no use.
    fn replace_silent(&mut self, now: Time) {
        let is_over = |standing: &Standing| standing.patience.end_at().is_some_and(|at| at <= now);
        let Some(silent) = self.standing.filter(is_over) else { return };
        self.standing = None;
        self.outputs.push_back(Output::Drop(silent.conn));
        self.dial(now);
    }

    fn ping(&mut self, now: Time) {
        let every = match self.phase {
            Phase::Trial(_) => self.settings.check_interval.min(TRIAL_PING_MAX),
            _ => self.settings.check_interval,
        };
        let Some(standing) = self.standing.as_mut().filter(|standing| standing.ping_at <= now) else {
            return;
        };
        standing.ping_at = now + every;
        standing.patience.asked(now);
        self.patience.asked(now);
        self.outputs.push_back(Output::Ping(standing.conn));
    }

    fn end_trial(&mut self, now: Time) {
        let Phase::Trial(since) = self.phase else { return };
        if self.patience.sign_at >= since + self.flaps.hold(self.settings.hold)
            && self.list_asked_at.is_none()
        {
            self.phase = Phase::There;
            self.list_at = now + LIST_EVERY;
            self.outputs.push_back(Output::Judged(true));
        }
    }

    /// When the next fresh connection is to be dialled.
    fn next_dial_at(&self) -> Option<Time> {
        match self.phase {
            Phase::Off => None,
            Phase::Gone => Some(self.dial_at),
            _ => Some(self.patience.doubt_at()?.max(self.dial_at)),
        }
    }

    fn gone_at(&self) -> Option<Time> {
        match self.phase {
            Phase::Off | Phase::Gone => None,
            _ => self.patience.end_at(),
        }
    }

    fn dial(&mut self, now: Time) {
        if self.dials.len() >= DIALS_MAX {
            return;
        }
        let conn = WatchConn(self.next_conn);
        self.next_conn = self.next_conn.wrapping_add(1);
        self.dials.insert(conn, now);
        self.outputs.push_back(Output::Dial(conn));
        if self.phase == Phase::Gone {
            self.retry_later(now);
        } else {
            self.dial_at = now + DIAL_EVERY;
            self.patience.asked(now);
        }
    }

    fn retry_later(&mut self, now: Time) {
        let chance = xxh3_64(&[self.seed.to_le_bytes(), u64::from(self.next_conn).to_le_bytes()].concat());
        let jitter = Duration::from_micros(chance % (2 * RETRY_JITTER.as_micros() as u64));
        self.dial_at = now + RETRY_EVERY - RETRY_JITTER + jitter;
    }

    fn fetch_list(&mut self, now: Time) {
        self.list_asked_at = Some(now);
        self.list_at = now + LIST_EVERY;
        self.outputs.push_back(Output::FetchList);
    }

    fn give_up_dials(&mut self, now: Time) {
        let outputs = &mut self.outputs;
        self.dials.retain(|conn, began| {
            let is_young = *began + DIAL_MAX > now;
            if !is_young {
                outputs.push_back(Output::Drop(*conn));
            }
            is_young
        });
    }

    fn drop_dials(&mut self) {
        let dials = std::mem::take(&mut self.dials);
        self.outputs.extend(dials.into_keys().map(Output::Drop));
    }

    fn let_go(&mut self) {
        self.drop_dials();
        self.outputs.extend(self.standing.take().map(|standing| Output::Drop(standing.conn)));
    }

    /// While this router stood still, it could hear nothing: that was not the
    /// server's silence.
    fn forgive_own_standstill(&mut self, now: Time) {
        let Some(due) = self.poll_timeout().filter(|due| *due + LATE < now) else { return };
        let late = now.since(due);
        self.patience.shift(late);
        self.standing.iter_mut().for_each(|standing| standing.patience.shift(late));
        self.dials.values_mut().for_each(|began| *began += late);
    }
}

#[cfg(test)]
mod loss;
#[cfg(test)]
mod tests;

//! What other routers do at the main server, as each tells all the others:
//! in whose names they are connected there, and what they have pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Incarnation, RouterId, Time};

use super::claim::SILENT_FOR;
use super::lines::Carried;
use super::pushed::Pushed;
use crate::router::Router;
use crate::router::mutants::mutated;
use crate::wire::fau3e::{COUNTS, Holding, Message, UPSTREAM_LINES_MAX, UpstreamState};
use crate::wire::{ClientId, Origin};

/// What has changed is told together after this long.
const COALESCE: Duration = Duration::from_millis(20);
/// For how long after a router is gone its connections may still stand: three
/// of the Pings that each of them asked the server for.
pub(super) const LINGER: Duration = Duration::from_secs(15);
/// For how long they may stand where its process has ended: then its kernel has closed them.
const CLOSED_LINGER: Duration = Duration::from_secs(1);

/// Words of a router that came so long before its beacons are of the same coming.
const HEARD_LATELY: Duration = Duration::from_secs(2);

/// Lives of routers that are kept track of: each router's that is in reach, and as
/// many that are not.
const LIVES_MAX: usize = 2 * fau3_election::ROUTERS_MAX;

/// All clients in whose names a router is connected, or about to be.
fn named(state: &UpstreamState) -> BTreeSet<ClientId> {
    state.lines.iter().chain(&state.claims).cloned().collect()
}

/// One life of a router. What a router that has lost its flash counts, changes while it
/// lives; the random half does not.
type Life = (RouterId, u64);

fn life_of(origin: &Origin) -> Life {
    (origin.router, origin.incarnation.random)
}

/// All of them, at most [`LIVES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Others {
    known: BTreeMap<Life, Other>,
    /// Routers in reach that have not told anything, and since when they are.
    unheard: BTreeMap<Life, Time>,
    /// When a router last came into reach.
    pub(super) came_at: Time,
    /// Own changes so far.
    revision: u64,
    /// The one since which the clients named in it are these.
    named_since: u64,
    /// When they are told.
    tell_at: Option<Time>,
    /// A router has come back. It hears of this one anew, and so that it has heard all.
    tells_anew: bool,
    /// Pushed records of which others have told since.
    heard_pushed: Pushed,
    /// What was told last, for routers that come later.
    own: Option<UpstreamState>,
}

#[derive(Debug)]
struct Other {
    /// What it told last, without what it has pushed: that is known here as what anybody has.
    state: UpstreamState,
    /// Clients in whose names it is connected, or about to be.
    named: BTreeSet<ClientId>,
    /// Its revision since which they are these.
    named_since: u64,
    /// When anything of it came last.
    heard_at: Time,
    /// Since when it is out of reach.
    gone_since: Option<Time>,
    /// When it closed its last connection to this router, while the server led.
    closed_at: Option<Time>,
    /// Its process has ended, and its kernel could tell the server.
    has_ended: bool,
    /// The router is in reach in another life: this one is over.
    is_over: bool,
}

impl Other {
    /// One that has gone before it told anything.
    fn unheard(life: Life, now: Time) -> Self {
        let incarnation = Incarnation { random: life.1, ..Incarnation::default() };
        let origin = Origin { router: life.0, incarnation };
        let (lines, claims, heard, pushed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let state = UpstreamState { origin, revision: 0, gone_ms: None, lines, claims, heard, pushed };
        let (named, gone_since) = (BTreeSet::new(), Some(now));
        let (heard_at, closed_at, has_ended, is_over) = (Time::ZERO, None, false, false);
        Self { state, named, named_since: 0, heard_at, gone_since, closed_at, has_ended, is_over }
    }

    /// Until when its connections count; `None`: as long as it is there. The
    /// server finds nothing out while it is out of reach: it is so again since
    /// `led_since`.
    fn until(&self, led_since: Time) -> Option<Time> {
        let gone_since = self.gone_since?;
        Some(if self.has_ended { gone_since + CLOSED_LINGER } else { gone_since.max(led_since) + LINGER })
    }

    /// It is out of reach, and may be at work.
    fn is_silent(&self, now: Time) -> bool {
        !self.has_ended && self.is_missing(now)
    }

    /// It is out of reach and may be at work, or its process has ended.
    fn is_missing(&self, now: Time) -> bool {
        !self.is_over && self.gone_since.is_some_and(|since| now < since + SILENT_FOR)
    }

    /// Its process has ended. What it was about to do it does no more.
    fn is_dead(&self) -> bool {
        self.is_over || self.has_ended
    }

    /// Whether it is connected in this client's name, or about to be.
    fn holds(&self, client_id: &ClientId) -> bool {
        self.named.contains(client_id) && (!self.is_dead() || self.state.lines.contains(client_id))
    }

    /// In so many names.
    fn count(&self) -> usize {
        if self.is_dead() { self.state.lines.len() } else { self.named.len() }
    }

    fn counts(&self, now: Time, led_since: Time) -> bool {
        self.until(led_since).is_none_or(|until| now < until)
    }

    fn to_tell(&self, now: Time) -> UpstreamState {
        let gone_ms = self.gone_since.map(|since| now.as_millis().saturating_sub(since.as_millis()));
        UpstreamState { gone_ms, ..self.state.clone() }
    }
}

/// Whether another router is connected to the server in a client's name.
pub(super) enum Elsewhere {
    No,
    /// It is, and says so when it ends.
    Yes,
    /// It may be until then: the router is gone.
    Until(Time),
}

impl Others {
    pub(super) fn due(&self) -> Option<Time> {
        self.tell_at
    }

    pub(super) fn holds(&self, client_id: &ClientId, now: Time, led_since: Time) -> Elsewhere {
        let holding =
            self.known.values().filter(|other| other.counts(now, led_since) && other.holds(client_id));
        holding.fold(Elsewhere::No, |so_far, other| match (so_far, other.until(led_since)) {
            (Elsewhere::Yes, _) | (_, None) => Elsewhere::Yes,
            (Elsewhere::No, Some(until)) => Elsewhere::Until(until),
            (Elsewhere::Until(before), Some(until)) => Elsewhere::Until(before.max(until)),
        })
    }

    /// Whether nobody in reach has it that goes before this router.
    pub(super) fn all_above(&self, router: RouterId, client_id: &ClientId) -> bool {
        let goes_before = |((other, _), known): (&Life, &Other)| {
            *other < router && known.gone_since.is_none() && known.named.contains(client_id)
        };
        !self.known.iter().any(goes_before)
    }

    /// Whether a router may be at work that is not in reach.
    pub(super) fn has_silent(&self, now: Time) -> bool {
        self.known.values().any(|other| other.is_silent(now))
    }

    /// Since when one is.
    pub(super) fn missing_since(&self, now: Time) -> Option<Time> {
        let missing = self.known.values().filter(|other| other.is_missing(now));
        missing.filter_map(|other| other.gone_since).min()
    }

    /// Whether a router is not in reach.
    pub(super) fn has_missing(&self, now: Time) -> bool {
        self.known.values().any(|other| other.is_missing(now))
    }

    /// Up to which revision those in reach were heard.
    fn heard(&self) -> Vec<(Origin, u64)> {
        let in_reach = self.known.values().filter(|other| other.gone_since.is_none());
        let heard = in_reach.map(|other| (other.state.origin, other.named_since));
        heard.take(fau3_election::ROUTERS_MAX).collect()
    }

    /// Whether that router has heard of a revision of `me`.
    pub(super) fn has_heard(&self, router: RouterId, me: &Origin, revision: u64) -> bool {
        let lives = self.known.range((router, 0)..=(router, u64::MAX)).map(|(_, other)| other);
        let mut heard = lives.filter(|other| other.gone_since.is_none()).flat_map(|other| &other.state.heard);
        heard.any(|(origin, heard)| life_of(origin) == life_of(me) && *heard >= revision)
    }

    /// Until when one in reach may tell of its connections for the first time.
    pub(super) fn unheard_until(&self, now: Time) -> Option<Time> {
        self.unheard.values().max().map(|since| *since + LINGER).filter(|until| *until > now)
    }

    /// A router itself says what it has said before: it has done nothing since. True if that was waited for.
    fn is_heard_again(&mut self, life: Life, now: Time) -> bool {
        if let Some(other) = self.known.get_mut(&life) {
            other.heard_at = now;
        }
        self.unheard.remove(&life).is_some()
    }

    /// Beyond the bound, who is gone for longest is forgotten.
    fn have_place_for(&mut self, life: &Life) -> bool {
        if self.known.contains_key(life) || self.known.len() < LIVES_MAX {
            return true;
        }
        let gone = self.known.iter().filter_map(|(life, other)| Some((other.gone_since?, *life)));
        let Some((_, longest)) = gone.min() else { return false };
        self.known.remove(&longest).is_some()
    }

    /// There has been no other router.
    pub(super) fn are_none(&self) -> bool {
        self.known.is_empty() && self.unheard.is_empty()
    }

    /// Connections of all of these.
    pub(super) fn lines(&self, now: Time, led_since: Time, of: impl Fn(RouterId) -> bool) -> usize {
        let counted =
            self.known.iter().filter(|((router, _), other)| of(*router) && other.counts(now, led_since));
        counted.map(|(_, other)| other.count()).sum()
    }
}

impl Router {
    /// Something that the others should know has changed.
    pub(super) fn tell_upstream_soon(&mut self) {
        self.tell_upstream_within(COALESCE);
    }

    /// Something that they should know within this time has changed, unless others tell it first.
    pub(super) fn tell_upstream_within(&mut self, span: Duration) {
        let at = self.now + span;
        let tell_at = &mut self.upstream.others.tell_at;
        *tell_at = Some(tell_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn tell_upstream_if_due(&mut self) {
        if self.upstream.others.tell_at.is_none_or(|at| at > self.now) {
            return;
        }
        let (is_deputy, tops) = (self.is_deputy(), self.tops());
        let upstream = &mut self.upstream;
        upstream.others.tell_at = None;
        // What is not held here yet may come: others do not tell again what they have told.
        upstream.pushed.keep_origins(|origin| tops.contains_key(origin));
        let names = |is_it: fn(&Carried) -> bool| {
            let clients = upstream.clients.iter().filter(|(_, carried)| is_it(carried));
            clients.map(|(client_id, _)| client_id.clone()).take(UPSTREAM_LINES_MAX).collect()
        };
        let state = UpstreamState {
            origin: self.origin,
            revision: upstream.others.revision + 1,
            gone_ms: None,
            lines: names(Carried::may_be_connected),
            claims: names(|carried| carried.may_be_there() && !carried.may_be_connected()),
            heard: if is_deputy { upstream.others.heard() } else { Vec::new() },
            pushed: if mutated!(self.settings, PushedNotTold) { Vec::new() } else { upstream.pushed.runs() },
        };
        let tells_anew = std::mem::take(&mut upstream.others.tells_anew);
        let last = upstream.others.own.as_ref();
        if last.is_none_or(|last| named(last) != named(&state)) {
            upstream.others.named_since = state.revision;
        }
        for (client_id, carried) in &mut upstream.clients {
            if carried.claim.told(upstream.others.named_since) {
                upstream.looks.insert(client_id.clone());
            }
        }
        // Of what is pushed only what is new: all of it is told to who comes, or has lost something.
        let mut told = std::mem::take(&mut upstream.others.heard_pushed);
        last.iter().flat_map(|last| &last.pushed).for_each(|run| {
            told.join(run);
        });
        let pushed: Vec<Holding> = state.pushed.iter().filter(|run| !told.covers(run)).copied().collect();
        let says_the_same = |last: &UpstreamState| {
            (&last.lines, &last.claims, &last.heard) == (&state.lines, &state.claims, &state.heard)
        };
        // A try that has changed nothing is no news.
        if let Some(own) = upstream.others.own.as_mut().filter(|own| says_the_same(own))
            && pushed.is_empty()
            && !tells_anew
        {
            own.pushed = state.pushed;
            return;
        }
        let news = UpstreamState { pushed, ..state.clone() };
        upstream.others.revision = state.revision;
        upstream.others.own = Some(state);
        self.spread_upstream(news, |_| true);
    }

    fn spread_upstream(&mut self, state: UpstreamState, to: impl Fn(RouterId) -> bool) {
        let message = Arc::new(Message::Upstream(state));
        for router in self.neighbours().into_iter().filter(|router| to(*router)) {
            self.tell_peer(router, message.clone());
        }
    }

    /// What came from one router goes on to those that its origin is not connected to itself. The
    /// deputy passes on to all in whose names a router is connected: its word vouches for the order.
    fn pass_on_upstream(&mut self, state: UpstreamState, via: RouterId, names_others: bool) {
        let origin = state.origin.router;
        let to_all = names_others && self.is_deputy();
        let neighbours = self.neighbours().into_iter().filter(|to| *to != via && *to != origin);
        let is_next = |to: &RouterId| to_all || !self.are_neighbours(origin, *to);
        let targets: BTreeSet<RouterId> = neighbours.filter(is_next).collect();
        self.spread_upstream(state, |to| targets.contains(&to));
    }

    /// A neighbour is connected: it may tell what it has not yet told anybody in reach.
    pub(in crate::router) fn upstream_peer_came(&mut self) {
        self.upstream.others.came_at = self.now;
    }

    /// A neighbour has come, or something to it was lost.
    pub(in crate::router) fn tell_upstream_to(&mut self, router: RouterId) {
        let now = self.now;
        // What the others have pushed it hears as what is known here.
        if self.upstream.others.own.is_some() {
            self.upstream.others.tell_at = Some(now);
            self.tell_upstream_if_due();
        }
        let led_since = self.upstream.led_since;
        // Who has ended is waited for by nobody who comes later.
        let matters = |other: &&Other| {
            other.state.revision > 0 && (other.counts(now, led_since) || other.is_silent(now))
        };
        let known = self.upstream.others.known.values().filter(matters);
        let known = known.map(|other| other.to_tell(now));
        let all: Vec<UpstreamState> = known.chain(self.upstream.others.own.clone()).collect();
        for state in all {
            self.tell_peer(router, Arc::new(Message::Upstream(state)));
        }
    }

    pub(in crate::router) fn upstream_heard(&mut self, via: RouterId, mut state: UpstreamState) {
        let (now, life) = (self.now, life_of(&state.origin));
        if life.0 == self.origin.router {
            let others = &mut self.upstream.others;
            if life == life_of(&self.origin) && state.revision > others.revision {
                // Not said here: it goes on above, or others would not hear it any more.
                others.revision = COUNTS.of(others.revision, state.revision);
                self.tell_upstream_soon();
            }
            return;
        }
        let known = self.upstream.others.known.get(&life).map_or(0, |known| known.state.revision);
        state.revision = COUNTS.of(known, state.revision);
        let is_there = self.lives_in_reach().contains(&life);
        let pushed = std::mem::take(&mut state.pushed);
        let mut is_news = false;
        for run in &pushed {
            is_news |= self.upstream.pushed.join(run);
        }
        if is_news {
            self.forget_what_was_pushed();
        }
        let others = &mut self.upstream.others;
        let known = others.known.get(&life);
        if known.is_some_and(|known| state.revision <= known.state.revision) || !others.have_place_for(&life)
        {
            // What was lost before came this way, and is passed on as this router's own.
            if is_news {
                self.tell_upstream_soon();
            }
            if life.0 == via && self.upstream.others.is_heard_again(life, now) {
                self.look_at_all_carried();
            }
            return;
        }
        pushed.iter().for_each(|run| {
            others.heard_pushed.join(run);
        });
        let known = others.known.remove(&life);
        // Of one that was missed it is not known whom it named.
        let follows = known.as_ref().is_some_and(|known| state.revision == known.state.revision + 1);
        let gone_at = Time::from_millis(now.as_millis().saturating_sub(state.gone_ms.unwrap_or(0)));
        let Other { named: before, named_since, gone_since, closed_at, has_ended, .. } =
            known.unwrap_or_else(|| Other::unheard(life, gone_at));
        // Others may have had it in reach for longer.
        let gone_since = (!is_there).then(|| gone_since.map_or(gone_at, |since| since.max(gone_at)));
        let was_unheard = others.unheard.remove(&life).is_some();
        let named = named(&state);
        let names_others = before != named || !follows;
        let named_since = if names_others { state.revision } else { named_since };
        self.upstream.looks.extend(before.symmetric_difference(&named).cloned());
        let is_over = false;
        let heard_at = now;
        let other = Other { state, named, named_since, heard_at, gone_since, closed_at, has_ended, is_over };
        self.upstream.others.known.insert(life, other);
        if was_unheard || !is_there {
            self.upstream_members_changed();
        }
        if names_others && self.is_deputy() {
            self.tell_upstream_soon();
        }
        if self.deputy() == Some(life.0) {
            let waits = self.upstream.clients.iter().filter(|(_, carried)| carried.awaits_deputy());
            self.upstream.looks.extend(waits.map(|(client_id, _)| client_id.clone()));
        }
        // One that is over was forgotten at once: told on, it would go round for ever.
        if let Some(other) = self.upstream.others.known.get(&life) {
            let state = UpstreamState { pushed, ..other.to_tell(now) };
            self.pass_on_upstream(state, via, names_others);
        }
    }

    /// A router has closed its last connection.
    pub(in crate::router) fn upstream_peer_closed(&mut self, router: RouterId) {
        let closed_at = self.upstream.leads.then_some(self.now);
        let lives = self.upstream.others.known.range_mut((router, 0)..=(router, u64::MAX));
        for (_, other) in lives.filter(|(_, other)| other.gone_since.is_none()) {
            other.closed_at = closed_at;
        }
    }

    /// Whether a life of another router is.
    pub(super) fn is_in_reach(&self, origin: &Origin) -> bool {
        self.lives_in_reach().contains(&life_of(origin))
    }

    fn lives_in_reach(&self) -> BTreeSet<Life> {
        let members = self.members_in_life().into_iter();
        let lives = members.map(|(router, incarnation)| (router, incarnation.random));
        lives.filter(|(router, _)| *router != self.origin.router).collect()
    }

    /// Routers came or went.
    pub(in crate::router) fn upstream_members_changed(&mut self) {
        let now = self.now;
        let lives = self.lives_in_reach();
        let upstream = &mut self.upstream;
        upstream.others.known.retain(|life, other| {
            let is_there = lives.contains(life);
            if is_there == other.gone_since.is_some() {
                other.gone_since = (!is_there).then_some(now);
                // It closes all, and is gone: else it was only that connection.
                let has_closed = other.closed_at.take().is_some_and(|at| now < at + CLOSED_LINGER);
                other.has_ended = !is_there && has_closed;
                upstream.looks.extend(other.named.iter().cloned());
                if is_there {
                    upstream.others.came_at = now;
                    // What it did meanwhile it has yet to tell, unless its connection came first.
                    if other.heard_at + HEARD_LATELY < now {
                        upstream.others.unheard.insert(*life, now);
                    }
                    upstream.others.tells_anew = true;
                }
            }
            other.is_over = !is_there && lives.range((life.0, 0)..=(life.0, u64::MAX)).next().is_some();
            other.counts(now, upstream.led_since) || other.is_missing(now)
        });
        let others = &mut upstream.others;
        // It may be at work, whatever it is.
        let gone: Vec<Life> = others.unheard.keys().filter(|life| !lives.contains(life)).copied().collect();
        for life in gone {
            others.unheard.remove(&life);
            let is_over = lives.range((life.0, 0)..=(life.0, u64::MAX)).next().is_some();
            if !is_over && !others.known.contains_key(&life) && others.have_place_for(&life) {
                others.known.insert(life, Other::unheard(life, now));
            }
        }
        for life in lives {
            if !others.known.contains_key(&life) && !others.unheard.contains_key(&life) {
                others.unheard.insert(life, now);
                others.came_at = now;
            }
        }
        if self.upstream.others.tells_anew && self.upstream.is_legacy() {
            self.tell_upstream_soon();
        }
        self.look_at_all_carried();
    }
}

//! What other routers do at the default server, as each tells all the others:
//! in whose names they are connected there, and what they have pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Incarnation, RouterId, Time};

use super::claim::SILENT_FOR;
use crate::router::Router;
use crate::router::mutants::mutated;
use crate::wire::fau3e::{Message, UPSTREAM_LINES_MAX, UpstreamState};
use crate::wire::{ClientId, Origin};

/// What has changed is told together after this long.
const COALESCE: Duration = Duration::from_millis(20);
/// For how long after a router is gone its connections may still stand: three
/// of the Pings that each of them asked the server for.
pub(super) const LINGER: Duration = Duration::from_secs(15);
/// The same where its process has ended: then its kernel has closed them.
const CLOSED_LINGER: Duration = Duration::from_secs(1);

/// All of them, at most as many as the election knows.
#[derive(Debug, Default)]
pub(super) struct Others {
    known: BTreeMap<RouterId, Other>,
    /// Routers in reach that have not told anything, and since when they are.
    unheard: BTreeMap<RouterId, Time>,
    /// When a router last came into reach.
    pub(super) came_at: Time,
    /// Own changes so far.
    revision: u64,
    /// When they are told.
    tell_at: Option<Time>,
    /// What was told last, for routers that come later.
    own: Option<Arc<Message>>,
}

#[derive(Debug)]
struct Other {
    state: Arc<Message>,
    origin: Origin,
    revision: u64,
    lines: BTreeSet<ClientId>,
    /// Since when it is out of reach.
    gone_since: Option<Time>,
    /// Its process has ended, and its kernel could tell the server.
    has_ended: bool,
}

impl Other {
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

    /// The same, or its process has ended.
    fn is_missing(&self, now: Time) -> bool {
        self.gone_since.is_some_and(|since| now < since + SILENT_FOR)
    }

    fn counts(&self, now: Time, led_since: Time) -> bool {
        self.until(led_since).is_none_or(|until| now < until)
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
        let holding = self
            .known
            .values()
            .filter(|other| other.counts(now, led_since) && other.lines.contains(client_id));
        holding.fold(Elsewhere::No, |so_far, other| match (so_far, other.until(led_since)) {
            (Elsewhere::Yes, _) | (_, None) => Elsewhere::Yes,
            (Elsewhere::No, Some(until)) => Elsewhere::Until(until),
            (Elsewhere::Until(before), Some(until)) => Elsewhere::Until(before.max(until)),
        })
    }

    /// Whether nobody has it that goes before this router.
    pub(super) fn all_above(&self, router: RouterId, client_id: &ClientId) -> bool {
        self.known.iter().all(|(other, known)| *other > router || !known.lines.contains(client_id))
    }

    /// Whether a router may be at work that is not in reach.
    pub(super) fn has_silent(&self, now: Time) -> bool {
        self.known.values().any(|other| other.is_silent(now))
    }

    /// Whether a router is not in reach.
    pub(super) fn has_missing(&self, now: Time) -> bool {
        self.known.values().any(|other| other.is_missing(now))
    }

    /// Until when one in reach may tell of its connections for the first time.
    pub(super) fn unheard_until(&self, now: Time) -> Option<Time> {
        self.unheard.values().max().map(|since| *since + LINGER).filter(|until| *until > now)
    }

    /// There has been no other router.
    pub(super) fn are_none(&self) -> bool {
        self.known.is_empty() && self.unheard.is_empty()
    }

    /// Connections of all of these.
    pub(super) fn lines(&self, now: Time, led_since: Time, of: impl Fn(RouterId) -> bool) -> usize {
        let counted =
            self.known.iter().filter(|(router, other)| of(**router) && other.counts(now, led_since));
        counted.map(|(_, other)| other.lines.len()).sum()
    }
}

impl Router {
    /// Something that the others should know has changed.
    pub(super) fn tell_upstream_soon(&mut self) {
        let at = self.now + COALESCE;
        self.upstream.others.tell_at.get_or_insert(at);
    }

    pub(super) fn tell_upstream_if_due(&mut self) {
        if self.upstream.others.tell_at.is_none_or(|at| at > self.now) {
            return;
        }
        let upstream = &mut self.upstream;
        upstream.others.tell_at = None;
        let origins = &self.origins;
        upstream.pushed.forget(|origin| origins.floor(origin));
        let lines = upstream.clients.iter().filter(|(_, carried)| carried.may_be_there());
        let state = UpstreamState {
            origin: self.origin,
            revision: upstream.others.revision + 1,
            lines: lines.map(|(client_id, _)| client_id.clone()).take(UPSTREAM_LINES_MAX).collect(),
            pushed: if mutated!(self.settings, PushedNotTold) { Vec::new() } else { upstream.pushed.runs() },
        };
        // A try that has changed nothing is no news.
        if let Some(Message::Upstream(last)) = upstream.others.own.as_deref()
            && (&last.lines, &last.pushed) == (&state.lines, &state.pushed)
        {
            return;
        }
        upstream.others.revision = state.revision;
        let message = Arc::new(Message::Upstream(state));
        upstream.others.own = Some(message.clone());
        self.spread_upstream(&message, None);
    }

    /// To all neighbours: it is small, and comes seldom.
    fn spread_upstream(&mut self, message: &Arc<Message>, via: Option<RouterId>) {
        for router in self.neighbours() {
            if Some(router) != via {
                self.tell_peer(router, message.clone());
            }
        }
    }

    /// A neighbour has come, or something to it was lost.
    pub(in crate::router) fn tell_upstream_to(&mut self, router: RouterId) {
        let others = &self.upstream.others;
        let known = others.known.values().map(|other| other.state.clone());
        let all: Vec<Arc<Message>> = known.chain(others.own.clone()).collect();
        for message in all {
            self.tell_peer(router, message);
        }
    }

    pub(in crate::router) fn upstream_heard(&mut self, via: RouterId, state: UpstreamState) {
        let router = state.origin.router;
        let lives: BTreeMap<RouterId, Incarnation> = self.members_in_life().into_iter().collect();
        let others = &mut self.upstream.others;
        let known = others.known.get(&router);
        // Of two lives the one counts that is in reach. Where neither is, all
        // routers must agree on one: else they would tell each other for ever.
        let alive = lives.get(&router).copied();
        let rank = |life: Incarnation| (alive == Some(life), life);
        let is_old = known.is_some_and(|known| {
            let (old, new) = (rank(known.origin.incarnation), rank(state.origin.incarnation));
            (new, state.revision) <= (old, known.revision)
        });
        let has_place = known.is_some() || others.known.len() < fau3_election::ROUTERS_MAX;
        if router == self.origin.router || is_old || !has_place {
            return;
        }
        let before = known.map(|known| known.lines.clone()).unwrap_or_default();
        let was_unheard = others.unheard.remove(&router).is_some();
        let lines: BTreeSet<ClientId> = state.lines.iter().cloned().collect();
        self.upstream.looks.extend(before.symmetric_difference(&lines).cloned());
        let mut is_news = false;
        for run in &state.pushed {
            is_news |= self.upstream.pushed.join(run);
        }
        let (origin, revision) = (state.origin, state.revision);
        let message = Arc::new(Message::Upstream(state));
        let other =
            Other { state: message.clone(), origin, revision, lines, gone_since: None, has_ended: false };
        self.upstream.others.known.insert(router, other);
        if is_news {
            self.forget_what_was_pushed();
        }
        if was_unheard {
            self.look_at_all_carried();
        }
        self.spread_upstream(&message, Some(via));
    }

    /// A router has closed its last connection.
    pub(in crate::router) fn upstream_peer_closed(&mut self, router: RouterId) {
        let leads = self.upstream.leads;
        if let Some(other) = self.upstream.others.known.get_mut(&router) {
            other.has_ended = leads;
        }
    }

    /// Routers came or went.
    pub(in crate::router) fn upstream_members_changed(&mut self) {
        let now = self.now;
        let lives = self.members_in_life();
        let members: BTreeSet<RouterId> = lives.iter().map(|(router, _)| *router).collect();
        let upstream = &mut self.upstream;
        upstream.others.known.retain(|router, other| {
            let is_there = members.contains(router);
            if is_there == other.gone_since.is_some() {
                other.gone_since = (!is_there).then_some(now);
                other.has_ended &= !is_there;
                upstream.looks.extend(other.lines.iter().cloned());
                if is_there {
                    upstream.others.came_at = now;
                }
            }
            other.counts(now, upstream.led_since) || other.is_missing(now)
        });
        let others = &mut upstream.others;
        others.unheard.retain(|router, _| members.contains(router));
        for (router, life) in lives.into_iter().filter(|(router, _)| *router != self.origin.router) {
            let is_known = others.known.get(&router).is_some_and(|known| known.origin.incarnation == life);
            if !is_known && !others.unheard.contains_key(&router) {
                others.unheard.insert(router, now);
                others.came_at = now;
            }
        }
        self.look_at_all_carried();
    }
}

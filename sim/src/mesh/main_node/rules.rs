//! What a segment makes of its main server's coming and going, held against where
//! the main server really was.

use std::time::Duration;

use fau3::router::CloseReason;
use fau3_election::{Coordinator, Time, View};

use super::uplink::PATIENCE;
use super::{HOLD_BASE, MainEvent, World};
use crate::engine::{CLOCK_ERROR_PPM_MAX, nodes_of};
use crate::mesh::device::room_id;
use crate::mesh::machine::NONE;

pub(in crate::mesh) const FALL_BACK: &str = "fall-back";
pub(in crate::mesh) const FALSE_ALARM: &str = "false-alarm";
pub(in crate::mesh) const HAND_BACK: &str = "hand-back";
pub(in crate::mesh) const HOLD: &str = "hold";
pub(in crate::mesh) const KEPT: &str = "kept";
pub(in crate::mesh) const ONE_LEADER: &str = "one-leader";
pub(in crate::mesh) const ONE_CALL: &str = "one-call";

/// From when the main server is out of the deputy's reach until the deputy leads.
const FALL_BACK_WITHIN: Duration = Duration::from_secs(3);
/// From when it is trusted again until all follow it, and it knows all sessions.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// From when the way to it is clear until its deputy has called it: a try that is
/// lost, the next one, a connection that it takes as standing for one second more, and
/// handshakes over the longest way.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// From when a router is the deputy no more until it has let go of the main server.
const LET_GO_WITHIN: Duration = Duration::from_secs(4);
/// For how long routers of one component may disagree on who leads.
const AGREE_WITHIN: Duration = Duration::from_secs(1);
/// A way that is broken for no longer moves nobody.
const BLIP_MAX: Duration = Duration::from_secs(1);
/// Whatever broke the way so long ago has been got over.
const GOT_OVER: Duration = Duration::from_secs(8);
/// The hold time grows to so many times its base.
const HOLD_GROWTH_MAX: u32 = 4;

/// What the judge remembers.
#[derive(Debug)]
pub(in crate::mesh) struct Watch {
    /// When anything else than the main server last changed that the election may notice.
    segment_changed_at: Time,
    /// The deputy that all name, and since when it does not reach the main server.
    out_since: Option<(usize, Time)>,
    /// Since when routers disagree on who leads.
    split_since: Option<Time>,
    terms: Vec<Term>,
}

/// What the judge remembers of one router.
#[derive(Debug, Clone, Copy)]
struct Term {
    /// How often it has fallen back since it has been the deputy.
    falls: u32,
    /// It was another's follower before, or its life began since: the hold time it knows
    /// of may be any.
    is_unsure: bool,
    /// When it was last connected with the main server.
    found_at: Option<Time>,
    /// Since when the way between the two is broken.
    broken_since: Option<Time>,
    /// A fall-back before is none of a false alarm.
    excused_until: Time,
}

impl Watch {
    pub(super) fn new(routers: usize) -> Self {
        let term = Term {
            falls: 0,
            is_unsure: false,
            found_at: None,
            broken_since: Some(Time::ZERO),
            excused_until: Time::ZERO,
        };
        Self {
            segment_changed_at: Time::ZERO,
            out_since: None,
            split_since: None,
            terms: vec![term; routers],
        }
    }
}

impl Term {
    /// Another life of the router.
    fn begin(&mut self) {
        (self.falls, self.is_unsure, self.found_at) = (0, false, None);
    }

    /// The least and the most that it may wait before it trusts a main server again.
    fn hold(&self) -> (Duration, Duration) {
        let most = HOLD_BASE * HOLD_GROWTH_MAX;
        let hold = (1..self.falls.min(8)).fold(HOLD_BASE, |hold, _| hold * 2).min(most);
        match (self.is_unsure, self.falls) {
            (true, _) => (Duration::ZERO, most),
            (false, 0) => (Duration::ZERO, Duration::ZERO),
            (false, _) => (hold, hold),
        }
    }
}

/// As long as it takes by the slowest clock.
fn slow(span: Duration) -> Duration {
    span * 1_000_000 / (1_000_000 - CLOCK_ERROR_PPM_MAX as u32)
}

/// As long as it takes by the fastest clock.
fn fast(span: Duration) -> Duration {
    span * 1_000_000 / (1_000_000 + CLOCK_ERROR_PPM_MAX as u32)
}

impl World {
    /// Something else than the main server has changed that the election may notice.
    pub(in crate::mesh) fn segment_changed(&mut self) {
        if let Some(main) = &mut self.main {
            main.watch.segment_changed_at = self.now;
        }
    }

    /// A router has come or gone.
    pub(in crate::mesh) fn segment_changed_by(&mut self, node: usize) {
        if node < self.setup.routers {
            self.segment_changed();
            if let Some(main) = &mut self.main {
                main.watch.terms[node].begin();
            }
        }
    }

    /// The segment had settled by then, and nothing has happened in it since.
    pub(super) fn is_segment_calm(&self, since: Time) -> bool {
        let Some(main) = &self.main else { return false };
        main.watch.segment_changed_at + self.judge.limits.settle < since && !self.is_rough()
    }

    /// Nothing has befallen the main server since then, nor does now.
    pub(super) fn is_all_well(&self, since: Time) -> bool {
        self.main.as_ref().is_some_and(|main| main.changed_at <= since && !main.on.iter().any(|on| *on))
    }

    /// The deputy's connection is newer than the last thing that befell the main server.
    pub(super) fn has_called_since_then(&self) -> bool {
        let found_at = |main: &super::MainSide, node: usize| main.watch.terms[node].found_at;
        let main = self.main.as_ref();
        main.zip(self.deputy()).is_some_and(|(main, node)| found_at(main, node) >= Some(main.changed_at))
    }

    /// What each running router of the segment says of who leads.
    fn views(&self) -> impl Iterator<Item = (usize, &View)> {
        let running = self.machines.iter().enumerate().take(self.setup.routers);
        let running = running.filter(|(_, machine)| machine.router.is_some());
        running.filter_map(|(node, machine)| Some((node, machine.view.as_ref()?)))
    }

    /// The deputy, if all name the same.
    fn deputy(&self) -> Option<usize> {
        let mut named = self.views().map(|(_, view)| view.deputy);
        let first = named.next()??;
        let is_agreed = named.all(|deputy| deputy == Some(first));
        self.machines.iter().position(|machine| machine.id == first).filter(|_| is_agreed)
    }

    /// Who reaches whom may have changed.
    pub(in crate::mesh) fn note_ways(&mut self) {
        let (now, routers) = (self.now, self.setup.routers);
        if self.main.is_none() {
            return;
        }
        for node in 0..routers {
            let is_there = self.is_main_there(node);
            let is_down = self.main_node().is_some_and(|main| self.machines[main].router.is_none());
            let term = &mut self.main().watch.terms[node];
            match (is_there, term.broken_since) {
                (false, None) => term.broken_since = Some(now),
                (true, Some(since)) => {
                    term.broken_since = None;
                    if now.since(since) > BLIP_MAX {
                        term.excused_until = now + GOT_OVER;
                    }
                }
                _ => {}
            }
            if is_down {
                term.excused_until = Time::MAX;
            } else if term.excused_until == Time::MAX {
                term.excused_until = now + GOT_OVER;
            }
        }
        self.note_outage();
    }

    /// The deputy may have lost the main server, or found it, or be another one.
    fn note_outage(&mut self) {
        let now = self.now;
        let deputy = self.deputy().filter(|node| !self.is_main_there(*node));
        let before = self.main().watch.out_since;
        if before.map(|(node, _)| node) != deputy {
            self.main().watch.out_since = deputy.map(|node| (node, now));
            if let Some(node) = deputy {
                // What is on its way over a slow uplink is a sign of life until it has come.
                let at = self.last_word(node).max(now) + FALL_BACK_WITHIN;
                self.main_later(at, MainEvent::FallBack { since: now });
            }
        }
    }

    /// When the newest of what the main server has told this router comes there.
    fn last_word(&self, node: usize) -> Time {
        let connection = self.main_node().map_or(NONE, |main| self.machines[node].peers[main]);
        if connection == NONE { Time::ZERO } else { self.connections[connection as usize].last_at(1) }
    }

    /// A router sees another leader or deputy than before, or says so for the first time.
    pub(in crate::mesh) fn note_view(&mut self, node: usize, before: Option<View>, view: View) {
        if self.main.is_none() || node >= self.setup.routers {
            return;
        }
        let (now, own) = (self.now, Some(self.machines[node].id));
        let is_other = before.as_ref().is_none_or(|before| before.deputy != view.deputy);
        if is_other {
            self.segment_changed();
        }
        let is_deputy = view.deputy == own && !is_other;
        let term = &mut self.main().watch.terms[node];
        if view.deputy != own && view.deputy.is_some() {
            term.is_unsure = true;
        }
        let led = before.map(|before| before.coordinator);
        match (led, view.coordinator) {
            (Some(Coordinator::DefaultServer), Coordinator::Router(_)) if is_deputy => self.fell_back(node),
            (Some(Coordinator::Router(_)), Coordinator::DefaultServer) if is_deputy => self.came_back(node),
            _ => {}
        }
        self.note_outage();
        let is_split = self.is_split();
        let watch = &mut self.main().watch;
        if !is_split {
            watch.split_since = None;
        } else if watch.split_since.is_none() {
            watch.split_since = Some(now);
            self.main_later(now + AGREE_WITHIN, MainEvent::Split { since: now });
        }
    }

    fn is_split(&self) -> bool {
        let mut leaders = self.views().map(|(_, view)| view.coordinator);
        let first = leaders.next();
        leaders.any(|leader| Some(leader) != first)
    }

    pub(super) fn must_agree(&mut self, since: Time) {
        if self.main().watch.split_since == Some(since) && self.is_segment_calm(since) {
            let views: Vec<_> = self.views().map(|(node, view)| (node, view.coordinator)).collect();
            self.broken(ONE_LEADER, format!("since {since} routers disagree on who leads: {views:?}"));
        }
    }

    /// The deputy does not follow the main server any more.
    fn fell_back(&mut self, node: usize) {
        let now = self.now;
        self.tally.main_fall_backs += 1;
        let watch = &mut self.main().watch;
        let term = &mut watch.terms[node];
        term.falls += 1;
        let term = *term;
        let is_broken = term.broken_since.is_some_and(|since| now.since(since) > BLIP_MAX);
        let is_excused = is_broken || now < term.excused_until;
        // Where nothing passes beside a connection, one that stands behind a lost
        // segment is an outage.
        let is_watched_well = self.main().setup.datagrams || self.is_all_well(now - GOT_OVER);
        if !is_excused && is_watched_well && self.is_segment_calm(now) {
            self.broken(FALSE_ALARM, format!("r{node} falls back, though the main server is there"));
        }
    }

    /// An outage that is none of the election's to judge.
    pub(super) fn excuse_fall_back(&mut self, node: usize) {
        let until = self.now + GOT_OVER;
        if let Some(term) = self.main().watch.terms.get_mut(node) {
            term.excused_until = term.excused_until.max(until);
        }
    }

    pub(super) fn must_have_fallen_back(&mut self, since: Time) {
        let Some((deputy, _)) = self.main().watch.out_since.filter(|(_, at)| *at == since) else { return };
        if !self.is_segment_calm(since) {
            return;
        }
        self.tally.main_fall_backs_checked += 1;
        let id = self.machines[deputy].id;
        let stray = self.views().find(|(_, view)| view.coordinator != Coordinator::Router(id));
        if let Some((node, view)) = stray {
            let leader = view.coordinator;
            let text =
                format!("r{deputy} is without the main server since {since}, and r{node} follows {leader:?}");
            self.broken(FALL_BACK, text);
        }
    }

    /// A router has a connection to the main server.
    pub(super) fn main_found(&mut self, node: usize, connection: u32) {
        let now = self.now;
        let term = &mut self.main().watch.terms[node];
        term.found_at = Some(now);
        let within = slow(term.hold().1) + BACK_WITHIN;
        self.main_later(now + within, MainEvent::Back { connection, since: now });
    }

    /// The deputy follows the main server again.
    fn came_back(&mut self, node: usize) {
        let now = self.now;
        self.tally.main_hand_backs += 1;
        let term = self.main().watch.terms[node];
        let (least, _) = term.hold();
        let Some(found_at) = term.found_at.filter(|found_at| self.is_segment_calm(*found_at)) else { return };
        if now.since(found_at) < fast(least) {
            let text = format!("r{node} follows the main server again, which it has found at {found_at}");
            self.broken(HOLD, text);
        }
    }

    /// Nothing befalls the main server from now on, as far as is known.
    pub(super) fn all_is_well_since_now(&mut self) {
        let now = self.now;
        if self.is_all_well(now) {
            self.main_later(now + PATIENCE + CALL_WITHIN, MainEvent::Called { since: now });
        }
    }

    pub(super) fn must_have_called(&mut self, since: Time) {
        if !self.is_all_well(since) || !self.is_segment_calm(since) {
            return;
        }
        let is_connected = |node: usize| {
            let connection = self.main_node().map_or(NONE, |main| self.machines[node].peers[main]);
            connection != NONE && self.sound(connection).is_some()
        };
        if let Some(deputy) = self.deputy().filter(|deputy| !is_connected(*deputy)) {
            self.broken(
                HAND_BACK,
                format!("all is well since {since}, and r{deputy} has not called the main server"),
            );
        }
    }

    pub(super) fn must_be_handed_back(&mut self, connection: u32, since: Time) {
        let Some([deputy, _]) = self.sound(connection) else { return };
        if self.deputy() != Some(deputy) || !self.is_all_well(since) || !self.is_segment_calm(since) {
            return;
        }
        self.tally.main_hand_backs_checked += 1;
        if let Some(text) = self.unled().or_else(|| self.unknown_at_main(since)) {
            self.broken(HAND_BACK, format!("called by r{deputy} at {since}: {text}"));
        }
    }

    /// A router of the segment that does not follow the main server.
    fn unled(&self) -> Option<String> {
        let (node, view) = self.views().find(|(_, view)| view.coordinator != Coordinator::DefaultServer)?;
        Some(format!("r{node} follows {:?}", view.coordinator))
    }

    /// A client that has been at the segment since then, of which the main server does not know.
    fn unknown_at_main(&self, since: Time) -> Option<String> {
        if self.behind().is_some() {
            return None;
        }
        let main = &self.machines[self.main_node()?];
        let router = main.router.as_ref()?;
        let elsewhere = router.snapshot(main.clock.local(self.now)).mesh?.elsewhere;
        let lost = |client: &usize| {
            let device = &self.devices[*client];
            let presence = self.judge.ledger.presences[*client];
            let Some(presence) = presence.filter(|presence| presence.subscribed_at < since) else {
                return false;
            };
            let is_there = device.line.is_some_and(|line| self.lines[line as usize].node == presence.node);
            let is_old = is_there && device.is_subscribed && presence.node < self.setup.routers;
            let known = elsewhere.iter().find(|(known, _)| known.client_id == device.client_id);
            let at = self.machines[presence.node].id;
            is_old && known.is_none_or(|(known, router)| *router != at || known.room != room_id(device.room))
        };
        let client = (0..self.devices.len()).find(lost)?;
        Some(format!("the main server does not know where c{client} is"))
    }

    /// In the end it leads, and one router of the segment has called it.
    pub(in crate::mesh) fn not_handed_back(&self) -> Option<(&'static str, String)> {
        let main = self.main_node()?;
        if let Some(text) = self.unled() {
            return Some((HAND_BACK, text));
        }
        let calls = nodes_of(self.segment()).filter(|node| self.machines[*node].peers[main] != NONE);
        let calls: Vec<usize> = calls.collect();
        // One that was the deputy lets go a little later.
        let is_changing = self.main.as_ref()?.watch.segment_changed_at + LET_GO_WITHIN > self.now;
        let is_right = calls.len() == 1 && calls.first().copied() == self.deputy();
        (!is_right && !is_changing).then(|| {
            (ONE_CALL, format!("the main server is called by {calls:?}, deputy is {:?}", self.deputy()))
        })
    }

    /// A router of the segment ends a client's connection.
    pub(in crate::mesh) fn observe_close(&mut self, node: usize, line: u32, why: CloseReason) {
        let place = &self.lines[line as usize];
        let client = place.client;
        let is_alive = !place.is_dead && self.devices[client].line == Some(line);
        let is_own_doing =
            matches!(why, CloseReason::TakenOver | CloseReason::Contested | CloseReason::ShuttingDown);
        if is_alive && !is_own_doing && self.is_segment_calm(self.now) && node < self.setup.routers {
            self.broken(KEPT, format!("r{node} ends c{client}'s connection: {}", why.text()));
        }
    }
}

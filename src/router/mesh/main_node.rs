//! The main server that is a fau3 node: when this router keeps a connection
//! to it, and what it tells the election.
//!
//! Beacons may not pass the NAT between, so whether it is reached is judged by
//! the connection alone, which the shell watches. Only the deputy has one.

use std::time::Duration;

use fau3_election::{Coordinator, Input, Role, RouterId, ServerEntry, Time, View};

use super::peers::Peers;
use crate::router::mutants::mutated;
use crate::router::upstream::Hold;
use crate::router::{Output, Router};

/// A router that is the deputy no more keeps its connection for so long: what
/// is on the way arrives, and the next deputy has its own by then.
const LET_GO_AFTER: Duration = Duration::from_secs(2);

/// Where another router has led for so long, its deputy has looked for the
/// main server in vain.
const LOOKED_IN_VAIN: Duration = Duration::from_secs(2);

/// How the main server of the configuration is known among routers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MainNode {
    /// What it says its name is.
    pub name: Box<str>,
    /// To whom that name belongs, if it was seen before.
    pub router: Option<RouterId>,
    /// How long it has to be there after its first outage before it leads
    /// again; doubled by each one of late, up to four times as long.
    pub hold: Duration,
}

/// It, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Main {
    configured: Option<MainNode>,
    /// Who it is, while it is connected.
    router: Option<RouterId>,
    hold: Hold,
    /// The shell keeps a connection to it.
    is_kept: bool,
    /// When it lets go.
    let_go_at: Option<Time>,
    /// What the election was told.
    said: Option<bool>,
    /// This router looks, has found nothing yet, and all follow on the word of the one before.
    is_believed: bool,
    /// How often it went away while this router looked.
    outages: u64,
    /// Another router is the deputy, and has led itself since, if it does.
    followed: Option<Option<Time>>,
}

impl Main {
    /// Who it is, while it is connected.
    pub(super) fn router(&self) -> Option<RouterId> {
        self.router
    }

    /// This router is the one that looks.
    pub(super) fn is_watched(&self) -> bool {
        self.is_kept && self.let_go_at.is_none()
    }

    /// How often it went away while this router looked.
    pub(super) fn outages(&self) -> u64 {
        self.outages
    }

    pub(super) fn timeout(&self, now: Time) -> Option<Time> {
        let trusted_at = self.hold.trusted_at().filter(|at| *at > now || self.said != Some(true));
        self.let_go_at.into_iter().chain(trusted_at.filter(|_| self.is_watched())).min()
    }

    /// Looks for it among those that are connected. Its name stays with whom
    /// it was first seen.
    fn look(&mut self, peers: &Peers) {
        self.router = self.configured.as_mut().and_then(|main| {
            let is_it = |router| main.router.is_none_or(|known| known == router);
            let mut found = peers.iter().filter(|(_, peer)| peer.leaf && peer.name == main.name);
            let found = found.find(|(router, _)| is_it(*router)).map(|(router, _)| router);
            main.router = main.router.or(found);
            found
        });
    }

    /// This router is to keep the connection, after one that has led itself
    /// since then, or not at all.
    fn take_over(&mut self, now: Time, led_since: Option<Time>) {
        if led_since.is_some_and(|since| now.since(since) >= LOOKED_IN_VAIN) {
            self.hold.lost(now);
        } else {
            // The one before has trusted it: what was before that is past.
            self.hold = Hold::new(self.hold.base);
        }
    }

    /// What to tell the election, at `now`.
    fn judge(&mut self, now: Time, is_ours: bool) -> Option<bool> {
        match (is_ours, self.router.is_some()) {
            (true, true) => self.hold.up(now),
            (true, false) => self.hold.down(now),
            (false, _) => self.hold.unwatch(),
        }
        match self.hold.is_trusted(now) {
            true => Some(true),
            // Before it was ever found, the word of the deputy before counts.
            false => (is_ours && self.hold.was_lost()).then_some(false),
        }
    }
}

impl Router {
    /// The configuration names it, or says that there is none.
    pub(in crate::router) fn configure_main(&mut self, configured: Option<MainNode>) {
        let Some(mesh) = &mut self.mesh else { return };
        let base = configured.as_ref().map_or(Duration::ZERO, |main| main.hold);
        let base = if mutated!(self.settings, HoldSkipped) { Duration::ZERO } else { base };
        let name = |main: &Option<MainNode>| main.as_ref().map(|main| main.name.clone());
        if name(&mesh.main.configured) != name(&configured) {
            // Outages of the one before say nothing of this one.
            (mesh.main.hold, mesh.main.outages) = (Hold::new(base), 0);
        }
        mesh.main.hold.base = base;
        mesh.main.configured = configured;
        self.look_for_main();
    }

    /// Somebody came, went, or said who it is.
    pub(super) fn look_for_main(&mut self) {
        let Some(mesh) = &mut self.mesh else { return };
        let before = mesh.main.router;
        mesh.main.look(&mesh.peers);
        if mesh.main.router != before {
            self.look_who_is_in_reach();
            self.tell_now();
        }
    }

    /// Somebody has told its ExtraServers list. Only the main server's
    /// counts, and none is no list: a good one stays.
    pub(super) fn list_heard(&mut self, router: RouterId, servers: Option<Vec<ServerEntry>>) {
        let is_main = self.mesh.as_ref().is_some_and(|mesh| mesh.main.router == Some(router));
        if let Some(servers) = servers.filter(|servers| is_main && !servers.is_empty()) {
            self.elect(Input::ListFetched(&servers));
        }
    }

    /// Keeps a connection to it or lets go, and tells the election.
    pub(super) fn watch_main(&mut self) {
        let (now, is_ours) = (self.now, self.keeps_main());
        let Some(mesh) = &mut self.mesh else { return };
        let view = mesh.election.view();
        let main = &mut mesh.main;
        if !is_ours {
            let leads = matches!(view.coordinator, Coordinator::Router(_));
            let since = main.followed.flatten().unwrap_or(now);
            main.followed = Some(leads.then_some(since));
        } else if let Some(led_since) = main.followed.take() {
            main.take_over(now, led_since);
        }
        let keep = is_ours || main.is_kept && main.let_go_at.is_none_or(|at| at > now);
        main.let_go_at = match (is_ours, keep) {
            (false, true) if mutated!(self.settings, NotLetGo) => None,
            (false, true) => Some(main.let_go_at.unwrap_or(now + LET_GO_AFTER)),
            _ => None,
        };
        if std::mem::replace(&mut main.is_kept, keep) != keep {
            self.outputs.push_back(Output::Uplink { keep });
        }
        let follows = view.coordinator == Coordinator::DefaultServer;
        if is_ours && main.is_believed && !follows && main.router.is_none() {
            main.hold.lost(now); // It was followed, and is so no more: an outage like any other.
        }
        main.is_believed = is_ours && follows && main.said.is_none();
        let says = main.judge(now, is_ours);
        let before = std::mem::replace(&mut main.said, says);
        main.outages += u64::from((before, says) == (Some(true), Some(false)));
        if before != says {
            self.elect(match says {
                Some(reach) => Input::DefaultServer(reach),
                None => Input::DefaultServerUnwatched,
            });
        }
    }

    /// Whether this router is the one that has a connection to it: the deputy,
    /// or one that is alone.
    fn keeps_main(&self) -> bool {
        let Some(mesh) = &self.mesh else { return false };
        let View { deputy, members, role, .. } = mesh.election.view();
        let has_listened = self.now.since(Time::ZERO) >= mesh.election.config().detection();
        let is_alone = deputy.is_none() && members == 1 && has_listened && role != Role::Stopped;
        let is_asked = mesh.main.configured.is_some() && !mesh.is_leaf();
        is_asked && (deputy == Some(self.origin.router) || is_alone)
    }
}

//! The mesh's part of a status: who leads, who hears whom, and names by which
//! people know routers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fau3_election::{Coordinator, Role, RouterId};
use serde::Serialize;

use super::{ClientStatus, Mode};
use crate::control::{MeshTrouble, Report, TROUBLE_KINDS};
use crate::router::MeshStatus as Mesh;
use crate::wire::Present;

/// A router as the component knows it.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct RouterStatus<'a> {
    /// As it calls itself; others may have the same name.
    pub name: &'a str,
    /// `null` where nobody in reach has told it.
    pub peer_id: Option<&'a str>,
    /// Its place in the list of extra servers, 0 the highest; `null`: not in it.
    pub priority: Option<u8>,
    pub mode: Mode,
    /// Whom it hears, and is heard by.
    pub neighbours: Vec<Cow<'a, str>>,
    pub clients: usize,
    /// Its id in the mesh, 32 hexadecimal digits.
    pub id: String,
    /// What does not work between this router and it; `null`: nothing.
    pub trouble: Option<&'a str>,
}

/// What does not work between this router and another one, or a place where one
/// should be.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct TroubleStatus<'a> {
    /// `null` where that is not known.
    pub router: Option<Cow<'a, str>>,
    /// The line of the configuration, or the address.
    pub place: &'a str,
    pub kind: &'static str,
    /// What it is, and what to do.
    pub text: &'a str,
}

/// What only a router in a mesh has.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct MeshStatus<'a> {
    /// Whether this router may lead: it has listened, and its state is on flash.
    pub ready: bool,
    /// Its neighbours keep it from leading for a while, after flaps.
    pub held_down: bool,
    /// The names of the ExtraServers list, highest priority first.
    pub list: Vec<&'a str>,
    /// Routers to which a connection stands.
    pub connected: Vec<Cow<'a, str>>,
    /// What does not work between this router and others.
    pub troubles: Vec<TroubleStatus<'a>>,
    /// Questions for records that other routers hold.
    pub fetches: u64,
    pub fetches_unanswered: u64,
    /// Questions for all that another router knows, since something was lost.
    pub states_asked: u64,
    /// Times at which the queue to another router was full.
    pub queue_full: u64,
    /// What the election did since the start.
    pub election: BTreeMap<&'static str, u64>,
    /// What the doors to other routers dropped since the start.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// Who leads, and whom this router knows.
pub(super) struct Leading<'a> {
    pub(super) mode: Mode,
    pub(super) coordinator: Option<Cow<'a, str>>,
    pub(super) deputy: Option<Cow<'a, str>>,
    pub(super) epoch: (u64, String),
    pub(super) list_version: u64,
    pub(super) neighbours: Vec<Cow<'a, str>>,
    pub(super) routers: Vec<RouterStatus<'a>>,
    pub(super) clients: Vec<ClientStatus<'a>>,
    pub(super) mesh: Option<MeshStatus<'a>>,
}

impl<'a> Leading<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        match &report.router.mesh {
            Some(mesh) => Self::in_mesh(report, mesh),
            None => Self::alone(report),
        }
    }

    /// No mesh: it leads itself, and the component is it.
    fn alone(report: &'a Report) -> Self {
        let identity = &report.identity;
        let name = || Cow::Borrowed(&*identity.name);
        let follows = report.default_server.reachable.is_some_and(|(reaches, _)| reaches);
        let (mode, leader) = match follows {
            true => (Mode::Default, Cow::Borrowed(&*report.default_server.name)),
            false => (Mode::Server, name()),
        };
        let myself = RouterStatus {
            name: &identity.name,
            peer_id: Some(&identity.peer_id),
            priority: None,
            mode,
            neighbours: Vec::new(),
            clients: report.router.clients.len(),
            id: identity.router_id.to_string(),
            trouble: None,
        };
        Self {
            mode,
            coordinator: Some(leader),
            deputy: Some(name()),
            epoch: (0, identity.router_id.to_string()),
            list_version: 0,
            neighbours: Vec::new(),
            routers: vec![myself],
            clients: report.router.clients.iter().map(|client| client_status(client, name())).collect(),
            mesh: None,
        }
    }

    fn in_mesh(report: &'a Report, mesh: &'a Mesh) -> Self {
        let me = report.identity.router_id;
        let names = Names::of(report, mesh);
        let view = mesh.view;
        let own = mesh.routers.iter().find(|router| router.router == me);
        Self {
            mode: Mode::of(view.role),
            coordinator: match view.coordinator {
                Coordinator::None => None,
                Coordinator::DefaultServer => Some(Cow::Borrowed(&report.default_server.name)),
                Coordinator::Router(router) => Some(names.label(router)),
            },
            deputy: view.deputy.map(|router| names.label(router)),
            epoch: view.epoch.map_or((0, me.to_string()), |epoch| (epoch.number, epoch.router.to_string())),
            list_version: view.list.number,
            neighbours: own.map(|own| names.labels(own.neighbours.iter().copied())).unwrap_or_default(),
            routers: routers(report, mesh, &names),
            clients: clients(report, mesh, &names),
            mesh: Some(mesh_status(report, mesh, &names)),
        }
    }
}

/// How people know the routers of a component.
struct Names<'a>(BTreeMap<RouterId, &'a str>);

impl<'a> Names<'a> {
    fn of(report: &'a Report, mesh: &'a Mesh) -> Self {
        let own = (report.identity.router_id, &*report.identity.name);
        Self({
            let routers = mesh.routers.iter().map(|router| (router.router, &*router.name));
            let leaves = mesh.leaves.iter().map(|(router, name)| (*router, &**name));
            routers.chain(leaves).chain([own]).collect()
        })
    }

    /// The name, where it says which router is meant; else the id.
    fn label(&self, router: RouterId) -> Cow<'a, str> {
        let name = self.0.get(&router).copied().filter(|name| !name.is_empty());
        let is_own = |name: &&str| self.0.values().filter(|other| *other == name).count() == 1;
        name.filter(is_own).map_or_else(|| Cow::Owned(router.to_string()), Cow::Borrowed)
    }

    fn labels(&self, routers: impl Iterator<Item = RouterId>) -> Vec<Cow<'a, str>> {
        routers.map(|router| self.label(router)).collect()
    }
}

fn routers<'a>(report: &'a Report, mesh: &'a Mesh, names: &Names<'a>) -> Vec<RouterStatus<'a>> {
    let identity = &report.identity;
    let peer_id = |router: RouterId| match &report.mesh {
        _ if router == identity.router_id => Some(&*identity.peer_id),
        Some(doors) => doors.peer_ids.get(&router).map(String::as_str),
        None => None,
    };
    let routers = mesh.routers.iter().map(|router| RouterStatus {
        name: &router.name,
        peer_id: peer_id(router.router),
        priority: router.priority,
        mode: Mode::of(router.mode),
        neighbours: names.labels(router.neighbours.iter().copied()),
        clients: router.clients,
        id: router.router.to_string(),
        trouble: troubles(report).find(|known| known.router == Some(router.router)).map(|known| &*known.text),
    });
    routers.collect()
}

/// Those of the whole mesh, this router's first.
fn clients<'a>(report: &'a Report, mesh: &'a Mesh, names: &Names<'a>) -> Vec<ClientStatus<'a>> {
    let me = report.identity.router_id;
    let here = report.router.clients.iter().map(|client| (client, me));
    let elsewhere = mesh.elsewhere.iter().map(|(client, router)| (client, *router));
    here.chain(elsewhere).map(|(client, router)| client_status(client, names.label(router))).collect()
}

fn client_status<'a>(client: &'a Present, router: Cow<'a, str>) -> ClientStatus<'a> {
    ClientStatus {
        client_id: client.client_id.as_str(),
        room: client.room.as_ref().map(|room| room.as_str()),
        router,
        alive_s: client.alive_s,
    }
}

fn troubles(report: &Report) -> impl Iterator<Item = &MeshTrouble> {
    report.mesh.iter().flat_map(|doors| &doors.troubles)
}

fn mesh_status<'a>(report: &'a Report, mesh: &'a Mesh, names: &Names<'a>) -> MeshStatus<'a> {
    let stats = &report.router.stats;
    MeshStatus {
        ready: mesh.view.ready,
        held_down: mesh.view.held,
        list: mesh.list.entries().iter().map(|entry| &*entry.name).collect(),
        connected: names.labels(mesh.neighbours.iter().map(|neighbour| neighbour.router)),
        troubles: troubles(report)
            .map(|trouble| TroubleStatus {
                router: trouble.router.map(|router| names.label(router)),
                place: &trouble.place,
                kind: trouble.kind,
                text: &trouble.text,
            })
            .collect(),
        fetches: stats.fetches,
        fetches_unanswered: stats.fetches_unanswered,
        states_asked: stats.states_asked,
        queue_full: stats.peer_full,
        election: election(report).into_iter().collect(),
        dropped: dropped(report).into_iter().collect(),
    }
}

/// What the election did since the start; nothing without a mesh.
pub(in crate::control) fn election(report: &Report) -> [(&'static str, u64); 12] {
    let done = report.router.mesh.as_ref().map(|mesh| mesh.election).unwrap_or_default();
    [
        ("decisions", done.decisions),
        ("heartbeats", done.heartbeats),
        ("hold_downs", done.hold_downs),
        ("malformed", done.malformed),
        ("probes", done.probes),
        ("records", done.records),
        ("refused", done.refused),
        ("relayed_heartbeats", done.relayed_heartbeats),
        ("relayed_records", done.relayed_records),
        ("repaired_records", done.repaired_records),
        ("stale_epochs", done.stale_epochs),
        ("summaries", done.summaries),
    ]
}

/// How many troubles there are now, by kind.
pub(in crate::control) fn trouble_counts(report: &Report) -> [(&'static str, u64); TROUBLE_KINDS.len()] {
    TROUBLE_KINDS.map(|kind| (kind, troubles(report).filter(|trouble| trouble.kind == kind).count() as u64))
}

/// What the doors to other routers dropped since the start.
pub(in crate::control) fn dropped(report: &Report) -> [(&'static str, u64); 6] {
    let counts = report.mesh.as_ref().map(|doors| doors.counts).unwrap_or_default();
    let counts = [
        ("beacons_late", counts.beacons_late),
        ("beacons_replayed", counts.beacons_replayed),
        ("beacons_strange", counts.beacons_strange),
        ("beacons_unsent", counts.beacons_unsent),
        ("connections_refused", counts.refused),
        ("streams_dropped", counts.streams_dropped),
    ];
    counts.map(|(what, count)| (what, count.into()))
}

impl Mode {
    fn of(role: Role) -> Self {
        match role {
            Role::Waiting | Role::Stopped => Self::Waiting,
            Role::Default => Self::Default,
            Role::Follower => Self::Follower,
            Role::Server => Self::Server,
        }
    }
}

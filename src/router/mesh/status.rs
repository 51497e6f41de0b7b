//! What a router tells people about its mesh.

use fau3_election::{Coordinator, Counters, Record, Role, RouterId, ServerList, View};

use super::Place;
use super::peers::Peer;
use crate::router::Router;
use crate::wire::Present;
use crate::wire::fau3e::Neighbour;

/// The mesh at one moment, as this router sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshStatus {
    /// Who leads.
    pub view: View,
    /// The ExtraServers list in use.
    pub list: ServerList,
    /// All routers in reach, this one included, by id.
    pub routers: Vec<RouterStatus>,
    /// Those that this one has a connection to.
    pub neighbours: Vec<Neighbour>,
    /// Those of them that are main servers, on no map, each with its name.
    pub leaves: Vec<(RouterId, Box<str>)>,
    /// The main server of the configuration, if it is one of them.
    pub main: Option<RouterId>,
    /// This router is the one that looks whether it is there.
    pub watches_main: bool,
    /// How often it went away while this router looked.
    pub main_outages: u64,
    /// What those that this one has a connection to say their names are.
    pub names: Vec<(RouterId, Box<str>)>,
    /// Clients that are connected to other routers, and where.
    pub elsewhere: Vec<(Present, RouterId)>,
    /// What the election did since the start.
    pub election: Counters,
}

/// One router of the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterStatus {
    /// Which one.
    pub router: RouterId,
    /// Its configured name.
    pub name: String,
    /// Its place in the list, 0 the highest.
    pub priority: Option<u8>,
    /// What it is to its clients.
    pub mode: Role,
    /// Whom it hears, and is heard by.
    pub neighbours: Vec<RouterId>,
    /// Clients connected to it.
    pub clients: usize,
}

impl Router {
    /// What this router knows of its mesh; `None`: it is in none.
    #[must_use]
    pub fn mesh_status(&self) -> Option<MeshStatus> {
        let mesh = self.mesh.as_ref()?;
        let (map, view) = (mesh.election.map(), mesh.election.view());
        let elsewhere: Vec<(Present, RouterId)> = self
            .list_clients(self.now, |session| session.place == Place::Elsewhere)
            .map(|(client, session)| (client, session.version.holder.router))
            .collect();
        let routers = map.component(self.origin.router).into_iter().filter_map(|router| {
            let record = map.get(router)?;
            let here = router == self.origin.router;
            let there = elsewhere.iter().filter(|(_, at)| *at == router).count();
            Some(RouterStatus {
                router,
                name: record.name.clone(),
                priority: record.place,
                mode: if here { view.role } else { mode(record, view) },
                neighbours: record
                    .links
                    .iter()
                    .map(|link| link.to)
                    .filter(|to| map.two_way(router, *to))
                    .collect(),
                clients: if here { self.by_conn.len() } else { there },
            })
        });
        Some(MeshStatus {
            view,
            list: mesh.election.list().clone(),
            routers: routers.collect(),
            neighbours: mesh.peers.neighbours(true),
            leaves: named(mesh.peers.iter().filter(|(_, peer)| peer.leaf)),
            main: mesh.main.router(),
            watches_main: mesh.main.is_watched(),
            main_outages: mesh.main.outages(),
            names: named(mesh.peers.iter().filter(|(_, peer)| peer.has_spoken)),
            election: mesh.election.counters(),
            elsewhere,
        })
    }
}

fn named<'a>(peers: impl Iterator<Item = (RouterId, &'a Peer)>) -> Vec<(RouterId, Box<str>)> {
    peers.map(|(router, peer)| (router, peer.name.clone())).collect()
}

/// What another router is, from what it says about itself.
fn mode(record: &Record, view: View) -> Role {
    if record.leading > 0 {
        Role::Server
    } else if !record.ready {
        Role::Waiting
    } else if view.coordinator == Coordinator::DefaultServer {
        Role::Default
    } else {
        Role::Follower
    }
}

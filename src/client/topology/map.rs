//! The mesh as a graph: routers, links, and clients at their routers.

use std::collections::{BTreeSet, VecDeque};

use serde::Deserialize;
use serde_json::json;

use crate::client::control::harmless;

/// What is wanted of a status (DESIGN.md, "Interfaces"); a node of another
/// version may say more, or less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    name: String,
    id: String,
    coordinator: Option<String>,
    deputy: Option<String>,
    epoch: (u64, String),
    routers: Vec<RouterStatus>,
    clients: Vec<ClientStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RouterStatus {
    name: String,
    id: String,
    peer_id: Option<String>,
    mode: String,
    priority: Option<u32>,
    neighbours: Vec<String>,
    clients: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientStatus {
    client_id: String,
    room: Option<String>,
    router: String,
}

/// The mesh at one moment.
#[derive(Debug)]
pub(super) struct Map {
    /// By name, and by id where names are alike.
    pub(super) routers: Vec<Router>,
    /// Pairs that hear each other, the lower place first.
    pub(super) links: BTreeSet<(usize, usize)>,
    /// Who leads, in words; `None`: nobody.
    pub(super) coordinator: Option<String>,
    /// Number of the term of leading, 0 before the first.
    pub(super) epoch: u64,
    /// The place of the router that was asked.
    pub(super) here: Option<usize>,
}

/// One router in it.
#[derive(Debug)]
pub(super) struct Router {
    /// Its name, with the start of its id where others have that name.
    pub(super) label: String,
    pub(super) mode: String,
    /// Its place in the list of extra servers, 0 the highest.
    pub(super) priority: Option<u32>,
    pub(super) leads: bool,
    pub(super) is_deputy: bool,
    /// Clients connected to it, which may be more than are named.
    pub(super) client_count: usize,
    /// Those that are named, each with its room.
    pub(super) clients: Vec<(String, Option<String>)>,
    name: String,
    id: String,
    peer_id: Option<String>,
}

/// Digits of an id that people tell routers apart by.
const ID_SHOWN: usize = 8;

impl Map {
    pub(super) fn new(mut status: Status) -> Self {
        status.routers.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        let keys = keys(&status.routers);
        let place = |key: &str| keys.iter().position(|known| known == key);
        let mut links = BTreeSet::new();
        for (at, router) in status.routers.iter().enumerate() {
            let others = router.neighbours.iter().filter_map(|key| place(key));
            links.extend(others.filter(|to| *to != at).map(|to| (at.min(to), at.max(to))));
        }
        let is = |who: &Option<String>, key: &String| who.as_ref() == Some(key);
        let routers = status.routers.iter().zip(&keys).map(|(router, key)| Router {
            label: label(router, key),
            mode: harmless(&router.mode),
            priority: router.priority,
            // The main server may have a router's name; then no router is "server".
            leads: is(&status.coordinator, key) && router.mode == "server",
            is_deputy: is(&status.deputy, key),
            client_count: router.clients,
            clients: clients_of(key, &status.clients),
            name: router.name.clone(),
            id: router.id.clone(),
            peer_id: router.peer_id.clone(),
        });
        Self {
            routers: routers.collect(),
            links,
            here: status
                .routers
                .iter()
                .position(|router| router.id == status.id && router.name == status.name),
            coordinator: status.coordinator.as_deref().map(harmless),
            epoch: status.epoch.0,
        }
    }

    /// Who leads, in words.
    pub(super) fn headline(&self) -> String {
        let leader = self.routers.iter().find(|router| router.leads).map(|router| &router.label);
        let who = match (leader, &self.coordinator) {
            (Some(label), _) => format!("{label} leads"),
            (None, Some(name)) => format!("the main server {name} leads"),
            (None, None) => "nobody leads yet".to_owned(),
        };
        let epoch = if self.epoch > 0 { format!(", epoch {}", self.epoch) } else { String::new() };
        let clients: usize = self.routers.iter().map(|router| router.client_count).sum();
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (routers, links) = (self.routers.len(), self.links.len());
        format!(
            "{who}{epoch}; {}, {}, {}",
            count(routers, "router"),
            count(links, "link"),
            count(clients, "client")
        )
    }

    /// Whom a router hears, in their order.
    pub(super) fn neighbours(&self, of: usize) -> impl Iterator<Item = usize> + '_ {
        self.links.iter().filter_map(move |&(a, b)| match of {
            of if of == a => Some(b),
            of if of == b => Some(a),
            _ => None,
        })
    }

    /// The fewest hops from the router that leads, else from the one that was
    /// asked: for each router the one before it, and the order in which they
    /// are reached. What nobody reaches begins a tree of its own.
    pub(super) fn tree(&self) -> Vec<(usize, Option<usize>)> {
        let leader = self.routers.iter().position(|router| router.leads);
        let firsts = leader.into_iter().chain(self.here).chain(0..self.routers.len());
        let mut reached = BTreeSet::new();
        let mut tree = Vec::new();
        for first in firsts {
            let mut next = VecDeque::from([(first, None)]);
            while let Some((at, before)) = next.pop_front() {
                if reached.insert(at) {
                    tree.push((at, before));
                    next.extend(self.neighbours(at).map(|to| (to, Some(at))));
                }
            }
        }
        tree
    }

    /// For scripts: routers, links between their ids, clients.
    pub(super) fn to_json(&self) -> String {
        let id = |at: usize| &self.routers[at].id;
        let routers: Vec<_> = self.routers.iter().map(Router::to_json).collect();
        let links: Vec<_> = self.links.iter().map(|&(a, b)| [id(a), id(b)]).collect();
        let value = json!({
            "here": self.here.map(id),
            "coordinator": self.coordinator,
            "epoch": self.epoch,
            "routers": routers,
            "links": links,
        });
        format!("{value}\n")
    }
}

impl Router {
    /// What it is, in words: `server, deputy, priority 0`.
    pub(super) fn role(&self) -> String {
        let priority = self.priority.map(|priority| format!(", priority {priority}"));
        let deputy = if self.is_deputy && !self.leads { ", deputy" } else { "" };
        format!("{}{deputy}{}", self.mode, priority.unwrap_or_default())
    }

    fn to_json(&self) -> serde_json::Value {
        let clients: Vec<_> =
            self.clients.iter().map(|(id, room)| json!({ "client_id": id, "room": room })).collect();
        json!({
            "name": self.name, "id": self.id, "peer_id": self.peer_id, "mode": self.mode,
            "priority": self.priority, "leads": self.leads, "deputy": self.is_deputy, "clients": clients,
        })
    }
}

/// What a status calls each router: its name, or its id where that says more.
fn keys(routers: &[RouterStatus]) -> Vec<String> {
    let is_own = |name: &str| routers.iter().filter(|other| other.name == name).count() == 1;
    let key = |router: &RouterStatus| {
        if is_own(&router.name) && !router.name.is_empty() { router.name.clone() } else { router.id.clone() }
    };
    routers.iter().map(key).collect()
}

fn label(router: &RouterStatus, key: &str) -> String {
    let name = harmless(&router.name);
    if key == router.name {
        return name;
    }
    let id: String = harmless(&router.id).chars().take(ID_SHOWN).collect();
    if name.is_empty() { id } else { format!("{name} ({id})") }
}

fn clients_of(key: &str, clients: &[ClientStatus]) -> Vec<(String, Option<String>)> {
    let of = clients.iter().filter(|client| client.router == key);
    of.map(|client| (harmless(&client.client_id), client.room.as_deref().map(harmless))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Routers by name with their neighbours; the second one leads, and the
    /// first one is asked. Ids count up.
    pub(in crate::client::topology) fn map(routers: &[(&str, &[&str])]) -> Map {
        let one = |(at, (name, neighbours)): (usize, &(&str, &[&str]))| {
            json!({
                "name": name, "id": format!("{at:032x}"), "neighbours": neighbours, "priority": at,
                "mode": if at == 1 { "server" } else { "follower" }, "clients": at,
            })
        };
        let status = json!({
            "name": routers[0].0, "id": format!("{:032x}", 0), "epoch": [7, "x"],
            "coordinator": routers.get(1).map(|router| router.0),
            "deputy": routers.get(1).map(|router| router.0),
            "routers": routers.iter().enumerate().map(one).collect::<Vec<_>>(),
            "clients": [{"client_id": "AA:01", "room": "h<a>ll", "router": routers.last().unwrap().0}],
        });
        Map::new(serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_link_is_there_once_whoever_reports_it() {
        let map = map(&[("a", &["b", "gone"]), ("b", &["a", "c"]), ("c", &["b"])]);
        assert_eq!(map.links, BTreeSet::from([(0, 1), (1, 2)]));
        assert_eq!(map.headline(), "b leads, epoch 7; 3 routers, 2 links, 3 clients");
        assert_eq!(map.here, Some(0));
        assert_eq!(map.routers[2].clients, [("AA:01".to_owned(), Some("h<a>ll".to_owned()))]);
    }

    #[test]
    fn the_tree_begins_at_the_leader_and_takes_the_fewest_hops() {
        // Given a ring of five, led by the second,
        let ring = map(&[
            ("a", &["b", "e"]),
            ("b", &["a", "c"]),
            ("c", &["b", "d"]),
            ("d", &["c", "e"]),
            ("e", &["d", "a"]),
        ]);
        assert_eq!(ring.tree(), [(1, None), (0, Some(1)), (2, Some(1)), (4, Some(0)), (3, Some(2))]);
        // one that is cut off begins a tree of its own.
        let cut = map(&[("a", &[]), ("b", &["c"]), ("c", &["b"])]);
        assert_eq!(cut.tree(), [(1, None), (2, Some(1)), (0, None)]);
    }

    #[test]
    fn two_of_one_name_are_told_apart_by_their_ids() {
        let status = json!({"coordinator": "0b", "routers": [
            {"name": "x", "id": "0a", "mode": "follower", "neighbours": ["0b"]},
            {"name": "x", "id": "0b", "mode": "server", "neighbours": ["0a"]},
            {"name": "y\u{1b}[2J", "id": "0c", "mode": "follower", "neighbours": []}]});
        let map = Map::new(serde_json::from_value(status).unwrap());
        let labels: Vec<_> = map.routers.iter().map(|router| &*router.label).collect();
        assert_eq!(labels, ["x (0a)", "x (0b)", "y\u{fffd}[2J"]);
        assert_eq!(map.links, BTreeSet::from([(0, 1)]));
        assert!(map.routers[1].leads && !map.routers[0].leads);
    }

    #[test]
    fn a_default_server_leads_without_being_a_router_of_the_mesh() {
        let status = json!({"coordinator": "main", "routers": [{"name": "main", "mode": "default"}]});
        let map = Map::new(serde_json::from_value(status).unwrap());
        assert_eq!(map.headline(), "the main server main leads; 1 router, 0 links, 0 clients");
        let nobody = Map::new(Status::default());
        assert_eq!(nobody.headline(), "nobody leads yet; 0 routers, 0 links, 0 clients");
    }

    #[test]
    fn scripts_get_links_between_ids() {
        let json: serde_json::Value =
            serde_json::from_str(&map(&[("a", &["b"]), ("b", &["a"])]).to_json()).unwrap();
        assert_eq!(json["links"], json!([[format!("{:032x}", 0), format!("{:032x}", 1)]]));
        assert_eq!(json["here"], json["routers"][0]["id"]);
        assert_eq!(json["routers"][1]["clients"][0], json!({"client_id": "AA:01", "room": "h<a>ll"}));
    }
}

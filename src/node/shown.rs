//! What the mesh's state means for those around this router: warnings for
//! people, the list that clients may ask for, and the name by which they find
//! a router.

use std::net::SocketAddr;

use fau3_election::{Coordinator, Role, ServerEntry, Time, View, Warning};
use tracing::{error, warn};

use crate::control::Control;
use crate::gateway::fau3d::ExtraServers;
use crate::router::Router;
use crate::wire::fau3d::ExtraServer;

/// Where changes are shown.
pub struct Shown {
    control: Control,
    servers: ExtraServers,
    /// The name by which clients look up the default server.
    default_server: String,
}

impl Shown {
    /// Shows warnings in the status, and the list to clients.
    #[must_use]
    pub fn new(control: Control, servers: ExtraServers, default_server: String) -> Self {
        Self { control, servers, default_server }
    }

    /// The name by which clients look up the default server.
    pub(super) fn default_server(&self) -> &str {
        &self.default_server
    }

    /// The view has changed, and with it perhaps the list.
    pub(super) fn view(&self, router: &Router, now: Time) {
        let Some(mesh) = router.snapshot(now).mesh else { return };
        let server = |entry: &ServerEntry| {
            let known = mesh
                .routers
                .iter()
                .find(|known| entry.id.map_or(known.name == entry.name, |id| known.router == id));
            let contact = known.and_then(|known| {
                mesh.neighbours.iter().find(|neighbour| neighbour.router == known.router)?.contact.as_ref()
            });
            ExtraServer {
                name: entry.name.clone(),
                peer_id: contact.map_or_else(String::new, |contact| contact.peer_id.to_string()),
                addresses: contact.map(|contact| multiaddress(contact.address)).into_iter().collect(),
            }
        };
        let servers: Vec<ExtraServer> = mesh.list.entries().iter().map(server).collect();
        self.servers.set(mesh.list.version().number, &servers);
    }

    pub(super) fn warning(&self, warning: Warning) {
        let (subject, text) = warning_text(warning);
        match warning {
            Warning::ClonedIdentity => error!("{text}"),
            _ => warn!("{text}"),
        }
        self.control.set_warning(subject, Some(text));
    }
}

/// As libp2p writes an address (multiformats, "multiaddr").
fn multiaddress(address: SocketAddr) -> String {
    let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{kind}/{}/tcp/{}", address.ip(), address.port())
}

fn warning_text(warning: Warning) -> (&'static str, String) {
    match warning {
        Warning::ClonedIdentity => (
            "cloned identity",
            "another router has the same identity key: this one has left the mesh. Delete the file \
             node.identity on one of the two and restart it"
                .into(),
        ),
        Warning::TableFull(router) => (
            "table full",
            format!(
                "more than {} routers are heard: {router} and others are ignored. Give meshes keys of their own",
                fau3_election::ROUTERS_MAX
            ),
        ),
        Warning::ListConflict { number, .. } => (
            "list conflict",
            format!("two ExtraServers lists with the version {number} differ: change one of them"),
        ),
        Warning::NameTwice(one, other) => (
            "name twice",
            format!(
                "two routers have one name (node.name): {one} and {other}; {one} has it, rename the other"
            ),
        ),
        Warning::StaleEpoch(epoch) => {
            ("stale epoch", format!("a coordinator of the past tried to write, epoch {epoch}: refused"))
        }
    }
}

/// One line for the log.
pub(super) fn view_text(view: &View) -> String {
    let leader = match view.coordinator {
        Coordinator::None => "nobody leads".into(),
        Coordinator::DefaultServer => "the default server leads".into(),
        Coordinator::Router(_) if view.role == Role::Server => "this router leads".into(),
        Coordinator::Router(router) => format!("{router} leads"),
    };
    let epoch = view.epoch.map_or_else(String::new, |epoch| format!(", epoch {}", epoch.number));
    format!("{leader}{epoch}; routers in reach: {}, list version {}", view.members, view.list.number)
}

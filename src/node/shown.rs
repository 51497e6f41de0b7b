//! What the mesh's state means for those around this router: warnings for
//! people, the list that clients may ask for, and the name by which they find
//! a router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use fau3_election::{Coordinator, Role, RouterId, ServerEntry, View, Warning};
use tracing::{error, info, warn};

use super::hosts::HostsFile;
use super::lan;
use super::mesh::{Found, MeshSide};
use super::names::{self, Conflict, Names};
use crate::config::Config;
use crate::control::{Control, Identity, MeshTrouble};
use crate::gateway::fau3d::ExtraServers;
use crate::identity;
use crate::router::{MeshStatus, Router};
use crate::wire::fau3d::ExtraServer;

/// Conflicts about names that one warning tells of.
const CONFLICTS_SHOWN_MAX: usize = 3;

/// Where changes are shown.
pub struct Shown {
    control: Control,
    servers: ExtraServers,
    identity: Identity,
    /// The name by which clients look up the main server.
    default_server: String,
    hosts: Option<HostsFile>,
    /// Own addresses on the LAN.
    own: BTreeSet<IpAddr>,
    names: Names,
    /// Nobody has chosen this router's name.
    name_is_default: bool,
    /// It has another one, which the router is to be told.
    renamed: Option<String>,
    /// What people were told last of who is not the main server.
    told_main: Option<String>,
    /// With whom people were told that something does not work, and what.
    told_troubles: BTreeSet<(String, &'static str)>,
}

impl Shown {
    /// Shows warnings in the status, the list to clients, and their name in a
    /// file if one is configured.
    #[must_use]
    pub fn new(
        config: &Config,
        control: Control,
        servers: ExtraServers,
        identity: Identity,
        name_is_default: bool,
    ) -> Self {
        let names = identity::state_at_start(&config.node.identity).bound_names();
        let listen = || config.clients.listen.iter().map(|address| address.ip).collect();
        let hosts = config.clients.hosts_file.as_ref();
        Self {
            hosts: hosts.map(|path| HostsFile::new(path.clone(), listen(), control.clone())),
            control,
            servers,
            identity,
            default_server: config.default_server.name.clone(),
            own: BTreeSet::new(),
            names: Names::new(names),
            name_is_default,
            renamed: None,
            told_main: None,
            told_troubles: BTreeSet::new(),
        }
    }

    /// The name that this router has taken since it was last asked.
    pub(super) fn renamed(&mut self) -> Option<String> {
        self.renamed.take()
    }

    /// The configuration says another one.
    pub(super) fn set_default_server(&mut self, name: String) {
        self.default_server = name;
    }

    /// Whose each name is.
    pub(super) fn bound_names(&self) -> &BTreeMap<String, RouterId> {
        self.names.bound()
    }

    /// What nobody tells of: interfaces come and go.
    pub(super) fn look(&mut self) {
        self.own = lan::addresses();
        if let Some(hosts) = &mut self.hosts {
            hosts.refresh(&self.default_server, &self.own);
        }
    }

    /// The mesh has changed: who leads, who is there, how routers are found.
    pub(super) fn mesh(&mut self, router: &Router, doors: &MeshSide) {
        let Some(mesh) = router.mesh_status() else { return };
        self.names(&mesh, doors);
        self.main_node(&mesh, doors);
        self.list(&mesh, doors);
        self.troubles(&mesh, doors);
    }

    /// What does not work between routers is said when it begins, and when it is over.
    fn troubles(&mut self, mesh: &MeshStatus, doors: &MeshSide) {
        let troubles = doors.troubles(mesh);
        let who = |trouble: &MeshTrouble| match trouble.router {
            Some(router) => format!("{} ({})", label(router, Some(mesh)), trouble.place),
            None => trouble.place.clone(),
        };
        let now: BTreeMap<_, _> =
            troubles.iter().map(|trouble| ((who(trouble), trouble.kind), &trouble.text)).collect();
        // Who is turned away is said when that happens.
        let new = now.iter().filter(|(of, _)| of.1 != "refused" && !self.told_troubles.contains(*of));
        new.for_each(|((who, _), text)| warn!("mesh: {who}: {text}"));
        let over = self.told_troubles.iter().filter(|of| of.1 != "refused" && !now.contains_key(*of));
        over.for_each(|(who, kind)| info!("mesh: {who}: no such trouble any more ({kind})"));
        self.told_troubles = now.into_keys().collect();
    }

    /// Each name belongs to whom it was first seen with.
    fn names(&mut self, mesh: &MeshStatus, doors: &MeshSide) {
        let routers = mesh.routers.iter().map(|router| (&*router.name, router.router));
        let seen = self.names.see(routers.chain(mesh.leaves.iter().map(|(router, name)| (&**name, *router))));
        if seen.is_new {
            doors.persist_names(self.names.bound().clone());
        }
        let me = self.identity.router_id;
        let is_in_reach = |router| {
            mesh.routers.iter().any(|known| known.router == router)
                || mesh.leaves.iter().any(|(known, _)| *known == router)
        };
        let text = |conflict: &Conflict| conflict.text(me, is_in_reach(conflict.owner), doors.state_file());
        // A name that nobody chose gives way by itself.
        let is_own = |conflict: &&Conflict| {
            conflict.name == self.identity.name && [conflict.owner, conflict.claimed_by].contains(&me)
        };
        // Also where the others have done so already: which one of all is last is chance.
        let gave_way = mesh.routers.iter().any(|router| {
            router.router != me && *router.name == names::with_id(&self.identity.name, router.router)
        });
        if self.name_is_default && (gave_way || seen.conflicts.iter().any(|conflict| is_own(&conflict))) {
            let name = names::with_id(&self.identity.name, me);
            info!(
                "another router has the name {} by default, too: this one is {name} from now on",
                self.identity.name
            );
            self.name_is_default = false;
            self.identity.name.clone_from(&name);
            self.renamed = Some(name);
            return;
        }
        seen.untold.iter().for_each(|conflict| warn!("{}", text(conflict)));
        let shown: Vec<_> = seen.conflicts.iter().take(CONFLICTS_SHOWN_MAX).map(text).collect();
        self.control.set_warning("name conflict", (!shown.is_empty()).then(|| shown.join("; ")));
    }

    /// Whoever answers where the main server should be is it, or people are
    /// told what to do.
    fn main_node(&mut self, mesh: &MeshStatus, doors: &MeshSide) {
        let found = doors.uplink().filter(|router| mesh.main != Some(*router));
        // It has to say who it is first.
        let found = found.and_then(|router| mesh.names.iter().find(|(known, _)| *known == router));
        let expected = &self.default_server;
        let text = found.map(|(router, name)| match mesh.leaves.iter().any(|(leaf, _)| leaf == router) {
            _ if **name != **expected => format!(
                "the router at default_server.url has the name {name}, not {expected}: correct default_server.name \
                 or default_server.url"
            ),
            false => format!(
                "the router at default_server.url does not know that it is the main server: set \
                 default_server.name to {expected} there, too"
            ),
            true => format!(
                "the router {router} at default_server.url claims the name {expected}, which is another one's; see \
                 the name conflict"
            ),
        });
        if text.is_some() && text != self.told_main {
            text.iter().for_each(|text| warn!("{text}; it does not lead"));
        }
        self.told_main.clone_from(&text);
        self.control.set_warning("main server", text);
    }

    /// Why whoever answers there is not the main server.
    pub(super) fn told_main(&self) -> Option<&str> {
        self.told_main.as_deref()
    }

    fn list(&self, mesh: &MeshStatus, doors: &MeshSide) {
        let own = Found {
            peer_id: self.identity.peer_id.clone(),
            addresses: lan::found_at(doors.addresses(), &self.own).into_iter().collect(),
        };
        let mut found = doors.found();
        found.insert(self.identity.router_id, own);
        self.servers.set(mesh.list.version().number, &extra_servers(mesh, &found));
    }

    pub(super) fn warning(&self, warning: Warning) {
        // Told with what is to be done, and for as long as it is so, by `names`.
        let Some((subject, text)) = warning_text(warning) else { return };
        match warning {
            Warning::ClonedIdentity => error!("{text}"),
            _ => warn!("{text}"),
        }
        self.control.set_warning(subject, Some(text));
    }
}

/// The list as it is answered, with what is known of its routers.
fn extra_servers(mesh: &MeshStatus, found: &BTreeMap<RouterId, Found>) -> Vec<ExtraServer> {
    let server = |entry: &ServerEntry| {
        let is_meant = |name: &str, id| entry.id.map_or(name == entry.name, |meant| meant == id);
        let known = mesh.routers.iter().find(|known| is_meant(&known.name, known.router));
        let found = known.and_then(|known| found.get(&known.router));
        // Without its zone a link-local address leads nowhere.
        let addresses =
            found.iter().flat_map(|found| &found.addresses).filter(|address| !is_link_local(address));
        ExtraServer {
            name: entry.name.clone(),
            peer_id: found.map_or_else(String::new, |found| found.peer_id.clone()),
            addresses: addresses.copied().map(multiaddress).collect(),
        }
    };
    mesh.list.entries().iter().map(server).collect()
}

fn is_link_local(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// As libp2p writes an address (multiformats, "multiaddr").
fn multiaddress(address: SocketAddr) -> String {
    let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{kind}/{}/tcp/{}", address.ip(), address.port())
}

fn warning_text(warning: Warning) -> Option<(&'static str, String)> {
    Some(match warning {
        Warning::ClonedIdentity => (
            "cloned identity",
            "another router has the same identity key: this one has left the mesh. Delete the file \
             node.identity on one of the two and restart it"
                .into(),
        ),
        Warning::IdentityHeard => (
            "identity heard",
            "somebody speaks in this router's name, but no connection shows that it has the identity key: this \
             router goes on. Look for a copy of this router's node.identity; if there is none, somebody who \
             has the mesh key forges beacons: make a new one (fau3 keys --new-mesh-key)"
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
        Warning::NameTwice(..) => return None,
        Warning::StaleEpoch(epoch) => {
            ("stale epoch", format!("a coordinator of the past tried to write, epoch {epoch}: refused"))
        }
    })
}

/// As `status` has it: the name, where it is one router's alone, else the id.
fn label(router: RouterId, mesh: Option<&MeshStatus>) -> String {
    let routers = mesh.map_or(&[][..], |mesh| &mesh.routers);
    let name = routers.iter().find(|known| known.router == router).map(|known| &*known.name);
    let is_own = |name: &&str| routers.iter().filter(|known| known.name == *name).count() == 1;
    name.filter(|name| !name.is_empty()).filter(is_own).map_or_else(|| router.to_string(), str::to_owned)
}

/// One line for the log.
pub(super) fn view_text(view: &View, mesh: Option<&MeshStatus>) -> String {
    let leader = match view.coordinator {
        Coordinator::None => "nobody leads".into(),
        Coordinator::DefaultServer => "the main server leads".into(),
        Coordinator::Router(_) if view.role == Role::Server => "this router leads".into(),
        Coordinator::Router(router) => format!("{} leads", label(router, mesh)),
    };
    let epoch = view.epoch.map_or_else(String::new, |epoch| format!(", epoch {}", epoch.number));
    format!("{leader}{epoch}; routers in reach: {}, list version {}", view.members, view.list.number)
}

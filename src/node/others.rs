//! Joining the mesh: from the configuration to an election and open doors for
//! other routers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fau3_election::{Election, Incarnation, RouterId, ServerEntry, Time};
use tracing::{info, warn};

use super::mesh::MeshSide;
use crate::config::{Config, DefaultServer, Mesh as MeshConfig, Scheme};
use crate::control::Control;
use crate::discovery::{Discovery, Own};
use crate::failure::Failure;
use crate::identity::{self, KeyFile, MeshKey};
use crate::mesh::{Key, Mesh, MeshSettings, PROTOCOLS, Transport, Uplink};
use crate::net::interface_number;
use crate::router::{MainNode, UpstreamInput};

/// The election of a new life, with what the last one kept.
pub(super) fn election(config: &Config, key: &KeyFile) -> Election {
    let saved = identity::state_at_start(&config.node.identity).saved();
    let settings = fau3_election::Config {
        name: config.node.name.clone(),
        beacon: Duration::from_millis(config.mesh.beacon_ms.into()),
        list: list(&config.extra_servers),
        leaf: config.is_default_server(),
        ..fau3_election::Config::default()
    };
    Election::new(settings, key.router_id(), saved, identity::random(), Time::ZERO)
}

/// The file's ExtraServers list, highest priority first.
pub(super) fn list(servers: &[String]) -> Vec<ServerEntry> {
    servers.iter().map(|name| ServerEntry { name: name.clone(), id: None }).collect()
}

/// Opens the doors for other routers, and begins to look for them.
///
/// # Errors
/// What is wrong with the key or an address, and what to do about it.
pub(super) async fn join(
    config: &Config,
    key: &KeyFile,
    incarnation: Incarnation,
    control: &Control,
) -> Result<MeshSide, Failure> {
    let keys = identity::read_mesh_keys(&config.mesh.key).map_err(Failure::new)?;
    let is_well_known = keys.is_empty();
    if is_well_known {
        let text = format!(
            "no mesh key: anyone on the LAN may join with the well-known one, and nobody else. Make a key with \
             `fau3 keys --new-mesh-key`, and put it into {} on every router",
            config.mesh.key.display()
        );
        warn!("{text}");
        control.set_warning("mesh key", Some(text));
    }
    let keys = if is_well_known { vec![MeshKey::well_known()] } else { keys };
    let settings = MeshSettings {
        listen: addresses(config)?,
        keys: keys.iter().map(|key| Key::new(*key.bytes())).collect(),
        lan_only: is_well_known,
        leaf: config.is_default_server(),
        incarnation,
        transports: vec![Transport::Tcp, Transport::WebSocket],
        protocols: PROTOCOLS,
        seed: identity::random(),
    };
    let (mesh, events) = Mesh::start(settings, key.keypair()).await.map_err(Failure::new)?;
    let port = mesh.addresses().first().map_or(0, SocketAddr::port);
    for address in mesh.addresses() {
        info!("meeting routers on {address}");
    }
    let own = Own {
        peer_id: key.peer_id(),
        name: config.node.name.clone(),
        mesh_port: port,
        clients_port: config.clients.listen.first().map(|address| address.port),
    };
    let discovery = match config.is_default_server() {
        true => {
            info!(
                name = config.node.name,
                "this router is the main server (default_server.name is its own name): it waits for the routers \
                 of its segments to call, calls nobody, and takes part in no segment's election"
            );
            // Whoever found it would call it, beside the one that is to.
            Discovery::start(
                &MeshConfig { discovery: Vec::new(), peer: Vec::new(), ..config.mesh.clone() },
                &own,
            )
        }
        false => Discovery::start(&config.mesh, &own),
    };
    let uplink = uplink(&config.default_server);
    Ok(MeshSide::new(mesh, events, discovery, &config.node.identity, incarnation, uplink))
}

/// Where the main server is, if it is a fau3 node.
pub(super) fn uplink(server: &DefaultServer) -> Option<Uplink> {
    let url = server.url.as_ref()?;
    let transport = match url.scheme {
        Scheme::Ws => return None,
        Scheme::Fau3 => Transport::Tcp,
        Scheme::Fau3Ws => Transport::WebSocket,
    };
    Some(Uplink {
        host: url.host.clone(),
        port: url.port,
        transport,
        path: url.path.clone(),
        check: Duration::from_millis(server.check_interval_ms.into()),
    })
}

/// Who the main server is among routers. A name that was seen before
/// belongs to whom it was seen with.
pub(super) fn main_node(server: &DefaultServer, names: &BTreeMap<String, RouterId>) -> UpstreamInput {
    let router = names.get(&server.name).copied();
    let node = uplink(server).map(|_| MainNode {
        name: server.name.as_str().into(),
        router,
        hold: Duration::from_millis(server.hold_ms.into()),
    });
    UpstreamInput::Node(node)
}

fn addresses(config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    let address = |address: &crate::config::Address| {
        address
            .socket_addr(interface_number)
            .ok_or_else(|| Failure::new(format!("mesh.listen: no interface for {address}")))
    };
    config.mesh.listen.iter().map(address).collect()
}

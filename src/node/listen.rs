//! The doors for clients: which there are, and the sockets at which they wait.
//! A new one is a line in [`doors`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Address, Config};
use crate::gateway::fau3d::{ExtraServers, Fau3d};
use crate::gateway::{BACKLOG, Door, Entrance, Hall};
use crate::net::{bind_tcp, interface_number, open_listening};

/// Between two looks for an interface that is not there yet.
const INTERFACE_PAUSE: Duration = Duration::from_secs(1);

/// Returns once every interface is there that an address to listen on names: at
/// boot they come one by one, some late.
pub(super) async fn wait_for_interfaces(config: &Config) {
    let mesh = config.mesh.listen.iter().filter(|_| config.mesh.enabled);
    let named: Vec<_> = config.clients.listen.iter().chain(mesh).collect();
    let missing = || -> BTreeSet<String> {
        let missing = named.iter().filter(|address| address.socket_addr(interface_number).is_none());
        missing.filter_map(|address| address.zone.clone()).collect()
    };
    let mut told = BTreeSet::new();
    loop {
        let missing = missing();
        if missing.is_empty() {
            break;
        }
        if missing != told {
            let names: Vec<_> = missing.iter().map(String::as_str).collect();
            warn!(
                "waiting for interface {}, of which clients.listen or mesh.listen has an address",
                names.join(" and ")
            );
            told = missing;
        }
        sleep(INTERFACE_PAUSE).await;
    }
    if !told.is_empty() {
        info!("the interfaces are there");
    }
}

/// The doors of a router.
pub(super) fn doors<'a>(config: &'a Config, servers: &ExtraServers) -> Vec<Opening<'a>> {
    let clients = &config.clients;
    vec![Opening {
        name: "fau3d",
        option: "clients.listen",
        listen: &clients.listen,
        door: Arc::new(Fau3d::new(servers.clone())),
    }]
}

/// One door, and where it is to listen.
pub(super) struct Opening<'a> {
    name: &'static str,
    /// The option that says where.
    option: &'static str,
    listen: &'a [Address],
    door: Arc<dyn Door>,
}

impl Opening<'_> {
    /// Takes its addresses, also those that are not on any interface yet: at boot they may
    /// come later.
    ///
    /// # Errors
    /// What went wrong, and what to do about it.
    pub(super) fn bind(self) -> Result<Bound, String> {
        let sockets = self.listen.iter().map(|address| {
            let wanted = address
                .socket_addr(interface_number)
                .ok_or_else(|| format!("cannot listen on {address}: there is no such interface now"))?;
            open_listening("this router", self.option, address, wanted, bind_tcp)
        });
        Ok(Bound { name: self.name, sockets: sockets.collect::<Result<_, _>>()?, door: self.door })
    }
}

/// A door that has its addresses, and takes nobody in yet.
pub(super) struct Bound {
    name: &'static str,
    sockets: Vec<TcpSocket>,
    door: Arc<dyn Door>,
}

impl Bound {
    /// From now on clients are taken in, until these tasks are ended. One entrance for all
    /// addresses: its bounds are the router's.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open(self, hall: &Hall) -> Result<Vec<JoinHandle<()>>, String> {
        let entrance = Entrance::new(hall, self.name);
        let open = |socket: TcpSocket| {
            let listener = socket.listen(BACKLOG).map_err(|error| format!("cannot listen: {error}"))?;
            if let Ok(address) = listener.local_addr() {
                info!("serving clients on {}", self.door.url(address));
            }
            Ok(tokio::spawn(entrance.clone().listen(self.door.clone(), listener)))
        };
        self.sockets.into_iter().map(open).collect()
    }
}

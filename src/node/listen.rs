//! Sockets that wait for clients.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Address, Config};
use crate::net::{bind_tcp, interface_number, open_listening};

/// Connections that the kernel holds until they are accepted: all clients of a
/// router come back at once after a loss.
pub(super) const BACKLOG: u32 = 1_024;

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

/// A socket that has its address and takes nobody in yet.
pub(super) struct Bound(TcpSocket);

impl Bound {
    /// From now on clients are taken in.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn listen(self) -> Result<TcpListener, String> {
        self.0.listen(BACKLOG).map_err(|error| format!("cannot listen: {error}"))
    }
}

/// Takes `address`, also if that is not on any interface yet: at boot it may
/// come later.
///
/// # Errors
/// What went wrong, and what to do about it.
pub(super) fn bind(address: &Address) -> Result<Bound, String> {
    let wanted = address
        .socket_addr(interface_number)
        .ok_or_else(|| format!("cannot listen on {address}: there is no such interface now"))?;
    open_listening("this router", "clients.listen", address, wanted, bind_tcp).map(Bound)
}

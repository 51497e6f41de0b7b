//! Sockets that wait for clients.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Address, Config};

/// Connections that the kernel holds until they are accepted: all clients of a
/// router come back at once after a loss.
const BACKLOG: u32 = 1_024;

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
    let bound = match open(wanted) {
        // A kernel without IPv6: "any" still means what is there.
        Err(error) if is_without_ipv6(&error) && wanted.ip().is_unspecified() => {
            warn!("no IPv6 on this machine: listening on IPv4 only");
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port())))
        }
        bound => bound,
    };
    bound.map(Bound).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: the port is taken. Is another router running? \
             Stop it, or choose another port"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("cannot listen on {address}: not allowed. Choose a port from 1024 up, or run as root")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })
}

fn open(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        // [::] takes IPv4 clients too, whatever the system's default is.
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // As Linux allows it for any user (ip(7), IP_FREEBIND).
    rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

pub(super) fn interface_number(name: &str) -> Option<u32> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

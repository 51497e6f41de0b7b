//! The mesh's sockets: for each address TCP and UDP on one port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tracing::warn;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 64;
/// A port that is free for TCP may be taken for UDP: then another one is tried.
const PORT_TRIES: u32 = 16;

/// One address that is listened on.
pub(super) struct Sockets {
    pub(super) tcp: TcpListener,
    pub(super) udp: UdpSocket,
    pub(super) address: SocketAddr,
}

/// Opens both sockets, also where the address is not on any interface yet: at
/// boot it may come later.
pub(super) fn open(wanted: SocketAddr) -> Result<Sockets, String> {
    let mut opened = open_both(wanted);
    if wanted.ip().is_unspecified() && opened.as_ref().is_err_and(is_without_ipv6) {
        warn!("no IPv6 on this machine: the mesh listens on IPv4 only");
        opened = open_both(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port())));
    }
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the mesh cannot listen on {wanted}: the port is taken. Is another router running? \
             Stop it, or choose another port"
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "the mesh cannot listen on {wanted}: not allowed. Choose a port from 1024 up, or run as root"
            )
        }
        _ => format!("the mesh cannot listen on {wanted}: {error}"),
    })
}

fn open_both(wanted: SocketAddr) -> io::Result<Sockets> {
    let mut tries = 0;
    loop {
        let tcp = open_tcp(wanted)?;
        let address = tcp.local_addr()?;
        match open_udp(address) {
            Err(error)
                if wanted.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tries < PORT_TRIES =>
            {
                tries += 1;
            }
            udp => return Ok(Sockets { tcp, udp: udp?, address }),
        }
    }
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    prepare(&socket, address)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    prepare(&socket, address)?;
    rustix::net::bind(&socket, &address)?;
    UdpSocket::from_std(socket.into())
}

fn prepare(socket: &impl std::os::fd::AsFd, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        // [::] takes IPv4, too, whatever the system's default is.
        sockopt::set_ipv6_v6only(socket, false)?;
    }
    // As Linux allows it for any user (ip(7), IP_FREEBIND).
    Ok(sockopt::set_ip_freebind(socket, true)?)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

//! The mesh's sockets: for each address TCP and UDP on one port.

use std::io;
use std::net::SocketAddr;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::UdpSocket;

use crate::net::{Listener, bind_tcp, open_listening, prepare};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 64;
/// A port that is free for TCP may be taken for UDP: then another one is tried.
const PORT_TRIES: u32 = 16;

/// One address that is listened on.
pub(super) struct Sockets {
    pub(super) tcp: Listener,
    pub(super) udp: UdpSocket,
    pub(super) address: SocketAddr,
}

/// Opens both sockets, also where the address is not on any interface yet: at
/// boot it may come later.
pub(super) fn open(wanted: SocketAddr) -> Result<Sockets, String> {
    open_listening("the mesh", "mesh.listen", &wanted, wanted, open_both)
}

fn open_both(wanted: SocketAddr) -> io::Result<Sockets> {
    let mut tries = 0;
    loop {
        let tcp = bind_tcp(wanted)?.listen(BACKLOG)?;
        let address = tcp.local_addr()?;
        match open_udp(address) {
            Err(error)
                if wanted.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tries < PORT_TRIES =>
            {
                tries += 1;
            }
            udp => return Ok(Sockets { tcp: Listener::new(tcp, BACKLOG), udp: udp?, address }),
        }
    }
}

/// The one for beacons.
pub(super) fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    prepare(&socket, address)?;
    rustix::net::bind(&socket, &address)?;
    UdpSocket::from_std(socket.into())
}

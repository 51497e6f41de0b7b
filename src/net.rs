//! What all doors ask of the system: sockets that listen, and which interface
//! is which. Knows nothing of what is said on them.

mod listener;
mod refused;

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netdevice, sockopt};
use tokio::net::TcpSocket;
use tracing::warn;

pub(crate) use listener::{Follower, Listener};
pub(crate) use refused::refused;

/// Opens what listens on `wanted`, or, where a kernel without IPv6 is asked for
/// any address, on any of IPv4. `who` listens, on what people know as `shown` and `option` names.
///
/// # Errors
/// What went wrong, and what to do about it.
pub(crate) fn open_listening<T>(
    who: &str,
    option: &str,
    shown: &dyn Display,
    wanted: SocketAddr,
    open: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, String> {
    let mut opened = open(wanted);
    if wanted.ip().is_unspecified() && opened.as_ref().is_err_and(is_without_ipv6) {
        warn!("no IPv6 on this machine: {who} listens on IPv4 only");
        opened = open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port())));
    }
    opened.map_err(|error| refused(who, option, &shown.to_string(), wanted, &error))
}

/// A TCP socket that has its address, and takes nobody in yet.
pub(crate) fn bind_tcp(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    prepare(&socket, address)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The largest segment of a TCP connection that is not made yet, in bytes, in both
/// directions; 0: the usual one.
pub(crate) fn set_segment<'a, S>(socket: &'a S, bytes: u16) -> io::Result<()>
where
    socket2::SockRef<'a>: From<&'a S>,
{
    socket2::SockRef::from(socket).set_tcp_mss(bytes.into())
}

/// Lets a socket take `address` also if that is not on any interface yet: at
/// boot it may come later.
pub(crate) fn prepare(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
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

/// The number of an interface in this process's network; `None`: there is none
/// of that name now.
pub(crate) fn interface_number(name: &str) -> Option<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
    netdevice::name_to_index(socket.ok()?, name).ok()
}

/// The name of the interface with this number; `None`: there is none, as for 0.
pub(crate) fn interface_name(number: u32) -> Option<String> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
    netdevice::index_to_name(socket.ok()?, number).ok()
}

/// Private IPv4 (RFC 1918) and unique local IPv6 (RFC 4193): what a LAN has,
/// and means the same to all who are there, as link-local addresses do not.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// What means something on one link alone (RFC 3927, RFC 4291).
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_its_number_and_one_that_is_not_there_has_none() {
        assert!(interface_number("lo").is_some_and(|number| number > 0));
        assert_eq!(interface_number("gone0"), None);
    }

    #[test]
    fn without_ipv6_any_address_means_any_of_ipv4_and_no_other_does() {
        let open = |address: SocketAddr| match address.is_ipv6() {
            true => Err(Errno::AFNOSUPPORT.into()),
            false => Ok(address.to_string()),
        };
        let opened = |wanted: &str| open_listening("it", "x.listen", &wanted, wanted.parse().unwrap(), open);
        assert_eq!(opened("[::]:8901").unwrap(), "0.0.0.0:8901");
        assert!(
            opened("[fd00::1]:8901")
                .unwrap_err()
                .starts_with("it cannot listen on [fd00::1]:8901 (x.listen): ")
        );
    }
}

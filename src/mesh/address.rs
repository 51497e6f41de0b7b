//! Addresses: one form for each, and which belong to a LAN.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use crate::net::{is_link_local, is_private};

/// One form for each address: IPv4 as such, also where an IPv6 socket shows
/// it, and a zone for link-local addresses only.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => {
                let zone = if v6.ip().is_unicast_link_local() { v6.scope_id() } else { 0 };
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, zone).into()
            }
        },
    }
}

/// The address as an IPv6 socket takes it.
pub(super) fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

/// Private, link-local, unique local, or this machine: RFC 1918, 3927, 4193,
/// 4291.
pub(super) fn is_lan(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    is_private(ip) || is_link_local(ip) || ip.is_loopback()
}

/// Whether a router can be there at all.
pub(super) fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let zoneless = matches!(address, SocketAddr::V6(v6)
        if v6.ip().is_unicast_link_local() && v6.scope_id() == 0);
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast && !zoneless
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_well_known_key_is_for_lan_addresses_only() {
        for lan in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.2",
            "169.254.3.4",
            "127.0.0.1",
            "fe80::1",
            "fd12:3456::1",
            "::1",
            "::ffff:192.168.1.2",
        ] {
            assert!(is_lan(lan.parse().unwrap()), "{lan}");
        }
        for other in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8", "0.0.0.0", "::"]
        {
            assert!(!is_lan(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn every_address_has_one_form() {
        assert_eq!(canonical(address("[::ffff:10.0.0.1]:8902")), address("10.0.0.1:8902"));
        assert_eq!(mapped(address("10.0.0.1:8902")), address("[::ffff:10.0.0.1]:8902"));
        assert_eq!(canonical(mapped(address("10.0.0.1:1"))), address("10.0.0.1:1"));
        assert_eq!(canonical(address("[fe80::1%3]:8902")), address("[fe80::1%3]:8902"));
        assert_eq!(canonical(address("[fd00::1%3]:8902")), address("[fd00::1]:8902"));
    }

    #[test]
    fn nobody_dials_where_no_router_can_be() {
        for bad in
            ["0.0.0.0:8902", "[::]:8902", "10.0.0.1:0", "224.0.0.1:1", "255.255.255.255:1", "[fe80::1]:8902"]
        {
            assert!(!is_dialable(address(bad)), "{bad}");
        }
        assert!(is_dialable(address("[fe80::1%2]:8902")) && is_dialable(address("8.8.8.8:8902")));
    }
}

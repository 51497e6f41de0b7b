//! Own addresses at which others on the LAN reach this router.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::net::is_private;

/// Addresses taken of one router; interfaces with more are rare.
const ADDRESSES_MAX: usize = 32;

/// The addresses of interfaces that are up, of which [`is_private`] holds. None
/// where the system does not tell.
pub(super) fn addresses() -> BTreeSet<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    choose(interfaces.iter().map(|interface| (interface.ip(), interface.is_oper_up())))
}

/// Of addresses, each with whether its interface is up.
fn choose(addresses: impl Iterator<Item = (IpAddr, bool)>) -> BTreeSet<IpAddr> {
    let chosen = addresses.filter(|(ip, is_up)| *is_up && is_private(*ip)).map(|(ip, _)| ip);
    chosen.take(ADDRESSES_MAX).collect()
}

/// Those of `own` at which somebody is heard who listens on `listen`.
pub(super) fn heard_on<'a>(
    listen: impl Iterator<Item = &'a IpAddr> + Clone,
    own: &BTreeSet<IpAddr>,
) -> BTreeSet<IpAddr> {
    // [::] takes IPv4 too.
    let is_heard = |ip: &&IpAddr| {
        listen.clone().any(|on| on == *ip || on.is_unspecified() && (on.is_ipv6() || ip.is_ipv4()))
    };
    own.iter().filter(is_heard).copied().collect()
}

/// Where others find a socket that listens on `listen`: there, or at each of
/// `own` if it listens on all of them.
pub(super) fn found_at(listen: &[SocketAddr], own: &BTreeSet<IpAddr>) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for socket in listen {
        let ip = socket.ip();
        match ip.is_unspecified() {
            true => found
                .extend(heard_on([ip].iter(), own).into_iter().map(|ip| SocketAddr::new(ip, socket.port()))),
            false => drop(found.insert(*socket)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn private_and_unique_local_addresses_of_interfaces_that_are_up_are_the_lans() {
        // Given what a router has: two bridges, a port that is down, the uplink
        let interfaces = [
            ("127.0.0.1", true),
            ("::1", true),
            ("192.168.1.1", true),
            ("fd00:1::1", true),
            ("fe80::1", true),
            ("2001:db8::1", true),
            ("10.0.0.1", true),
            ("172.16.5.1", false),
            ("203.0.113.5", true),
            ("169.254.3.4", true),
        ];
        let chosen = choose(interfaces.iter().map(|(ip, is_up)| (ip.parse().unwrap(), *is_up)));
        assert_eq!(chosen, ips(&["10.0.0.1", "192.168.1.1", "fd00:1::1"]));
        let crowd = (0..200).map(|last| (IpAddr::from([10, 0, 0, last]), true));
        assert_eq!(choose(crowd).len(), ADDRESSES_MAX);
    }

    #[test]
    fn only_where_somebody_listens_there_is_something_to_find() {
        let own = ips(&["10.0.0.1", "192.168.1.1", "fd00::1"]);
        let heard = |listen: &[&str]| heard_on(ips(listen).iter(), &own);
        assert_eq!(heard(&["::"]), own);
        assert_eq!(heard(&["0.0.0.0"]), ips(&["10.0.0.1", "192.168.1.1"]));
        assert_eq!(heard(&["192.168.1.1", "192.168.9.9"]), ips(&["192.168.1.1"]), "the other is not its own");
        assert_eq!(heard(&["127.0.0.1"]), ips(&[]));
    }

    #[test]
    fn a_door_is_found_where_it_is_or_at_all_own_addresses() {
        let own = ips(&["10.0.0.1", "fd00::1"]);
        let sockets =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let found = |listen: &[&str]| found_at(&sockets(listen), &own).into_iter().collect::<Vec<_>>();
        assert_eq!(found(&["[::]:8902"]), sockets(&["10.0.0.1:8902", "[fd00::1]:8902"]));
        assert_eq!(found(&["127.0.0.1:1", "0.0.0.0:2"]), sockets(&["10.0.0.1:2", "127.0.0.1:1"]));
    }
}

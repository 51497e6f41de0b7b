//! Which of a neighbour's addresses are kept warm: one on each of this router's
//! interfaces, so that a link that falls silent costs nothing. Pure but for
//! [`Interfaces::now`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fau3_election::Time;

/// A router that was heard in this time is sent beacons.
pub const HEARD_LATELY: Duration = Duration::from_secs(60);
/// A path that was silent for so long, while beacons pass over another one, is dead:
/// with the interval of beacons after it, the election's detection time.
pub const PATH_SILENT: Duration = Duration::from_millis(1_500);
/// One dead address of each neighbour is tried this often.
pub const TRY_EVERY: Duration = Duration::from_secs(2);
/// Most addresses of one neighbour that one beacon goes to.
pub const WARM_MAX: usize = 4;

/// This router's addresses and the networks that they are in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interfaces(Vec<Network>);

#[derive(Debug, PartialEq, Eq)]
struct Network {
    interface: u32,
    ip: IpAddr,
    prefix: u8,
}

/// One address of a neighbour, and when it was last heard from there.
pub(super) type Path = (SocketAddr, Option<Time>);

impl Interfaces {
    /// Those that are up now.
    pub(super) fn now() -> Self {
        let all = if_addrs::get_if_addrs().unwrap_or_default();
        let up = all.into_iter().filter(if_addrs::Interface::is_oper_up);
        let network = |address: if_addrs::Interface| {
            let prefix = match &address.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            Some(Network { interface: address.index?, ip: address.ip(), prefix })
        };
        Self(up.filter_map(network).collect())
    }

    /// The interface that leads straight to an address; `None`: none does.
    pub(super) fn of(&self, address: SocketAddr) -> Option<u32> {
        let is_there = |network: &&Network| match address {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => network.interface == v6.scope_id(),
            _ => network.has(address.ip()),
        };
        self.0.iter().filter(is_there).max_by_key(|network| network.prefix).map(|network| network.interface)
    }
}

impl Network {
    fn has(&self, ip: IpAddr) -> bool {
        let (own, other, bits) = match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let host_bits = u32::from(bits - self.prefix.min(bits));
        (own ^ other).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

/// Where one beacon for a neighbour goes: on each interface to the address that is
/// `used` by its connection, else to the one heard last; `dead_turn` says that a dead
/// one is tried as well, and which. At most [`WARM_MAX`].
pub(super) fn warm(
    interfaces: &Interfaces,
    now: Time,
    paths: &[Path],
    used: Option<SocketAddr>,
    dead_turn: Option<usize>,
) -> Vec<SocketAddr> {
    let is_alive = |path: &&Path| path.1.is_some_and(|heard| now.since(heard) < PATH_SILENT);
    let mut best: BTreeMap<Option<u32>, &Path> = BTreeMap::new();
    let rank = |path: &Path| (Some(path.0) == used, path.1);
    for path in paths.iter().filter(is_alive) {
        let best = best.entry(interfaces.of(path.0)).or_insert(path);
        if rank(path) > rank(best) {
            *best = path;
        }
    }
    let mut all: Vec<_> = best.values().map(|path| path.0).collect();
    all.sort_unstable_by_key(|address| Some(*address) != used);
    all.truncate(WARM_MAX);
    if all.is_empty() {
        // Nobody is heard: as if the one used and the one heard last were there.
        let last = paths.iter().max_by_key(|path| path.1).map(|path| path.0);
        all.extend(used.into_iter().chain(last.filter(|last| Some(*last) != used)));
    } else if let Some(used) = used.filter(|used| !all.contains(used)) {
        // The other side judges the connection by it.
        all.insert(0, used);
    }
    let dead: Vec<_> = paths.iter().filter(|path| !is_alive(path) && !all.contains(&path.0)).collect();
    if let Some(turn) = dead_turn
        && !dead.is_empty()
    {
        all.push(dead[turn % dead.len()].0);
    }
    all.truncate(WARM_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn interfaces() -> Interfaces {
        let network = |interface, ip: &str, prefix| Network { interface, ip: ip.parse().unwrap(), prefix };
        Interfaces(vec![
            network(2, "10.1.0.1", 24),
            network(2, "fd01::1", 64),
            network(3, "10.2.0.1", 24),
            network(3, "fe80::1", 64),
        ])
    }

    #[test]
    fn the_interface_of_an_address_is_the_one_whose_network_it_is_in() {
        for (address, interface) in [
            ("10.1.0.9:1", Some(2)),
            ("10.2.0.9:1", Some(3)),
            ("[fd01::9]:1", Some(2)),
            ("[fe80::9%3]:1", Some(3)),
            ("[fe80::9%4]:1", None),
            ("10.3.0.9:1", None),
            ("[2001:db8::1]:1", None),
        ] {
            assert_eq!(interfaces().of(at(address)), interface, "{address}");
        }
    }

    #[test]
    fn a_beacon_goes_to_one_address_on_each_interface_and_seldom_to_a_dead_one() {
        let now = Time::from_secs(100);
        let lately = |ms| Some(now - Duration::from_millis(ms));
        let paths = [
            (at("10.1.0.2:1"), lately(900)),
            (at("[fd01::2]:1"), lately(100)),
            (at("10.2.0.2:1"), lately(300)),
            (at("10.9.0.2:1"), lately(60_000)),
            (at("10.9.0.3:1"), None),
        ];
        let warm = |used, turn| warm(&interfaces(), now, &paths, used, turn);
        assert_eq!(warm(None, None), [at("[fd01::2]:1"), at("10.2.0.2:1")]);
        let used = Some(at("10.1.0.2:1"));
        assert_eq!(warm(used, None), [at("10.1.0.2:1"), at("10.2.0.2:1")], "the connection's comes first");
        let tried: Vec<_> = (0..3).map(|turn| warm(used, Some(turn))[2]).collect();
        assert_eq!(tried, [at("10.9.0.2:1"), at("10.9.0.3:1"), at("10.9.0.2:1")], "dead ones in turn");
    }

    #[test]
    fn where_nobody_is_heard_the_last_ones_are_asked_and_never_more_than_a_few() {
        let now = Time::from_secs(100);
        let old = Some(Time::from_secs(50));
        let paths: Vec<_> = (1..=20).map(|n| (at(&format!("10.{n}.0.2:1")), old)).collect();
        let silent = warm(&interfaces(), now, &paths, Some(at("10.1.0.2:1")), None);
        assert!(silent.contains(&at("10.1.0.2:1")) && silent.len() <= 2, "{silent:?}");
        let networks = (1..=20).map(|n| Network { interface: n, ip: [10, n as u8, 0, 1].into(), prefix: 24 });
        let interfaces = Interfaces(networks.collect());
        let alive: Vec<_> = paths.iter().map(|(address, _)| (*address, Some(now))).collect();
        assert_eq!(warm(&interfaces, now, &alive, None, Some(1)).len(), WARM_MAX);
    }
}

//! Places for those who have connected and not yet said who they are, at any door.
//! Knows no sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::router::AddressBlock;

/// Who is there, and how many may be.
#[derive(Debug)]
pub(crate) struct Lobby {
    all_max: usize,
    each_max: usize,
    /// Only those that have a place: at most `all_max`.
    places: Mutex<BTreeMap<AddressBlock, usize>>,
}

/// A place among those who are no clients yet, free again when dropped.
#[derive(Debug)]
pub struct Place {
    lobby: Arc<Lobby>,
    block: AddressBlock,
}

impl Lobby {
    /// With so many places, and so many for each address, or network of IPv6.
    pub(crate) fn new(all_max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, each_max, places: Mutex::default() })
    }

    /// A place, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let block = AddressBlock::from(ip);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = places.values().sum();
        let own = places.get(&block).copied().unwrap_or(0);
        if all >= self.all_max || own >= self.each_max {
            return None;
        }
        places.insert(block, own + 1);
        Some(Place { lobby: self.clone(), block })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.lobby.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = places.get_mut(&self.block) {
            *left -= 1;
            if *left == 0 {
                places.remove(&self.block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(lobby: &Lobby) -> usize {
        lobby.places.lock().unwrap().len()
    }

    fn v6(network: u16, host: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host])
    }

    #[test]
    fn places_are_bounded_for_each_address_and_in_all() {
        let lobby = Lobby::new(64, 8);
        let ip = |number: u8| IpAddr::from([10, 0, 0, number]);
        let mut places: Vec<_> = (0..100).filter_map(|_| lobby.enter(ip(1))).collect();
        assert_eq!(places.len(), 8);
        places.extend((0..100).filter_map(|number| lobby.enter(ip(2 + number % 50))));
        assert_eq!(places.len(), 64);
        assert!(lobby.enter(ip(200)).is_none());
        places.clear();
        assert!(lobby.enter(ip(1)).is_some());
        assert_eq!(entries(&lobby), 0, "nothing is left of who has gone");
    }

    #[test]
    fn who_finds_no_place_leaves_nothing_behind() {
        let lobby = Lobby::new(2, 1);
        let _places = [v6(1, 1), v6(2, 1)].map(|ip| lobby.enter(ip).unwrap());
        assert!((0..10_000).all(|number| lobby.enter(v6(3 + number, number)).is_none()));
        assert_eq!(entries(&lobby), 2);
    }

    #[test]
    fn one_network_of_ipv6_is_one_address_and_one_of_ipv4_has_one_name() {
        let lobby = Lobby::new(64, 8);
        let places: Vec<_> = (0..100).filter_map(|host| lobby.enter(v6(1, host))).collect();
        assert_eq!(places.len(), 8);
        assert!(lobby.enter(v6(2, 1)).is_some());
        let four = [10, 0, 0, 1];
        let mapped = IpAddr::from(std::net::Ipv4Addr::from(four).to_ipv6_mapped());
        let both = [IpAddr::from(four), mapped].into_iter().cycle().take(20);
        assert_eq!(both.filter_map(|ip| lobby.enter(ip)).collect::<Vec<_>>().len(), 8);
    }
}

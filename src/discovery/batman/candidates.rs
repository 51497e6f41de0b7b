//! From the routers of a mesh to addresses at which they may listen. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::kernel::{Neighbour, NetLink, Originator, Translation};
use super::mac::Mac;
use crate::discovery::{ADDRESSES_MAX, Hint, Source, can_be_dialled};

/// batman-adv itself forgets a router after 200 s; one not heard for so long
/// (some sixty of its messages) is not worth a call.
const LAST_SEEN_MS_MAX: u32 = 60_000;
/// Of the hosts behind an originator, those that may be the router itself.
const HOSTS_MAX: usize = 3;

/// What the kernel says of one mesh.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The number of the mesh interface: `bat0`.
    pub(super) mesh_index: u32,
    pub(super) links: Vec<NetLink>,
    pub(super) originators: Vec<Originator>,
    pub(super) translations: Vec<Translation>,
    pub(super) neighbours: Vec<Neighbour>,
}

impl View {
    /// For each originator the addresses at which its router may listen,
    /// best ones first.
    pub(super) fn candidates(&self, port: u16) -> BTreeMap<Mac, Vec<Hint>> {
        let is_own = |mac: Mac| self.links.iter().any(|link| link.address == Some(mac));
        let fresh = self.originators.iter().filter(|originator| originator.last_seen_ms <= LAST_SEEN_MS_MAX);
        fresh
            .filter(|originator| !is_own(originator.address))
            .map(|originator| (originator.address, self.hints(originator, port)))
            .collect()
    }

    fn hints(&self, originator: &Originator, port: u16) -> Vec<Hint> {
        let mut addresses = Vec::new();
        let zone = self.zone();
        for host in self.hosts(originator.address) {
            let known = self.neighbours.iter().filter(|known| known.address == host);
            addresses.extend(known.map(|known| with_zone(known.ip, known.index, port)));
            addresses.push(with_zone(host.link_local().into(), zone, port));
        }
        // A router next door is also reached past the mesh, on the card itself.
        if let Some(index) = originator.hard_index.filter(|_| originator.neighbour == originator.address) {
            addresses.push(with_zone(originator.address.link_local().into(), index, port));
        }
        addresses.retain(|address| can_be_dialled(*address));
        let mut hints: Vec<Hint> = Vec::new();
        for address in addresses {
            if hints.len() < ADDRESSES_MAX && hints.iter().all(|hint| hint.address != address) {
                hints.push(Hint { address, source: Source::Batman, peer_id: None, name: None });
            }
        }
        hints
    }

    /// The cards that may be the router's own in the mesh. The mesh does not
    /// tell them from its clients', but a router's cards count up from one
    /// address, and a mesh interface may have the originator's own.
    fn hosts(&self, originator: Mac) -> Vec<Mac> {
        let behind = self.translations.iter().filter(|behind| behind.originator == originator);
        let mut hosts: Vec<_> = behind.map(|behind| behind.host).chain([originator]).collect();
        hosts.sort_by_key(|host| (host.distance(originator), *host));
        hosts.dedup();
        hosts.truncate(HOSTS_MAX);
        hosts
    }

    /// The interface that has this router's addresses in the mesh: the bridge
    /// of which the mesh is a port, or the mesh itself.
    fn zone(&self) -> u32 {
        let mesh = self.links.iter().find(|link| link.index == self.mesh_index);
        mesh.and_then(|mesh| mesh.master).unwrap_or(self.mesh_index)
    }
}

fn with_zone(ip: IpAddr, index: u32, port: u16) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, index).into(),
        ip => SocketAddr::new(ip, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: u32 = 7;
    const BRIDGE: u32 = 9;
    const CARD: u32 = 3;

    fn mac(text: &str) -> Mac {
        text.parse().unwrap()
    }

    fn link(index: u32, address: &str, master: Option<u32>, is_mesh: bool) -> NetLink {
        NetLink { index, name: format!("if{index}"), address: Some(mac(address)), master, is_mesh }
    }

    fn originator(address: &str, neighbour: &str) -> Originator {
        Originator {
            address: mac(address),
            neighbour: mac(neighbour),
            hard_index: Some(CARD),
            last_seen_ms: 400,
        }
    }

    fn view() -> View {
        View {
            mesh_index: MESH,
            links: vec![
                link(CARD, "60:00:00:00:0a:01", Some(MESH), false),
                link(MESH, "62:00:00:00:0a:02", Some(BRIDGE), true),
                link(BRIDGE, "60:00:00:00:0a:00", None, false),
            ],
            ..View::default()
        }
    }

    fn of(view: &View, address: &str) -> Vec<String> {
        let hints = &view.candidates(8902)[&mac(address)];
        hints.iter().map(|hint| hint.address.to_string()).collect()
    }

    #[test]
    fn a_router_next_door_is_tried_in_the_mesh_and_on_the_card() {
        let view = View { originators: vec![originator("60:00:00:00:0b:01", "60:00:00:00:0b:01")], ..view() };
        assert_eq!(
            of(&view, "60:00:00:00:0b:01"),
            ["[fe80::6200:ff:fe00:b01%9]:8902", "[fe80::6200:ff:fe00:b01%3]:8902"]
        );
    }

    #[test]
    fn without_a_bridge_the_mesh_itself_is_the_zone() {
        let mut view =
            View { originators: vec![originator("60:00:00:00:0c:01", "60:00:00:00:0b:01")], ..view() };
        view.links[1].master = None;
        assert_eq!(of(&view, "60:00:00:00:0c:01"), ["[fe80::6200:ff:fe00:c01%7]:8902"]);
    }

    #[test]
    fn a_router_far_away_is_tried_at_its_own_cards_before_its_clients() {
        // given an originator with its own cards and a dozen phones behind it
        let far = "60:00:00:00:0c:01";
        let behind = |host: &str| Translation { host: mac(host), originator: mac(far) };
        let mut translations: Vec<_> = (0..12).map(|n| behind(&format!("a4:5e:60:01:02:{n:02x}"))).collect();
        translations.push(behind("62:00:00:00:0c:02"));
        translations.push(behind("60:00:00:00:0c:00"));
        // and this router knows the IP address of one card, and of a phone
        let neighbours = vec![
            Neighbour {
                address: mac("60:00:00:00:0c:00"),
                ip: "192.168.1.3".parse().unwrap(),
                index: BRIDGE,
            },
            Neighbour {
                address: mac("a4:5e:60:01:02:00"),
                ip: "192.168.1.50".parse().unwrap(),
                index: BRIDGE,
            },
        ];
        let originators = vec![originator(far, "60:00:00:00:0b:01")];
        let view = View { originators, translations, neighbours, ..view() };
        // then its own cards are tried, and no phone
        assert_eq!(
            of(&view, far),
            [
                "[fe80::6200:ff:fe00:c01%9]:8902",
                "192.168.1.3:8902",
                "[fe80::6200:ff:fe00:c00%9]:8902",
                "[fe80::6000:ff:fe00:c02%9]:8902",
            ]
        );
    }

    #[test]
    fn routers_long_unheard_and_own_cards_are_left_out() {
        let mut old = originator("60:00:00:00:0c:01", "60:00:00:00:0b:01");
        old.last_seen_ms = LAST_SEEN_MS_MAX + 1;
        let own = originator("60:00:00:00:0a:01", "60:00:00:00:0a:01");
        let view = View { originators: vec![old, own], ..view() };
        assert!(view.candidates(8902).is_empty());
    }

    #[test]
    fn addresses_are_bounded() {
        let near = "60:00:00:00:0b:01";
        let known = |n: u8| Neighbour { address: mac(near), ip: [10, 0, 0, n].into(), index: BRIDGE };
        let originators = vec![originator(near, near)];
        let view = View { originators, neighbours: (0..100).map(known).collect(), ..view() };
        assert_eq!(of(&view, near).len(), ADDRESSES_MAX);
    }
}

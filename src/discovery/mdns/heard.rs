//! What an announcement says, as far as it can be believed.

use std::net::{SocketAddr, SocketAddrV6};
use std::str::FromStr;

use libp2p_identity::PeerId;
use mdns_sd::{ResolvedService, ScopedIp};

use super::announce::{ID, NAME};
use crate::discovery::{Hint, Source, believable_name, can_be_dialled};

/// The hints of an announcement; none for this router's own, and for one that
/// does not say who it is.
pub(super) fn hints(service: &ResolvedService, own_peer_id: &str) -> Vec<Hint> {
    let said = service.get_property_val_str(ID).and_then(|id| PeerId::from_str(id).ok());
    let Some(peer_id) = said.map(|id| id.to_string()).filter(|id| id != own_peer_id) else {
        return Vec::new();
    };
    let name = service.get_property_val_str(NAME).and_then(believable_name);
    let addresses = service.addresses.iter().map(|ip| dialled_as(ip, service.port));
    let mut hints: Vec<_> = addresses
        .filter(|address| can_be_dialled(*address))
        .map(|address| Hint {
            address,
            source: Source::Mdns,
            peer_id: Some(peer_id.clone()),
            name: name.clone(),
        })
        .collect();
    // The library's order is random; which ones count shall not be.
    hints.sort();
    hints
}

fn dialled_as(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        _ => SocketAddr::new(ip.to_ip_addr(), port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceInfo;

    const PEER_ID: &str = "12D3KooWGRUxFAxJ8ZKsqQHqNyYbZ9hUfWsn6Yc5sVbFBTvVxTWo";

    fn heard(addresses: &str, about: &[(&str, &str)]) -> ResolvedService {
        let service = ServiceInfo::new("_fau3._tcp.local.", "x", "x.local.", addresses, 8902, about);
        service.unwrap().as_resolved_service()
    }

    #[test]
    fn a_router_is_heard_with_id_name_and_all_addresses() {
        let service = heard("192.168.1.2,fd00::2", &[("id", PEER_ID), ("name", "router-a")]);
        let hints = hints(&service, "me");
        let addresses: Vec<_> = hints.iter().map(|hint| hint.address.to_string()).collect();
        assert_eq!(addresses, ["192.168.1.2:8902", "[fd00::2]:8902"]);
        for hint in hints {
            assert_eq!((hint.peer_id.as_deref(), hint.name.as_deref()), (Some(PEER_ID), Some("router-a")));
        }
    }

    #[test]
    fn own_announcements_and_nonsense_are_not_heard() {
        let own = heard("192.168.1.2", &[("id", PEER_ID)]);
        assert_eq!(hints(&own, PEER_ID), []);
        for about in [&[][..], &[("id", "")], &[("id", "12D3KooW")], &[("id", "<script>")]] {
            assert_eq!(hints(&heard("192.168.1.2", about), "me"), [], "{about:?}");
        }
        let nowhere = heard("127.0.0.1,::1,224.0.0.1,0.0.0.0,fe80::1", &[("id", PEER_ID)]);
        assert_eq!(hints(&nowhere, "me"), []);
    }

    #[test]
    fn a_name_that_cannot_be_shown_is_left_out() {
        let service = heard("192.168.1.2", &[("id", PEER_ID), ("name", "\u{1b}[2Jrouter")]);
        assert_eq!(hints(&service, "me")[0].name, None);
    }
}

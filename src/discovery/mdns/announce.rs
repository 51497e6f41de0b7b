//! What this router says of itself.

use mdns_sd::{Result, ServiceInfo};

use crate::discovery::Own;

/// The routers' door (FAU3VOM-E).
pub(super) const ROUTERS: &str = "_fau3._tcp.local.";
/// The clients' door (FAU3VOM-D).
pub(super) const CLIENTS: &str = "_fau3vomd._tcp.local.";

/// TXT keys (RFC 6763, section 6.4).
pub(super) const ID: &str = "id";
pub(super) const NAME: &str = "name";
pub(super) const VERSION: &str = "version";

/// Letters of the peer id that keep two routers of one name apart.
const TAIL_LEN: usize = 8;
/// The longest label of a DNS name, in bytes (RFC 1035, section 2.3.4).
const LABEL_LEN_MAX: usize = 63;

/// All that is announced.
pub(super) fn services(own: &Own) -> Result<Vec<ServiceInfo>> {
    let tail = &own.peer_id[own.peer_id.len().saturating_sub(TAIL_LEN)..];
    // Not the system's host name: that one belongs to the system's own responder.
    let host = format!("fau3-{}.local.", tail.to_ascii_lowercase());
    let version = (VERSION, env!("CARGO_PKG_VERSION"));
    let about = [(ID, own.peer_id.as_str()), (NAME, own.name.as_str()), version];
    let mut services = vec![service(ROUTERS, &own.peer_id, &host, own.mesh_port, &about)?];
    if let Some(port) = own.clients_port {
        let name: String = own.name.chars().take(LABEL_LEN_MAX - TAIL_LEN - 1).collect();
        let instance = format!("{name}-{tail}");
        services.push(service(CLIENTS, &instance, &host, port, &about[1..])?);
    }
    Ok(services)
}

fn service(kind: &str, instance: &str, host: &str, port: u16, about: &[(&str, &str)]) -> Result<ServiceInfo> {
    let mut service = ServiceInfo::new(kind, instance, host, (), port, about)?.enable_addr_auto();
    // Names made of a key are nobody else's: then the 0.75 s of asking whether
    // they are taken should be left out (RFC 6762, section 8.1).
    service.set_requires_probe(false);
    Ok(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER_ID: &str = "12D3KooWGRUxFAxJ8ZKsqQHqNyYbZ9hUfWsn6Yc5sVbFBTvVxTWo";

    fn own(name: &str, clients_port: Option<u16>) -> Own {
        Own { peer_id: PEER_ID.into(), name: name.into(), mesh_port: 8902, clients_port }
    }

    #[test]
    fn routers_find_the_peer_id_the_name_and_the_version() {
        let services = services(&own("router-a", None)).unwrap();
        assert_eq!(services.len(), 1, "clients are not asked to come");
        let router = &services[0];
        assert_eq!(router.get_fullname(), format!("{PEER_ID}._fau3._tcp.local."));
        assert_eq!(router.get_port(), 8902);
        assert_eq!(router.get_property_val_str("id"), Some(PEER_ID));
        assert_eq!(router.get_property_val_str("name"), Some("router-a"));
        assert_eq!(router.get_property_val_str("version"), Some(env!("CARGO_PKG_VERSION")));
        assert!(router.is_addr_auto() && !router.requires_probe());
    }

    #[test]
    fn clients_find_their_own_door_on_the_same_host() {
        let services = services(&own("router-a", Some(8901))).unwrap();
        let clients = &services[1];
        assert_eq!(clients.get_fullname(), "router-a-BTvVxTWo._fau3vomd._tcp.local.");
        assert_eq!(clients.get_port(), 8901);
        assert_eq!(clients.get_property_val_str("name"), Some("router-a"));
        assert_eq!(clients.get_hostname(), "fau3-btvvxtwo.local.");
        assert_eq!(clients.get_hostname(), services[0].get_hostname());
    }

    #[test]
    fn the_longest_name_fits_a_label() {
        let services = services(&own(&"n".repeat(64), Some(8901))).unwrap();
        let label = services[1].get_fullname().split('.').next().unwrap();
        assert_eq!(label.len(), LABEL_LEN_MAX);
    }
}

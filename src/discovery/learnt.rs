//! Routers that routers tell of. They may be wrong, out of date, or somebody
//! with the mesh key who would have this router knock at strangers' doors: so
//! only addresses near by are taken.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use tokio::sync::mpsc;

use super::reported::send_all;
use super::{ADDRESSES_MAX, Hint, News, Scan, Scanning, Source, believable_name, can_be_dialled};
use crate::net::{is_link_local, is_private};

/// What was told and waits.
const TOLD_MAX: usize = 64;

/// What a router tells of another one.
#[derive(Debug, Clone)]
pub struct Told {
    /// Where the one that tells it is, as this router sees it.
    pub via: SocketAddr,
    /// The other's id.
    pub peer_id: Option<String>,
    /// The other's name.
    pub name: Option<String>,
    /// Where it is said to be; the first [`ADDRESSES_MAX`] that are near by count.
    pub addresses: Vec<SocketAddr>,
}

/// Makes hints of what is told.
#[derive(Debug)]
pub struct Learnt {
    told: mpsc::Receiver<Told>,
    own_peer_id: String,
}

impl Learnt {
    /// The scan, and where to put what is told.
    #[must_use]
    pub fn new(own_peer_id: String) -> (mpsc::Sender<Told>, Self) {
        let (sender, told) = mpsc::channel(TOLD_MAX);
        (sender, Self { told, own_peer_id })
    }
}

impl Scan for Learnt {
    fn run(mut self: Box<Self>, news: mpsc::Sender<News>) -> Scanning {
        Box::pin(async move {
            loop {
                let told = tokio::select! {
                    told = self.told.recv() => told,
                    () = news.closed() => return,
                };
                let Some(told) = told else {
                    // Nobody can tell anything any more.
                    return news.closed().await;
                };
                if told.peer_id.as_ref() != Some(&self.own_peer_id)
                    && send_all(&news, hints(&told).map(News::Found)).await.is_err()
                {
                    return;
                }
            }
        })
    }
}

fn hints(told: &Told) -> impl Iterator<Item = Hint> {
    let near = told.addresses.iter().filter_map(|address| near_by(*address, told.via));
    near.take(ADDRESSES_MAX).map(|address| Hint {
        address,
        source: Source::Learnt,
        peer_id: told.peer_id.clone(),
        name: told.name.as_deref().and_then(believable_name),
    })
}

/// The address as this router can dial it, if it is private, or in the network
/// of the one that tells it.
fn near_by(address: SocketAddr, via: SocketAddr) -> Option<SocketAddr> {
    let address = with_own_zone(address, via)?;
    let is_near =
        is_private(address.ip()) || is_link_local(address.ip()) || is_same_network(address.ip(), via.ip());
    (is_near && can_be_dialled(address)).then_some(address)
}

/// Zones are each host's own (RFC 4007, section 6): a link-local address means
/// the link over which it is told, and nothing where that is not known.
fn with_own_zone(address: SocketAddr, via: SocketAddr) -> Option<SocketAddr> {
    match (address, via) {
        (SocketAddr::V6(v6), _) if !v6.ip().is_unicast_link_local() => {
            // IPv4 in IPv6 is judged as what it is.
            Some(SocketAddr::new(v6.ip().to_canonical(), v6.port()))
        }
        (SocketAddr::V6(v6), SocketAddr::V6(via)) if via.ip().is_unicast_link_local() => {
            Some(SocketAddrV6::new(*v6.ip(), v6.port(), 0, via.scope_id()).into())
        }
        (SocketAddr::V6(_), _) => None,
        (SocketAddr::V4(_), _) => Some(address),
    }
}

/// In one /24 or /64, which is what a segment usually has.
fn is_same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one, other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(address: &str, via: &str) -> Option<String> {
        near_by(address.parse().unwrap(), via.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn private_addresses_are_taken_and_strangers_are_not() {
        let via = "192.168.1.2:8902";
        for good in ["10.0.0.7:8902", "172.16.0.1:8902", "169.254.3.4:8902", "[fd00::7]:8902"] {
            assert_eq!(near(good, via).as_deref(), Some(good));
        }
        for bad in ["8.8.8.8:8902", "[2001:db8::1]:8902", "127.0.0.1:8902", "10.0.0.7:0", "224.0.0.1:8902"] {
            assert_eq!(near(bad, via), None, "{bad}");
        }
    }

    #[test]
    fn public_addresses_in_the_network_of_the_teller_are_taken() {
        assert!(near("203.0.113.9:8902", "203.0.113.2:8902").is_some());
        assert!(near("203.0.113.9:8902", "[::ffff:203.0.113.2]:8902").is_some());
        assert!(near("203.0.114.9:8902", "203.0.113.2:8902").is_none());
        assert!(near("[2001:db8::9]:8902", "[2001:db8::2]:8902").is_some());
        assert!(near("[2001:db8:0:1::9]:8902", "[2001:db8::2]:8902").is_none());
    }

    #[test]
    fn ipv4_in_ipv6_is_judged_as_ipv4() {
        let via = "[fd00::2]:8902";
        assert_eq!(near("[::ffff:10.0.0.7]:8902", via).as_deref(), Some("10.0.0.7:8902"));
        assert_eq!(near("[::ffff:8.8.8.8]:8902", via), None);
    }

    #[test]
    fn a_link_local_address_gets_the_zone_over_which_it_is_told() {
        assert_eq!(near("[fe80::7%9]:8902", "[fe80::2%4]:8902").as_deref(), Some("[fe80::7%4]:8902"));
        assert_eq!(near("[fe80::7%9]:8902", "[fd00::2]:8902"), None);
        assert_eq!(near("[fe80::7%9]:8902", "10.0.0.2:8902"), None);
    }

    #[tokio::test]
    async fn what_is_told_becomes_hints_within_bounds() {
        let (told, learnt) = Learnt::new("me".into());
        let (sender, mut news) = mpsc::channel(64);
        let running = tokio::spawn(Box::new(learnt).run(sender));
        let addresses: Vec<_> = (0..100).map(|number| SocketAddr::from(([10, 0, 0, number], 8902))).collect();
        let of = |peer_id: &str| Told {
            via: addresses[1],
            peer_id: Some(peer_id.into()),
            name: Some("no\nname".into()),
            addresses: addresses.clone(),
        };
        // given a router that is told of itself, and of another one
        told.send(of("me")).await.unwrap();
        told.send(of("other")).await.unwrap();
        drop(told);
        // then it learns a few addresses of the other one
        for address in &addresses[..ADDRESSES_MAX] {
            let News::Found(hint) = news.recv().await.unwrap() else { panic!("lost") };
            assert_eq!((hint.peer_id.as_deref(), hint.name), (Some("other"), None));
            assert_eq!(hint.address, *address);
        }
        // and ends when nobody wants to know
        assert!(news.try_recv().is_err());
        drop(news);
        running.await.unwrap();
    }
}

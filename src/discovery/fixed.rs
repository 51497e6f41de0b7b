//! Routers that the configuration names. Names and zones are looked up again
//! and again, since both change; what was once found stays known while a look
//! up fails, for the name server may be behind the uplink that is gone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::reported::{Reported, send_all};
use super::{ADDRESSES_MAX, Hint, News, Scan, Scanning, Source};
use crate::config::{Peer, bounds};
use crate::net::interface_number;

/// The first look after something was found or has changed.
const AFTER_FOUND: Duration = Duration::from_secs(30);
/// The first look after something was not found.
const AFTER_FAILED: Duration = Duration::from_secs(5);
/// The longest time between two looks, to which it doubles.
const INTERVAL_MAX: Duration = Duration::from_secs(300);
/// A name server that says nothing for so long will not.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(10);

/// Looks up `mesh.peer`.
#[derive(Debug)]
pub struct Fixed {
    peers: Vec<Peer>,
}

impl Fixed {
    /// A scan for these.
    #[must_use]
    pub fn new(peers: Vec<Peer>) -> Self {
        Self { peers }
    }
}

impl Scan for Fixed {
    fn run(self: Box<Self>, news: mpsc::Sender<News>) -> Scanning {
        Box::pin(async move {
            let mut looks: Vec<_> = self.peers.iter().map(|peer| Look::new(peer.clone())).collect();
            // What takes no time first.
            looks.sort_by_key(|look| matches!(look.peer, Peer::Name { .. }));
            let mut reported = Reported::new(bounds::PEER_LEN_MAX);
            loop {
                for (number, look) in looks.iter_mut().enumerate().filter(|(_, look)| look.is_due()) {
                    let found = tokio::select! {
                        found = addresses_of(&look.peer) => found,
                        () = news.closed() => return,
                    };
                    let changed =
                        look.outcome(found).map(hints).and_then(|hints| reported.set(&number, hints));
                    if send_all(&news, changed.into_iter().flatten()).await.is_err() {
                        return;
                    }
                }
                if send_all(&news, reported.repeat()).await.is_err() {
                    return;
                }
                tokio::select! {
                    () = sleep_until_next(&looks) => {}
                    () = news.closed() => return,
                }
            }
        })
    }
}

async fn sleep_until_next(looks: &[Look]) {
    match looks.iter().map(|look| look.next).min() {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

fn hints(addresses: BTreeSet<SocketAddr>) -> impl Iterator<Item = Hint> {
    addresses.into_iter().map(|address| Hint { address, source: Source::Fixed, peer_id: None, name: None })
}

/// One peer, and when to look where it is.
#[derive(Debug)]
struct Look {
    peer: Peer,
    /// Where it was found last; kept while it is not found.
    addresses: BTreeSet<SocketAddr>,
    next: Instant,
    interval: Duration,
}

impl Look {
    fn new(peer: Peer) -> Self {
        Self { peer, addresses: BTreeSet::new(), next: Instant::now(), interval: AFTER_FAILED / 2 }
    }

    fn is_due(&self) -> bool {
        self.next <= Instant::now()
    }

    /// Takes in what a look has shown and sets when the next one is due;
    /// `Some` where it is now, if that has changed.
    fn outcome(&mut self, found: BTreeSet<SocketAddr>) -> Option<BTreeSet<SocketAddr>> {
        let has_changed = !found.is_empty() && found != self.addresses;
        self.interval = match () {
            () if has_changed => AFTER_FOUND,
            // Where it once was found and now is not, the name server is away.
            () => (self.interval * 2).min(INTERVAL_MAX),
        };
        self.next = Instant::now() + self.interval;
        has_changed.then(|| {
            self.addresses = found;
            self.addresses.clone()
        })
    }
}

/// Where it is; empty if that is not known now.
async fn addresses_of(peer: &Peer) -> BTreeSet<SocketAddr> {
    match peer {
        Peer::Address(address) => address.socket_addr(interface_number).into_iter().collect(),
        Peer::Name { name, port } => look_up(name, *port).await,
    }
}

async fn look_up(name: &str, port: u16) -> BTreeSet<SocketAddr> {
    match timeout(LOOK_UP_TIME_MAX, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect(),
        Ok(Err(error)) => {
            debug!("mesh.peer: {name} is not found: {error}");
            BTreeSet::new()
        }
        Err(_) => {
            debug!("mesh.peer: the name server does not answer for {name}");
            BTreeSet::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(numbers: &[u8]) -> BTreeSet<SocketAddr> {
        numbers.iter().map(|&number| SocketAddr::from(([10, 0, 0, number], 8902))).collect()
    }

    fn look() -> Look {
        Look::new("router.example:8902".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn looks_grow_from_thirty_seconds_to_five_minutes() {
        let mut look = look();
        let mut intervals = Vec::new();
        for _ in 0..6 {
            look.outcome(addresses(&[1]));
            intervals.push(look.interval.as_secs());
        }
        assert_eq!(intervals, [30, 60, 120, 240, 300, 300]);
        // and begin anew when it has moved
        assert_eq!(look.outcome(addresses(&[2])), Some(addresses(&[2])));
        assert_eq!(look.interval, AFTER_FOUND);
        assert!(!look.is_due());
        tokio::time::advance(AFTER_FOUND).await;
        assert!(look.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_stays_known_while_the_name_server_is_away() {
        // given a peer that was found
        let mut look = look();
        assert_eq!(look.outcome(addresses(&[1, 2])), Some(addresses(&[1, 2])));
        // when the name server goes away with the uplink, then nothing changes
        for _ in 0..10 {
            assert_eq!(look.outcome(BTreeSet::new()), None);
        }
        assert_eq!(look.addresses, addresses(&[1, 2]));
        // and when it is back, the same is no news
        assert_eq!(look.outcome(addresses(&[1, 2])), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_never_found_is_looked_for_soon_again() {
        let mut look = look();
        let intervals: Vec<_> = (0..8)
            .map(|_| {
                assert_eq!(look.outcome(BTreeSet::new()), None);
                look.interval.as_secs()
            })
            .collect();
        assert_eq!(intervals, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[tokio::test]
    async fn addresses_zones_and_names_are_found() {
        // given a peer by address, by zone, by name, and on an interface that is not there
        let peers = ["10.0.0.1:8902", "[fe80::1%lo]:8902", "localhost:8903", "[fe80::1%gone0]:8902"];
        let peers: Vec<Peer> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let (sender, mut news) = mpsc::channel(64);
        let running = tokio::spawn(Box::new(Fixed::new(peers)).run(sender));
        // when it runs, then the three are found, the name last
        let mut found = Vec::new();
        while !found.iter().any(|address: &SocketAddr| address.port() == 8903) {
            let News::Found(hint) = news.recv().await.unwrap() else { panic!("lost") };
            found.push(hint.address);
        }
        let lo = interface_number("lo").unwrap();
        assert_eq!(
            found[..2],
            ["10.0.0.1:8902".parse().unwrap(), format!("[fe80::1%{lo}]:8902").parse().unwrap()]
        );
        assert!(found[2].ip().is_loopback());
        drop(news);
        running.await.unwrap();
    }

    #[test]
    fn an_interface_that_is_not_there_has_no_number() {
        let address: crate::config::Address = "[fe80::1%gone0]:8902".parse().unwrap();
        assert_eq!(address.socket_addr(interface_number), None);
    }
}

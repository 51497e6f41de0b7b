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
use super::{ADDRESSES_MAX, Hint, News, Scan, Scanning, Setting, Source};
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
                    let (found, trouble) = tokio::select! {
                        found = addresses_of(&look.peer) => found,
                        () = news.closed() => return,
                    };
                    let changed =
                        look.outcome(found).map(hints).and_then(|hints| reported.set(&number, hints));
                    let changed = changed.into_iter().flatten().chain(look.told(trouble));
                    if send_all(&news, changed).await.is_err() {
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
    /// What was told last of it.
    told: Option<Setting>,
}

impl Look {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            addresses: BTreeSet::new(),
            next: Instant::now(),
            interval: AFTER_FAILED / 2,
            told: None,
        }
    }

    fn is_due(&self) -> bool {
        self.next <= Instant::now()
    }

    /// What is to be told of it after a look, if that is new. What was once found is
    /// no trouble.
    fn told(&mut self, trouble: Option<String>) -> Option<News> {
        let told = Setting {
            line: format!("mesh.peer {}", self.peer),
            addresses: self.addresses.iter().copied().collect(),
            trouble: trouble.filter(|_| self.addresses.is_empty()),
        };
        let is_new = self.told.as_ref() != Some(&told);
        self.told = Some(told.clone());
        is_new.then_some(News::Setting(told))
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

/// Where it is; empty if that is not known now, and why.
async fn addresses_of(peer: &Peer) -> (BTreeSet<SocketAddr>, Option<String>) {
    match peer {
        Peer::Address(address) => match address.socket_addr(interface_number) {
            Some(address) => ([address].into(), None),
            None => (
                BTreeSet::new(),
                Some("there is no such interface now: `ip link` shows those that are".into()),
            ),
        },
        Peer::Name { name, port } => match look_up(name, *port).await {
            Ok(found) => (found, None),
            Err(error) => {
                let trouble = format!("the name is not found ({error}): correct it, or name the address");
                debug!("mesh.peer {name}: {trouble}");
                (BTreeSet::new(), Some(trouble))
            }
        },
    }
}

async fn look_up(name: &str, port: u16) -> Result<BTreeSet<SocketAddr>, String> {
    let looking = timeout(LOOK_UP_TIME_MAX, tokio::net::lookup_host((name, port))).await;
    let found = looking.map_err(|_| "the name server does not answer".to_owned())?;
    Ok(found.map_err(|error| error.to_string())?.take(ADDRESSES_MAX).collect())
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
    async fn what_is_not_found_is_told_once_and_until_it_is() {
        let mut look = look();
        let told = |news: Option<News>| match news {
            Some(News::Setting(setting)) => Some((setting.line, setting.trouble)),
            _ => None,
        };
        let line = || "mesh.peer router.example:8902".to_owned();
        let why = || Some("no".to_owned());
        look.outcome(BTreeSet::new());
        assert_eq!(told(look.told(why())), Some((line(), why())));
        assert_eq!(told(look.told(why())), None, "that is no news");
        look.outcome(addresses(&[1]));
        assert_eq!(told(look.told(None)), Some((line(), None)));
        // and what was found is no trouble while the name server is away
        look.outcome(BTreeSet::new());
        assert_eq!(told(look.told(why())), None);
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
        let (mut found, mut settings) = (Vec::new(), Vec::new());
        while !found.iter().any(|address: &SocketAddr| address.port() == 8903) {
            match news.recv().await.unwrap() {
                News::Found(hint) => found.push(hint.address),
                News::Setting(setting) => settings.push(setting),
                News::Lost(_) => panic!("lost"),
            }
        }
        let lo = interface_number("lo").unwrap();
        assert_eq!(
            found[..2],
            ["10.0.0.1:8902".parse().unwrap(), format!("[fe80::1%{lo}]:8902").parse().unwrap()]
        );
        assert!(found[2].ip().is_loopback());
        // and of the one that is not, it is told what is wrong
        let wrong: Vec<_> = settings.iter().filter(|setting| setting.trouble.is_some()).collect();
        assert_eq!(wrong.len(), 1, "{settings:?}");
        assert_eq!(wrong[0].line, "mesh.peer [fe80::1%gone0]:8902");
        drop(news);
        running.await.unwrap();
    }

    #[test]
    fn an_interface_that_is_not_there_has_no_number() {
        let address: crate::config::Address = "[fe80::1%gone0]:8902".parse().unwrap();
        assert_eq!(address.socket_addr(interface_number), None);
    }
}

//! Fau3BatScan: where other routers may be. One trait, [`Scan`], and one file
//! or folder for each way: multicast DNS, batman-adv, the configuration, and
//! what routers tell of each other.
//!
//! Everything here is a hint. Anyone on the network can announce anything, so
//! nothing here may decide who is a router: that is the handshake with the
//! mesh key, by whoever dials. Knows neither mesh nor router, dials nothing,
//! and does not say what to dial next.

pub mod batman;
mod book;
mod fixed;
mod learnt;
pub mod mdns;
mod rarely;
mod reported;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::config;

pub use book::{HINTS_MAX, HintBook, Known};
pub use fixed::Fixed;
pub use learnt::{Learnt, Told};

/// News that wait to be taken. A scan waits when they are that many.
const NEWS_MAX: usize = 256;
/// Addresses that one router is believed to have, of each way of finding it.
pub const ADDRESSES_MAX: usize = 8;
/// The longest name of a router that is believed, in bytes, as the
/// configuration has it.
const NAME_LEN_MAX: usize = 64;
/// How long goodbyes may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// Where another router may be. Whoever dials it finds out whether it is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    /// Where to dial; a link-local IPv6 address has its zone (RFC 4007).
    pub address: SocketAddr,
    /// How it was found.
    pub source: Source,
    /// Who it claims to be. Another one that answers is not refused for that.
    pub peer_id: Option<String>,
    /// The name it claims to have.
    pub name: Option<String>,
}

/// How a hint came; the more trustworthy first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `mesh.peer` of the configuration.
    Fixed,
    /// Multicast DNS.
    Mdns,
    /// The originators of batman-adv.
    Batman,
    /// Another router told of it.
    Learnt,
}

/// What a scan has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is there; said again from time to time while it is.
    Found(Hint),
    /// It has gone, or was never heard again.
    Lost(Hint),
    /// What came of a line of the configuration.
    Setting(Setting),
}

/// What came of a line of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The line: `mesh.peer router-b:8902`.
    pub line: String,
    /// The addresses that it means.
    pub addresses: Vec<SocketAddr>,
    /// Why it means nothing now, and what to do.
    pub trouble: Option<String>,
}

/// A scan at work.
pub type Scanning = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One way to find routers.
pub trait Scan: Send {
    /// Runs until nobody takes its news any more; then says goodbye where that
    /// is due, and ends. Never ends for another reason: what fails is tried
    /// again. May be dropped at any time.
    fn run(self: Box<Self>, news: mpsc::Sender<News>) -> Scanning;
}

/// This router, as others may find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// libp2p's name for it.
    pub peer_id: String,
    /// Its name for people.
    pub name: String,
    /// The port for routers; other routers are presumed to have the same where
    /// the way of finding them does not tell.
    pub mesh_port: u16,
    /// The port for clients, if they are to find it by multicast DNS too.
    pub clients_port: Option<u16>,
}

/// All scans that are configured, at work.
pub struct Discovery {
    news: mpsc::Receiver<News>,
    sender: mpsc::Sender<News>,
    told: mpsc::Sender<Told>,
    scans: JoinSet<()>,
    peers: Vec<config::Peer>,
    /// Looks for `peers`.
    fixed: AbortHandle,
}

impl Discovery {
    /// Starts them on the present runtime.
    #[must_use]
    pub fn start(mesh: &config::Mesh, own: &Own) -> Self {
        let (told, learnt) = Learnt::new(own.peer_id.clone());
        let mut scans: Vec<Box<dyn Scan>> = vec![Box::new(learnt)];
        for way in &mesh.discovery {
            scans.push(match way {
                config::Discovery::Mdns => Box::new(mdns::Mdns::new(own.clone(), mesh.interface.clone())),
                config::Discovery::Batman => Box::new(batman::Batman::new(own.mesh_port)),
            });
        }
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let mut tasks = JoinSet::new();
        for scan in scans {
            tasks.spawn(scan.run(sender.clone()));
        }
        let peers = mesh.peer.clone();
        let fixed = tasks.spawn(Box::new(Fixed::new(peers.clone())).run(sender.clone()));
        Self { news, sender, told, scans: tasks, peers, fixed }
    }

    /// From now on these routers are called in any case. A connection to one that
    /// is no longer among them stays. Says whether that is news.
    pub fn set_peers(&mut self, peers: Vec<config::Peer>) -> bool {
        let is_new = peers != self.peers;
        if is_new {
            self.fixed.abort();
            self.fixed = self.scans.spawn(Box::new(Fixed::new(peers.clone())).run(self.sender.clone()));
            self.peers = peers;
        }
        is_new
    }

    /// What is new.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // Scans end only when this does.
            None => std::future::pending().await,
        }
    }

    /// Where to put what other routers tell. If it is full, it can be left
    /// out: they will tell it again.
    #[must_use]
    pub fn told(&self) -> mpsc::Sender<Told> {
        self.told.clone()
    }

    /// Says goodbye to the network, for at most two seconds.
    pub async fn stop(mut self) {
        drop(self.news);
        let _ = timeout(STOP_TIME_MAX, async { while self.scans.join_next().await.is_some() {} }).await;
    }
}

/// A name that may be shown and logged as it is; `None` for any other.
pub(crate) fn believable_name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.to_owned())
}

/// Whether a router of another host can be there.
fn can_be_dialled(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(address, SocketAddr::V4(v4) if v4.ip().is_broadcast());
    let is_not_one_host = is_broadcast || ip.is_multicast() || ip.is_unspecified();
    let is_nowhere = address.port() == 0 || is_without_zone(address);
    !(ip.is_loopback() || is_not_one_host || is_nowhere)
}

/// A link-local IPv6 address that does not say on which link.
fn is_without_zone(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_believed_can_be_shown_as_it_is() {
        assert_eq!(believable_name("router-a.b_1").as_deref(), Some("router-a.b_1"));
        assert_eq!(believable_name(&"n".repeat(64)), Some("n".repeat(64)));
        for bad in ["", "two words", "line\nfeed", "\u{1b}[31m", "имя", &"n".repeat(65)] {
            assert_eq!(believable_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn nobody_is_dialled_where_no_other_host_can_be() {
        for good in ["192.168.1.2:8902", "[fd00::1]:8902", "[fe80::1%3]:8902", "8.8.8.8:1"] {
            assert!(can_be_dialled(good.parse().unwrap()), "{good}");
        }
        let bad = ["127.0.0.1:8902", "[::1]:8902", "0.0.0.0:8902", "[::]:8902", "224.0.0.251:5353"];
        for bad in bad.iter().chain(&["255.255.255.255:1", "192.168.1.2:0", "[fe80::1]:8902"]) {
            assert!(!can_be_dialled(bad.parse().unwrap()), "{bad}");
        }
    }

    #[tokio::test]
    async fn scans_are_told_to_stop_and_end() {
        // given a router with fixed peers only
        let mesh = config::Mesh { discovery: vec![], ..mesh_with(&["192.168.1.2:8902"]) };
        let own = Own { peer_id: "me".into(), name: "a".into(), mesh_port: 8902, clients_port: None };
        let mut discovery = Discovery::start(&mesh, &own);
        let News::Found(hint) = discovery.next().await else { panic!("nothing found") };
        assert_eq!((hint.source, hint.address), (Source::Fixed, "192.168.1.2:8902".parse().unwrap()));
        // when it stops, then at once
        let since = std::time::Instant::now();
        discovery.stop().await;
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    }

    fn mesh_with(peers: &[&str]) -> config::Mesh {
        let sets: Vec<_> = peers.iter().map(|peer| format!("mesh.peer={peer}")).collect();
        let around = config::Surroundings::of_this_process(false);
        config::Config::read(None, &sets, &around).unwrap().0.mesh
    }
}

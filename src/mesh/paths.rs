//! What is known of the ways to each peer, and what of it does not work. Pure: no
//! sockets, no clock.
//!
//! Between two routers there are two channels, TCP and UDP, each in two directions,
//! and each may be blocked alone: this is where they are compared. What comes of it
//! is one list of troubles, for status, log and metrics; and word to the other side
//! that nothing of its datagrams arrives, so that it sends them over the connection.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fau3_election::{ROUTERS_MAX, RouterId, Time};

use super::api::Refusal;
use super::dial::BOOK_MAX;

/// What does not work for so long is said.
pub const TROUBLE_AFTER: Duration = Duration::from_secs(10);
/// A router that is not heard by UDP for so long, four heartbeats, is asked to send
/// them over the connection.
pub const UNHEARD_AFTER: Duration = Duration::from_secs(1);

/// Segments are tried in these sizes, in bytes, where larger packets vanish.
pub const SEGMENTS: [u16; 3] = [1_200, 1_000, SEGMENT_MIN];
/// After so long, the usual size is tried again with the next connection.
pub const SEGMENT_KEPT: Duration = Duration::from_secs(1_800);

/// What every host takes (RFC 9293, 3.7.1).
const SEGMENT_MIN: u16 = 536;
/// Two connections that die within this time die of the same.
const STALLED_LATELY: Duration = Duration::from_secs(60);
/// Who was heard so lately is there.
const HEARING: Duration = Duration::from_secs(5);
/// For how long the word counts that nothing arrives; it is said twice a second.
const DEAF_FOR: Duration = Duration::from_secs(3);
/// A router of which nothing was seen for so long is forgotten.
const ROUTER_KEPT: Duration = Duration::from_secs(60);
/// What a dial came to is forgotten after so long: each is dialled once a minute.
const PLACE_KEPT: Duration = Duration::from_secs(180);
/// Multicast DNS says again every four minutes what is where.
const CLAIM_KEPT: Duration = Duration::from_secs(600);
/// Most addresses that something is known of: as many as are dialled.
const PLACES_MAX: usize = BOOK_MAX;

/// What does not work, and with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// With which router, where that is known.
    pub router: Option<RouterId>,
    /// Where it is, as far as that is known.
    pub address: Option<SocketAddr>,
    /// What.
    pub what: Blocked,
}

/// What does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// Datagrams pass, no connection comes to stand.
    Tcp(Option<Unmet>),
    /// A connection stands, datagrams pass in neither direction.
    Udp,
    /// Datagrams of the other router do not arrive here; those of this one arrive there.
    UdpHere,
    /// Datagrams of this router do not arrive there; those of the other one arrive here.
    UdpThere,
    /// Large packets vanish: segments of at most so many bytes are used.
    Large(u16),
    /// Nothing of a router is seen there.
    Place(Unmet),
}

/// Why there is no connection to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmet {
    /// Nobody answers.
    Silent,
    /// Nothing listens there.
    Closed,
    /// The network knows no way.
    NoWay,
    /// Whoever is there takes the connection, and is no router or ends it.
    BrokeOff,
    /// One of the two turns the other away.
    Refused(Refusal),
    /// It is this router itself; another router claims to be there.
    Claimed,
    /// It is this router itself.
    Oneself,
}

impl Unmet {
    /// What an error of `connect` means.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Closed,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoWay,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::BrokeOff,
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => {
                "nobody answers by TCP: is the router on, the address right, and the port open in its firewall?"
            }
            Self::Closed => {
                "nothing listens there: is fau3 running, and the port that of mesh.listen (8902 unless set)?"
            }
            Self::NoWay => "the network knows no way there: is the router on, and the address right?",
            Self::BrokeOff => {
                "what answers there does not speak as a router: the mesh's port is 8902 unless set; 8901 is \
                 the clients' and 8903 the console's"
            }
            Self::Refused(why) => return why.fmt(f),
            Self::Claimed => {
                "another router says that it is at this address, which is this router's own: give each router \
                 an address of its own"
            }
            Self::Oneself => "this address is this router's own: name the other router's",
        })
    }
}

impl Blocked {
    /// One word for it, for programs.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp => "udp",
            Self::UdpHere => "udp_in",
            Self::UdpThere => "udp_out",
            Self::Large(_) => "large",
            Self::Place(Unmet::Refused(_)) => "refused",
            Self::Place(Unmet::Claimed) => "address",
            Self::Place(_) => "unreachable",
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BY_TCP: &str = "heartbeats go over the connection instead. Open the mesh's port for UDP, too";
        match self {
            Self::Tcp(why) => {
                f.write_str(
                    "TCP does not pass, UDP does: what clients say goes between the two only where a third \
                     router is connected to both. Open the mesh's port for TCP, too",
                )?;
                why.iter().try_for_each(|why| write!(f, " ({why})"))
            }
            Self::Udp => write!(f, "UDP does not pass, TCP does: {BY_TCP}"),
            Self::UdpHere => write!(f, "UDP from it does not arrive here, TCP passes: {BY_TCP} here"),
            Self::UdpThere => write!(f, "UDP from here does not arrive there, TCP passes: {BY_TCP} there"),
            Self::Large(bytes) => write!(
                f,
                "large packets vanish on the way: connections to it use segments of at most {bytes} bytes. Look \
                 for an MTU that is too large (a tunnel, batman-adv)"
            ),
            Self::Place(why) => why.fmt(f),
        }
    }
}

/// The ways to one router.
#[derive(Debug, Clone, Copy)]
struct Ways {
    /// Where it was last.
    at: SocketAddr,
    /// A connection stands.
    linked: bool,
    /// Since when it does, or does not.
    since: Time,
    /// When its last datagram came.
    heard: Option<Time>,
    /// It has said that it hears no datagram of this router's: first and last.
    deaf: Option<(Time, Time)>,
    /// When a connection died with large packets that nobody acknowledged.
    stalled: Option<Time>,
    /// What its segments were lowered to, and when.
    segment: Option<(u16, Time)>,
}

impl Ways {
    /// A word of deafness that still counts: since when.
    fn deaf_since(&self, now: Time) -> Option<Time> {
        self.deaf.filter(|(_, last)| now.since(*last) < DEAF_FOR).map(|(first, _)| first)
    }

    /// For how long a datagram has been waited for, since there is a connection.
    fn unheard_for(&self, now: Time) -> Duration {
        now.since(self.heard.map_or(self.since, |heard| heard.max(self.since)))
    }

    /// The largest segment of its connections, where that is not the usual one.
    fn segment(&self, now: Time) -> Option<u16> {
        self.segment.filter(|(_, since)| now.since(*since) < SEGMENT_KEPT).map(|(bytes, _)| bytes)
    }

    fn is_current(&self, now: Time) -> bool {
        let seen = self.heard.map_or(self.since, |heard| heard.max(self.since));
        self.linked || now.since(seen) < ROUTER_KEPT
    }
}

/// What a dial came to.
#[derive(Debug, Clone, Copy)]
struct Place {
    why: Unmet,
    since: Time,
    last: Time,
}

impl Place {
    fn is_current(&self, now: Time) -> bool {
        match self.why {
            Unmet::Oneself => true,
            Unmet::Claimed | Unmet::Refused(Refusal::NotLan) => now.since(self.last) < CLAIM_KEPT,
            _ => now.since(self.last) < PLACE_KEPT,
        }
    }
}

/// What is known of the ways to all.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// At most [`ROUTERS_MAX`].
    routers: BTreeMap<RouterId, Ways>,
    /// Dialled in vain; at most [`PLACES_MAX`].
    places: BTreeMap<SocketAddr, Place>,
}

impl Paths {
    /// A datagram came from a router, by UDP.
    pub(super) fn heard(&mut self, now: Time, router: RouterId, from: SocketAddr) {
        if let Some(ways) = self.ways(now, router, from) {
            ways.heard = Some(now);
            if !ways.linked {
                ways.at = from;
            }
        }
    }

    /// A connection stands.
    pub(super) fn up(&mut self, now: Time, router: RouterId, listens: SocketAddr) {
        self.reached(listens);
        if let Some(ways) = self.ways(now, router, listens) {
            (ways.linked, ways.since, ways.at, ways.deaf) = (true, now, listens, None);
        }
    }

    /// It is gone.
    pub(super) fn down(&mut self, now: Time, router: RouterId) {
        if let Some(ways) = self.routers.get_mut(&router) {
            (ways.linked, ways.since, ways.deaf) = (false, now, None);
        }
    }

    /// A router says over the connection that no datagram of this one arrives.
    pub(super) fn told_deaf(&mut self, now: Time, router: RouterId) {
        if let Some(ways) = self.routers.get_mut(&router) {
            ways.deaf = Some((ways.deaf_since(now).unwrap_or(now), now));
        }
    }

    /// A connection died with large packets that were not acknowledged. Where small
    /// ones passed meanwhile, as datagrams or as the handshake of the connection after
    /// one that died likewise, the next ones have smaller segments.
    pub(super) fn stalled(&mut self, now: Time, router: RouterId) {
        let Some(ways) = self.routers.get_mut(&router) else { return };
        let is_heard = ways.heard.is_some_and(|heard| now.since(heard) < HEARING);
        let again = ways.stalled.is_some_and(|before| now.since(before) < STALLED_LATELY);
        ways.stalled = Some(now);
        if !is_heard && !again {
            return;
        }
        let smaller = |bytes: u16| SEGMENTS.into_iter().find(|next| *next < bytes).unwrap_or(SEGMENT_MIN);
        let next = match (ways.segment(now), ways.segment) {
            (Some(bytes), _) => smaller(bytes),
            // What was tried with larger ones again failed again.
            (None, Some((bytes, _))) => bytes,
            (None, None) => SEGMENTS[0],
        };
        ways.segment = Some((next, now));
    }

    /// The largest segment for a connection to an address; `None`: the usual one.
    pub(super) fn segment(&self, now: Time, address: SocketAddr) -> Option<u16> {
        let there = self.routers.values().filter(|ways| ways.at.ip() == address.ip());
        there.filter_map(|ways| ways.segment(now)).min()
    }

    /// The largest segment for connections from anybody; `None`: the usual one.
    pub(super) fn segment_of_all(&self, now: Time) -> Option<u16> {
        self.routers.values().filter_map(|ways| ways.segment(now)).min()
    }

    /// Whether it has said so lately.
    pub(super) fn is_deaf(&self, now: Time, router: RouterId) -> bool {
        self.routers.get(&router).is_some_and(|ways| ways.deaf_since(now).is_some())
    }

    /// Whether a connected router is to be told that none of its datagrams arrives.
    pub(super) fn is_unheard(&self, now: Time, router: RouterId) -> bool {
        self.routers.get(&router).is_some_and(|ways| ways.linked && ways.unheard_for(now) >= UNHEARD_AFTER)
    }

    /// There is no connection to an address; of strangers that call themselves, the
    /// port is 0.
    pub(super) fn unmet(&mut self, now: Time, address: SocketAddr, why: Unmet) {
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&address) {
            self.places.retain(|_, place| place.is_current(now));
            if self.places.len() >= PLACES_MAX {
                return;
            }
        }
        let place = self.places.entry(address).or_insert(Place { why, since: now, last: now });
        if !place.is_current(now) {
            place.since = now;
        }
        (place.why, place.last) = (why, now);
    }

    /// A router was met at an address.
    pub(super) fn reached(&mut self, address: SocketAddr) {
        self.places.remove(&address);
        self.places.remove(&SocketAddr::new(address.ip(), 0));
    }

    /// All that does not work now.
    pub(super) fn troubles(&self, now: Time) -> Vec<Trouble> {
        let routers = self.routers.iter().filter_map(|(router, ways)| {
            let large = || ways.segment(now).filter(|_| ways.is_current(now)).map(Blocked::Large);
            let what = self.blocked(now, ways).or_else(large)?;
            Some(Trouble { router: Some(*router), address: Some(ways.at), what })
        });
        let is_told = |ip: IpAddr| self.routers.values().any(|ways| ways.at.ip() == ip && ways.linked);
        let places = self.places.iter().filter(|(address, place)| {
            let has_dialled = |other: &SocketAddr| other.ip() == address.ip() && other.port() != 0;
            let is_double =
                address.port() == 0 && (is_told(address.ip()) || self.places.keys().any(has_dialled));
            // What turns away is certain; what does not answer may yet.
            let is_certain = matches!(place.why, Unmet::Refused(_) | Unmet::Claimed | Unmet::Oneself);
            place.is_current(now) && !is_double && (is_certain || now.since(place.since) >= TROUBLE_AFTER)
        });
        let places = places.map(|(address, place)| {
            let router = self.routers.iter().find(|(_, ways)| ways.at == *address);
            Trouble {
                router: router.map(|(router, _)| *router),
                address: Some(*address),
                what: Blocked::Place(place.why),
            }
        });
        let mut all: Vec<_> = routers.collect();
        // Of a router that is heard, the way that is blocked says more.
        let rest = places.filter(|place| !all.iter().any(|known| known.address == place.address));
        let rest: Vec<_> = rest.collect();
        all.extend(rest);
        all
    }

    fn blocked(&self, now: Time, ways: &Ways) -> Option<Blocked> {
        let is_long = |since: Time| now.since(since) >= TROUBLE_AFTER;
        if !ways.linked {
            let is_heard = ways.heard.is_some_and(|heard| now.since(heard) < HEARING);
            let why = self.places.get(&ways.at).map(|place| place.why);
            return (is_heard && is_long(ways.since)).then_some(Blocked::Tcp(why));
        }
        let here = ways.unheard_for(now) >= TROUBLE_AFTER;
        let there = ways.deaf_since(now).is_some_and(is_long);
        match (here, there) {
            (true, true) => Some(Blocked::Udp),
            (true, false) => Some(Blocked::UdpHere),
            (false, true) => Some(Blocked::UdpThere),
            (false, false) => None,
        }
    }

    fn ways(&mut self, now: Time, router: RouterId, at: SocketAddr) -> Option<&mut Ways> {
        if self.routers.len() >= ROUTERS_MAX && !self.routers.contains_key(&router) {
            self.routers.retain(|_, ways| ways.is_current(now));
            if self.routers.len() >= ROUTERS_MAX {
                return None;
            }
        }
        let unknown =
            Ways { at, linked: false, since: now, heard: None, deaf: None, stalled: None, segment: None };
        let ways = self.routers.entry(router).or_insert(unknown);
        if !ways.is_current(now) {
            *ways = unknown;
        }
        Some(ways)
    }
}

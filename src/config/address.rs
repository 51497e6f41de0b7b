//! Where to listen and whom to call: addresses with a port, and the default
//! server's URL.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::str::FromStr;

/// The longest name of a network interface, in bytes (`IFNAMSIZ` less its end).
const ZONE_LEN_MAX: usize = 15;
/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const HOST_LEN_MAX: usize = 253;

/// Text that is no address or URL; what would be right is said by the option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed")
    }
}

impl std::error::Error for Malformed {}

/// An IP address with its port: `0.0.0.0:8901`, `[::]:8901`, `[fe80::1%br-lan]:8902`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The interface to which a link-local IPv6 address belongs: its name or number (RFC 4007).
    pub zone: Option<String>,
    /// The port; 0 where the system may choose one.
    pub port: u16,
}

impl Address {
    /// Every address of this host, IPv4 included: `[::]:port`.
    #[must_use]
    pub const fn any(port: u16) -> Self {
        Self { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), zone: None, port }
    }

    /// Reached from this host alone: `127.0.0.1:port`.
    #[must_use]
    pub const fn loopback(port: u16) -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), zone: None, port }
    }

    /// As the system wants it. `number_of` gives the number of the interface
    /// of that name, asked at the moment of use since interfaces come and go;
    /// `None` where there is no such interface now.
    pub fn socket_addr(&self, number_of: impl FnOnce(&str) -> Option<u32>) -> Option<SocketAddr> {
        let IpAddr::V6(ip) = self.ip else { return Some(SocketAddr::new(self.ip, self.port)) };
        let scope = match &self.zone {
            None => 0,
            Some(zone) => zone.parse().ok().or_else(|| number_of(zone))?,
        };
        Some(SocketAddrV6::new(ip, self.port, 0, scope).into())
    }
}

impl FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Some(bracketed) = text.strip_prefix('[') else {
            let plain: core::net::SocketAddrV4 = text.parse().map_err(|_| Malformed)?;
            return Ok(Self { ip: IpAddr::V4(*plain.ip()), zone: None, port: plain.port() });
        };
        let (inside, port) = bracketed.split_once("]:").ok_or(Malformed)?;
        let (ip, zone) = inside.split_once('%').map_or((inside, None), |(ip, zone)| (ip, Some(zone)));
        if zone.is_some_and(|zone| !is_zone(zone)) {
            return Err(Malformed);
        }
        let ip: Ipv6Addr = ip.parse().map_err(|_| Malformed)?;
        Ok(Self { ip: IpAddr::V6(ip), zone: zone.map(str::to_owned), port: port_of(port)? })
    }
}

fn is_zone(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/%[]".contains(&byte);
    (1..=ZONE_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn port_of(text: &str) -> Result<u16, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    text.parse().map_err(|_| Malformed)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, &self.zone) {
            (IpAddr::V4(ip), _) => write!(f, "{ip}:{}", self.port),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}]:{}", self.port),
            (IpAddr::V6(ip), Some(zone)) => write!(f, "[{ip}%{zone}]:{}", self.port),
        }
    }
}

/// Another router, by address or by name, with its port: `192.168.1.2:8902`,
/// `[fe80::1%br-lan]:8902`, `router-b.lan:8902`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// By its address.
    Address(Address),
    /// By a name that has to be looked up.
    Name {
        /// The host's name.
        name: String,
        /// The port.
        port: u16,
    },
}

impl Peer {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port,
            Self::Name { port, .. } => *port,
        }
    }
}

impl FromStr for Peer {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (name, port) = text.rsplit_once(':').ok_or(Malformed)?;
        let port = port_of(port)?;
        is_host(name).then(|| Self::Name { name: name.to_owned(), port }).ok_or(Malformed)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// What a main server is, and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `ws://`: a server that speaks FAU3VOM-D only.
    Ws,
    /// `fau3://`: a fau3 node, over TCP.
    Fau3,
    /// `fau3+ws://`: a fau3 node, over WebSocket, where only that gets through.
    Fau3Ws,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::Ws, Self::Fau3, Self::Fau3Ws];

    fn text(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Fau3 => "fau3",
            Self::Fau3Ws => "fau3+ws",
        }
    }
}

/// The main server's URL: `SCHEME://HOST:PORT[/PATH]`. The port is always
/// said, since what RFC 6455 presumes (80) is not where these servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// What is there.
    pub scheme: Scheme,
    /// A host name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

impl FromStr for ServerUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (scheme, rest) = text.split_once("://").ok_or(Malformed)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path_is_right = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let scheme = Scheme::ALL.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.text()));
        let scheme = scheme.filter(|_| path_is_right).ok_or(Malformed)?;
        // Without a WebSocket there is nobody to ask for a path.
        if scheme == Scheme::Fau3 && !["", "/"].contains(&path) {
            return Err(Malformed);
        }
        let (host, port) = match authority.parse::<Address>() {
            Ok(Address { ip, zone, port }) => {
                (zone.map_or(ip.to_string(), |zone| format!("{ip}%{zone}")), port)
            }
            Err(Malformed) => {
                let (host, port) = authority.rsplit_once(':').ok_or(Malformed)?;
                (is_host(host).then(|| host.to_owned()).ok_or(Malformed)?, port_of(port)?)
            }
        };
        if port == 0 {
            return Err(Malformed);
        }
        Ok(Self { scheme, host, port, path: if path.is_empty() { "/".to_owned() } else { path.to_owned() } })
    }
}

/// A host name; what looks like an address must be one, so that a mistyped
/// `10.10.11.1560` is not asked of the name server.
fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    (1..=HOST_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed) && !is_numeric
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let path = if self.scheme == Scheme::Fau3 { "" } else { &self.path };
        write!(f, "{}://{open}{}{close}:{}{path}", self.scheme.text(), self.host, self.port)
    }
}

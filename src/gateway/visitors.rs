//! Whether a request comes from a page that may ask this router something.
//!
//! A page that somebody visits can open a WebSocket to any address that the browser reaches.
//! The browser says from where the page is (`Origin`; RFC 6455, section 10.2): this
//! router's own pages may, and those that `clients.allow_origin` names. No Origin
//! means a device. A page whose own name was made to resolve to this router (DNS
//! rebinding) looks like one of its own: so the name that was asked (`Host`) has
//! to be one that nobody else can own.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::http::{Answer, Head};

/// Domains that no public name server answers for: OpenWrt's own, multicast
/// DNS (RFC 6762), and what is reserved for homes (RFC 8375) and for private
/// use.
const LOCAL_DOMAINS: [&str; 4] = ["lan", "local", "home.arpa", "internal"];
/// As much of an Origin or a Host is shown, in characters.
const SHOWN_MAX: usize = 80;
/// The entry of `clients.allow_origin` that stands for every page.
const ANY: &str = "*";

/// What is known of pages, shared by all doors that browsers reach.
#[derive(Debug, Default)]
pub struct Visitors {
    rules: Mutex<Rules>,
    refused: AtomicUsize,
    crowded_out: AtomicUsize,
}

#[derive(Debug, Default)]
struct Rules {
    /// This router's, in small letters.
    names: Vec<String>,
    /// Origins of pages that may come.
    allowed: Vec<String>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// It comes from a page of this origin.
    Page(String),
    /// It was sent to this name, which is not this router's.
    Host(String, String),
}

impl Stranger {
    /// What it is told, and the log.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Page(origin) => format!(
                "pages from {origin} may not connect: add 'list allow_origin {origin}' to section clients \
                 of the router's configuration, or leave out the header Origin if you are no page"
            ),
            Self::Host(host, name) => {
                format!("this router is not {host}: use its IP address, localhost or {name}")
            }
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::line(if matches!(self, Self::Page(_)) { 403 } else { 421 }, &self.reason())
    }
}

impl Visitors {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by these from now on.
    pub fn set(&self, names: &[&str], allowed: &[String]) {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        *self.rules() = Rules { names, allowed: allowed.to_vec() };
    }

    /// Requests of strangers since the start.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections for which a door had no place, since the start.
    #[must_use]
    pub fn crowded_out(&self) -> usize {
        self.crowded_out.load(Ordering::Relaxed)
    }

    /// Counts one for which there was no place.
    pub(crate) fn crowd_out(&self) {
        self.crowded_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the request is a device's, or of a page that may ask. `here` is this
    /// router's address that was reached.
    pub(crate) fn check_page(&self, head: &Head, here: IpAddr) -> Result<(), Stranger> {
        let origins: Vec<_> = head.all("Origin").collect();
        if origins.is_empty() {
            return Ok(());
        }
        let origin = match origins[..] {
            [origin] => String::from_utf8_lossy(origin).into_owned(),
            _ => "two places at once".to_owned(),
        };
        let rules = self.rules();
        if rules.allowed.iter().any(|allowed| allowed == ANY || allowed.eq_ignore_ascii_case(&origin)) {
            return Ok(());
        }
        let judged = rules.is_asked_for(head).and_then(|()| {
            let is_own = rules.is_own_page(&origin, asked_host(head).ok().flatten(), here);
            is_own.then_some(()).ok_or_else(|| Stranger::Page(shown(&origin)))
        });
        self.count(judged)
    }

    /// Whether the request, of whomever, was sent to a name that this router has. One
    /// without any comes from a program.
    pub(crate) fn check_host(&self, head: &Head) -> Result<(), Stranger> {
        let judged = self.rules().is_asked_for(head);
        self.count(judged)
    }

    fn count(&self, judged: Result<(), Stranger>) -> Result<(), Stranger> {
        if judged.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        judged
    }
}

/// Whom a request was sent to; `None`: it does not say.
fn asked_host(head: &Head) -> Result<Option<&str>, ()> {
    // What stands in the target counts more (RFC 9112, section 3.2.2).
    if let Some(authority) = head.authority() {
        return Ok(Some(authority));
    }
    let mut hosts = head.all("Host").map(|host| std::str::from_utf8(host).unwrap_or("?"));
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(()),
        (host, None) => Ok(host),
    }
}

fn shown(text: &str) -> String {
    let plain = text.chars().filter(|char| !char.is_control());
    plain.take(SHOWN_MAX).collect()
}

impl Rules {
    fn is_asked_for(&self, head: &Head) -> Result<(), Stranger> {
        let host = asked_host(head).unwrap_or(Some("two hosts"));
        let is_ours = host
            .is_none_or(|host| host_of(host).is_some_and(|host| is_address(&host) || self.is_name(&host)));
        let name = self.names.first().map_or("", |name| name);
        is_ours.then_some(()).ok_or_else(|| Stranger::Host(shown(host.unwrap_or_default()), name.to_owned()))
    }

    /// A page that this router itself, or another service on it, has served.
    fn is_own_page(&self, origin: &str, host: Option<&str>, here: IpAddr) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let Some(page) = host_of(authority).filter(|_| is_web) else { return false };
        let same = |one: &str, other: &str| one == other || (is_this_machine(one) && is_this_machine(other));
        host.and_then(host_of).is_some_and(|host| same(&page, &host))
            || same(&page, &here.to_canonical().to_string())
            || self.is_name(&page)
    }

    /// One of this router's names, alone or within a domain of local networks.
    fn is_name(&self, host: &str) -> bool {
        let is_domain = |rest: &str| {
            rest.is_empty() || rest.strip_prefix('.').is_some_and(|it| LOCAL_DOMAINS.contains(&it))
        };
        let names = self.names.iter().filter(|name| !name.is_empty());
        names.filter_map(|name| host.strip_prefix(&**name)).any(is_domain)
    }
}

/// What stands before the port, in one spelling; `None`: nothing that can be.
fn host_of(authority: &str) -> Option<String> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (ip, rest) = bracketed.split_once(']')?;
        let port = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
        let ip: Ipv6Addr = ip.split('%').next()?.parse().ok()?;
        return is_port(port).then(|| IpAddr::from(ip).to_canonical().to_string());
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let host = host.strip_suffix('.').unwrap_or(host);
    (is_port(port) && !host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// What needs no name server, or what none but this machine answers for.
fn is_address(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 1));

    fn visitors(allowed: &[&str]) -> Visitors {
        let visitors = Visitors::default();
        let allowed: Vec<_> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        visitors.set(&["Router-A", "fau3vomdMain"], &allowed);
        visitors
    }

    fn head(target: &str, fields: &[(&str, &str)]) -> Head {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Head::parse(format!("GET {target} HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap().unwrap().1
    }

    fn from(origin: &str, host: &str) -> Head {
        head("/", &[("Host", host), ("Origin", origin)])
    }

    #[test]
    fn who_says_no_origin_is_a_device_whatever_it_calls_this_router() {
        for host in ["attacker.example", "", "radio-server:8901", "10.0.0.1"] {
            assert_eq!(visitors(&[]).check_page(&head("/", &[("Host", host)]), HERE), Ok(()), "{host}");
        }
        assert_eq!(visitors(&[]).check_page(&head("/", &[]), HERE), Ok(()));
    }

    #[test]
    fn own_pages_may_come_and_others_may_not() {
        let visitors = visitors(&[]);
        for (origin, host) in [
            ("http://192.168.1.1:8903", "192.168.1.1:8901"),
            ("https://192.168.1.1", "192.168.1.1:8901"),
            ("http://router-a.lan", "192.168.1.1:8901"),
            ("http://192.168.1.1", "router-a.lan:8901"),
            ("http://Router-A", "Router-A:8901"),
            ("http://fau3vomdmain", "fau3vomdMain:8901"),
            ("http://localhost:8903", "127.0.0.1:8901"),
            ("http://[::1]:8903", "localhost:8901"),
            ("http://[fd00::1]", "[FD00::1]:8901"),
        ] {
            assert_eq!(visitors.check_page(&from(origin, host), HERE), Ok(()), "{origin} to {host}");
        }
        assert_eq!(visitors.refused(), 0);
        for (origin, host) in [
            ("http://attacker.example", "192.168.1.1:8901"),
            ("http://192.168.1.2", "192.168.1.1:8901"),
            ("http://localhost", "192.168.1.1:8901"),
            ("http://router-a.attacker.example", "192.168.1.1:8901"),
            ("null", "192.168.1.1:8901"),
            ("", "192.168.1.1:8901"),
            ("file://", "192.168.1.1:8901"),
            ("ftp://192.168.1.1", "192.168.1.1:8901"),
            ("http://192.168.1.1@attacker.example", "192.168.1.1:8901"),
        ] {
            let judged = visitors.check_page(&from(origin, host), HERE);
            assert!(matches!(judged, Err(Stranger::Page(_))), "{origin} to {host}: {judged:?}");
        }
        assert_eq!(visitors.refused(), 9);
        let two = head("/", &[("Host", "10.0.0.1"), ("Origin", "http://10.0.0.1"), ("Origin", "http://a")]);
        assert!(matches!(visitors.check_page(&two, HERE), Err(Stranger::Page(_))));
    }

    #[test]
    fn a_page_whose_name_was_made_to_resolve_to_this_router_is_none_of_its_own() {
        let visitors = visitors(&["https://app.example"]);
        let rebound = visitors.check_page(&from("http://attacker.example", "attacker.example:8901"), HERE);
        assert!(matches!(rebound, Err(Stranger::Host(..))), "{rebound:?}");
        // A page that is named may call this router by any name.
        assert_eq!(visitors.check_page(&from("https://app.example", "voice.example:8901"), HERE), Ok(()));
    }

    #[test]
    fn origins_that_are_named_may_come_as_they_are_and_no_others() {
        let visitors = visitors(&["https://App.example", "http://b.example:8080", "null"]);
        let may = |origin| visitors.check_page(&from(origin, "192.168.1.1:8901"), HERE).is_ok();
        assert!(may("https://app.example") && may("http://b.example:8080") && may("null"));
        assert!(!may("http://app.example") && !may("https://app.example:444") && !may("http://b.example"));
        let anyone = self::visitors(&["*"]);
        assert!(anyone.check_page(&from("http://attacker.example", "x.example"), HERE).is_ok());
    }

    #[test]
    fn a_name_that_somebody_else_may_own_is_not_answered() {
        let visitors = visitors(&[]);
        let ours = |host| visitors.check_host(&head("/", &[("Host", host)])).is_ok();
        for host in [
            "127.0.0.1",
            "127.0.0.1:8903",
            "192.168.1.1:80",
            "[::1]:8903",
            "[fe80::1]",
            "localhost:8903",
            "LOCALHOST",
            "router-a",
            "router-a:8903",
            "router-a.lan",
            "Router-A.local.",
            "router-a.home.arpa",
            "fau3vomdmain.lan:8901",
        ] {
            assert!(ours(host), "{host}");
        }
        for host in [
            "",
            ":8903",
            "attacker.example",
            "router-a.attacker.example",
            "router-a.lan.attacker.example",
            "router-attacker.example",
            "router-a-lan",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "1.2.3.4.nip.io",
            "[::1].attacker.example]",
            "[attacker.example]",
            "[::1",
            "localhost:80:attacker.example",
        ] {
            assert!(!ours(host), "{host}");
        }
    }

    #[test]
    fn the_host_is_taken_from_where_http_says() {
        let visitors = visitors(&[]);
        let is_answered = |target: &str, hosts: &[&str]| {
            let fields: Vec<_> = hosts.iter().map(|&host| ("Host", host)).collect();
            visitors.check_host(&head(target, &fields)).is_ok()
        };
        assert!(is_answered("/", &["localhost"]));
        assert!(is_answered("/", &[]), "a program of HTTP/1.0");
        assert!(!is_answered("/", &["attacker.example"]));
        assert!(!is_answered("/", &["localhost", "attacker.example"]), "two are none");
        assert!(!is_answered("http://attacker.example/", &["localhost"]), "the target counts");
        assert!(is_answered("http://127.0.0.1:8903/", &["localhost"]));
    }
}

//! The console: a page, `/status` and `/metrics` over HTTP, for whoever can
//! reach its address. That is this host alone unless `node.console` says more.
//!
//! A browser on this host can be led here by a page from elsewhere whose name
//! resolves to 127.0.0.1 (DNS rebinding). So only names that nobody else can
//! own are answered: IP addresses, `localhost`, and the node's name, alone or
//! within the domains of local networks ([`LOCAL_DOMAINS`]). A request without
//! any name comes from a program, not from a browser, and is answered.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY, UPGRADE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Control, Status, Unanswered, metrics, page};
use crate::config::Address;
use crate::net::refused;
use crate::node::Report;

/// Connections served at once; the next ones wait until one of them ends.
const CONNECTIONS_MAX: usize = 32;
/// A connection, which is one request, is over after this long.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest request head, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1_024;
/// Before an address that cannot be had is tried again.
const BIND_INTERVAL: Duration = Duration::from_secs(10);
/// After accept(2) failed (no descriptors left, say), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Domains that no public name server answers for: OpenWrt's own, multicast
/// DNS (RFC 6762), and what is reserved for homes (RFC 8375) and for private
/// use.
const LOCAL_DOMAINS: [&str; 4] = ["lan", "local", "home.arpa", "internal"];
/// What [`Control::set_warning`] calls a console that is not there.
const NO_CONSOLE: &str = "console";
/// What it calls one that strangers may reach.
const OPEN_CONSOLE: &str = "console open";

/// What a client is told that takes this port for its own.
const NO_DOOR: &str = "this port is the console's (node.console), for browsers; clients connect to another one (clients.listen), 8901 by default";

type Answer = Response<Full<Bytes>>;

/// What all connections share.
struct Console {
    control: Control,
    name: String,
}

/// See [`Control::serve_console`].
pub(super) fn serve(control: Control, address: Address, name: &str) {
    let console = Arc::new(Console { control, name: name.to_owned() });
    tokio::spawn(async move {
        let listener = bind(&console.control, &address).await;
        if let Ok(bound) = listener.local_addr() {
            info!("console on http://{bound}/");
        }
        if !address.ip.to_canonical().is_loopback() {
            let open = format!(
                "the console on {address} (node.console) shows rooms and client ids to everybody who can reach it"
            );
            warn!("{open}");
            console.control.set_warning(OPEN_CONSOLE, Some(open));
        }
        accept(console, listener).await;
    });
}

/// Tries until it works: another program may end, an interface may come.
async fn bind(control: &Control, address: &Address) -> TcpListener {
    let mut warned = false;
    loop {
        let error = match try_bind(address).await {
            Ok(listener) => {
                control.set_warning(NO_CONSOLE, None);
                return listener;
            }
            Err(error) => error,
        };
        let text = format!("{error} (tried again every {} s)", BIND_INTERVAL.as_secs());
        if !warned {
            warn!("{text}");
            warned = true;
        }
        control.set_warning(NO_CONSOLE, Some(text));
        sleep(BIND_INTERVAL).await;
    }
}

async fn try_bind(address: &Address) -> Result<TcpListener, String> {
    let interface = |name: &str| {
        let socket = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
        rustix::net::netdevice::name_to_index(&socket, name).ok()
    };
    let found = address.socket_addr(interface);
    let found = found.ok_or_else(|| {
        format!("the console cannot listen on {address} (node.console): there is no such interface now")
    })?;
    let bound = TcpListener::bind(found).await;
    bound.map_err(|error| refused("the console", "node.console", &address.to_string(), found, &error))
}

async fn accept(console: Arc<Console>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(console.clone(), stream, place))),
            Err(error) => {
                warn!("console: cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(console: Arc<Console>, stream: TcpStream, place: OwnedSemaphorePermit) {
    let service = service_fn(move |request: Request<Incoming>| {
        let console = console.clone();
        async move { Ok::<_, Infallible>(console.answer(&request.into_parts().0).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever went wrong, whoever asked has been told what could be told.
    let _ = timeout(CONNECTION_TIME_MAX, connection).await;
    drop(place);
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Page,
    Status,
    Metrics,
    /// Not there: the status and a line that says what is.
    Wrong(StatusCode, &'static str),
}

impl Console {
    async fn answer(&self, request: &Parts) -> Answer {
        if let Err(why) = check_host(request, &self.name) {
            return line(StatusCode::MISDIRECTED_REQUEST, &why);
        }
        if request.headers.contains_key(UPGRADE) {
            return line(StatusCode::MISDIRECTED_REQUEST, NO_DOOR);
        }
        let answered = match asked(request) {
            Asked::Page => self.control.report().await.map(|report| self.page(&report)),
            Asked::Status => self.control.status_json().await.map(|json| content("application/json", json)),
            Asked::Metrics => self.control.report().await.map(|report| {
                content(metrics::CONTENT_TYPE, metrics::render(&report, metrics::resident_bytes()))
            }),
            Asked::Wrong(status, why) => Ok(wrong(status, why)),
        };
        answered.unwrap_or_else(|why: Unanswered| line(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()))
    }

    fn page(&self, report: &Report) -> Answer {
        let nonce = nonce();
        let status = Status::new(report, self.control.warnings());
        let html = page::render(&status, &report.router.stats.latency, &nonce);
        let mut answer = content("text/html; charset=utf-8", html);
        if let Ok(policy) = HeaderValue::from_str(&page::content_security_policy(&nonce)) {
            answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }
}

fn asked(request: &Parts) -> Asked {
    let asked = match request.uri.path() {
        "/" => Asked::Page,
        "/status" => Asked::Status,
        "/metrics" => Asked::Metrics,
        _ => return Asked::Wrong(StatusCode::NOT_FOUND, "nothing is here: see /, /status and /metrics"),
    };
    // hyper leaves out the body where a HEAD asks for none.
    if request.method != Method::GET && request.method != Method::HEAD {
        return Asked::Wrong(StatusCode::METHOD_NOT_ALLOWED, "the console only shows: use GET or HEAD");
    }
    asked
}

/// Whether the request was sent to a name that this router has.
fn check_host(request: &Parts, name: &str) -> Result<(), String> {
    let mut headers = request.headers.get_all(HOST).iter();
    let hosts = [headers.next(), headers.next()].map(|host| host.map(|host| host.to_str().unwrap_or("?")));
    // What stands in the target counts more (RFC 9112, section 3.2.2).
    let authority = request.uri.authority().map(|authority| authority.as_str());
    let is_ours = match (authority, hosts) {
        (None, [None, None]) => true,
        (Some(host), _) | (None, [Some(host), None]) => is_own_host(host, name),
        _ => false,
    };
    let why = || format!("this router is not that host: use its IP address, localhost or {name}");
    is_ours.then_some(()).ok_or_else(why)
}

/// `host` as in the header `Host`: a name or an address, with or without a port.
fn is_own_host(host: &str, name: &str) -> bool {
    let host = host.to_ascii_lowercase();
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').is_some_and(|(ip, port)| {
            ip.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'))
        });
    }
    let host = host.split(':').next().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = name.to_ascii_lowercase();
    let is_name =
        |rest: &str| rest.is_empty() || rest.strip_prefix('.').is_some_and(|it| LOCAL_DOMAINS.contains(&it));
    host == "localhost" || host.parse::<IpAddr>().is_ok() || host.strip_prefix(&*name).is_some_and(is_name)
}

/// Fresh for each page; unguessable, and not a secret.
fn nonce() -> String {
    let mut bytes = [0; 16];
    // Without randomness the policy allows nothing, and the page is bare.
    if getrandom::fill(&mut bytes).is_err() {
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content(kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

fn line(status: StatusCode, text: &str) -> Answer {
    let mut answer = content("text/plain; charset=utf-8", format!("{text}\n"));
    *answer.status_mut() = status;
    answer
}

fn wrong(status: StatusCode, why: &str) -> Answer {
    let mut answer = line(status, why);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn three_paths_are_there_and_only_to_be_read() {
        let asked = |method, target| super::asked(&request(method, target, &[]));
        assert_eq!(asked("GET", "/"), Asked::Page);
        assert_eq!(asked("HEAD", "/"), Asked::Page);
        assert_eq!(asked("GET", "/status?pretty"), Asked::Status);
        assert_eq!(asked("GET", "/metrics"), Asked::Metrics);
        let status = |method, target| match asked(method, target) {
            Asked::Wrong(status, _) => status.as_u16(),
            found => panic!("{found:?}"),
        };
        assert_eq!(status("GET", "/favicon.ico"), 404);
        assert_eq!(status("GET", "/status/"), 404);
        assert_eq!(status("POST", "/nowhere"), 404);
        assert_eq!(status("POST", "/status"), 405);
        assert_eq!(status("DELETE", "/"), 405);
    }

    #[test]
    fn a_name_that_somebody_else_may_own_is_not_answered() {
        let ours = |host| is_own_host(host, "Router-A");
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
        ] {
            assert!(!ours(host), "{host}");
        }
    }

    #[test]
    fn the_host_is_taken_from_where_http_says() {
        let is_answered =
            |target: &str, hosts: &[&str]| check_host(&request("GET", target, hosts), "router-a").is_ok();
        assert!(is_answered("/", &["localhost"]));
        assert!(is_answered("/", &[]), "a program of HTTP/1.0");
        assert!(!is_answered("/", &["attacker.example"]));
        assert!(!is_answered("/", &["localhost", "attacker.example"]), "two are none");
        assert!(!is_answered("http://attacker.example/", &["localhost"]), "the target counts");
        assert!(is_answered("http://127.0.0.1:8903/", &["localhost"]));
    }

    #[test]
    fn no_two_pages_have_the_same_nonce() {
        let (one, other) = (nonce(), nonce());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}

//! The console: a page, `/status` and `/metrics` over HTTP, for whoever can
//! reach its address. That is this host alone unless `node.console` says more.
//!
//! A browser on this host can be led here by a page from elsewhere whose name
//! resolves to 127.0.0.1 (DNS rebinding). So only names that nobody else can
//! own are answered ([`Visitors`]). A request without any name comes from a program,
//! not from a browser, and is answered.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Control, Status, Unanswered, metrics, page};
use crate::config::Address;
use crate::control::Report;
use crate::gateway::Visitors;
use crate::http::{self, Answer, Head};
use crate::net::{Listener, refused};

/// Connections served at once; the next ones wait until one of them ends.
const CONNECTIONS_MAX: usize = 32;
/// A connection, which is one request, is over after this long.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Before an address that cannot be had is tried again.
const BIND_INTERVAL: Duration = Duration::from_secs(10);
/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 64;
/// After accept(2) failed (no descriptors left, say), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What [`Control::set_warning`] calls a console that is not there.
const NO_CONSOLE: &str = "console";
/// What it calls one that strangers may reach.
const OPEN_CONSOLE: &str = "console open";

/// What a client is told that takes this port for its own.
const NO_DOOR: &str = "this port is the console's (node.console), for browsers; clients connect to another one (clients.listen), 8901 by default";

/// What all connections share.
struct Console {
    control: Control,
    visitors: Arc<Visitors>,
}

/// See [`Control::serve_console`].
pub(super) fn serve(control: Control, address: Address, visitors: Arc<Visitors>) {
    let console = Arc::new(Console { control, visitors });
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
    let mut listener = Listener::new(listener, BACKLOG);
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

async fn converse(console: Arc<Console>, mut stream: TcpStream, place: OwnedSemaphorePermit) {
    // Whatever went wrong, whoever asked has been told what could be told.
    let _ = timeout(CONNECTION_TIME_MAX, async {
        let Ok(here) = stream.local_addr() else { return };
        let (answer, with_body) = match http::read_head(&mut stream, &mut Vec::new()).await {
            Ok(None) => return,
            Ok(Some(head)) => (console.answer(&head, here.ip()).await, head.method != "HEAD"),
            Err(answer) => (answer, true),
        };
        http::say_last(&mut stream, &answer, with_body).await;
    })
    .await;
    drop(place);
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Page,
    Status,
    Metrics,
    /// Not there: the status and a line that says what is.
    Wrong(u16, &'static str),
}

impl Console {
    async fn answer(&self, request: &Head, here: IpAddr) -> Answer {
        let visitors = &self.visitors;
        if let Err(stranger) = visitors.check_host(request).and_then(|()| visitors.check_page(request, here))
        {
            return guarded(stranger.answer());
        }
        if request.all("upgrade").next().is_some() {
            return guarded(Answer::line(421, NO_DOOR));
        }
        let answered = match asked(request) {
            Asked::Page => self.control.report().await.map(|report| self.page(&report)),
            Asked::Status => self.control.status_json().await.map(|json| content("application/json", json)),
            Asked::Metrics => self.control.report().await.map(|report| {
                content(metrics::CONTENT_TYPE, metrics::render(&report, metrics::resident_bytes()))
            }),
            Asked::Wrong(status, why) => Ok(wrong(status, why)),
        };
        answered.unwrap_or_else(|why: Unanswered| guarded(Answer::line(503, &why.to_string())))
    }

    fn page(&self, report: &Report) -> Answer {
        let nonce = nonce();
        let status = Status::new(report, self.control.warnings());
        let html = page::render(&status, &report.router.stats.latency, &nonce);
        content("text/html; charset=utf-8", html)
            .with("Content-Security-Policy", page::content_security_policy(&nonce))
    }
}

fn asked(request: &Head) -> Asked {
    let asked = match request.path_and_query().0 {
        "/" => Asked::Page,
        "/status" => Asked::Status,
        "/metrics" => Asked::Metrics,
        _ => return Asked::Wrong(404, "nothing is here: see /, /status and /metrics"),
    };
    if !["GET", "HEAD"].contains(&&*request.method) {
        return Asked::Wrong(405, "the console only shows: use GET or HEAD");
    }
    asked
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
    guarded(Answer::new(200, kind, text))
}

fn guarded(answer: Answer) -> Answer {
    answer
        .with("Cache-Control", "no-store")
        .with("X-Content-Type-Options", "nosniff")
        .with("Referrer-Policy", "no-referrer")
}

fn wrong(status: u16, why: &str) -> Answer {
    let answer = guarded(Answer::line(status, why));
    if status == 405 { answer.with("Allow", "GET, HEAD") } else { answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str) -> Head {
        Head::parse(format!("{method} {target} HTTP/1.1\r\n\r\n").as_bytes()).unwrap().unwrap().1
    }

    #[test]
    fn three_paths_are_there_and_only_to_be_read() {
        let asked = |method, target| super::asked(&request(method, target));
        assert_eq!(asked("GET", "/"), Asked::Page);
        assert_eq!(asked("HEAD", "/"), Asked::Page);
        assert_eq!(asked("GET", "/status?pretty"), Asked::Status);
        assert_eq!(asked("GET", "/metrics"), Asked::Metrics);
        let status = |method, target| match asked(method, target) {
            Asked::Wrong(status, _) => status,
            found => panic!("{found:?}"),
        };
        assert_eq!(status("GET", "/favicon.ico"), 404);
        assert_eq!(status("GET", "/status/"), 404);
        assert_eq!(status("POST", "/nowhere"), 404);
        assert_eq!(status("POST", "/status"), 405);
        assert_eq!(status("DELETE", "/"), 405);
    }

    #[test]
    fn no_two_pages_have_the_same_nonce() {
        let (one, other) = (nonce(), nonce());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}

//! The connection to a main server that is a fau3 node: dialled again and
//! again while it is wanted, ended when it is not.
//!
//! It is no matter of the book of addresses: only one router of a segment
//! dials it, at one place that the configuration names, and by one transport,
//! since something between may let through that one only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::api::{Down, Refusal, Transport};
use super::dial::{LATELY, PATIENCE, PATIENCE_LATELY};
use super::doors::{HANDSHAKE_MAX, PATIENCE_FACTOR};
use super::handshake::{self, Established, Failure};
use super::hub::{Hub, Met};
use super::pipe::Pipe;
use super::websocket;

/// One that was there lately is dialled again after this long.
pub const AGAIN_LATELY: Duration = Duration::from_millis(250);
/// Any other.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Where a name leads is looked up again when dialling fails, this often.
const LOOK_UP_EVERY: Duration = Duration::from_secs(30);
/// A name server that says nothing for so long will not.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(5);
/// What people are told of one that says nothing.
const SILENT: &str = "it does not answer";
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Where a main server is, and how it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// A host's name or IP address, IPv6 without brackets.
    pub host: String,
    /// Its port for routers.
    pub port: u16,
    /// What gets through to it.
    pub transport: Transport,
    /// What a WebSocket asks for, beginning with `/`.
    pub path: String,
    /// Asked this often whether it is there, while nothing comes from it.
    pub check: Duration,
}

impl Uplink {
    fn url(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        // A zone has no place in a Host field (RFC 6874, section 4).
        let host = self.host.split('%').next().unwrap_or_default();
        format!("ws://{open}{host}{close}:{}{}", self.port, self.path)
    }
}

/// What is remembered between dials.
#[derive(Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    looked_up: Option<Instant>,
    seen: Option<Time>,
    /// People know that its name leads nowhere.
    told: bool,
}

/// Keeps the connection while one is wanted, until the mesh ends.
pub(super) async fn keep(hub: Arc<Hub>) {
    let mut wanted = hub.uplink();
    let mut known = Known::default();
    let mut last = None;
    loop {
        let Some(uplink) = wanted.borrow_and_update().clone() else {
            hub.set_uplink_trouble(None);
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = hub.closing() => return,
            }
            continue;
        };
        if last.replace(uplink.clone()).is_some_and(|last| last.host != uplink.host) {
            known = Known::default();
            hub.set_uplink_trouble(None);
        }
        let dialling = dial(&hub, &uplink, &mut known);
        let made = tokio::select! {
            made = Box::pin(dialling) => made,
            _ = wanted.changed() => continue,
            () = hub.closing() => return,
        };
        let trouble = match made {
            Ok((made, deadline)) => {
                // It ends by itself when it is not wanted any more.
                let met = Box::pin(hub.meet(made, deadline, None)).await;
                known.seen = Some(hub.now());
                over(met)
            }
            Err(trouble) => Some(trouble),
        };
        if let Some(trouble) = trouble {
            debug!("main server: {trouble}");
            hub.set_uplink_trouble(Some(trouble));
        }
        let lately = known.seen.is_some_and(|seen| hub.now().since(seen) < LATELY);
        tokio::select! {
            () = tokio::time::sleep(if lately { AGAIN_LATELY } else { AGAIN }) => {}
            _ = wanted.changed() => {}
            () = hub.closing() => return,
        }
    }
}

/// Why a connection that was made is one no more, for people; `None`: it is none of theirs.
fn over(met: Result<Met, Failure>) -> Option<String> {
    match met {
        Ok(Met::Over(Down::ClosedByPeer)) => Some("it closed the connection".into()),
        Ok(Met::Over(Down::TimedOut)) => Some(SILENT.into()),
        // The other connection of the two is it.
        Ok(Met::Over(Down::Ours) | Met::Duplicate) => None,
        Err(failure) => Some(reason(failure)),
    }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Refused(why) => why.to_string(),
        Failure::Clone => {
            "it has this router's identity key: delete the file node.identity on one of the two".into()
        }
        Failure::Oneself => "it is this router itself: correct default_server.url".into(),
        Failure::Unmet(why) => why.to_string(),
        Failure::Broken => "the connection broke in the handshake".into(),
    }
}

/// Tries each of its addresses with each key.
///
/// # Errors
/// What has kept the last one from being it, for people.
async fn dial(
    hub: &Arc<Hub>,
    uplink: &Arc<Uplink>,
    known: &mut Known,
) -> Result<(Established, Instant), String> {
    look_up(uplink, known).await?;
    let mut trouble = SILENT.to_owned();
    let lately = known.seen.is_some_and(|seen| hub.now().since(seen) < LATELY);
    let patience = if lately { PATIENCE_LATELY } else { PATIENCE };
    for address in &known.addresses {
        if !hub.may_talk_to(address.ip()) {
            hub.refuse(*address, Refusal::NotLan);
            trouble = Refusal::NotLan.to_string();
            continue;
        }
        let deadline = Instant::now() + HANDSHAKE_MAX.min(patience * PATIENCE_FACTOR);
        for key in 0..hub.terms.keys.len() {
            let connecting = timeout(patience, TcpStream::connect(address)).await;
            let socket = match connecting.map_err(|_| SILENT.into()).and_then(|tried| tried.map_err(text)) {
                Ok(socket) => socket,
                Err(why) => {
                    trouble = why;
                    break;
                }
            };
            let _ = socket.set_nodelay(true);
            let Ok(shaken) = timeout_at(deadline, shake(hub, uplink, *address, socket, key)).await else {
                trouble = SILENT.into();
                break;
            };
            match shaken {
                Ok(made) => return Ok((Established { uplink: Some(uplink.clone()), ..made }, deadline)),
                Err(failure) => {
                    if let Failure::Refused(why) = failure {
                        hub.refuse(*address, why);
                    }
                    trouble = reason(failure);
                }
            }
        }
    }
    Err(trouble)
}

fn text(error: io::Error) -> String {
    error.to_string()
}

async fn shake(
    hub: &Hub,
    uplink: &Uplink,
    address: SocketAddr,
    socket: TcpStream,
    key: usize,
) -> Result<Established, Failure> {
    let pipe = match uplink.transport {
        Transport::Tcp => Pipe::tcp(socket),
        Transport::WebSocket => Pipe::web_socket(websocket::dial(socket, &uplink.url()).await?),
    };
    handshake::dial(&hub.terms, hub.hello(), pipe, address, key).await
}

/// Where the name leads. What was once found stays known while a look up
/// fails: the name server may be behind the uplink that is gone.
///
/// # Errors
/// Why nothing is known, for people.
async fn look_up(uplink: &Uplink, known: &mut Known) -> Result<(), String> {
    let is_fresh = known.looked_up.is_some_and(|at| at.elapsed() < LOOK_UP_EVERY);
    if is_fresh && !known.addresses.is_empty() {
        return Ok(());
    }
    known.looked_up = Some(Instant::now());
    let looking = lookup_host((uplink.host.as_str(), uplink.port));
    let found = timeout(LOOK_UP_TIME_MAX, looking).await;
    let found = found.map_err(|_| "no answer".to_owned()).and_then(|found| found.map_err(|e| e.to_string()));
    match found {
        Ok(addresses) => {
            known.addresses = addresses.take(ADDRESSES_MAX).collect();
            known.told = false;
            info!("main server: {} is at {:?}", uplink.host, known.addresses);
            Ok(())
        }
        Err(error) => {
            let trouble = format!("cannot look up {}: {error}", uplink.host);
            if !std::mem::replace(&mut known.told, true) {
                warn!("main server: {trouble}; trying again");
            }
            if known.addresses.is_empty() { Err(trouble) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_asks_for_the_name_without_a_zone() {
        let url = |host: &str| {
            let (host, path) = (host.to_owned(), "/mesh".to_owned());
            Uplink { host, port: 8902, transport: Transport::WebSocket, path, check: AGAIN }.url()
        };
        assert_eq!(url("main.example.org"), "ws://main.example.org:8902/mesh");
        assert_eq!(url("fe80::1%br-lan"), "ws://[fe80::1]:8902/mesh");
    }
}

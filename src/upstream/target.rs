//! Where the main server is: its URL, and the addresses that its name has.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::config::ServerUrl;
use crate::dial::{Caller, ReadBuffer, Socket, connect_any, upgrade};
use crate::wire::ClientId;

/// A name is not looked up again before, as long as its address answers nothing.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A server to be dialled. Its name is looked up when there is need to, not
/// for each connection: while the server is there, its address is the one that
/// has answered.
#[derive(Debug)]
pub(super) struct Target {
    url: ServerUrl,
    known: Mutex<Known>,
    /// One question to the name server at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    asked_at: Option<Instant>,
    /// Which one has answered last.
    good: Option<SocketAddr>,
}

impl Target {
    pub(super) fn new(url: ServerUrl) -> Self {
        let known = Known {
            addresses: url.host.parse().map(|ip: IpAddr| SocketAddr::new(ip, url.port)).into_iter().collect(),
            ..Known::default()
        };
        Self { url, known: Mutex::new(known), asking: tokio::sync::Mutex::default() }
    }

    pub(super) fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// The field `Host` of a request: a zone has no place in it (RFC 6874,
    /// section 4).
    pub(super) fn authority(&self) -> String {
        let host = self.url.host.split('%').next().unwrap_or_default();
        if host.contains(':') {
            format!("[{host}]:{}", self.url.port)
        } else {
            format!("{host}:{}", self.url.port)
        }
    }

    /// A connection, without any bound in time.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let addresses = self.addresses().await?;
        let stream = connect_any(&addresses).await;
        // A bad one is looked up anew.
        self.known().good = stream.as_ref().ok().and_then(|stream| stream.peer_addr().ok());
        stream
    }

    /// Whether its machine answers, be it that nobody listens there; without any bound in time.
    pub(super) async fn knock(&self) -> bool {
        let answer = self.connect().await;
        answer.map_or_else(|error| error.kind() == io::ErrorKind::ConnectionRefused, |_| true)
    }

    /// A WebSocket in a client's name, without any bound in time.
    ///
    /// # Errors
    /// As [`upgrade`].
    pub(super) async fn dial(&self, client_id: &ClientId, buffer: ReadBuffer) -> Result<Socket, Error> {
        let stream = self.connect().await?;
        let uri = format!("ws://{}{}", self.authority(), self.url.path);
        upgrade(stream, &uri, client_id, buffer, Caller::Relay).await
    }

    /// The server does not answer: its name may lead elsewhere by now.
    pub(super) fn doubt(&self) {
        self.known().good = None;
    }

    /// Those to be tried, side by side.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.known().to_try() {
            return Ok(addresses);
        }
        let _one = self.asking.lock().await;
        if let Some(addresses) = self.known().to_try() {
            return Ok(addresses);
        }
        let found = tokio::net::lookup_host((&*self.url.host, self.url.port)).await;
        let mut known = self.known();
        known.asked_at = Some(Instant::now());
        match found {
            Ok(found) => known.addresses = found.take(ADDRESSES_MAX).collect(),
            // A name server that is out of reach with the server: what it said before may do.
            Err(error) if known.addresses.is_empty() => {
                known.asked_at = None;
                let text = format!("{}: {error}", self.url.host);
                return Err(io::Error::new(error.kind(), text));
            }
            Err(_) => {}
        }
        Ok(known.addresses.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The addresses to try; `None`: to be looked up first.
    fn to_try(&self) -> Option<Vec<SocketAddr>> {
        if let Some(good) = self.good {
            return Some(vec![good]);
        }
        let is_literal = self.asked_at.is_none() && !self.addresses.is_empty();
        let is_fresh = self.asked_at.is_some_and(|at| at.elapsed() < LOOK_UP_EVERY);
        (is_literal || is_fresh).then(|| self.addresses.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(url.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_needs_no_name_server_and_a_zone_stays_out_of_the_request() {
        for (url, address, authority) in [
            ("ws://127.0.0.1:8901", "127.0.0.1:8901", "127.0.0.1:8901"),
            ("ws://[::1]:1/x", "[::1]:1", "[::1]:1"),
        ] {
            let target = target(url);
            assert_eq!(target.addresses().await.unwrap(), [address.parse().unwrap()]);
            assert_eq!(target.authority(), authority);
        }
        assert_eq!(target("ws://[fe80::1%br-lan]:8901").authority(), "[fe80::1]:8901");
        assert_eq!(target("ws://main.lan:8901").authority(), "main.lan:8901");
    }

    #[tokio::test]
    async fn of_several_addresses_the_one_that_answers_is_kept_until_it_is_doubted() {
        // Given a name with two addresses, of which only the second one answers,
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (good, bad) = (listener.local_addr().unwrap(), "127.0.0.1:1".parse().unwrap());
        let target = target("ws://main.lan:8901");
        *target.known() =
            Known { addresses: vec![bad, good], asked_at: Some(Instant::now()), ..Known::default() };
        for _ in 0..2 {
            assert_eq!(target.connect().await.unwrap().peer_addr().unwrap(), good);
            assert_eq!(target.addresses().await.unwrap(), [good]);
        }
        target.doubt();
        assert_eq!(target.addresses().await.unwrap(), [bad, good], "both again");
    }

    #[tokio::test]
    async fn a_machine_that_refuses_a_connection_has_answered_and_a_name_that_nobody_knows_has_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = target(&format!("ws://{}/", listener.local_addr().unwrap()));
        assert!(server.knock().await, "it listens");
        drop(listener);
        assert!(server.knock().await, "it does not, and says so");
        assert!(!target("ws://nobody.invalid:8901/").knock().await);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_named_in_the_error() {
        let error = target("ws://no-such-host.invalid:8901").connect().await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
    }
}

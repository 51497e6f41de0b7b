//! Connections that come in and connections that go out, up to where the pair
//! agrees on one. Bounds what has not proved itself yet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::address::canonical;
use super::api::{Refusal, Transport};
use super::dial::Dial;
use super::handshake::{self, Established, Failure};
use super::hub::Hub;
use super::pipe::Pipe;
use super::websocket;
use crate::lobby::{Lobby, Place};
use crate::net::Listener;

/// Most connections that have not finished their handshake.
pub const PENDING_MAX: usize = 64;
/// Most of them from one address, or network of IPv6.
pub const PENDING_MAX_EACH: usize = 8;
/// How long a handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How much longer than the first answer a dial's whole handshake may take: it
/// is seven round trips.
pub(super) const PATIENCE_FACTOR: u32 = 3;
/// After an error of `accept` that may last (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the mesh ends.
pub(super) async fn listen(hub: Arc<Hub>, mut listener: Listener, lobby: Arc<Lobby>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hub.closing() => return,
        };
        let Ok((socket, address)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let address = canonical(address);
        let here = socket.local_addr().map_or(address, canonical);
        if !hub.may_talk_to(address.ip()) || !hub.may_talk_to(here.ip()) {
            hub.refuse(address, Refusal::NotLan);
            continue;
        }
        let Some(place) = lobby.enter(address.ip()) else {
            hub.refuse(address, Refusal::TooMany);
            continue;
        };
        tokio::spawn(take_in(hub.clone(), socket, address, place));
    }
}

async fn take_in(hub: Arc<Hub>, socket: TcpStream, address: SocketAddr, place: Place) {
    let deadline = Instant::now() + HANDSHAKE_MAX;
    let _ = socket.set_nodelay(true);
    let shaking = async {
        let pipe = Pipe::accept(socket).await?;
        handshake::accept(&hub.terms, hub.hello(), pipe, address).await
    };
    let made = tokio::select! {
        made = timeout_at(deadline, Box::pin(shaking)) => made.unwrap_or(Err(Failure::Broken)),
        () = hub.closing() => return,
    };
    let met = match made {
        Ok(made) => Box::pin(hub.meet(made, deadline, Some(place))).await.map(|_| ()),
        Err(failure) => Err(failure),
    };
    match met {
        Ok(()) | Err(Failure::Oneself) => {}
        Err(Failure::Clone) => hub.cloned().await,
        Err(Failure::Refused(why)) => hub.refuse(address, why),
        Err(Failure::Broken) => debug!("mesh: {address}: the handshake broke off"),
    }
}

/// Dials whom the book says, until the mesh ends.
pub(super) async fn dial(hub: Arc<Hub>) {
    loop {
        let (next, due) = {
            let (mut state, now) = (hub.state(), hub.now());
            (state.book.next_dial(now), state.book.timeout())
        };
        if let Some(next) = next {
            tokio::spawn(go_out(hub.clone(), next));
            continue;
        }
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(hub.instant(due)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = hub.book_changed() => {}
            () = hub.closing() => return,
        }
    }
}

async fn go_out(hub: Arc<Hub>, dial: Dial) {
    let address = dial.address;
    // A router that takes connections and then stands still does not keep its
    // other addresses from being tried.
    let deadline = Instant::now() + HANDSHAKE_MAX.min(dial.patience * PATIENCE_FACTOR);
    let made = tokio::select! {
        made = Box::pin(reach(&hub, dial, deadline)) => made,
        () = hub.closing() => return,
    };
    let met = match made {
        Ok(made) => Box::pin(hub.meet(made, deadline, None)).await.map(|_| ()),
        Err(failure) => Err(failure),
    };
    match met {
        Ok(()) => {}
        Err(Failure::Oneself) => hub.with_book(|book, _| book.oneself(address)),
        Err(Failure::Clone) => {
            hub.cloned().await;
            hub.with_book(|book, now| book.failed(now, address));
        }
        Err(failure) => {
            if let Failure::Refused(why) = failure {
                hub.refuse(address, why);
            }
            hub.with_book(|book, now| book.failed(now, address));
        }
    }
}

/// Tries what may work at one address: each transport with each key.
async fn reach(hub: &Hub, dial: Dial, deadline: Instant) -> Result<Established, Failure> {
    let keys = 0..hub.terms.keys.len();
    let ways = hub.transports.iter().flat_map(|transport| keys.clone().map(move |key| (*transport, key)));
    let mut failure = Failure::Broken;
    for (transport, key) in ways {
        // Where nobody answers, no other way is any better.
        let connecting = timeout(dial.patience, TcpStream::connect(dial.address)).await;
        let socket = connecting.map_err(|_| Failure::Broken)??;
        // Connecting to a free port of this machine may meet itself (TCP's
        // simultaneous open).
        if socket.local_addr().is_ok_and(|own| own == dial.address) {
            return Err(Failure::Broken);
        }
        let _ = socket.set_nodelay(true);
        let attempt = Box::pin(shake(hub, dial.address, socket, transport, key));
        failure = match timeout_at(deadline, attempt).await {
            Err(_) => return Err(Failure::Broken),
            Ok(Ok(made)) => return Ok(made),
            // Something between may let through the other transport only.
            Ok(Err(next @ (Failure::Broken | Failure::Refused(Refusal::OtherKey)))) => next,
            Ok(Err(certain)) => return Err(certain),
        };
    }
    Err(failure)
}

async fn shake(
    hub: &Hub,
    address: SocketAddr,
    socket: TcpStream,
    transport: Transport,
    key: usize,
) -> Result<Established, Failure> {
    let pipe = match transport {
        Transport::Tcp => Pipe::tcp(socket),
        Transport::WebSocket => Pipe::web_socket(websocket::dial(socket, &websocket::url(address)).await?),
    };
    handshake::dial(&hub.terms, hub.hello(), pipe, address, key).await
}

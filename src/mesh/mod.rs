//! The router's door to other routers: who is connected, and bytes to and
//! from them. It does not know what the bytes mean.
//!
//! A connection is libp2p's: TCP or WebSocket on one port, pre-shared key,
//! noise, yamux, one long-lived stream for frames. libp2p's swarm stays out:
//! with one stream a pair there is nothing for it to manage, its addresses
//! carry no zones, and a pair may have only one connection, for a reason that
//! both ends agree on. Beacons are datagrams of their own on the same port.
//!
//! | file | holds |
//! |---|---|
//! | `api` | what the node says and hears |
//! | `uplink` | the one connection to a main server that is a fau3 node |
//! | `dial`, `paths`, `warm`, `replay`, `beacon`, `frame`, `queue`, `crate::notices`, `crate::pulse` | the rules, pure |
//! | `pipe`, `websocket`, `psk`, `handshake`, `link` | a connection, from the socket up |
//! | `doors`, `datagrams`, `asked`, `sockets`, `hub`, `events` | what ties them together |
//!
//! May use libp2p, tokio and the election's types. May not know messages, the
//! router core, or files.

mod address;
mod api;
mod asked;
mod beacon;
mod datagrams;
mod dial;
mod doors;
mod events;
mod frame;
mod handshake;
mod hub;
mod link;
mod paths;
mod pipe;
mod psk;
mod queue;
mod replay;
mod sockets;
mod uplink;
mod warm;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use fau3_election::{Incarnation, RouterId};
use libp2p_identity::{Keypair, PeerId};

pub use crate::notices::{NOTICE_EVERY, NOTICES_MAX};
pub use crate::pulse::STALL;
pub use api::{
    BeaconTarget, Counts, Down, Frame, FrameKind, MeshEvent, MeshSettings, Protocol, Refusal, SendOutcome,
    Transport,
};
pub use beacon::BEACON_MAX_BYTES;
pub use datagrams::SUSPECTS_MAX;
pub use dial::{
    ADDRESSES_MAX, BACK_OFF_MAX, BACK_OFF_MIN, BOOK_MAX, DIALS_MAX, LATELY, LATELY_EVERY, PATIENCE,
    PATIENCE_LATELY,
};
pub use doors::{HANDSHAKE_MAX, PENDING_MAX, PENDING_MAX_EACH};
pub use events::{BEACONS_MAX, EVENTS_MAX, FRAMES_MAX_BYTES, MeshEvents};
pub use frame::FRAME_MAX_BYTES;
pub use hub::GOODBYE_MAX;
pub use paths::{Blocked, SEGMENT_KEPT, SEGMENTS, TROUBLE_AFTER, Trouble, UNHEARD_AFTER, Unmet};
pub use psk::Key;
pub use queue::{QUEUE_MAX_BYTES, QUEUE_MAX_FRAMES, STREAMS_MAX};
pub use replay::SENDERS_MAX;
pub use uplink::{AGAIN, AGAIN_LATELY, Uplink};
pub use warm::{HEARD_LATELY, PATH_SILENT, TRY_EVERY, WARM_MAX};

use crate::lobby::Lobby;
use address::{canonical, is_dialable};
use beacon::BeaconKey;
use datagrams::Datagrams;
use handshake::Terms;
use hub::Hub;

/// The versions that this router speaks, newest first: the current one, and
/// the one before it once there is one.
pub const PROTOCOLS: &[Protocol] = &[Protocol { id: "/fau3/e/1", version: 1 }];

/// The mesh, as the node holds it. Dropped, it says goodbye in the background.
pub struct Mesh {
    hub: Arc<Hub>,
    datagrams: Arc<Datagrams>,
    addresses: Vec<SocketAddr>,
}

impl Mesh {
    /// Opens the sockets and begins to listen, to dial, and to receive beacons.
    ///
    /// # Errors
    /// What is wrong with the settings, the identity or an address, and what to
    /// do about it.
    pub async fn start(settings: MeshSettings, identity: &Keypair) -> Result<(Self, MeshEvents), String> {
        if !(1..=2).contains(&settings.keys.len()) {
            return Err("the mesh takes one key, or two while it is being changed".into());
        }
        if settings.listen.is_empty() || settings.transports.is_empty() || settings.protocols.is_empty() {
            return Err("the mesh needs an address, a transport and a version".into());
        }
        let keys: Option<Vec<_>> = settings.keys.iter().map(BeaconKey::new).collect();
        let keys = keys.ok_or("the mesh key cannot be used")?;
        let terms = Terms::new(identity, settings.keys, settings.protocols)?;
        let opened: Vec<_> = settings.listen.into_iter().map(sockets::open).collect::<Result<_, _>>()?;
        let addresses: Vec<_> = opened.iter().map(|sockets| sockets.address).collect();
        let port = addresses.first().map_or(0, SocketAddr::port);
        let (sender, events) = events::event_channel();
        let hub = Arc::new(Hub::new(
            terms,
            settings.transports,
            (settings.lan_only, settings.leaf),
            port,
            settings.incarnation,
            settings.seed,
            sender,
        ));
        let lobby = Lobby::new(doors::PENDING_MAX, doors::PENDING_MAX_EACH);
        let mut datagrams = Vec::new();
        for sockets in opened {
            tokio::spawn(doors::listen(hub.clone(), sockets.tcp, lobby.clone()));
            datagrams.push(sockets.udp);
        }
        let datagrams = Arc::new(Datagrams::new(datagrams, keys));
        for number in 0..addresses.len() {
            tokio::spawn(datagrams.clone().receive(hub.clone(), number));
        }
        if !settings.leaf {
            tokio::spawn(doors::dial(hub.clone()));
            tokio::spawn(datagrams::tell_the_unheard(hub.clone()));
            tokio::spawn(uplink::keep(hub.clone()));
            tokio::spawn(datagrams.clone().ask_uplink(hub.clone()));
        }
        Ok((Self { hub, datagrams, addresses }, events))
    }

    /// Sends a frame to a connected router, behind those that wait.
    pub fn send(&self, router: RouterId, frame: Frame) -> SendOutcome {
        let mut state = self.hub.state();
        let Some(link) = state.links.get(&router) else { return SendOutcome::Gone };
        let (outcome, dropped) = link.send(frame);
        state.counts.streams_dropped = state.counts.streams_dropped.saturating_add(dropped);
        outcome
    }

    /// Sends a beacon of at most [`BEACON_MAX_BYTES`]; what the system does not
    /// take at once is counted and lost, as datagrams are.
    pub fn beacon(&self, to: BeaconTarget, payload: &[u8]) {
        self.datagrams.send(&self.hub, to, payload);
    }

    /// Discovery says that a router listens there, possibly which. Believed
    /// only once a handshake proves it.
    pub fn hint(&self, address: SocketAddr, peer_id: Option<PeerId>) {
        let address = canonical(address);
        if !is_dialable(address) || self.addresses.contains(&address) {
            return;
        }
        if !self.hub.may_talk_to(address.ip()) {
            self.hub.unmet(address, Unmet::Refused(Refusal::NotLan));
            return self.hub.refuse(address, Refusal::NotLan);
        }
        if peer_id.is_some_and(|peer| peer != self.hub.terms.peer_id) {
            self.hub.claim(address);
        }
        self.hub.with_book(|book, now| book.hint(now, address, peer_id));
    }

    /// What does not work between this router and others, now.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.hub.state().paths.troubles(self.hub.now())
    }

    /// Keeps a connection to this main server from now on, instead of any
    /// other; `None`: to none.
    pub fn keep_uplink(&self, uplink: Option<Uplink>) {
        self.hub.set_uplink(uplink);
    }

    /// Who was found where the main server is, while it is connected.
    #[must_use]
    pub fn uplink(&self) -> Option<RouterId> {
        self.hub.state().links.values().find(|link| link.uplink.is_some()).map(|link| link.router)
    }

    /// Why there was no connection to it last, since one is wanted.
    #[must_use]
    pub fn uplink_trouble(&self) -> Option<String> {
        self.hub.uplink_trouble()
    }

    /// The node goes on in this life: [`fau3_election::Election::incarnation`] changed.
    pub fn set_incarnation(&self, incarnation: Incarnation) {
        self.hub.state().incarnation = incarnation;
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was dropped since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.hub.state().counts
    }

    /// Sends what waits, says goodbye to all and closes; takes at most
    /// [`GOODBYE_MAX`] and a little. The events end after that.
    pub async fn goodbye(self) {
        self.hub.close();
        let began = tokio::time::Instant::now();
        while !self.hub.state().links.is_empty() && began.elapsed() < GOODBYE_MAX * 2 {
            tokio::time::sleep(GOODBYE_MAX / 50).await;
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.hub.close();
    }
}

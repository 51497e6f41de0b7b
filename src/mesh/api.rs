//! What the node says to the mesh and hears from it.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use fau3_election::{Incarnation, RouterId};
use libp2p_identity::PeerId;

use super::psk::Key;

/// The mesh's part of the configuration.
#[derive(Debug, Clone)]
pub struct MeshSettings {
    /// Where to listen: TCP (libp2p, WebSocket) and UDP (beacons) on the same
    /// port. Port 0 takes a free one, the same for both.
    pub listen: Vec<SocketAddr>,
    /// The mesh's key, and the other one while it is being changed: dialled
    /// with and sent with the first, both accepted. One or two.
    pub keys: Vec<Key>,
    /// Only talk to private, link-local and unique local addresses: with the
    /// well-known key.
    pub lan_only: bool,
    /// This router is a main server: others call it, it calls nobody.
    pub leaf: bool,
    /// This life of this router, as the others shall know it.
    pub incarnation: Incarnation,
    /// What dialling uses, in this order. Listening takes both.
    pub transports: Vec<Transport>,
    /// The versions spoken, newest first: [`PROTOCOLS`](super::PROTOCOLS).
    pub protocols: &'static [Protocol],
    /// Where chance comes from.
    pub seed: u64,
}

/// One major version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Its id in libp2p.
    pub id: &'static str,
    /// Its number.
    pub version: u16,
}

/// What carries a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// libp2p over TCP.
    Tcp,
    /// libp2p over WebSocket, where only that gets through.
    WebSocket,
}

/// What is sent to a router: opaque bytes, at most
/// [`FRAME_MAX_BYTES`](super::FRAME_MAX_BYTES) of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The frame. Cloning shares it.
    pub bytes: Bytes,
    /// What happens to it when the queue is long.
    pub kind: FrameKind,
}

impl Frame {
    /// A frame that arrives as long as the connection stands.
    #[must_use]
    pub fn reliable(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), kind: FrameKind::Reliable }
    }

    /// A frame that is worth nothing when it is late.
    #[must_use]
    pub fn stream(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), kind: FrameKind::Stream }
    }
}

/// What happens to a frame when the queue is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Refused at the queue's bound; never dropped behind it.
    Reliable,
    /// Goes before the reliable ones; the oldest of them are dropped first.
    Stream,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// It goes out in its turn.
    Queued,
    /// The queue is full: not taken. [`MeshEvent::Drained`] follows.
    Full,
    /// There is no connection to this router.
    Gone,
    /// Longer than [`FRAME_MAX_BYTES`](super::FRAME_MAX_BYTES): never taken.
    TooLong,
}

/// Where a beacon goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeaconTarget {
    /// To every address at which a router is known or suspected.
    Everywhere,
    /// To where this router's own beacons come from, else to where it is
    /// connected.
    Router(RouterId),
    /// To one address.
    Address(SocketAddr),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeshEvent {
    /// A router is connected: the only connection of the pair.
    Up {
        /// Who.
        router: RouterId,
        /// libp2p's name for it.
        peer_id: PeerId,
        /// The other end, with its zone where it has one.
        address: SocketAddr,
        /// The major version that both speak.
        version: u16,
        /// Its life, proved by the handshake.
        incarnation: Incarnation,
    },
    /// A connection stood whose other end has this router's own identity key, and is
    /// another router.
    Clone,
    /// The pair's connection is gone.
    Down {
        /// Who.
        router: RouterId,
        /// Why.
        why: Down,
    },
    /// A frame came.
    Frame {
        /// From whom.
        router: RouterId,
        /// The frame.
        bytes: Bytes,
    },
    /// A beacon came, with the mesh's key and not for the second time.
    Beacon {
        /// From whom.
        router: RouterId,
        /// From where.
        from: SocketAddr,
        /// What it carries.
        bytes: Bytes,
    },
    /// A queue that was full has room again.
    Drained {
        /// Whose.
        router: RouterId,
    },
    /// Someone was turned away, here or there. Said once a minute for each
    /// stranger at most, whichever of its addresses it uses.
    Refused {
        /// Who.
        address: SocketAddr,
        /// Why.
        why: Refusal,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// The other side closed it: FIN, RST, or a goodbye.
    ClosedByPeer,
    /// Nothing moved for too long, or the network says that it is out of reach.
    TimedOut,
    /// This side closed it: a violation, or its own goodbye.
    Ours,
}

/// Why someone was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It has another mesh key, or is no router at all.
    OtherKey,
    /// It has the key, but does not prove an identity.
    NotARouter,
    /// It speaks no version of the protocol that this router speaks.
    OtherVersion,
    /// The well-known key is for the LAN only.
    NotLan,
    /// Too many at a time do not finish their handshake.
    TooMany,
    /// As many routers are connected as may be.
    Full,
    /// It sent what is no frame, or one over the limit.
    Violation,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherKey => {
                "another mesh key, or no router; compare the fingerprints that `fau3 keys` shows"
            }
            Self::NotARouter => "the handshake failed behind the mesh key; is that a router?",
            Self::OtherVersion => "no common version of the mesh protocol; bring both routers up to date",
            Self::NotLan => {
                "not a LAN address, and the mesh key is the well-known one; make a key of your \
                             own with: fau3 keys --new-mesh-key"
            }
            Self::TooMany => "too many connections at a time that do not finish their handshake",
            Self::Full => "as many routers are connected as a mesh may have; give meshes keys of their own",
            Self::Violation => {
                "it sends what is no frame, or one over the limit; bring both routers up to date"
            }
        })
    }
}

/// What was dropped since the start, for `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Datagrams without the mesh's tag.
    pub beacons_strange: u32,
    /// Datagrams seen before, or of an earlier life.
    pub beacons_replayed: u32,
    /// Beacons that the node was too slow to take.
    pub beacons_late: u32,
    /// Beacons that the system did not take.
    pub beacons_unsent: u32,
    /// Stream frames dropped for newer ones.
    pub streams_dropped: u32,
    /// Connections turned away.
    pub refused: u32,
}

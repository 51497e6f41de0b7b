//! From a bare connection to a pair's stream, as libp2p does it: pre-shared
//! key, noise, yamux, one stream; each agreed on by multistream-select. Then
//! both sides say who is living there.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fau3_election::{Incarnation, RouterId};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p_core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p_identity::{Keypair, PeerId};
use multistream_select::{Negotiated, NegotiationError, Version, dialer_select_proto, listener_select_proto};
use tokio::task::JoinHandle;

use super::api::{Protocol, Refusal};
use super::frame::{Decoder, Kind, header};
use super::paths::Unmet;
use super::pipe::{Fate, Pipe};
use super::psk::{self, Key, Psk};
use super::uplink::Uplink;
use crate::identity::router_of;

const NOISE: &str = "/noise";
const YAMUX: &str = "/yamux/1.0.0";

/// A peer may open no more streams than this, of which one is used.
const STREAMS_OPEN_MAX: usize = 4;
/// What yamux may hold for one peer, in bytes: 256 KiB for each stream.
const WINDOW_MAX_BYTES: usize = STREAMS_OPEN_MAX * 256 * 1_024;
/// Greetings are read in pieces of this many bytes.
const GREETING_CHUNK_BYTES: usize = 512;

type Secured = Negotiated<libp2p_noise::Output<Negotiated<Psk<Pipe>>>>;
type Substream = Negotiated<yamux::Stream>;

/// What this side brings to every handshake.
pub(super) struct Terms {
    pub(super) peer_id: PeerId,
    pub(super) router: RouterId,
    pub(super) keys: Vec<Key>,
    pub(super) protocols: &'static [Protocol],
    noise: libp2p_noise::Config,
}

/// A connection whose other end has proved who it is.
pub(super) struct Established {
    pub(super) peer_id: PeerId,
    pub(super) router: RouterId,
    pub(super) version: u16,
    /// Which of the keys it has.
    pub(super) key: usize,
    pub(super) hello: Hello,
    /// The other end.
    pub(super) address: SocketAddr,
    /// Who opened it.
    pub(super) dialled: bool,
    /// It was dialled as this main server.
    pub(super) uplink: Option<Arc<Uplink>>,
    pub(super) stream: Stream,
    pub(super) fate: Fate,
}

/// Why a handshake failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The other side is no router of this mesh.
    Refused(Refusal),
    /// It is this router itself.
    Oneself,
    /// It has this router's identity, and is another one.
    Clone,
    /// Nobody was reached, or no router.
    Unmet(Unmet),
    /// The connection broke.
    Broken,
}

impl Failure {
    /// Why there is no connection, for people.
    pub(super) const fn why(&self) -> Unmet {
        match self {
            Self::Refused(why) => Unmet::Refused(*why),
            Self::Unmet(why) => *why,
            Self::Oneself => Unmet::Oneself,
            Self::Clone | Self::Broken => Unmet::BrokeOff,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Terms {
    pub(super) fn new(
        identity: &Keypair,
        keys: Vec<Key>,
        protocols: &'static [Protocol],
    ) -> Result<Self, String> {
        let noise = libp2p_noise::Config::new(identity)
            .map_err(|error| format!("the identity cannot be used for the mesh: {error}"))?;
        let peer_id = identity.public().to_peer_id();
        let router = router_of(&peer_id).ok_or("the mesh needs an Ed25519 identity")?;
        Ok(Self { peer_id, router, keys, protocols, noise })
    }

    fn protocol_ids(&self) -> impl Iterator<Item = &'static str> + Send + use<> {
        self.protocols.iter().map(|protocol| protocol.id)
    }

    fn version(&self, id: &str) -> u16 {
        self.protocols.iter().find(|protocol| protocol.id == id).map_or(0, |protocol| protocol.version)
    }

    /// Who this peer is as a router; an identity of another kind is none.
    fn identify(&self, peer_id: PeerId) -> Result<RouterId, Failure> {
        router_of(&peer_id).ok_or(Failure::Refused(Refusal::NotARouter))
    }
}

/// Shakes hands on a connection that this side opened, with one of its keys.
pub(super) async fn dial(
    terms: &Terms,
    hello: Hello,
    pipe: Pipe,
    address: SocketAddr,
    key: usize,
) -> Result<Established, Failure> {
    let fate = pipe.fate();
    let used = terms.keys.get(key).ok_or(Failure::Broken)?;
    let psk = psk::dial(pipe, used).await?;
    // From here on only who has the key can say anything.
    let other_key = |_| Failure::Refused(Refusal::OtherKey);
    let (_, io) = dialer_select_proto(psk, [NOISE], Version::V1).await.map_err(other_key)?;
    let io = io.complete().await.map_err(other_key)?;
    let shaken = terms.noise.clone().upgrade_outbound(io, NOISE).await;
    let (peer_id, io) = shaken.map_err(|error| not_a_router(&error))?;
    let router = terms.identify(peer_id)?;
    let (_, io) = dialer_select_proto(io, [YAMUX], Version::V1).await.map_err(negotiation)?;
    let io = io.complete().await.map_err(negotiation)?;
    let mut yamux = yamux::Connection::new(io, yamux_config(), yamux::Mode::Client);
    let stream = poll_fn(|cx| yamux.poll_new_outbound(cx)).await.map_err(|_| Failure::Broken)?;
    let driver = Driver::spawn(yamux, None);
    let selected = dialer_select_proto(stream, terms.protocol_ids(), Version::V1).await;
    let (protocol, io) = selected.map_err(version)?;
    let io = io.complete().await.map_err(version)?;
    let mut stream = Stream::new(io, driver);
    let own = hello;
    let hello = stream.greet(own).await?;
    told_apart(router, terms, own, hello)?;
    let version = terms.version(protocol);
    Ok(Established {
        peer_id,
        router,
        version,
        key,
        hello,
        address,
        dialled: true,
        uplink: None,
        stream,
        fate,
    })
}

/// Shakes hands on a connection that the other side opened.
pub(super) async fn accept(
    terms: &Terms,
    hello: Hello,
    pipe: Pipe,
    address: SocketAddr,
) -> Result<Established, Failure> {
    let fate = pipe.fate();
    let Some((psk, key)) = psk::accept(pipe, &terms.keys).await? else {
        return Err(Failure::Refused(Refusal::OtherKey));
    };
    let (_, io) = listener_select_proto(psk, [NOISE]).await.map_err(negotiation)?;
    let io = io.complete().await.map_err(negotiation)?;
    let shaken = terms.noise.clone().upgrade_inbound(io, NOISE).await;
    let (peer_id, io) = shaken.map_err(|error| not_a_router(&error))?;
    let router = terms.identify(peer_id)?;
    let (_, io) = listener_select_proto(io, [YAMUX]).await.map_err(negotiation)?;
    let io = io.complete().await.map_err(negotiation)?;
    let yamux = yamux::Connection::new(io, yamux_config(), yamux::Mode::Server);
    let (sender, opened) = tokio::sync::oneshot::channel();
    let driver = Driver::spawn(yamux, Some(sender));
    let stream = opened.await.map_err(|_| Failure::Broken)?;
    let selected = listener_select_proto(stream, terms.protocol_ids()).await;
    let (protocol, io) = selected.map_err(version)?;
    let io = io.complete().await.map_err(version)?;
    let mut stream = Stream::new(io, driver);
    let own = hello;
    let hello = stream.greet(own).await?;
    told_apart(router, terms, own, hello)?;
    let version = terms.version(protocol);
    Ok(Established {
        peer_id,
        router,
        version,
        key,
        hello,
        address,
        dialled: false,
        uplink: None,
        stream,
        fate,
    })
}

/// What both have said of themselves tells this router from one with the same identity.
fn told_apart(router: RouterId, terms: &Terms, own: Hello, other: Hello) -> Result<(), Failure> {
    match router == terms.router {
        false => Ok(()),
        true if own.incarnation.random == other.incarnation.random => Err(Failure::Oneself),
        true => Err(Failure::Clone),
    }
}

fn negotiation(error: NegotiationError) -> Failure {
    match error {
        NegotiationError::Failed => Failure::Refused(Refusal::NotARouter),
        NegotiationError::ProtocolError(_) => Failure::Broken,
    }
}

fn version(error: NegotiationError) -> Failure {
    match error {
        NegotiationError::Failed => Failure::Refused(Refusal::OtherVersion),
        NegotiationError::ProtocolError(_) => Failure::Broken,
    }
}

fn not_a_router(error: &libp2p_noise::Error) -> Failure {
    match error {
        libp2p_noise::Error::Io(_) => Failure::Broken,
        _ => Failure::Refused(Refusal::NotARouter),
    }
}

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_OPEN_MAX);
    config.set_max_connection_receive_window(Some(WINDOW_MAX_BYTES));
    config
}

/// The task that moves a connection's bytes. It ends with its owner.
struct Driver(JoinHandle<()>);

impl Driver {
    /// `first` gets the first stream that the other side opens; what it opens
    /// beyond is reset.
    fn spawn(
        mut yamux: yamux::Connection<Secured>,
        mut first: Option<tokio::sync::oneshot::Sender<yamux::Stream>>,
    ) -> Self {
        Self(tokio::spawn(async move {
            while let Some(Ok(stream)) = poll_fn(|cx| yamux.poll_next_inbound(cx)).await {
                first.take().map(|first| first.send(stream));
            }
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A pair's stream, and what was read of it ahead.
pub(super) struct Stream {
    io: Substream,
    decoder: Decoder,
    driver: Driver,
}

impl Stream {
    fn new(io: Substream, driver: Driver) -> Self {
        Self { io, decoder: Decoder::default(), driver }
    }

    /// The halves, and what keeps them going as long as it is there.
    pub(super) fn split(self) -> (impl AsyncRead + Unpin, impl AsyncWrite + Unpin, Decoder, impl Drop) {
        let (reader, writer) = self.io.split();
        (reader, writer, self.decoder, self.driver)
    }

    async fn greet(&mut self, hello: Hello) -> Result<Hello, Failure> {
        self.write(Kind::Hello, &hello.to_bytes()).await?;
        let (kind, bytes) = self.read().await?;
        let hello = Hello::parse(&bytes).filter(|_| kind == Kind::Hello);
        hello.ok_or(Failure::Refused(Refusal::Violation))
    }

    /// Writes a frame of the mesh's own.
    pub(super) async fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Failure> {
        let frame = [&header(kind, bytes.len())[..], bytes].concat();
        self.io.write_all(&frame).await?;
        Ok(self.io.flush().await?)
    }

    /// Reads one frame.
    pub(super) async fn read(&mut self) -> Result<(Kind, Bytes), Failure> {
        let mut chunk = [0; GREETING_CHUNK_BYTES];
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Ok(frame),
                Err(_) => return Err(Failure::Refused(Refusal::Violation)),
                Ok(None) => {}
            }
            match self.io.read(&mut chunk).await? {
                0 => return Err(Failure::Broken),
                read => self.decoder.push(&chunk[..read]),
            }
        }
    }
}

/// What a side says of itself: its life, and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) incarnation: Incarnation,
    /// TCP and UDP.
    pub(super) port: u16,
    /// It takes beacons over the connection, too; earlier versions do not say so.
    pub(super) carries: bool,
}

impl Hello {
    /// What the first version says.
    const BYTES_MIN: usize = 14;

    fn to_bytes(self) -> [u8; Self::BYTES_MIN + 1] {
        let mut bytes = [0; Self::BYTES_MIN + 1];
        bytes[..4].copy_from_slice(&self.incarnation.counter.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.incarnation.random.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.port.to_be_bytes());
        bytes[14] = u8::from(self.carries);
        bytes
    }

    /// What later versions add behind is ignored.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (counter, rest) = bytes.split_first_chunk()?;
        let (random, rest) = rest.split_first_chunk()?;
        let (port, rest) = rest.split_first_chunk()?;
        let port = u16::from_be_bytes(*port);
        let carries = rest.first().is_some_and(|flags| flags & 1 == 1);
        let incarnation =
            Incarnation { counter: u32::from_be_bytes(*counter), random: u64::from_be_bytes(*random) };
        Some(Self { incarnation, port, carries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::router_id;

    #[test]
    fn a_greeting_comes_back_as_it_was_and_may_grow() {
        let incarnation = Incarnation { counter: 3, random: u64::MAX - 5 };
        let hello = Hello { incarnation, port: 8_902, carries: true };
        let bytes = hello.to_bytes();
        assert_eq!(Hello::parse(&bytes), Some(hello));
        assert_eq!(Hello::parse(&[&bytes[..], b"of later"].concat()), Some(hello));
        let of_the_first = Hello { carries: false, ..hello };
        assert_eq!(Hello::parse(&bytes[..Hello::BYTES_MIN]), Some(of_the_first));
        assert!((0..Hello::BYTES_MIN).all(|length| Hello::parse(&bytes[..length]).is_none()));
    }

    #[test]
    fn a_peers_router_id_is_that_of_its_key_file() {
        let (own, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
        let terms = Terms::new(&own, vec![Key::new([1; 32])], &[]).unwrap();
        let public = other.public().try_into_ed25519().unwrap().to_bytes();
        assert_eq!(terms.identify(other.public().to_peer_id()).unwrap(), router_id(&public));
        let me = terms.identify(own.public().to_peer_id()).unwrap();
        let life = |random| Hello { incarnation: Incarnation { counter: 1, random }, port: 1, carries: true };
        assert!(matches!(told_apart(me, &terms, life(1), life(1)), Err(Failure::Oneself)));
        assert!(matches!(told_apart(me, &terms, life(1), life(2)), Err(Failure::Clone)));
    }
}

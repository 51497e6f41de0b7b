//! A peer made of libp2p itself: its transport, its `pnet`, its swarm. It says
//! on the pair's stream whatever a test wants.

use std::net::SocketAddr;
use std::time::Duration;

use fau3_election::RouterId;
use futures_util::StreamExt as _;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::multiaddr::Protocol;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Stream, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_identity::{Keypair, PeerId};
use tokio::task::JoinHandle;

use super::routers::id_of;

pub(crate) const DATA: u8 = 0;
pub(crate) const PING: u8 = 1;
pub(crate) const SEEN: u8 = 2;
pub(crate) const HELLO: u8 = 4;
pub(crate) const WELCOME: u8 = 5;

/// A libp2p node. It goes with the test.
pub(crate) struct Peer {
    pub(crate) id: RouterId,
    pub(crate) peer_id: PeerId,
    pub(crate) address: SocketAddr,
    control: libp2p_stream::Control,
    swarm: JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn start(identity: Keypair, key: [u8; 32], dial: Option<SocketAddr>) -> Self {
        let mut swarm = SwarmBuilder::with_existing_identity(identity.clone())
            .with_tokio()
            .with_other_transport(|identity| {
                let config = PnetConfig::new(PreSharedKey::new(key));
                tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
                    .and_then(move |socket, _| config.handshake(socket))
                    .upgrade(Version::V1)
                    .authenticate(noise::Config::new(identity).unwrap())
                    .multiplex(yamux::Config::default())
            })
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break socket_address(&address);
            }
        };
        if let Some(to) = dial {
            swarm.dial(Multiaddr::from(to.ip()).with(Protocol::Tcp(to.port()))).unwrap();
        }
        let control = swarm.behaviour().new_control();
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { id: id_of(&identity), peer_id: identity.public().to_peer_id(), address, control, swarm }
    }

    /// Opens the pair's stream to a router that is being dialled.
    pub(crate) async fn open(&self, to: PeerId, protocol: &'static str) -> Result<Stream, String> {
        let mut error = String::new();
        for _ in 0..100 {
            match self.control.clone().open_stream(to, StreamProtocol::new(protocol)).await {
                Ok(stream) => return Ok(stream),
                Err(again) => error = again.to_string(),
            }
            if error.contains("not support") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(error)
    }

    /// Takes the pair's stream from a router that dials.
    pub(crate) async fn accept(&self, protocol: &'static str) -> Stream {
        let mut streams = self.control.clone().accept(StreamProtocol::new(protocol)).unwrap();
        streams.next().await.unwrap().1
    }

    /// Greets and is welcomed, or welcomes, whoever's word it is.
    pub(crate) async fn join(&self, stream: &mut Stream, router: RouterId) {
        let hello = [&[0, 0, 0, 1], &[7; 8][..], &self.address.port().to_be_bytes()].concat();
        write(stream, HELLO, &hello).await;
        assert_eq!(read(stream).await.unwrap().0, HELLO);
        if self.id < router {
            write(stream, WELCOME, &[]).await;
        } else {
            assert_eq!(read(stream).await.unwrap().0, WELCOME);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

fn socket_address(address: &Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        other => panic!("{other:?}"),
    }
}

/// Writes a frame; a router that hung up does not matter here.
pub(crate) async fn write(stream: &mut Stream, kind: u8, bytes: &[u8]) {
    let header = (u32::from(kind) << 24 | bytes.len() as u32).to_be_bytes();
    let _ = stream.write_all(&[&header[..], bytes].concat()).await;
    let _ = stream.flush().await;
}

/// Reads a frame; `None` at the stream's end.
pub(crate) async fn read(stream: &mut Stream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.ok()?;
    let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.ok()?;
    Some((header[0], bytes))
}

//! A router's door on loopback, and what is waited for.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fau3::identity::router_id;
use fau3::mesh::{
    Down, Frame, Key, Mesh, MeshEvent, MeshEvents, MeshSettings, PROTOCOLS, SendOutcome, Transport,
};
use fau3_election::{Incarnation, RouterId};
use libp2p_identity::{Keypair, PeerId};
use tokio::time::timeout;

/// Longer than anything takes on a busy machine that is not told to wait.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn key(byte: u8) -> Key {
    Key::new([byte; 32])
}

pub(crate) fn id_of(keypair: &Keypair) -> RouterId {
    router_id(&keypair.public().try_into_ed25519().unwrap().to_bytes())
}

/// Two identities, the one with the lower router id first.
pub(crate) fn identities() -> [Keypair; 2] {
    let mut pair = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
    pair.sort_by_key(id_of);
    pair
}

/// A life, never the same twice.
pub(crate) fn life(counter: u32) -> Incarnation {
    Incarnation { counter, random: getrandom::u64().unwrap() }
}

pub(crate) struct Router {
    pub(crate) mesh: Mesh,
    pub(crate) events: MeshEvents,
    pub(crate) id: RouterId,
    pub(crate) peer_id: PeerId,
    pub(crate) identity: Keypair,
}

/// What a router starts with: any change is made before `start`.
pub(crate) fn settings() -> MeshSettings {
    MeshSettings {
        leaf: false,
        listen: vec![([127, 0, 0, 1], 0).into()],
        keys: vec![key(1)],
        lan_only: true,
        incarnation: life(1),
        transports: vec![Transport::Tcp],
        protocols: PROTOCOLS,
        seed: getrandom::u64().unwrap(),
    }
}

impl Router {
    pub(crate) async fn start(settings: MeshSettings) -> Self {
        Self::start_as(Keypair::generate_ed25519(), settings).await
    }

    pub(crate) async fn start_as(identity: Keypair, settings: MeshSettings) -> Self {
        let (mesh, events) = Mesh::start(settings, &identity).await.unwrap();
        Self { mesh, events, id: id_of(&identity), peer_id: identity.public().to_peer_id(), identity }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.mesh.addresses()[0]
    }

    /// The next event that `wanted` makes something of; others are passed over.
    pub(crate) async fn wait<T>(&mut self, what: &str, mut wanted: impl FnMut(MeshEvent) -> Option<T>) -> T {
        self.wait_for(SOON, what, &mut wanted).await
    }

    pub(crate) async fn wait_for<T>(
        &mut self,
        patience: Duration,
        what: &str,
        wanted: &mut impl FnMut(MeshEvent) -> Option<T>,
    ) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if let Some(got) = wanted(event) {
                    return got;
                }
            }
        };
        timeout(patience, waiting).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"))
    }

    pub(crate) async fn up(&mut self, with: RouterId) -> SocketAddr {
        self.wait("Up", |event| match event {
            MeshEvent::Up { router, address, .. } if router == with => Some(address),
            _ => None,
        })
        .await
    }

    pub(crate) async fn down(&mut self, with: RouterId) -> Down {
        self.wait("Down", |event| match event {
            MeshEvent::Down { router, why } if router == with => Some(why),
            _ => None,
        })
        .await
    }

    pub(crate) async fn frame(&mut self, of: RouterId) -> Bytes {
        self.wait("Frame", |event| match event {
            MeshEvent::Frame { router, bytes } if router == of => Some(bytes),
            _ => None,
        })
        .await
    }

    pub(crate) async fn beacon(&mut self, of: RouterId) -> Bytes {
        self.wait("Beacon", |event| match event {
            MeshEvent::Beacon { router, bytes, .. } if router == of => Some(bytes),
            _ => None,
        })
        .await
    }

    /// All events within `span`.
    pub(crate) async fn all_within(&mut self, span: Duration) -> Vec<MeshEvent> {
        let mut events = Vec::new();
        let _ = timeout(span, async {
            while let Some(event) = self.events.recv().await {
                events.push(event);
            }
        })
        .await;
        events
    }

    pub(crate) fn send(&self, to: RouterId, bytes: impl Into<Bytes>) {
        assert_eq!(self.mesh.send(to, Frame::reliable(bytes)), SendOutcome::Queued);
    }
}

/// Two routers that are connected, the lower id first.
pub(crate) async fn pair() -> [Router; 2] {
    let [low, high] = identities();
    let mut low = Router::start_as(low, settings()).await;
    let mut high = Router::start_as(high, settings()).await;
    low.mesh.hint(high.address(), None);
    low.up(high.id).await;
    high.up(low.id).await;
    [low, high]
}

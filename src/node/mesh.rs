//! The shell's part in the mesh: connections and beacons, where other routers
//! may be, and the state file. Carries out what the router asks for, and tells
//! it what happens; decides nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fau3_election::{Datagram, Incarnation, RouterId, SavedState};
use libp2p_identity::PeerId;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::troubles;
use crate::config::Peer;
use crate::control::{MeshReport, MeshTrouble};
use crate::discovery::{Discovery, News, Setting, Told};
use crate::identity::{Error, NodeState, router_of, state_path};
use crate::mesh::{BeaconTarget, Down, Frame, Mesh, MeshEvent, MeshEvents, SendOutcome, Uplink};
use crate::router::{Input, MeshStatus};
use crate::upstream::WatchReport;
use crate::wire::fau3e::{Contact, FRAME_BYTES_MAX, Message, decode, encode};

/// Writes of the state file that are under way; the election has one at a time.
const WRITES_MAX: usize = 4;
/// Routers whose address is remembered: as many as there can be.
const CONTACTS_MAX: usize = fau3_election::ROUTERS_MAX;

// What the router can say has to fit into what connections carry.
const _: () = assert!(FRAME_BYTES_MAX <= crate::mesh::FRAME_MAX_BYTES);

/// The mesh, as the node's task holds it.
pub struct MeshSide {
    mesh: Mesh,
    events: MeshEvents,
    discovery: Discovery,
    told: mpsc::Sender<Told>,
    /// Beside the identity.
    state_file: PathBuf,
    /// Held by whoever changes it.
    state_turn: Arc<Mutex<()>>,
    written: mpsc::Receiver<u64>,
    write_done: mpsc::Sender<u64>,
    /// The frame that was encoded last: it often goes to several routers.
    encoded: Option<(Arc<Message>, Bytes)>,
    /// As the others know it.
    life: Incarnation,
    /// Who is connected, and where its beacons come from.
    contacts: BTreeMap<RouterId, (PeerId, Option<SocketAddr>)>,
    /// Who is or was connected, or was told of; at most [`CONTACTS_MAX`].
    found: BTreeMap<RouterId, (PeerId, Option<SocketAddr>)>,
    /// What came of lines of the configuration; as many as it may have.
    settings: BTreeMap<String, Setting>,
    /// Where the main server is, if it is a fau3 node.
    uplink: Option<Uplink>,
    /// The router asks for a connection to it.
    keeps_uplink: bool,
}

/// Who a router is for libp2p, and where it is.
pub(super) struct Found {
    pub(super) peer_id: String,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Something that happened, before it is the router's input.
pub(super) enum Happened {
    Event(MeshEvent),
    News(News),
    Written(u64),
    /// The mesh has ended.
    Ended,
}

impl MeshSide {
    pub(super) fn new(
        mesh: Mesh,
        events: MeshEvents,
        discovery: Discovery,
        identity: &Path,
        life: Incarnation,
        uplink: Option<Uplink>,
    ) -> Self {
        let (write_done, written) = mpsc::channel(WRITES_MAX);
        Self {
            told: discovery.told(),
            mesh,
            events,
            discovery,
            state_file: state_path(identity),
            state_turn: Arc::default(),
            written,
            write_done,
            encoded: None,
            life,
            contacts: BTreeMap::new(),
            found: BTreeMap::new(),
            settings: BTreeMap::new(),
            uplink,
            keeps_uplink: false,
        }
    }

    /// Keeps a connection to the main server, or lets go.
    pub(super) fn keep_uplink(&mut self, keep: bool) {
        self.keeps_uplink = keep;
        let uplink = self.uplink.clone().filter(|_| keep);
        let doing = if keep { "calling" } else { "letting go of" };
        if let Some(Uplink { host, port, .. }) = &self.uplink {
            info!("{doing} the main server at {host}:{port}");
        }
        self.mesh.keep_uplink(uplink);
    }

    /// The configuration says where the main server is.
    pub(super) fn set_uplink(&mut self, uplink: Option<Uplink>) {
        if self.uplink != uplink {
            self.uplink = uplink;
            self.keep_uplink(self.keeps_uplink);
        }
    }

    /// Who was found where the main server is, while it is connected.
    pub(super) fn uplink(&self) -> Option<RouterId> {
        self.mesh.uplink()
    }

    /// What people are shown of the main server, if it is a fau3 node; `why`
    /// tells why whoever answers there is not it.
    pub(super) fn watch(&self, mesh: &MeshStatus, why: Option<&str>) -> WatchReport {
        let trouble = || why.map(str::to_owned).or_else(|| self.mesh.uplink_trouble());
        WatchReport {
            watching: mesh.watches_main,
            outages: mesh.main_outages,
            trouble: mesh.watches_main.then(trouble).flatten(),
            ..WatchReport::default()
        }
    }

    /// What happens next. Nothing is lost if the future is dropped before.
    pub(super) async fn next(&mut self) -> Happened {
        tokio::select! {
            event = self.events.recv() => event.map_or(Happened::Ended, Happened::Event),
            news = self.discovery.next() => Happened::News(news),
            Some(ticket) = self.written.recv() => Happened::Written(ticket),
        }
    }

    /// What has happened already; asked for after [`Self::next`], so that one
    /// turn takes in all that came together.
    pub(super) fn try_next(&mut self) -> Option<Happened> {
        self.events.try_recv().map(Happened::Event)
    }

    /// The router's input that follows, if one does.
    pub(super) fn input(&mut self, happened: Happened) -> Option<Input> {
        match happened {
            Happened::Event(event) => self.event(event),
            Happened::News(news) => {
                self.hint(news);
                None
            }
            Happened::Written(ticket) => Some(Input::Persisted { ticket }),
            Happened::Ended => None,
        }
    }

    fn event(&mut self, event: MeshEvent) -> Option<Input> {
        match event {
            MeshEvent::Up { router, peer_id, address, version, .. } => {
                info!(%router, %peer_id, %address, version, "router connected");
                if self.contacts.len() < CONTACTS_MAX {
                    self.contacts.insert(router, (peer_id, None));
                }
                self.remember(router, peer_id, None);
                Some(Input::PeerUp { router })
            }
            MeshEvent::Clone => Some(Input::CloneMet),
            MeshEvent::Down { router, why } => {
                info!(%router, ?why, "router disconnected");
                self.contacts.remove(&router);
                Some(Input::PeerDown { router, closed: why == Down::ClosedByPeer })
            }
            MeshEvent::Frame { router, bytes } => {
                let message = decode(&bytes);
                if let Err(invalid) = &message {
                    debug!(%router, "frame not understood: {}", invalid.reason);
                }
                Some(Input::FromPeer { router, message })
            }
            MeshEvent::Beacon { bytes, .. } => Some(Input::Beacon(bytes[..].into())),
            MeshEvent::Drained { router } => Some(Input::PeerDrained { router }),
            // The mesh has told of it, once a minute at most.
            MeshEvent::Refused { .. } => None,
        }
    }

    /// A beacon's source, if it is news of a router that is connected.
    pub(super) fn contact(&mut self, event: &MeshEvent) -> Option<Input> {
        let MeshEvent::Beacon { router, from, .. } = event else { return None };
        let (peer_id, known) = self.contacts.get_mut(router)?;
        if known.replace(*from) == Some(*from) {
            return None;
        }
        let peer_id = *peer_id;
        self.remember(*router, peer_id, Some(*from));
        let contact = Contact { peer_id: peer_id.to_string().into(), address: *from };
        Some(Input::Contact { router: *router, contact })
    }

    fn hint(&mut self, news: News) {
        match news {
            News::Found(hint) => {
                debug!(address = %hint.address, source = ?hint.source, "a router may be there");
                self.mesh.hint(hint.address, hint.peer_id.and_then(|id| id.parse().ok()));
            }
            News::Setting(setting) => drop(self.settings.insert(setting.line.clone(), setting)),
            News::Lost(_) => {}
        }
    }

    /// The configuration names other routers to call.
    pub(super) fn set_peers(&mut self, peers: Vec<Peer>) {
        if self.discovery.set_peers(peers) {
            // Those that stay are told of again.
            self.settings.retain(|line, _| !line.starts_with("mesh.peer "));
        }
    }

    /// Another router tells how a third one is found.
    pub(super) fn told(&mut self, by: RouterId, contact: Contact) {
        let Some(&(_, Some(via))) = self.contacts.get(&by) else { return };
        if let Some((peer_id, router)) =
            contact.peer_id.parse().ok().and_then(|id| Some((id, router_of(&id)?)))
        {
            self.remember(router, peer_id, Some(contact.address));
        }
        let told =
            Told { via, peer_id: Some(contact.peer_id.into()), name: None, addresses: vec![contact.address] };
        // If there is no place, it will be told again.
        let _ = self.told.try_send(told);
    }

    /// Learns who a router is and where; if there is no room, in the place of
    /// one that is not connected.
    fn remember(&mut self, router: RouterId, peer_id: PeerId, address: Option<SocketAddr>) {
        if self.found.len() >= CONTACTS_MAX && !self.found.contains_key(&router) {
            let is_away = |id: &&RouterId| !self.contacts.contains_key(id);
            let Some(away) = self.found.keys().find(is_away).copied() else { return };
            self.found.remove(&away);
        }
        let found = self.found.entry(router).or_insert((peer_id, None));
        found.1 = address.or(found.1);
    }

    /// What is known of other routers.
    pub(super) fn found(&self) -> BTreeMap<RouterId, Found> {
        let found = |(router, (peer_id, address)): (&RouterId, &(PeerId, Option<SocketAddr>))| {
            (*router, Found { peer_id: peer_id.to_string(), addresses: address.iter().copied().collect() })
        };
        self.found.iter().map(found).collect()
    }

    /// Where names and their owners are kept.
    pub(super) fn state_file(&self) -> &Path {
        &self.state_file
    }

    /// Where it meets other routers.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.mesh.addresses()
    }

    /// What people are shown of it.
    pub(super) fn report(&self, mesh: &MeshStatus) -> MeshReport {
        let peer_ids = self.found.iter().map(|(router, (peer_id, _))| (*router, peer_id.to_string()));
        MeshReport { counts: self.mesh.counts(), troubles: self.troubles(mesh), peer_ids: peer_ids.collect() }
    }

    /// What does not work between this router and others.
    pub(super) fn troubles(&self, mesh: &MeshStatus) -> Vec<MeshTrouble> {
        // A main server sends no beacons.
        let is_main = |id| mesh.main == Some(id) || mesh.leaves.iter().any(|(leaf, _)| *leaf == id);
        let blocked = self.mesh.troubles().into_iter();
        troubles::all(blocked.filter(|trouble| !trouble.router.is_some_and(is_main)), &self.settings)
    }

    pub(super) fn beacon(&self, to: Option<RouterId>, datagram: &Datagram) {
        let to = to.map_or(BeaconTarget::Everywhere, BeaconTarget::Router);
        self.mesh.beacon(to, datagram.as_bytes());
    }

    /// Sends a frame. What comes back is the router's to know.
    pub(super) fn send(&mut self, router: RouterId, message: &Arc<Message>) -> Option<Input> {
        let bytes = self.encoded(message);
        let frame = match **message {
            Message::Stream(_) => Frame::stream(bytes),
            _ => Frame::reliable(bytes),
        };
        match self.mesh.send(router, frame) {
            SendOutcome::Queued | SendOutcome::Gone => None,
            SendOutcome::Full => Some(Input::PeerFull { router }),
            SendOutcome::TooLong => {
                error!(%router, "a frame for a router is longer than one may be; please report this");
                None
            }
        }
    }

    fn encoded(&mut self, message: &Arc<Message>) -> Bytes {
        if let Some((last, bytes)) = &self.encoded
            && Arc::ptr_eq(last, message)
        {
            return bytes.clone();
        }
        let bytes = Bytes::from(encode(message));
        self.encoded = Some((message.clone(), bytes.clone()));
        bytes
    }

    /// All outputs of a turn are carried out.
    pub(super) fn end_turn(&mut self, life: Option<Incarnation>) {
        // The frame encoded last is not kept while nothing happens.
        self.encoded = None;
        if let Some(life) = life.filter(|life| *life != self.life) {
            self.life = life;
            self.mesh.set_incarnation(life);
        }
    }

    /// Writes the state file, in a thread of its own: flash is slow.
    pub(super) fn persist(&self, ticket: u64, state: SavedState) {
        let done = self.write_done.clone();
        self.change_state(
            move |kept| kept.with(&state),
            move |saved| {
                if let Err(error) = saved {
                    warn!("{error}. After the next start an epoch's number may be used again");
                }
                let _ = done.blocking_send(ticket);
            },
        );
    }

    /// Writes whose each name is into the state file.
    pub(super) fn persist_names(&self, bound: BTreeMap<String, RouterId>) {
        self.change_state(
            move |kept| kept.with_names(&bound),
            |saved| {
                if let Err(error) = saved {
                    warn!("{error}. After the next start a name's owner may be forgotten");
                }
            },
        );
    }

    /// Writes what `change` makes of the state file, then says how that went.
    /// One change at a time: none undoes another.
    fn change_state(
        &self,
        change: impl FnOnce(NodeState) -> NodeState + Send + 'static,
        say: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let (path, turn) = (self.state_file.clone(), self.state_turn.clone());
        tokio::task::spawn_blocking(move || {
            let saved = {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                NodeState::load(&path).and_then(|kept| change(kept).save(&path))
            };
            say(saved);
        });
    }

    /// Says goodbye to all.
    pub(super) async fn goodbye(self) {
        // Both take as long as the network lets them.
        tokio::join!(self.mesh.goodbye(), self.discovery.stop());
    }
}

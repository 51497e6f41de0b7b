//! What all connections share: who is connected, whom to dial, what was said.
//! Decides which connection of a pair stays.
//!
//! Both ends must keep the same one, so one end decides alone: the router with
//! the lower id. It welcomes the first connection that comes to stand and turns
//! later ones away; the other end waits for its word. So a connection that
//! carries frames is never given up for a duplicate. A new life of the other
//! router is no duplicate; and one that was turned away makes the lower end ask
//! the connection that it has for a sign of life.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fau3_election::{Incarnation, RouterId, Time};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::warn;

use super::address::is_lan;
use super::api::{Counts, Down, MeshEvent, Refusal, Transport};
use super::dial::Book;
use super::events::EventSender;
use super::frame::{Kind, Violation};
use super::handshake::{Established, Failure, Hello, Terms};
use super::link::Link;
use super::paths::{Paths, Unmet};
use super::replay::Replays;
use super::uplink::Uplink;
use crate::lobby::Place;
use crate::notices::{ACQUAINTANCE, Notices, and_more};

/// How long the last frames and the goodbye may take.
pub const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// Main servers that are remembered as such: the configuration changes seldom.
const MAINS_MAX: usize = 16;

/// Most connections that stand: as many as routers of a mesh are known. Each takes its
/// tasks and a window of yamux's; identities cost whoever has the key nothing.
pub(super) const LINKS_MAX: usize = fau3_election::ROUTERS_MAX;

/// What all parts of the mesh share.
pub(super) struct Hub {
    pub(super) terms: Terms,
    pub(super) transports: Vec<Transport>,
    pub(super) lan_only: bool,
    /// This router is a main server: others call it, it calls nobody.
    pub(super) leaf: bool,
    /// The main server to keep a connection to, while that is wanted.
    uplink: watch::Sender<Option<Arc<Uplink>>>,
    /// Where this router listens; TCP and UDP.
    pub(super) port: u16,
    state: Mutex<State>,
    /// Held while links change and the node is told, so that it hears of it in
    /// the order in which it happened.
    order: tokio::sync::Mutex<()>,
    events: EventSender,
    book_changed: Notify,
    /// The main server may be stuck behind a lost packet.
    uplink_doubted: Notify,
    /// Why there was no connection to it last.
    uplink_trouble: Mutex<Option<String>>,
    closing: watch::Sender<bool>,
    began: Instant,
}

/// What changes.
pub(super) struct State {
    pub(super) links: BTreeMap<RouterId, Arc<Link>>,
    pub(super) book: Book,
    pub(super) replays: Replays,
    pub(super) paths: Paths,
    /// Main servers, which hear no beacons; at most [`MAINS_MAX`].
    pub(super) mains: BTreeSet<RouterId>,
    pub(super) counts: Counts,
    pub(super) incarnation: Incarnation,
    /// Of the next beacon. Lasts two years at 64 a second.
    pub(super) sequence: u32,
    notices: Notices,
}

/// How a handshake ended for the pair.
pub(super) enum Met {
    /// The connection was the pair's, and is over.
    Over(Down),
    /// There was one already.
    Duplicate,
}

impl State {
    /// Whether one more connection may stand, or it takes the place of its router's last.
    fn has_place_for(&self, router: RouterId) -> bool {
        self.links.len() < LINKS_MAX || self.links.contains_key(&router)
    }
}

impl Hub {
    pub(super) fn new(
        terms: Terms,
        transports: Vec<Transport>,
        (lan_only, leaf): (bool, bool),
        port: u16,
        incarnation: Incarnation,
        seed: u64,
        events: EventSender,
    ) -> Self {
        let book = Book::new(terms.peer_id, seed);
        let state = State {
            links: BTreeMap::new(),
            book,
            replays: Replays::default(),
            paths: Paths::default(),
            mains: BTreeSet::new(),
            counts: Counts::default(),
            incarnation,
            sequence: 0,
            notices: Notices::default(),
        };
        Self {
            terms,
            transports,
            lan_only,
            leaf,
            uplink: watch::Sender::new(None),
            port,
            state: Mutex::new(state),
            order: tokio::sync::Mutex::new(()),
            events,
            book_changed: Notify::new(),
            uplink_doubted: Notify::new(),
            uplink_trouble: Mutex::default(),
            closing: watch::Sender::new(false),
            began: Instant::now(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn events(&self) -> &EventSender {
        &self.events
    }

    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }

    pub(super) fn instant(&self, time: Time) -> Instant {
        self.began + time.since(Time::ZERO)
    }

    pub(super) fn hello(&self) -> Hello {
        Hello { incarnation: self.state().incarnation, port: self.port, carries: true }
    }

    /// Changes the book, and wakes who dials.
    pub(super) fn with_book<T>(&self, change: impl FnOnce(&mut Book, Time) -> T) -> T {
        let changed = change(&mut self.state().book, self.now());
        self.book_changed.notify_one();
        changed
    }

    /// Which main server to keep a connection to; `None`: no one.
    pub(super) fn set_uplink(&self, uplink: Option<Uplink>) {
        self.uplink.send_if_modified(|known| {
            let has_changed = known.as_deref() != uplink.as_ref();
            if has_changed {
                *known = uplink.map(Arc::new);
            }
            has_changed
        });
    }

    pub(super) fn set_uplink_trouble(&self, why: Option<String>) {
        *self.uplink_trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn uplink_trouble(&self) -> Option<String> {
        self.uplink_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn uplink(&self) -> watch::Receiver<Option<Arc<Uplink>>> {
        self.uplink.subscribe()
    }

    /// Returns once another main server than this one is wanted, or none.
    pub(super) async fn uplink_differs(&self, from: &Option<Arc<Uplink>>) {
        let _ = self.uplink.subscribe().wait_for(|wanted| wanted != from).await;
    }

    /// The main server is to be asked by a datagram, too.
    pub(super) fn ask_uplink(&self) {
        self.uplink_doubted.notify_one();
    }

    pub(super) async fn uplink_doubted(&self) {
        self.uplink_doubted.notified().await;
    }

    pub(super) async fn book_changed(&self) {
        self.book_changed.notified().await;
    }

    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns once the mesh is to end.
    pub(super) async fn closing(&self) {
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Returns when there has been time enough for a goodbye.
    pub(super) async fn closed_for_long(&self) {
        self.closing().await;
        tokio::time::sleep(GOODBYE_MAX).await;
    }

    /// Whether the mesh may talk to this address at all.
    pub(super) fn may_talk_to(&self, ip: IpAddr) -> bool {
        !self.lan_only || is_lan(ip)
    }

    /// Notes why no router was met at an address.
    pub(super) fn unmet(&self, address: SocketAddr, why: Unmet) {
        let now = self.now();
        self.state().paths.unmet(now, address, why);
    }

    /// Another router says that it is at this address.
    pub(super) fn claim(&self, address: SocketAddr) {
        let now = self.now();
        let mut state = self.state();
        if state.book.is_own(address) {
            state.paths.unmet(now, address, Unmet::Claimed);
        }
    }

    /// A dial found this router itself, perhaps instead of another one.
    pub(super) fn met_oneself(&self, address: SocketAddr) {
        let claimed = self.with_book(|book, _| book.oneself(address));
        self.unmet(address, if claimed { Unmet::Claimed } else { Unmet::Oneself });
    }

    /// Counts someone who is turned away, and says so once a minute.
    pub(super) fn refuse(self: &Arc<Self>, address: SocketAddr, why: Refusal) {
        let (now, ip) = (self.now(), address.ip());
        let waits = {
            let mut state = self.state();
            state.counts.refused = state.counts.refused.saturating_add(1);
            // Whoever has the key says who it is; of others discovery may know.
            let may_be_told_of = why == Refusal::OtherKey && !state.book.knows(ip);
            may_be_told_of.then(|| state.notices.may_wait(now, ip))
        };
        match waits {
            None => self.say_refused(address, why, &why.to_string()),
            Some(false) => {}
            Some(true) => {
                let hub = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(ACQUAINTANCE).await;
                    hub.say_refused(address, why, &why.to_string());
                });
            }
        }
    }

    /// A connected router sent what is no frame.
    pub(super) fn violated(&self, address: SocketAddr, violation: Violation) {
        let mut state = self.state();
        state.counts.refused = state.counts.refused.saturating_add(1);
        drop(state);
        self.say_refused(address, Refusal::Violation, &format!("{} ({violation})", Refusal::Violation));
    }

    fn say_refused(&self, address: SocketAddr, why: Refusal, text: &str) {
        let mut state = self.state();
        let aliases = state.book.aliases(address.ip());
        if let Some(unsaid) = state.notices.may_say(self.now(), address.ip(), &aliases) {
            drop(state);
            warn!("mesh: {address}: refused: {text}{}", and_more(unsaid));
            self.events.say(MeshEvent::Refused { address, why });
        }
    }

    /// Agrees with the other end whether this connection is the pair's, serves
    /// it if so, to its end. `deadline` is for the agreement, and until then it has its
    /// `place` among those that shake hands.
    pub(super) async fn meet(
        &self,
        mut made: Established,
        deadline: Instant,
        place: Option<Place>,
    ) -> Result<Met, Failure> {
        let agreed = tokio::time::timeout_at(deadline, self.agree(&mut made)).await;
        drop(place);
        let Some(link) = agreed.unwrap_or(Err(Failure::Broken))? else { return Ok(Met::Duplicate) };
        let why = link.run(self, made.stream, made.fate).await;
        self.leave(&link, why).await;
        Ok(Met::Over(why))
    }

    async fn agree(&self, made: &mut Established) -> Result<Option<Arc<Link>>, Failure> {
        if !self.state().has_place_for(made.router) {
            return Err(Failure::Refused(Refusal::Full));
        }
        if self.terms.router > made.router {
            return match made.stream.read().await?.0 {
                Kind::Welcome => Ok(Some(self.admit(made).await?)),
                Kind::Duplicate => {
                    self.note_duplicate(made);
                    Ok(None)
                }
                _ => Err(Failure::Refused(Refusal::Violation)),
            };
        }
        let known = self.state().links.get(&made.router).cloned();
        if let Some(link) = known.filter(|link| link.incarnation.random == made.hello.incarnation.random) {
            link.doubt(self);
            self.note_duplicate(made);
            made.stream.write(Kind::Duplicate, &[]).await?;
            // The other end closes, so that it reads this first.
            let _ = made.stream.read().await;
            return Ok(None);
        }
        let link = self.admit(made).await?;
        if let Err(failure) = made.stream.write(Kind::Welcome, &[]).await {
            self.leave(&link, made.fate.get().unwrap_or(Down::ClosedByPeer)).await;
            return Err(failure);
        }
        Ok(Some(link))
    }

    fn note_duplicate(&self, made: &Established) {
        if made.uplink.is_none() {
            let listens = listens(made);
            self.state().paths.reached(listens);
            self.with_book(|book, now| book.duplicate(now, made.peer_id, listens));
        }
    }

    /// Makes this connection the pair's.
    async fn admit(&self, made: &Established) -> Result<Arc<Link>, Failure> {
        let Hello { incarnation, .. } = made.hello;
        let (router, peer_id, listens) = (made.router, made.peer_id, listens(made));
        let link = Arc::new(Link::new(self, made, listens));
        let _order = self.order.lock().await;
        let before = {
            let (mut state, now) = (self.state(), self.now());
            // Others may have come while the two agreed.
            if !state.has_place_for(router) {
                return Err(Failure::Refused(Refusal::Full));
            }
            state.replays.prove(now, router, incarnation);
            if made.uplink.is_none() {
                state.book.connected(now, peer_id, listens);
                state.paths.up(now, router, listens);
            } else if state.mains.len() < MAINS_MAX {
                state.mains.insert(router);
            }
            state.links.insert(router, link.clone())
        };
        if let Some(before) = before {
            before.end();
            // The same life goes on, over another path: it has not closed anything.
            let is_same_life = before.incarnation.random == incarnation.random;
            let why = if is_same_life { Down::TimedOut } else { Down::ClosedByPeer };
            self.events.send(MeshEvent::Down { router, why }).await;
        }
        let (address, version) = (made.address, made.version);
        self.events.send(MeshEvent::Up { router, peer_id, address, version, incarnation }).await;
        Ok(link)
    }

    /// At the other end is this router's own identity, in another life: a clone. What
    /// is heard in this router's name is true, the node is told.
    pub(super) async fn cloned(&self) {
        self.events.send(MeshEvent::Clone).await;
    }

    /// A beacon came over a connection.
    pub(super) fn carried(&self, link: &Link, bytes: Bytes) {
        if self.leaf || link.uplink.is_some() {
            return;
        }
        if !self.events.beacon(MeshEvent::Beacon { router: link.router, from: link.listens, bytes }) {
            let mut state = self.state();
            state.counts.beacons_late = state.counts.beacons_late.saturating_add(1);
        }
    }

    /// A connection is over; if it was still the pair's, the node is told.
    async fn leave(&self, link: &Arc<Link>, why: Down) {
        let _order = self.order.lock().await;
        {
            let (mut state, now) = (self.state(), self.now());
            if !state.links.get(&link.router).is_some_and(|current| Arc::ptr_eq(current, link)) {
                return;
            }
            state.links.remove(&link.router);
            if link.uplink.is_none() {
                state.book.closed(now, link.peer_id);
                state.paths.down(now, link.router);
                if link.died_of_large(now, why) {
                    state.paths.stalled(now, link.router);
                }
            }
        }
        self.book_changed.notify_one();
        self.events.send(MeshEvent::Down { router: link.router, why }).await;
    }
}

/// Where the router at the other end listens.
fn listens(made: &Established) -> SocketAddr {
    let mut address = made.address;
    if !made.dialled {
        address.set_port(made.hello.port);
    }
    address
}

//! Where the doors and the node meet: what doors tell, and through what a client is
//! reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::Visitors;
use super::counts::DoorsCounts;
use super::events::{Events, NodeEvents};
use crate::router::{CloseReason, ConnId, FrameNo, Input, Refusal, Told};
use crate::wire::ClientId;

/// The router's end of a client's connection. None of its methods blocks.
pub trait ClientLink: Send + Sync {
    /// Takes something that the client is to be told with the next [`Self::flush`]. The first
    /// is number 1.
    fn tell(&self, what: Told);
    /// Takes a probe to be sent behind all that was told before it; its answer is
    /// [`Input::Pong`].
    fn probe(&self, probe: u32);
    /// Ends the connection once what was told before is out, and says why.
    fn close(&self, why: CloseReason);
    /// Sends as much as the socket takes now; the rest follows by itself.
    fn flush(&self);
    /// The newest frame that has left the socket buffer, and whether there are
    /// more to watch.
    fn departed(&self) -> (Option<FrameNo>, bool);
}

/// What doors tell the node.
pub enum DoorEvent {
    /// A client asks to be let in.
    Connect {
        /// A number from [`Hall::next_conn`].
        conn: ConnId,
        /// Who it says it is.
        client_id: ClientId,
        /// Where it comes from.
        address: IpAddr,
        /// Through which it is reached from then on.
        link: Arc<dyn ClientLink>,
        /// The router's decision.
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Something that the router takes as it is.
    Input(Input),
}

/// What all doors share.
#[derive(Clone)]
pub struct Hall {
    events: Events,
    counts: DoorsCounts,
    conns: Arc<AtomicUsize>,
    visitors: Arc<Visitors>,
}

impl Hall {
    /// The doors' end and the node's.
    #[must_use]
    pub fn new() -> (Self, NodeEvents) {
        let (events, node) = Events::new();
        let counts = DoorsCounts::default();
        (Self { events, counts, conns: Arc::default(), visitors: Arc::default() }, node)
    }

    /// The same hall, as one more door has it that is called so.
    #[must_use]
    pub fn of_door(&self, name: &'static str) -> Self {
        Self { events: self.events.counted(self.counts.of(name)), ..self.clone() }
    }

    /// What has passed through each door.
    #[must_use]
    pub fn counts(&self) -> &DoorsCounts {
        &self.counts
    }

    /// A number that no other connection has: they would have to come at a
    /// million a second for more than an hour to use up those of a 32-bit
    /// router, and one that old is long gone.
    #[must_use]
    pub fn next_conn(&self) -> ConnId {
        ConnId(self.conns.fetch_add(1, Ordering::Relaxed) as u64)
    }

    /// Which pages may come, and who was turned away before the router was asked.
    #[must_use]
    pub fn visitors(&self) -> &Arc<Visitors> {
        &self.visitors
    }

    /// Where events go.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Asks the router to let a client in.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn connect(
        &self,
        conn: ConnId,
        client_id: ClientId,
        address: IpAddr,
        link: Arc<dyn ClientLink>,
    ) -> Result<(), Refusal> {
        let (answer, decision) = oneshot::channel();
        let event = DoorEvent::Connect { conn, client_id, address, link, answer };
        self.events.send(event).await.map_err(|_| Refusal::ShuttingDown)?;
        let decision = decision.await.unwrap_or(Err(Refusal::ShuttingDown));
        if let (Ok(()), Some(counts)) = (&decision, self.events.counts()) {
            counts.let_in();
        }
        decision
    }
}

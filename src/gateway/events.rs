//! What waits between the doors and the router, bounded by number and by bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::counts::DoorCounts;
use super::hall::DoorEvent;
use crate::router::{Input, Says};

/// What waits between the doors and the router, over all clients. A door whose
/// event finds no place stops reading from its client until there is one.
pub const EVENTS_WAITING_MAX: usize = 1_024;
/// What clients say in them, in bytes: as much as may be unfinished at the doors.
pub const EVENTS_WAITING_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// The doors' end. Clones are of the same one.
#[derive(Clone)]
pub struct Events {
    waiting: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
    /// Of the door that has this end.
    counts: Option<Arc<DoorCounts>>,
}

/// The node's end.
pub type NodeEvents = mpsc::Receiver<Waiting>;

/// An event, and the place that it takes until it is dropped.
pub struct Waiting {
    /// What has happened.
    pub event: DoorEvent,
    _place: Option<OwnedSemaphorePermit>,
}

/// The node has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeEnded;

/// Why an event is not handed over at once.
pub enum NotNow {
    /// There is no place: here it is again.
    Full(Box<DoorEvent>),
    /// The node has ended.
    Ended,
}

impl Events {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, NodeEvents) {
        let (waiting, node) = mpsc::channel(EVENTS_WAITING_MAX);
        (Self { waiting, bytes: Arc::new(Semaphore::new(EVENTS_WAITING_BYTES_MAX)), counts: None }, node)
    }

    /// The same, counted as a door's.
    pub(super) fn counted(&self, counts: Arc<DoorCounts>) -> Self {
        Self { counts: Some(counts), ..self.clone() }
    }

    pub(super) fn counts(&self) -> Option<&DoorCounts> {
        self.counts.as_deref()
    }

    /// Counts live frames that a client did not take in time.
    pub(super) fn count_dropped_live(&self, count: usize) {
        if let (1.., Some(counts)) = (count, &self.counts) {
            counts.dropped_live(count);
        }
    }

    fn count(&self, event: &DoorEvent) {
        let (DoorEvent::Input(input), Some(counts)) = (event, &self.counts) else { return };
        match input {
            Input::Says { what: Says::Post { .. }, .. } => counts.said(),
            Input::Says { what: Says::Live(_), .. } => counts.said_live(),
            Input::Disconnected { .. } => counts.left(),
            _ => {}
        }
    }

    /// Hands an event over, once there is a place.
    ///
    /// # Errors
    /// There will be none.
    pub async fn send(&self, event: DoorEvent) -> Result<(), NodeEnded> {
        self.count(&event);
        let _place = match bytes(&event) {
            0 => None,
            bytes => Some(self.bytes.clone().acquire_many_owned(bytes).await.map_err(|_| NodeEnded)?),
        };
        self.waiting.send(Waiting { event, _place }).await.map_err(|_| NodeEnded)
    }

    /// Hands an event over now.
    ///
    /// # Errors
    /// See [`NotNow`].
    pub fn try_send(&self, event: DoorEvent) -> Result<(), NotNow> {
        let _place = match bytes(&event) {
            0 => None,
            bytes => match self.bytes.clone().try_acquire_many_owned(bytes) {
                Ok(place) => Some(place),
                Err(_) => return Err(NotNow::Full(event.into())),
            },
        };
        let Ok(waits) = self.waiting.try_reserve() else {
            return Err(if self.waiting.is_closed() { NotNow::Ended } else { NotNow::Full(event.into()) });
        };
        self.count(&event);
        waits.send(Waiting { event, _place });
        Ok(())
    }
}

/// As many places as what is said takes; a message of any length gets through.
fn bytes(event: &DoorEvent) -> u32 {
    let bytes = match event {
        DoorEvent::Input(Input::Says { what: Says::Post { body: said, .. } | Says::Live(said), .. }) => {
            said.len()
        }
        _ => 0,
    };
    u32::try_from(bytes.min(EVENTS_WAITING_BYTES_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::ConnId;
    use crate::wire::{BODY_BYTES_MAX, RoomId};

    fn post(bytes: usize) -> DoorEvent {
        let (token, room) = ("t".into(), RoomId::new("r").unwrap());
        let what = Says::Post { token, room, body: vec![0; bytes].into() };
        DoorEvent::Input(Input::Says { conn: ConnId(1), what })
    }

    #[test]
    fn long_messages_wait_at_the_doors_and_short_words_pass_them() {
        let (events, mut node) = Events::new();
        let fit = EVENTS_WAITING_BYTES_MAX / BODY_BYTES_MAX;
        (0..fit).for_each(|_| assert!(events.try_send(post(BODY_BYTES_MAX)).is_ok()));
        assert!(matches!(events.try_send(post(BODY_BYTES_MAX)), Err(NotNow::Full(_))));
        assert!(events.try_send(DoorEvent::Input(Input::Alive { conn: ConnId(1) })).is_ok());
        drop(node.try_recv().unwrap());
        assert!(events.try_send(post(BODY_BYTES_MAX)).is_ok());
    }

    #[test]
    fn so_many_short_ones_wait_and_no_more() {
        let (events, _node) = Events::new();
        (0..EVENTS_WAITING_MAX).for_each(|_| assert!(events.try_send(post(1)).is_ok()));
        assert!(matches!(events.try_send(post(1)), Err(NotNow::Full(_))));
    }

    #[tokio::test]
    async fn whoever_waits_learns_that_the_node_has_ended() {
        let (events, node) = Events::new();
        drop(node);
        assert_eq!(events.send(post(1)).await, Err(NodeEnded));
        assert!(matches!(events.try_send(post(1)), Err(NotNow::Ended)));
    }
}

//! The way of events to the node. Frames wait for room, so that a node that is
//! slow slows down its peers; beacons wait for nobody and go first.

use std::sync::Arc;

use bytes::Bytes;
use fau3_election::RouterId;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api::MeshEvent;

/// Most events that wait for the node.
pub const EVENTS_MAX: usize = 256;
/// Most beacons that wait for the node; later ones are dropped and counted.
pub const BEACONS_MAX: usize = 256;
/// Most bytes of frames that wait for the node: a few of the longest.
pub const FRAMES_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// Frames count in units of this many bytes, each as one at least.
const UNIT_BYTES: usize = 1_024;

type Waiting = (MeshEvent, Option<OwnedSemaphorePermit>);

/// What happens in the mesh, for the node.
pub struct MeshEvents {
    events: Receiver<Waiting>,
    beacons: Receiver<MeshEvent>,
}

impl MeshEvents {
    /// The next event; `None` once the mesh has ended. Nothing is lost if the
    /// future is dropped before.
    pub async fn recv(&mut self) -> Option<MeshEvent> {
        tokio::select! {
            biased;
            Some(beacon) = self.beacons.recv() => Some(beacon),
            event = self.events.recv() => event.map(|(event, _room)| event),
        }
    }

    /// An event that is there already.
    pub fn try_recv(&mut self) -> Option<MeshEvent> {
        let beacon = self.beacons.try_recv().ok();
        beacon.or_else(|| self.events.try_recv().ok().map(|(event, _room)| event))
    }
}

/// The mesh's end.
pub(super) struct EventSender {
    events: Sender<Waiting>,
    beacons: Sender<MeshEvent>,
    room: Arc<Semaphore>,
}

pub(super) fn event_channel() -> (EventSender, MeshEvents) {
    let (events, events_out) = channel(EVENTS_MAX);
    let (beacons, beacons_out) = channel(BEACONS_MAX);
    let room = Arc::new(Semaphore::new(FRAMES_MAX_BYTES / UNIT_BYTES));
    (EventSender { events, beacons, room }, MeshEvents { events: events_out, beacons: beacons_out })
}

/// A node that does not listen any more is about to end: nothing is said then.
impl EventSender {
    pub(super) async fn send(&self, event: MeshEvent) {
        let _ = self.events.send((event, None)).await;
    }

    pub(super) async fn drained(&self, router: RouterId) {
        self.send(MeshEvent::Drained { router }).await;
    }

    pub(super) async fn frame(&self, router: RouterId, bytes: Bytes) {
        let units = u32::try_from(bytes.len() / UNIT_BYTES + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(units).await.ok();
        let _ = self.events.send((MeshEvent::Frame { router, bytes }, room)).await;
    }

    /// Not worth waiting for.
    pub(super) fn say(&self, event: MeshEvent) {
        let _ = self.events.try_send((event, None));
    }

    /// Whether there was room.
    pub(super) fn beacon(&self, event: MeshEvent) -> bool {
        self.beacons.try_send(event).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::FRAME_MAX_BYTES;

    const A: RouterId = RouterId([1; 16]);

    fn beacon() -> MeshEvent {
        MeshEvent::Beacon { router: A, from: ([10, 0, 0, 1], 1).into(), bytes: Bytes::new() }
    }

    #[tokio::test]
    async fn beacons_go_before_frames_and_are_dropped_beyond_their_bound() {
        let (sender, mut events) = event_channel();
        sender.frame(A, Bytes::from_static(b"frame")).await;
        let taken = (0..BEACONS_MAX + 10).filter(|_| sender.beacon(beacon())).count();
        assert_eq!(taken, BEACONS_MAX);
        assert_eq!(events.recv().await, Some(beacon()));
        for _ in 1..BEACONS_MAX {
            events.recv().await;
        }
        assert!(matches!(events.try_recv(), Some(MeshEvent::Frame { .. })));
    }

    #[tokio::test]
    async fn frames_wait_for_room_in_bytes() {
        let (sender, mut events) = event_channel();
        let frame = Bytes::from(vec![0; FRAME_MAX_BYTES]);
        let filling = async {
            for _ in 0..10 {
                sender.frame(A, frame.clone()).await;
            }
        };
        let mut filling = Box::pin(filling);
        let mut waiting = 0;
        for _ in 0..10 {
            let full = futures_util::poll!(&mut filling).is_pending();
            waiting = waiting.max(events.events.len());
            if !full {
                break;
            }
            events.recv().await.unwrap();
        }
        assert_eq!(waiting, FRAMES_MAX_BYTES / FRAME_MAX_BYTES);
    }
}

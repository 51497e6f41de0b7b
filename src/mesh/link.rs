//! A pair's connection once it stands: one reads, one writes, one watches.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fau3_election::{Incarnation, RouterId, Time};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p_identity::PeerId;
use tokio::sync::Notify;

use super::api::{Down, Frame, SendOutcome};
use super::frame::{Decoder, Kind, Violation, header};
use super::handshake::{Established, Stream};
use super::hub::Hub;
use super::pipe::Fate;
use super::queue::Queue;
use super::uplink::Uplink;
use crate::pulse::{Action, Pace, Pulse};

/// Small frames go out together, up to this many bytes: one frame of yamux.
const BATCH_BYTES: usize = 16 * 1_024;
/// Beacons that wait for the connection; the oldest go first when they are more.
const BEACONS_WAITING_MAX: usize = 16;
/// What is longer goes in packets that are too large for some way.
const LARGE_BYTES: usize = 1_000;
/// Large packets of which nothing is acknowledged for so long are stuck.
const LARGE_STUCK: Duration = Duration::from_secs(3);
/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1_024;

/// A connected router as the rest of the mesh sees it.
pub(super) struct Link {
    pub(super) router: RouterId,
    pub(super) peer_id: PeerId,
    pub(super) incarnation: Incarnation,
    /// Where it listens: TCP and UDP.
    pub(super) listens: SocketAddr,
    /// Which of the mesh's keys it has.
    pub(super) key: usize,
    /// It was dialled as this main server.
    pub(super) uplink: Option<Arc<Uplink>>,
    /// Since when it stands.
    pub(super) since: Time,
    /// It takes beacons over the connection, too.
    carries: bool,
    shared: Mutex<Shared>,
    /// There is something to write.
    to_write: Notify,
    /// The pulse may have to act earlier than it said.
    to_watch: Notify,
    ended: Notify,
    /// Its path is dead, and another one is not.
    moves: Notify,
}

struct Shared {
    queue: Queue,
    pulse: Pulse,
    /// To be sent before anything else.
    ping: bool,
    seen: bool,
    deaf: bool,
    /// Since when a packet was filled of which nothing is acknowledged.
    large: Option<Time>,
    /// At most [`BEACONS_WAITING_MAX`].
    beacons: VecDeque<Bytes>,
}

/// Why a half of the connection came to its end.
enum End {
    /// The stream ended or broke; the lowest layer knows why.
    Gone(Down),
    Violation(Violation),
}

impl Link {
    pub(super) fn new(hub: &Hub, made: &Established, listens: SocketAddr) -> Self {
        let pace = match &made.uplink {
            Some(uplink) => Pace::Watching(uplink.check),
            None if hub.leaf => Pace::Watched,
            None => Pace::Usual,
        };
        let pulse = Pulse::new(hub.now(), pace);
        let shared = Shared {
            queue: Queue::default(),
            pulse,
            ping: false,
            seen: false,
            deaf: false,
            large: None,
            beacons: VecDeque::new(),
        };
        Self {
            router: made.router,
            peer_id: made.peer_id,
            incarnation: made.hello.incarnation,
            listens,
            key: made.key,
            uplink: made.uplink.clone(),
            carries: made.hello.carries,
            since: hub.now(),
            shared: Mutex::new(shared),
            to_write: Notify::new(),
            to_watch: Notify::new(),
            ended: Notify::new(),
            moves: Notify::new(),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame; also says how many stream frames it pushed out.
    pub(super) fn send(&self, frame: Frame) -> (SendOutcome, u32) {
        let outcome = self.shared().queue.push(frame);
        self.to_write.notify_one();
        outcome
    }

    /// Sends a beacon over the connection, since datagrams do not reach the other side.
    pub(super) fn carry(&self, beacon: &[u8]) {
        let mut shared = self.shared();
        if shared.beacons.len() >= BEACONS_WAITING_MAX {
            shared.beacons.pop_front();
        }
        shared.beacons.push_back(Bytes::copy_from_slice(beacon));
        self.to_write.notify_one();
    }

    /// Says that no datagram of the other side arrives, if it understands that.
    pub(super) fn say_deaf(&self) {
        if self.carries {
            self.shared().deaf = true;
            self.to_write.notify_one();
        }
    }

    /// Whether a connection that ends so now died of what takes large packets.
    pub(super) fn died_of_large(&self, now: Time, why: Down) -> bool {
        is_of_large(why, self.shared().large.map(|since| now.since(since)))
    }

    /// Ends the connection from outside.
    pub(super) fn end(&self) {
        self.ended.notify_one();
    }

    /// Ends the connection, so that one over another path takes its place.
    pub(super) fn move_away(&self) {
        self.moves.notify_one();
    }

    /// The other side behaves as if this connection were gone.
    pub(super) fn doubt(&self, hub: &Hub) {
        self.shared().pulse.doubt(hub.now());
        self.to_watch.notify_one();
    }

    /// The other side has answered by a datagram.
    pub(super) fn heard(&self, hub: &Hub) {
        self.shared().pulse.heard(hub.now());
    }

    /// Serves the connection to its end, and says why it ended.
    pub(super) async fn run(&self, hub: &Hub, stream: Stream, fate: Fate) -> Down {
        let (reader, writer, decoder, _driver) = stream.split();
        let ended = tokio::select! {
            end = self.read(hub, reader, decoder, &fate) => end,
            end = self.write(hub, writer, &fate) => end,
            () = self.watch(hub) => End::Gone(Down::TimedOut),
            () = self.ended.notified() => End::Gone(Down::ClosedByPeer),
            () = self.moves.notified() => End::Gone(Down::TimedOut),
            () = hub.uplink_differs(&self.uplink), if self.uplink.is_some() => End::Gone(Down::Ours),
            () = hub.closed_for_long() => End::Gone(Down::Ours),
        };
        match ended {
            _ if hub.is_closing() => Down::Ours,
            End::Gone(why) => why,
            End::Violation(violation) => {
                hub.violated(self.listens, violation);
                Down::Ours
            }
        }
    }

    async fn read(
        &self,
        hub: &Hub,
        mut reader: impl AsyncRead + Unpin,
        mut decoder: Decoder,
        fate: &Fate,
    ) -> End {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            loop {
                match decoder.next() {
                    Ok(None) => break,
                    Ok(Some((Kind::Goodbye, _))) => return End::Gone(Down::ClosedByPeer),
                    Ok(Some((kind, bytes))) => {
                        if let Err(violation) = self.take(hub, kind, bytes).await {
                            return End::Violation(violation);
                        }
                    }
                    Err(violation) => return End::Violation(violation),
                }
            }
            match reader.read(&mut chunk).await {
                Ok(0) => return End::Gone(fate.get().unwrap_or(Down::ClosedByPeer)),
                Err(_) => return End::Gone(fate.get().unwrap_or(Down::Ours)),
                Ok(read) => {
                    decoder.push(&chunk[..read]);
                    if self.shared().pulse.read(hub.now(), read) {
                        self.answer();
                    }
                }
            }
        }
    }

    async fn take(&self, hub: &Hub, kind: Kind, bytes: Bytes) -> Result<(), Violation> {
        match kind {
            Kind::Data => hub.events().frame(self.router, bytes).await,
            Kind::Ping => self.answer(),
            Kind::Seen => {
                let mut shared = self.shared();
                shared.pulse.seen(hub.now());
                shared.large = None;
                drop(shared);
                self.to_watch.notify_one();
            }
            Kind::Beacon => hub.carried(self, bytes),
            Kind::Deaf => hub.state().paths.told_deaf(hub.now(), self.router),
            Kind::Goodbye | Kind::Hello | Kind::Welcome | Kind::Duplicate => {
                return Err(Violation::Kind(kind as u8));
            }
        }
        Ok(())
    }

    fn answer(&self) {
        self.shared().seen = true;
        self.to_write.notify_one();
    }

    async fn write(&self, hub: &Hub, mut writer: impl AsyncWrite + Unpin, fate: &Fate) -> End {
        let broken = |_| End::Gone(fate.get().unwrap_or(Down::Ours));
        let mut batch = Vec::new();
        loop {
            let closing = hub.is_closing();
            while let Some(large) = self.fill(hub, &mut batch) {
                let written = write_out(&mut writer, &mut batch, large.as_deref()).await;
                if let Err(end) = written.map_err(broken) {
                    return end;
                }
                if self.drained() {
                    hub.events().drained(self.router).await;
                }
            }
            if closing {
                let _ = writer.write_all(&header(Kind::Goodbye, 0)).await;
                let _ = writer.close().await;
                // The other side closes the connection, or time runs out.
                return std::future::pending().await;
            }
            tokio::select! {
                () = self.to_write.notified() => {}
                () = hub.closing() => {}
            }
        }
    }

    fn drained(&self) -> bool {
        self.shared().queue.drained()
    }

    /// Fills a batch with what waits; `None` if nothing does. A frame that is
    /// too long for a batch comes last and apart, so that it is not copied.
    fn fill(&self, hub: &Hub, batch: &mut Vec<u8>) -> Option<Option<Bytes>> {
        let mut shared = self.shared();
        let control = [
            (std::mem::take(&mut shared.seen), Kind::Seen),
            (std::mem::take(&mut shared.ping), Kind::Ping),
            (std::mem::take(&mut shared.deaf), Kind::Deaf),
        ];
        for (_, kind) in control.into_iter().filter(|(wanted, _)| *wanted) {
            batch.extend_from_slice(&header(kind, 0));
        }
        // They are not owed an answer: who is silent is seen by what it sends itself.
        for beacon in std::mem::take(&mut shared.beacons) {
            batch.extend_from_slice(&header(Kind::Beacon, beacon.len()));
            batch.extend_from_slice(&beacon);
        }
        let (mut large, mut frames) = (None, 0);
        while batch.len() < BATCH_BYTES
            && large.is_none()
            && let Some(frame) = shared.queue.pop()
        {
            frames += 1;
            batch.extend_from_slice(&header(Kind::Data, frame.len()));
            if frame.len() > BATCH_BYTES {
                large = Some(frame);
            } else {
                batch.extend_from_slice(&frame);
            }
        }
        if large.is_some() || batch.len() > LARGE_BYTES {
            shared.large.get_or_insert(hub.now());
        }
        if frames > 0 && shared.pulse.sent(hub.now()) {
            self.to_watch.notify_one();
        }
        (!batch.is_empty()).then_some(large)
    }

    /// Returns when the other side has taken nothing for too long.
    async fn watch(&self, hub: &Hub) {
        loop {
            let action = self.shared().pulse.poll(hub.now());
            match action {
                Action::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(hub.instant(until)) => {}
                    () = self.to_watch.notified() => {}
                },
                Action::Ask => {
                    let mut shared = self.shared();
                    shared.pulse.asked(hub.now());
                    shared.ping = true;
                    self.to_write.notify_one();
                    if shared.pulse.is_in_doubt(hub.now()) {
                        hub.ask_uplink();
                    }
                }
                Action::GiveUp => return,
            }
        }
    }
}

/// Whether it was large packets, unacknowledged for so long, of which a connection died that
/// ended so. The other side may have given up first, since it heard nothing more behind them;
/// a process that ends in the midst of one says nothing of them.
fn is_of_large(why: Down, unacknowledged: Option<Duration>) -> bool {
    match why {
        Down::TimedOut => unacknowledged.is_some(),
        Down::ClosedByPeer => unacknowledged.is_some_and(|span| span >= LARGE_STUCK),
        Down::Ours => false,
    }
}

/// One write for all that is small, one flush for all.
async fn write_out(
    writer: &mut (impl AsyncWrite + Unpin),
    batch: &mut Vec<u8>,
    large: Option<&[u8]>,
) -> std::io::Result<()> {
    writer.write_all(batch).await?;
    batch.clear();
    if let Some(large) = large {
        writer.write_all(large).await?;
    }
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_packets_are_to_blame_whoever_gives_up_first_and_not_for_a_process_that_ends() {
        let stuck = |seconds| Some(Duration::from_secs(seconds));
        assert!(is_of_large(Down::TimedOut, stuck(1)) && is_of_large(Down::ClosedByPeer, stuck(10)));
        assert!(!is_of_large(Down::ClosedByPeer, stuck(0)) && !is_of_large(Down::Ours, stuck(10)));
        assert!(!is_of_large(Down::TimedOut, None) && !is_of_large(Down::ClosedByPeer, None));
    }
}

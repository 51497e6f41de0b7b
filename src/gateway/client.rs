//! A client of the router for a door that needs no outbox of its own.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::events::{Events, NotNow};
use super::hall::{ClientLink, DoorEvent, Hall};
use crate::router::{CloseReason, ConnId, FrameNo, Input, Refusal, Says, Told};
use crate::wire::ClientId;

/// From so many things that wait for the client on, nothing more is heard from it,
/// and of what is live the oldest goes.
pub const TOLD_WAITING_MAX: usize = 64;

/// A client that is let in. It has left when this is dropped.
pub struct Client {
    conn: ConnId,
    hall: Hall,
    waiting: Arc<Waiting>,
}

/// What the router has told, and the door has not taken.
struct Waiting {
    events: Events,
    queue: Mutex<Queue>,
    /// There is more for the door.
    more: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Default)]
struct Queue {
    things: VecDeque<Thing>,
    /// Told since the start.
    told: FrameNo,
    /// The newest that the door has taken.
    taken: FrameNo,
    /// The newest that the door is done with: it has come for more.
    done: FrameNo,
    /// The newest probe that is to be answered.
    probe: Option<u32>,
    closed: Option<CloseReason>,
}

enum Thing {
    Told(FrameNo, Told),
    Probe(u32),
}

impl Hall {
    /// Asks the router to let a client in.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn enter(&self, client_id: ClientId, address: IpAddr) -> Result<Client, Refusal> {
        let waiting = Waiting {
            events: self.events().clone(),
            queue: Mutex::default(),
            more: Notify::new(),
            room: Notify::new(),
        };
        let (conn, waiting) = (self.next_conn(), Arc::new(waiting));
        self.connect(conn, client_id, address, waiting.clone()).await?;
        Ok(Client { conn, hall: self.clone(), waiting })
    }
}

impl Client {
    /// The client says something. Waits while much waits for the client itself, or
    /// for the router.
    pub async fn says(&self, what: Says) {
        self.waiting.make_room().await;
        self.send(Input::Says { conn: self.conn, what }).await;
    }

    /// What the router tells it next. To be asked again once that is sent: then it
    /// counts as on its way. Nothing is lost where this is not waited for to its end.
    ///
    /// # Errors
    /// The router ends it, and why.
    pub async fn told(&self) -> Result<Told, CloseReason> {
        loop {
            let owed = self.waiting.queue().probe;
            if let Some(probe) = owed {
                // What was told before it is sent.
                self.send(Input::Pong { conn: self.conn, probe }).await;
                self.waiting.queue().probe.take_if(|newest| *newest == probe);
            }
            match self.waiting.next() {
                Some(Ok(Thing::Told(_, told))) => return Ok(told),
                Some(Ok(Thing::Probe(probe))) => self.waiting.queue().probe = Some(probe),
                Some(Err(why)) => return Err(why),
                None => self.waiting.more.notified().await,
            }
        }
    }

    async fn send(&self, input: Input) {
        // The node ends before its doors: then nobody minds.
        let _ = self.hall.events().send(DoorEvent::Input(input)).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (events, conn) = (self.hall.events().clone(), self.conn);
        let gone = DoorEvent::Input(Input::Disconnected { conn });
        // Where there is no place now, it waits for one; where nothing runs any more, nobody minds.
        if let (Err(NotNow::Full(gone)), Ok(runtime)) = (events.try_send(gone), Handle::try_current()) {
            runtime.spawn(async move {
                let _ = events.send(*gone).await;
            });
        }
    }
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Result<Thing, CloseReason>> {
        let mut queue = self.queue();
        queue.done = queue.taken;
        let next = queue.things.pop_front();
        if let Some(Thing::Told(number, _)) = &next {
            queue.taken = *number;
        }
        self.room.notify_waiters();
        next.map(Ok).or_else(|| queue.closed.map(Err))
    }

    fn has_room(&self) -> bool {
        let queue = self.queue();
        queue.things.len() < TOLD_WAITING_MAX || queue.closed.is_some()
    }

    async fn make_room(&self) {
        loop {
            let room = self.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }
}

impl ClientLink for Waiting {
    fn tell(&self, what: Told) {
        let mut queue = self.queue();
        queue.told += 1;
        let number = queue.told;
        let is_live = |thing: &Thing| matches!(thing, Thing::Told(_, Told::Live(_)));
        if queue.things.len() >= TOLD_WAITING_MAX
            && let Some(oldest) = queue.things.iter().position(is_live)
        {
            queue.things.remove(oldest);
            self.events.count_dropped_live(1);
        }
        queue.things.push_back(Thing::Told(number, what));
    }

    fn probe(&self, probe: u32) {
        self.queue().things.push_back(Thing::Probe(probe));
        self.more.notify_one();
    }

    fn close(&self, why: CloseReason) {
        self.queue().closed = Some(why);
        self.room.notify_waiters();
        self.more.notify_one();
    }

    fn flush(&self) {
        self.more.notify_one();
    }

    fn departed(&self) -> (Option<FrameNo>, bool) {
        let queue = self.queue();
        ((queue.done > 0).then_some(queue.done), queue.done < queue.told)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::gateway::NodeEvents;
    use crate::wire::Uuid;

    /// A client, and the router's end of it.
    async fn scene() -> (Client, Arc<dyn ClientLink>, NodeEvents) {
        let (hall, mut node) = Hall::new();
        let enter = hall.enter(ClientId::new("c").unwrap(), Ipv4Addr::LOCALHOST.into());
        let let_in = async {
            let Some(DoorEvent::Connect { link, answer, .. }) = node.recv().await.map(|it| it.event) else {
                panic!("nobody asks")
            };
            answer.send(Ok(())).unwrap();
            link
        };
        let (client, link) = tokio::join!(enter, let_in);
        (client.ok().unwrap(), link, node)
    }

    fn ask(number: u128) -> Told {
        Told::Ask { item: Uuid::from_hash(number) }
    }

    #[tokio::test]
    async fn a_probe_is_answered_once_what_was_told_before_it_was_sent() {
        let (client, link, mut node) = scene().await;
        link.tell(ask(1));
        link.probe(7);
        link.tell(ask(2));
        link.flush();
        assert_eq!(client.told().await, Ok(ask(1)));
        assert_eq!((node.try_recv().is_err(), link.departed()), (true, (None, true)));
        assert_eq!(client.told().await, Ok(ask(2)));
        let answered = node.try_recv().map(|it| it.event);
        assert!(matches!(answered, Ok(DoorEvent::Input(Input::Pong { probe: 7, .. }))));
        assert_eq!(link.departed(), (Some(1), true));
        link.close(CloseReason::TakenOver);
        assert_eq!(client.told().await, Err(CloseReason::TakenOver));
        assert_eq!(link.departed(), (Some(2), false));
        drop(client);
        let gone = node.recv().await.map(|it| it.event);
        assert!(matches!(gone, Some(DoorEvent::Input(Input::Disconnected { .. }))));
    }

    #[tokio::test]
    async fn old_audio_is_dropped_first_and_who_takes_nothing_is_not_heard() {
        let (client, link, _node) = scene().await;
        link.tell(ask(0));
        (0..200).for_each(|byte| link.tell(Told::Live(vec![byte].into())));
        let says = || client.says(Says::Ask { token: "t".into() });
        assert!(timeout(Duration::from_millis(50), says()).await.is_err(), "it waits");
        assert_eq!(client.told().await, Ok(ask(0)), "no audio, so it stays");
        let oldest = 200 - (TOLD_WAITING_MAX as u8 - 1);
        assert_eq!(client.told().await, Ok(Told::Live(vec![oldest].into())));
        timeout(Duration::from_secs(5), says()).await.unwrap();
    }
}

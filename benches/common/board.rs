//! What all the clients of a load share: who has sent what, who has it, who may send next. It knows no sockets.

use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    dialect::{Dialect, Event, Kind, Payload, Stamp, message_id},
    tally::{Faults, Heard},
};

/// Who is connected, and what they send.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rooms: u32,
    pub(crate) listeners_per_room: u32,
    pub(crate) kind: Kind,
    pub(crate) payload_bytes: usize,
}

/// When a sender sends its next message.
#[derive(Clone, Copy)]
pub(crate) enum Pacing {
    /// As soon as fewer than so many are in flight.
    Window(usize),
    /// At this interval; the rooms begin evenly spread over the first one.
    Every(Duration),
}

/// What came of one run.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) delivered: u64,
    pub(crate) faults: Faults,
    /// Publish to deliver, microseconds, sorted.
    pub(crate) latencies_us: Vec<u32>,
    /// From the first message to the last sign of progress.
    pub(crate) took: Duration,
}

pub(crate) struct Board {
    pub(crate) dialect: Rc<dyn Dialect>,
    pub(crate) payload: Rc<Payload>,
    pub(crate) last_progress: Instant,
    /// Why the run cannot go on.
    pub(crate) failure: Option<String>,
    rooms: Vec<Room>,
    pacing: Pacing,
    clock: Instant,
    begun: Instant,
    /// Rings when the last room has nothing left to do, or something failed.
    done: Rc<Notify>,
    outcome: Outcome,
}

struct Room {
    /// Of the current run.
    first_seq: u32,
    next_seq: u32,
    /// The sender stops before this one.
    end_seq: u32,
    first_due: Duration,
    /// Oldest first, without gaps up to `next_seq`.
    in_flight: VecDeque<InFlight>,
    heard: Vec<Heard>,
    /// Rings when the sender may go on.
    wake: Rc<Notify>,
}

struct InFlight {
    confirmed: bool,
    /// Listeners that do not have it yet.
    awaited: usize,
}

impl Board {
    pub(crate) fn new(dialect: Rc<dyn Dialect>, shape: Shape) -> Board {
        let room = |_| Room {
            first_seq: 0,
            next_seq: 0,
            end_seq: 0,
            first_due: Duration::ZERO,
            in_flight: VecDeque::new(),
            heard: (0..shape.listeners_per_room).map(|_| Heard::default()).collect(),
            wake: Rc::default(),
        };
        let now = Instant::now();
        Board {
            payload: Rc::new(dialect.payload(shape.kind, shape.payload_bytes)),
            dialect,
            last_progress: now,
            failure: None,
            rooms: (0..shape.rooms).map(room).collect(),
            pacing: Pacing::Window(0),
            clock: now,
            begun: now,
            done: Rc::default(),
            outcome: Outcome::default(),
        }
    }

    /// Lets each sender send `messages` more; returns what rings when all is done.
    pub(crate) fn begin(&mut self, messages: u32, pacing: Pacing) -> Rc<Notify> {
        self.pacing = pacing;
        self.begun = Instant::now();
        self.last_progress = self.begun;
        let count = u32::try_from(self.rooms.len()).unwrap_or(u32::MAX);
        for (room, index) in self.rooms.iter_mut().zip(0..) {
            room.first_seq = room.next_seq;
            room.end_seq = room.next_seq + messages;
            if let Pacing::Every(interval) = pacing {
                room.first_due = interval * index / count;
            }
            room.wake.notify_one();
        }
        self.done.clone()
    }

    pub(crate) fn stop_sending(&mut self) {
        for room in &mut self.rooms {
            room.end_seq = room.next_seq;
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.rooms.iter().all(|room| room.in_flight.is_empty() && room.next_seq >= room.end_seq)
    }

    /// Ends the run: what has not come by now is lost.
    pub(crate) fn end(&mut self) -> Outcome {
        self.stop_sending();
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.took = self.last_progress - self.begun;
        for room in &mut self.rooms {
            room.in_flight.clear();
            for heard in &mut room.heard {
                heard.close(room.next_seq, &mut outcome.faults);
            }
        }
        outcome.latencies_us.sort_unstable();
        outcome
    }

    pub(crate) fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
        self.done.notify_one();
    }

    /// Rings when the sender of `room` may go on.
    pub(crate) fn wake(&self, room: u32) -> Rc<Notify> {
        self.rooms[room as usize].wake.clone()
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Appends to `out` what the sender of `room` may send now; returns when it may send more, if that is a matter
    /// of time.
    pub(crate) fn fill(&mut self, index: u32, out: &mut Vec<u8>) -> Option<Instant> {
        loop {
            let sent_us = self.now_us();
            let room = &mut self.rooms[index as usize];
            if room.next_seq >= room.end_seq {
                return None;
            }
            match self.pacing {
                Pacing::Window(window) if room.in_flight.len() >= window => return None,
                Pacing::Window(_) => {}
                Pacing::Every(interval) => {
                    let due = self.begun + room.first_due + interval * (room.next_seq - room.first_seq);
                    if due > Instant::now() {
                        return Some(due);
                    }
                }
            }
            let stamp = Stamp { room: index, seq: room.next_seq, sent_us };
            room.next_seq += 1;
            let confirmed = self.payload.kind == Kind::Frame;
            room.in_flight.push_back(InFlight { confirmed, awaited: room.heard.len() });
            self.dialect.publish(stamp, &self.payload, out);
        }
    }

    /// What came to the sender of `room`. Nothing of what it sends may come back.
    pub(crate) fn at_sender(&mut self, index: u32, event: &Event) {
        match *event {
            Event::Confirmed(id) => self.confirmed(index, id),
            Event::Delivered(_) => self.outcome.faults.damaged += 1,
            Event::Welcome | Event::Subscribed | Event::Other => {}
        }
    }

    fn confirmed(&mut self, index: u32, id: u16) {
        let room = &mut self.rooms[index as usize];
        let seqs = room.first_in_flight()..room.next_seq;
        let found = seqs.zip(&mut room.in_flight).find(|(seq, _)| message_id(*seq) == id);
        if let Some((_, in_flight)) = found {
            in_flight.confirmed = true;
        }
        self.advance(index);
    }

    /// What came to `listener` of `room` at `now_us`.
    pub(crate) fn at_listener(&mut self, index: u32, listener: u32, event: &Event, now_us: u64) {
        let Event::Delivered(stamp) = event else { return };
        let room = &mut self.rooms[index as usize];
        let faults = &mut self.outcome.faults;
        let Some(stamp) = stamp.filter(|stamp| stamp.room == index && stamp.seq < room.next_seq) else {
            faults.damaged += 1;
            return;
        };
        if !room.heard[listener as usize].take(stamp.seq, faults) {
            return;
        }
        self.outcome.delivered += 1;
        let latency = now_us.saturating_sub(stamp.sent_us);
        self.outcome.latencies_us.push(u32::try_from(latency).unwrap_or(u32::MAX));
        let place = stamp.seq.checked_sub(room.first_in_flight());
        if let Some(in_flight) = place.and_then(|place| room.in_flight.get_mut(place as usize)) {
            in_flight.awaited = in_flight.awaited.saturating_sub(1);
        }
        self.advance(index);
    }

    /// Takes what is settled out of flight, and wakes whom that concerns.
    fn advance(&mut self, index: u32) {
        self.last_progress = Instant::now();
        let room = &mut self.rooms[index as usize];
        let before = room.in_flight.len();
        while room.in_flight.front().is_some_and(|first| first.confirmed && first.awaited == 0) {
            room.in_flight.pop_front();
        }
        if room.in_flight.len() < before {
            room.wake.notify_one();
            if self.is_complete() {
                self.done.notify_one();
            }
        }
    }
}

impl Room {
    fn first_in_flight(&self) -> u32 {
        self.next_seq - u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX)
    }
}

//! All ends of calls at one router, as one pure machine: who is connected, under which
//! name, and what of it concerns whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use fau3_election::Time;

use super::end::{Counts, End};
use super::words::{CallId, Party, Says, Signal, Word};
use crate::router::ConnId;
use crate::wire::Origin;
use crate::wire::call::Packet;

/// What happens.
#[derive(Debug)]
pub enum Input {
    /// A client has connected.
    Connected(ConnId),
    /// It says something.
    Says(ConnId, Packet),
    /// It has left, or is lost.
    Closed(ConnId),
    /// Somebody else has its name now, at another router.
    Elsewhere(ConnId),
    /// The other end of a call says something to one of this router's.
    Signal {
        /// Who says it.
        from: Party,
        /// To whom.
        to: Party,
        /// What.
        signal: Signal,
    },
    /// Audio likewise.
    Live {
        /// Whose.
        from: Party,
        /// For whom.
        to: Party,
        /// Of which call.
        call: CallId,
        /// One packet's.
        audio: Arc<[u8]>,
    },
    /// What [`Output::Post`] said of this call could not be handed over.
    Undelivered {
        /// Who said it.
        from: Party,
        /// Of which call.
        call: CallId,
    },
    /// Nobody is reached so any more, anywhere.
    Gone(Party),
    /// The moment that [`Calls::poll_timeout`] named has come.
    Tick,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Something waits for this client: [`Calls::next_packet`].
    Ready(ConnId),
    /// End the connection once what waits is out.
    Close(ConnId),
    /// This client is reached as this from now on, whoever was so before, wherever.
    Enter(ConnId, Party),
    /// Nobody is here any more who is reached so.
    Leave(Party),
    /// Tell an end, wherever it is.
    Post {
        /// Who says it.
        from: Party,
        /// To whom.
        to: Party,
        /// What.
        signal: Signal,
    },
    /// Audio likewise, at once or not at all.
    Live {
        /// Whose.
        from: Party,
        /// For whom.
        to: Party,
        /// Of which call.
        call: CallId,
        /// One packet's.
        audio: Arc<[u8]>,
    },
}

/// See the module's text.
#[derive(Debug)]
pub struct Calls {
    origin: Origin,
    ends: BTreeMap<ConnId, End>,
    by_party: BTreeMap<Party, ConnId>,
    timers: BTreeSet<(Time, ConnId)>,
    timer_of: BTreeMap<ConnId, Time>,
    outputs: VecDeque<Output>,
    calls: u64,
    nameless: u64,
    /// Of those that have left.
    counts: Counts,
    dropped: u64,
}

impl Calls {
    /// Of a router in this life.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            ends: BTreeMap::new(),
            by_party: BTreeMap::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            outputs: VecDeque::new(),
            calls: 0,
            nameless: 0,
            counts: Counts::default(),
            dropped: 0,
        }
    }

    /// Takes in what happened at `now`. Never blocks; what follows is fetched with
    /// [`Self::poll_output`].
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Connected(conn) => self.connected(conn),
            Input::Says(conn, packet) => self.client_says(now, conn, packet),
            Input::Closed(conn) => self.closed(now, conn),
            Input::Elsewhere(conn) => self.loses_its_name(now, conn),
            Input::Signal { from, to, signal } => match self.by_party.get(&to) {
                Some(&conn) => self.with(now, conn, |end| end.peer_says(now, from, signal)),
                None => self.nobody_here(from, to, &signal),
            },
            Input::Live { from, to, call, audio } => match self.by_party.get(&to) {
                Some(&conn) => self.with(now, conn, |end| end.hears(now, from, call, audio)),
                None => self.nobody_here(from, to, &Signal { call, says: Says::Accepted(Box::default()) }),
            },
            Input::Undelivered { from, call } => {
                if let Some(&conn) = self.by_party.get(&from) {
                    self.with(now, conn, |end| end.not_handed_over(now, call));
                }
            }
            Input::Gone(party) => {
                let of_it: Vec<ConnId> = self
                    .ends
                    .iter()
                    .filter(|(_, end)| end.peer() == Some(&party))
                    .map(|(conn, _)| *conn)
                    .collect();
                for conn in of_it {
                    self.with(now, conn, |end| end.peer_is_gone(now));
                }
            }
            Input::Tick => {}
        }
        self.run_timers(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle`] again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What the client's socket is to take next: ask while it takes more.
    pub fn next_packet(&mut self, now: Time, conn: ConnId) -> Option<Packet> {
        let packet = self.ends.get_mut(&conn)?.queue.next(now);
        self.set_timer(conn);
        packet
    }

    /// Nothing is known of anybody.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ends.is_empty() && self.by_party.is_empty() && self.timers.is_empty()
    }

    /// Ends in a call now.
    #[must_use]
    pub fn in_call(&self) -> usize {
        self.ends.values().filter(|end| end.peer().is_some()).count()
    }

    /// All that was counted, and packets of audio that were let go for slow clients.
    #[must_use]
    pub fn counts(&self) -> (Counts, u64) {
        self.ends.values().fold((self.counts, self.dropped), |(counts, dropped), end| {
            (counts.and(end.counts), dropped + end.queue.dropped)
        })
    }

    fn connected(&mut self, conn: ConnId) {
        let party = self.nameless();
        self.by_party.insert(party.clone(), conn);
        self.outputs.push_back(Output::Enter(conn, party.clone()));
        self.ends.insert(conn, End::new(party));
    }

    fn nameless(&mut self) -> Party {
        self.nameless += 1;
        Party::Nameless { router: self.origin.router, number: self.nameless }
    }

    fn client_says(&mut self, now: Time, conn: ConnId, packet: Packet) {
        let fresh = CallId { origin: self.origin, number: self.calls + 1 };
        if matches!(packet, Packet::Offer { .. }) {
            self.calls += 1;
        }
        self.with(now, conn, |end| end.client_says(now, packet, fresh));
    }

    fn closed(&mut self, now: Time, conn: ConnId) {
        self.with(now, conn, End::leaves);
        let Some(end) = self.ends.remove(&conn) else { return };
        if let Some(at) = self.timer_of.remove(&conn) {
            self.timers.remove(&(at, conn));
        }
        self.counts = self.counts.and(end.counts);
        self.dropped += end.queue.dropped;
        if self.by_party.get(&end.party) == Some(&conn) {
            self.by_party.remove(&end.party);
            self.outputs.push_back(Output::Leave(end.party));
        }
    }

    /// Its name is somebody else's, here or elsewhere; it stays connected without one.
    fn loses_its_name(&mut self, now: Time, conn: ConnId) {
        let nameless = self.nameless();
        let Some(end) = self.ends.get_mut(&conn).filter(|end| matches!(end.party, Party::Named(_))) else {
            return;
        };
        let named = end.party.clone();
        // What its call ends with is still said under the name that it had.
        end.is_elsewhere(now, nameless.clone());
        let words = end.take_words();
        if self.by_party.get(&named) == Some(&conn) {
            self.by_party.remove(&named);
        }
        self.by_party.insert(nameless.clone(), conn);
        self.carry_out(conn, &named, words);
        self.outputs.push_back(Output::Enter(conn, nameless));
    }

    /// Lets an end do something, and does what it asks for.
    fn with(&mut self, now: Time, conn: ConnId, act: impl FnOnce(&mut End)) {
        let Some(end) = self.ends.get_mut(&conn) else { return };
        let before = end.party.clone();
        act(end);
        let (after, words) = (end.party.clone(), end.take_words());
        if before != after {
            self.by_party.remove(&before);
            self.outputs.push_back(Output::Leave(before));
            if let Some(other) = self.by_party.remove(&after) {
                self.loses_its_name(now, other);
            }
            self.by_party.insert(after.clone(), conn);
            self.outputs.push_back(Output::Enter(conn, after.clone()));
        }
        self.carry_out(conn, &after, words);
    }

    fn carry_out(&mut self, conn: ConnId, from: &Party, words: Vec<Word>) {
        for word in words {
            self.outputs.push_back(match word {
                Word::Signal(to, signal) => Output::Post { from: from.clone(), to, signal },
                Word::Live(to, call, audio) => Output::Live { from: from.clone(), to, call, audio },
            });
        }
        if let Some(end) = self.ends.get(&conn) {
            if end.queue.is_full() {
                self.outputs.push_back(Output::Close(conn));
            } else if !end.queue.is_empty() {
                self.outputs.push_back(Output::Ready(conn));
            }
        }
        self.set_timer(conn);
    }

    /// Whoever calls hears that nobody is here; whoever talks, that the call is over.
    fn nobody_here(&mut self, from: Party, to: Party, signal: &Signal) {
        if let Some(says) = signal.says.to_nobody() {
            let signal = Signal { call: signal.call, says };
            self.outputs.push_back(Output::Post { from: to, to: from, signal });
        }
    }

    fn set_timer(&mut self, conn: ConnId) {
        let due = self.ends.get(&conn).and_then(End::timeout);
        if let Some(at) = self.timer_of.remove(&conn) {
            self.timers.remove(&(at, conn));
        }
        if let Some(at) = due {
            self.timer_of.insert(conn, at);
            self.timers.insert((at, conn));
        }
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(&(at, conn)) = self.timers.first()
            && at <= now
        {
            self.with(now, conn, |end| end.due(now));
        }
    }
}

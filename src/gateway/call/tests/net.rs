//! Several routers' calls with clients on them, in virtual time: names are known
//! everywhere at once, what is said takes its time and keeps its order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fau3_election::{Incarnation, RouterId, Time};

use super::super::calls::{Calls, Input, Output};
use super::super::words::Party;
use crate::router::ConnId;
use crate::wire::Origin;
use crate::wire::call::{Packet, Parameters, Username};

pub(super) const VOICE: Parameters =
    Parameters { sample_rate: 8_000, channels: 1, format: 2, chunk_bytes: 320 };
/// One client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Client {
    pub(super) router: usize,
    conn: ConnId,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) routers: Vec<Calls>,
    lives: Vec<u32>,
    /// Between two routers, one way.
    pub(super) delay: Duration,
    on_the_way: BTreeMap<(Time, u64), (usize, Input)>,
    sent: u64,
    places: BTreeMap<Party, Client>,
    connected: BTreeSet<Client>,
    conns: u64,
    /// What each client got and nobody looked at.
    got: BTreeMap<Client, VecDeque<Packet>>,
    /// Clients that read nothing for now.
    pub(super) deaf: BTreeSet<Client>,
    pub(super) closed: BTreeSet<Client>,
}

fn origin(router: usize, life: u32) -> Origin {
    let id = u8::try_from(router).unwrap() + 1;
    Origin { router: RouterId([id; 16]), incarnation: Incarnation { counter: life, random: u64::from(life) } }
}

impl Net {
    pub(super) fn new(routers: usize) -> Self {
        Self {
            now: Time::ZERO,
            routers: (0..routers).map(|router| Calls::new(origin(router, 1))).collect(),
            lives: vec![1; routers],
            delay: Duration::from_millis(5),
            on_the_way: BTreeMap::new(),
            sent: 0,
            places: BTreeMap::new(),
            connected: BTreeSet::new(),
            conns: 0,
            got: BTreeMap::new(),
            deaf: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    pub(super) fn connect(&mut self, router: usize) -> Client {
        self.conns += 1;
        let client = Client { router, conn: ConnId(self.conns) };
        self.connected.insert(client);
        self.input(router, Input::Connected(client.conn));
        client
    }

    /// Connected, and under this name.
    pub(super) fn named(&mut self, router: usize, name: &str) -> Client {
        let client = self.connect(router);
        self.offers(client, VOICE, name, name.as_bytes());
        assert_eq!(self.got(client), []);
        client
    }

    pub(super) fn offers(&mut self, client: Client, parameters: Parameters, to: &str, data: &[u8]) {
        self.says(client, Packet::Offer { parameters, username: to.as_bytes().into(), data: data.into() });
    }

    pub(super) fn says(&mut self, client: Client, packet: Packet) {
        self.input(client.router, Input::Says(client.conn, packet));
    }

    pub(super) fn hang_up(&mut self, client: Client) {
        self.connected.remove(&client);
        self.input(client.router, Input::Closed(client.conn));
    }

    pub(super) fn hang_up_all(&mut self) {
        for client in self.connected.clone() {
            self.hang_up(client);
        }
    }

    pub(super) fn clients(&self) -> Vec<Client> {
        self.connected.iter().copied().collect()
    }

    /// A router loses its power, and comes back without knowing anything; its
    /// clients have to connect again.
    pub(super) fn restart(&mut self, router: usize) {
        self.lives[router] += 1;
        self.routers[router] = Calls::new(origin(router, self.lives[router]));
        self.connected.retain(|client| client.router != router);
        self.places.retain(|_, place| place.router != router);
    }

    /// The others find out that a router has gone, with all that were there.
    pub(super) fn tell_gone(&mut self, parties: &[Party]) {
        for party in parties {
            for router in 0..self.routers.len() {
                self.input(router, Input::Gone(party.clone()));
            }
        }
    }

    /// What this client got since it was last asked.
    pub(super) fn got(&mut self, client: Client) -> Vec<Packet> {
        self.run(Duration::ZERO);
        self.got.remove(&client).unwrap_or_default().into()
    }

    /// Until nothing is under way and so much time is over.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let arrival = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.routers.iter().filter_map(Calls::poll_timeout).min();
            let due = arrival.into_iter().chain(timeout).min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if arrival.is_some_and(|arrival| arrival <= at) {
                let (_, (to, input)) = self.on_the_way.pop_first().unwrap();
                self.input(to, input);
            } else {
                for router in 0..self.routers.len() {
                    self.input(router, Input::Tick);
                }
            }
        }
        self.now = end;
        for client in self.clients() {
            self.read(client);
        }
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn input(&mut self, router: usize, input: Input) {
        self.routers[router].handle(self.now, input);
        while let Some(output) = self.routers[router].poll_output() {
            self.carry_out(router, output);
        }
    }

    fn carry_out(&mut self, router: usize, output: Output) {
        match output {
            Output::Ready(conn) => self.read(Client { router, conn }),
            Output::Close(conn) => {
                let client = Client { router, conn };
                if self.connected.contains(&client) {
                    self.closed.insert(client);
                    self.hang_up(client);
                }
            }
            Output::Enter(conn, party) => {
                let place = Client { router, conn };
                let before = self.places.insert(party, place);
                if let Some(before) = before.filter(|before| before.router != router) {
                    self.send(before.router, Input::Elsewhere(before.conn));
                }
            }
            Output::Leave(party) => {
                if self.places.get(&party).is_some_and(|place| place.router == router) {
                    self.places.remove(&party);
                    for other in 0..self.routers.len() {
                        self.send(other, Input::Gone(party.clone()));
                    }
                }
            }
            Output::Post { from, to, signal } => match self.places.get(&to) {
                Some(place) => self.send(place.router, Input::Signal { from, to, signal }),
                None => self.send(router, Input::Undelivered { from, call: signal.call }),
            },
            Output::Live { from, to, call, audio } => {
                if let Some(place) = self.places.get(&to) {
                    self.send(place.router, Input::Live { from, to, call, audio });
                }
            }
        }
    }

    fn send(&mut self, to: usize, input: Input) {
        self.sent += 1;
        self.on_the_way.insert((self.now + self.delay, self.sent), (to, input));
    }

    fn read(&mut self, client: Client) {
        if self.deaf.contains(&client) || !self.connected.contains(&client) {
            return;
        }
        while let Some(packet) = self.routers[client.router].next_packet(self.now, client.conn) {
            self.got.entry(client).or_default().push_back(packet);
        }
    }
}

pub(super) fn party(name: &str) -> Party {
    Party::Named(Username::new(name.as_bytes()).unwrap())
}

pub(super) fn audio(bytes: &[u8]) -> Packet {
    Packet::Audio(Arc::from(bytes))
}

pub(super) fn ended(why: &str) -> Packet {
    Packet::Ended { data: why.as_bytes().into() }
}

pub(super) fn refused(why: &str) -> Packet {
    Packet::Refused { data: why.as_bytes().into() }
}

pub(super) fn accepted() -> Packet {
    Packet::Accepted { data: Box::default() }
}

/// As the callee sees it.
pub(super) fn offer(parameters: Parameters, from: &str, data: &str) -> Packet {
    Packet::Offer { parameters, username: from.as_bytes().into(), data: data.as_bytes().into() }
}

//! Each wrong variant does something wrong that a small story shows; the
//! simulator's checks have to find it without being told where.
#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used)]

use fau3_election::{
    Config, Coordinator, Election, Incarnation, Input, Link, Mutant, Output, Packet, Record, Report,
    RouterId, SavedState, ServerEntry, ServerList, Time,
};

fn id(byte: u8) -> RouterId {
    RouterId([byte; 16])
}

/// One router under test, alone with datagrams that the story makes up.
struct Story {
    election: Election,
    now: Time,
    sent: Vec<(Option<RouterId>, Packet)>,
    /// Sequence of the made-up heartbeats.
    sequence: u32,
}

impl Story {
    fn new(mutant: Option<Mutant>, saved: SavedState) -> Self {
        let entry = |name: &str| ServerEntry { name: name.into(), id: None };
        let list = vec![entry("b"), entry("a"), entry("c")];
        let config = Config { name: "a".into(), list, mutant, ..Config::default() };
        let election = Election::new(config, id(1), saved, 7, Time::ZERO);
        Self { election, now: Time::ZERO, sent: Vec::new(), sequence: 0 }
    }

    /// A wrong variant may say what nobody takes in.
    fn note(&mut self, to: Option<RouterId>, bytes: &[u8]) {
        self.sent.extend(Packet::decode(bytes).ok().map(|packet| (to, packet)));
    }

    fn drain(&mut self) {
        while let Some(output) = self.election.poll_output() {
            match output {
                Output::Broadcast(datagram) => {
                    self.note(None, datagram.as_bytes());
                }
                Output::Send(to, datagram) => {
                    self.note(Some(to), datagram.as_bytes());
                }
                Output::Persist { ticket, .. } => self.election.handle(self.now, Input::Persisted { ticket }),
                _ => {}
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.election.handle(self.now, input);
        self.drain();
    }

    fn hear(&mut self, packet: &Packet) {
        self.input(Input::Datagram(packet.encode().as_bytes()));
    }

    /// Time passes; the routers of `alive` send a heartbeat every 250 ms.
    fn run(&mut self, millis: u64, alive: &[Record]) {
        for _ in 0..millis / 250 {
            self.sequence += 1;
            for record in alive {
                let heartbeat = fau3_election::Heartbeat {
                    origin: record.origin,
                    incarnation: record.incarnation,
                    sequence: self.sequence,
                    revision: record.revision,
                    digest: 0,
                };
                self.hear(&Packet::Heartbeat(heartbeat));
                self.hear(&Packet::Record { sender: record.origin, record: record.clone() });
            }
            let end = self.now + std::time::Duration::from_millis(250);
            while let Some(at) = self.election.poll_timeout().filter(|at| *at <= end) {
                self.now = at.max(self.now);
                self.input(Input::Timeout);
            }
            self.now = end;
        }
    }

    fn coordinator(&self) -> Coordinator {
        self.election.view().coordinator
    }

    fn own_record(&self) -> &Record {
        self.election.map().get(id(1)).unwrap()
    }
}

/// What a router with this id says, which hears `heard`, with the same list.
fn record(byte: u8, heard: &[u8]) -> Record {
    let entry = |name: &str| ServerEntry { name: name.into(), id: None };
    let list = ServerList::new(0, vec![entry("b"), entry("a"), entry("c")]);
    let name = char::from(b'a' + byte - 1).to_string();
    Record {
        origin: id(byte),
        incarnation: Incarnation { counter: 1, random: 5 },
        revision: 1,
        place: list.place(id(byte), &name),
        name,
        ready: true,
        leaving: false,
        leaf: false,
        default_server: Report::Unknown,
        list: list.version(),
        leading: 0,
        seen: None,
        links: heard.iter().map(|to| Link { to: id(*to), held: false, flaps: 0 }).collect(),
    }
}

/// What the story of one mutant ends with; the same without the mutant is different.
fn ending(story: Mutant, mutant: Option<Mutant>) -> String {
    let mut run = Story::new(mutant, SavedState { epoch_ceiling: 5_000, ..SavedState::default() });
    match story {
        Mutant::OneWayTrusted => {
            run.run(3_000, &[record(2, &[])]);
            format!("{:?}", run.coordinator())
        }
        Mutant::NoListening => {
            run.run(500, &[]);
            format!("{:?}", run.coordinator())
        }
        Mutant::NoHoldDown | Mutant::EndlessHoldDown => {
            for counter in 1..4 {
                let incarnation = Incarnation { counter, random: 5 };
                run.run(2_000, &[Record { incarnation, ..record(2, &[1]) }]);
            }
            let held_at_once = run.own_record().links[0].held;
            let incarnation = Incarnation { counter: 3, random: 5 };
            run.run(30_000, &[Record { incarnation, ..record(2, &[1]) }]);
            format!("{held_at_once} {}", run.own_record().links[0].held)
        }
        Mutant::ListVersionIgnored => {
            let mut older = record(2, &[1]);
            older.list = fau3_election::ListVersion { number: 0, hash: 1 };
            run.run(3_000, &[older]);
            format!("{:?}", run.coordinator())
        }
        Mutant::IncarnationIgnored => {
            run.run(3_000, &[Record { revision: 9, ..record(2, &[1]) }]);
            let incarnation = Incarnation { counter: 2, random: 5 };
            run.run(1_000, &[Record { incarnation, ready: false, ..record(2, &[1]) }]);
            format!("{:?}", run.coordinator())
        }
        Mutant::EpochNotPersisted => {
            run.run(3_000, &[]);
            format!("{:?}", run.election.view().epoch.map(|epoch| epoch.number > 5_000))
        }
        Mutant::LeaveIgnored => {
            run.run(3_000, &[record(2, &[1])]);
            let leaving = Record { revision: 2, leaving: true, ..record(2, &[1]) };
            run.hear(&Packet::Record { sender: id(2), record: leaving });
            format!("{:?}", run.coordinator())
        }
        Mutant::RelayToEveryone | Mutant::RelayNone => {
            // B and C hear each other, D hears only this router.
            run.run(3_000, &[record(2, &[1, 3]), record(3, &[1, 2]), record(4, &[1])]);
            run.sent.clear();
            let changed = Record { revision: 2, ..record(2, &[1, 3]) };
            run.hear(&Packet::Record { sender: id(2), record: changed });
            let relayed = run.sent.iter().filter(
                |(_, packet)| matches!(packet, Packet::Record { record, .. } if record.origin == id(2)),
            );
            format!("{:?}", relayed.map(|(to, _)| *to).collect::<Vec<_>>())
        }
        Mutant::TieByArrival => {
            let unlisted = |byte| Record { place: None, name: String::new(), ..record(byte, &[1]) };
            let incoming = fau3_election::ServerEntry { name: "nobody".into(), id: None };
            run.input(Input::ListConfigured(std::slice::from_ref(&incoming)));
            let version = ServerList::new(0, vec![incoming]).version();
            let zero = Record { origin: id(0), list: version, ..unlisted(2) };
            run.run(3_000, &[zero]);
            format!("{:?}", run.coordinator())
        }
        Mutant::StaleDefaultServer => {
            run.run(3_000, &[Record { default_server: Report::Reachable, ..record(2, &[1]) }]);
            run.run(10_000, &[]);
            format!("{:?}", run.coordinator())
        }
        Mutant::AllBelieved => {
            let far = fau3_election::Epoch { number: 1 << 62, router: id(2), ..epoch_of_two() };
            run.run(3_000, &[Record { seen: Some(far), place: None, name: "z".into(), ..record(2, &[1]) }]);
            let epoch = run.election.view().epoch;
            let taken = Election::new(Config::default(), id(9), SavedState::default(), 3, Time::ZERO)
                .accepts(epoch.unwrap_or(far));
            format!("{taken} {}", run.election.view().leads())
        }
        Mutant::CloneByWords => {
            run.run(3_000, &[Record { origin: id(1), ..record(2, &[1]) }]);
            format!("{:?}", run.election.view().role)
        }
    }
}

fn epoch_of_two() -> fau3_election::Epoch {
    let incarnation = Incarnation { counter: 1, random: 5 };
    fau3_election::Epoch { number: 1, router: id(2), incarnation }
}

#[test]
fn each_mutant_ends_its_story_otherwise_than_the_rule() {
    for mutant in Mutant::ALL {
        assert_ne!(ending(mutant, None), ending(mutant, Some(mutant)), "{mutant:?} makes no difference");
    }
}

#[test]
fn the_rules_themselves_end_the_stories_as_they_should() {
    let me = format!("{:?}", Coordinator::Router(id(1)));
    for story in [
        Mutant::OneWayTrusted,
        Mutant::ListVersionIgnored,
        Mutant::IncarnationIgnored,
        Mutant::LeaveIgnored,
        Mutant::StaleDefaultServer,
    ] {
        assert_eq!(ending(story, None), me, "{story:?}");
    }
    assert_eq!(ending(Mutant::NoListening, None), "None");
    assert_eq!(ending(Mutant::AllBelieved, None), "true true");
    assert_eq!(ending(Mutant::CloneByWords, None), "Server");
    assert_eq!(ending(Mutant::NoHoldDown, None), "true false");
    assert_eq!(ending(Mutant::EpochNotPersisted, None), "Some(true)");
    assert_eq!(ending(Mutant::TieByArrival, None), format!("{:?}", Coordinator::Router(id(0))));
    assert_eq!(ending(Mutant::RelayNone, None), format!("{:?}", [Some(id(4))]));
}

//! "No word of one router may stop another one, or a third" (DESIGN.md, "Who may do
//! what"): whatever one router takes in, what it says next is taken in by another.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use fau3_election::{
    Config, Election, Epoch, Heartbeat, Incarnation, Input, Link, ListVersion, Output, Packet, Record,
    Report, RouterId, SavedState, ServerList, Time,
};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const A: RouterId = RouterId([1; 16]);
const B: RouterId = RouterId([2; 16]);
const LIAR: RouterId = RouterId([3; 16]);

/// Numbers at and around every bound there may be.
fn number() -> impl Strategy<Value = u64> {
    let near = |bits: u32, by: i64| (1_u64 << bits).wrapping_add_signed(by);
    prop_oneof![
        proptest::strategy::Just(u64::MAX),
        (0..64_u32, -2..3_i64).prop_map(move |(bits, by)| near(bits, by)),
        any::<u64>()
    ]
}

#[derive(Debug, Clone)]
struct Lie {
    /// In whose name.
    name: u8,
    kind: u8,
    numbers: [u64; 5],
    /// It knows the life that it speaks of.
    true_life: bool,
}

fn lie() -> impl Strategy<Value = Lie> {
    let numbers = [number(), number(), number(), number(), number()];
    (1..4_u8, 0..4_u8, numbers, any::<bool>()).prop_map(|(name, kind, numbers, true_life)| Lie {
        name,
        kind,
        numbers,
        true_life,
    })
}

/// Two routers that hear each other, and the datagrams on the way.
struct Pair {
    now: Time,
    routers: [Election; 2],
    wire: Vec<(usize, Vec<u8>)>,
    saved: [SavedState; 2],
}

impl Pair {
    fn new() -> Self {
        let start = |id, seed| Election::new(Config::default(), id, SavedState::default(), seed, Time::ZERO);
        let routers = [start(A, 1), start(B, 2)];
        Self { now: Time::ZERO, routers, wire: Vec::new(), saved: Default::default() }
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        self.routers[at].handle(self.now, input);
        while let Some(output) = self.routers[at].poll_output() {
            match output {
                Output::Broadcast(datagram) => self.wire.push((1 - at, datagram.as_bytes().into())),
                Output::Send(to, datagram) if to == [B, A][at] => {
                    self.wire.push((1 - at, datagram.as_bytes().into()));
                }
                Output::Persist { ticket, state } => {
                    self.saved[at] = state;
                    self.routers[at].handle(self.now, Input::Persisted { ticket });
                }
                _ => {}
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            if !self.wire.is_empty() {
                let (to, bytes) = self.wire.remove(0);
                self.input(to, Input::Datagram(&bytes));
                continue;
            }
            let due = (0..2).filter_map(|at| Some((self.routers[at].poll_timeout()?, at))).min();
            let Some((at, who)) = due.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.input(who, Input::Timeout);
        }
        self.now = end;
    }

    fn packets(&self, lie: &Lie) -> Vec<Packet> {
        let [one, two, three, four, five] = lie.numbers;
        let origin = RouterId([lie.name; 16]);
        let known = self.routers.iter().find(|router| router.id() == origin);
        let life = known.filter(|_| lie.true_life).map(Election::incarnation);
        let incarnation = life.unwrap_or(Incarnation { counter: one as u32, random: two });
        let (sequence, revision) = (three as u32, four as u32);
        let heartbeat = Heartbeat { origin, incarnation, sequence, revision, digest: five };
        let record = Record {
            origin,
            incarnation,
            revision,
            name: "liar".into(),
            ready: false,
            leaving: false,
            leaf: false,
            default_server: Report::Unknown,
            list: ListVersion::default(),
            place: None,
            leading: if five % 2 == 0 { one } else { 0 },
            seen: Some(Epoch { number: five, router: origin, incarnation }),
            links: [A, B]
                .into_iter()
                .filter(|to| *to != origin)
                .map(|to| Link { to, held: false, flaps: 127 })
                .collect(),
        };
        let list = ServerList::new(five, Vec::new());
        match lie.kind {
            0 => vec![Packet::Heartbeat(heartbeat)],
            1 => vec![Packet::Relayed { sender: LIAR, heartbeat, age_ms: five as u16 }],
            2 => vec![Packet::Heartbeat(heartbeat), Packet::Record { sender: origin, record }],
            _ => vec![Packet::List { sender: LIAR, list }],
        }
    }
}

proptest! {
    #[test]
    fn whatever_one_router_takes_in_what_it_says_next_is_taken_in_by_another(lies in vec((0..2_usize, lie()), 1..12)) {
        let mut pair = Pair::new();
        pair.run(Duration::from_secs(3));
        for (at, lie) in &lies {
            for packet in pair.packets(lie) {
                pair.input(*at, Input::Datagram(packet.encode().as_bytes()));
            }
            pair.run(Duration::from_millis(100));
        }
        let before = [0, 1].map(|at| pair.routers[at].counters().malformed);
        // Hold-downs end, lies are forgotten.
        pair.run(Duration::from_secs(300));
        let after = [0, 1].map(|at| pair.routers[at].counters().malformed);
        prop_assert_eq!(before, after, "one says what the other refuses");
        let views = [0, 1].map(|at| pair.routers[at].view());
        prop_assert!(views.iter().all(|view| view.members == 2), "{:?}", views);
        prop_assert_eq!(views.iter().filter(|view| view.leads()).count(), 1, "{:?}", views);
        let epoch = views.iter().find_map(|view| view.epoch.filter(|_| view.leads())).unwrap();
        prop_assert!([0, 1].iter().all(|at| pair.routers[*at].accepts(epoch)));
        // Also a newcomer takes it, and each of the two in its next life.
        for saved in [SavedState::default(), pair.saved[0].clone(), pair.saved[1].clone()] {
            let mut next = Election::new(Config::default(), LIAR, saved, 9, Time::ZERO);
            prop_assert!(next.accepts(epoch));
        }
    }
}

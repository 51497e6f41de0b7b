//! A router that says extreme numbers over its connections.

use std::sync::Arc;
use std::time::Duration;

use fau3::router::Input;
use fau3::wire::fau3e::{self, Message, Playlist, Stream, UpstreamState};
use fau3::wire::{self, ClientId, Origin, Record, RecordId, RoomId};
use fau3_election::Incarnation;

use super::World;
use crate::engine::Random;
use crate::faults::{FaultKind, extreme};

/// From which child of the seed the lies are drawn, so that nothing else moves.
const LIES: u64 = 3_000;
/// The rest is said so often to each: what is answered to it would bring more of it.
const INTERVAL: Duration = Duration::from_secs(2);
/// A room in which nobody is, and who speaks there.
const NOWHERE: (&str, &str) = ("nowhere", "nobody");

impl World {
    /// True while this router says extreme numbers.
    pub(super) fn lies(&self, node: usize) -> bool {
        let is_its = |kind: &FaultKind| matches!(kind, FaultKind::Words { node: liar } if *liar == node);
        self.setup.faults.iter().zip(&self.on).any(|(fault, on)| *on && is_its(&fault.kind))
    }

    /// What a router that lies said, with a number changed in it where nobody's message
    /// depends on it; and now and then something else of its own before.
    pub(super) fn with_lies(
        &mut self,
        to: usize,
        from: usize,
        message: Result<Message, fau3e::Invalid>,
    ) -> Result<Message, fau3e::Invalid> {
        let Ok(Message::State(mut state)) = message else { return message };
        state.clock_ms = extreme(&mut Random::new(self.setup.seed).child(LIES).child(self.now.as_micros()));
        let lie = fau3e::decode(&fau3e::encode(&Message::State(state)));
        if self.lied_at.get(&(from, to)).is_some_and(|at| self.now < *at + INTERVAL) {
            return lie;
        }
        self.lied_at.insert((from, to), self.now);
        let seed = self.now.as_micros() << 8 | (from << 4 | to) as u64;
        let mut random = Random::new(self.setup.seed).child(LIES).child(seed);
        let router = self.machines[from].id;
        for word in words(router, &mut random) {
            let message = fau3e::decode(&fau3e::encode(&word));
            self.tally.words += 1;
            self.feed(to, Input::FromPeer { router, message });
        }
        lie
    }
}

/// Of a life that never was, and of a room where nobody is.
fn words(router: fau3_election::RouterId, random: &mut Random) -> Vec<Message> {
    let incarnation = Incarnation { counter: extreme(random) as u32, random: random.bits() };
    let origin = Origin { router, incarnation };
    let id = |random: &mut Random| RecordId { origin, sequence: extreme(random) };
    let (Ok(room), Ok(client_id)) = (RoomId::new(NOWHERE.0), ClientId::new(NOWHERE.1)) else {
        return Vec::new();
    };
    let said = wire::Message {
        room: room.clone(),
        client_id: client_id.clone(),
        message_uuid: format!("lie-{:x}", random.bits()).into(),
        payload: [1].into(),
    };
    let first = RecordId { origin, sequence: if random.chance(500_000) { 1 } else { extreme(random) } };
    let previous = random.chance(300_000).then(|| id(random));
    let record = Record::new(first, previous, extreme(random), said);
    vec![
        Message::Playlist(Playlist { confirm: None, records: vec![(Arc::new(record), 0)] }),
        Message::Want(id(random)),
        Message::Stream(Stream {
            id: id(random),
            hops: u8::MAX,
            room,
            client_id,
            frame: [7].as_slice().into(),
        }),
        Message::Upstream(UpstreamState {
            origin,
            revision: extreme(random),
            gone_ms: Some(extreme(random)),
            lines: Vec::new(),
            claims: Vec::new(),
            heard: vec![(origin, extreme(random))],
            pushed: Vec::new(),
        }),
    ]
}

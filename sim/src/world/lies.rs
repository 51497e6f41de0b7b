use std::time::Duration;

use fau3_election::{
    Election, Epoch, Heartbeat, Incarnation, Link, ListVersion, Packet, Record, Report, ServerList,
};

use super::World;
use super::events::Event;
use crate::engine::Random;
use crate::faults::{FaultKind, extreme};

/// Something is said so often: as often as a heartbeat, so that it is taken for one.
const INTERVAL: Duration = Duration::from_millis(250);
/// From which child of the seed the lies are drawn, so that nothing else moves.
const LIES: u64 = 3_000;

/// Somebody who has the key of the mesh, and no connection with anybody.
impl World {
    /// Says something to all, and lines up the next word.
    pub(super) fn lie(&mut self, fault: usize) {
        let FaultKind::Words { node } = self.setup.faults[fault].kind else { return };
        if self.now >= self.setup.faults[fault].until {
            return;
        }
        let random = Random::new(self.setup.seed).child(LIES + fault as u64);
        let numbers = random.child(self.now.as_micros() / 4_000_000);
        for packet in self.words(node, numbers, random.child(self.now.as_micros())) {
            let to = self.truth.running();
            let letter = self.mail.put(packet.encode());
            self.mail.keep(letter, 1);
            self.queue.push(self.now, Event::Deliver { from: node as u8, to, letter });
        }
        self.queue.push(self.now + INTERVAL, Event::Lie { fault: fault as u16 });
    }

    /// Of one life for some seconds, true or not, with heartbeats that go on.
    fn words(&self, node: usize, mut life: Random, mut random: Random) -> Vec<Packet> {
        let origin = self.nodes[node].id;
        let known = self.nodes[node].election.as_ref().filter(|_| life.chance(500_000));
        let said = Incarnation { counter: extreme(&mut life) as u32, random: life.bits() };
        let incarnation = known.map_or(said, Election::incarnation);
        let beat = self.now.as_millis() / INTERVAL.as_millis() as u64;
        let sequence = if life.chance(500_000) { beat } else { extreme(&mut random) } as u32;
        let heartbeat = Heartbeat {
            origin,
            incarnation,
            sequence,
            revision: extreme(&mut random) as u32,
            digest: random.bits(),
        };
        let sender = self.setup.id_of(self.nodes.len());
        let number = extreme(&mut random);
        let record = Record {
            origin,
            incarnation,
            revision: heartbeat.revision,
            name: "liar".into(),
            ready: random.chance(500_000),
            leaving: false,
            leaf: false,
            default_server: Report::Unknown,
            list: ListVersion::default(),
            place: None,
            leading: if random.chance(500_000) { number } else { 0 },
            seen: Some(Epoch { number, router: origin, incarnation }),
            links: self.links(node),
        };
        match random.below(4) {
            0 => vec![Packet::Heartbeat(heartbeat)],
            1 => vec![Packet::Relayed { sender, heartbeat, age_ms: number as u16 }],
            2 => vec![Packet::List { sender, list: ServerList::new(number, Vec::new()) }],
            _ => vec![Packet::Heartbeat(heartbeat), Packet::Record { sender: origin, record }],
        }
    }

    fn links(&self, node: usize) -> Vec<Link> {
        let others = self.nodes[..self.setup.routers].iter().filter(|other| other.id != self.nodes[node].id);
        let mut links: Vec<Link> =
            others.map(|other| Link { to: other.id, held: false, flaps: 127 }).collect();
        links.sort_by_key(|link| link.to);
        links
    }
}

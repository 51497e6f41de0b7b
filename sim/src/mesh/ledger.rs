//! What was said, who holds it, who was owed it and who has heard it: the truth
//! that no router knows.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use fau3::wire::fau3d::FromClient;
use fau3::wire::{ClientId, Record, RecordId, propogate_key};
use fau3_election::Time;

use super::device::room_id;
use super::order::Hearing;
use super::setup::Setup;
use crate::engine::NodeSet;

/// Everything that clients said and heard.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) said: Vec<Said>,
    by_key: BTreeMap<u128, usize>,
    /// Where each client is subscribed, and since when.
    pub(super) presences: Vec<Option<Presence>>,
    /// The numbers of each speaker's messages, rising.
    by_speaker: Vec<Vec<usize>>,
    /// Of each listener, speaker and room.
    pub(super) hearings: BTreeMap<(usize, usize, usize), Hearing>,
    /// Which messages wait behind the others for which client, on whose connections
    /// they seem to have ended.
    pub(super) put_behind: BTreeSet<(usize, usize)>,
    /// Clients hear of a message once it is on the disk.
    disk: bool,
    /// What all messages cost together so far, in bytes.
    pub(super) cost: u64,
}

/// One message of a client. They are numbered in the order in which they were
/// made, so one speaker's are in the speaker's order.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) speaker: usize,
    pub(super) room: usize,
    payload: Box<[u8]>,
    /// When a router first had it.
    pub(super) fed_at: Option<Time>,
    /// When its speaker first brought it to each router.
    pub(super) brought_at: BTreeMap<usize, Time>,
    /// A router had no place for it, and said so: its speaker brings it again.
    pub(super) is_refused: bool,
    /// When a router first held it.
    pub(super) taken_at: Option<Time>,
    /// The records that it has become.
    pub(super) ids: Vec<RecordId>,
    /// Routers that hold it, in memory or on a disk that will be read again.
    pub(super) held: NodeSet,
    /// When it came to each router, in that router's life.
    pub(super) came_at: BTreeMap<usize, Time>,
    /// Routers that ever held it.
    pub(super) held_ever: NodeSet,
    /// When FAU3_STORED was said.
    pub(super) confirmed_at: Option<Time>,
    /// That was said by a router that counted it as `confirmed_single`.
    pub(super) is_single: bool,
    /// All that held it have died.
    pub(super) is_lost: bool,
    /// Listeners whose Confirm of it has come to a router.
    pub(super) confirmed_by: NodeSet,
    /// Who heard it: when, from which router.
    pub(super) heard: BTreeMap<usize, (Time, usize)>,
    /// Who heard it again, how often.
    pub(super) heard_again: BTreeMap<usize, usize>,
    /// [`Ledger::cost`] when it was first fed.
    pub(super) cost_before: u64,
}

/// A client is subscribed to a room all the time since a Subscribe at which
/// the router did not already know it there. It stays so while it is in that
/// room, whatever it loses and wherever it comes back, as long as the router
/// that it comes back to knows its session, or soon meets one that does: what was
/// told to nobody (it was cut off, or all that knew have died) can only begin anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    pub(super) room: usize,
    pub(super) since: Time,
    /// When it last came to a router that did not know it there.
    pub(super) anew_at: Time,
    /// When it last subscribed, and where.
    pub(super) subscribed_at: Time,
    pub(super) node: usize,
    /// The life of that router.
    pub(super) boot: u32,
    /// When anything last came from it.
    pub(super) seen_at: Time,
    /// Routers that have surely been told that it is there.
    pub(super) told: NodeSet,
    /// The router did not know it there, but others do.
    pub(super) elder: Option<Elder>,
}

/// What routers know of a client that has come to one which did not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elder {
    /// Since when it was in that room.
    pub(super) since: Time,
    /// When they last had anything of it, at the latest.
    pub(super) seen_at: Time,
    /// Who knew so, when the client came to one that did not.
    pub(super) holders: NodeSet,
    pub(super) noted_at: Time,
}

impl Said {
    /// The routers that its speaker brought it to.
    pub(super) fn brought_to(&self) -> NodeSet {
        self.brought_at.keys().fold(0, |set, node| set | 1 << node)
    }

    /// Whether a client brought it to this router before any other router told of it: it
    /// made a record of its own, which nobody else need have seen yet.
    pub(super) fn took_itself(&self, node: usize) -> bool {
        let (brought_at, came_at) = (self.brought_at.get(&node), self.came_at.get(&node));
        brought_at.is_some_and(|brought| came_at.is_none_or(|came| brought <= came))
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload.len()
    }
}

impl Ledger {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            said: Vec::new(),
            by_key: BTreeMap::new(),
            presences: vec![None; setup.clients],
            by_speaker: vec![
                Vec::new();
                setup.clients + setup.server.as_ref().map_or(0, |above| above.own_clients)
            ],
            hearings: BTreeMap::new(),
            put_behind: BTreeSet::new(),
            disk: setup.settings.disk,
            cost: 0,
        }
    }

    /// A client makes a message. Its number is also its MessageUuid.
    pub(super) fn say(&mut self, speaker: usize, client_id: &ClientId, room: usize, bytes: usize) -> usize {
        let number = self.said.len();
        let mut payload = vec![b'v'; bytes.max(8)];
        payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
        if let Some(room) = room_id(room) {
            self.by_key.insert(propogate_key(client_id, &room, &number.to_string(), &payload), number);
        }
        self.by_speaker[speaker].push(number);
        self.said.push(Said {
            speaker,
            room,
            payload: payload.into(),
            fed_at: None,
            brought_at: BTreeMap::new(),
            is_refused: false,
            taken_at: None,
            ids: Vec::new(),
            held: 0,
            held_ever: 0,
            came_at: BTreeMap::new(),
            confirmed_at: None,
            is_single: false,
            is_lost: false,
            confirmed_by: 0,
            heard: BTreeMap::new(),
            heard_again: BTreeMap::new(),
            cost_before: 0,
        });
        number
    }

    /// The message as it is sent, every time.
    pub(super) fn propogate(&self, number: usize) -> Option<FromClient> {
        let said = &self.said[number];
        let message_uuid = number.to_string().into();
        Some(FromClient::Propogate { message_uuid, room: room_id(said.room)?, payload: said.payload.clone() })
    }

    /// What it says.
    pub(super) fn payload(&self, number: usize) -> Option<Box<[u8]>> {
        Some(self.said.get(number)?.payload.clone())
    }

    /// A record that a router made of what the main server told it: which
    /// message it is stands in its payload.
    pub(super) fn learn(&mut self, record: &Record) {
        if record.message_uuid.starts_with("from-server-")
            && let Some(bytes) = record.payload.get(..8).and_then(|bytes| bytes.try_into().ok())
        {
            let number = usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX);
            if number < self.said.len() {
                self.by_key.insert(record.key(), number);
            }
        }
    }

    /// The message of a record.
    pub(super) fn of(&mut self, key: u128) -> Option<&mut Said> {
        self.by_key.get(&key).map(|number| &mut self.said[*number])
    }

    pub(super) fn number_of(&self, key: u128) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    /// A router has it from a client.
    pub(super) fn fed(&mut self, number: usize, node: usize, now: Time) {
        let cost = self.cost;
        let said = &mut self.said[number];
        if said.fed_at.is_none() {
            said.fed_at = Some(now);
            said.cost_before = cost;
        }
        if let Entry::Vacant(first) = said.brought_at.entry(node) {
            first.insert(now);
            // Each router that takes it in anew may hold it as a record of its own.
            self.cost += said.payload.len() as u64 + 512;
        }
    }

    /// A speaker's messages from one number on and before another one.
    pub(super) fn of_speaker(&self, speaker: usize, from: usize, until: usize) -> &[usize] {
        let all = &self.by_speaker[speaker];
        let place = |number| all.partition_point(|said| *said < number);
        &all[place(from)..place(until).max(place(from))]
    }

    /// When the first message that its speaker said after this one, in the same
    /// room, came to a router.
    pub(super) fn newer_came_at(&self, number: usize, node: usize) -> Option<Time> {
        let late = &self.said[number];
        let newer = self.of_speaker(late.speaker, number + 1, self.said.len()).iter();
        let newer = newer.map(|newer| &self.said[*newer]).filter(|said| said.room == late.room);
        newer.filter_map(|said| said.came_at.get(&node).copied()).min()
    }

    /// A router has it on its disk.
    pub(super) fn committed(&mut self, key: u128, node: usize, now: Time) {
        if let Some(said) = self.of(key) {
            said.came_at.insert(node, now);
        }
    }

    /// A router holds a record. True if the message has become one more record by that.
    pub(super) fn held(&mut self, key: u128, id: RecordId, node: usize, now: Time) -> bool {
        let is_on_disk_first = self.disk;
        let Some(said) = self.of(key) else { return false };
        said.taken_at = said.taken_at.or(Some(now));
        said.held |= 1 << node;
        said.held_ever |= 1 << node;
        if !is_on_disk_first {
            said.came_at.entry(node).or_insert(now);
        }
        let is_new = !said.ids.contains(&id);
        if is_new {
            said.ids.push(id);
        }
        is_new && said.ids.len() > 1
    }
}

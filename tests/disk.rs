//! What a router with storage `disk` promises, asked of the running program:
//! nothing that was answered FAU3_STORED is lost to those who had subscribed,
//! whenever the power fails (PROTOCOLS.md, section 1; DESIGN.md, "Confirm").
//! What the store itself keeps is shown in `store_kill.rs`.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::desktop::{Desktop, Got, Heard, confirm, propogate};
use crate::common::{Node, wait_for};
use fau3::store::GROUP_INTERVAL;

const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing more comes when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(500);
const ROOM: &str = "hall";
const FAU3_STORED: i64 = 3;
const ROUNDS: u32 = 8;
const TALKERS: usize = 3;
/// What a talker leaves unanswered before it waits.
const UNANSWERED_MAX: usize = 8;
/// Talking goes on for this long at most before the kill.
const MOMENT_MS_MAX: u64 = 900;

fn on_disk(options: &[&str]) -> Node {
    Node::with(&[&["clients.storage=disk"], options].concat()).start()
}

/// A number from the status, as `store.transactions`.
fn counted(node: &Node, path: &str) -> u64 {
    let status = node.status();
    let found = path.split('.').fold(&status, |value, name| &value[name]);
    found.as_u64().unwrap_or_else(|| panic!("{path} is no number: {status}"))
}

/// xorshift64* (Vigna 2016): the same moments for the same seed.
struct Dice(u64);

impl Dice {
    /// From `FAU3_TEST_SEED`, else from the clock; printed in any case.
    fn new() -> Self {
        let given = std::env::var("FAU3_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
        let seed = given.unwrap_or(now).max(1);
        println!("once more with FAU3_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

/// Somebody who speaks as fast as answers come, and sends again what was not
/// answered before the power failed.
struct Talker {
    name: String,
    said: u32,
    /// Oldest first: MessageUuid and payload.
    unanswered: VecDeque<(String, Vec<u8>)>,
}

impl Talker {
    /// Talks until the connection is lost, or without `more` until all is
    /// answered. What is answered FAU3_STORED is
    /// noted, in order.
    fn talk(&mut self, address: SocketAddr, stored: &Mutex<Vec<Vec<u8>>>, more: bool) {
        // It may be killed before anybody has said a word.
        let Ok(mut client) = Desktop::try_connect(address, &self.name) else {
            assert!(more, "nobody is there");
            return;
        };
        for (uuid, payload) in &self.unanswered {
            client.send(&propogate(ROOM, uuid, payload));
        }
        loop {
            while more && self.unanswered.len() < UNANSWERED_MAX {
                let (uuid, payload) = self.next();
                client.send(&propogate(ROOM, &uuid, &payload));
                self.unanswered.push_back((uuid, payload));
            }
            if self.unanswered.is_empty() {
                return;
            }
            match client.next(PATIENCE) {
                Got::Message(message) => {
                    let (uuid, payload) = self.unanswered.pop_front().unwrap();
                    let (confirmed, status) = confirm(&message).expect("a Confirm");
                    assert_eq!((confirmed, status), (&*uuid, FAU3_STORED), "answered in order");
                    stored.lock().unwrap().push(payload);
                }
                Got::Lost => return,
                Got::Nothing => panic!("{} gets no answer", self.name),
            }
        }
    }

    /// Its name and number, then as much as a short word or half a minute.
    fn next(&mut self) -> (String, Vec<u8>) {
        self.said += 1;
        let mut payload = format!("{} {} ", self.name, self.said).into_bytes();
        payload.resize(payload.len() + (self.said as usize * 977) % 12_000, b'.');
        (format!("{} says {}", self.name, self.said), payload)
    }
}

/// What a client has heard through all of the router's lives.
#[derive(Default)]
struct Memory {
    /// MessageUuid by payload.
    uuids: BTreeMap<Vec<u8>, String>,
    order: Vec<Vec<u8>>,
}

impl Memory {
    /// Says whether it is new. The same record must keep its MessageUuid, and
    /// no other record may have it.
    fn note(&mut self, heard: &Heard) -> bool {
        let known = self.uuids.insert(heard.payload.clone(), heard.uuid.clone());
        if let Some(known) = known {
            assert_eq!(known, heard.uuid, "a MessageUuid has changed");
            return false;
        }
        self.order.push(heard.payload.clone());
        true
    }

    fn check(&self) {
        let uuids: BTreeSet<_> = self.uuids.values().collect();
        assert_eq!(uuids.len(), self.uuids.len(), "two records have one MessageUuid");
        assert_in_order(&self.order);
    }
}

/// Each talker's messages must be numbered upwards.
fn assert_in_order(payloads: &[Vec<u8>]) {
    let mut last = BTreeMap::new();
    for payload in payloads {
        let text = String::from_utf8_lossy(payload);
        let mut words = text.split(' ');
        let (name, number) =
            (words.next().unwrap().to_owned(), words.next().unwrap().parse::<u32>().unwrap());
        let before = last.insert(name.clone(), number).unwrap_or(0);
        assert!(before < number, "{name} said {number} after {before}");
    }
}

/// How the subscriber behaves while others talk.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// It has left.
    Away,
    /// It hears and confirms nothing.
    Mute,
    /// It confirms this many, then nothing more.
    Confirms(usize),
}

/// Until the router is gone.
fn attend(mut client: Desktop, manner: Manner, memory: &mut Memory, confirmed: &mut BTreeSet<Vec<u8>>) {
    let mut left = if let Manner::Confirms(count) = manner { count } else { 0 };
    while let Some(heard) = client.hear(PATIENCE) {
        memory.note(&heard);
        if left > 0 {
            left -= 1;
            client.confirm(&heard);
            confirmed.insert(heard.payload);
        }
    }
}

/// Everything that is owed to a client that has come back, confirmed.
fn catch_up(client: &mut Desktop, mut heard: Vec<Heard>) -> Vec<Heard> {
    heard.iter().for_each(|heard| client.confirm(heard));
    while let Some(next) = client.hear(QUIET) {
        client.confirm(&next);
        heard.push(next);
    }
    heard
}

/// One router through many lives, those who talk, and one who subscribes.
struct Story {
    node: Node,
    talkers: Vec<Talker>,
    /// What was answered FAU3_STORED, by payload.
    stored: Mutex<Vec<Vec<u8>>>,
    /// What the subscriber has heard.
    memory: Memory,
    /// What it has confirmed; the last of it the router may not have noted.
    confirmed: BTreeSet<Vec<u8>>,
}

impl Story {
    /// Talkers under full steam, until the power fails.
    fn talk_until_killed(&mut self, manner: Manner, moment: Duration) {
        let address = self.node.address();
        let mut subscriber = Desktop::connect(address, "subscriber");
        assert_eq!(subscriber.subscribe(ROOM), [], "a round begins with nothing owed");
        let Self { node, talkers, stored, memory, confirmed } = self;
        let stored = &*stored;
        std::thread::scope(|scope| {
            if matches!(manner, Manner::Away) {
                drop(subscriber);
            } else {
                scope.spawn(|| attend(subscriber, manner, memory, confirmed));
            }
            for talker in talkers {
                scope.spawn(|| talker.talk(address, stored, true));
            }
            std::thread::sleep(moment);
            node.kill();
        });
    }

    /// The subscriber is back within the grace: it must get what was stored and
    /// it had not confirmed, each once and in order, known ones with the
    /// MessageUuid that it knows.
    fn come_back(&mut self) -> Desktop {
        let mut subscriber = Desktop::connect(self.node.address(), "subscriber");
        let early = subscriber.subscribe(ROOM);
        let heard = catch_up(&mut subscriber, early);
        let uuids: BTreeSet<_> = heard.iter().map(|heard| &heard.uuid).collect();
        assert_eq!(uuids.len(), heard.len(), "something came twice");
        let known = heard.iter().filter(|heard| !self.memory.note(heard)).count();
        let payloads: Vec<_> = heard.into_iter().map(|heard| heard.payload).collect();
        assert_in_order(&payloads);
        println!("  {} came, {known} of them known", payloads.len());
        self.confirmed.extend(payloads);
        let stored = self.stored.lock().unwrap();
        let lost = stored.iter().filter(|payload| !self.confirmed.contains(*payload)).count();
        assert_eq!(lost, 0, "lost of {} stored", stored.len());
        subscriber
    }

    /// What was not answered is sent again and stored once.
    fn send_the_rest(&mut self, mut subscriber: Desktop) {
        for talker in &mut self.talkers {
            talker.talk(self.node.address(), &self.stored, false);
        }
        for heard in catch_up(&mut subscriber, Vec::new()) {
            assert!(self.memory.note(&heard), "delivered again: {}", heard.uuid);
            self.confirmed.insert(heard.payload);
        }
    }
}

#[test]
fn what_was_stored_is_heard_after_kill_9_at_any_moment_once_in_order_with_its_message_uuid() {
    let mut dice = Dice::new();
    let talker = |number| Talker { name: format!("talker-{number}"), said: 0, unanswered: VecDeque::new() };
    let mut story = Story {
        node: on_disk(&["clients.storage_max_kib=262144", "clients.retry_interval_s=30"]),
        talkers: (1..=TALKERS).map(talker).collect(),
        stored: Mutex::default(),
        memory: Memory::default(),
        confirmed: BTreeSet::new(),
    };
    for round in 1..=ROUNDS {
        // Given a subscriber that is away, mute, or becomes so
        let confirms = usize::try_from(dice.below(40)).unwrap();
        let manner = match dice.below(3) {
            0 => Manner::Away,
            1 => Manner::Mute,
            _ => Manner::Confirms(confirms),
        };
        // when the power fails at any moment
        let moment = Duration::from_millis(dice.below(MOMENT_MS_MAX));
        println!("round {round}: killed after {moment:?}, {manner:?}");
        story.talk_until_killed(manner, moment);
        story.node.start_again();
        // then nothing is lost, and nothing is heard twice.
        let subscriber = story.come_back();
        story.send_the_rest(subscriber);
    }
    story.memory.check();
    let said: u32 = story.talkers.iter().map(|talker| talker.said).sum();
    assert_eq!(story.memory.order.len(), said as usize, "all that was said, and nothing else");
    assert_eq!(counted(&story.node, "records.expired"), 0, "the bounds had no part in it");
    assert!(said > ROUNDS * 10, "too little was said to show anything: {said}");
}

#[test]
fn a_message_sent_again_after_a_restart_is_confirmed_again_and_neither_stored_nor_heard_again() {
    // Given a message that was stored and heard,
    let mut node = on_disk(&[]);
    let mut talker = Desktop::connect(node.address(), "AA:01");
    let mut listener = Desktop::connect(node.address(), "AA:02");
    listener.subscribe(ROOM);
    assert_eq!(talker.say(ROOM, "u", b"hello"), FAU3_STORED);
    let heard = listener.hear(PATIENCE).unwrap();
    listener.confirm(&heard);
    node.kill();
    node.start_again();
    // when it is sent again after the restart, by a talker that missed the Confirm,
    let (mut talker, mut listener) =
        (Desktop::connect(node.address(), "AA:01"), Desktop::connect(node.address(), "AA:02"));
    let early = listener.subscribe(ROOM);
    catch_up(&mut listener, early);
    for _ in 0..3 {
        assert_eq!(talker.say(ROOM, "u", b"hello"), FAU3_STORED);
    }
    // then there is still one, that nobody hears again;
    assert_eq!((counted(&node, "records.count"), counted(&node, "records.duplicates")), (1, 3));
    assert_eq!(listener.hear(QUIET), None);
    // another payload or another sender makes it another message.
    assert_eq!(talker.say(ROOM, "u", b"something else"), FAU3_STORED);
    assert_eq!(Desktop::connect(node.address(), "AA:03").say(ROOM, "u", b"hello"), FAU3_STORED);
    assert_eq!(counted(&node, "records.count"), 3);
    let heard: Vec<_> = catch_up(&mut listener, Vec::new()).into_iter().map(|heard| heard.payload).collect();
    assert_eq!(heard, [&b"something else"[..], b"hello"]);
}

#[test]
fn what_was_settled_before_the_kill_is_not_delivered_again() {
    // Given a listener that has confirmed five messages, and the time that it
    // takes until that is on disk,
    let mut node = on_disk(&[]);
    let mut talker = Desktop::connect(node.address(), "AA:01");
    let mut listener = Desktop::connect(node.address(), "AA:02");
    listener.subscribe(ROOM);
    for number in 0..5 {
        assert_eq!(talker.say(ROOM, &format!("u{number}"), b"hello"), FAU3_STORED);
    }
    let written = counted(&node, "store.transactions");
    assert_eq!(catch_up(&mut listener, Vec::new()).len(), 5);
    wait_for("the settled ones on disk", PATIENCE, || counted(&node, "store.transactions") > written);
    // and one more that it has heard and not confirmed,
    assert_eq!(talker.say(ROOM, "open", b"open"), FAU3_STORED);
    let open = listener.hear(PATIENCE).unwrap();
    // when the power fails, then only that one comes again.
    node.kill();
    node.start_again();
    let mut listener = Desktop::connect(node.address(), "AA:02");
    let early = listener.subscribe(ROOM);
    assert_eq!(catch_up(&mut listener, early), [open]);
}

#[test]
fn a_goodbye_settles_at_once_what_a_kill_would_repeat() {
    let mut node = on_disk(&[]);
    let mut talker = Desktop::connect(node.address(), "AA:01");
    let mut listener = Desktop::connect(node.address(), "AA:02");
    listener.subscribe(ROOM);
    assert_eq!(talker.say(ROOM, "u", b"hello"), FAU3_STORED);
    assert_eq!(catch_up(&mut listener, Vec::new()).len(), 1);
    assert!(node.terminate().success());
    node.start_again();
    let mut listener = Desktop::connect(node.address(), "AA:02");
    assert_eq!(listener.subscribe(ROOM), []);
    assert_eq!(listener.hear(QUIET), None);
}

#[test]
fn each_start_is_a_new_incarnation_of_the_same_router() {
    let mut node = on_disk(&[]);
    let mut lives = Vec::new();
    let mut peers = BTreeSet::new();
    for life in 1..=5_u32 {
        // What it says is gathered by a thread, which may be behind it.
        wait_for("its life in the log", PATIENCE, || node.log().contains("incarnation="));
        let log = node.log();
        let (_, incarnation) = log.split_once("incarnation=").expect("the log says which life it is");
        let (counter, rest) = incarnation.split_once('.').unwrap();
        lives.push((counter.parse::<u32>().unwrap(), rest[..16].to_owned()));
        peers.insert(node.status()["peer_id"].to_string());
        // With a goodbye and without.
        if life % 2 == 0 {
            node.kill();
        } else {
            assert!(node.terminate().success());
        }
        node.start_again();
    }
    let counters: Vec<_> = lives.iter().map(|(counter, _)| *counter).collect();
    assert_eq!(counters, [1, 2, 3, 4, 5]);
    assert_eq!(lives.iter().map(|(_, random)| random).collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(peers.len(), 1, "one identity: {peers:?}");
}

#[test]
fn a_burst_of_a_hundred_messages_costs_a_few_commits() {
    let node = on_disk(&[]);
    let mut talker = Desktop::connect(node.address(), "AA:01");
    assert_eq!(talker.say(ROOM, "first", b"x"), FAU3_STORED);
    let before = counted(&node, "store.transactions");
    let since = Instant::now();
    for number in 0..100 {
        assert!(talker.send(&propogate(ROOM, &format!("u{number}"), &[7; 9_500])));
        // Each in an event of its own: nothing but the store's patience groups them.
        std::thread::sleep(Duration::from_millis(3));
    }
    for number in 0..100 {
        let Got::Message(message) = talker.next(PATIENCE) else { panic!("{number} is not answered") };
        assert_eq!(confirm(&message), Some((&*format!("u{number}"), FAU3_STORED)));
    }
    let commits = counted(&node, "store.transactions") - before;
    let elapsed = since.elapsed();
    println!("100 messages of 9,500 bytes: {commits} commits, confirmed within {elapsed:?}");
    // One for each interval, the first at once, and one for what was left over.
    let commits_max = elapsed.as_millis() / GROUP_INTERVAL.as_millis() + 2;
    assert!(u128::from(commits) <= commits_max.min(30), "{commits} commits for a burst of 100");
    assert_eq!(counted(&node, "store.records"), 101);
}

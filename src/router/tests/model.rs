//! Thousands of random steps from a seed, each followed by all that `watch`
//! checks; in the end everything that was owed has been heard once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::device::Manner::{Answers, Desktop, Mute, Radio};
use super::device::{Manner, confirm};
use super::harness::{Id, Net, secs};
use crate::random::Random;
use crate::router::{Input, Settings};
use crate::wire::Uuid;
use crate::wire::fau3d::{FromClient, Status};

const STEPS: u32 = 3_000;
const ROOMS: [&str; 3] = ["r", "s", "t"];
const DEVICES: [Manner; 8] =
    [Desktop, Desktop, Desktop, Desktop, Radio, Radio, Mute, Answers(Status::SERROR)];

struct Model {
    net: Net,
    random: Random,
    devices: Vec<Id>,
    /// The room that each device wants to be in.
    wanted: BTreeMap<Id, &'static str>,
    said: u32,
    disk_fails_at_times: bool,
}

impl Model {
    fn new(seed: u64, settings: Settings, disk_fails_at_times: bool) -> Self {
        let mut net = Net::new(settings);
        let devices: Vec<_> =
            DEVICES.iter().enumerate().map(|(n, how)| net.add(&format!("c{n}"), *how)).collect();
        let wanted = devices.iter().map(|id| (*id, ROOMS[id.0 % ROOMS.len()])).collect();
        Self { net, random: Random(seed), devices, wanted, said: 0, disk_fails_at_times }
    }

    fn step(&mut self) {
        let id = self.random.pick(&self.devices);
        if self.net[id].conn.is_none() {
            if self.random.one_in(2) {
                self.net.connect(id);
                self.come_back(id);
            }
        } else {
            match self.random.below(100) {
                0..50 => self.say(id),
                50..55 => {
                    let room = self.random.pick(&ROOMS);
                    self.wanted.insert(id, room);
                    self.subscribe(id);
                }
                55..58 => self.subscribe(id),
                58..62 => self.net.drop_line(id),
                62..65 => {
                    self.net.connect_over(id);
                    self.come_back(id);
                }
                65..68 => self.net.stop_reading(id),
                68..74 => self.net.read_again(id),
                74..80 => {
                    self.net[id].latency = self.random.up_to(2_500);
                    self.net[id].leave = self.random.up_to(400);
                }
                80..84 => self.net.resend(id),
                84..88 => self.net.send(id, FromClient::Stream(b"F3SB123F3FN"[..].into())),
                88..92 => self.nonsense(id),
                92..94 => self.net[id].pongs = !self.net[id].pongs,
                _ => self.disk(),
            }
        }
        let pause = if self.random.one_in(20) { 20_000 } else { 600 };
        let pause = self.random.up_to(pause);
        self.net.run(pause);
    }

    fn say(&mut self, id: Id) {
        // A message that failed and is sent again comes behind the next one, so
        // a sender that wants its order kept waits for the Confirm.
        if self.disk_fails_at_times && !self.net[id].unconfirmed.is_empty() {
            return self.net.resend(id);
        }
        self.said += 1;
        let room = self.random.pick(&ROOMS);
        let text = format!("{room} c{} {:06}", id.0, self.said);
        self.net.say(id, room, &text);
    }

    fn subscribe(&mut self, id: Id) {
        let [monitor, ping] = [(); 2].map(|()| u32::try_from(self.random.below(9)).unwrap());
        // Those that do not answer want no Ping.
        let ping = if matches!(self.net[id].manner, Desktop | Radio) { ping } else { 0 };
        self.net.subscribe_with(id, self.wanted[&id], monitor, ping);
    }

    /// What a device does once it is connected.
    fn come_back(&mut self, id: Id) {
        if self.random.one_in(3) {
            self.subscribe(id);
        }
        self.net.resend(id);
    }

    fn nonsense(&mut self, id: Id) {
        let conn = self.net[id].conn.unwrap();
        let number = u32::try_from(self.random.below(6)).unwrap();
        match self.random.below(4) {
            0 => self.net.frame(id, br#"{"MessageType":"Confirm","MessageUuid":7}"#),
            1 => self.net.frame(id, b"\xff{"),
            2 => self.net.send(id, confirm(Some(Uuid::from_hash(number.into())), Status::STORED)),
            _ => self.net.input(Input::Pong { conn, probe: number }),
        }
    }

    fn disk(&mut self) {
        self.net.disk.delay = self.random.up_to(300);
        self.net.disk.fails = self.disk_fails_at_times && self.random.one_in(3);
        if self.net.router.settings.disk && self.random.one_in(8) {
            self.net.restart();
        }
    }

    /// Everything is well again for two minutes.
    fn calm(&mut self) {
        self.net.disk.fails = false;
        for id in self.devices.clone() {
            self.net[id].pongs = true;
            (self.net[id].leave, self.net[id].latency) = (Duration::ZERO, Duration::ZERO);
            self.net.read_again(id);
        }
        for _ in 0..120 {
            for id in self.devices.clone() {
                if self.net[id].conn.is_none() {
                    self.net.connect(id);
                }
                self.net.resend(id);
            }
            self.net.run(secs(1));
        }
    }

    fn check(&self) -> usize {
        let mut heard = 0;
        for id in self.devices.iter().filter(|id| matches!(self.net[**id].manner, Desktop | Radio)) {
            let device = &self.net[*id];
            assert!(device.unconfirmed.is_empty(), "{:?}", device.unconfirmed);
            let once: BTreeSet<&str> = device.heard.iter().map(String::as_str).collect();
            let missed: Vec<_> =
                self.net.watch.ledger.owed(&device.client_id).filter(|text| !once.contains(text)).collect();
            assert!(missed.is_empty(), "{:?} missed {missed:?}", device.client_id);
            if device.manner == Desktop {
                assert_eq!(once.len(), device.heard.len(), "{:?} heard twice", device.client_id);
                for (room, sender) in ROOMS.iter().flat_map(|room| (0..DEVICES.len()).map(move |n| (room, n)))
                {
                    let prefix = format!("{room} c{sender} ");
                    let behind = |text: &&String| {
                        self.net.watch.behind.contains(&(device.client_id.clone(), (*text).clone()))
                    };
                    let order = device.heard.iter().filter(|text| text.starts_with(&prefix));
                    let order = order.filter(|text| !behind(text));
                    assert!(order.is_sorted(), "{:?}: {prefix}out of order", device.client_id);
                }
            }
            heard += once.len();
        }
        heard
    }
}

/// Runs a seed and says what everything put out hashes to.
fn run(seed: u64, settings: Settings, disk_fails_at_times: bool) -> u64 {
    let bounded = settings.storage_bytes_max < Settings::default().storage_bytes_max;
    let mut model = Model::new(seed, settings, disk_fails_at_times);
    for _ in 0..STEPS {
        model.step();
    }
    model.calm();
    if !bounded {
        let heard = model.check();
        assert!(heard > 400, "seed {seed} heard only {heard}: the model tests nothing");
    }
    model.net.fingerprint
}

fn ram() -> Settings {
    // Records must live as long as a test, so that nothing owed may be dropped.
    Settings { storage_age_max: secs(100_000), ..Settings::default() }
}

fn disk() -> Settings {
    Settings { disk: true, ..ram() }
}

#[test]
fn with_ram_everything_owed_is_heard_once_and_in_order() {
    for seed in 0..4 {
        run(seed, ram(), false);
    }
}

#[test]
fn with_a_disk_everything_owed_is_heard_once_and_in_order_through_restarts() {
    for seed in 100..104 {
        run(seed, disk(), false);
    }
}

#[test]
fn with_a_disk_that_fails_at_times_nothing_confirmed_is_lost() {
    for seed in 200..204 {
        run(seed, disk(), true);
    }
}

#[test]
fn with_little_room_the_rules_hold_at_every_step() {
    for (seed, base) in [(300, ram()), (301, disk()), (302, disk())] {
        let little = Settings {
            storage_bytes_max: 6_000,
            storage_age_max: secs(90),
            session_grace: secs(7),
            max_clients: 6,
            ..base
        };
        run(seed, little, seed == 302);
    }
}

#[test]
fn the_same_seed_gives_the_same_outputs() {
    assert_eq!(run(7, disk(), true), run(7, disk(), true));
    assert_ne!(run(7, ram(), false), run(8, ram(), false));
}

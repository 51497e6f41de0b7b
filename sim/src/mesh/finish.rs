//! The end of a run: when everything is as it must be, or B has passed.

use std::time::Duration;

use fau3::router::Snapshot;
use fau3::wire::fau3e::Holding;
use fau3::wire::{ClientId, RoomId};
use fau3_election::{RouterId, Time};

use super::World;
use super::events::Event;
use super::judge::{DELIVERED, REST, SAME_RECORDS, SAME_SESSIONS, SERVED};
use super::server::PUSHED;

/// Whether everything is in order is looked at so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A bound by bytes may let go of a message when so much of it, in percent, was said later.
const BYTES_PERCENT: u64 = 70;
/// A bound by age, likewise.
const AGE_PERCENT: u32 = 85;
/// At rest a router among twelve sends at most so much a second, each way.
const REST_BYTES_PER_S: u64 = 12 * 1_024;

type Broken = Option<(&'static str, String)>;

impl World {
    /// Everyone has stopped talking: is all in order?
    pub(super) fn look(&mut self) {
        self.check_bounds();
        (0..self.setup.clients).for_each(|client| self.is_remembered(client));
        let broken = self.unfinished();
        if let Some((since, sent)) = self.rest.take() {
            return self.end_of_rest(broken, since, &sent);
        }
        match broken {
            None => {
                let sent = self.machines.iter().map(|machine| (machine.sent, machine.sent_bytes)).collect();
                self.rest = Some((self.now, sent));
                self.queue.push(self.now + self.judge.limits.rest, Event::Look);
            }
            Some((rule, text)) if self.now >= self.setup.talk_until() + self.judge.limits.heal => {
                self.broken(rule, text);
            }
            Some(_) => self.queue.push(self.now + LOOK_INTERVAL, Event::Look),
        }
    }

    fn end_of_rest(&mut self, broken: Broken, since: Time, sent: &[(u64, u64)]) {
        if self.heard_at > since {
            // Somebody is still catching up: this is no rest.
            return self.queue.push(self.now + LOOK_INTERVAL, Event::Look);
        }
        if let Some((rule, text)) = broken {
            return self.broken(rule, format!("was in order, and is no more: {text}"));
        }
        let seconds = self.now.since(since).as_secs().max(1);
        let most =
            self.machines.iter().zip(sent).map(|(machine, before)| machine.sent_bytes - before.1).max();
        if most.is_some_and(|most| most / seconds > REST_BYTES_PER_S) {
            self.broken(REST, format!("{most:?} bytes in {seconds} s by one router"));
        }
        self.excuse_expired();
        self.end_of_server();
        self.is_over = true;
    }

    /// The first thing that is not yet as it must be in the end.
    fn unfinished(&self) -> Broken {
        self.unserved()
            .or_else(|| self.undelivered())
            .or_else(|| self.unpushed().map(|text| (PUSHED, text)))
            .or_else(|| self.not_handed_back())
            .or_else(|| self.different_records())
            .or_else(|| self.different_sessions())
            .or_else(|| self.under_way())
    }

    /// From whom to whom frames are on their way since their link was slow.
    pub(super) fn behind(&self) -> Option<[usize; 2]> {
        self.standing.iter().find_map(|connection| self.connections[*connection as usize].behind(self.now))
    }

    fn under_way(&self) -> Broken {
        let [from, to] = self.behind()?;
        Some((REST, format!("frames from r{from} to r{to} are still under way")))
    }

    fn unserved(&self) -> Broken {
        let broken = |text| Some((SERVED, text));
        if let Some(node) = self.machines.iter().position(|machine| !machine.is_awake()) {
            return broken(format!("r{node} does not run"));
        }
        for (client, device) in self.devices.iter().enumerate() {
            if self.setup.idle & (1 << client) != 0 {
                continue;
            }
            if !device.is_subscribed {
                return broken(format!("c{client} is not subscribed"));
            }
            if let Some(number) = device.unconfirmed.front() {
                return broken(format!("{number} of c{client} is not confirmed"));
            }
        }
        None
    }

    /// Messages that those who were there have not heard.
    fn unheard(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let ledger = &self.judge.ledger;
        ledger.said.iter().enumerate().flat_map(move |(number, said)| {
            let owed = move |client: &usize| {
                let presence = ledger.presences[*client];
                let is_there = presence
                    .zip(said.fed_at)
                    .is_some_and(|(presence, fed_at)| presence.room == said.room && presence.since < fed_at);
                is_there && *client != said.speaker && !said.heard.contains_key(client)
            };
            let is_kept = said.confirmed_at.is_some() && !said.is_lost;
            (0..if is_kept { self.setup.clients } else { 0 }).filter(owed).map(move |client| (number, client))
        })
    }

    fn undelivered(&self) -> Broken {
        let (number, client) = self.unheard().find(|(number, _)| !self.may_be_expired(*number))?;
        let said = &self.judge.ledger.said[number];
        let presence = self.judge.ledger.presences[client]?;
        let text = format!(
            "c{client} at r{}, in its room since {}, has not heard {number} of c{}, fed at {:?}, confirmed at {:?}, held by {:b}",
            presence.node, presence.since, said.speaker, said.fed_at, said.confirmed_at, said.held
        );
        Some((DELIVERED, text))
    }

    /// Bounds of bytes or age may have let it go before everyone heard it.
    pub(super) fn may_be_expired(&self, number: usize) -> bool {
        let said = &self.judge.ledger.said[number];
        let settings = &self.setup.settings;
        let bytes = self.judge.ledger.cost * 100 > settings.storage_bytes_max as u64 * BYTES_PERCENT;
        let age = said.fed_at.map_or(Duration::ZERO, |fed_at| self.now.since(fed_at));
        bytes || age > settings.storage_age_max * AGE_PERCENT / 100
    }

    fn excuse_expired(&mut self) {
        self.tally.expired += self.unheard().count() as u64;
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = (usize, Snapshot)> + '_ {
        self.machines.iter().enumerate().filter_map(|(node, machine)| {
            Some((node, machine.router.as_ref()?.snapshot(machine.clock.local(self.now))))
        })
    }

    fn different_records(&self) -> Broken {
        let has_expired = self.snapshots().any(|(_, snapshot)| snapshot.stats.records_expired > 0);
        // Each router lets go of the oldest that it has; which these are depends on the way they came.
        let of = |node: usize| -> Vec<Holding> {
            let holdings = self.machines[node].router.iter().flat_map(fau3::router::Router::holdings);
            holdings.filter(|holding| holding.floor <= holding.top).collect()
        };
        let first = of(0);
        let other = (1..self.machines.len()).find(|node| !has_expired && of(*node) != first)?;
        Some((SAME_RECORDS, format!("r0 holds {first:?}, r{other} {:?}", of(other))))
    }

    fn different_sessions(&self) -> Broken {
        let of = |node: usize, snapshot: Snapshot| {
            let own = self.machines[node].id;
            let here = snapshot.clients.into_iter().map(|client| (client.client_id, client.room, own));
            let elsewhere = snapshot.mesh.into_iter().flat_map(|mesh| mesh.elsewhere);
            let elsewhere = elsewhere.map(|(client, at)| (client.client_id, client.room, at));
            let mut all: Vec<(ClientId, Option<RoomId>, RouterId)> = here.chain(elsewhere).collect();
            all.sort();
            all
        };
        let mut lists = self.snapshots().map(|(node, snapshot)| (node, of(node, snapshot)));
        let (_, first) = lists.next()?;
        for (client, device) in self.devices.iter().enumerate() {
            let there = first.iter().find(|(client_id, ..)| *client_id == device.client_id);
            let at = device.line.map(|line| self.lines[line as usize].node);
            let is_right = match (at, there) {
                (Some(at), Some((.., router))) => self.machines[at].id == *router,
                (None, None) => true,
                _ => false,
            };
            if !is_right {
                return Some((SAME_SESSIONS, format!("c{client} is at {at:?}, r0 says {there:?}")));
            }
        }
        let (node, other) = lists.find(|(_, other)| *other != first)?;
        Some((SAME_SESSIONS, format!("r0 knows {first:?}, r{node} {other:?}")))
    }
}

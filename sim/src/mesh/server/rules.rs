//! What the server was told, held against what was said; and what its clients
//! said, as routers took it in.

use std::time::Duration;

use fau3::router::{Answer, FromServer, ToServer};
use fau3::wire::RecordId;
use fau3::wire::fau3e::Holding;
use fau3_election::Time;

use super::upline::{End, REMAINS};
use super::{ID_MAX, World};
use crate::engine::nodes_of;
use crate::mesh::ledger::Said;

pub(in crate::mesh) const TWICE: &str = "connected-once";
pub(in crate::mesh) const PUSHED: &str = "pushed";
pub(in crate::mesh) const PUSHED_ONCE: &str = "pushed-once";
pub(in crate::mesh) const PUSHED_IN_ORDER: &str = "pushed-in-order";
pub(in crate::mesh) const PLAYED: &str = "played";
pub(in crate::mesh) const BACK: &str = "back";

/// A router that was told long before that the server has a record knows it.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// For how long a router tells live audio that came two ways from new audio; a
/// little less by the fastest clock.
const AUDIO_WINDOW: Duration = Duration::from_millis(1_800);

/// The server has taken in a message, once.
#[derive(Debug)]
pub(super) struct Store {
    line: u32,
    at: Time,
    /// When the router heard that it has.
    confirmed_at: Option<Time>,
}

/// A run of an origin's records of which a router was told that the server has them, and when.
#[derive(Debug, Clone)]
pub(super) struct RunTold {
    floor: u64,
    top: u64,
    at: Time,
}

/// Why the server is told what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// The router that told it knows of no Confirm: it counts each such case.
    Unconfirmed,
    /// That router has died since.
    Died,
    /// It was cut off since from the one that tells it now.
    Apart,
    /// Its word has not come to the other one, slow as the ways between them may be.
    Soon,
    /// Nothing excuses it.
    Known,
}

impl World {
    /// The server takes in what a device has said.
    pub(super) fn server_has(&mut self, line: u32, number: usize) {
        let now = self.now;
        let node = self.server().lines[line as usize].node;
        self.trace.fold((number as u64) << 8 | 0x60);
        self.note(Some(node), || format!("the server is told {number}"));
        let stores = self.server().told.remove(&number).unwrap_or_default();
        if stores.is_empty() {
            self.tally.server_told += 1;
            self.must_be_in_order(node, number);
        }
        let excuses: Vec<Again> = stores.iter().map(|store| self.again(store, node, number)).collect();
        // It is one doubling, whatever the server has had before.
        if let Some(last) = excuses.last() {
            match last {
                Again::Unconfirmed => self.tally.server_doubled += 1,
                Again::Died => self.tally.server_doubled_by_death += 1,
                Again::Apart => self.tally.server_doubled_apart += 1,
                Again::Soon => self.tally.server_doubled_soon += 1,
                Again::Known => {}
            }
            self.note(Some(node), || format!("tells the server {number} again: {last:?}"));
        }
        let stores: Vec<Store> =
            stores.into_iter().chain([Store { line, at: now, confirmed_at: None }]).collect();
        self.server().told.insert(number, stores);
    }

    /// The server has it already: why does it get it again?
    fn again(&mut self, store: &Store, node: usize, number: usize) -> Again {
        let before = &self.server().lines[store.line as usize];
        let (first, boot) = (before.node, before.boot);
        if self.machines[first].boot != boot {
            return Again::Died;
        }
        if self.was_apart(first, node, store.at) {
            return Again::Apart;
        }
        let Some(confirmed_at) = store.confirmed_at else { return Again::Unconfirmed };
        let is_late = self.now.since(confirmed_at) < TOLD_WITHIN;
        if is_late || node != first && !self.was_told_of_push(node, number) {
            return Again::Soon;
        }
        let text = format!(
            "r{node} tells the server {number}, which r{first} knows it to have since {confirmed_at}"
        );
        self.broken(PUSHED_ONCE, text);
        Again::Known
    }

    /// Others have told a router which records the server has.
    pub(in crate::mesh) fn note_pushed(&mut self, node: usize, pushed: &[Holding]) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        for run in pushed {
            let told = server.pushed_told[node].entry(run.origin).or_default();
            if !told.iter().any(|known| known.floor <= run.floor && run.top <= known.top) {
                told.push(RunTold { floor: run.floor, top: run.top, at: now });
            }
        }
    }

    /// Whether a router was told that the server has this message, early enough to have
    /// heeded it, and has the record by which it was told.
    fn was_told_of_push(&mut self, node: usize, number: usize) -> bool {
        let before = self.now.as_micros().saturating_sub(TOLD_WITHIN.as_micros() as u64);
        let Some(router) = &self.machines[node].router else { return false };
        let ids = self.judge.ledger.said[number].ids.iter().filter(|id| router.holds(id));
        let ids: Vec<RecordId> = ids.copied().collect();
        let told = &self.server().pushed_told[node];
        ids.iter().any(|id| {
            let mut runs = told.get(&id.origin).into_iter().flatten();
            runs.any(|run| (run.floor..=run.top).contains(&id.sequence) && run.at.as_micros() < before)
        })
    }

    /// Nothing newer of its sender may have been told before it, by a router that held both.
    fn must_be_in_order(&mut self, node: usize, number: usize) {
        let Some(speaker) = self.judge.ledger.said.get(number).map(|said| said.speaker) else { return };
        let newest = *self.server().newest.entry(speaker).or_insert(number);
        if number > newest {
            self.server().newest.insert(speaker, number);
        }
        if number >= newest {
            return;
        }
        let Some((line, at)) = self
            .server()
            .told
            .get(&newest)
            .and_then(|stores| stores.first())
            .map(|store| (store.line, store.at))
        else {
            return;
        };
        let delay = Duration::from_micros(self.server().setup.delay_us * 4) + Duration::from_millis(10);
        let teller = self.server().lines[line as usize].node;
        let came_at = self.judge.ledger.said[number].came_at.get(&teller).copied();
        // Whoever took in the newer one knew of the older one.
        let (older, newer) = (&self.judge.ledger.said[number], &self.judge.ledger.said[newest]);
        let knew = |taker: usize| {
            older.came_at.get(&taker).zip(newer.fed_at).is_some_and(|(came, fed)| *came <= fed)
        };
        let was_known = nodes_of(newer.brought_to()).all(knew);
        // Its bounds may have made that router let go of the older one.
        let was_kept = !self.may_be_expired(number);
        if was_known && was_kept && came_at.is_some_and(|came_at| came_at + delay < at) {
            let text = format!(
                "r{node} tells the server {number}, and r{teller}, which held it, told {newest} at {at}"
            );
            return self.broken(PUSHED_IN_ORDER, text);
        }
        self.tally.server_late += 1;
    }

    /// A router is about to hear the server.
    pub(super) fn server_says(&mut self, line: u32, message: &FromServer) {
        let now = self.now;
        let node = self.server().lines[line as usize].node;
        match message {
            FromServer::Confirm { message_uuid, answer: Answer::Stored } => {
                let Ok(number) = message_uuid.parse::<usize>() else { return };
                self.note(Some(node), || format!("the server confirms {number}"));
                let stores = self.server().told.get_mut(&number).into_iter().flatten();
                let mut own = stores.filter(|store| store.line == line && store.confirmed_at.is_none());
                if let Some(store) = own.next() {
                    store.confirmed_at = Some(now);
                }
            }
            FromServer::Playlist { message_uuid, .. } => self.server_plays_to(line, node, message_uuid),
            _ => {}
        }
    }

    fn server_plays_to(&mut self, line: u32, node: usize, message_uuid: &str) {
        let (now, clients) = (self.now, self.setup.clients);
        let plays = self.server().lines[line as usize].plays.iter_mut();
        let mut new = plays.filter(|play| play.fed_at.is_none() && &*play.message_uuid == message_uuid);
        let Some(play) = new.next() else { return };
        play.fed_at = Some(now);
        let number = play.number;
        let said = &self.judge.ledger.said[number];
        let is_known = said.held & (1 << node) != 0;
        if said.speaker >= clients {
            self.judge.ledger.fed(number, node, now);
        } else if !is_known {
            self.judge.ledger.cost += 512 + said.payload_bytes() as u64;
        }
        self.note(Some(node), || format!("is told {number} by the server on line {line}"));
    }

    /// A router says something to the server.
    pub(super) fn observe_up(&mut self, line: u32, frame: &ToServer) {
        let ToServer::Confirm { message_uuid, answer } = frame else { return };
        let (now, clients) = (self.now, self.setup.clients);
        let place = &mut self.server().lines[line as usize];
        let node = place.node;
        let mut plays = place.plays.iter_mut();
        let Some(play) = plays
            .find(|play| play.fed_at.is_some() && !play.is_answered && play.message_uuid == *message_uuid)
        else {
            return;
        };
        play.is_answered = true;
        let number = play.number;
        let said = &mut self.judge.ledger.said[number];
        if *answer == Answer::Stored && said.speaker >= clients {
            said.held |= 1 << node;
            said.held_ever |= 1 << node;
            said.came_at.entry(node).or_insert(now);
            said.confirmed_at.get_or_insert(now);
        }
    }

    /// What came to a router is answered.
    pub(super) fn must_be_answered(&mut self, line: u32, nth: u32) {
        let place = &self.server().lines[line as usize];
        let (node, boot) = (place.node, place.boot);
        let Some(play) = place.plays.iter().find(|play| play.nth == nth) else { return };
        let is_open = place.end == End::Up && place.stands && play.fed_at.is_some() && !play.is_answered;
        let number = play.number;
        if is_open && self.machines[node].boot == boot && !self.machines[node].frozen {
            self.broken(PLAYED, format!("r{node} has not answered the Playlist with {number}"));
        }
    }

    /// The server was judged back a while ago: its sessions are, too, if nothing
    /// came between.
    pub(super) fn must_be_back(&mut self, judged_at: Time) {
        let settled = self.disturbed_at + self.judge.limits.settle < judged_at && !self.is_rough();
        let Some(server) = &self.server else { return };
        let is_quiet = server.changed_at < judged_at && !server.on.iter().any(|on| *on);
        if !settled || !is_quiet {
            return;
        }
        self.tally.server_returns += 1;
        if let Some(text) = self.not_back(judged_at) {
            self.broken(BACK, format!("judged back at {judged_at}: {text}"));
        }
    }

    /// Notes which routers have been connected, over however many hops, in these lives.
    pub(in crate::mesh) fn note_meetings(&mut self) {
        let Some(server) = &mut self.server else { return };
        for (a, met) in server.met.iter_mut().enumerate() {
            for b in 0..self.machines.len() {
                *met |= u64::from(self.apart_until[a][b] != Time::MAX) << b;
            }
        }
    }

    /// A client connected since then whose session is not on the server.
    pub(in crate::mesh) fn not_back(&self, since: Time) -> Option<String> {
        let server = self.server.as_ref()?;
        if server.setup.places < self.setup.clients {
            return None;
        }
        for (client, device) in self.devices.iter().enumerate() {
            let presence = self.judge.ledger.presences[client];
            let is_old =
                presence.is_some_and(|presence| presence.subscribed_at + Duration::from_secs(1) < since);
            // What ended unheard may stand there until its Pings have found out.
            let ended_at = server.remains.get(&device.client_id);
            let may_remain = ended_at.is_some_and(|at| (*at).max(since) + REMAINS > self.now);
            let Some(at) = device.line.filter(|_| device.is_subscribed && is_old && !may_remain) else {
                continue;
            };
            let node = self.lines[at as usize].node;
            if device.client_id.as_str().len() > ID_MAX || self.machines[node].frozen {
                continue;
            }
            let line = server.connected.get(&device.client_id).map(|line| &server.lines[*line as usize]);
            let is_there = line
                .is_some_and(|line| (line.node, line.end, line.room) == (node, End::Up, Some(device.room)));
            if !is_there {
                let how = line.map(|line| (line.node, line.end, line.room));
                return Some(format!("c{client} at r{node} in room {} is there as {how:?}", device.room));
            }
        }
        None
    }

    /// A message that the server was not told, though it should have been.
    pub(in crate::mesh) fn unpushed(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        let open = |number: &usize| self.is_to_be_pushed(*number) && !self.may_be_expired(*number);
        let number =
            (0..self.judge.ledger.said.len()).filter(|number| !server.told.contains_key(number)).find(open);
        if let Some(number) = number {
            let said = &self.judge.ledger.said[number];
            let text = format!(
                "the server was not told {number} of c{}, fed at {:?}, confirmed at {:?}, held by {:b}",
                said.speaker, said.fed_at, said.confirmed_at, said.held
            );
            return Some(text);
        }
        let is_narrow = server.setup.places < self.setup.clients;
        let waits = self.snapshots().find_map(|(node, snapshot)| {
            let waiting = snapshot.upstream.map_or(0, |upstream| upstream.waiting);
            // Its client's router has let go of it: nobody can push it there.
            let may_wait = |(number, said): &(usize, &Said)| {
                let is_held = said.held & (1 << node) != 0;
                is_held && !server.told.contains_key(number) && self.may_be_expired(*number)
            };
            let exempt = self.judge.ledger.said.iter().enumerate().filter(may_wait).count();
            (waiting > exempt && !is_narrow)
                .then(|| format!("{waiting} records wait at r{node} to be pushed, {exempt} of them exempt"))
        });
        waits.or_else(|| self.not_back(self.now))
    }

    fn is_to_be_pushed(&self, number: usize) -> bool {
        let said = &self.judge.ledger.said[number];
        let is_kept = said.confirmed_at.is_some() && !said.is_lost && said.speaker < self.setup.clients;
        is_kept && self.is_bearable(said.speaker)
    }

    fn is_bearable(&self, speaker: usize) -> bool {
        let is_narrow = self.server.as_ref().is_some_and(|server| server.setup.places < self.setup.clients);
        !is_narrow && self.devices[speaker].client_id.as_str().len() <= ID_MAX
    }

    /// Sums up what was exempt, and holds what was doubled against what routers counted.
    pub(in crate::mesh) fn end_of_server(&mut self) {
        let Some(server) = &self.server else { return };
        let mut exempt = 0;
        for (number, said) in self.judge.ledger.said.iter().enumerate() {
            let is_kept = said.confirmed_at.is_some() && !said.is_lost && said.speaker < self.setup.clients;
            exempt += u64::from(is_kept && !server.told.contains_key(&number));
        }
        self.tally.server_exempt += exempt;
        let counted = self.counted();
        let most = counted.upstream_unsure + counted.upstream_repeated;
        if counted.server_doubled > most {
            let text =
                format!("{} messages doubled at the server, and {most} counted", counted.server_doubled);
            self.broken(PUSHED_ONCE, text);
        }
    }

    /// A message that a device has heard is heard again: is it one that the
    /// server has twice, or that its router could not know for the same?
    pub(in crate::mesh) fn is_doubled_there(&mut self, client: usize, node: usize, number: usize) -> bool {
        let Some(server) = &self.server else { return false };
        let told = server.told.get(&number).map_or(1, |stores| stores.len().max(1));
        let said = &mut self.judge.ledger.said[number];
        let again = said.heard_again.entry(client).or_default();
        *again += 1;
        let is_doubled = *again < told;
        let Some((at, first)) = said.heard.get(&client).copied() else { return false };
        // One half had it from the server, under another id.
        let fed_at = said.fed_at.unwrap_or(at).min(at);
        is_doubled || self.may_be_expired(number) || self.was_apart(first, node, fed_at)
    }

    /// Two ways to a device may differ by more than a router remembers: then it
    /// hears a piece of live audio twice.
    pub(in crate::mesh) fn is_stale_audio(&mut self, client: usize, (speaker, count): (u8, u32)) -> bool {
        let now = self.now;
        let Some(server) = &mut self.server else { return false };
        let first = *server.audio_heard.entry((client, speaker, count)).or_insert(now);
        now.since(first) >= AUDIO_WINDOW
    }
}

//! What the judge sees: everything that goes into routers and comes out.

use std::sync::Arc;
use std::time::Duration;

use fau3::router::{Answer, ConnId, Input, Record, Router};
use fau3::wire::Uuid;
use fau3::wire::fau3d::FromClient;
use fau3::wire::fau3e::{self, Message};
use fau3_election::RouterId;

use super::World;
use super::device::room_id;
use super::judge::{AGAIN, CODEC, COPIES, KNOWN, ONCE, OWN_ECHO, ROOM};
use super::ledger::{Elder, Presence};
use crate::engine::{NodeSet, nodes_of};

/// A router that a client's session reached so long before knows it.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

impl World {
    /// A rule did not hold.
    pub(super) fn broken(&mut self, invariant: &'static str, text: String) {
        self.note(None, || format!("BROKEN {invariant}: {text}"));
        self.judge.fail(invariant, self.now, text);
    }

    /// A client's message is about to come to a router that has not ended its line.
    pub(super) fn observe_message(&mut self, line: u32, message: &FromClient) {
        let place = &self.lines[line as usize];
        let (client, node) = (place.client, place.node);
        self.is_told(client);
        self.is_remembered(client);
        // A Subscribe is held against when the client was seen before.
        if !matches!(message, FromClient::Subscribe { .. })
            && let Some(presence) = &mut self.judge.ledger.presences[client]
        {
            presence.seen_at = self.now;
        }
        match message {
            FromClient::Propogate { message_uuid, .. } => {
                if let Ok(number) = message_uuid.parse::<usize>() {
                    self.judge.ledger.fed(number, node, self.now);
                    self.note(Some(node), || format!("gets {number} from c{client}"));
                }
            }
            FromClient::Subscribe { room, .. } => {
                let Some(number) =
                    (0..self.setup.rooms).find(|number| room_id(*number).as_ref() == Some(room))
                else {
                    return;
                };
                self.subscribes(line, client, node, number);
            }
            FromClient::Confirm { message_uuid: Some(uuid), status } if status.settles() => {
                let place = &mut self.lines[line as usize];
                let Some((number, key)) = place.sent.get(uuid).copied() else { return };
                place.confirmed.insert((*uuid, key));
                if let Some(number) = number {
                    self.judge.ledger.said[number].confirmed_by |= 1 << client;
                }
            }
            _ => {}
        }
    }

    fn subscribes(&mut self, line: u32, client: usize, node: usize, room: usize) {
        let client_id = self.devices[client].client_id.clone();
        let known = self.machines[node].router.as_ref().and_then(|router| router.session(&client_id));
        let is_known = known.and_then(|session| session.room) == room_id(room);
        self.note(Some(node), || {
            format!("c{client} subscribes to room {room}, {}", if is_known { "known" } else { "new" })
        });
        self.lines[line as usize].room = Some(room);
        let boot = self.machines[node].boot;
        let before = self.judge.ledger.presences[client];
        let now = self.now;
        let told = 1 << node;
        let fresh = Presence {
            room,
            since: now,
            anew_at: now,
            subscribed_at: now,
            node,
            boot,
            seen_at: now,
            told,
            elder: None,
        };
        // What it knows may be of another time, while it was cut off from where the client was.
        let stays = before.filter(|before| before.room == room && is_known && before.told & (1 << node) != 0);
        if let Some(before) = before.filter(|before| before.room == room) {
            if is_known && before.node != node {
                self.tally.resumed += 1;
                let machine = &self.machines[before.node];
                self.tally.taken_over += u64::from(machine.router.is_none() || machine.boot != before.boot);
            }
            if !is_known {
                self.must_be_known(client, node, before);
            }
        }
        let (since, anew_at) = stays.map_or((now, now), |before| (before.since, before.anew_at));
        let elder = match stays {
            Some(before) => before.elder,
            None => before.filter(|before| before.room == room).map(|before| Elder {
                since: before.since,
                seen_at: before.seen_at,
                holders: before.told & self.who_knows(client, room),
                noted_at: now,
            }),
        };
        let told = told | stays.map_or(0, |before| before.told);
        self.judge.ledger.presences[client] = Some(Presence { since, anew_at, told, elder, ..fresh });
    }

    /// Those that are connected with a client's router since it came there know it.
    fn is_told(&mut self, client: usize) {
        let Some(presence) = self.judge.ledger.presences[client] else { return };
        if self.now < presence.subscribed_at + TOLD_WITHIN || self.behind().is_some() {
            return;
        }
        let apart_until = &self.apart_until[presence.node];
        let told = (0..apart_until.len()).filter(|other| apart_until[*other] <= presence.subscribed_at);
        let told = told.fold(presence.told, |set, other| set | 1 << other);
        self.judge.ledger.presences[client] = Some(Presence { told, ..presence });
    }

    /// Routers that know a client's session in this room.
    fn who_knows(&self, client: usize, room: usize) -> NodeSet {
        let client_id = &self.devices[client].client_id;
        let knows = |machine: &super::Machine| {
            let session = machine.router.as_ref().and_then(|router| router.session(client_id));
            session.and_then(|session| session.room) == room_id(room)
        };
        let knowing = self.machines.iter().enumerate().filter(|(_, machine)| knows(machine));
        knowing.fold(0, |set, (node, _)| set | 1 << node)
    }

    /// A client that began anew goes on where it was, once its router has met one that
    /// has known it all the time.
    pub(super) fn is_remembered(&mut self, client: usize) {
        let Some(presence) = self.judge.ledger.presences[client] else { return };
        let Some(elder) = presence.elder else { return };
        let in_grace = self.now.since(elder.seen_at) < self.setup.settings.session_grace * 9 / 10;
        let lives_on = self.machines[presence.node].boot == presence.boot;
        let has_met = |other: &usize| {
            let died_since = self.lives[*other].is_some_and(|died| died >= elder.noted_at);
            !died_since && self.apart_until[presence.node][*other] + TOLD_WITHIN < self.now
        };
        let meets = lives_on && nodes_of(elder.holders).any(|other| has_met(&other));
        if in_grace && !meets {
            return;
        }
        if let Some(presence) = &mut self.judge.ledger.presences[client] {
            presence.elder = None;
            if in_grace {
                presence.since = elder.since;
                self.tally.remembered += 1;
                // It may have something to catch up with: a rest begins anew.
                self.heard_at = self.now;
            }
        }
    }

    /// A router did not know the session of a client that comes to it.
    fn must_be_known(&mut self, client: usize, node: usize, before: Presence) {
        let told = before.subscribed_at + TOLD_WITHIN < self.now;
        let calm = self.disturbed_at + self.judge.limits.settle < before.subscribed_at
            && !self.is_rough()
            && self.behind().is_none()
            && !self.was_apart(before.node, node, before.subscribed_at);
        let grace = self.setup.settings.session_grace;
        let in_grace = self.now.since(before.seen_at) < grace * 9 / 10;
        if told && calm && in_grace {
            let text = format!(
                "r{node} does not know c{client}, which was at r{} since {}",
                before.node, before.subscribed_at
            );
            self.broken(KNOWN, text);
        }
    }

    /// A router sends records to another one.
    pub(super) fn observe_sent(&mut self, node: usize, message: &Message) {
        let Message::Playlist(playlist) = message else { return };
        for (record, _) in &playlist.records {
            self.judge.ledger.learn(record);
            let is_twin = self.judge.ledger.held(record.key(), record.id, node, self.now);
            self.tally.twins += u64::from(is_twin);
        }
    }

    /// A frame came to a router.
    pub(super) fn peer_said(
        &mut self,
        node: usize,
        from: usize,
        router: RouterId,
        sent: &Arc<Message>,
        message: Result<Message, fau3e::Invalid>,
    ) {
        if let Err(invalid) = &message {
            self.broken(CODEC, format!("r{from} sends r{node} what is no message: {}", invalid.reason));
        } else if message.as_ref().ok() != Some(&**sent) {
            self.broken(CODEC, format!("r{node} reads {message:?} where r{from} wrote {sent:?}"));
        }
        self.note_frame(node, from, sent);
        if let Message::Upstream(state) = &**sent {
            self.note_pushed(node, &state.pushed);
        }
        let message = if self.lies(from) { self.with_lies(node, from, message) } else { message };
        self.feed(node, Input::FromPeer { router, message });
        let Message::Playlist(playlist) = &**sent else { return };
        self.tally.gaps_fetched += playlist.records.len() as u64 - 1;
        let holds = |router: &Router, record: &Record| router.holds(&record.id);
        for (record, _) in &playlist.records {
            if self.machines[node].router.as_ref().is_some_and(|router| holds(router, record)) {
                self.judge.ledger.held(record.key(), record.id, node, self.now);
            }
        }
    }

    fn note_frame(&mut self, node: usize, from: usize, sent: &Message) {
        match sent {
            Message::Playlist(playlist) => {
                let ledger = &self.judge.ledger;
                let numbers: Vec<_> = playlist
                    .records
                    .iter()
                    .filter_map(|(record, _)| ledger.number_of(record.key()))
                    .collect();
                let seq = playlist.records.first().map(|(record, _)| record.id.sequence);
                self.note(Some(node), || {
                    format!(
                        "hears {numbers:?} (first sequence {seq:?}) from r{from}, confirm {}",
                        playlist.confirm.is_some()
                    )
                });
            }
            Message::State(state) => {
                let sessions: Vec<_> =
                    state.sessions.iter().map(|session| session.client_id.to_string()).collect();
                let tops: Vec<_> =
                    state.holdings.iter().map(|holding| (holding.floor, holding.top)).collect();
                self.note(Some(node), || format!("hears State of r{from}: {sessions:?} {tops:?}"));
            }
            Message::Want(id) => self.note(Some(node), || format!("is asked by r{from} for {}", id.sequence)),
            Message::AskState => self.note(Some(node), || format!("is asked by r{from} for its State")),
            Message::Upstream(state) => self.note(Some(node), || {
                let names = |ids: &[fau3::wire::ClientId]| {
                    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                };
                format!(
                    "hears from r{from} of connections to the server in the names of [{}], claims [{}]",
                    names(&state.lines),
                    names(&state.claims)
                )
            }),
            Message::Stream(_) | Message::Confirm { .. } => {}
        }
    }

    /// A router says that it confirms a message which no other holds, and counts
    /// it as `confirmed_single`.
    pub(super) fn observe_alone(&mut self, message_uuid: &str) {
        let number = message_uuid.parse::<usize>().ok();
        if let Some(said) = number.and_then(|number| self.judge.ledger.said.get_mut(number)) {
            said.is_single = true;
        }
    }

    /// A router answers a Propogate.
    pub(super) fn observe_confirm(&mut self, node: usize, conn: ConnId, message_uuid: &str, answer: Answer) {
        let Ok(number) = message_uuid.parse::<usize>() else { return };
        let Some(said) = self.judge.ledger.said.get_mut(number) else { return };
        if answer != Answer::Stored {
            said.is_refused = true;
            return;
        }
        said.taken_at = said.taken_at.or(Some(self.now));
        // Brought again when the router's bounds had let go of it: there is nothing to copy.
        let router = self.machines[node].router.as_ref();
        let is_held = router.is_some_and(|router| said.ids.iter().any(|id| router.holds(id)));
        let has_expired = !said.ids.is_empty() && !is_held;
        said.held |= 1 << node;
        said.held_ever |= 1 << node;
        said.came_at.entry(node).or_insert(self.now);
        let has_one_holder = said.held_ever.count_ones() < 2;
        // Said again, it has been counted.
        let is_excused = said.is_single || has_expired;
        if said.confirmed_at.is_none() {
            said.confirmed_at = Some(self.now);
            self.tally.confirmed += 1;
        }
        self.note(Some(node), || {
            format!("confirms {number}{} on {conn:?}", if is_excused { ", single" } else { "" })
        });
        if self.setup.settings.copies > 1 && has_one_holder && !is_excused {
            self.broken(COPIES, format!("r{node} confirms {number}, which no other router has held"));
        }
    }

    /// A router sends a message to a client.
    pub(super) fn observe_playlist(&mut self, node: usize, line: u32, uuid: Uuid, record: &Record) {
        let number = self.judge.ledger.number_of(record.key());
        let place = &mut self.lines[line as usize];
        let (client, in_room) = (place.client, place.room);
        place.sent.insert(uuid, (number, record.key()));
        if place.confirmed.contains(&(uuid, record.key())) {
            let number = &record.message_uuid;
            self.broken(AGAIN, format!("r{node} sends c{client} {number} again, which it has confirmed"));
        }
        if record.client_id == self.devices[client].client_id {
            self.broken(OWN_ECHO, format!("r{node} sends c{client} its own {}", record.message_uuid));
        }
        if in_room.is_some_and(|room| room_id(room).as_ref() != Some(&record.room)) {
            self.broken(
                ROOM,
                format!("r{node} sends c{client} in room {in_room:?} what was said to {}", record.room),
            );
        }
    }

    /// Live audio goes to a client.
    pub(super) fn observe_stream(&mut self, node: usize, line: u32, frame: &[u8]) {
        let place = &self.lines[line as usize];
        let (client, in_room) = (place.client, place.room);
        let (Some(&speaker), Some(&room)) = (frame.get(4), frame.get(5)) else { return };
        if usize::from(speaker) == client {
            self.broken(OWN_ECHO, format!("r{node} sends c{client} its own voice"));
        }
        if in_room.is_some_and(|in_room| in_room != usize::from(room)) {
            self.broken(
                ROOM,
                format!("r{node} sends c{client} in room {in_room:?} the voice of c{speaker} in {room}"),
            );
        }
    }

    /// Live audio came to a device.
    pub(super) fn hear_stream(&mut self, client: usize, line: u32, frame: &[u8]) {
        let count = frame.get(6..10).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
        let heard = (frame.get(4).copied().unwrap_or(0), count);
        let node = self.lines[line as usize].node;
        self.note(Some(node), || format!("c{client} hears audio {heard:?}"));
        let is_stale = self.is_stale_audio(client, heard);
        self.must_be_live(client, line, heard);
        let place = &mut self.lines[line as usize];
        if place.streams.contains(&heard) {
            if is_stale {
                return;
            }
            self.broken(ONCE, format!("c{client} hears audio {heard:?} twice"));
        } else {
            place.streams.push(heard);
        }
    }

    /// A message is heard by a device that does not remember it.
    pub(super) fn hear(&mut self, client: usize, node: usize, record: &Record) {
        self.heard_at = self.now;
        self.judge.ledger.learn(record);
        let Some(number) = self.judge.ledger.number_of(record.key()) else { return };
        let said = &mut self.judge.ledger.said[number];
        let speaker = said.speaker;
        let before = said.heard.get(&client).copied();
        let is_confirmed = said.confirmed_by & (1 << client) != 0;
        said.heard.entry(client).or_insert((self.now, node));
        self.note(Some(node), || format!("c{client} hears {number} of c{speaker}"));
        if let Some((at, first)) = before {
            // Whoever has not confirmed it, or lost a router that alone may know so, or
            // comes to one that is cut off from that, gets it again, however much later.
            let is_cut_off = self.apart_until[first][node] + TOLD_WITHIN >= self.now;
            let has_died = self.lives[first].is_some_and(|died| died >= at);
            let is_excused = !is_confirmed || has_died || is_cut_off;
            if self.is_doubled_there(client, node, number) || is_excused {
                self.tally.repeated += 1;
            } else {
                self.broken(
                    ONCE,
                    format!("c{client} hears {number} from r{node} again, {at} from r{first} before"),
                );
            }
            return;
        }
        self.tally.heard += 1;
        self.heard_in_order(client, node, number);
        self.tally.server_heard += u64::from(speaker >= self.setup.clients);
    }
}

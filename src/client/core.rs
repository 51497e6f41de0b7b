//! What a client of FAU3VOM-D decides. Pure: no socket, no clock, no random
//! source; time and a seed are arguments, as in the router.
//!
//! * What was not confirmed is sent again with the same MessageUuid, 5 s after
//!   it left and only once a WebSocket ping sent since then has come back: a
//!   resend never overtakes a slow link.
//! * A lost connection is dialled again, after 250 ms to 5 s, and all that is
//!   unconfirmed goes out anew.
//! * A Playlist is confirmed once it has been kept, and is not shown twice.

mod backoff;
mod chance;
mod io;
mod remembered;

use std::collections::VecDeque;
use std::time::Duration;

use fau3_election::Time;

use crate::wire::Uuid;
use crate::wire::fau3d::from_router::{self, BadRecord, FromRouter, Record};
use crate::wire::fau3d::{self, STREAM_BEGIN, STREAM_END, Status};
use backoff::Backoff;
use chance::Chance;
pub(super) use io::{Event, Input, Invalid, Output, Settings, Token};
use remembered::{Key, Remembered};

/// What is unconfirmed this long after it left is sent again.
pub(super) const RESEND_AFTER: Duration = Duration::from_secs(5);
/// The router could not do it (FAU3_SERROR): ask again after this.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// A connection that is not up after this long is dialled anew.
pub(super) const DIAL_MAX: Duration = Duration::from_secs(5);
/// A connection on which nothing has come for this long is probed.
pub(super) const QUIET_MAX: Duration = Duration::from_secs(15);
/// A probe that has not come back after this long ends the connection.
pub(super) const PROBE_MAX: Duration = Duration::from_secs(20);
/// Frames that wait for the socket; at the bound nothing more is read.
pub(super) const FRAMES_MAX: usize = 64;

#[derive(Debug)]
enum Line {
    /// Dial at this moment.
    Down(Time),
    /// Give up dialling at this moment.
    Dialling(Time),
    Up {
        /// When something came last.
        heard: Time,
        /// When the probe that is on its way was sent.
        probe: Option<Time>,
        /// Frames were handed out that have not left yet.
        leaving: bool,
    },
}

/// A message that is to be confirmed.
#[derive(Debug)]
struct Pending {
    uuid: Uuid,
    frame: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To be sent at this moment.
    Due(Time),
    /// Handed out.
    Leaving,
    /// Left at this moment.
    Left(Time),
    /// Confirmed.
    Settled,
}

/// The client's side of one session.
#[derive(Debug)]
pub(super) struct Client {
    settings: Settings,
    link: Line,
    subscription: Option<Pending>,
    record: Option<Pending>,
    remembered: Remembered,
    backoff: Backoff,
    chance: Chance,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

impl Client {
    /// Dials at once.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            link: Line::Down(Time::ZERO),
            subscription: None,
            record: None,
            remembered: Remembered::default(),
            backoff: Backoff::new(),
            chance: Chance::new(settings.seed),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            settings,
        }
    }

    /// Takes in what happened. Bounded work: one frame at most is parsed.
    pub(super) fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Connected => self.connected(now),
            Input::Down(reason) => self.down(now, reason),
            Input::Frame(frame) => self.frame(now, frame),
            Input::Pong => self.pong(now),
            Input::Flushed => self.flushed(now),
            Input::Say(room, payload) => {
                let uuid = self.chance.message_uuid();
                let mut frame = Vec::new();
                fau3d::propogate(&mut frame, &uuid.to_string(), room, payload);
                self.record = Some(Pending { uuid, frame, stage: Stage::Due(now) });
            }
            Input::Stream(audio) => {
                if self.is_ready() {
                    self.outputs.push_back(Output::Binary([STREAM_BEGIN, audio, STREAM_END].concat()));
                }
            }
            Input::Kept(token) => {
                self.remembered.insert(now, token.key);
                self.confirm(&token.message_uuid, Status::STORED);
            }
            Input::NotKept(token) => self.confirm(&token.message_uuid, Status::SERROR),
            Input::Timeout => {}
        }
        self.act(now);
    }

    /// What the socket shall do next.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if let (Line::Up { leaving, .. }, Output::Text(_) | Output::Binary(_) | Output::Probe) =
            (&mut self.link, &output)
        {
            *leaving = true;
        }
        Some(output)
    }

    /// What the command is told next.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Input::Timeout`] is to be given at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self.link {
            Line::Down(until) | Line::Dialling(until) => Some(until),
            Line::Up { leaving: true, .. } => None,
            Line::Up { probe: Some(sent), .. } => {
                let dues = self.pending().filter_map(|pending| match pending.stage {
                    Stage::Due(at) => Some(at),
                    _ => None,
                });
                dues.chain([sent + PROBE_MAX]).min()
            }
            Line::Up { heard, probe: None, .. } => {
                let dues = self.pending().filter_map(|pending| match pending.stage {
                    Stage::Due(at) => Some(at),
                    Stage::Left(at) => Some(at + RESEND_AFTER),
                    Stage::Leaving | Stage::Settled => None,
                });
                dues.chain([heard + QUIET_MAX]).min()
            }
        }
    }

    /// Whether frames wait that the socket has not taken.
    pub(super) fn has_frames(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Whether so many wait that nothing more may be read.
    pub(super) fn is_full(&self) -> bool {
        self.outputs.len() >= FRAMES_MAX
    }

    /// Connected and, where a room was asked for, in it.
    pub(super) fn is_ready(&self) -> bool {
        let subscribed = self.subscription.as_ref().is_none_or(|pending| pending.stage == Stage::Settled);
        matches!(self.link, Line::Up { .. }) && subscribed
    }

    fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.subscription.iter().chain(&self.record)
    }

    fn connected(&mut self, now: Time) {
        self.link = Line::Up { heard: now, probe: None, leaving: false };
        if let Some(room) = &self.settings.room {
            let uuid = self.chance.message_uuid();
            let mut frame = Vec::new();
            fau3d::subscribe(&mut frame, &uuid.to_string(), room, 0, 0);
            self.subscription = Some(Pending { uuid, frame, stage: Stage::Due(now) });
        } else {
            self.events.push_back(Event::Ready);
        }
    }

    fn down(&mut self, now: Time, reason: String) {
        let wait = self.backoff.next(&mut self.chance);
        self.link = Line::Down(now + wait);
        // What was meant for the old connection has no business on the new one.
        self.outputs.clear();
        self.subscription = None;
        if let Some(record) = self.record.as_mut().filter(|record| record.stage != Stage::Settled) {
            record.stage = Stage::Due(now);
        }
        self.events.push_back(Event::Down(reason));
    }

    fn flushed(&mut self, now: Time) {
        if let Line::Up { leaving, probe, .. } = &mut self.link {
            *leaving = false;
            // The probe's time counts from when it left, too.
            *probe = probe.map(|_| now);
        }
        for pending in self.subscription.iter_mut().chain(&mut self.record) {
            if pending.stage == Stage::Leaving {
                pending.stage = Stage::Left(now);
            }
        }
    }

    fn heard(&mut self, now: Time) {
        if let Line::Up { heard, .. } = &mut self.link {
            *heard = now;
        }
    }

    /// What left before the probe has arrived by now: unconfirmed, it is due.
    fn pong(&mut self, now: Time) {
        self.heard(now);
        let Line::Up { probe, .. } = &mut self.link else { return };
        let Some(sent) = probe.take() else { return };
        for pending in self.subscription.iter_mut().chain(&mut self.record) {
            if matches!(pending.stage, Stage::Left(at) if at <= sent && now.since(at) >= RESEND_AFTER) {
                pending.stage = Stage::Due(now);
            }
        }
    }

    fn frame(&mut self, now: Time, frame: &[u8]) {
        self.heard(now);
        // A server that takes connections and closes them at once stays on the
        // longer waits; one that speaks is good.
        self.backoff.reset();
        match from_router::parse(frame, BadRecord::Counts) {
            Ok(FromRouter::Ping { message_uuid }) => self.confirm(&message_uuid, Status::PONG),
            Ok(FromRouter::Monitor { message_uuid, .. }) => self.confirm(&message_uuid, Status::MONED),
            Ok(FromRouter::Confirm { message_uuid, status }) => self.settle(now, &message_uuid, status),
            Ok(FromRouter::Playlist { message_uuid, records }) => self.playlist(now, message_uuid, records),
            Ok(FromRouter::Stream(audio)) => self.events.push_back(Event::Stream(audio.to_vec())),
            Err(invalid) if invalid.was_confirm => {}
            Err(invalid) => self.confirm(&invalid.message_uuid, Status::INVALID),
        }
    }

    fn playlist(&mut self, now: Time, message_uuid: String, records: Vec<Record>) {
        if !self.settings.listens {
            return;
        }
        let key = Key::of(&message_uuid, &records);
        if self.remembered.knows(now, key) {
            self.confirm(&message_uuid, Status::STORED);
        } else {
            self.events.push_back(Event::Playlist(Token { message_uuid, key }, records));
        }
    }

    fn settle(&mut self, now: Time, message_uuid: &str, status: Status) {
        let Ok(uuid) = message_uuid.parse::<Uuid>() else { return };
        for (slot, what) in
            [(&mut self.subscription, Invalid::Subscribe), (&mut self.record, Invalid::Propogate)]
        {
            let Some(pending) = slot.as_mut().filter(|p| p.uuid == uuid && p.stage != Stage::Settled) else {
                continue;
            };
            if status == Status::INVALID {
                pending.stage = Stage::Settled;
                self.events.push_back(Event::Invalid(what));
            } else if status.settles() {
                pending.stage = Stage::Settled;
                let subscribed = what == Invalid::Subscribe;
                self.events.push_back(if subscribed { Event::Ready } else { Event::Stored });
            } else {
                pending.stage = Stage::Due(now + REFUSED_PAUSE);
                self.events.push_back(Event::Refused(status));
            }
        }
    }

    fn confirm(&mut self, message_uuid: &str, status: Status) {
        if matches!(self.link, Line::Up { .. }) {
            let mut frame = Vec::new();
            fau3d::confirm(&mut frame, message_uuid, status);
            self.outputs.push_back(Output::Text(frame));
        }
    }

    /// Does what is due.
    fn act(&mut self, now: Time) {
        match self.link {
            Line::Down(until) if now >= until => {
                self.link = Line::Dialling(now + DIAL_MAX);
                self.outputs.push_back(Output::Dial);
            }
            Line::Dialling(until) if now >= until => self.hang_up(now, "no answer for 5 s"),
            Line::Up { probe: Some(sent), leaving: false, .. } if now.since(sent) >= PROBE_MAX => {
                self.hang_up(now, "the router has fallen silent");
            }
            Line::Up { .. } => {
                self.send_due(now);
                self.probe_if_needed(now);
            }
            Line::Down(_) | Line::Dialling(_) => {}
        }
    }

    fn hang_up(&mut self, now: Time, reason: &str) {
        self.down(now, reason.to_owned());
        self.outputs.push_back(Output::HangUp);
    }

    fn send_due(&mut self, now: Time) {
        for pending in self.subscription.iter_mut().chain(&mut self.record) {
            if matches!(pending.stage, Stage::Due(at) if now >= at) {
                pending.stage = Stage::Leaving;
                self.outputs.push_back(Output::Text(pending.frame.clone()));
            }
        }
    }

    fn probe_if_needed(&mut self, now: Time) {
        let overdue = self
            .pending()
            .any(|pending| matches!(pending.stage, Stage::Left(at) if now.since(at) >= RESEND_AFTER));
        if let Line::Up { heard, probe: probe @ None, leaving: false } = &mut self.link
            && (overdue || now.since(*heard) >= QUIET_MAX)
        {
            *probe = Some(now);
            self.outputs.push_back(Output::Probe);
        }
    }
}

#[cfg(test)]
mod tests;

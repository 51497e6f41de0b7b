//! One end of a call: what its client says, and what the other end says, in turn.
//!
//! Every answer of PROTOCOLS.md section 3 that is not about bytes is decided here, by
//! both ends alike, so that they agree without asking.

use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use super::queue::Queue;
use super::words::{CallId, Party, Says, Signal, Word};
use crate::wire::call::{Packet, Parameters, Username};

/// For so long somebody is called.
pub const RINGING_MAX: Duration = Duration::from_secs(30);
/// For so long a call lasts in which nobody sends audio.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Rounds of other wishes; the next one ends the call.
pub const ROUNDS_MAX: u8 = 3;

/// What clients are told as the reason, in the Optional Data.
mod reason {
    pub(super) const BUSY: &[u8] = b"busy";
    pub(super) const BAD_PARAMETERS: &[u8] = b"bad parameters";
    pub(super) const NO_AGREEMENT: &[u8] = b"no agreement";
    pub(super) const NO_ANSWER: &[u8] = b"no answer";
    pub(super) const SILENT: &[u8] = b"silent";
    pub(super) const SLOW: &[u8] = b"too slow";
    pub(super) const ELSEWHERE: &[u8] = b"elsewhere";
    pub(super) const LOST: &[u8] = b"lost";
}

/// How far a call has come at this end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// This end has called.
    Calling,
    /// This end is called.
    Ringing,
    /// Audio goes both ways.
    Talking,
}

#[derive(Debug)]
struct Call {
    id: CallId,
    peer: Party,
    stage: Stage,
    /// As offered last; in [`Stage::Talking`] as agreed.
    parameters: Parameters,
    /// Of other wishes, from either side.
    rounds: u8,
    /// Whether this end's client is to answer.
    is_my_turn: bool,
    /// It ends by itself then.
    until: Time,
}

/// What one end has come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Calls that stood.
    pub calls: u64,
    /// Packets of audio that came for the client.
    pub audio: u64,
    /// Of its own audio, what came before a call stood, or after it.
    pub early: u64,
    /// What it said when it was not to say it.
    pub stray: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            audio: self.audio + other.audio,
            early: self.early + other.early,
            stray: self.stray + other.stray,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct End {
    /// How the other side reaches it.
    pub(super) party: Party,
    call: Option<Call>,
    pub(super) queue: Queue,
    pub(super) counts: Counts,
    words: Vec<Word>,
}

impl End {
    pub(super) fn new(party: Party) -> Self {
        Self { party, call: None, queue: Queue::default(), counts: Counts::default(), words: Vec::new() }
    }

    /// What it asks for since it was last looked at, in order.
    pub(super) fn take_words(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.words)
    }

    /// The other end of its call.
    pub(super) fn peer(&self) -> Option<&Party> {
        self.call.as_ref().map(|call| &call.peer)
    }

    /// When something ends by itself.
    pub(super) fn timeout(&self) -> Option<Time> {
        let call = self.call.as_ref()?;
        Some(self.queue.due().map_or(call.until, |due| due.min(call.until)))
    }

    /// The client says something; `fresh` would be the id of a call that it begins.
    pub(super) fn client_says(&mut self, now: Time, packet: Packet, fresh: CallId) {
        match packet {
            Packet::Offer { parameters, username, data } => {
                self.offers(now, parameters, &username, data, fresh);
            }
            Packet::Wishes { parameters, data } => self.wishes(now, parameters, data),
            Packet::Accepted { data } => match &mut self.call {
                Some(call) if call.is_my_turn => {
                    let (peer, id) = (call.peer.clone(), call.id);
                    self.talks(now);
                    self.say(peer, id, Says::Accepted(data));
                }
                _ => self.counts.stray += 1,
            },
            Packet::Refused { data } => self.hangs_up(Says::Refused(data)),
            Packet::Ended { data } => self.hangs_up(Says::Ended(data)),
            Packet::NoSuchUser => self.counts.stray += 1,
            Packet::Audio(audio) => match &mut self.call {
                Some(call) if call.stage == Stage::Talking => {
                    call.until = now + SILENCE_MAX;
                    self.words.push(Word::Live(call.peer.clone(), call.id, audio));
                }
                _ => self.counts.early += 1,
            },
        }
    }

    fn offers(&mut self, now: Time, parameters: Parameters, username: &[u8], data: Box<[u8]>, fresh: CallId) {
        let callee = Username::new(username);
        if matches!(self.party, Party::Nameless { .. })
            && self.call.is_none()
            && let Some(name) = Username::new(&data)
        {
            self.party = Party::Named(name);
        }
        let callee = match callee.map(Party::Named) {
            Some(own) if own == self.party => return, // That was all: it has its name.
            callee => callee,
        };
        if let Some(call) = &self.call {
            // Both call each other, and the other one's came first.
            let is_glare = call.stage == Stage::Ringing && callee.as_ref() == Some(&call.peer);
            if is_glare && call.parameters == parameters && call.is_my_turn {
                return self.client_says(now, Packet::Accepted { data }, fresh);
            }
            if !is_glare || call.peer < self.party {
                self.counts.stray += 1;
                return;
            }
            self.call = None;
        }
        match callee {
            _ if !parameters.is_sound() => {
                self.tell(now, Packet::Refused { data: reason::BAD_PARAMETERS.into() });
            }
            None => self.tell(now, Packet::NoSuchUser),
            Some(callee) => {
                self.begins(now, fresh, callee.clone(), Stage::Calling, parameters);
                self.say(callee, fresh, Says::Offer { parameters, data });
            }
        }
    }

    fn begins(&mut self, now: Time, id: CallId, peer: Party, stage: Stage, parameters: Parameters) {
        let is_my_turn = stage == Stage::Ringing;
        let until = now + RINGING_MAX;
        self.call = Some(Call { id, peer, stage, parameters, rounds: 0, is_my_turn, until });
    }

    fn wishes(&mut self, now: Time, parameters: Parameters, data: Box<[u8]>) {
        let Some(call) = self.call.as_mut().filter(|call| call.is_my_turn) else {
            self.counts.stray += 1;
            return;
        };
        let why = if parameters.is_sound() { reason::NO_AGREEMENT } else { reason::BAD_PARAMETERS };
        if !parameters.is_sound() || call.rounds == ROUNDS_MAX {
            self.tell(now, Packet::Refused { data: why.into() });
            return self.hangs_up(Says::Refused(why.into()));
        }
        call.rounds += 1;
        call.parameters = parameters;
        call.is_my_turn = false;
        let (peer, id) = (call.peer.clone(), call.id);
        self.say(peer, id, Says::Wishes { parameters, data });
    }

    /// The call stands from now on.
    fn talks(&mut self, now: Time) {
        if let Some(call) = &mut self.call {
            call.stage = Stage::Talking;
            call.is_my_turn = false;
            call.until = now + SILENCE_MAX;
            self.counts.calls += 1;
        }
    }

    /// The client wants no call any more.
    fn hangs_up(&mut self, says: Says) {
        match self.call.take() {
            Some(call) => {
                self.queue.forget_audio();
                self.say(call.peer, call.id, says);
            }
            None => self.counts.stray += 1,
        }
    }

    /// The other end says something, or somebody else.
    pub(super) fn peer_says(&mut self, now: Time, from: Party, Signal { call, says }: Signal) {
        if let Says::Offer { parameters, data } = says {
            return self.is_called(now, from, call, parameters, data);
        }
        let Some(mine) = self.call.as_mut().filter(|mine| mine.id == call && mine.peer == from) else {
            // Whoever still thinks to be in it hears that it is over.
            if !says.ends_it() {
                self.say(from, call, Says::Ended(reason::LOST.into()));
            }
            return;
        };
        let is_its_turn = mine.stage != Stage::Talking && !mine.is_my_turn;
        match says {
            Says::Offer { .. } => {}
            Says::Wishes { parameters, data } if is_its_turn => {
                mine.rounds = mine.rounds.saturating_add(1);
                mine.parameters = parameters;
                mine.is_my_turn = true;
                self.tell(now, Packet::Wishes { parameters, data });
            }
            Says::Accepted(data) if is_its_turn => {
                self.talks(now);
                self.tell(now, Packet::Accepted { data });
            }
            Says::Wishes { .. } | Says::Accepted(_) => self.counts.stray += 1,
            Says::Refused(data) => self.is_over(now, Packet::Refused { data }),
            Says::Ended(data) => self.is_over(now, Packet::Ended { data }),
            Says::NoSuchUser => self.is_over(now, Packet::NoSuchUser),
        }
    }

    fn is_called(&mut self, now: Time, from: Party, call: CallId, parameters: Parameters, data: Box<[u8]>) {
        let glare = match &self.call {
            None => None,
            Some(mine) if mine.id == call => return,
            Some(mine) if mine.peer != from => {
                return self.say(from, call, Says::Refused(reason::BUSY.into()));
            }
            Some(mine) if mine.stage == Stage::Calling => Some((mine.id, mine.parameters)),
            // It calls anew: the former call is over, and its word of that was lost.
            Some(_) => {
                self.is_over(now, Packet::Ended { data: reason::LOST.into() });
                None
            }
        };
        match glare {
            // Both ends take the lower name's, and neither has to say so.
            Some((mine, as_mine)) if as_mine == parameters => {
                let id = if from < self.party { call } else { mine };
                if let Some(mine) = &mut self.call {
                    mine.id = id;
                }
                self.talks(now);
                self.tell(now, Packet::Accepted { data });
            }
            Some(_) if self.party < from => {}
            _ => {
                let username = from.shown().into();
                self.begins(now, call, from, Stage::Ringing, parameters);
                self.tell(now, Packet::Offer { parameters, username, data });
            }
        }
    }

    /// Audio came from the other end.
    pub(super) fn hears(&mut self, now: Time, from: Party, id: CallId, audio: Arc<[u8]>) {
        match self.call.as_mut().filter(|call| call.id == id && call.peer == from) {
            Some(call) if call.stage == Stage::Talking => {
                call.until = now + SILENCE_MAX;
                self.counts.audio += 1;
                self.queue.push_audio(now, audio, call.parameters);
            }
            // It has come before the other end's word that the call stands.
            Some(_) => {}
            None => self.say(from, id, Says::Ended(reason::LOST.into())),
        }
    }

    /// What was said could not be handed over: nobody has that name, or its router is
    /// out of reach.
    pub(super) fn not_handed_over(&mut self, now: Time, call: CallId) {
        match self.call.as_ref().filter(|mine| mine.id == call).map(|mine| mine.stage) {
            Some(Stage::Calling) => self.is_over(now, Packet::NoSuchUser),
            Some(_) => self.is_over(now, Packet::Ended { data: reason::LOST.into() }),
            None => {}
        }
    }

    /// The other end is gone for good.
    pub(super) fn peer_is_gone(&mut self, now: Time) {
        self.is_over(now, Packet::Ended { data: reason::LOST.into() });
    }

    /// Somebody else has its name from now on.
    pub(super) fn is_elsewhere(&mut self, now: Time, nameless: Party) {
        self.ends(now, reason::ELSEWHERE);
        self.party = nameless;
    }

    /// Its connection is gone.
    pub(super) fn leaves(&mut self) {
        if self.call.is_some() {
            self.hangs_up(Says::Ended(Box::default()));
        }
    }

    pub(super) fn due(&mut self, now: Time) {
        let Some(call) = &self.call else { return };
        if self.queue.due().is_some_and(|due| due <= now) {
            self.queue.forget_audio();
            self.ends(now, reason::SLOW);
        } else if call.until <= now {
            self.ends(now, if call.stage == Stage::Talking { reason::SILENT } else { reason::NO_ANSWER });
        }
    }

    /// Ends the call for both, with one reason.
    fn ends(&mut self, now: Time, why: &'static [u8]) {
        if let Some(call) = self.call.take() {
            self.tell(now, Packet::Ended { data: why.into() });
            self.say(call.peer, call.id, Says::Ended(why.into()));
        }
    }

    /// The other side has ended it: behind what is still to be heard of it.
    fn is_over(&mut self, now: Time, packet: Packet) {
        if self.call.take().is_some() {
            self.tell(now, packet);
        }
    }

    fn say(&mut self, to: Party, call: CallId, says: Says) {
        self.words.push(Word::Signal(to, Signal { call, says }));
    }

    fn tell(&mut self, now: Time, packet: Packet) {
        self.queue.push(now, packet);
    }
}

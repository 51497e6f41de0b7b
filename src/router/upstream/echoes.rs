//! One message, many copies: every session of a room is told by the server of
//! every message there, also of those that came from this mesh. Its records
//! have no ids, so copies pair one for one by room, sender and payload.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fau3_election::Time;
use xxhash_rust::xxh3::xxh3_128;

use super::UpConn;
use super::intake::HeldBack;
use crate::wire::{ClientId, Record, RecordId, RoomId};

/// A connection may be told of what was said this long before it stood: two
/// routers do not hear the server at the same moment.
const SLACK: Duration = Duration::from_secs(10);

/// For how long a message that has left the log is known: until the server has told
/// every connection of it, as often as it does.
const GONE_FOR: Duration = Duration::from_secs(120);
/// So many of them; beyond it the one that left first is forgotten.
const GONE_MAX: usize = 1_024;

/// All messages held here, by [`echo_key`], those that were, and those of the server
/// that wait for their record. Bounded by the records held, and [`GONE_MAX`].
#[derive(Debug, Default)]
pub(super) struct Echoes {
    by_key: BTreeMap<u128, Vec<Echo>>,
    /// What has left the log, by [`echo_key`] and [`Record::key`], and when.
    gone: VecDeque<(Time, u128, u128)>,
    pub(super) held_back: Vec<HeldBack>,
}

/// One message.
#[derive(Debug)]
struct Echo {
    /// Its [`Record::key`].
    message: u128,
    /// All records that it has become: routers that did not hear each other each
    /// made one. None is held any more where this is empty.
    ids: Vec<RecordId>,
    /// Since when the server has it, as far as known here; `None`: it does not.
    there_since: Option<Time>,
    /// That server was another one: connections beyond this one are not told.
    there_until: Option<UpConn>,
    /// It was taken in from the server.
    is_from_server: bool,
    /// There is one of the other kind, and the two are the same message.
    is_paired: bool,
    /// Which of those that sound alike it is.
    nth: u64,
    /// Connections that were told of it.
    told: BTreeSet<UpConn>,
}

impl Echo {
    /// Whether a connection that has stood `since` may be told of it yet: one that
    /// is not known to be there has just got there.
    fn is_meant(&self, conn: UpConn, since: Time) -> bool {
        !self.told.contains(&conn)
            && self.there_until.is_none_or(|last| conn <= last)
            && self.there_since.is_none_or(|at| at + SLACK >= since)
    }
}

/// By what a message is recognised that has no id. The same on every machine.
pub(super) fn echo_key(room: &RoomId, client_id: &ClientId, payload: &[u8]) -> u128 {
    let mut bytes = Vec::with_capacity(160);
    for name in [room.as_str(), client_id.as_str()] {
        bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&xxh3_128(payload).to_le_bytes());
    xxh3_128(&bytes)
}

impl Echoes {
    pub(super) fn due(&self) -> Option<Time> {
        self.held_back.iter().map(|held| held.until).min()
    }

    /// A record is held here, and there since that time. Connections that were
    /// told of it already are named.
    pub(super) fn insert(
        &mut self,
        record: &Record,
        there_since: Option<Time>,
        is_from_server: bool,
        told: BTreeSet<UpConn>,
    ) {
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        let echoes = self.by_key.entry(key).or_default();
        match echoes.iter_mut().find(|echo| echo.message == record.key()) {
            Some(echo) if echo.ids.contains(&record.id) => {}
            Some(echo) => echo.ids.push(record.id),
            None => {
                let (message, ids) = (record.key(), vec![record.id]);
                let (there_until, is_paired) = (None, false);
                let nth = echoes.iter().map(|echo| echo.nth + 1).max().unwrap_or(0);
                echoes.push(Echo {
                    message,
                    ids,
                    there_since,
                    there_until,
                    is_from_server,
                    is_paired,
                    nth,
                    told,
                });
            }
        }
    }

    /// Connections beyond this one go to another server, which has nothing of what
    /// the one before has.
    pub(super) fn turn(&mut self, last: UpConn) {
        let echoes = self.by_key.values_mut().flatten().filter(|echo| echo.there_since.is_some());
        echoes.for_each(|echo| echo.there_until = echo.there_until.or(Some(last)));
    }

    /// The server has it now.
    pub(super) fn is_there(&mut self, record: &Record, now: Time) {
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        let echoes = self.by_key.get_mut(&key).into_iter().flatten();
        for echo in echoes.filter(|echo| echo.message == record.key()) {
            echo.there_since.get_or_insert(now);
        }
    }

    /// It never was held.
    pub(super) fn discard(&mut self, record: &Record) {
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        let Some(echoes) = self.by_key.get_mut(&key) else { return };
        echoes.iter_mut().for_each(|echo| echo.ids.retain(|id| *id != record.id));
        echoes.retain(|echo| echo.message != record.key() || !echo.ids.is_empty());
        if echoes.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// It is held no more. The server may tell of it yet: that is no news.
    pub(super) fn remove(&mut self, record: &Record, now: Time) {
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        for echo in self.by_key.get_mut(&key).into_iter().flatten() {
            let was_held = !echo.ids.is_empty();
            echo.ids.retain(|id| *id != record.id);
            if was_held && echo.ids.is_empty() {
                self.gone.push_back((now, key, echo.message));
            }
        }
        while let Some((at, key, message)) = self.gone.front().copied()
            && (self.gone.len() > GONE_MAX || now.since(at) >= GONE_FOR)
        {
            self.gone.pop_front();
            if let Some(echoes) = self.by_key.get_mut(&key) {
                // It may be held again.
                echoes.retain(|echo| echo.message != message || !echo.ids.is_empty());
                if echoes.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
    }

    /// Whether a message is expected on a connection that has stood `since`.
    pub(super) fn awaits(&self, key: u128, conn: UpConn, since: Time) -> bool {
        let mut echoes = self.by_key.get(&key).into_iter().flatten();
        echoes.any(|echo| echo.is_meant(conn, since))
            || self.held_back.iter().any(|held| held.is_for(key, conn))
    }

    /// A connection that has stood `since` is told of a message: which one is it?
    /// `Some(None)`: one that has left the log.
    pub(super) fn told(&mut self, key: u128, conn: UpConn, since: Time) -> Option<Option<RecordId>> {
        let echoes = self.by_key.get_mut(&key)?;
        // Of two that are the same message, being told of one is being told of both.
        let echo = echoes.iter_mut().find(|echo| echo.is_meant(conn, since))?;
        echo.told.insert(conn);
        let (id, is_paired, kind) = (echo.ids.first().copied(), echo.is_paired, echo.is_from_server);
        if is_paired {
            let twin = echoes
                .iter_mut()
                .find(|echo| echo.is_paired && echo.is_from_server != kind && !echo.told.contains(&conn));
            if let Some(twin) = twin {
                twin.told.insert(conn);
            }
        }
        Some(id)
    }

    /// A record that came over the mesh: is it one that was taken in from the
    /// server as another, or the other way round? Each is so once. Gives the
    /// other's [`Record::key`], and its id unless it has left the log: it may still be
    /// on its way to the disk.
    pub(super) fn pair(&mut self, record: &Record, is_from_server: bool) -> Option<(u128, Option<RecordId>)> {
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        let echoes = self.by_key.get_mut(&key)?;
        let own = echoes.iter().position(|echo| echo.message == record.key() && !echo.is_paired)?;
        let is_other = |echo: &Echo| echo.is_from_server != is_from_server && !echo.is_paired;
        let other = echoes.iter().position(is_other)?;
        let told: BTreeSet<UpConn> = echoes[own].told.union(&echoes[other].told).copied().collect();
        echoes[own].nth = echoes[other].nth;
        for at in [own, other] {
            echoes[at].is_paired = true;
            echoes[at].told.clone_from(&told);
        }
        Some((echoes[other].message, echoes[other].ids.first().copied()))
    }

    /// A name that is one for a message that came over the mesh and for what the server tells
    /// of it, also on routers that have but one of them; another one for the same words
    /// said again. `None`: it is not held here.
    pub(super) fn name(&self, record: &Record) -> Option<u128> {
        let key = echo_key(&record.room, &record.client_id, &record.payload);
        let mut echoes = self.by_key.get(&key)?.iter();
        let nth = echoes.find(|echo| echo.message == record.key())?.nth;
        Some(xxh3_128(&[key.to_le_bytes(), u128::from(nth).to_le_bytes()].concat()))
    }

    /// How many of these were taken in from the server.
    pub(super) fn taken_in(&self, key: u128) -> usize {
        self.by_key.get(&key).map_or(0, |echoes| echoes.iter().filter(|echo| echo.is_from_server).count())
    }
}

#[cfg(test)]
mod tests {
    use fau3_election::{Incarnation, RouterId};

    use super::*;
    use crate::wire::{Message, Origin};

    fn record(sequence: u64) -> Record {
        let message = Message {
            room: RoomId::new("r").unwrap(),
            client_id: ClientId::new("a").unwrap(),
            message_uuid: format!("u{sequence}").into(),
            payload: b"mayday"[..].into(),
        };
        let origin = Origin { router: RouterId([1; 16]), incarnation: Incarnation::default() };
        Record::new(RecordId { origin, sequence }, None, sequence, message)
    }

    #[test]
    fn what_has_left_the_log_is_known_for_a_while_and_no_news_when_the_server_tells_of_it() {
        let (mut echoes, first, second) = (Echoes::default(), record(1), record(2));
        let key = echo_key(&first.room, &first.client_id, &first.payload);
        let [one, other] = [UpConn(1), UpConn(2)];
        echoes.insert(&first, None, false, BTreeSet::new());
        echoes.remove(&first, Time::from_secs(10));
        assert_eq!(echoes.told(key, one, Time::ZERO), Some(None), "it was held");
        assert_eq!(echoes.told(key, one, Time::ZERO), None, "the same words said again");
        // The same words in another message, which goes much later.
        echoes.insert(&second, None, false, BTreeSet::new());
        assert_ne!(echoes.name(&second), echoes.name(&first), "each is heard");
        echoes.remove(&second, Time::from_secs(10) + GONE_FOR);
        assert_eq!(echoes.told(key, other, Time::ZERO), Some(None), "the second one");
        assert_eq!(echoes.told(key, other, Time::ZERO), None, "the first one is forgotten");
    }

    #[test]
    fn what_has_left_the_log_is_the_same_message_as_what_another_router_took_in_from_the_server() {
        let (mut echoes, ours, theirs) = (Echoes::default(), record(1), record(2));
        echoes.insert(&ours, None, false, BTreeSet::new());
        echoes.remove(&ours, Time::from_secs(10));
        echoes.insert(&theirs, Some(Time::from_secs(20)), true, BTreeSet::new());
        assert_eq!(echoes.pair(&theirs, true), Some((ours.key(), None)));
        assert_eq!(echoes.pair(&theirs, true), None, "once");
    }

    #[test]
    fn what_the_disk_refused_leaves_nothing_behind() {
        let (mut echoes, refused, held) = (Echoes::default(), record(1), record(2));
        echoes.insert(&refused, None, false, BTreeSet::new());
        echoes.insert(&held, None, false, BTreeSet::new());
        echoes.discard(&refused);
        let key = echo_key(&held.room, &held.client_id, &held.payload);
        assert_eq!(echoes.told(key, UpConn(1), Time::ZERO), Some(Some(held.id)));
        assert_eq!(echoes.told(key, UpConn(1), Time::ZERO), None, "the refused one is no message");
        echoes.discard(&held);
        assert!(echoes.by_key.is_empty() && echoes.gone.is_empty());
    }

    #[test]
    fn what_has_left_the_log_is_bounded() {
        let mut echoes = Echoes::default();
        for sequence in 0..GONE_MAX as u64 + 10 {
            echoes.insert(&record(sequence), None, false, BTreeSet::new());
            echoes.remove(&record(sequence), Time::ZERO);
        }
        assert_eq!(echoes.by_key.values().flatten().count(), GONE_MAX);
    }
}

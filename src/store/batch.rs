//! Commits that wait for the disk, merged into what one transaction writes.
//! Knows no database.

use std::collections::BTreeMap;

use crate::router::{Commit, SavedSession, StoredRecord};
use crate::wire::ClientId;
use crate::wire::fau3e::Holding;

/// Records that wait for one transaction; beyond it commits are refused.
pub const BATCH_RECORDS_MAX: usize = 512;
/// Payload bytes that wait for one transaction; beyond it commits are refused,
/// except that a first record always fits.
pub const BATCH_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Sessions changed or ended that wait while the disk fails; beyond it those
/// that come anew are left out. After a restart such a session is older than it
/// was: its client gets again what it drops by MessageUuid.
pub const BATCH_SESSIONS_MAX: usize = 4_096;

/// A record and when it was new, on the clock of this life: negative for one
/// that is older than this life.
pub(super) type Dated = (StoredRecord, i64);

/// All that a router holds, to begin a file with.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Beside the sessions, which are among those of the batch.
    pub(super) records: Vec<Dated>,
    /// Messages remembered whose records are gone, oldest first: key, and when it
    /// was new as in [`Dated`].
    pub(super) remembered: Vec<(u128, i64)>,
    /// The highest position ever used.
    pub(super) top: u64,
}

/// The sum of some commits, in order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Dated>,
    bytes: usize,
    /// What the file held before gives way to this.
    pub(super) whole: Option<Whole>,
    /// What became of each session: `None` if it ended. The newest word counts.
    pub(super) sessions: BTreeMap<ClientId, Option<SavedSession>>,
    pub(super) floor: u64,
    /// What a main server has, if that has changed.
    pub(super) pushed: Option<Vec<Holding>>,
    /// The router's clock at the newest commit, in ms.
    pub(super) clock_ms: u64,
    /// The newest commit whose records are in.
    pub(super) accepted: Option<u64>,
    /// The newest commit, if its records found no room.
    pub(super) refused: Option<u64>,
    /// Positions of records that were answered with "not on disk". A commit
    /// that failed half-way may be there all the same once the file is opened
    /// again (its frames can be whole in the write-ahead log), so the next
    /// transaction deletes them. They follow each other: a success ends the row.
    pub(super) disowned: Option<(u64, u64)>,
}

impl Batch {
    /// Takes a commit in. Its records are refused where they find no room, and
    /// then those of all later commits too: answers come in order of number.
    /// What it says of sessions is taken in any case.
    pub(super) fn add(&mut self, commit: Commit) {
        if let Some(whole) = commit.whole {
            return self.add_whole(Commit { whole: None, ..commit }, &whole);
        }
        let bytes: usize = commit.records.iter().map(|stored| stored.record.payload.len()).sum();
        if self.refused.is_some() || !self.has_room(commit.records.len(), bytes) {
            self.refused = Some(commit.number);
        } else {
            self.accepted = Some(commit.number);
            self.bytes += bytes;
            self.records.extend(dated(commit.records, commit.clock_ms));
        }
        self.add_rest(Commit { records: Vec::new(), ..commit });
    }

    /// Everything that the router holds: not bounded, since it is in memory
    /// anyhow. Of sessions nothing else is left.
    fn add_whole(&mut self, mut commit: Commit, whole: &crate::router::Whole) {
        if self.refused.is_some() {
            // It is asked for again; what was refused before it is not in it.
            self.refused = Some(commit.number);
            return;
        }
        let born_ms = |age_ms| signed(commit.clock_ms).saturating_sub(signed(age_ms));
        let remembered = whole.remembered.iter().map(|(key, age_ms)| (*key, born_ms(*age_ms))).collect();
        let records = dated(std::mem::take(&mut commit.records), commit.clock_ms);
        self.whole = Some(Whole { records, remembered, top: whole.top });
        self.sessions =
            commit.sessions.drain(..).map(|saved| (saved.client_id.clone(), Some(saved))).collect();
        self.accepted = Some(commit.number);
        self.add_rest(commit);
    }

    fn add_rest(&mut self, commit: Commit) {
        self.floor = self.floor.max(commit.floor);
        self.clock_ms = self.clock_ms.max(commit.clock_ms);
        self.pushed = commit.pushed.or(self.pushed.take());
        // Ended first: one that ended and began again within a commit is there.
        for client_id in commit.ended {
            self.set_session(client_id, None);
        }
        for session in commit.sessions {
            self.set_session(session.client_id.clone(), Some(session));
        }
    }

    /// Takes in what came after.
    pub(super) fn merge(&mut self, newer: Self) {
        if newer.whole.is_some() {
            (self.whole, self.disowned) = (newer.whole, None);
            self.sessions.clear();
        }
        self.records.extend(newer.records);
        self.bytes += newer.bytes;
        self.floor = self.floor.max(newer.floor);
        self.clock_ms = self.clock_ms.max(newer.clock_ms);
        self.pushed = newer.pushed.or(self.pushed.take());
        self.accepted = newer.accepted.or(self.accepted);
        self.refused = newer.refused.or(self.refused);
        if self.whole.is_some() && self.sessions.is_empty() {
            self.sessions = newer.sessions;
            return;
        }
        for (client_id, session) in newer.sessions {
            self.set_session(client_id, session);
        }
    }

    /// Gives up what was answered with "not on disk"; what must be written even
    /// so stays.
    pub(super) fn disown_records(&mut self) {
        for (stored, _) in self.records.drain(..) {
            let (first, last) = self.disowned.unwrap_or((stored.position, stored.position));
            self.disowned = Some((first.min(stored.position), last.max(stored.position)));
        }
        (self.bytes, self.accepted, self.refused, self.whole) = (0, None, None, None);
    }

    /// Whether there is nothing in it that has to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.records.is_empty()
            && self.disowned.is_none()
            && self.pushed.is_none()
    }

    /// Whether there is a commit in it that waits for an answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.newest().is_some()
    }

    /// The newest commit in it.
    pub(super) fn newest(&self) -> Option<u64> {
        self.accepted.max(self.refused)
    }

    fn has_room(&self, records: usize, bytes: usize) -> bool {
        let (all, all_bytes) = (self.records.len() + records, self.bytes + bytes);
        let alone = self.records.is_empty() && records <= 1;
        records == 0 || (all <= BATCH_RECORDS_MAX && (alone || all_bytes <= BATCH_BYTES_MAX))
    }

    fn set_session(&mut self, client_id: ClientId, session: Option<SavedSession>) {
        if self.sessions.len() < BATCH_SESSIONS_MAX || self.sessions.contains_key(&client_id) {
            self.sessions.insert(client_id, session);
        }
    }
}

/// Records with when they were new.
fn dated(records: Vec<StoredRecord>, clock_ms: u64) -> Vec<Dated> {
    let dated = |stored: StoredRecord| {
        let born_ms = signed(clock_ms).saturating_sub(signed(stored.age_ms));
        (stored, born_ms)
    };
    records.into_iter().map(dated).collect()
}

/// Milliseconds as the database counts them; 292 million years at most.
pub(super) fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{client, commit, session, with_payload};

    #[test]
    fn records_beyond_the_bound_are_refused_with_all_that_follow_but_sessions_are_kept() {
        let mut batch = Batch::default();
        for number in 1..=BATCH_RECORDS_MAX as u64 + 2 {
            batch.add(commit(number));
        }
        let full = BATCH_RECORDS_MAX as u64;
        assert_eq!((batch.accepted, batch.refused), (Some(full), Some(full + 2)));
        assert_eq!(batch.records.len(), BATCH_RECORDS_MAX);
        let sessions = vec![session("a", 1)];
        batch.add(Commit { number: full + 3, sessions, ..Commit::default() });
        assert_eq!(batch.refused, Some(full + 3), "behind a refused one nothing is answered with ok");
        assert_eq!(batch.sessions.len(), 1);
    }

    #[test]
    fn bytes_are_bounded_and_a_first_record_always_fits() {
        let mut batch = Batch::default();
        batch.add(with_payload(1, &vec![0; BATCH_BYTES_MAX + 1]));
        batch.add(with_payload(2, b"x"));
        assert_eq!((batch.accepted, batch.refused), (Some(1), Some(2)));
    }

    #[test]
    fn the_newest_word_about_a_session_counts() {
        let mut batch = Batch::default();
        batch.add(Commit { number: 1, sessions: vec![session("a", 1)], ..Commit::default() });
        batch.add(Commit { number: 2, ended: vec![client("a")], ..Commit::default() });
        assert_eq!(batch.sessions[&client("a")], None);
        batch.add(Commit {
            number: 3,
            ended: vec![client("a")],
            sessions: vec![session("a", 7)],
            ..Commit::default()
        });
        assert_eq!(batch.sessions[&client("a")], Some(session("a", 7)));
    }

    #[test]
    fn sessions_are_bounded_and_known_ones_still_change() {
        let mut batch = Batch::default();
        let ended = (0..BATCH_SESSIONS_MAX + 10).map(|n| client(&n.to_string())).collect();
        batch.add(Commit { number: 1, ended, ..Commit::default() });
        batch.add(Commit { number: 2, sessions: vec![session("0", 3)], ..Commit::default() });
        assert_eq!(batch.sessions.len(), BATCH_SESSIONS_MAX);
        assert_eq!(batch.sessions[&client("0")], Some(session("0", 3)));
    }

    #[test]
    fn after_a_failure_sessions_stay_and_positions_are_disowned() {
        let mut kept = Batch::default();
        kept.add(Commit { sessions: vec![session("a", 1)], floor: 4, ..commit(5) });
        kept.disown_records();
        let mut newer = Batch::default();
        newer.add(Commit { floor: 2, ..commit(6) });
        kept.merge(newer);
        kept.disown_records();
        assert_eq!((kept.disowned, kept.floor, kept.sessions.len()), (Some((5, 6)), 4, 1));
        assert!(!kept.awaits_answer());
    }
}

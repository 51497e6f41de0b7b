//! What was said, confirmed and heard, by whom; and what that makes in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::common::wait_for;
use crate::faults::Fault;
use crate::history::History;
use crate::moment::Moment;
use crate::summary::{Single, Summary};
use crate::{LOOK_EVERY, ROUTERS};

/// What a router logs about a record that only it holds.
const ALONE: &str = "confirmed by this router alone: ";

/// Shared by all clients.
#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
    talking: AtomicBool,
    ended: AtomicBool,
    roams: AtomicUsize,
}

#[derive(Default)]
struct Book {
    /// Who is in which room.
    rooms: BTreeMap<usize, usize>,
    /// When each began to listen, and at which router.
    listening: BTreeMap<usize, Vec<(Duration, usize)>>,
    said: BTreeMap<String, Said>,
    /// How often each has heard what, by the text.
    heard: BTreeMap<usize, BTreeMap<String, u32>>,
    /// What each heard last of each other, by its number, and at which router.
    latest: BTreeMap<(usize, usize), (usize, usize)>,
    /// What came after the same sender's next one: across a cut, and otherwise.
    late_across_a_cut: usize,
    late: Vec<String>,
    /// What was heard twice, by whom, when.
    doubled: Vec<String>,
    /// When the talking began.
    began: Option<(Instant, Moment)>,
    history: History,
}

struct Said {
    by: usize,
    /// Which of the sender's.
    number: usize,
    at: Duration,
    /// Which routers it was sent to, and when last.
    sent_to: BTreeMap<usize, Duration>,
    confirmed: bool,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, client: usize, room: usize) {
        self.book().rooms.insert(client, room);
    }

    pub(crate) fn listens(&self, client: usize, router: usize) {
        let mut book = self.book();
        let now = book.now();
        book.listening.entry(client).or_default().push((now, router));
    }

    pub(crate) fn until_all_listen(&self, count: usize, within: Duration) {
        wait_for("all clients listen", within, || self.book().listening.len() == count);
    }

    pub(crate) fn talk(&self, talking: bool) {
        self.book().began.get_or_insert_with(|| (Instant::now(), Moment::now()));
        self.talking.store(talking, Ordering::SeqCst);
    }

    pub(crate) fn is_talking(&self) -> bool {
        self.talking.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn roamed(&self) {
        self.roams.fetch_add(1, Ordering::Relaxed);
    }

    /// What a client says next; its text is its MessageUuid, too.
    pub(crate) fn say(&self, by: usize) -> String {
        let mut book = self.book();
        let number = book.said.values().filter(|said| said.by == by).count() + 1;
        let text = format!("{number} of client {by}");
        let at = book.now();
        book.said.insert(text.clone(), Said { by, number, at, sent_to: BTreeMap::new(), confirmed: false });
        text
    }

    /// It is sent, for the first time or again.
    pub(crate) fn sent(&self, text: &str, router: usize) {
        let mut book = self.book();
        let now = book.now();
        book.said.get_mut(text).expect("it was said").sent_to.insert(router, now);
    }

    pub(crate) fn begins(&self, fault: Fault) {
        let mut book = self.book();
        let now = book.now();
        book.history.begins(now, fault);
    }

    pub(crate) fn fault_ends(&self) {
        let mut book = self.book();
        let now = book.now();
        book.history.ends(now);
    }

    /// The records that a router says it confirmed alone.
    pub(crate) fn singles(&self, router: usize, log: &str) -> Vec<Single> {
        let book = self.book();
        let single = |line: &str| {
            let (_, rest) = line.split_once(ALONE)?;
            let (why, text) = rest.split_once(" message_uuid=")?;
            let (why, _) = why.split_once(" client_id=")?;
            let at = Moment::of_line(line)?.since(book.began?.1);
            let sent = book.said.get(text)?.sent_to.get(&router).copied().unwrap_or(at).min(at);
            Some(Single {
                text: text.to_owned(),
                router,
                sent,
                at,
                why: why.to_owned(),
                after: book.history.before(at),
                is_isolated: book.history.was_isolated(router, sent, at, ROUTERS),
            })
        };
        log.lines().filter_map(single).collect()
    }

    pub(crate) fn confirmed(&self, text: &str) {
        self.book().said.get_mut(text).expect("it was said").confirmed = true;
    }

    /// A client has heard what it does not remember, from that router.
    pub(crate) fn heard(&self, client: usize, text: &str, router: usize) {
        let mut book = self.book();
        let now = book.now();
        let count = book.heard.entry(client).or_default().entry(text.to_owned()).or_default();
        *count += 1;
        let is_again = *count > 1;
        let Some(Said { by, number, at, sent_to, .. }) = book.said.get(text) else { return };
        let (by, number, at, sent_to) = (*by, *number, *at, sent_to.keys().copied().collect::<Vec<_>>());
        if is_again {
            let line = format!("{text}, said after {at:.1?}, heard again by client {client} after {now:.1?}");
            return book.doubled.push(line);
        }
        let latest = book.latest.entry((client, by)).or_insert((0, router));
        let (is_late, heard_at) = (number < latest.0, latest.1);
        if !is_late {
            *latest = (number, router);
        }
        // Between where it was said, and where it is heard or the later one was.
        let was_cut =
            |from: &usize| [router, heard_at].iter().any(|to| book.history.were_parted(*from, *to, at, now));
        if is_late && sent_to.iter().any(was_cut) {
            book.late_across_a_cut += 1;
        } else if is_late {
            let last = book.history.before(now);
            book.late.push(format!(
                "{text}, said after {at:.1?} at {sent_to:?}, heard by client {client} at {router} after {now:.1?} ({last})"
            ));
        }
    }

    /// Waits until all is confirmed and heard; whether that happened.
    pub(crate) fn until_all_is_heard(&self, within: Duration) -> bool {
        let since = Instant::now();
        while since.elapsed() < within {
            let summary = self.summary();
            if summary.lost.is_empty() && summary.confirmed == summary.said {
                return true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        false
    }

    pub(crate) fn summary(&self) -> Summary {
        let book = self.book();
        let mut summary = Summary {
            said: book.said.len(),
            confirmed: book.said.values().filter(|said| said.confirmed).count(),
            late_across_a_cut: book.late_across_a_cut,
            late: book.late.clone(),
            doubled: book.doubled.clone(),
            roams: self.roams.load(Ordering::Relaxed),
            ..Summary::default()
        };
        for (text, said) in book.said.iter().filter(|(_, said)| said.confirmed) {
            let room = book.rooms.get(&said.by);
            let listeners = book.rooms.iter().filter(|(client, at)| Some(*at) == room && **client != said.by);
            let is_deaf =
                |client: &usize| !book.heard.get(client).is_some_and(|heard| heard.contains_key(text));
            let deaf: Vec<usize> = listeners.map(|(client, _)| *client).filter(is_deaf).collect();
            if !deaf.is_empty() {
                let deaf: Vec<String> =
                    deaf.into_iter().map(|client| book.whereabouts(client, said.at)).collect();
                let line = format!("{text}, said after {:.1?}, not heard by {}", said.at, deaf.join("; "));
                summary.lost.push((text.clone(), line));
            }
        }
        for (client, heard) in &book.heard {
            for text in heard.keys() {
                summary.deliveries += 1;
                let said = book.said.get(text);
                let is_right = said.is_some_and(|said| {
                    said.by != *client && book.rooms.get(&said.by) == book.rooms.get(client)
                });
                summary.astray += usize::from(!is_right);
            }
        }
        summary
    }
}

impl Book {
    /// Where a client listened at that time, and next.
    fn whereabouts(&self, client: usize, at: Duration) -> String {
        let listened = self.listening.get(&client).map_or(&[][..], Vec::as_slice);
        let next = listened.partition_point(|(since, _)| *since <= at);
        let from = next.saturating_sub(1);
        let places =
            listened[from..].iter().take(3).map(|(since, router)| format!("at {router} from {since:.2?}"));
        format!("client {client} ({})", places.collect::<Vec<_>>().join(", "))
    }

    fn now(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |(began, _)| began.elapsed())
    }
}

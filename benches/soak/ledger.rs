//! What was said, confirmed and heard, by whom; and what that makes in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::LOOK_EVERY;
use crate::common::wait_for;

/// Records named in the end of each kind that went wrong.
const LINES_MAX: usize = 30;

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
    /// What each heard last of each other, by its number.
    latest: BTreeMap<(usize, usize), usize>,
    out_of_order: usize,
    /// What was heard twice, by whom, when.
    doubled: Vec<String>,
    /// When the talking began.
    began: Option<Instant>,
}

struct Said {
    by: usize,
    /// Which of the sender's.
    number: usize,
    at: Duration,
    confirmed: bool,
}

/// What routers have counted in all their lives.
#[derive(Default)]
pub(crate) struct Counters {
    confirmed_single: u64,
    expired: u64,
}

/// What it comes to.
#[derive(Default)]
pub(crate) struct Summary {
    said: usize,
    confirmed: usize,
    deliveries: usize,
    lost: Vec<String>,
    doubled: Vec<String>,
    astray: usize,
    out_of_order: usize,
    roams: usize,
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
        self.book().began.get_or_insert_with(Instant::now);
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
        book.said.insert(text.clone(), Said { by, number, at, confirmed: false });
        text
    }

    pub(crate) fn confirmed(&self, text: &str) {
        self.book().said.get_mut(text).expect("it was said").confirmed = true;
    }

    /// A client has heard what it does not remember.
    pub(crate) fn heard(&self, client: usize, text: &str) {
        let mut book = self.book();
        let now = book.now();
        let count = book.heard.entry(client).or_default().entry(text.to_owned()).or_default();
        *count += 1;
        let is_again = *count > 1;
        let Some(&Said { by, number, at, .. }) = book.said.get(text) else { return };
        if is_again {
            let line = format!("{text}, said after {at:.1?}, heard again by client {client} after {now:.1?}");
            return book.doubled.push(line);
        }
        let latest = book.latest.entry((client, by)).or_default();
        let is_late = number < *latest;
        *latest = number.max(*latest);
        book.out_of_order += usize::from(is_late);
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
            out_of_order: book.out_of_order,
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
                summary.lost.push(format!(
                    "{text}, said after {:.1?}, not heard by {}",
                    said.at,
                    deaf.join("; ")
                ));
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
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

impl Counters {
    /// A router's status at the end of a life, or now.
    pub(crate) fn add(&mut self, status: &Value) {
        let count = |name: &str| status["records"][name].as_u64().expect("a number");
        self.confirmed_single += count("confirmed_single");
        self.expired += count("expired");
    }
}

impl Summary {
    /// Prints a table; whether all is as it shall be.
    pub(crate) fn print(&self, counters: &Counters) -> bool {
        let lost = self.lost.len();
        // What only one router held when it was confirmed may have gone with that one.
        let excused = counters.confirmed_single.min(self.confirmed as u64 / 1_000) as usize;
        let rows = [
            ("records said", self.said, true),
            ("records confirmed", self.confirmed, self.confirmed == self.said && self.said > 0),
            ("records heard, each listener counted", self.deliveries, self.deliveries > 0),
            ("confirmed and then lost", lost, lost <= excused),
            ("heard twice", self.doubled.len(), self.doubled.is_empty()),
            ("heard by its sender, or in another room", self.astray, self.astray == 0),
            ("heard out of order (late, across a cut)", self.out_of_order, true),
            ("confirmed by a single router", counters.confirmed_single as usize, true),
            ("records dropped for age or bytes", counters.expired as usize, counters.expired == 0),
            ("clients that went elsewhere", self.roams, true),
        ];
        for (what, count, is_right) in rows {
            println!("{what:<42}{count:>8}{}", if is_right { "" } else { "  WRONG" });
        }
        self.lost.iter().take(LINES_MAX).for_each(|line| println!("lost: {line}"));
        self.doubled.iter().take(LINES_MAX).for_each(|line| println!("twice: {line}"));
        rows.iter().all(|(_, _, is_right)| *is_right)
    }
}

//! What was said, confirmed and heard, by whom and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::legacy::Propogated;
use crate::scene::SERVER;

/// A client knows a MessageUuid for so long.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Shared by all clients.
#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
    silent: AtomicBool,
    ended: AtomicBool,
    wishes: AtomicUsize,
    dropped: AtomicUsize,
}

#[derive(Default)]
struct Book {
    /// Who is in which room, and where.
    people: BTreeMap<String, (String, usize)>,
    said: BTreeMap<String, Said>,
    /// What each has heard: how often, and when first.
    heard: BTreeMap<(String, String), (u32, Instant)>,
    known: BTreeMap<(String, String), Instant>,
}

struct Said {
    by: String,
    at: Instant,
    confirmed: bool,
}

/// What it comes to.
pub(crate) struct Summary {
    pub(crate) said: usize,
    pub(crate) confirmed: usize,
    /// Confirmed, and not at the server.
    pub(crate) lost: Vec<String>,
    /// More than once at the server.
    pub(crate) doubled: usize,
    /// At the server behind a later one of the same client.
    pub(crate) out_of_order: usize,
    /// Confirmed, and not heard by somebody in the room at a router.
    pub(crate) unheard: Vec<String>,
    /// Heard twice by somebody at a router.
    pub(crate) heard_twice: Vec<String>,
    /// From saying to the server, and to the first one who heard it at another router.
    pub(crate) points: Vec<Point>,
}

/// One message's delays.
pub(crate) struct Point {
    pub(crate) at: Instant,
    pub(crate) to_server: Option<Duration>,
    pub(crate) to_mesh: Option<Duration>,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, id: &str, room: &str, host: usize) {
        self.book().people.insert(id.to_owned(), (room.to_owned(), host));
    }

    pub(crate) fn said(&self, by: &str, text: &str) {
        let said = Said { by: by.to_owned(), at: Instant::now(), confirmed: false };
        self.book().said.insert(text.to_owned(), said);
    }

    pub(crate) fn confirmed(&self, text: &str) {
        if let Some(said) = self.book().said.get_mut(text) {
            said.confirmed = true;
        }
    }

    pub(crate) fn heard(&self, id: &str, uuid: &str, text: &str) {
        let mut book = self.book();
        let now = Instant::now();
        // Of the server's own clients nothing is asked: it repeats MessageUuids.
        let known = book.known.insert((id.to_owned(), uuid.to_owned()), now);
        if known.is_some_and(|at| at.elapsed() < KNOWN_FOR) {
            return;
        }
        book.heard.entry((id.to_owned(), text.to_owned())).or_insert((0, now)).0 += 1;
        if book.known.len() > 50_000 {
            book.known.retain(|_, at| at.elapsed() < KNOWN_FOR);
        }
    }

    pub(crate) fn lost_connection(&self, id: &str) {
        if self.book().people.get(id).is_some_and(|(_, host)| *host != SERVER) && !self.has_ended() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections of clients to routers that were lost.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) as u64
    }

    /// Everyone says something now.
    pub(crate) fn everyone_says(&self) {
        self.wishes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wishes(&self) -> usize {
        self.wishes.load(Ordering::Relaxed)
    }

    pub(crate) fn stop_talking(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_talking(&self) -> bool {
        !self.silent.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// All that was said is confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.book().said.values().all(|said| said.confirmed)
    }

    /// `there`: what the server was told, in order. What its own clients said counts for
    /// nothing here: nobody brings again what they say while no router is there, and what they repeat is new to it.
    pub(crate) fn summary(&self, there: &[Propogated]) -> Summary {
        let book = self.book();
        let mut times: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
        let mut latest: BTreeMap<&str, u32> = BTreeMap::new();
        let mut out_of_order = 0;
        let is_at_router = |id: &str| book.people.get(id).is_some_and(|(_, host)| *host != SERVER);
        for one in there.iter().filter(|one| is_at_router(&one.client_id)) {
            let text = std::str::from_utf8(&one.payload).unwrap();
            let times = times.entry(text).or_default();
            let number: u32 = text.rsplit(' ').next().unwrap().parse().unwrap();
            let before = latest.entry(&one.client_id).or_default();
            // A repeated one is not out of order: it is doubled.
            out_of_order += usize::from(times.is_empty() && number < *before);
            *before = number.max(*before);
            times.push(one.at);
        }
        let said = || book.said.iter().filter(|(_, said)| is_at_router(&said.by));
        let confirmed: Vec<(&String, &Said)> = said().filter(|(_, said)| said.confirmed).collect();
        let is_there = |text: &str| times.contains_key(text);
        let at_routers: Vec<(&String, &(String, usize))> =
            book.people.iter().filter(|(_, (_, host))| *host != SERVER).collect();
        let mut unheard = Vec::new();
        for (text, said) in &confirmed {
            let Some((room, _)) = book.people.get(&said.by) else { continue };
            for (id, (their_room, _)) in &at_routers {
                if their_room == room
                    && **id != said.by
                    && !book.heard.contains_key(&((*id).clone(), (*text).clone()))
                {
                    unheard.push(format!("{text} by {id}"));
                }
            }
        }
        let routers: BTreeSet<&String> = at_routers.iter().map(|(id, _)| *id).collect();
        let is_said = |text: &str| book.said.get(text).is_some_and(|said| is_at_router(&said.by));
        let twice = book
            .heard
            .iter()
            .filter(|((id, text), (times, _))| routers.contains(id) && *times > 1 && is_said(text));
        let mut first_heard: BTreeMap<&str, Instant> = BTreeMap::new();
        for ((id, text), (_, at)) in book.heard.iter().filter(|((id, _), _)| routers.contains(id)) {
            let host = |id: &str| book.people.get(id).map(|(_, host)| *host);
            let is_elsewhere = book.said.get(text).is_some_and(|said| host(&said.by) != host(id));
            if is_elsewhere {
                let first = first_heard.entry(text).or_insert(*at);
                *first = (*first).min(*at);
            }
        }
        let point = |(text, said): &(&String, &Said)| Point {
            at: said.at,
            to_server: times.get(&***text).map(|times| times[0].saturating_duration_since(said.at)),
            to_mesh: first_heard.get(&***text).map(|at| at.saturating_duration_since(said.at)),
        };
        Summary {
            said: said().count(),
            confirmed: confirmed.len(),
            lost: confirmed
                .iter()
                .filter(|(text, _)| !is_there(text))
                .map(|(text, _)| (*text).clone())
                .collect(),
            doubled: times.values().map(|times| times.len() - 1).sum(),
            out_of_order,
            unheard,
            heard_twice: twice.map(|((id, text), _)| format!("{text} by {id}")).collect(),
            points: confirmed.iter().map(point).collect(),
        }
    }
}

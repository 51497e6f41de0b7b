//! The part of a frame that is the same for all its receivers, printed once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::router::Record;
use crate::wire::Present;
use crate::wire::fau3d::{monitor_tail, playlist_tail};

/// Printed tails that are kept for the next receiver.
const TAILS_MAX: usize = 32;
/// What they may hold together, in bytes.
const TAIL_BYTES_MAX: usize = 256 * 1024;

/// Lately printed tails, newest last. Shared by all connections of the door.
#[derive(Debug, Default)]
pub(super) struct Tails(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    tails: VecDeque<(Source, Arc<[u8]>)>,
    bytes: usize,
}

/// What was printed. It is kept, so that its address stays its own.
#[derive(Debug, Clone)]
enum Source {
    Record(Arc<Record>),
    Clients(Arc<[Present]>),
}

impl Source {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Record(a), Self::Record(b)) => Arc::ptr_eq(a, b),
            (Self::Clients(a), Self::Clients(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn print(&self) -> Vec<u8> {
        let mut tail = Vec::new();
        match self {
            Self::Record(record) => {
                tail.reserve(record.payload.len().div_ceil(3) * 4 + 128);
                playlist_tail(&mut tail, &record.client_id, &record.payload);
            }
            Self::Clients(clients) => monitor_tail(&mut tail, clients),
        }
        tail
    }
}

impl Tails {
    /// A Playlist's.
    pub(super) fn of_record(&self, record: &Arc<Record>) -> Arc<[u8]> {
        self.get(Source::Record(record.clone()))
    }

    /// A Monitor's.
    pub(super) fn of_clients(&self, clients: &Arc<[Present]>) -> Arc<[u8]> {
        self.get(Source::Clients(clients.clone()))
    }

    fn get(&self, source: Source) -> Arc<[u8]> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tail)) = cache.tails.iter().rev().find(|(kept, _)| kept.is_same(&source)) {
            return tail.clone();
        }
        let tail: Arc<[u8]> = source.print().into();
        cache.bytes += tail.len();
        cache.tails.push_back((source, tail.clone()));
        while cache.tails.len() > TAILS_MAX || (cache.bytes > TAIL_BYTES_MAX && cache.tails.len() > 1) {
            if let Some((_, dropped)) = cache.tails.pop_front() {
                cache.bytes -= dropped.len();
            }
        }
        tail
    }
}

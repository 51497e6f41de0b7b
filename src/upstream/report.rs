//! What people are shown of the watch.

use std::time::Instant;

use super::list::{List, NoList};

/// The watch at one moment.
#[derive(Debug, Clone, Default)]
pub struct WatchReport {
    /// This router looks; the others learn it from the one that does.
    pub watching: bool,
    /// How often the server went away while this router looked.
    pub outages: u64,
    /// What the last connection that did not stand was told.
    pub trouble: Option<String>,
    /// The last fetch of the list, and when it was done.
    pub fetched: Option<(Instant, ListReport)>,
    /// Fetches that brought a list, and others.
    pub fetches: (u64, u64),
}

/// What a fetch of the ExtraServers list brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListReport {
    /// A good one.
    Good {
        /// Its number.
        version: u64,
        /// Servers in it.
        servers: usize,
    },
    /// The server has none to give.
    NotGiven(String),
    /// None that can be used, which needs a person.
    Unusable(String),
}

impl ListReport {
    pub(super) fn of(list: &List) -> Self {
        Self::Good { version: list.version, servers: list.entries.len() }
    }

    pub(super) fn without(none: &NoList) -> Self {
        match none {
            NoList::NotGiven(reason) => Self::NotGiven(reason.clone()),
            NoList::Empty | NoList::Broken(_) => Self::Unusable(none.to_string()),
        }
    }
}

impl WatchReport {
    pub(super) fn list(&mut self, result: ListReport) {
        match result {
            ListReport::Good { .. } => self.fetches.0 += 1,
            _ => self.fetches.1 += 1,
        }
        self.fetched = Some((Instant::now(), result));
    }

    /// What is wrong with the list of the last fetch, if it is there.
    #[must_use]
    pub fn list_trouble(&self) -> Option<&str> {
        match &self.fetched {
            Some((_, ListReport::Unusable(reason))) => Some(reason),
            _ => None,
        }
    }
}

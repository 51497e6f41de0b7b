//! What a scan has reported, so that "this is there now" becomes what is new.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;

use super::{ADDRESSES_MAX, Hint, News};

/// For each thing that was found, by whatever names it, the hints it gave.
#[derive(Debug)]
pub(super) struct Reported<K> {
    hints: BTreeMap<K, BTreeSet<Hint>>,
    /// The most things; further ones are left out until some have gone.
    len_max: usize,
}

impl<K: Ord + Clone> Reported<K> {
    pub(super) fn new(len_max: usize) -> Self {
        Self { hints: BTreeMap::new(), len_max }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.hints.contains_key(key)
    }

    /// `key` now gives `hints`, and no others; of them the first
    /// [`ADDRESSES_MAX`] count. `None`: there is no room for one more.
    pub(super) fn set(&mut self, key: &K, hints: impl IntoIterator<Item = Hint>) -> Option<Vec<News>> {
        let new: BTreeSet<_> = hints.into_iter().take(ADDRESSES_MAX).collect();
        if new.is_empty() {
            return Some(self.remove(key));
        }
        if !self.hints.contains_key(key) && self.hints.len() >= self.len_max {
            return None;
        }
        let old = self.hints.insert(key.clone(), new.clone()).unwrap_or_default();
        let lost = old.difference(&new).cloned().map(News::Lost);
        Some(lost.chain(new.difference(&old).cloned().map(News::Found)).collect())
    }

    /// `key` has gone.
    pub(super) fn remove(&mut self, key: &K) -> Vec<News> {
        self.hints.remove(key).unwrap_or_default().into_iter().map(News::Lost).collect()
    }

    /// Whatever `stays` is false for has gone.
    pub(super) fn retain(&mut self, stays: impl Fn(&K) -> bool) -> Vec<News> {
        let gone: Vec<_> = self.hints.keys().filter(|key| !stays(key)).cloned().collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }

    /// All that is there, to be told again: what nobody repeats is forgotten.
    pub(super) fn repeat(&self) -> Vec<News> {
        self.hints.values().flatten().cloned().map(News::Found).collect()
    }
}

/// Sends them all.
///
/// # Errors
/// Nobody takes them any more.
pub(super) async fn send_all(
    news: &mpsc::Sender<News>,
    all: impl IntoIterator<Item = News>,
) -> Result<(), SendError<News>> {
    for one in all {
        news.send(one).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    fn hint(number: u8) -> Hint {
        let address = std::net::SocketAddr::from(([10, 0, 0, number], 8902));
        Hint { address, source: Source::Mdns, peer_id: None, name: None }
    }

    #[test]
    fn only_what_has_changed_is_news() {
        let mut reported = Reported::new(4);
        let found = |number| News::Found(hint(number));
        let lost = |number| News::Lost(hint(number));
        assert_eq!(reported.set(&"a", [hint(1), hint(2)]).unwrap(), [found(1), found(2)]);
        assert_eq!(reported.set(&"a", [hint(2), hint(1)]).unwrap(), []);
        assert_eq!(reported.set(&"a", [hint(2), hint(3)]).unwrap(), [lost(1), found(3)]);
        assert_eq!(reported.repeat(), [found(2), found(3)]);
        assert_eq!(reported.set(&"b", [hint(9)]).unwrap(), [found(9)]);
        assert_eq!(reported.retain(|&key| key == "b"), [lost(2), lost(3)]);
        assert_eq!(reported.set(&"b", []).unwrap(), [lost(9)]);
        assert_eq!(reported.repeat(), []);
    }

    #[test]
    fn things_and_addresses_are_bounded() {
        let mut reported = Reported::new(4);
        for key in 0..4 {
            assert_eq!(reported.set(&key, (0..100).map(hint)).unwrap().len(), ADDRESSES_MAX);
        }
        assert_eq!(reported.set(&4, [hint(1)]), None, "no room");
        assert!(reported.set(&0, [hint(1)]).is_some(), "what is known can change");
        reported.remove(&1);
        assert!(reported.set(&4, [hint(1)]).is_some(), "room again");
        assert!(!reported.contains(&1) && reported.contains(&4));
    }
}

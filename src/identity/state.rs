//! What a router must not forget with the power, beside its key: how often it
//! has started, and what later parts add. Written at start and when one of the
//! rarer things changes, at no other time: flash wears.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use fau3_election::{Incarnation, RouterId, SavedState, ServerEntry, ServerList};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::{error, warn};

use super::{Error, file};

/// The state file's content, JSON. What a newer program wrote stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// The newest life's number; the first one is 1.
    #[serde(default)]
    pub counter: u32,
    /// Epochs up to this one may have been used (DESIGN.md, "Who leads").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_ceiling: Option<u64>,
    /// The newest ExtraServers list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_servers: Option<SavedList>,
    /// Names of routers and their ids in hexadecimal digits: whose each is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// All else that stands there.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// An ExtraServers list in the state file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedList {
    /// 0 if it came from the configuration.
    #[serde(default)]
    pub number: u64,
    /// Highest priority first.
    #[serde(default)]
    pub servers: Vec<SavedServer>,
}

/// One entry of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedServer {
    /// The router's name.
    pub name: String,
    /// Its id in hexadecimal digits, if the list gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl NodeState {
    /// What the election kept.
    #[must_use]
    pub fn saved(&self) -> SavedState {
        let list = self.extra_servers.clone().unwrap_or_default();
        let entry = |server: SavedServer| ServerEntry {
            id: server.id.as_deref().and_then(parse_id),
            name: server.name,
        };
        SavedState {
            counter: self.counter,
            epoch_ceiling: self.epoch_ceiling.unwrap_or(0),
            list: ServerList::new(list.number, list.servers.into_iter().map(entry).collect()),
        }
    }

    /// This state with what the election keeps now in its place.
    #[must_use]
    pub fn with(self, state: &SavedState) -> Self {
        let server = |entry: &ServerEntry| SavedServer {
            name: entry.name.clone(),
            id: entry.id.map(|id| id.to_string()),
        };
        let list = SavedList {
            number: state.list.version().number,
            servers: state.list.entries().iter().map(server).collect(),
        };
        Self {
            counter: self.counter.max(state.counter),
            epoch_ceiling: Some(self.epoch_ceiling.unwrap_or(0).max(state.epoch_ceiling)),
            extra_servers: Some(list),
            ..self
        }
    }

    /// Whose each name is.
    #[must_use]
    pub fn bound_names(&self) -> BTreeMap<String, RouterId> {
        let bound = |(name, id): (&String, &String)| Some((name.clone(), parse_id(id)?));
        self.names.iter().filter_map(bound).collect()
    }

    /// This state with these names in place of those it has.
    #[must_use]
    pub fn with_names(self, bound: &BTreeMap<String, RouterId>) -> Self {
        Self { names: bound.iter().map(|(name, id)| (name.clone(), id.to_string())).collect(), ..self }
    }

    /// Reads a state file; as after the first installation if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let Some(content) = file::read(path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&content)
            .map_err(|error| Error::State { path: path.into(), why: error.to_string() })
    }

    /// Replaces the state file, flushed to the disk.
    ///
    /// # Errors
    /// It cannot be written; then the old one is still there.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = format!("{:#}\n", serde_json::json!(self));
        file::replace(path, text.as_bytes()).map_err(Error::write(path))
    }
}

fn parse_id(digits: &str) -> Option<RouterId> {
    u128::from_str_radix(digits, 16).ok().map(|id| RouterId(id.to_be_bytes()))
}

/// Where the state of the router with this identity file is kept.
#[must_use]
pub fn state_path(identity: &Path) -> PathBuf {
    file::with_suffix(identity, ".state")
}

/// Begins a life of the router with this identity file: counts it, on disk.
///
/// Voice has to go on, so no trouble with the file keeps the router from
/// starting. What makes an incarnation unique are its 64 random bits; the
/// counter only says which of two lives is the later one:
///
/// * The file cannot be written: one more than it says. That is later than every
///   life it counts, and two lives that both could not write differ by their
///   random bits.
/// * The file is damaged: moved aside, and counted from 1 again, so that the next
///   starts are in order.
/// * The file cannot be read: 0, which claims to be later than nothing, and the
///   file stays as it is, since it may be whole.
///
/// In the last two cases lives of before look later, until the router hears
/// others speak of them and takes the next number (DESIGN.md, "Incarnation").
#[must_use]
pub fn start_incarnation(identity: &Path) -> Incarnation {
    let path = state_path(identity);
    let counter = match load_or_set_aside(&path) {
        Ok(mut state) => {
            state.counter = state.counter.saturating_add(1);
            if let Err(error) = state.save(&path) {
                warn!("{error}. The router's lives are not counted until then");
            }
            state.counter
        }
        Err(error) => {
            error!("{error}. The router starts as if it had never run");
            0
        }
    };
    Incarnation { counter, random: random() }
}

/// The state of the last life, for a router in a mesh: its election counts the
/// new one, and has that written.
#[must_use]
pub fn state_at_start(identity: &Path) -> NodeState {
    load_or_set_aside(&state_path(identity)).unwrap_or_else(|error| {
        error!("{error}. The router starts as if it had never run");
        NodeState::default()
    })
}

fn load_or_set_aside(path: &Path) -> Result<NodeState, Error> {
    match NodeState::load(path) {
        Err(Error::State { why, .. }) => {
            set_aside(path, &why);
            Ok(NodeState::default())
        }
        other => other,
    }
}

fn set_aside(path: &Path, why: &str) {
    let aside = file::with_suffix(path, ".damaged");
    let moved = std::fs::rename(path, &aside);
    let moved = moved.map_or_else(|error| error.to_string(), |()| format!("moved to {}", aside.display()));
    error!("{}: damaged ({why}); {moved}. The router's lives are counted from 1 again", path.display());
}

/// 64 bits that nobody can guess, or at least none that come twice.
#[must_use]
pub fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|error| {
        warn!("the system gives no random numbers ({error}); a life's number may come twice");
        RandomState::new().hash_one((std::time::SystemTime::now(), std::process::id()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::Folder;
    use super::*;

    #[test]
    fn every_start_is_counted_and_differs_by_chance_too() {
        let folder = Folder::new();
        let key = folder.path().join("identity.key");
        let lives: Vec<_> = (0..3).map(|_| start_incarnation(&key)).collect();
        assert_eq!(lives.iter().map(|life| life.counter).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(lives[0].random != lives[1].random && lives[1].random != lives[2].random);
        assert_eq!(state_path(&key), folder.path().join("identity.key.state"));
    }

    #[test]
    fn what_a_newer_program_wrote_stays() {
        let folder = Folder::new();
        let key = folder.path().join("identity.key");
        let text = r#"{"counter": 7, "epoch_ceiling": 4000, "extra_servers": {"number": 3, "servers": [{"name": "b"}]}, "of_later": {"x": [1]}}"#;
        std::fs::write(state_path(&key), text).unwrap();
        assert_eq!(start_incarnation(&key).counter, 8);
        let state: Value = serde_json::from_slice(&std::fs::read(state_path(&key)).unwrap()).unwrap();
        let expected = serde_json::json!({
            "counter": 8, "epoch_ceiling": 4_000,
            "extra_servers": {"number": 3, "servers": [{"name": "b"}]}, "of_later": {"x": [1]}
        });
        assert_eq!(state, expected);
    }

    #[test]
    fn what_the_election_keeps_comes_back_as_it_was_and_never_runs_backwards() {
        // Given: the state of an election with a list that names an identity.
        let entries = vec![
            ServerEntry { name: "a".into(), id: Some(RouterId([0xab; 16])) },
            ServerEntry { name: "b".into(), id: None },
        ];
        let state = SavedState { counter: 7, epoch_ceiling: 3_000, list: ServerList::new(4, entries) };
        let folder = Folder::new();
        let path = folder.path().join("state");
        NodeState::default().with(&state).save(&path).unwrap();
        assert_eq!(NodeState::load(&path).unwrap().saved(), state);
        // When an older one is written later, counter and ceiling stay.
        let older = SavedState { counter: 6, epoch_ceiling: 2_000, ..state.clone() };
        assert_eq!(NodeState::load(&path).unwrap().with(&older).saved(), state);
    }

    #[test]
    fn names_come_back_with_those_whose_they_are_and_nothing_else_changes() {
        let folder = Folder::new();
        let path = folder.path().join("state");
        let kept = NodeState { counter: 7, epoch_ceiling: Some(9), ..NodeState::default() };
        let bound = BTreeMap::from([("kitchen".to_owned(), RouterId([0x0a; 16]))]);
        kept.clone().with_names(&bound).save(&path).unwrap();
        let read = NodeState::load(&path).unwrap();
        assert_eq!(read.bound_names(), bound);
        assert_eq!(read.with_names(&BTreeMap::new()), kept);
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_lives_are_counted_anew() {
        let folder = Folder::new();
        let key = folder.path().join("identity.key");
        for (life, broken) in ["", "{", "[]", r#"{"counter": -1}"#, "\u{0}"].into_iter().enumerate() {
            std::fs::write(state_path(&key), broken).unwrap();
            assert_eq!(start_incarnation(&key).counter, 1, "{life}");
            assert_eq!(start_incarnation(&key).counter, 2, "{life}");
            let aside = folder.path().join("identity.key.state.damaged");
            assert_eq!(std::fs::read_to_string(aside).unwrap(), broken);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_or_read_does_not_keep_the_router_from_starting() {
        let folder = Folder::new();
        let not_a_folder = folder.path().join("file");
        std::fs::write(&not_a_folder, "").unwrap();
        assert_eq!(start_incarnation(&not_a_folder.join("identity.key")).counter, 0, "cannot be read");
        let key = folder.path().join("identity.key");
        std::fs::write(state_path(&key), r#"{"counter": 5}"#).unwrap();
        // The draft's name is taken by a folder: nothing can be written.
        let draft = file::with_suffix(&state_path(&key), &format!(".{}.tmp", std::process::id()));
        std::fs::create_dir(&draft).unwrap();
        let lives = [start_incarnation(&key), start_incarnation(&key)];
        assert_eq!(lives.map(|life| life.counter), [6, 6], "later than every life that was counted");
        assert_ne!(lives[0].random, lives[1].random);
    }
}

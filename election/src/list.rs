//! The ExtraServers list: who may lead before others, highest priority first.

use alloc::string::String;
use alloc::vec::Vec;

use crate::id::RouterId;

/// Most entries of a list; more are cut off.
pub const LIST_MAX_ENTRIES: usize = 64;
/// Longest name in bytes; longer ones are cut at a character.
pub const NAME_MAX_BYTES: usize = 63;

/// Which list: the newest number wins; equal numbers with different hashes
/// are a conflict, where the greater hash wins so that all agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ListVersion {
    /// 0 for a list of a UCI file; the deputy counts up from there.
    pub number: u64,
    /// FNV-1a of the encoded entries; 0 for the empty list.
    pub hash: u64,
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerEntry {
    /// The router's configured name.
    pub name: String,
    /// Its identity, if the list gives one: then only that router counts,
    /// whoever else has the name.
    pub id: Option<RouterId>,
}

/// A list with its version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ServerList {
    version: ListVersion,
    entries: Vec<ServerEntry>,
}

impl ServerList {
    /// The list `entries` (highest priority first) under `number`. Cut to
    /// [`LIST_MAX_ENTRIES`], names to [`NAME_MAX_BYTES`].
    #[must_use]
    pub fn new(number: u64, mut entries: Vec<ServerEntry>) -> Self {
        entries.truncate(LIST_MAX_ENTRIES);
        for entry in &mut entries {
            cut_name(&mut entry.name);
        }
        let hash = hash(&entries);
        Self { version: ListVersion { number, hash }, entries }
    }

    /// The same entries under another number.
    pub(crate) fn numbered(&self, number: u64) -> Self {
        Self { version: ListVersion { number, ..self.version }, entries: self.entries.clone() }
    }

    /// Number and hash.
    #[must_use]
    pub fn version(&self) -> ListVersion {
        self.version
    }

    /// The entries, highest priority first.
    #[must_use]
    pub fn entries(&self) -> &[ServerEntry] {
        &self.entries
    }

    /// The place of a router in the list, 0 the highest; `None` if no entry is
    /// its own. An entry with an id belongs to that id alone.
    #[must_use]
    pub fn place(&self, id: RouterId, name: &str) -> Option<u8> {
        let own = |entry: &ServerEntry| match entry.id {
            Some(named) => named == id,
            None => !name.is_empty() && entry.name == name,
        };
        self.entries.iter().position(own).and_then(|place| u8::try_from(place).ok())
    }
}

/// Cuts a name to [`NAME_MAX_BYTES`], between two characters.
pub(crate) fn cut_name(name: &mut String) {
    let mut end = name.len().min(NAME_MAX_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
}

/// FNV-1a: small, without tables, the same on every machine. Not against
/// forgery: who may write lists is the mesh key's business.
fn hash(entries: &[ServerEntry]) -> u64 {
    if entries.is_empty() {
        return 0;
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for entry in entries {
        eat(entry.name.len() as u8);
        entry.name.bytes().for_each(&mut eat);
        eat(u8::from(entry.id.is_some()));
        entry.id.iter().flat_map(|id| id.0).for_each(&mut eat);
    }
    hash
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn entry(name: &str, id: Option<u8>) -> ServerEntry {
        ServerEntry { name: name.into(), id: id.map(|byte| RouterId([byte; 16])) }
    }

    #[test]
    fn an_entry_with_an_id_belongs_to_that_id_alone() {
        let list = ServerList::new(0, vec![entry("a", Some(1)), entry("a", None), entry("", None)]);
        assert_eq!(list.place(RouterId([1; 16]), "other"), Some(0));
        assert_eq!(list.place(RouterId([2; 16]), "a"), Some(1));
        assert_eq!(list.place(RouterId([2; 16]), ""), None, "a router without a name is nobody's entry");
    }

    #[test]
    fn lists_and_names_are_cut_at_their_bounds() {
        let long = "\u{e4}".repeat(40);
        let list = ServerList::new(0, vec![entry(&long, None); LIST_MAX_ENTRIES + 1]);
        assert_eq!(list.entries().len(), LIST_MAX_ENTRIES);
        assert_eq!(list.entries()[0].name.len(), NAME_MAX_BYTES - 1, "between two characters");
    }

    #[test]
    fn the_hash_tells_lists_apart_and_is_the_same_on_every_machine() {
        let version = |names: &[&str]| {
            ServerList::new(0, names.iter().map(|name| entry(name, None)).collect()).version()
        };
        assert_eq!(version(&[]).hash, 0);
        assert_ne!(version(&["ab", "c"]), version(&["a", "bc"]));
        assert_eq!(version(&["a", "b"]).hash, GOLDEN);
    }

    /// Pinned, since lists written by one version are read by another.
    const GOLDEN: u64 = 0x95a3_f241_5e62_8e8e;
}

//! What `batctl meshif bat0 originators_json` prints.

use serde::Deserialize;

use super::kernel::{ITEMS_MAX, Originator};
use super::mac::Mac;

/// The longest text that is read, in bytes: [`ITEMS_MAX`] entries.
pub(super) const LEN_MAX: usize = 256 * ITEMS_MAX;

/// An entry, as far as it matters here. A router is in the list once for each
/// neighbour over which it can be reached, and `best` marks the one in use.
#[derive(Deserialize)]
struct Entry {
    orig_address: String,
    neigh_address: String,
    #[serde(default)]
    hard_ifindex: Option<u32>,
    #[serde(default)]
    last_seen_msecs: u32,
    #[serde(default)]
    best: bool,
}

/// The originators in use.
///
/// # Errors
/// It is too long or no list of originators; an entry whose addresses are none
/// is left out.
pub(super) fn originators(text: &str) -> Result<Vec<Originator>, String> {
    if text.len() > LEN_MAX {
        return Err(format!("longer than {LEN_MAX} bytes"));
    }
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let read = |entry: Entry| {
        Some(Originator {
            address: entry.orig_address.parse::<Mac>().ok()?,
            neighbour: entry.neigh_address.parse().ok()?,
            hard_index: entry.hard_ifindex,
            last_seen_ms: entry.last_seen_msecs,
        })
    };
    Ok(entries.into_iter().filter(|entry| entry.best).filter_map(read).take(ITEMS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::super::netlink::tests::Chance;
    use super::*;

    const RECORDED: &str = include_str!("../../../tests/fixtures/batman/originators.json");

    #[test]
    fn recorded_originators_are_read() {
        let found = originators(RECORDED).unwrap();
        let found: Vec<_> =
            found.iter().map(|one| (one.address.to_string(), one.neighbour.to_string())).collect();
        // One next door, and one behind it.
        let (near, far) = ("02:fa:03:00:00:02".to_owned(), "02:fa:03:00:00:03".to_owned());
        assert_eq!(found, [(near.clone(), near.clone()), (far, near)]);
    }

    #[test]
    fn entries_that_make_no_sense_are_left_out() {
        let text = r#"[{"orig_address":"x","neigh_address":"02:00:00:00:00:01","best":true},
            {"orig_address":"02:00:00:00:00:01","neigh_address":"02:00:00:00:00:01","best":true,"new":[1]},
            {"orig_address":"02:00:00:00:00:02","neigh_address":"02:00:00:00:00:01"}]"#;
        assert_eq!(originators(text).unwrap().len(), 1);
        for wrong in ["", "[", "{}", "[1]", r#"[{"orig_address":1}]"#, "null"] {
            assert!(originators(wrong).is_err(), "{wrong}");
        }
        assert!(originators(&" ".repeat(LEN_MAX + 1)).is_err());
        assert_eq!(originators("[]").unwrap(), []);
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        let mut chance = Chance(0xba7);
        for _ in 0..5_000 {
            let mut bytes = RECORDED.as_bytes().to_vec();
            for _ in 0..=chance.below(4) {
                let at = chance.below(bytes.len());
                match chance.below(3) {
                    0 => bytes.truncate(at + 1),
                    1 => bytes[at] = chance.below(256) as u8,
                    _ => bytes.insert(at, b"[]{},:\"0"[chance.below(8)]),
                }
            }
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(
                    originators(&text).is_ok_and(|found| found.len() <= 8) || originators(&text).is_err()
                );
            }
        }
    }
}

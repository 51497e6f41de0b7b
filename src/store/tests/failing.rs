//! Disks that are full, read-only, or not there.

use std::fs;
use std::path::Path;
use std::process::Command;

use fau3_skipped::{excused, skipped};

use crate::router::Commit;
use crate::store::testing::{Folder, client, commit, open, session, store_all, with_payload};
use crate::store::{FILE_NAME, FOUND_NAME, Store};

/// A small file system of its own; `None`, and loudly so, where it may not be
/// mounted.
struct Disk(Folder);

impl Disk {
    fn new(options: &str) -> Option<Self> {
        let folder = Folder::new();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "fau3-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                // A container's root may be forbidden to; whoever starts the tests says so.
                let lacking = format!("the right to mount a small disk ({other:?})");
                if fau3_skipped::is_set("FAU3_NO_MOUNT") {
                    excused(&lacking)
                } else {
                    skipped(&lacking)
                };
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        // With its source, so that options of the first mount are not given
        // again: in a namespace of one's own that is refused.
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", &options, "fau3-test"]).arg(self.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_says_so_and_recovers_by_itself_with_what_must_be_written_even_so() {
    let Some(disk) = Disk::new("size=1m") else { return };
    let (mut store, _) = open(disk.path());
    let first = Commit { sessions: vec![session("a", 1), session("b", 1)], ..commit(1) };
    assert!(store_all(&mut store, [first])[0].ok);
    // When: the disk is full to the last byte.
    let stuffing = disk.path().join("stuffing");
    let _ = fs::write(&stuffing, vec![0; 2 * 1_024 * 1_024]);
    for number in 2..=6 {
        let mut full = with_payload(number, &[7; 300_000]);
        (full.sessions, full.ended) = (vec![session("a", number)], vec![client("b")]);
        let answers = store_all(&mut store, [full]);
        assert!(answers.iter().all(|done| !done.ok), "{answers:?}");
    }
    let counters = store.counters();
    assert!(counters.failing && counters.failures == 5, "{counters:?}");
    assert!(counters.last_error.unwrap().contains("full"));
    // Then: once there is room, the next commit succeeds and brings what waited.
    fs::remove_file(&stuffing).unwrap();
    assert!(store_all(&mut store, [commit(7)])[0].ok);
    assert!(!store.counters().failing);
    drop(store);
    let (_store, restored) = open(disk.path());
    let positions: Vec<u64> = restored.records.iter().map(|stored| stored.position).collect();
    assert_eq!(positions, [1, 7], "what was answered with FAU3_SERROR is not there");
    assert_eq!(restored.sessions, [session("a", 6)]);
}

#[test]
fn a_read_only_disk_says_so_and_recovers_by_itself() {
    let Some(disk) = Disk::new("size=1m,ro") else { return };
    let (mut store, restored) = open(disk.path());
    assert!(restored.records.is_empty());
    assert!(!store_all(&mut store, [commit(1)])[0].ok);
    disk.remount("rw");
    assert!(store_all(&mut store, [commit(2)])[0].ok);
    drop(store);
    assert_eq!(open(disk.path()).1.records.len(), 1);
}

#[test]
fn a_disk_that_becomes_read_only_loses_nothing_that_was_stored() {
    let Some(disk) = Disk::new("size=1m") else { return };
    let (mut store, _) = open(disk.path());
    assert!(store_all(&mut store, (1..=9).map(commit)).iter().all(|done| done.ok));
    drop(store);
    disk.remount("ro");
    let (mut store, restored) = open(disk.path());
    println!("restored from a read-only disk: {}", restored.records.len());
    assert!(!store_all(&mut store, [commit(restored.top + 1)])[0].ok);
    drop(store);
    disk.remount("rw");
    assert_eq!(open(disk.path()).1.records.len(), 9);
}

#[test]
fn a_folder_that_comes_late_is_used_and_what_was_not_read_from_it_is_moved_aside() {
    // Given: a folder that cannot be made, since its parent is a file.
    let folder = Folder::new();
    let (parent, elsewhere) = (folder.path().join("parent"), folder.path().join("elsewhere"));
    let dir = parent.join("data");
    fs::write(&parent, "").unwrap();
    let (mut store, restored) = open(&dir);
    assert!(restored.records.is_empty() && store.counters().failing);
    assert!(!store_all(&mut store, [commit(1)])[0].ok);
    // When: the disk with the records of an earlier life is mounted there.
    let (mut earlier, _) = open(&elsewhere.join("data"));
    store_all(&mut earlier, (1..=5).map(commit));
    drop(earlier);
    fs::remove_file(&parent).unwrap();
    fs::rename(&elsewhere, &parent).unwrap();
    // Then: this life's positions do not mix with those.
    assert!(store_all(&mut store, [commit(2)])[0].ok);
    assert!(dir.join(format!("{FOUND_NAME}1")).exists());
    drop(store);
    let (_store, restored) = open(&dir);
    assert_eq!(restored.records.iter().map(|stored| stored.position).collect::<Vec<_>>(), [2]);
}

/// What somebody puts there may be a backup: none goes over another, and with too
/// many nothing is stored until they are looked at.
#[test]
fn databases_found_in_the_way_are_all_kept() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (mut earlier, _) = open(other.path());
    store_all(&mut earlier, (1..=5).map(commit));
    drop(earlier);
    let (mut store, _) = open(folder.path());
    let whole = |number| Commit { whole: Some(Box::default()), ..commit(number) };
    let is_stored = |store: &mut Store, commit| store_all(store, [commit])[0].ok;
    assert!(is_stored(&mut store, commit(1)));
    let put = || fs::copy(other.path().join(FILE_NAME), folder.path().join(FILE_NAME)).unwrap();
    for nth in 1..=9 {
        put();
        assert!(!is_stored(&mut store, commit(2 * nth)), "it is noticed");
        assert!(is_stored(&mut store, whole(2 * nth + 1)), "and written anew");
        assert!(folder.path().join(format!("{FOUND_NAME}{nth}")).exists());
    }
    put();
    for number in [20, 22] {
        assert!(!is_stored(&mut store, commit(number)));
        assert!(!is_stored(&mut store, whole(number + 1)));
    }
    let error = store.counters().last_error.unwrap();
    assert!(error.contains("are taken"), "{error}");
    fs::remove_file(folder.path().join(format!("{FOUND_NAME}4"))).unwrap();
    assert!(is_stored(&mut store, whole(24)));
    assert_eq!(open(other.path()).1.records.len(), 5);
}

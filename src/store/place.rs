//! Where the data folder lies.

use std::path::Path;

use tracing::warn;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` (statfs(2)): in memory, gone with the power.
const VOLATILE: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Warns where storage `disk` promises nothing, because the folder (or the
/// nearest one above it that exists) lies in memory. Says whether it does.
pub fn warn_if_volatile(dir: &Path) -> bool {
    let volatile = dir.ancestors().find_map(|dir| {
        // An empty path is the end of a relative one.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        // The magic number fills 32 bits, in a field whose type differs.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        rustix::fs::statfs(dir).ok().map(|found| VOLATILE.contains(&(found.f_type as u32)))
    });
    if volatile == Some(true) {
        warn!(
            "{}: clients.storage is 'disk', but this folder lies in memory: what it holds is gone with the \
             power. Set node.data_dir to a folder on flash, or clients.storage to 'ram'",
            dir.display()
        );
    }
    volatile == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_memory_is_told_from_one_on_a_disk() {
        // /dev/shm is a tmpfs by custom; what says so is the kernel's own table.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let of = |kind: &str| {
            let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(kind));
            mount.and_then(|line| line.split(' ').nth(1))
        };
        match of("tmpfs") {
            Some(dir) => assert!(warn_if_volatile(&Path::new(dir).join("not/yet/there"))),
            None => eprintln!("SKIPPED: no tmpfs is mounted here"),
        }
        assert!(!warn_if_volatile(Path::new(of("proc").unwrap())));
    }
}

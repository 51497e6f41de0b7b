//! Where the data folder lies.

use std::path::Path;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` (statfs(2)): in memory, gone with the power.
const VOLATILE: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// What to warn people of where storage `disk` promises nothing, because the
/// folder (or the nearest one above it that exists) lies in memory.
#[must_use]
pub fn volatile_warning(dir: &Path) -> Option<String> {
    let volatile = dir.ancestors().find_map(|dir| {
        // An empty path is the end of a relative one.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        // The magic number fills 32 bits, in a field whose type differs.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        rustix::fs::statfs(dir).ok().map(|found| VOLATILE.contains(&(found.f_type as u32)))
    });
    volatile.unwrap_or(false).then(|| {
        format!(
            "{}: clients.storage is 'disk', but this folder lies in memory: what it holds is gone with the \
             power. Set node.data_dir to a folder on flash, or clients.storage to 'ram'",
            dir.display()
        )
    })
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
            Some(dir) => {
                let dir = Path::new(dir).join("not/yet/there");
                let text = volatile_warning(&dir).unwrap();
                assert!(text.contains(dir.to_str().unwrap()) && text.contains("node.data_dir"), "{text}");
            }
            None => {
                fau3_skipped::skipped("a tmpfs that is mounted");
            }
        }
        assert_eq!(volatile_warning(Path::new(of("proc").unwrap())), None);
    }
}

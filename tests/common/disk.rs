use std::path::Path;
use std::process::Command;

use fau3_skipped::{excused, skipped};

use super::TempDir;

/// A small file system in memory, of the test's own.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// `None`, and loudly so, where it may not be mounted.
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let dir = TempDir::new("disk");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "fau3-test"]).arg(dir.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        // A container's root may be forbidden to; whoever starts the tests says so.
        if fau3_skipped::is_set("FAU3_NO_MOUNT") {
            excused("nothing can be mounted here");
        } else {
            skipped("the right to mount a small disk (root)");
        }
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn remount(&self, options: &str) {
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

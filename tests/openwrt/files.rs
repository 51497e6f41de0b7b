//! What the package installs: every file is in the manifest, as it has to be.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{finish, skipped};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/fau3");

fn installed() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![Path::new(PACKAGE).join("files")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn the_manifest_has_every_file_with_its_mode_and_nothing_else() {
    let manifest = fs::read_to_string(Path::new(PACKAGE).join("manifest")).unwrap();
    let mut listed = BTreeSet::new();
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        let [path, mode, owner, group, kind] = words[..] else { panic!("{line}") };
        let mode = u32::from_str_radix(mode, 8).unwrap();
        assert_eq!(mode & 0o022, 0, "{line}: others may write it");
        assert!(["root", "fau3"].contains(&owner) && owner == group, "{line}");
        assert!(["file", "conffile", "dir"].contains(&kind), "{line}");
        if kind == "dir" {
            continue;
        }
        let file = Path::new(PACKAGE).join("files").join(path.trim_start_matches('/'));
        let own = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(own & 0o111, mode & 0o111, "{line}: the file is {own:o}");
        listed.insert(file);
    }
    assert_eq!(listed, installed().into_iter().collect());
}

#[test]
fn what_must_outlive_an_upgrade_is_kept() {
    let keep = fs::read_to_string(Path::new(PACKAGE).join("files/lib/upgrade/keep.d/fau3")).unwrap();
    assert_eq!(keep, "/etc/fau3/\n");
    let manifest = fs::read_to_string(Path::new(PACKAGE).join("manifest")).unwrap();
    assert!(manifest.contains("/etc/config/fau3 0644 root root conffile\n"));
}

#[test]
fn a_checker_of_shell_scripts_finds_nothing() {
    if Command::new("shellcheck").arg("--version").output().is_err() && skipped("shellcheck") {
        return;
    }
    let is_script = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.starts_with("#!/bin/sh"));
    let scripts: Vec<_> = installed().into_iter().filter(is_script).collect();
    assert!(scripts.len() >= 4, "{scripts:?}");
    let mut command = Command::new("shellcheck");
    // As ash: it has local (SC3043). rc.common is not here (SC1091, SC1008, SC2239),
    // and calls what nothing here does (SC2317, SC2034).
    command.args(["--shell=dash", "--exclude=SC3043,SC1091,SC1008,SC2239,SC2317,SC2034"]).args(scripts);
    let ran = finish(command);
    assert!(ran.status.success(), "{ran}");
}

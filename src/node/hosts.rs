//! The hosts file by which dnsmasq answers the clients' name with this router's
//! own addresses, so that each client finds the nearest router whoever leads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::lan::heard_on;
use crate::control::Control;

/// dnsmasq reads it as a user of its own.
const MODE: u32 = 0o644;
/// What [`Control::set_warning`] calls a file that cannot be written.
const NO_HOSTS_FILE: &str = "hosts file";

/// The file, gone when this is dropped.
pub(super) struct HostsFile {
    path: PathBuf,
    /// Where clients connect.
    listen: Vec<IpAddr>,
    control: Control,
    /// What stands there; `None`: there is no file.
    written: Option<String>,
    warned: bool,
}

impl HostsFile {
    pub(super) fn new(path: PathBuf, listen: Vec<IpAddr>, control: Control) -> Self {
        Self { path, listen, control, written: None, warned: false }
    }

    /// Says `name` with those of `own` at which clients are served. Writes only
    /// what is new.
    pub(super) fn refresh(&mut self, name: &str, own: &BTreeSet<IpAddr>) {
        let text = text(name, &heard_on(self.listen.iter(), own));
        if text == self.written {
            return;
        }
        let done = match &text {
            Some(text) => replace(&self.path, text),
            None => remove(&self.path),
        };
        match done {
            Ok(()) => {
                match &text {
                    Some(text) => info!("{} says: {}", self.path.display(), entries(text)),
                    None => info!("no address of the LAN any more: {} is gone", self.path.display()),
                }
                self.written = text;
                self.warned = false;
                self.control.set_warning(NO_HOSTS_FILE, None);
            }
            Err(error) => self.warn(&error),
        }
    }

    fn warn(&mut self, error: &io::Error) {
        let text = format!(
            "{}: cannot be written: {error}. Clients do not find this router by its name; make the folder, or \
             name another file with clients.hosts_file",
            self.path.display()
        );
        if !std::mem::replace(&mut self.warned, true) {
            warn!("{text}");
        }
        self.control.set_warning(NO_HOSTS_FILE, Some(text));
    }
}

impl Drop for HostsFile {
    fn drop(&mut self) {
        if self.written.is_some() {
            let _ = remove(&self.path);
        }
    }
}

/// The file's text (hosts(5)); `None` where there is nothing to say.
fn text(name: &str, addresses: &BTreeSet<IpAddr>) -> Option<String> {
    let mut text = String::from("# Written by fau3, and gone when it ends.\n");
    for address in addresses {
        let _ = writeln!(text, "{address} {name}");
    }
    (!addresses.is_empty()).then_some(text)
}

fn entries(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(", ")
}

/// All or nothing. The draft begins with a dot: dnsmasq leaves such files out
/// (dnsmasq(8), `--addn-hosts`). Not flushed: it is worth nothing after a loss of
/// power.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("that is no file"))?;
    let draft = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let made = fs::write(&draft, text)
        .and_then(|()| fs::set_permissions(&draft, Permissions::from_mode(MODE)))
        .and_then(|()| fs::rename(&draft, path));
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::identity::Folder;

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn hosts(path: &Path) -> HostsFile {
        let listen = vec!["::".parse().unwrap()];
        HostsFile::new(path.to_owned(), listen, Control::new().0)
    }

    #[test]
    fn the_file_follows_the_addresses_and_the_name_and_goes_at_the_end() {
        let folder = Folder::new();
        let path = folder.path().join("fau3");
        let mut hosts = hosts(&path);
        hosts.refresh("main", &ips(&["192.168.1.1", "fd00::1"]));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("\n192.168.1.1 main\nfd00::1 main\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        // The same again writes nothing; another name does.
        let inode = || fs::metadata(&path).unwrap().ino();
        let before = inode();
        hosts.refresh("main", &ips(&["192.168.1.1", "fd00::1"]));
        assert_eq!(inode(), before);
        hosts.refresh("other", &ips(&["192.168.1.1"]));
        assert!(fs::read_to_string(&path).unwrap().ends_with("\n192.168.1.1 other\n"));
        // Without an address there is no file, and at the end neither.
        hosts.refresh("other", &ips(&[]));
        assert!(!path.exists());
        hosts.refresh("other", &ips(&["10.0.0.1"]));
        assert!(path.exists());
        drop(hosts);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_comes_later_is_taken_then() {
        let folder = Folder::new();
        let path = folder.path().join("later/fau3");
        let mut hosts = hosts(&path);
        hosts.refresh("main", &ips(&["10.0.0.1"]));
        assert!(hosts.warned && !path.exists());
        fs::create_dir(path.parent().unwrap()).unwrap();
        hosts.refresh("main", &ips(&["10.0.0.1"]));
        assert!(path.exists() && !hosts.warned);
    }
}

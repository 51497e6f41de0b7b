//! What the defaults depend on: the host's name, and where files go.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The service's own folder in memory. It makes that before it starts the program
/// as a user who can write nowhere else in `/var/run`.
const RUN_FOLDER: &str = "/var/run/fau3";

/// What an instance's number takes in a name: `-2`.
const INSTANCE_BYTES: usize = 2;

/// Where files go when nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `node.data_dir`
    pub data_dir: PathBuf,
    /// `node.identity`
    pub identity: PathBuf,
    /// `node.control`
    pub control: PathBuf,
    /// `mesh.key`
    pub mesh_key: PathBuf,
    /// `clients.hosts_file`
    pub hosts_file: Option<PathBuf>,
}

impl Places {
    /// A router's, where a configuration file is read: keys on flash, the rest in
    /// memory; the hosts file, which the service carries to OpenWrt's dnsmasq, where
    /// there is such a service.
    #[must_use]
    pub fn of_system() -> Self {
        let run = Path::new(RUN_FOLDER);
        Self {
            data_dir: "/tmp/fau3".into(),
            identity: "/etc/fau3/identity.key".into(),
            control: run.join("fau3.sock"),
            mesh_key: "/etc/fau3/mesh.key".into(),
            hosts_file: run.is_dir().then(|| run.join("hosts")),
        }
    }

    /// Everything in one folder, where no file is read.
    #[must_use]
    pub fn inside(folder: &Path) -> Self {
        Self {
            data_dir: folder.join("data"),
            identity: folder.join("identity.key"),
            control: folder.join("fau3.sock"),
            mesh_key: folder.join("mesh.key"),
            hosts_file: None,
        }
    }
}

/// What the defaults depend on beside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The default of `node.name`.
    pub host_name: String,
    /// The defaults of the paths.
    pub places: Places,
}

impl Surroundings {
    /// The surroundings of one of several routers on this machine: what only one of them can have
    /// is its own, and the mesh's key is the same, so that they meet.
    pub(super) fn of_instance(&self, instance: u32) -> Self {
        if instance <= 1 {
            return self.clone();
        }
        // Before the ending, and where the whole folder is one router's beside that.
        let own = |path: &Path| {
            let of = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
            let ending = path.extension().map_or(String::new(), |it| format!(".{}", it.to_string_lossy()));
            path.with_file_name(format!("{}-{instance}{ending}", of(path.file_stem())))
        };
        let places = &self.places;
        // A name has bytes enough for the number only if it is cut.
        let cut: String =
            self.host_name.chars().take(super::kind::ROUTER_NAME.len_max - INSTANCE_BYTES).collect();
        Self {
            host_name: format!("{cut}-{instance}"),
            places: Places {
                data_dir: own(&places.data_dir),
                identity: own(&places.identity),
                control: own(&places.control),
                mesh_key: places.mesh_key.clone(),
                // One answers for the name that clients look up.
                hosts_file: None,
            },
        }
    }

    /// This host's; with the user's places, or the system's where a file is read.
    #[must_use]
    pub fn of_this_process(reads_file: bool) -> Self {
        let uname = rustix::system::uname();
        let user = rustix::process::geteuid();
        let var = |name| env::var_os(name).filter(|value| !value.is_empty());
        let (state, home) = (var("XDG_STATE_HOME"), var("HOME"));
        let folder = state_folder(state.as_deref(), home.as_deref(), user.as_raw());
        let places = if reads_file { Places::of_system() } else { Places::inside(&folder) };
        Self { host_name: router_name(&uname.nodename().to_string_lossy()), places }
    }
}

/// The user's state folder (XDG Base Directory Specification: a relative path
/// there is invalid and ignored). Services of root have no home, or `/`.
fn state_folder(state: Option<&OsStr>, home: Option<&OsStr>, user: u32) -> PathBuf {
    let absolute = |path: &OsStr| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = home.and_then(absolute).filter(|home| home != Path::new("/"));
    if let Some(state) = state.and_then(absolute) {
        return state.join("fau3");
    }
    match (home, user) {
        (Some(home), _) => home.join(".local/state/fau3"),
        (None, 0) => PathBuf::from("/var/lib/fau3"),
        (None, user) => env::temp_dir().join(format!("fau3-{user}")),
    }
}

/// A host's name as a router's name: what that may not hold becomes `-`.
fn router_name(host: &str) -> String {
    let fit = |char: char| if char.is_ascii_alphanumeric() || "._-".contains(char) { char } else { '-' };
    let name: String = host.chars().take(super::kind::ROUTER_NAME.len_max).map(fit).collect();
    if name.bytes().any(|byte| byte.is_ascii_alphanumeric()) { name } else { "fau3".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(state: &str, home: &str, user: u32) -> PathBuf {
        let var = |text| Some(OsStr::new(text)).filter(|text: &&OsStr| !text.is_empty());
        state_folder(var(state), var(home), user)
    }

    #[test]
    fn the_state_folder_follows_xdg_then_home_then_the_system() {
        assert_eq!(folder("/s", "/home/u", 1000), Path::new("/s/fau3"));
        assert_eq!(folder("", "/home/u", 1000), Path::new("/home/u/.local/state/fau3"));
        assert_eq!(folder("relative", "/home/u", 1000), Path::new("/home/u/.local/state/fau3"));
        assert_eq!(folder("", "/root", 0), Path::new("/root/.local/state/fau3"));
        assert_eq!(folder("", "", 0), Path::new("/var/lib/fau3"));
        assert_eq!(folder("", "/", 0), Path::new("/var/lib/fau3"));
        assert_eq!(folder("", "", 1000), env::temp_dir().join("fau3-1000"));
    }

    #[test]
    fn a_second_router_shares_nothing_but_the_key_with_the_first_one() {
        for places in [Places::of_system(), Places::inside(Path::new("/home/u/.local/state/fau3"))] {
            let first = Surroundings { host_name: "h".repeat(64), places };
            let second = first.of_instance(2);
            assert_eq!(first.of_instance(1), first);
            assert_eq!(second.host_name, format!("{}-2", "h".repeat(62)));
            assert_eq!(second.places.mesh_key, first.places.mesh_key, "so that they meet");
            assert_eq!(second.places.hosts_file, None);
            let paths = |of: &Surroundings| {
                let Places { data_dir, identity, control, .. } = of.places.clone();
                [data_dir, identity, control]
            };
            let both = paths(&first).into_iter().zip(paths(&second));
            both.for_each(|(one, other)| {
                assert!(one != other && one.parent() == other.parent(), "{other:?}")
            });
            assert!(paths(&second)[2].ends_with("fau3-2.sock"));
        }
    }

    #[test]
    fn a_host_name_becomes_a_router_name() {
        assert_eq!(router_name("router-a.lan"), "router-a.lan");
        assert_eq!(router_name("Küche 1"), "K-che-1");
        assert_eq!(router_name(""), "fau3");
        assert_eq!(router_name("((("), "fau3");
        assert_eq!(router_name(&"h".repeat(100)).len(), 64);
    }
}

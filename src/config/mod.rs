//! What the program is told to do: the UCI file `/etc/config/fau3`, `--set`,
//! and the defaults, as one typed [`Config`].
//!
//! Knows nothing of sockets, tasks or what its values are used for. Reads one
//! file and three things of the process (host name, user, state folder), and
//! only in [`Config::load`]; everything else is a function of its arguments.
//! Whatever is wrong is told with file, line, section, option and what would
//! be right, all of it at once.

mod address;
pub mod bounds;
mod diagnostic;
mod file;
mod kind;
mod read;
mod surroundings;
mod table;
pub mod uci;

pub use address::{Address, Malformed, Peer, Scheme, ServerUrl};
pub use diagnostic::{Diagnostic, Errors, Origin, Warning};
pub use file::DEFAULT_FILE;
pub use surroundings::{Places, Surroundings};
pub use table::{OptionSpec, Reload, SECTIONS, SectionSpec, Shape};

use crate::wire::ClientId;
use std::path::{Path, PathBuf};

/// Everything that can be set, within its [`bounds`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This router.
    pub node: Node,
    /// The door for clients (FAU3VOM-D).
    pub clients: Clients,
    /// The door for other routers (FAU3VOM-E).
    pub mesh: Mesh,
    /// The server that leads while it is there.
    pub default_server: DefaultServer,
    /// Names of the routers that lead in its place, highest priority first.
    pub extra_servers: Vec<String>,
}

/// Section `node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Whether the service starts at boot.
    pub enabled: bool,
    /// Which router of this machine it is, from 1: default ports, folder, socket and name
    /// of each are its own.
    pub instance: u32,
    /// This router's name: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Folder for what may be lost with the power.
    pub data_dir: PathBuf,
    /// File of the key that is this router's identity.
    pub identity: PathBuf,
    /// Socket for `fau3 status` and its like.
    pub control: PathBuf,
    /// Where page, `/status` and `/metrics` are served; `None`: nowhere.
    pub console: Option<Address>,
    /// The least severity that is logged.
    pub log: LogLevel,
}

/// Section `clients`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// Where clients connect; at least one.
    pub listen: Vec<Address>,
    /// Clients connected at once.
    pub max_clients: u32,
    /// Seconds until what is unconfirmed is sent again.
    pub retry_interval_s: u32,
    /// How often it is sent again.
    pub retry_count: u32,
    /// Seconds for which a session outlives its connection.
    pub session_grace_s: u32,
    /// What FAU3_STORED promises.
    pub storage: Storage,
    /// KiB of records kept.
    pub storage_max_kib: u32,
    /// Seconds for which a record is kept.
    pub storage_max_age_s: u32,
    /// Routers, this one included, that must hold a record before FAU3_STORED.
    pub copies: u32,
    /// Where dnsmasq reads the clients' name with this router's addresses;
    /// `None`: nowhere.
    pub hosts_file: Option<PathBuf>,
    /// Client ids that may connect; empty: anyone.
    pub allow_client: Vec<ClientId>,
    /// Origins of pages that may connect, beside this router's own; `*`: all.
    pub allow_origin: Vec<String>,
}

/// Section `mesh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Whether this router has anything to do with others.
    pub enabled: bool,
    /// Where routers connect (TCP) and beacons arrive (UDP); at least one.
    pub listen: Vec<Address>,
    /// File of the key that decides who may join.
    pub key: PathBuf,
    /// Milliseconds between heartbeats.
    pub beacon_ms: u32,
    /// How other routers are found; empty: by `peer` alone.
    pub discovery: Vec<Discovery>,
    /// Devices or logical networks on which multicast DNS is spoken; empty:
    /// those of the LAN.
    pub interface: Vec<String>,
    /// Routers to call in any case.
    pub peer: Vec<Peer>,
}

/// Section `default_server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultServer {
    /// The name that clients look up.
    pub name: String,
    /// Where it is; `None`: there is none, and the mesh leads itself.
    pub url: Option<ServerUrl>,
    /// Milliseconds between checks whether it is there.
    pub check_interval_ms: u32,
    /// Milliseconds for which it has to answer before it counts as back; up to
    /// four times that long for one that keeps going away.
    pub hold_ms: u32,
    /// Whether anything is said of it at all. Its name alone, which everybody has by
    /// default, makes no router the main server.
    pub is_configured: bool,
}

impl Config {
    /// Whether this router is the main server itself: a leaf of each
    /// segment that follows it.
    #[must_use]
    pub fn is_default_server(&self) -> bool {
        self.default_server.is_configured && self.node.name == self.default_server.name
    }
}

/// Where records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In memory: lost with the process.
    Ram,
    /// On disk: there after a crash.
    Disk,
}

/// A way to find other routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Multicast DNS on the local network.
    Mdns,
    /// The originators of batman-adv.
    Batman,
}

/// The least severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what changes.
    Info,
    /// And why.
    Debug,
    /// And every message.
    Trace,
}

impl LogLevel {
    /// As the file has it, and `tracing` takes it: `info`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        kind::LOG.word(self)
    }
}

impl Config {
    /// What holds where nothing is said.
    #[must_use]
    pub fn defaults(around: &Surroundings) -> Self {
        Self::defaults_of(around, 1)
    }

    /// What holds where nothing else is said for one of several routers on a machine.
    #[must_use]
    pub fn defaults_of(around: &Surroundings, instance: u32) -> Self {
        let Surroundings { host_name, places } = around.of_instance(instance);
        let port = |port| port_of_instance(port, instance);
        Self {
            node: Node {
                enabled: true,
                instance,
                name: host_name,
                data_dir: places.data_dir,
                identity: places.identity,
                control: places.control,
                console: Some(Address::loopback(port(8903))),
                log: LogLevel::Info,
            },
            clients: Clients {
                listen: vec![Address::any(port(8901))],
                max_clients: 256,
                retry_interval_s: 5,
                retry_count: 3,
                session_grace_s: 60,
                storage: Storage::Ram,
                storage_max_kib: 4_096,
                storage_max_age_s: 3_600,
                copies: 2,
                hosts_file: places.hosts_file,
                allow_client: Vec::new(),
                allow_origin: Vec::new(),
            },
            mesh: Mesh {
                enabled: true,
                listen: vec![Address::any(port(8902))],
                key: places.mesh_key,
                beacon_ms: 250,
                discovery: vec![Discovery::Mdns],
                interface: Vec::new(),
                peer: Vec::new(),
            },
            default_server: DefaultServer {
                name: "fau3vomdMain".to_owned(),
                url: None,
                check_interval_ms: 250,
                hold_ms: 3_000,
                is_configured: false,
            },
            extra_servers: Vec::new(),
        }
    }

    /// The configuration of this run. `file` is what `--config` names and must
    /// exist. Without it [`DEFAULT_FILE`] is read if it exists, but not where
    /// `sets` (of `--set`) are given: they say all that is wanted.
    ///
    /// # Errors
    /// Everything that is wrong in the file and in `sets`.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<(Self, Vec<Warning>), Errors> {
        let (config, warnings) = Self::load_all(file, sets);
        config.map(|config| (config, warnings))
    }

    /// As [`Self::load`], with the warnings also where there are errors.
    pub fn load_all(file: Option<&Path>, sets: &[String]) -> (Result<Self, Errors>, Vec<Warning>) {
        let found = match file::choose(file, sets, Path::new(DEFAULT_FILE)) {
            Ok(found) => found,
            Err(errors) => return (Err(errors), Vec::new()),
        };
        let around = Surroundings::of_this_process(found.is_some());
        let file = found.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
        read::read(file, sets, &around)
    }

    /// As [`Self::load`], of a file's path and text that are given.
    ///
    /// # Errors
    /// Everything that is wrong in the file and in `sets`.
    pub fn read(
        file: Option<(&Path, &str)>,
        sets: &[String],
        around: &Surroundings,
    ) -> Result<(Self, Vec<Warning>), Errors> {
        let (config, warnings) = read::read(file, sets, around);
        config.map(|config| (config, warnings))
    }

    /// What differs in `new`, by what it asks for. To be asked on SIGHUP.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        for (section, option) in table::options() {
            if (option.show)(self) != (option.show)(new) {
                let names = match option.reload {
                    Reload::Live => &mut changes.live,
                    Reload::Restart => &mut changes.restart,
                };
                names.push(format!("{}.{}", section.name, option.name));
            }
        }
        changes
    }

    /// Takes over from `new` what can change while clients stay connected,
    /// and leaves the rest as the running program has it.
    pub fn apply_live(&mut self, new: &Self) {
        for (_, option) in table::options().filter(|(_, option)| option.reload == Reload::Live) {
            (option.copy)(new, self);
        }
        self.default_server.is_configured = new.default_server.is_configured;
    }

    /// All of it as sections of UCI, for [`uci::print`]; without that of a main server
    /// where there is none, which would name one.
    #[must_use]
    pub fn sections(&self) -> Vec<uci::Section> {
        let is_there =
            |spec: &&SectionSpec| spec.name != table::DEFAULT_SERVER || self.default_server.is_configured;
        SECTIONS.iter().filter(is_there).flat_map(|spec| sections_of(spec, self)).collect()
    }
}

/// The default port of one of several routers on a machine.
#[must_use]
pub fn port_of_instance(port: u16, instance: u32) -> u16 {
    let further = u16::try_from(instance.saturating_sub(1)).unwrap_or(u16::MAX);
    port.saturating_add(further.saturating_mul(bounds::INSTANCE_PORTS))
}

/// What a new configuration changes: `SECTION.OPTION` in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Can be applied while clients stay connected.
    pub live: Vec<String>,
    /// Take effect at the next start.
    pub restart: Vec<String>,
}

/// One section with all its options, or one for each entry where it is repeated.
fn sections_of(spec: &SectionSpec, config: &Config) -> Vec<uci::Section> {
    let mut entries = Vec::new();
    for option in spec.options {
        let is_list = option.shape != Shape::One && !spec.is_repeated;
        let mut values = (option.show)(config);
        if let (Shape::List { nothing: Some(nothing), .. }, []) = (option.shape, &values[..]) {
            values.push(nothing.to_owned());
        }
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            entries.push(uci::Entry { name: option.name.to_owned(), value, is_list, line: 0 });
        }
    }
    let kind = || spec.name.to_owned();
    if spec.is_repeated {
        let section = |entry| uci::Section { kind: kind(), name: None, line: 0, entries: vec![entry] };
        return entries.into_iter().map(section).collect();
    }
    vec![uci::Section { kind: kind(), name: Some(kind()), line: 0, entries }]
}

//! Every section and option, once. Reading the file, `--set`,
//! suggestions, printing and what a reload may change all follow from here;
//! the defaults are in `Config::defaults`.

use super::kind::{
    Client, DISCOVERY, FLAG, FilePath, INTERFACE, Kind, LISTEN, LOG, Maybe, ORIGIN, PEER, Parsed,
    ROUTER_NAME, STORAGE, URL,
};
use super::{Address, Config, ServerUrl, bounds};

/// What a change of an option asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Can be applied while clients stay connected.
    Live,
    /// Takes effect at the next start.
    Restart,
}

/// How many values an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One: the last one given counts.
    One,
    /// A list, of which each value stands once.
    List {
        /// How many there may be.
        len_max: usize,
        /// Whether there may be none.
        may_be_empty: bool,
        /// The word that, alone, empties a list whose default is not empty.
        nothing: Option<&'static str>,
    },
}

/// One option: how it is read, written and carried over.
pub struct OptionSpec {
    /// Its name in the file.
    pub name: &'static str,
    /// How many values it holds.
    pub shape: Shape,
    /// What a change asks for.
    pub reload: Reload,
    /// What a value must be, to stand after "is not".
    pub expected: fn() -> String,
    /// Empties a list; of a single value it does nothing.
    pub(super) clear: fn(&mut Config),
    /// Sets a single value, or adds one to a list; `false`: not as expected.
    pub(super) take: fn(&mut Config, &str) -> bool,
    /// Its values as the file would hold them.
    pub(super) show: fn(&Config) -> Vec<String>,
    /// From one configuration to another.
    pub(super) copy: fn(&Config, &mut Config),
}

/// One type of section.
pub struct SectionSpec {
    /// Its type in the file, and its name where it has one.
    pub name: &'static str,
    /// Each one is an entry of a list; else all of them are read as one.
    pub is_repeated: bool,
    /// What may stand in it.
    pub options: &'static [OptionSpec],
}

/// The option `$section.$option`: its kind of value.
macro_rules! one {
    ($section:ident.$option:ident, $reload:ident, $kind:expr) => {
        OptionSpec {
            name: stringify!($option),
            shape: Shape::One,
            reload: Reload::$reload,
            expected: || $kind.expected(),
            clear: |_| {},
            take: |config, text| {
                let value = $kind.read(text);
                value.map(|value| config.$section.$option = value).is_some()
            },
            show: |config| vec![$kind.show(&config.$section.$option)],
            copy: |from, to| to.$section.$option = from.$section.$option.clone(),
        }
    };
}

/// The list `$name`, held in `$field`: its shape and kind of value.
macro_rules! list {
    ($name:literal in $($field:ident).+, $reload:ident, $shape:expr, $kind:expr) => {
        OptionSpec {
            name: $name,
            shape: $shape,
            reload: Reload::$reload,
            expected: || $kind.expected(),
            clear: |config| config.$($field).+.clear(),
            take: |config, text| {
                let value = $kind.read(text);
                value.map(|value| config.$($field).+.push(value)).is_some()
            },
            show: |config| config.$($field).+.iter().map(|value| $kind.show(value)).collect(),
            copy: |from, to| to.$($field).+ = from.$($field).+.clone(),
        }
    };
}

const LISTEN_SHAPE: Shape =
    Shape::List { len_max: bounds::LISTEN_LEN_MAX, may_be_empty: false, nothing: None };
const DISCOVERY_SHAPE: Shape = Shape::List { len_max: 2, may_be_empty: true, nothing: Some("off") };

/// A list that is empty unless something is given.
const fn open_list(len_max: usize) -> Shape {
    Shape::List { len_max, may_be_empty: true, nothing: None }
}

const PATH: FilePath = FilePath(bounds::PATH_LEN_MAX);
const SOCKET: FilePath = FilePath(bounds::SOCKET_PATH_LEN_MAX);
const HOSTS_FILE: Maybe<FilePath> = Maybe { kind: PATH, nothing: ["off", ""] };
const CONSOLE: Maybe<Parsed<Address>> = Maybe { kind: LISTEN, nothing: ["off", ""] };
const SERVER: Maybe<Parsed<ServerUrl>> = Maybe { kind: URL, nothing: ["", ""] };

/// The section that says something by being there.
pub(super) const DEFAULT_SERVER: &str = "default_server";

/// Everything that `/etc/config/fau3` may hold, in the order in which it is printed.
pub static SECTIONS: &[SectionSpec] = &[
    SectionSpec {
        name: "node",
        is_repeated: false,
        options: &[
            one!(node.enabled, Restart, FLAG),
            one!(node.instance, Restart, bounds::INSTANCE),
            one!(node.name, Restart, ROUTER_NAME),
            one!(node.data_dir, Restart, PATH),
            one!(node.identity, Restart, PATH),
            one!(node.control, Restart, SOCKET),
            one!(node.console, Restart, CONSOLE),
            one!(node.log, Live, LOG),
        ],
    },
    SectionSpec {
        name: "clients",
        is_repeated: false,
        options: &[
            list!("listen" in clients.listen, Restart, LISTEN_SHAPE, LISTEN),
            one!(clients.max_clients, Live, bounds::MAX_CLIENTS),
            one!(clients.retry_interval_s, Live, bounds::RETRY_INTERVAL_S),
            one!(clients.retry_count, Live, bounds::RETRY_COUNT),
            one!(clients.session_grace_s, Live, bounds::SESSION_GRACE_S),
            one!(clients.storage, Restart, STORAGE),
            one!(clients.storage_max_kib, Live, bounds::STORAGE_MAX_KIB),
            one!(clients.storage_max_age_s, Live, bounds::STORAGE_MAX_AGE_S),
            one!(clients.copies, Live, bounds::COPIES),
            one!(clients.hosts_file, Restart, HOSTS_FILE),
            list!("allow_client" in clients.allow_client, Live, open_list(bounds::ALLOW_CLIENT_LEN_MAX), Client),
            list!("allow_origin" in clients.allow_origin, Live, open_list(bounds::ALLOW_ORIGIN_LEN_MAX), ORIGIN),
        ],
    },
    SectionSpec {
        name: "mesh",
        is_repeated: false,
        options: &[
            one!(mesh.enabled, Restart, FLAG),
            list!("listen" in mesh.listen, Restart, LISTEN_SHAPE, LISTEN),
            one!(mesh.key, Restart, PATH),
            one!(mesh.beacon_ms, Restart, bounds::BEACON_MS),
            list!("discovery" in mesh.discovery, Restart, DISCOVERY_SHAPE, DISCOVERY),
            list!("interface" in mesh.interface, Restart, open_list(bounds::INTERFACE_LEN_MAX), INTERFACE),
            list!("peer" in mesh.peer, Live, open_list(bounds::PEER_LEN_MAX), PEER),
        ],
    },
    SectionSpec {
        name: DEFAULT_SERVER,
        is_repeated: false,
        options: &[
            one!(default_server.name, Live, ROUTER_NAME),
            one!(default_server.url, Live, SERVER),
            one!(default_server.check_interval_ms, Live, bounds::CHECK_INTERVAL_MS),
            one!(default_server.hold_ms, Live, bounds::HOLD_MS),
        ],
    },
    SectionSpec {
        name: "extra_server",
        is_repeated: true,
        options: &[
            list!("name" in extra_servers, Live, open_list(bounds::EXTRA_SERVER_LEN_MAX), ROUTER_NAME),
        ],
    },
];

/// Every option with its section.
pub(super) fn options() -> impl Iterator<Item = (&'static SectionSpec, &'static OptionSpec)> {
    SECTIONS.iter().flat_map(|section| section.options.iter().map(move |option| (section, option)))
}

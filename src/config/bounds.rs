//! The bounds of every number and every list of the configuration.

pub use super::kind::Number;

/// Which router of this machine it is, `node.instance`.
pub const INSTANCE: Number = Number { min: 1, max: 9 };
/// How far apart the default ports of two instances are.
pub const INSTANCE_PORTS: u16 = 10;
/// Clients connected at once, `clients.max_clients`.
pub const MAX_CLIENTS: Number = Number { min: 1, max: 10_000 };
/// Seconds until an unconfirmed Playlist is sent again, `clients.retry_interval_s`.
pub const RETRY_INTERVAL_S: Number = Number { min: 1, max: 3_600 };
/// How often it is sent again, `clients.retry_count`.
pub const RETRY_COUNT: Number = Number { min: 0, max: 100 };
/// Seconds for which a session outlives its connection, `clients.session_grace_s`.
pub const SESSION_GRACE_S: Number = Number { min: 0, max: 86_400 };
/// KiB of records, `clients.storage_max_kib`: up to 1 GiB, so that bytes fit 32 bits.
pub const STORAGE_MAX_KIB: Number = Number { min: 64, max: 1_048_576 };
/// Seconds for which a record is kept, `clients.storage_max_age_s`: up to a week.
pub const STORAGE_MAX_AGE_S: Number = Number { min: 1, max: 604_800 };
/// Routers that must hold a record, this one included, `clients.copies`.
pub const COPIES: Number = Number { min: 1, max: 16 };
/// Milliseconds between heartbeats, `mesh.beacon_ms`.
pub const BEACON_MS: Number = Number { min: 50, max: 10_000 };
/// Milliseconds between checks, `default_server.check_interval_ms`.
pub const CHECK_INTERVAL_MS: Number = Number { min: 50, max: 60_000 };
/// Milliseconds until it counts as back, `default_server.hold_ms`: up to ten minutes.
pub const HOLD_MS: Number = Number { min: 0, max: 600_000 };

/// Addresses in one `listen`.
pub const LISTEN_LEN_MAX: usize = 16;
/// Entries of `clients.allow_client`.
pub const ALLOW_CLIENT_LEN_MAX: usize = 10_000;
/// Entries of `clients.allow_origin`.
pub const ALLOW_ORIGIN_LEN_MAX: usize = 64;
/// Entries of `mesh.interface`.
pub const INTERFACE_LEN_MAX: usize = 16;
/// Entries of `mesh.peer`.
pub const PEER_LEN_MAX: usize = 256;
/// Sections `extra_server`.
pub const EXTRA_SERVER_LEN_MAX: usize = 256;

/// The longest path that is accepted, in bytes (`PATH_MAX` less its end).
pub const PATH_LEN_MAX: usize = 4_095;
/// The longest path of a socket, in bytes (`sun_path` less its end).
pub const SOCKET_PATH_LEN_MAX: usize = 107;

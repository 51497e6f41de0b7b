//! What may be set about a router, and the bounds that may not.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::wire::ClientId;

/// Unconfirmed items in flight to one client (PROTOCOLS.md, section 1).
pub const IN_FLIGHT_MAX: usize = 5;
/// For so long nothing is said to a connection whose client has not said a word:
/// radios read the upgrade's answer with one read(2), and lose what has come
/// behind it. Some clients never say one.
pub const FIRST_WORD_WAIT: Duration = Duration::from_secs(2);
/// After so many connections that ended while one record was the next to be
/// confirmed, that record waits behind all others.
pub const ENDINGS_MAX: u32 = 3;
/// Records on which a session's connections have ended; beyond it the one that
/// came first is forgotten, and counted anew.
pub const SUSPECTS_MAX: usize = 128;
/// Payload of unconfirmed items in flight to one client, in bytes, if there is more
/// than one of them: as much as one of the longest that radios send. What else is
/// said waits behind no more than that, however slow the link.
pub const IN_FLIGHT_BYTES_MAX: usize = 40_000;
/// Sessions that wait for their client to return; beyond it the one that has
/// waited longest ends (DESIGN.md, "Session").
pub const DETACHED_SESSIONS_MAX: usize = 1_024;
/// Sessions of the whole mesh, connected anywhere or waited for; beyond it those
/// that other routers tell of are not taken in.
pub const SESSIONS_MAX: usize = 8_192;
/// Remembered (client id, MessageUuid, payload); beyond it the oldest is
/// forgotten (DESIGN.md, "Record").
pub const REMEMBERED_MAX: usize = 16_384;
/// Records on their way to the disk, which together cost no more than the
/// storage; beyond either FAU3_SERROR is answered.
pub const UNCOMMITTED_MAX: usize = 256;
/// Sessions that have ended since the last commit; at the bound they go to the
/// disk at once.
pub const ENDED_MAX: usize = 1_024;
/// A WebSocket ping this often finds connections that died silently.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// Take-overs of one id within [`CONTEST_WINDOW`] that are still believed.
pub const TAKEOVERS_MAX: usize = 3;
/// See [`TAKEOVERS_MAX`].
pub const CONTEST_WINDOW: Duration = Duration::from_secs(10);
/// Connections that were taken over and may yet answer that; beyond it the
/// oldest is forgotten.
pub const THROWN_OUT_MAX: usize = 1_024;
/// For how long an id that devices take from each other is refused.
pub const CONTEST_PAUSE: Duration = Duration::from_secs(30);
/// Ids that are refused at one time; beyond it the oldest is let in again.
pub const CONTESTED_MAX: usize = 1_024;
/// The list in a Monitor is made anew at most this often.
pub const MONITOR_LIST_AGE: Duration = Duration::from_secs(1);
/// A session's progress reaches the disk at most this much later: flash wears.
pub const SESSION_SAVE_DELAY: Duration = Duration::from_secs(5);
/// From this many places on, one in eight is kept for other addresses.
pub const ADDRESS_SHARE_FROM: usize = 64;

/// Set from the configuration's section `clients`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Connected clients.
    pub max_clients: usize,
    /// T: after this long without a Confirm a message is sent again.
    pub retry_interval: Duration,
    /// K: how often a message is sent again.
    pub retry_count: u32,
    /// How long a session waits for its client.
    pub session_grace: Duration,
    /// What the records held may cost together, in bytes.
    pub storage_bytes_max: usize,
    /// How old a held record may become.
    pub storage_age_max: Duration,
    /// FAU3_STORED only once the record is on disk.
    pub disk: bool,
    /// Routers that must hold a record before FAU3_STORED, this one included.
    pub copies: usize,
    /// Who may connect; empty: anyone.
    pub allow_clients: BTreeSet<ClientId>,
    /// The wrong variant to run, for checks that must catch it.
    #[cfg(feature = "mutants")]
    pub mutant: Option<super::Mutant>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_clients: 256,
            retry_interval: Duration::from_secs(5),
            retry_count: 3,
            session_grace: Duration::from_secs(60),
            storage_bytes_max: 4_096 * 1_024,
            storage_age_max: Duration::from_secs(3_600),
            disk: false,
            copies: 2,
            allow_clients: BTreeSet::new(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}

impl Settings {
    /// Places that one address may hold.
    #[must_use]
    pub const fn clients_per_address_max(&self) -> usize {
        if self.max_clients < ADDRESS_SHARE_FROM { self.max_clients } else { self.max_clients / 8 * 7 }
    }
}

//! Who leads. A pure state machine: it knows no socket, file, clock or random
//! source; time and datagrams come in as arguments, what to send leaves as
//! outputs.
//!
//! Every router sends a [`Heartbeat`] each interval and floods a [`Record`] of
//! itself whenever something about it changed: whom it hears, its list, its
//! readiness. A link counts only if both ends report it, so all routers of a
//! two-way component hold the same [`Map`], and [`Map::decide`], a pure
//! function of it, names the same deputy and coordinator everywhere.
//!
//! ```
//! use fau3_election::{Config, Election, Input, Output, RouterId, SavedState, Time};
//!
//! let id = RouterId([1; 16]);
//! let mut election = Election::new(Config::default(), id, SavedState::default(), 7, Time::ZERO);
//! while let Some(now) = election.poll_timeout().filter(|at| *at < Time::from_secs(3)) {
//!     election.handle(now, Input::Timeout);
//!     while let Some(output) = election.poll_output() {
//!         match output {
//!             Output::Broadcast(datagram) => assert!(datagram.as_bytes().len() < 1_200),
//!             Output::Persist { ticket, .. } => election.handle(now, Input::Persisted { ticket }),
//!             _ => {}
//!         }
//!     }
//! }
//! assert!(election.view().leads(), "a router without any other leads once it has listened");
//! ```
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod api;
mod bits;
mod codec;
mod config;
mod election;
mod epoch;
mod id;
mod list;
mod map;
mod record;
mod state;
mod time;

pub use api::{Counters, Input, Output, Role, View, Warning};
pub use codec::{DATAGRAM_MAX_BYTES, DecodeError};
#[cfg(feature = "mutants")]
pub use config::Mutant;
pub use config::{Config, ROUTERS_MAX};
pub use election::Election;
pub use epoch::{Belief, EPOCH_BLOCK, Epoch};
pub use id::{Incarnation, RouterId};
pub use list::{LIST_MAX_ENTRIES, ListVersion, NAME_MAX_BYTES, ServerEntry, ServerList};
pub use map::{Coordinator, Decision, Map};
pub use record::{Datagram, Heartbeat, Link, Packet, Record, Report};
pub use state::SavedState;
pub use time::Time;

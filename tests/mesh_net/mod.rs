//! Whole routers, each on a host of its own on one switch: found by multicast
//! DNS, parted, lossy, killed, frozen, wiped, twelve of them, and annoyed.
//! Clients talk and listen all the while. Needs root and the network's tools
//! (see `common::Net`); skipped loudly elsewhere.
//!
//! The bounds here only tell right from wrong on a machine that does other
//! things, too: each is some five times what the mesh benchmark measures.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod annoyances;
mod asked;
mod clients;
mod finding;
mod keys;
mod lost_leader;
mod moment;
mod parted;
mod paths;
mod roaming;
mod routers;
mod twelve;
mod two_links;
mod uplink;
mod wiped;

use std::time::Duration;

/// Routers that start find each other and agree within this.
const START_MAX: Duration = Duration::from_secs(20);
/// After a connection that the other side closed, until the next one leads.
const CLOSED_MAX: Duration = Duration::from_secs(2);
/// After a silence, until the next one leads.
const SILENT_MAX: Duration = Duration::from_secs(11);
/// After the heal of a partition, for how long two may lead.
const TWO_LEADERS_MAX: Duration = Duration::from_secs(5);
/// After the heal, until all agree and are connected.
const HEAL_MAX: Duration = Duration::from_secs(10);
/// What was said has been heard within this, connections made anew included.
const HEARD_MAX: Duration = Duration::from_secs(15);

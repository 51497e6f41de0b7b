//! Many routers in virtual time under faults, the same run for the same seed
//! on every machine.
//!
//! [`engine`] moves time and datagrams and knows no election; [`faults`] says
//! what goes wrong, as data; [`world`] drives the elections with both;
//! [`invariants`] judges them by the truth about the network. On these stand
//! [`sweep`] (many seeds), [`shrink`] (the fewest faults that still fail), [`topologies`] and
//! [`check`](mod@check) (all graphs, all short histories), [`mutants`] (wrong variants that
//! must be caught), [`report`] (numbers), [`timeline`] and [`svg`] (for people).
//!
//! [`mesh`] is a second world on the same engine and the same faults: whole
//! routers with connections, disks and clients.
//!
//! What all this cannot show: that real networks and flash behave as modelled;
//! anything about the shell around the election (sockets, authentication,
//! when a connection counts as closed); meshes of more than 64 routers; and rules that
//! nobody wrote down. While links are worse than [`world::Truth`] calls firm
//! (5 % loss, 100 ms), only the *always* rules are checked.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
pub mod engine;
pub mod faults;
pub mod hashes;
pub mod invariants;
pub mod mesh;
pub mod mutants;
pub mod report;
pub mod shrink;
pub mod svg;
pub mod sweep;
pub mod timeline;
pub mod topologies;
pub mod world;

//! Many routers in virtual time under faults.
//!
//! [`engine`] moves time and datagrams, [`faults`] says what goes wrong,
//! [`world`] drives the elections, [`invariants`] judges them; [`timeline`] shows a run to people.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
pub mod engine;
pub mod faults;
pub mod hashes;
pub mod invariants;
pub mod mutants;
pub mod report;
pub mod shrink;
pub mod svg;
pub mod sweep;
pub mod timeline;
pub mod topologies;
pub mod world;

//! What the benchmarks share: clients that make a load and judge what comes of it, the table, and what Linux tells
//! of processes. It knows no server.

// Each benchmark uses its part of this.
#![allow(dead_code)]

pub(crate) mod arguments;
pub(crate) mod board;
pub(crate) mod client;
pub(crate) mod dialect;
pub(crate) mod fau3;
pub(crate) mod load;
pub(crate) mod proc;
pub(crate) mod table;
pub(crate) mod tally;

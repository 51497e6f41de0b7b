//! fau3 keeps voice going when the main server or the uplink is gone.
//!
//! `wire`, `router` and `pulse` are pure: no sockets, no clocks, no files. The rest is
//! the program around them and needs the feature `net`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod config;
#[cfg(feature = "net")]
pub mod control;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "net")]
mod dial;
#[cfg(feature = "net")]
pub mod discovery;
#[cfg(feature = "net")]
pub mod failure;
pub mod gateway;
#[cfg(feature = "net")]
mod http;
#[cfg(feature = "net")]
pub mod identity;
#[cfg(feature = "net")]
mod lobby;
#[cfg(feature = "net")]
pub mod mesh;
#[cfg(feature = "net")]
mod net;
#[cfg(feature = "net")]
pub mod node;
#[cfg(feature = "net")]
mod notices;
pub mod pulse;
#[cfg(test)]
mod random;
pub mod router;
#[cfg(feature = "net")]
pub mod store;
pub mod upstream;
pub mod wire;

//! Routers' doors against each other, against libp2p itself, and against those
//! who misbehave, over loopback (PROTOCOLS.md, section 2).
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod beacons;
mod connections;
mod misbehaviour;
mod peer;
mod refusals;
mod routers;
mod zones;

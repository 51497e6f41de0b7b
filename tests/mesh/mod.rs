//! Routers' doors against each other, against libp2p itself, and against those
//! who misbehave, over loopback (PROTOCOLS.md, section 2).
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod beacons;
mod connections;
mod misbehaviour;
mod peer;
mod refusals;
mod routers;
mod zones;

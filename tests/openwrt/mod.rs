//! The program on OpenWrt: what its package installs is run by the shell that
//! OpenWrt has, against the real program, with stand-ins for procd and for what
//! only root may do. What a router alone can show is in `docs/openwrt.md`.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod corpus;
mod defaults;
mod files;
mod hosts;
mod luci;
mod quiet;
mod root;
mod rpcd;
mod service;
mod trouble;
mod validation;

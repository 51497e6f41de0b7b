//! Routers below a main server that speaks only FAU3VOM-D, as it exists
//! today: is it there, its list, what becomes of one that misbehaves.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod bad_servers;
mod half_open;
mod killed;
mod lists;
mod node;
mod quirks;
mod relay;
mod sessions;
mod silence;
mod watching;

use std::time::{Duration, Instant};

use crate::common::{Node, wait_for};
use crate::legacy::Legacy;
use serde_json::Value;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A router in no mesh below this server, with options.
fn below(server: &Legacy, options: &[&str]) -> Node {
    let url = format!("default_server.url={}", server.url());
    Node::with(&[&[&*url], options].concat()).start()
}

/// What the router says of its main server.
fn said(node: &Node) -> Value {
    node.status()["default_server"].clone()
}

/// Waits until the router says that the server is there, or is not; how long
/// that took.
fn until_reachable(node: &Node, reachable: bool) -> Duration {
    let since = Instant::now();
    wait_for(&format!("reachable: {reachable}"), PATIENCE, || said(node)["reachable"] == reachable);
    since.elapsed()
}

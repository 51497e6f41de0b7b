//! The door of FAU3VOM-D: radios, desktop clients and browsers, over WebSocket.
//! Turns frames into the router's words and these into frames.

#[cfg(feature = "net")]
mod door;
#[cfg(feature = "net")]
pub mod frames;
#[cfg(feature = "net")]
mod handshake;
#[cfg(feature = "net")]
mod outbox;
#[cfg(feature = "net")]
mod socket;
#[cfg(feature = "net")]
mod tails;
#[cfg(feature = "net")]
mod unfinished;
#[cfg(feature = "net")]
mod unsent;
mod words;

use std::time::Duration;

#[cfg(feature = "net")]
pub use door::{ExtraServers, Fau3d};
pub use words::{close_code, http_status, says, status};

/// A connection that has not become a client's after this time is closed.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

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

#[cfg(feature = "net")]
pub use door::{Door, ExtraServers, HANDSHAKE_TIME_MAX, HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX};
pub use words::{close_code, http_status, says, status};

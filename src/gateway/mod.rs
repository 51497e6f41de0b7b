//! The doors through which clients come in, one folder a protocol. A door
//! turns bytes into the router's words and these into bytes; it decides
//! nothing, and knows no other door and nothing of sessions or rooms.
//!
//! To add a protocol: a folder here with a [`Door`], and a line in the node's
//! list of doors (`src/node/listen.rs`). docs/doors.md shows how.

pub mod call;
#[cfg(feature = "net")]
mod client;
#[cfg(feature = "net")]
mod counts;
#[cfg(feature = "net")]
mod door;
#[cfg(feature = "net")]
mod events;
pub mod fau3d;
#[cfg(feature = "net")]
mod hall;
#[cfg(feature = "net")]
mod visitors;

#[cfg(feature = "net")]
pub use client::{Client, TOLD_WAITING_MAX};
#[cfg(feature = "net")]
pub use counts::{DoorCounts, DoorReport, DoorsCounts};
#[cfg(feature = "net")]
pub(crate) use door::BACKLOG;
#[cfg(feature = "net")]
pub use door::{Attending, Door, Entrance, Guest, HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX};
#[cfg(feature = "net")]
pub use events::{
    EVENTS_WAITING_BYTES_MAX, EVENTS_WAITING_MAX, Events, NodeEnded, NodeEvents, NotNow, Waiting,
};
#[cfg(feature = "net")]
pub use hall::{ClientLink, DoorEvent, Hall};
#[cfg(feature = "net")]
pub use visitors::Visitors;

#[cfg(feature = "net")]
pub use crate::lobby::Place;

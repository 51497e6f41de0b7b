//! The doors through which clients come in, one folder a protocol. A door
//! turns bytes into the router's inputs and its frames into bytes; it decides
//! nothing, and knows no other door and nothing of sessions or rooms.
//!
//! To add a protocol: a folder here that calls [`Hall`], and a line in the node's
//! list of doors.

pub mod call;
pub mod fau3d;
#[cfg(feature = "net")]
mod hall;
#[cfg(feature = "net")]
mod visitors;

#[cfg(feature = "net")]
pub use hall::{ClientLink, DoorEvent, EVENTS_WAITING_MAX, Hall};
#[cfg(feature = "net")]
pub use visitors::Visitors;

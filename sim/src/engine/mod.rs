//! The engine under every simulation: an event queue, a faulty network,
//! clocks that are wrong, random numbers and a trace hash, all in integers so
//! that a run is the same on every machine.
//!
//! It knows neither elections nor routers: `world` drives [`Election`]s with
//! it, and whatever else has the shape `handle`, `poll_output`, `poll_timeout`
//! can be driven the same way.
//!
//! [`Election`]: fau3_election::Election

mod clock;
mod mail;
mod network;
mod queue;
mod random;
mod trace;

pub use clock::{CLOCK_ERROR_PPM_MAX, Clock};
pub(crate) use mail::Mail;
pub use network::{Delay, NODES_MAX, Network, NodeSet, Quality, nodes_of};
pub use queue::EventQueue;
pub use random::{PPM, Random};
pub use trace::TraceHash;

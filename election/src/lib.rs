//! Who leads. A pure state machine: it knows no socket, file, clock or random
//! source; time and datagrams come in as arguments, what to send leaves as
//! outputs.
#![no_std]

extern crate alloc;

mod id;
mod time;

pub use id::{Incarnation, RouterId};
pub use time::Time;

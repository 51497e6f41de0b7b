//! Audio calls over TCP (seed 001; PROTOCOLS.md, section 3): who calls whom, and what
//! each side is told.
//!
//! `end` is one end of a call, `calls` all ends at a router: a pure machine that says to
//! other ends what `words` holds, and gives each client's socket what waits in its
//! `queue`.

mod calls;
mod end;
mod queue;
#[cfg(test)]
mod tests;
mod words;

pub use calls::{Calls, Input, Output};
pub use end::{Counts, RINGING_MAX, ROUNDS_MAX, SILENCE_MAX};
pub use words::{CallId, Party, Says, Signal, Word};

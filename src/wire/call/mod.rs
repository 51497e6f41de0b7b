//! Audio calls (seed 001; PROTOCOLS.md, section 3): packets of a length, a type and
//! a body. Read as they come in, in whatever pieces, and printed.

mod packet;
mod reader;
#[cfg(test)]
mod tests;

pub use packet::{Format, Order, Packet, Parameters, USERNAME_BYTES_MAX, Username};
pub use reader::{AUDIO_BYTES_MAX, Mistake, PACKET_BYTES_MAX, Reader};

/// What a bare packet has: its length and its type, in bytes.
pub const HEAD_BYTES: usize = 6;

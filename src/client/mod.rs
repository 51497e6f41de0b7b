//! The commands for people: `talk` and `listen`, which are clients themselves,
//! `status` and `topology`, which ask a running node.
//!
//! `core` is what a client of FAU3VOM-D decides (resend, reconnect, answer,
//! drop what it has seen), without a socket or a clock; `link` is the socket
//! around it, and `roamer` the same for a client that knows several routers.
//! Nothing here knows the router's inside: these commands work against every
//! server that speaks FAU3VOM-D.

mod args;
mod clock;
mod control;
mod core;
mod error;
mod link;
mod listen;
mod output;
mod progress;
#[cfg(feature = "demo")]
mod roamer;
mod status;
mod talk;
mod topology;

pub use args::ServerArgs;
pub use error::Error;
pub use listen::{ListenArgs, listen};
pub(crate) use output::print;
pub use status::{StatusArgs, status};
pub use talk::{TalkArgs, talk};
pub use topology::{TopologyArgs, topology};

// What the demonstration plays with.
#[cfg(feature = "demo")]
pub(crate) use {
    args::Url,
    control::ask,
    roamer::{Heard, Roamer},
};

/// One Speex narrowband frame of quality 8, in bytes (PROTOCOLS.md, section 1).
pub(crate) const SPEEX_FRAME_BYTES: usize = 38;
/// What one such frame plays, in milliseconds.
pub(crate) const SPEEX_FRAME_MS: u64 = 20;

/// How long `bytes` of 38-byte Speex frames play, in seconds; `None` if they
/// are not a whole number of frames.
fn speex_seconds(bytes: u64) -> Option<f64> {
    let frame = SPEEX_FRAME_BYTES as u64;
    (bytes > 0 && bytes.is_multiple_of(frame)).then(|| (bytes / frame * SPEEX_FRAME_MS) as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::speex_seconds;

    #[test]
    fn a_radios_longest_message_plays_20_seconds() {
        assert_eq!(speex_seconds(38_000), Some(20.0));
        assert_eq!(speex_seconds(38), Some(0.02));
        assert_eq!(speex_seconds(0), None);
        assert_eq!(speex_seconds(39), None);
    }
}

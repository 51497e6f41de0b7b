//! FAU3VOM-D: client and router (seed 000, PROTOCOLS.md section 1). JSON
//! objects, one a frame, and Streams, which are marked bytes.

pub mod from_router;
mod parse;
mod print;

pub use parse::parse;
pub use print::{
    ExtraServer, confirm, extra_servers_list, monitor_head, monitor_tail, ping, playlist_frame_bytes,
    playlist_head, playlist_tail, propogate, subscribe,
};

pub use super::Status;
use super::{RoomId, Uuid};

/// The longest MessageUuid taken from a client, in bytes. Real ones have 36.
pub const MESSAGE_UUID_BYTES_MAX: usize = 128;
/// How a Stream begins.
pub const STREAM_BEGIN: &[u8] = b"F3SB";
/// How a Stream ends.
pub const STREAM_END: &[u8] = b"F3FN";
/// The largest Stream, marks included, in bytes.
pub const STREAM_BYTES_MAX: usize = 4 * 1024;
/// The largest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// A message from a client, every field checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient {
    /// The client asks whether the router is there.
    Ping {
        /// To be echoed.
        message_uuid: Box<str>,
    },
    /// An answer to something that the router sent. Never answered itself.
    Confirm {
        /// What it answers; `None` if that is not a UUID, so nothing of ours.
        message_uuid: Option<Uuid>,
        /// Success or a failed try.
        status: Status,
    },
    /// A voice message for a room.
    Propogate {
        /// To be echoed.
        message_uuid: Box<str>,
        /// Where it shall be heard.
        room: RoomId,
        /// The decoded message; at least one byte.
        payload: Box<[u8]>,
    },
    /// The client moves to a room.
    Subscribe {
        /// To be echoed.
        message_uuid: Box<str>,
        /// Where it moves to.
        room: RoomId,
        /// Period of Monitor messages in seconds; 0: none.
        monitor_period_s: u32,
        /// Period of Ping messages in seconds; 0: none.
        ping_period_s: u32,
    },
    /// Live audio, marks included.
    Stream(Box<[u8]>),
}

/// A frame that is no message. Answered with FAU3_INVALID, unless it was a
/// Confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its MessageUuid as far as it could be read, else empty.
    pub message_uuid: Box<str>,
    /// What is wrong with it, for logs and counters.
    pub reason: &'static str,
    /// It called itself a Confirm, so that it must not be answered.
    pub was_confirm: bool,
}

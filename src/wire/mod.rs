//! Messages as types: what stands on the wire, parsed and printed, and nothing
//! else. Knows no socket, no clock, no session and no router.

pub mod call;
pub mod fau3d;
pub mod fau3e;
pub mod mistaken;
mod names;
mod presence;
mod record;
mod status;
mod uuid;

pub use names::{CLIENT_ID_CHARS_MAX, ClientId, NameError, ROOM_CHARS_MAX, RoomId};
pub use presence::Present;
pub use record::{
    BODY_BYTES_MAX, Message, Origin, Record, RecordId, SETTLED_BEYOND_MAX, Settled, playlist_uuid,
    propogate_key,
};
pub use status::Status;
pub use uuid::Uuid;

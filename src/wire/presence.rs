use super::{ClientId, RoomId};

/// A client that is there, as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Who.
    pub client_id: ClientId,
    /// Where; `None` before it has entered a room.
    pub room: Option<RoomId>,
    /// Seconds since the session began.
    pub alive_s: u64,
}

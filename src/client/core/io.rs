//! What goes into a [`Client`](super::Client), and what comes out.

use super::remembered::Key;
use crate::wire::RoomId;
use crate::wire::fau3d::Status;
use crate::wire::fau3d::from_router::Record;

/// What a client is for.
#[derive(Debug)]
pub(in crate::client) struct Settings {
    /// The room to be in; `None`: none, which is enough to send records.
    pub(in crate::client) room: Option<RoomId>,
    /// Playlists are wanted. If not they stay unconfirmed, so that a listener
    /// with this id still gets them.
    pub(in crate::client) listens: bool,
    /// 128 bits of chance, for MessageUuids and waits.
    pub(in crate::client) seed: u128,
}

/// What has happened.
#[derive(Debug)]
pub(in crate::client) enum Input<'a> {
    /// The connection that [`Output::Dial`] asked for is up.
    Connected,
    /// It could not be made, or it is lost; with the reason, for people.
    Down(String),
    /// A text or binary frame came.
    Frame(&'a [u8]),
    /// A WebSocket pong came.
    Pong,
    /// All frames handed out so far have left for the kernel.
    Flushed,
    /// A record is to be sent. One at a time: the next one after
    /// [`Event::Stored`] or [`Event::Invalid`].
    Say(&'a RoomId, &'a [u8]),
    /// Live audio without its marks. Dropped when the client is not ready.
    Stream(&'a [u8]),
    /// The Playlist of this token has been kept.
    Kept(Token),
    /// It could not be kept; the router shall send it again.
    NotKept(Token),
    /// It may be time for something.
    Timeout,
}

/// What the socket shall do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::client) enum Output {
    /// Connect.
    Dial,
    /// Send a text frame.
    Text(Vec<u8>),
    /// Send a binary frame.
    Binary(Vec<u8>),
    /// Send a WebSocket ping.
    Probe,
    /// Let go of the connection, or of the attempt to make one.
    HangUp,
}

/// What the command is told.
#[derive(Debug, PartialEq)]
pub(in crate::client) enum Event {
    /// Connected and, where a room was asked for, in it.
    Ready,
    /// No connection, for this reason; another try follows by itself.
    Down(String),
    /// The record is stored.
    Stored,
    /// The router cannot store it now; another try follows by itself.
    Refused(Status),
    /// The router takes it for no message at all: trying again is no use.
    Invalid(Invalid),
    /// Records; to be answered with [`Input::Kept`] or [`Input::NotKept`].
    Playlist(Token, Vec<Record>),
    /// Live audio.
    Stream(Vec<u8>),
}

/// What the router answered FAU3_INVALID to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Invalid {
    /// The Subscribe.
    Subscribe,
    /// The Propogate.
    Propogate,
}

/// A Playlist that waits to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::client) struct Token {
    pub(super) message_uuid: String,
    pub(super) key: Key,
}

impl Token {
    /// The Playlist's.
    pub(in crate::client) fn message_uuid(&self) -> &str {
        &self.message_uuid
    }
}

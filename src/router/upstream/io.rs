//! What goes into the relay and what comes out of it.

use std::sync::Arc;

use fau3_election::ServerEntry;

use crate::router::{Answer, MainNode};
use crate::wire::{ClientId, Present, Record, RoomId, Uuid};

/// One connection to the main server, opened in the name of a client, for as
/// long as it lasts. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpConn(pub u64);

/// What the main server of the configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// A server that speaks FAU3VOM-D only, as it exists today: each client's
    /// session is carried to it.
    Legacy,
    /// A fau3 node: it is a router of the mesh, and hears all there.
    Node,
}

/// All that can happen between the router and the main server.
#[derive(Debug)]
pub enum UpstreamInput {
    /// The configuration says what there is; `None`: no main server. Said
    /// before another server of the same kind, too.
    Configure(Option<ServerKind>),
    /// Who the main server is among routers; `None`: it is none of them.
    Node(Option<MainNode>),
    /// Whether this router reaches it, judged and damped; `None`: this router
    /// has stopped looking.
    Reach(Option<bool>),
    /// The ExtraServers list that it has given, highest priority first.
    List(Vec<ServerEntry>),
    /// A connection asked for with [`UpstreamOutput::Open`] stands.
    Up {
        /// Which one.
        conn: UpConn,
    },
    /// It is gone, or never came to stand; also the answer to
    /// [`UpstreamOutput::Close`] and [`UpstreamOutput::Abort`].
    Down {
        /// Which one.
        conn: UpConn,
        /// The server has ended it, or answered the close: it knows that it is
        /// gone. Else it may still take it for one.
        clean: bool,
    },
    /// A frame came in.
    Says {
        /// On which connection.
        conn: UpConn,
        /// What it says.
        message: FromServer,
    },
    /// The answer to [`UpstreamOutput::Knock`].
    Knocked {
        /// The server's machine has answered within a second.
        is_open: bool,
    },
    /// All frames sent so far have been handed to the kernel, and the server has answered
    /// a WebSocket ping ([`UpstreamOutput::Probe`]) behind them.
    Pong {
        /// On which connection.
        conn: UpConn,
    },
}

/// What a legacy server says, as far as it matters. Texts are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromServer {
    /// Is the client there?
    Ping {
        /// To be echoed.
        message_uuid: Box<str>,
    },
    /// The answer to something that was sent.
    Confirm {
        /// What it answers.
        message_uuid: Box<str>,
        /// Whether that was done.
        answer: Answer,
    },
    /// Who is connected there.
    Monitor {
        /// To be echoed.
        message_uuid: Box<str>,
        /// All of them, this router's own included; those with an invalid id are left out.
        clients: Vec<Present>,
    },
    /// Voice messages, any number.
    Playlist {
        /// To be echoed.
        message_uuid: Box<str>,
        /// Who spoke, and what. Those with an invalid id, or nothing in them, are left out.
        records: Vec<(ClientId, Box<[u8]>)>,
    },
    /// Live audio, marks included.
    Stream(Arc<[u8]>),
}

/// All that is asked for towards the main server.
#[derive(Debug)]
pub enum UpstreamOutput {
    /// Connect to the main server as this client.
    Open {
        /// The connection's name from now on.
        conn: UpConn,
        /// Goes into `fau3-client-id`.
        client_id: ClientId,
    },
    /// Say goodbye and end the connection; abort it if that is not answered within
    /// a second. Answered with [`UpstreamInput::Down`].
    Close {
        /// Which one.
        conn: UpConn,
    },
    /// Reset the connection (RST): a server that can be reached knows at once that it
    /// is gone, whatever still lies in queues. Answered with [`UpstreamInput::Down`].
    Abort {
        /// Which one.
        conn: UpConn,
    },
    /// Try whether the server's machine is reached from here: by a connection that is closed
    /// again without a word. Answered with [`UpstreamInput::Knocked`].
    Knock,
    /// Send a frame.
    Send {
        /// On which connection.
        conn: UpConn,
        /// What.
        frame: ToServer,
    },
    /// Send a WebSocket ping behind all frames sent before, and answer with
    /// [`UpstreamInput::Pong`].
    Probe {
        /// On which connection.
        conn: UpConn,
    },
}

/// A frame for the main server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToServer {
    /// The client's room and what it wants to hear of.
    Subscribe {
        /// Fresh for each.
        message_uuid: Uuid,
        /// Its room.
        room: RoomId,
        /// Period of Monitor messages in seconds; 0: none.
        monitor_period_s: u32,
        /// Period of Ping messages in seconds; 0: none.
        ping_period_s: u32,
    },
    /// What the client said, with its MessageUuid.
    Propogate(Arc<Record>),
    /// The answer to a message.
    Confirm {
        /// The message's own.
        message_uuid: Box<str>,
        /// What became of it.
        answer: Answer,
    },
    /// Live audio, marks included: at once or not at all.
    Stream(Arc<[u8]>),
}

use super::main_node::MainEvent;
use super::server::ServerEvent;
use crate::engine::NodeSet;

/// What waits in the queue. `boot` tells a router's lives apart, so that
/// nothing meant for one reaches the next; connections, lines and clients are numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A beacon comes to some routers.
    Beacon { from: u8, to: NodeSet, letter: u32 },
    /// A router's deadline.
    Wake { node: u8, boot: u32 },
    /// Flash has the first of what a router is writing.
    Written { node: u8, boot: u32 },
    /// The disk has the first of what a router is storing.
    Stored { node: u8, boot: u32 },
    /// A fault may begin, turn or end.
    Fault { index: u16 },
    /// A router's power comes on.
    Start { node: u8 },
    /// A router that said goodbye ends.
    Exit { node: u8, boot: u32 },
    /// Two routers try to connect.
    Dial { a: u8, b: u8 },
    /// The oldest frame on its way from this end of a connection has come.
    Frame { connection: u32, from: u8 },
    /// This end of a connection learns that the other one is gone.
    Closed { connection: u32, end: u8 },
    /// This end of a connection has had no answer for too long, if still so.
    GiveUp { connection: u32, end: u8, quiet: u32 },
    /// The oldest thing on its way from a device to its router has come.
    ToRouter { line: u32 },
    /// The oldest thing on its way from a router to a device has come.
    ToDevice { line: u32 },
    /// A frame has left the router's socket buffer.
    Left { line: u32, frame: u32 },
    /// A client notices that its line is dead.
    Notice { line: u32 },
    /// A client does something of its own accord.
    Act { client: u8 },
    /// A client sends again what is unconfirmed.
    Resend { client: u8, turn: u32 },
    /// A client connects to some router.
    Attach { client: u8, turn: u32 },
    /// Something of the main server's.
    Server(ServerEvent),
    /// Something of the main server's.
    Main(MainEvent),
    /// Is all as it must be in the end?
    Look,
}

use crate::engine::NodeSet;

/// What waits in the queue. Nodes are numbers below 64; `boot` tells a node's
/// lives apart, so that nothing meant for one reaches the next.
///
/// The tag takes a whole word, so that events are copied in whole words: a
/// read of bytes that two writes have just put together has to wait for both.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(crate) enum Event {
    /// A datagram comes to some nodes.
    Deliver { from: u8, to: NodeSet, letter: u32 },
    /// A router's deadline.
    Wake { node: u8, boot: u32 },
    /// Flash has the first of what a router is writing.
    Written { node: u8, boot: u32 },
    /// A fault may begin, turn or end.
    Fault { index: u16 },
    /// Somebody says extreme numbers, as a fault has it.
    Lie { fault: u16 },
    /// A router's power comes on.
    Start { node: u8 },
    /// Two routers try to connect.
    Dial { a: u8, b: u8 },
    /// The other side of a connection has gone.
    Closed { node: u8, boot: u32, peer: u8 },
    /// A router's check of the main server has an answer.
    Checked { node: u8, boot: u32 },
    /// A router's fetch of the main server's list has an answer.
    Fetched { node: u8, boot: u32 },
    /// People changed this router's UCI file.
    Configured { node: u8, fault: u16 },
}

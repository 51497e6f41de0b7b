//! Who has come to the wrong door, and what is said to it: every door of a router
//! knows these, whatever protocol it speaks.

/// The header by which a router says that it connects for its client. Servers as they exist today
/// know nothing of it; routers of fau3 let nobody in who sends it: each would take its own
/// clients over, and relay them on.
pub const RELAY_HEADER: &str = "fau3-relay";
/// What they answer.
pub const NO_SERVER_OF_ROUTERS: &str =
    "this is a router that runs fau3: as a main server it is named fau3://HOST:8902, by the port of its mesh";
/// What a client is told at the port of the mesh.
pub const NO_DOOR_FOR_CLIENTS: &str = "routers meet at this port (mesh.listen); clients connect to another one (clients.listen), 8901 by default";

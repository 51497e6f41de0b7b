//! HTTP/1 as far as a router needs it, which serves short answers, upgrades to
//! WebSocket and fetches a list: heads are read by `httparse`. A whole server and client
//! would be a twentieth of a router's package, and spell fields in small letters, which
//! some devices do not know.

pub(crate) mod fetched;
mod served;
pub(crate) mod upgrade;

pub(crate) use served::{Answer, Head, read_head, say_last};

//! The main server, as the shell sees it: whether it is there, its
//! ExtraServers list, and clients' connections to one that speaks only FAU3VOM-D.
//!
//! What is said on those connections and when is the router's affair
//! (`router::upstream`), and who leads is the election's: nothing here knows rooms, records or
//! other routers. `watch` judges and is pure; all else is sockets.

#[cfg(feature = "net")]
#[cfg(feature = "net")]
mod list;
#[cfg(feature = "net")]
mod report;
#[cfg(feature = "net")]
mod says;
#[cfg(feature = "net")]
mod session;
#[cfg(feature = "net")]
mod side;
#[cfg(feature = "net")]
mod target;
pub mod watch;
#[cfg(feature = "net")]
mod watcher;

#[cfg(feature = "net")]
pub use report::{ListReport, WatchReport};
#[cfg(feature = "net")]
pub use side::Upstream;

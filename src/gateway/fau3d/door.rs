//! What the connections of this door share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::handshake;
use super::tails::Tails;
use super::unfinished::Unfinished;
use crate::gateway::door::{Attending, CROWDED, Door, Guest};
use crate::http::Answer;
use crate::wire::fau3d::{ExtraServer, extra_servers_list};

/// What `GET /fau3vom/GetExtraServersList` is answered. Clones show the same.
#[derive(Clone)]
pub struct ExtraServers(Arc<Mutex<String>>);

impl Default for ExtraServers {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(extra_servers_list(0, &[]))))
    }
}

impl ExtraServers {
    /// Answers this list from now on, highest priority first.
    pub fn set(&self, version: u64, servers: &[ExtraServer]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = extra_servers_list(version, servers);
    }

    pub(super) fn body(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The door of FAU3VOM-D.
#[derive(Default)]
pub struct Fau3d {
    pub(super) servers: ExtraServers,
    pub(super) tails: Arc<Tails>,
    pub(super) unfinished: Arc<Unfinished>,
}

impl Fau3d {
    /// One that tells of these servers.
    #[must_use]
    pub fn new(servers: ExtraServers) -> Self {
        Self { servers, ..Self::default() }
    }
}

impl Door for Fau3d {
    fn url(&self, address: SocketAddr) -> String {
        format!("ws://{address}")
    }

    fn crowded(&self) -> Vec<u8> {
        Answer::line(503, CROWDED).with("Retry-After", "10").print(true, true)
    }

    fn attend(self: Arc<Self>, guest: Guest) -> Attending {
        Box::pin(handshake::attend(self, guest))
    }
}

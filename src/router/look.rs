//! What checks may look at and nobody else needs: the simulator holds one
//! router against the others, and all of them against what clients were told.

use super::Router;
use super::session::{SavedSession, Session};
use crate::wire::fau3e::Holding;
use crate::wire::{ClientId, RecordId};

impl Router {
    /// Whether this record is held here, on its way to the disk included.
    #[must_use]
    pub fn holds(&self, id: &RecordId) -> bool {
        self.origins.position(id).is_some()
    }

    /// What is held of every origin, as other routers are told.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        self.origins.holdings(None)
    }

    /// What is known of a client, wherever it is connected.
    #[must_use]
    pub fn session(&self, client_id: &ClientId) -> Option<SavedSession> {
        let key = self.by_client.get(client_id)?;
        Some(self.sessions[*key].saved())
    }

    /// All sessions, by client.
    pub fn sessions(&self) -> impl Iterator<Item = SavedSession> + '_ {
        self.by_client.values().map(|key| Session::saved(&self.sessions[*key]))
    }
}

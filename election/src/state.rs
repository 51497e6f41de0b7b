//! What must survive the loss of power, small enough for one file.

use crate::list::ServerList;

/// A router's memory across its lives. A lost file is `SavedState::default()`:
/// nothing breaks, since the random half of an incarnation is always new.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SavedState {
    /// Counter of the latest incarnation; the next life takes one more.
    pub counter: u32,
    /// No epoch of this router had a higher number.
    pub epoch_ceiling: u64,
    /// The newest ExtraServers list known.
    pub list: ServerList,
}

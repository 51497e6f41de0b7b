//! Live audio over the uplink, and how long it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use fau3_election::Time;

use super::World;
use crate::mesh::connections::RESUME_US_MAX;

pub(in crate::mesh) const LIVE: &str = "live";

/// From a device to another one over the longest uplink, the next answer of a backlog
/// and what else is said before it on the slowest one.
const UNDER_WAY_MAX: Duration = Duration::from_millis(300);

/// After a cut, a connection that stands goes on within this time.
const RESUMES_WITHIN: Duration = Duration::from_micros(RESUME_US_MAX);

/// When each piece of live audio was said while the segment's own connections were clear, and
/// at which router: by speaker and count.
pub(super) type Spoken = BTreeMap<(u8, u32), (Time, usize)>;

impl World {
    /// A client says a piece of live audio.
    pub(in crate::mesh) fn note_spoken(&mut self, client: usize, count: u32) {
        let Some(line) = self.devices[client].line else { return };
        let node = self.lines[line as usize].node;
        let is_clear = self.is_clear();
        if let Some(main) = self.main.as_mut().filter(|_| is_clear) {
            main.spoken.insert((client as u8, count), (self.now, node));
        }
    }

    /// No connection of the segment's own has yet to carry what was said while it was slow.
    fn is_clear(&self) -> bool {
        let connections = self.standing.iter().map(|at| &self.connections[*at as usize]);
        let mut own = connections.filter(|connection| !connection.is_uplink());
        own.all(|connection| connection.behind(self.now).is_none())
    }

    /// Another one hears it: over a sound uplink no backlog goes before it.
    pub(in crate::mesh) fn must_be_live(&mut self, client: usize, line: u32, heard: (u8, u32)) {
        let Some(main) = &self.main else { return };
        let Some((at, from)) = main.spoken.get(&heard).copied() else { return };
        let node = self.lines[line as usize].node;
        let is_over_uplink = (from == main.setup.node) != (node == main.setup.node);
        let is_slowed = main.setup.faults.iter().any(|fault| fault.kind.is_slowing());
        // What TCP holds back after a cut comes a while after it.
        let is_resumed = self.has_called_since_then() || self.is_all_well(at - RESUMES_WITHIN);
        let is_sound = !is_slowed && is_resumed && self.is_all_well(at) && self.is_segment_calm(at);
        if !is_over_uplink || !is_sound || self.is_slow_device(client) {
            return;
        }
        self.tally.main_live += 1;
        let took = self.now.since(at);
        if took > UNDER_WAY_MAX {
            let speaker = heard.0;
            self.broken(LIVE, format!("c{client} hears c{speaker} live after {took:?}"));
        }
    }
}

use fau3_election::{Coordinator, Counters, Role, RouterId, View, Warning};

/// What happened how often in a run, or in all runs of a sweep: proof that
/// the faults bring about what the invariants are there for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Moments at which a second router began to lead somewhere.
    pub two_leaders: u64,
    /// Changes of role.
    pub role_changes: u64,
    /// Times at which a router began to lead.
    pub take_overs: u64,
    /// Times at which a leader gave up for another router: hand-backs.
    pub hand_backs: u64,
    /// Times at which a leader gave up for the main server.
    pub back_to_default: u64,
    /// Times at which a router found itself held down.
    pub held: u64,
    /// Lists with one number and two contents, as routers warned of.
    pub list_conflicts: u64,
    /// Cloned identities, as routers warned of.
    pub clones: u64,
    /// Two routers with one name, as routers warned of.
    pub names_twice: u64,
    /// Writes of a superseded leader that all members refused.
    pub stale_tries_refused: u64,
    /// Records sent on for others.
    pub relayed_records: u64,
    /// Heartbeats sent on for others.
    pub relayed_heartbeats: u64,
    /// Questions about silent routers.
    pub probes: u64,
    /// Flaps that were held against a router.
    pub hold_downs: u64,
    /// Writes to flash.
    pub writes: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
}

impl Tally {
    pub(crate) fn changed(&mut self, before: &View, after: &View, me: RouterId) {
        if before.role != after.role {
            self.role_changes += 1;
            self.take_overs += u64::from(after.role == Role::Server);
            self.back_to_default += u64::from(before.leads() && after.role == Role::Default);
            let follows = matches!(after.coordinator, Coordinator::Router(other) if other != me);
            self.hand_backs += u64::from(before.leads() && after.role == Role::Follower && follows);
        }
        self.held += u64::from(after.held && !before.held);
    }

    pub(crate) fn warned(&mut self, warning: &Warning) {
        match warning {
            Warning::ClonedIdentity => self.clones += 1,
            Warning::ListConflict { .. } => self.list_conflicts += 1,
            Warning::NameTwice(..) => self.names_twice += 1,
            Warning::IdentityHeard | Warning::TableFull(_) | Warning::StaleEpoch(_) => {}
        }
    }

    pub(crate) fn add_counters(&mut self, counters: &Counters) {
        self.relayed_records += counters.relayed_records;
        self.relayed_heartbeats += counters.relayed_heartbeats;
        self.probes += counters.probes;
        self.hold_downs += counters.hold_downs;
        self.heartbeats += counters.heartbeats;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (sum, (_, more)) in self.fields_mut().into_iter().zip(other.fields()) {
            *sum += more;
        }
    }

    /// Each count with its name.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, u64); 16] {
        [
            ("two leaders at once", self.two_leaders),
            ("role changes", self.role_changes),
            ("take-overs", self.take_overs),
            ("hand-backs", self.hand_backs),
            ("back to the main server", self.back_to_default),
            ("held down", self.held),
            ("list conflicts", self.list_conflicts),
            ("cloned identities", self.clones),
            ("names twice", self.names_twice),
            ("stale writes refused", self.stale_tries_refused),
            ("relayed records", self.relayed_records),
            ("relayed heartbeats", self.relayed_heartbeats),
            ("probes", self.probes),
            ("hold-downs", self.hold_downs),
            ("flash writes", self.writes),
            ("heartbeats", self.heartbeats),
        ]
    }

    fn fields_mut(&mut self) -> [&mut u64; 16] {
        [
            &mut self.two_leaders,
            &mut self.role_changes,
            &mut self.take_overs,
            &mut self.hand_backs,
            &mut self.back_to_default,
            &mut self.held,
            &mut self.list_conflicts,
            &mut self.clones,
            &mut self.names_twice,
            &mut self.stale_tries_refused,
            &mut self.relayed_records,
            &mut self.relayed_heartbeats,
            &mut self.probes,
            &mut self.hold_downs,
            &mut self.writes,
            &mut self.heartbeats,
        ]
    }

    /// What a sweep must have brought about and did not: "it really happens".
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        // Role changes and heartbeats are no feats; all the others must occur.
        self.fields().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}

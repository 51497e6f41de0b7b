//! Which fault lasted from when to when, and what that explains.

use std::time::Duration;

use crate::faults::Fault;

/// After a fault's end, until connections stand again and what was missed has come.
const AFTERMATH: Duration = Duration::from_secs(2);

/// A router hears that it is not alone any more with the next heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// All faults of a run, one after the other; times since the talking began.
#[derive(Default)]
pub(crate) struct History(Vec<(Duration, Option<Duration>, Fault)>);

impl History {
    pub(crate) fn begins(&mut self, at: Duration, fault: Fault) {
        self.0.push((at, None, fault));
    }

    pub(crate) fn ends(&mut self, at: Duration) {
        if let Some((_, end, _)) = self.0.last_mut() {
            *end = Some(at);
        }
    }

    /// Whether a fault kept this router from all others at some time of that span, or until just before it.
    pub(crate) fn was_isolated(&self, router: usize, from: Duration, to: Duration, routers: usize) -> bool {
        let overlaps = |begin: Duration, end: Option<Duration>| {
            begin <= to && end.is_none_or(|end| from <= end + HEARTBEAT)
        };
        self.0.iter().any(|(begin, end, fault)| overlaps(*begin, *end) && fault.isolates(router, routers))
    }

    /// Whether a fault stood between two routers at some time of that span, or just before it.
    pub(crate) fn were_parted(&self, a: usize, b: usize, from: Duration, to: Duration) -> bool {
        let overlaps = |begin: Duration, end: Option<Duration>| {
            begin <= to && end.is_none_or(|end| from <= end + AFTERMATH)
        };
        self.0.iter().any(|(begin, end, fault)| overlaps(*begin, *end) && fault.parts(a, b))
    }

    /// What happened last before that time.
    pub(crate) fn before(&self, at: Duration) -> String {
        let number = self.0.partition_point(|(from, ..)| *from <= at);
        let Some((from, end, fault)) = self.0[..number].last() else { return "before all faults".into() };
        let since = |moment: Duration| at.saturating_sub(moment);
        match end.filter(|end| *end <= at) {
            Some(end) => format!("{:.2?} after the end of: {fault}", since(end)),
            None => format!("{:.2?} after: {fault}", since(*from)),
        }
    }
}

//! What a run comes to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

/// Records named in the end of each kind that went wrong.
const LINES_MAX: usize = 30;

/// What routers have counted in all their lives.
#[derive(Default)]
pub(crate) struct Counters {
    expired: u64,
}

/// A record that its router confirmed though no other one held it.
pub(crate) struct Single {
    pub(crate) text: String,
    pub(crate) router: usize,
    /// When it came, and when it was confirmed.
    pub(crate) sent: Duration,
    pub(crate) at: Duration,
    /// What the router said.
    pub(crate) why: String,
    /// What had happened then.
    pub(crate) after: String,
    /// A fault kept that router from all others.
    pub(crate) is_isolated: bool,
}

/// What it comes to.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) said: usize,
    pub(crate) confirmed: usize,
    pub(crate) deliveries: usize,
    /// What, and where whoever has not heard it was.
    pub(crate) lost: Vec<(String, String)>,
    pub(crate) doubled: Vec<String>,
    pub(crate) astray: usize,
    pub(crate) late_across_a_cut: usize,
    pub(crate) late: Vec<String>,
    pub(crate) roams: usize,
}

impl Counters {
    /// A router's status at the end of a life, or now.
    pub(crate) fn add(&mut self, status: &Value) {
        self.expired += status["records"]["expired"].as_u64().expect("a number");
    }
}

impl Summary {
    /// Prints a table; whether all is as it shall be.
    pub(crate) fn print(&self, counters: &Counters, singles: &[Single]) -> bool {
        let single: BTreeSet<&str> = singles.iter().map(|single| single.text.as_str()).collect();
        let is_single = |(text, _): &&(String, String)| single.contains(text.as_str());
        let singles_lost = self.lost.iter().filter(is_single).count();
        let lost = self.lost.len() - singles_lost;
        let isolated = singles.iter().filter(|single| single.is_isolated).count();
        let in_1_000 = self.confirmed / 1_000;
        let rows = [
            ("records said", self.said, true),
            ("records confirmed", self.confirmed, self.confirmed == self.said && self.said > 0),
            ("records heard, each listener counted", self.deliveries, self.deliveries > 0),
            ("confirmed and then lost", lost, lost == 0),
            ("confirmed by a single router", singles.len(), true),
            ("  which a fault had isolated", isolated, true),
            ("  otherwise", singles.len() - isolated, true),
            // What only one router held when it was confirmed may have gone with that one.
            ("  and then lost", singles_lost, singles_lost <= in_1_000),
            ("heard twice", self.doubled.len(), self.doubled.is_empty()),
            ("heard by its sender, or in another room", self.astray, self.astray == 0),
            ("heard out of order across a cut", self.late_across_a_cut, true),
            ("heard out of order otherwise", self.late.len(), true),
            ("records dropped for age or bytes", counters.expired as usize, counters.expired == 0),
            ("clients that went elsewhere", self.roams, true),
        ];
        for (what, count, is_right) in rows {
            println!("{what:<42}{count:>8}{}", if is_right { "" } else { "  WRONG" });
        }
        let others = singles.iter().filter(|single| !single.is_isolated).map(Single::line);
        print_some("single", others);
        print_some("lost", self.lost.iter().map(|(_, line)| line.clone()));
        print_some("twice", self.doubled.iter().cloned());
        print_some("late", self.late.iter().cloned());
        rows.iter().all(|(_, _, is_right)| *is_right)
    }
}

impl Single {
    fn line(&self) -> String {
        let Self { text, router, sent, at, why, after, .. } = self;
        format!("{text}, sent to router {router} after {sent:.2?}, confirmed after {at:.2?} ({after}): {why}")
    }
}

fn print_some(what: &str, lines: impl Iterator<Item = String>) {
    lines.take(LINES_MAX).for_each(|line| println!("{what}: {line}"));
}

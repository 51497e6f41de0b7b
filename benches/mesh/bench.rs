//! What every work needs: who is measured, how much, and both programs side by side.

use std::thread;

use crate::{
    common::{
        dialect::Result,
        table::{Figure, Reach, Row},
        tally::median,
    },
    program::Program,
};

/// How much of each work is done.
#[derive(Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) rounds: u32,
    /// With loss, each share of it.
    pub(crate) loss_minutes: f64,
    /// Of a record's sender, each round.
    pub(crate) records: u32,
    /// Of a stream's sender, each round.
    pub(crate) frames: u32,
    /// That a router which was away lacks.
    pub(crate) backlog: u32,
    /// For which a mesh of twelve is left alone, and then watched.
    pub(crate) idle_s: [u64; 2],
}

impl Amounts {
    /// What the figures are stated for; ten rounds of 300 frames are a minute.
    pub(crate) const FULL: Amounts = Amounts {
        rounds: 10,
        loss_minutes: 2.0,
        records: 200,
        frames: 300,
        backlog: 1_000,
        idle_s: [30, 60],
    };
    /// Whether everything still works; its figures say little.
    pub(crate) const QUICK: Amounts =
        Amounts { rounds: 1, loss_minutes: 0.1, records: 25, frames: 50, backlog: 100, idle_s: [2, 3] };
}

/// Who is measured, and how much.
pub(crate) struct Bench {
    pub(crate) ours: Program,
    pub(crate) peer: Option<Program>,
    pub(crate) amounts: Amounts,
}

/// A value of ours, and one of the peer's where there is one.
pub(crate) struct Pair<T> {
    pub(crate) ours: T,
    pub(crate) peer: Option<T>,
}

impl<T> Pair<T> {
    pub(crate) fn map<U>(&self, value: impl Fn(&T) -> U) -> Pair<U> {
        Pair { ours: value(&self.ours), peer: self.peer.as_ref().map(value) }
    }
}

impl Pair<f64> {
    pub(crate) fn row(self, work: &str, unit: &'static str, reach: Reach) -> Row {
        Row::Figure(Figure { work: work.to_owned(), unit, ours: self.ours, peer: self.peer, reach })
    }
}

impl Pair<Vec<f64>> {
    /// The median, and the most below it.
    pub(crate) fn rows(&self, work: &str, unit: &'static str, median_max: f64, max: f64) -> Vec<Row> {
        let most = |values: &Vec<f64>| values.iter().copied().fold(0.0, f64::max);
        vec![
            self.map(|values| median(values.iter().copied())).row(work, unit, Reach::AtMost(median_max)),
            self.map(most).row("  at most", unit, Reach::AtMost(max)),
        ]
    }
}

impl Bench {
    /// Does `work` with both programs at the same time, each on networks of its own, `rounds` times: what is measured
    /// here are waits, and both wait under the same load. A peer that fails drops out.
    pub(crate) fn beside<T: Send>(
        &self,
        rounds: u32,
        work: impl Fn(&Program, u32) -> Result<T> + Sync,
    ) -> Result<Pair<Vec<T>>> {
        let all = |program: &Program| -> std::result::Result<Vec<T>, String> {
            (0..rounds).map(|round| work(program, round).map_err(|error| error.to_string())).collect()
        };
        let (ours, peer) = thread::scope(|scope| {
            let peer = self.peer.as_ref().map(|program| scope.spawn(|| all(program)));
            let ours = all(&self.ours);
            (ours, peer.map(|peer| peer.join().unwrap_or_else(|_| Err("it panicked".to_owned()))))
        });
        let peer = peer.and_then(|values| {
            values.map_err(|error| eprintln!("*** The peer failed, so there is none here: {error}")).ok()
        });
        Ok(Pair { ours: ours?, peer })
    }
}

/// Says how a work goes on.
pub(crate) fn progress(program: &Program, text: &str) {
    eprintln!("{:>12}  {text}", program.name());
}

//! What the election reaches in the model, beside what it is to reach.

mod large;
mod loss;
mod moments;

use std::time::Duration;

use fau3_election::Config;

pub use large::{Large, grid, mesh};
pub use loss::take_overs_per_hour;
pub use moments::{closes, dies, hands_back, heals, leaves};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is measured.
    pub what: String,
    /// What it is to reach.
    pub target: String,
    /// What it reaches.
    pub measured: String,
    /// Whether that is enough.
    pub good: bool,
}

/// Median and maximum of some times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    /// As many were shorter as longer.
    pub median: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    /// Of these times; zero if there are none.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
            max: times.last().copied().unwrap_or_default(),
        }
    }
}

/// Trials of each moment: enough for the slowest in a thousand.
const TRIALS: u64 = 1_000;

/// All rows that need no stopwatch: the same on every machine. `done` hears
/// each as soon as it is there.
pub fn model(config: &Config, mut done: impl FnMut(&Row)) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        done(&row);
        rows.push(row);
    };
    let ms = Duration::from_millis;
    add(row("fail-over, router dies silently", dies(config, TRIALS), ms(1_800), ms(2_200)));
    add(row("fail-over, connection closed", closes(config, TRIALS), ms(200), ms(400)));
    add(row("fail-over, router leaves", leaves(config, TRIALS), ms(100), ms(200)));
    add(row("two leaders after a heal", heals(config, TRIALS), ms(1_000), ms(1_000)));
    add(row("first hand-back, from the start", hands_back(config, TRIALS), ms(3_000), ms(3_000)));
    for (loss, hours, per_hour_milli, target) in
        [(10, 200, 0, "0"), (20, 200, 0, "0"), (30, 200, 100, "under 0.1"), (50, 50, 10_000, "under 10")]
    {
        let count = take_overs_per_hour(config, loss, hours);
        let milli = count * 1_000 / hours;
        add(Row {
            what: format!("false take-overs an hour, {loss} % loss"),
            target: target.into(),
            measured: format!("{}.{:03} ({count} in {hours} h)", milli / 1_000, milli % 1_000),
            good: if per_hour_milli == 0 { count == 0 } else { milli < per_hour_milli },
        });
    }
    large::rows(config).into_iter().for_each(&mut add);
    rows
}

fn row(what: &str, spread: Spread, median: Duration, max: Duration) -> Row {
    Row {
        what: what.into(),
        target: format!("median {}, max {}", seconds(median), seconds(max)),
        measured: format!("median {}, max {}", seconds(spread.median), seconds(spread.max)),
        good: spread.median <= median && spread.max <= max,
    }
}

/// `1.234 s`.
#[must_use]
pub fn seconds(span: Duration) -> String {
    format!("{}.{:03} s", span.as_secs(), span.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let ms = Duration::from_millis;
        assert_eq!(Spread::of(vec![ms(9), ms(1), ms(2)]), Spread { median: ms(2), max: ms(9) });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}

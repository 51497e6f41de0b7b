//! The one table that the bench prints: work, ours, peer, ratio, reach, met.

use std::fmt::Write;

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    /// Ours is at most so much, in the row's unit.
    AtMost(f64),
    /// Ours is at least so much, in the row's unit.
    AtLeast(f64),
    /// Ours is at least so many times the peer's.
    TimesPeerAtLeast(f64),
    /// Ours is at most so many times the peer's.
    TimesPeerAtMost(f64),
    /// Shown only to understand the others.
    Informative,
}

/// One figure, ours and the peer's.
pub(crate) struct Figure {
    pub(crate) work: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// `None`: there is no peer, or it has no such figure.
    pub(crate) peer: Option<f64>,
    pub(crate) reach: Reach,
}

/// A line of the table.
pub(crate) enum Row {
    Figure(Figure),
    /// Counts of faults, which must all be 0; the texts are made by the caller.
    Faults {
        work: String,
        ours: String,
        peer: Option<String>,
        are_none: bool,
    },
    /// What could not be measured, and why.
    Failed {
        work: String,
        reason: String,
    },
}

impl Row {
    /// Lost, doubled or failed: no figure is worth anything beside it.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Row::Faults { are_none: false, .. } | Row::Failed { .. })
    }

    fn cells(&self) -> [String; 6] {
        match self {
            Row::Figure(figure) => figure.cells(),
            Row::Faults { work, ours, peer, are_none } => [
                work.clone(),
                ours.clone(),
                peer.clone().unwrap_or_else(none),
                none(),
                "all 0".into(),
                verdict(Some(*are_none)),
            ],
            Row::Failed { work, .. } => {
                [work.clone(), "failed".into(), none(), none(), none(), verdict(Some(false))]
            }
        }
    }
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.peer.filter(|peer| *peer > 0.0).map(|peer| self.ours / peer)
    }

    /// `None`: it cannot be told, or nothing is asked.
    fn is_met(&self) -> Option<bool> {
        match self.reach {
            Reach::AtMost(most) => Some(self.ours <= most),
            Reach::AtLeast(least) => Some(self.ours >= least),
            Reach::TimesPeerAtLeast(times) => self.ratio().map(|ratio| ratio >= times),
            Reach::TimesPeerAtMost(times) => self.ratio().map(|ratio| ratio <= times),
            Reach::Informative => None,
        }
    }

    fn cells(&self) -> [String; 6] {
        let with_unit = |value: f64| format!("{} {}", number(value), self.unit).trim_end().to_owned();
        let reach = match self.reach {
            Reach::AtMost(most) => format!("<= {}", with_unit(most)),
            Reach::AtLeast(least) => format!(">= {}", with_unit(least)),
            Reach::TimesPeerAtLeast(times) => format!(">= {times:.2} x peer"),
            Reach::TimesPeerAtMost(times) => format!("<= {times:.2} x peer"),
            Reach::Informative => none(),
        };
        let met = match (self.is_met(), self.reach) {
            (None, Reach::Informative) => none(),
            (met, _) => verdict(met),
        };
        [
            self.work.clone(),
            with_unit(self.ours),
            self.peer.map_or_else(none, with_unit),
            self.ratio().map_or_else(none, |ratio| format!("{ratio:.2}")),
            reach,
            met,
        ]
    }
}

/// The table as text, the reasons of what failed below it.
pub(crate) fn render(peer: &str, rows: &[Row]) -> String {
    let head = ["work", "ours", peer, "ratio", "reach", "met?"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        let [work, ours, peer, ratio, reach, met] = line;
        let [w0, w1, w2, w3, w4, w5] = widths;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| {work:w0$} | {ours:>w1$} | {peer:>w2$} | {ratio:>w3$} | {reach:>w4$} | {met:w5$} |"
        );
        if i == 0 {
            let rules = widths.map(|width| "-".repeat(width + 2));
            let _ = writeln!(text, "|{}|", rules.join("|"));
        }
    }
    for row in rows {
        if let Row::Failed { work, reason } = row {
            let _ = writeln!(text, "FAILED: {work}: {reason}");
        }
    }
    text
}

fn none() -> String {
    "-".to_owned()
}

fn verdict(met: Option<bool>) -> String {
    match met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "no peer",
    }
    .to_owned()
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => count(value.round() as u64),
    }
}

/// A whole number, thousands set apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

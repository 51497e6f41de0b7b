//! The table that the bench prints.

use std::fmt::Write as _;

/// A line of it.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) ours: String,
    pub(crate) peer: String,
    pub(crate) reach: String,
    /// `None`: nothing is asked.
    pub(crate) met: Option<bool>,
    /// It must be met, on however busy a machine.
    pub(crate) is_vital: bool,
}

impl Row {
    /// A figure in seconds.
    pub(crate) fn seconds(work: &str, ours: f64, reach: Option<f64>) -> Self {
        Self {
            work: work.to_owned(),
            ours: format!("{ours:.3} s"),
            peer: "-".to_owned(),
            reach: reach.map_or("-".to_owned(), |reach| format!("<= {reach} s")),
            met: reach.map(|reach| ours <= reach),
            is_vital: false,
        }
    }

    /// A count that must not be over something.
    pub(crate) fn at_most(work: &str, ours: u64, most: u64) -> Self {
        Self {
            work: work.to_owned(),
            ours: ours.to_string(),
            peer: "-".to_owned(),
            reach: format!("<= {most}"),
            met: Some(ours <= most),
            is_vital: true,
        }
    }

    pub(crate) fn is_failure(&self) -> bool {
        self.is_vital && self.met == Some(false)
    }
}

pub(crate) fn render(rows: &[Row]) -> String {
    let head = ["work", "ours", "without a router", "reach", "met?"].map(str::to_owned);
    let cells = |row: &Row| {
        let met = row.met.map_or("-", |met| if met { "yes" } else { "NO" });
        [row.work.clone(), row.ours.clone(), row.peer.clone(), row.reach.clone(), met.to_owned()]
    };
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for (nth, line) in lines.iter().enumerate() {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} ")).collect();
        let _ = writeln!(text, "|{}|", cells.join("|"));
        if nth == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            let _ = writeln!(text, "|{}|", rules.join("|"));
        }
    }
    text
}

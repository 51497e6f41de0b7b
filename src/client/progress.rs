use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// The line is not written more often than this.
const REDRAW: Duration = Duration::from_millis(100);

/// One line at the bottom of a terminal that says how far things are. Where
/// standard error is no terminal nothing is written but the notices.
pub(super) struct Progress {
    terminal: bool,
    shown: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false, drawn: None }
    }

    /// Replaces the line.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        if !self.terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.shown = true;
        // Nobody to tell, if standard error is gone.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line());
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.drawn = None;
    }

    /// Says something that stays, on a line of its own.
    pub(super) fn notice(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

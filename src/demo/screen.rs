//! Where the demonstration is shown: a picture that is drawn again in place on
//! a terminal, else one line for each event, without any escape sequence.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::draw::{Line, Style, draw};
use super::stage::Stage;

/// The smallest terminal that the picture fits, in columns and rows.
const TERMINAL_MIN: (u16, u16) = (80, 24);
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const TO_HEAD: &str = "\x1b[2J\x1b[H";

/// Where to show it.
pub(super) enum Screen {
    Terminal(Picture),
    Lines,
}

/// The picture on a terminal.
#[derive(Default)]
pub(super) struct Picture {
    /// Lines that stand there now.
    lines: usize,
    /// Of the terminal when it was drawn.
    size: (u16, u16),
}

impl Screen {
    /// The picture, if standard output is a terminal that it fits.
    pub(super) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        match size() {
            Some((columns, rows)) if !dumb && columns >= TERMINAL_MIN.0 && rows >= TERMINAL_MIN.1 => {
                print(HIDE_CURSOR);
                Self::Terminal(Picture::default())
            }
            _ => Self::Lines,
        }
    }

    /// Says what happens: a line, where there is no picture that shows it.
    pub(super) fn tell(&self, elapsed: Duration, text: &str) {
        if let Self::Lines = self {
            print(&format!("{:>5.1} s  {text}\n", elapsed.as_secs_f64()));
        }
    }

    /// Brings the picture up to date.
    pub(super) fn show(&mut self, stage: &Stage) {
        if let Self::Terminal(picture) = self {
            let size = size().unwrap_or(picture.size);
            print(&picture.redraw(size, &draw(stage)));
        }
    }

    /// Says something that stays, below the picture, which is not drawn any
    /// more: from here on there are lines.
    pub(super) fn say(&mut self, text: &str) {
        *self = Self::Lines;
        print(&format!("{text}\n"));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Self::Terminal(_) = self {
            print(SHOW_CURSOR);
        }
    }
}

impl Picture {
    /// What brings the terminal from the last picture to this one.
    fn redraw(&mut self, size: (u16, u16), lines: &[Line]) -> String {
        let mut text = String::new();
        if self.lines > 0 && size != self.size {
            // Lines may have been broken anew: nobody knows where they are.
            text.push_str(TO_HEAD);
        } else if self.lines > 0 {
            let _ = write!(text, "\x1b[{}A\r", self.lines);
        }
        let (columns, rows) = (usize::from(size.0), usize::from(size.1));
        // The cursor stands below the last one.
        let lines = &lines[..lines.len().min(rows.saturating_sub(1))];
        for line in lines {
            paint(&mut text, line, columns.saturating_sub(1));
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        (self.lines, self.size) = (lines.len(), size);
        text
    }
}

/// Appends a line's first `columns` characters, with their styles.
fn paint(text: &mut String, line: &Line, columns: usize) {
    let mut left = columns;
    for (style, piece) in &line.0 {
        let piece: String = piece.chars().take(left).collect();
        left -= piece.chars().count();
        if !piece.is_empty() {
            let _ = write!(text, "\x1b[{}m{piece}\x1b[0m", code(*style));
        }
    }
}

/// Select Graphic Rendition (ECMA-48, 8.3.117).
const fn code(style: Style) -> &'static str {
    match style {
        Style::Plain => "0",
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Good => "32",
        Style::Leader => "1;32",
        Style::Bad => "1;31",
        Style::Waiting => "33",
    }
}

/// Columns and rows of standard output; `None` if it is no terminal.
fn size() -> Option<(u16, u16)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Whoever closed standard output has seen enough; the routers are ended all
/// the same.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|&text| Line(vec![(Style::Plain, text.to_owned())])).collect()
    }

    #[test]
    fn a_picture_is_drawn_over_the_one_before() {
        let mut picture = Picture::default();
        let first = picture.redraw((80, 24), &lines(&["one", "two"]));
        assert_eq!(first, "\x1b[0mone\x1b[0m\x1b[K\n\x1b[0mtwo\x1b[0m\x1b[K\n\x1b[J");
        assert!(picture.redraw((80, 24), &lines(&["three"])).starts_with("\x1b[2A\r"));
        assert!(picture.redraw((80, 24), &lines(&["four"])).starts_with("\x1b[1A\r"));
    }

    #[test]
    fn a_terminal_that_has_changed_is_drawn_from_its_head() {
        let mut picture = Picture::default();
        picture.redraw((80, 24), &lines(&["one"]));
        assert!(picture.redraw((60, 24), &lines(&["one"])).starts_with(TO_HEAD));
    }

    #[test]
    fn nothing_is_drawn_beyond_the_terminals_edges() {
        let mut picture = Picture::default();
        let drawn = picture.redraw((4, 3), &lines(&["■■■■■■", "b", "c", "d"]));
        assert!(drawn.contains("■■■\x1b[0m") && !drawn.contains("■■■■"), "{drawn:?}");
        assert_eq!(drawn.matches('\n').count(), 2, "the third row is the cursor's");
    }
}

//! The picture of a [`Stage`], as lines of styled text. Pure: it knows no
//! terminal.

use super::crowd::SPEAKER;
use super::stage::{Client, Life, Router, Stage};
use super::{ACTS, ROUTERS};

/// Characters between a router's borders.
const BOX_CHARS: usize = 22;
/// The latest messages of which a client's row shows each one.
const STRIP_MESSAGES: u64 = 30;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    /// All is well.
    Good,
    /// Whoever leads.
    Leader,
    /// Something is gone, lost or doubled.
    Bad,
    /// On its way.
    Waiting,
}

/// One line of the picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(Style, String)>);

impl Line {
    fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Without its styles.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// The whole picture: at most 23 lines of at most 79 characters, so that it
/// fits the smallest usual terminal.
pub(super) fn draw(stage: &Stage) -> Vec<Line> {
    let mut lines = vec![head(stage), Line::default()];
    lines.extend((0..ACTS).map(|act| act_line(stage, act)));
    lines.push(Line::default());
    lines.extend(routers(stage));
    lines.push(Line::default());
    let heading = format!("  {:<6} {:<10}{:>6}{:>6}{:>9}", "", "at", "heard", "lost", "doubled");
    lines.push(Line::default().with(Style::Dim, heading));
    lines.extend(stage.clients.iter().enumerate().map(|(at, client)| client_line(stage, at, client)));
    if !stage.caption.is_empty() {
        lines.push(Line::default());
        lines.push(Line::default().with(Style::Plain, format!("  {}", stage.caption)));
    }
    lines
}

fn head(stage: &Stage) -> Line {
    let title = "  fau3 demo: three routers, four clients, one of the routers dies";
    let clock = format!("{:.1} s", stage.elapsed.as_secs_f64());
    Line::default().with(Style::Bold, title).with(Style::Dim, format!("{clock:>12}"))
}

fn act_line(stage: &Stage, act: usize) -> Line {
    let (mark, mark_style, style) = match act.cmp(&stage.act) {
        std::cmp::Ordering::Less => ("✓", Style::Good, Style::Plain),
        std::cmp::Ordering::Equal => ("▸", Style::Leader, Style::Bold),
        std::cmp::Ordering::Greater => (" ", Style::Dim, Style::Dim),
    };
    let text = stage.act_text(act);
    Line::default().with(mark_style, format!("  {mark} ")).with(style, format!("{}  {text}", act + 1))
}

/// The routers, side by side.
fn routers(stage: &Stage) -> Vec<Line> {
    let boxes: [Vec<Line>; ROUTERS] = std::array::from_fn(|at| router_box(&stage.routers[at]));
    let rows = 0..boxes[0].len();
    let row = |row: usize| {
        let pieces = boxes.iter().flat_map(|lines| {
            std::iter::once((Style::Plain, "  ".to_owned())).chain(lines[row].0.iter().cloned())
        });
        Line(pieces.collect())
    };
    rows.map(row).collect()
}

/// The leader's border is heavy.
fn router_box(router: &Router) -> Vec<Line> {
    let leads = router.answer.as_ref().is_some_and(|answer| answer.leads());
    let style = match router.life {
        Life::Killed => Style::Bad,
        _ if leads => Style::Leader,
        _ => Style::Dim,
    };
    let [top_left, top_right, bottom_left, bottom_right, across, down] = if leads {
        ["┏", "┓", "┗", "┛", "━", "┃"]
    } else {
        ["┌", "┐", "└", "┘", "─", "│"]
    };
    let border = |left: &str, title: &str, right: &str| {
        let rest = across.repeat(BOX_CHARS - title.chars().count());
        Line::default().with(style, format!("{left}{title}{rest}{right}"))
    };
    let row = |row_style: Style, text: &str| {
        let text: String = text.chars().take(BOX_CHARS - 1).collect();
        let text = format!(" {text:<width$}", width = BOX_CHARS - 1);
        Line::default().with(style, down).with(row_style, text).with(style, down)
    };
    let mut lines = vec![border(top_left, &format!(" {} ", router.name), top_right)];
    lines.extend(router_rows(router).map(|(style, text)| row(style, &text)));
    lines.push(border(bottom_left, "", bottom_right));
    lines
}

/// Role, epoch, what it holds, and who is there.
fn router_rows(router: &Router) -> [(Style, String); 4] {
    let nothing = || (Style::Plain, String::new());
    let Some(answer) = &router.answer else {
        let (style, text) = match router.life {
            Life::Starting => (Style::Waiting, "starting"),
            Life::Up => (Style::Bad, "does not answer"),
            Life::Killed => (Style::Bad, "KILLED"),
        };
        return [(style, text.to_owned()), nothing(), nothing(), nothing()];
    };
    let role = match answer.leader() {
        _ if answer.leads() => (Style::Leader, "LEADS".to_owned()),
        "" => (Style::Waiting, "listens to others".to_owned()),
        leader => (Style::Plain, format!("follows {leader}")),
    };
    let epoch = if answer.epoch() == 0 { "-".to_owned() } else { answer.epoch().to_string() };
    [
        role,
        (Style::Plain, format!("epoch    {epoch}")),
        (Style::Plain, format!("records  {}", answer.records())),
        (Style::Bold, answer.clients().join(", ")),
    ]
}

fn client_line(stage: &Stage, at: usize, client: &Client) -> Line {
    let place = client.at.map_or_else(
        || (Style::Waiting, if client.failed.is_some() { "gave up" } else { "searching" }.to_owned()),
        |router| (Style::Plain, stage.routers[router].name.clone()),
    );
    let line = Line::default()
        .with(Style::Bold, format!("  {:<6} ", client.name))
        .with(place.0, format!("{:<10}", place.1));
    let line = if at == SPEAKER {
        line.with(Style::Plain, format!("said {}, stored {}", stage.said, stage.stored))
    } else {
        let tally = &client.tally;
        let count = |count: u64| if count == 0 { Style::Good } else { Style::Bad };
        line.with(Style::Plain, format!("{:>6}", tally.heard()))
            .with(count(tally.skipped()), format!("{:>6}", tally.skipped()))
            .with(count(tally.doubled), format!("{:>9}", tally.doubled))
    };
    let used: usize = line.0.iter().map(|(_, text)| text.chars().count()).sum();
    let gap = " ".repeat(STRIP_COLUMN.saturating_sub(used));
    strip(line.with(Style::Plain, gap), stage, at, client)
}

/// Where the strips begin.
const STRIP_COLUMN: usize = 45;

/// The latest messages, one sign for each: there, or on its way, or passed over.
fn strip(mut line: Line, stage: &Stage, at: usize, client: &Client) -> Line {
    let (mut good, mut rest) = (String::new(), Vec::new());
    for number in stage.said.saturating_sub(STRIP_MESSAGES)..stage.said {
        let there = if at == SPEAKER { number < stage.stored } else { client.tally.has(number) };
        let passed = at != SPEAKER && !there && (number..stage.said).any(|later| client.tally.has(later));
        match (there, passed) {
            (true, _) if rest.is_empty() => good.push('■'),
            (true, _) => rest.push((Style::Good, "■".to_owned())),
            (false, true) => rest.push((Style::Bad, "×".to_owned())),
            (false, false) => rest.push((Style::Waiting, "·".to_owned())),
        }
    }
    line.0.push((Style::Good, good));
    line.0.extend(rest);
    line
}

#[cfg(test)]
mod tests {
    use super::super::crowd::Happened;
    use super::super::stage::tests::in_the_second_act;
    use super::*;

    fn text(stage: &Stage) -> String {
        let lines: Vec<_> = draw(stage).iter().map(|line| line.text().trim_end().to_owned()).collect();
        lines.join("\n")
    }

    #[test]
    fn the_picture_shows_acts_routers_and_clients() {
        let wanted = "  fau3 demo: three routers, four clients, one of the routers dies       4.2 s

  ✓ 1  All three agreed after 2.1 s: router-b leads
  ▸ 2  Anna speaks; Ben, Cleo and Dora listen, spread over all three routers
    3  The leader is killed while Anna speaks (kill -9: no goodbye)
    4  The killed router starts again, with nothing in its memory
    5  Anna stops: has everybody heard everything, and nothing twice?

  ┌ router-a ────────────┐  ┏ router-b ━━━━━━━━━━━━┓  ┌ router-c ────────────┐
  │ follows router-b     │  ┃ LEADS                ┃  │ follows router-b     │
  │ epoch    3           │  ┃ epoch    3           ┃  │ epoch    3           │
  │ records  5           │  ┃ records  5           ┃  │ records  5           │
  │ Cleo                 │  ┃ Anna, Ben            ┃  │ Dora                 │
  └──────────────────────┘  ┗━━━━━━━━━━━━━━━━━━━━━━┛  └──────────────────────┘

         at         heard  lost  doubled
  Anna   router-b  said 5, stored 5          ■■■■■
  Ben    router-b       5     0        0     ■■■■■
  Cleo   router-a       5     0        0     ■■■■■
  Dora   router-c       5     0        0     ■■■■■

  What one router takes in, all of them hold a moment later.";
        assert_eq!(text(&in_the_second_act()), wanted);
    }

    #[test]
    fn a_killed_router_and_those_who_search_are_seen() {
        // Given a leader that is killed, and its clients without a router,
        let mut stage = in_the_second_act();
        stage.routers[1].life = Life::Killed;
        stage.router(1, None);
        stage.client(0, Happened::Lost);
        stage.client(1, Happened::Lost);
        stage.client(0, Happened::Said);
        // then the box, both rows, and the message that waits show it.
        let text = text(&stage);
        assert!(text.contains("│ KILLED               │"), "{text}");
        assert!(text.contains("Anna   searching said 6, stored 5          ■■■■■·"), "{text}");
        assert!(text.contains("Ben    searching      5     0        0     ■■■■■·"), "{text}");
    }

    #[test]
    fn what_is_lost_or_doubled_is_bad_to_see() {
        let mut stage = in_the_second_act();
        for number in [6, 6] {
            stage.client(3, Happened::Heard(Some(number)));
        }
        (0..2).for_each(|_| stage.client(SPEAKER, Happened::Said));
        let dora = draw(&stage).into_iter().find(|line| line.text().starts_with("  Dora ")).unwrap();
        assert!(dora.text().contains("  6     1        1     ■■■■■×■"), "{}", dora.text());
        assert_eq!(dora.0.iter().filter(|(style, _)| *style == Style::Bad).count(), 3);
    }

    #[test]
    fn the_picture_fits_the_smallest_usual_terminal_at_every_moment() {
        let mut stage = in_the_second_act();
        (0..500).for_each(|_| stage.client(SPEAKER, Happened::Said));
        for act in 1..=ACTS {
            let lines = draw(&stage);
            assert!(lines.len() <= 23, "{}", lines.len());
            for line in lines {
                assert!(line.text().chars().count() <= 79, "{}", line.text());
            }
            if act < ACTS {
                stage.act_done("x".repeat(70));
            }
        }
    }
}

//! The demonstration's screen as a picture for pages: what `draw` makes of a
//! stage, as SVG instead of a terminal's signs. It stands on its own dark ground,
//! so that it reads well on light pages and on dark ones.
//!
//! `docs/demo.svg` is held to be what is drawn now: whoever changes the screen is
//! told where the new picture lies.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::crowd::{Happened, NAMES, SPEAKER};
use super::draw::{Line, Style, draw};
use super::stage::{Life, Stage};
use super::watch::tests::answer;

/// Pixels of a character and of a line. Each piece of text is fitted to its place, so
/// that lines meet whatever the font.
const CHAR: (f32, f32) = (8.4, 18.0);
/// Pixels around the text.
const MARGIN: f32 = 16.0;
/// Characters of the widest line.
const COLUMNS: usize = 79;

/// What stands there for a style: colour and weight.
const fn look(style: Style) -> &'static str {
    match style {
        Style::Plain => r##"fill="#d8dee4""##,
        Style::Bold => r##"fill="#ffffff" font-weight="bold""##,
        Style::Dim => r##"fill="#8b949e""##,
        Style::Good => r##"fill="#57ab5a""##,
        Style::Leader => r##"fill="#6bc46d" font-weight="bold""##,
        Style::Bad => r##"fill="#f47067" font-weight="bold""##,
        Style::Waiting => r##"fill="#daaa3f""##,
    }
}

fn svg(lines: &[Line], title: &str) -> String {
    let width = 2.0 * MARGIN + COLUMNS as f32 * CHAR.0;
    let height = 2.0 * MARGIN + lines.len() as f32 * CHAR.1;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <title>{title}</title>\n\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\" fill=\"#1c2128\"/>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let y = MARGIN + (row as f32 + 0.75) * CHAR.1;
        let mut column = 0;
        for (style, text) in &line.0 {
            piece(&mut svg, *style, text, column, y);
            column += text.chars().count();
        }
    }
    svg + "</svg>\n"
}

/// One piece of a line, without the spaces around it.
fn piece(svg: &mut String, style: Style, text: &str, column: usize, y: f32) {
    let shown = text.trim();
    if shown.is_empty() {
        return;
    }
    let before = text.chars().count() - text.trim_start().chars().count();
    let x = MARGIN + (column + before) as f32 * CHAR.0;
    let long = shown.chars().count() as f32 * CHAR.0;
    let shown = shown.replace('&', "&amp;").replace('<', "&lt;").replace("  ", "\u{a0} ");
    let look = look(style);
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" textLength="{long:.1}" lengthAdjust="spacingAndGlyphs" {look}>{shown}</text>"#
    );
}

/// Half a second after the kill, as a run was seen: two messages wait for Anna to find
/// another router.
fn after_the_kill() -> Stage {
    let mut stage = Stage::new();
    stage.act_done("All three agreed after 1.9 s: router-c leads".to_owned());
    stage.act_done("Anna speaks at router-c; Ben, Cleo and Dora hear her at all three".to_owned());
    stage.caption = "Its clients look for another router; two routers agree on a new leader.".to_owned();
    stage.elapsed = Duration::from_secs(7);
    for (router, clients) in [&["Cleo"][..], &["Dora"]].into_iter().enumerate() {
        let name = stage.routers[router].name.clone();
        stage.router(router, Some(answer(&name, "router-a", 4, clients, 21)));
    }
    stage.routers[2].life = Life::Killed;
    stage.client(2, Happened::Arrived(0));
    stage.client(3, Happened::Arrived(1));
    for number in 0..21 {
        stage.client(SPEAKER, Happened::Said);
        stage.client(SPEAKER, Happened::Stored);
        (1..NAMES.len()).for_each(|client| stage.client(client, Happened::Heard(Some(number))));
    }
    (0..2).for_each(|_| stage.client(SPEAKER, Happened::Said));
    stage
}

#[test]
fn the_picture_of_the_pages_is_what_the_screen_shows() {
    // Given the screen of that moment, drawn,
    let drawn = svg(&draw(&after_the_kill()), "fau3 demo, half a second after the leading router was killed");
    // then it is the picture that the README shows.
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo.svg");
    if std::fs::read_to_string(&shown).unwrap_or_default() != drawn {
        let new = std::env::temp_dir().join("fau3-demo.svg");
        std::fs::write(&new, &drawn).unwrap();
        panic!("the screen has changed: copy {} to {}", new.display(), shown.display());
    }
}

//! Delays over time, with the outages marked: an SVG.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::ledger::Point;

const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// The scale, in powers of ten of seconds.
const LOWEST: f64 = -4.0;
const HIGHEST: f64 = 2.0;
/// More cannot be told apart.
const POINTS_MAX: usize = 4_000;

/// When the server was not there.
pub(crate) struct Outage {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) what: &'static str,
}

pub(crate) fn draw(begun: Instant, points: &[Point], outages: &[Outage]) -> String {
    let end = points.iter().map(|point| point.at).chain(outages.iter().map(|outage| outage.until)).max();
    let span = end.map_or(1.0, |end| end.saturating_duration_since(begun).as_secs_f64()).max(1.0);
    let x = |at: Instant| {
        LEFT + at.saturating_duration_since(begun).as_secs_f64() / span * (WIDTH - LEFT - RIGHT)
    };
    let y = |delay: Duration| {
        let power = delay.as_secs_f64().max(1e-9).log10().clamp(LOWEST, HIGHEST);
        HEIGHT - BOTTOM - (power - LOWEST) / (HIGHEST - LOWEST) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for outage in outages {
        let (from, until) = (x(outage.from), x(outage.until));
        let color = match outage.what {
            "killed" => "#f3c6c0",
            "cut off" => "#f6dfb4",
            _ => "#dcd3ee",
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{color}\"><title>{}</title></rect>",
            until - from,
            HEIGHT - TOP - BOTTOM,
            outage.what
        );
    }
    axes(&mut svg, span, y);
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let shown = || points.iter().step_by(step);
    let dots = |delay: fn(&Point) -> Option<Duration>| -> String {
        let seen = shown().filter_map(|point| Some((x(point.at), y(delay(point)?))));
        seen.map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect()
    };
    for (dots, color) in
        [(dots(|point| point.to_server), "#b03a2e"), (dots(|point| point.to_mesh), "#1f618d")]
    {
        // A line without a length and with round ends is a dot: one path holds them all.
        let _ = writeln!(
            svg,
            "<path d=\"{dots}\" stroke=\"{color}\" stroke-width=\"3.2\" stroke-linecap=\"round\" stroke-opacity=\"0.6\"/>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, span: f64, y: impl Fn(Duration) -> f64) {
    for (power, label) in
        [(-4, "0.1 ms"), (-3, "1 ms"), (-2, "10 ms"), (-1, "0.1 s"), (0, "1 s"), (1, "10 s"), (2, "100 s")]
    {
        let y = y(Duration::from_secs_f64(10_f64.powi(power)));
        let (right, text) = (WIDTH - RIGHT, LEFT - 8.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#d5d8dc\" stroke-width=\"0.6\"/>\
             <text x=\"{text}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{label}</text>",
            y + 4.0
        );
    }
    let minutes = (span / 60.0).ceil() as u32;
    let each = minutes.div_ceil(12).max(1);
    for minute in (0..=minutes).step_by(each as usize) {
        let x = LEFT + f64::from(minute) * 60.0 / span * (WIDTH - LEFT - RIGHT);
        if x <= WIDTH - RIGHT + 1.0 {
            let y = HEIGHT - BOTTOM + 18.0;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#444444\">{minute} min</text>"
            );
        }
    }
    let legend = [
        (LEFT, "#1f618d", "heard by a client of another router"),
        (LEFT + 270.0, "#b03a2e", "at the main server"),
        (LEFT + 430.0, "#f3c6c0", "server killed"),
        (LEFT + 550.0, "#f6dfb4", "cut off"),
        (LEFT + 640.0, "#dcd3ee", "says nothing"),
    ];
    for (x, color, text) in legend {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"20\" width=\"12\" height=\"12\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"31\" fill=\"#222222\">{text}</text>",
            x + 17.0
        );
    }
}

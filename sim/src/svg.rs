//! A timeline as a picture: time runs to the right, one lane a router, its
//! roles as bars, faults as bands behind the lanes that they strike.

use std::fmt::Write;

use fau3_election::{Role, Time};

use crate::engine::NodeSet;
use crate::faults::{Fault, FaultKind, lane_of};
use crate::timeline::{Entry, What};

const LEFT: u64 = 70;
const TOP: u64 = 34;
const LANE: u64 = 40;
const WIDTH: u64 = 1_000;
const LEGEND: u64 = 20;

/// Draws what happened between two moments. `lanes` is the number of routers;
/// a clone gets one more if it ever starts.
#[must_use]
pub fn draw(entries: &[Entry], faults: &[Fault], lanes: usize, from: Time, until: Time) -> String {
    let has_clone = entries.iter().any(|entry| entry.node == Some(lanes));
    let rows = lanes + usize::from(has_clone);
    let scale = Scale { from: from.as_micros(), span: until.since(from).as_micros().max(1) as u64 };
    let within = |fault: &&Fault| fault.from < until && fault.until > from;
    // What lasts for the whole run, as a wrong clock does, would paint everything.
    let shown: Vec<&Fault> =
        faults.iter().filter(|fault| within(fault) && fault.until != Time::MAX).collect();
    let height = TOP + rows as u64 * LANE + 40 + LEGEND * (shown.len() as u64 + 1);
    let mut svg = head(height);
    shown.iter().enumerate().for_each(|(index, fault)| band(&mut svg, &scale, index, fault, rows));
    for lane in 0..rows {
        let name = if lane == lanes { "clone".into() } else { format!("r{lane}") };
        let y = TOP + lane as u64 * LANE;
        let _ = writeln!(svg, r#"<text x="{}" y="{}" text-anchor="end">{name}</text>"#, LEFT - 10, y + 25);
        bars(&mut svg, &scale, entries, lane, y, until);
    }
    axis(&mut svg, &scale, TOP + rows as u64 * LANE);
    legend(&mut svg, &shown, TOP + rows as u64 * LANE + 44);
    svg.push_str("</svg>\n");
    svg
}

struct Scale {
    from: u64,
    span: u64,
}

impl Scale {
    fn x(&self, at: Time) -> u64 {
        let passed = at.as_micros().saturating_sub(self.from).min(self.span);
        LEFT + (u128::from(passed) * u128::from(WIDTH) / u128::from(self.span)) as u64
    }
}

fn head(height: u64) -> String {
    let width = LEFT + WIDTH + 20;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    )
}

fn colour(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Server) => "#c0392b",
        Some(Role::Follower) => "#5b8db8",
        Some(Role::Default) => "#6aa56a",
        Some(Role::Waiting) => "#d9b44a",
        Some(Role::Stopped) => "#555555",
        None => "#eeeeee",
    }
}

/// Bands of faults are pale, so that those that overlap are both seen.
fn band(svg: &mut String, scale: &Scale, index: usize, fault: &Fault, rows: usize) {
    const PALE: [&str; 6] = ["#f4b6a6", "#b9d3ee", "#cfe8b5", "#e6c3e8", "#f3dc9b", "#b8e0dc"];
    let (x, end) = (scale.x(fault.from), scale.x(fault.until));
    let struck = struck(&fault.kind);
    let all = (0..rows).filter(|row| struck >> row & 1 == 1);
    for lane in all {
        let y = TOP + lane as u64 * LANE;
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="{y}" width="{}" height="{LANE}" fill="{}" fill-opacity="0.6"/>"#,
            (end - x).max(1),
            PALE[index % PALE.len()]
        );
    }
    let _ = writeln!(svg, r#"<text x="{}" y="{}" font-size="11">{}</text>"#, x + 2, TOP - 6, index + 1);
}

/// The lanes that a fault is drawn on: the smaller side of a cut.
fn struck(kind: &FaultKind) -> NodeSet {
    match kind {
        FaultKind::Cut { from, to, both: true } | FaultKind::Flap { from, to, .. } => {
            if from.count_ones() <= to.count_ones() { *from } else { *to }
        }
        FaultKind::Cut { from, .. } | FaultKind::Rough { from, .. } => *from,
        FaultKind::DefaultServer { nodes } => *nodes,
        other => lane_of(other).map_or(NodeSet::MAX, |node| 1 << node),
    }
}

fn bars(svg: &mut String, scale: &Scale, entries: &[Entry], lane: usize, y: u64, until: Time) {
    let mut role: Option<Role> = None;
    let mut since = Time::ZERO;
    let mut bar = |role: Option<Role>, since, at| {
        let (x, end) = (scale.x(since), scale.x(at));
        if end > x && role.is_some() {
            let _ = writeln!(
                svg,
                r#"<rect x="{x}" y="{}" width="{}" height="18" fill="{}"/>"#,
                y + 11,
                end - x,
                colour(role)
            );
        }
    };
    for entry in entries.iter().filter(|entry| entry.node == Some(lane) && entry.at <= until) {
        let next = match &entry.what {
            What::View(view) => Some(view.role),
            What::Started => Some(Role::Waiting),
            What::Stopped { .. } => None,
            _ => continue,
        };
        if next != role {
            bar(role, since, entry.at);
            (role, since) = (next, entry.at);
        }
    }
    bar(role, since, until);
}

fn axis(svg: &mut String, scale: &Scale, y: u64) {
    let seconds = scale.span / 1_000_000;
    let step = [1, 2, 5, 10, 20, 60, 120].into_iter().find(|step| seconds / step <= 20).unwrap_or(600);
    let first = scale.from.div_ceil(1_000_000).next_multiple_of(step);
    for second in (first..=(scale.from + scale.span) / 1_000_000).step_by(step as usize) {
        let x = scale.x(Time::from_secs(second));
        let _ = writeln!(
            svg,
            r##"<path d="M{x} {TOP}V{}" stroke="#999" stroke-width="0.4"/><text x="{x}" y="{}" text-anchor="middle" font-size="11">{second} s</text>"##,
            y + 4,
            y + 18
        );
    }
}

fn legend(svg: &mut String, faults: &[&Fault], y: u64) {
    let roles = [
        (Some(Role::Server), "leads"),
        (Some(Role::Follower), "follows"),
        (Some(Role::Default), "main server leads"),
        (Some(Role::Waiting), "waits"),
        (Some(Role::Stopped), "stopped"),
    ];
    for (index, (role, name)) in roles.into_iter().enumerate() {
        let x = LEFT + index as u64 * 180;
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="{}" width="14" height="12" fill="{}"/><text x="{}" y="{y}">{name}</text>"#,
            y - 11,
            colour(role),
            x + 20
        );
    }
    for (index, fault) in faults.iter().enumerate() {
        let text: String = fault.to_string().replace('<', "&lt;").replace('>', "&gt;");
        let at = y + LEGEND * (index as u64 + 1);
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="{at}" font-size="11">{}: {text}</text>"#, index + 1);
    }
}

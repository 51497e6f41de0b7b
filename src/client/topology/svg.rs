//! The mesh as a picture: routers as circles with the number of their clients,
//! coloured by mode; a ring around the one that leads; lines between those
//! that hear each other.

use std::fmt::Write;

use super::apart::{Extent, Room, spread};
use super::layout::{Point, place};
use super::map::{Map, Router};

const WIDTH: f64 = 960.0;
const TOP: f64 = 56.0;
/// Room for names beside and below the outermost routers.
const MARGIN_X: f64 = 110.0;
const MARGIN_Y: f64 = 60.0;
const LEGEND: f64 = 60.0;
const RADIUS: f64 = 22.0;
/// The ring of the one that leads is so much wider.
const RING: f64 = 7.0;
const NAME_SIZE: f64 = 15.0;
const ROLE_SIZE: f64 = 13.0;
/// From a circle down to the lines of its name and its role.
const NAME_BELOW: f64 = 24.0;
const ROLE_BELOW: f64 = 40.0;
/// The mean width of a letter, of its size; what draws the picture chooses the font.
const LETTER_WIDTH: f64 = 0.6;

/// Modes with their colours: those of the simulator's pictures.
const MODES: [(&str, &str); 4] =
    [("server", "#1f7a4d"), ("follower", "#4a7ab5"), ("default", "#8a5fb0"), ("waiting", "#8a8f8c")];

pub(super) fn draw(map: &Map) -> String {
    let height = height(map.routers.len());
    let mut points: Vec<_> = place(map).into_iter().map(|point| on_paper(point, height)).collect();
    let extents: Vec<_> = map.routers.iter().map(extent).collect();
    spread(&mut points, &extents, Room { width: WIDTH, top: TOP + ROLE_SIZE, bottom: height - LEGEND });
    let mut svg = head(map, height);
    svg.push_str("<g stroke=\"#b3bbb6\" stroke-width=\"2\">\n");
    for &(a, b) in &map.links {
        let (a, b) = (points[a], points[b]);
        let _ = writeln!(svg, r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#, a.x, a.y, b.x, b.y);
    }
    svg.push_str("</g>\n");
    for (at, (router, point)) in map.routers.iter().zip(points).enumerate() {
        circle(&mut svg, router, point, map.here == Some(at));
    }
    legend(&mut svg, height - LEGEND / 3.0);
    svg.push_str("</svg>\n");
    svg
}

/// A few routers need less room than many.
fn height(routers: usize) -> f64 {
    let between = (routers.clamp(3, 24) as f64).sqrt() * 130.0;
    TOP + between + 2.0 * MARGIN_Y + LEGEND
}

fn on_paper(point: Point, height: f64) -> Point {
    let room = (WIDTH - 2.0 * MARGIN_X, height - TOP - 2.0 * MARGIN_Y - LEGEND);
    Point { x: MARGIN_X + point.x * room.0, y: TOP + MARGIN_Y + point.y * room.1 }
}

/// A circle with what stands below it.
fn extent(router: &Router) -> Extent {
    let width = |text: &str, size: f64| text.chars().count() as f64 * size * LETTER_WIDTH;
    let text = width(&router.label, NAME_SIZE).max(width(&router.role(), ROLE_SIZE)) / 2.0;
    Extent {
        beside: text.max(RADIUS + RING),
        above: RADIUS + RING,
        below: RADIUS + ROLE_BELOW + ROLE_SIZE / 3.0,
    }
}

fn head(map: &Map, height: f64) -> String {
    let title = escaped(&map.headline());
    let seen = map.here.map_or_else(String::new, |here| format!("as {} sees it", map.routers[here].label));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"{NAME_SIZE}\" text-anchor=\"middle\" role=\"img\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#fff\"/>\n\
         <text x=\"{0}\" y=\"36\" font-size=\"19\" font-weight=\"bold\" fill=\"#1c211e\">{title}</text>\n\
         <text x=\"{0}\" y=\"60\" fill=\"#66706a\">{1}</text>\n",
        WIDTH / 2.0,
        escaped(&seen),
    )
}

fn circle(svg: &mut String, router: &Router, at: Point, is_here: bool) {
    let Point { x, y } = at;
    let colour = colour(&router.mode);
    if router.leads {
        let _ = writeln!(
            svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{}" fill="{WHITE}" stroke="{colour}" stroke-width="4"/>"#,
            RADIUS + RING
        );
    }
    let weight = if is_here { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\" fill=\"{colour}\" stroke=\"{WHITE}\" stroke-width=\"2\"/>\n\
         <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{WHITE}\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#1c211e\"{weight} {HALO}>{}</text>\n\
         <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#66706a\" font-size=\"{ROLE_SIZE}\" {HALO}>{}</text>",
        y + 5.0,
        router.client_count,
        y + RADIUS + NAME_BELOW,
        escaped(&router.label),
        y + RADIUS + ROLE_BELOW,
        escaped(&router.role()),
    );
}

const WHITE: &str = "#fff";
/// Keeps a name readable where a line passes behind it.
const HALO: &str = "paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"5\" stroke-linejoin=\"round\"";

fn legend(svg: &mut String, y: f64) {
    const STEP: f64 = 110.0;
    let mut x = 30.0;
    svg.push_str("<g text-anchor=\"start\" font-size=\"13\" fill=\"#66706a\">\n");
    for (mode, colour) in MODES {
        let _ = writeln!(svg, r#"<circle cx="{x}" cy="{:.1}" r="7" fill="{colour}"/>"#, y - 5.0);
        let _ = writeln!(svg, r#"<text x="{}" y="{y:.1}">{mode}</text>"#, x + 13.0);
        x += STEP;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y:.1}\">the ring: leads; the number: clients connected to it; bold: the router asked</text>\n</g>"
    );
}

fn colour(mode: &str) -> &'static str {
    MODES.iter().find(|(known, _)| *known == mode).map_or(MODES[3].1, |(_, colour)| colour)
}

/// Text between tags and within quotes (XML 1.0, section 2.4).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::map;
    use super::*;

    #[test]
    fn a_picture_has_all_routers_all_links_and_one_ring() {
        let svg = draw(&map(&[("a", &["b", "c"]), ("b", &["a", "c"]), ("c", &["a", "b"])]));
        assert_eq!(svg.matches("<line ").count(), 3);
        assert_eq!(svg.matches("r=\"22\"").count(), 3);
        assert_eq!(svg.matches("r=\"29\"").count(), 1, "the leader's ring");
        assert!(svg.contains("b leads, epoch 7") && svg.contains("as a sees it"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let svg = draw(&map(&[("<script>&\"", &[])]));
        assert!(svg.contains("&lt;script&gt;&amp;&quot;") && !svg.contains("<script"), "{svg}");
        assert!(draw(&map(&[("a", &[])])).ends_with("</svg>\n"));
    }
}

//! Where routers stand in a picture: links pull, routers push each other away
//! (Fruchterman and Reingold 1991), from a circle, without chance, so that the
//! same mesh gives the same picture. Where nearly all hear all, the circle is
//! what shows most.

use super::map::Map;

/// Steps until the picture has settled.
const STEPS: u32 = 400;
/// How far a router moves in the first step, in lengths of a link.
const STEP_MAX: f64 = 0.6;
/// A pull to the middle that keeps parts without a link in the picture.
const GRAVITY: f64 = 0.05;
/// How much more one direction is stretched than the other.
const STRETCH_MAX: f64 = 2.5;

/// A place in a picture from 0 to 1 in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    fn to(self, other: Self) -> (Self, f64) {
        let (x, y) = (other.x - self.x, other.y - self.y);
        (Self { x, y }, x.hypot(y).max(1e-6))
    }

    fn push(&mut self, along: Self, by: f64) {
        self.x += along.x * by;
        self.y += along.y * by;
    }
}

/// A place for each router.
pub(super) fn place(map: &Map) -> Vec<Point> {
    let count = map.routers.len();
    // One link is as long as 1 here.
    let radius = count as f64 / std::f64::consts::TAU;
    let mut points: Vec<_> = (0..count)
        .map(|at| {
            let turn = std::f64::consts::TAU * (at as f64 / count as f64 - 0.25);
            Point { x: radius * turn.cos(), y: radius * turn.sin() }
        })
        .collect();
    let steps = if is_dense(map) { 0 } else { STEPS };
    for step in 0..steps {
        let reach = STEP_MAX * (1.0 - f64::from(step) / f64::from(steps));
        let forces = forces(map, &points);
        for (point, force) in points.iter_mut().zip(forces) {
            let length = force.x.hypot(force.y).max(1e-6);
            point.push(force, length.min(reach) / length);
        }
    }
    fit(if steps > 0 { lengthwise(points) } else { points })
}

/// Turned so that the mesh lies as wide as it is long: pictures are wider than
/// high (the principal axis of the places).
fn lengthwise(points: Vec<Point>) -> Vec<Point> {
    let count = points.len() as f64;
    let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.x), mean(|point| point.y));
    let moment = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|point| of(point.x - x, point.y - y)).sum()
    };
    let (xx, xy, yy) = (moment(&|x, _| x * x), moment(&|x, y| x * y), moment(&|_, y| y * y));
    let (sin, cos) = (0.5 * (2.0 * xy).atan2(xx - yy)).sin_cos();
    points.iter().map(|at| Point { x: at.x * cos + at.y * sin, y: at.y * cos - at.x * sin }).collect()
}

/// Whether more than half of all possible links are there.
fn is_dense(map: &Map) -> bool {
    let count = map.routers.len();
    map.links.len() * 4 > count * count.saturating_sub(1)
}

fn forces(map: &Map, points: &[Point]) -> Vec<Point> {
    let mut forces: Vec<_> =
        points.iter().map(|at| Point { x: -at.x * GRAVITY, y: -at.y * GRAVITY }).collect();
    let degrees: Vec<_> = (0..points.len()).map(|at| map.neighbours(at).count() as f64).collect();
    for (one, from) in points.iter().enumerate() {
        for (other, to) in points.iter().enumerate().filter(|(other, _)| *other != one) {
            let (along, length) = from.to(*to);
            forces[one].push(along, -2.0 / (length * length));
            if map.links.contains(&(one.min(other), one.max(other))) {
                // Many links together pull no harder than a few.
                forces[one].push(along, length * 3.0 / degrees[one].max(degrees[other]));
            }
        }
    }
    forces
}

/// Into the picture, as large as it goes; the shorter side is stretched, but to
/// [`STRETCH_MAX`] at most, so that a chain stays one.
fn fit(points: Vec<Point>) -> Vec<Point> {
    let range = |of: fn(&Point) -> f64| {
        let least = points.iter().map(of).fold(f64::INFINITY, f64::min);
        let most = points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        (f64::midpoint(least, most), most - least)
    };
    let ((x, width), (y, height)) = (range(|point| point.x), range(|point| point.y));
    let scale = |length: f64| length.max(width.max(height) / STRETCH_MAX).max(1e-6);
    let (width, height) = (scale(width), scale(height));
    let fitted = |point: &Point| Point { x: 0.5 + (point.x - x) / width, y: 0.5 + (point.y - y) / height };
    points.iter().map(fitted).collect()
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::map;
    use super::*;

    fn length(points: &[Point], a: usize, b: usize) -> f64 {
        points[a].to(points[b]).1
    }

    #[test]
    fn linked_routers_stand_closer_than_others() {
        // Given a chain,
        let chain = map(&[("a", &["b"]), ("b", &["a", "c"]), ("c", &["b", "d"]), ("d", &["c"])]);
        let points = place(&chain);
        assert!(length(&points, 0, 3) > 2.0 * length(&points, 0, 1), "{points:?}");
        assert_eq!(points, place(&chain), "the same each time");
    }

    #[test]
    fn a_chain_lies_lengthwise() {
        let chain = map(&[("a", &["b"]), ("b", &["a", "c"]), ("c", &["b", "d"]), ("d", &["c"])]);
        let points = place(&chain);
        assert!((points[0].x - points[3].x).abs() > 0.9, "{points:?}");
    }

    #[test]
    fn everyone_is_in_the_picture_and_none_on_another() {
        let alone = place(&map(&[("a", &[])]));
        assert_eq!(alone, [Point { x: 0.5, y: 0.5 }]);
        // A crowd that hears four of them, and one router that nobody hears.
        let names: Vec<String> = (0..12).map(|at| format!("r{at}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let routers: Vec<(&str, &[&str])> =
            all.iter().map(|&name| (name, if name == "r7" { &[][..] } else { &all[8..] })).collect();
        let points = place(&map(&routers));
        for (at, point) in points.iter().enumerate() {
            assert!((0.0..=1.0).contains(&point.x) && (0.0..=1.0).contains(&point.y), "{at}: {point:?}");
            for other in 0..at {
                assert!(length(&points, at, other) > 0.03, "{at} on {other}: {points:?}");
            }
        }
    }
}

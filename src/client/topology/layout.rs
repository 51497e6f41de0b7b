//! Where routers stand in a picture: links pull, routers push each other away
//! (Fruchterman and Reingold 1991), from a circle, without chance, so that the
//! same mesh gives the same picture. Where nearly all hear all, the circle is
//! what shows most. Square roots do for all angles: they are the same to the bit on every
//! machine, which sines are not.

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
        let along = Self { x: other.x - self.x, y: other.y - self.y };
        (along, along.length().max(1e-6))
    }

    fn length(self) -> f64 {
        (self.x * self.x + self.y * self.y).sqrt()
    }

    /// Turned around the origin, by as much as the point (1, 0) has to be to come to `by`.
    fn turned(self, by: Self) -> Self {
        Self { x: self.x * by.x - self.y * by.y, y: self.x * by.y + self.y * by.x }
    }

    /// Half of the angle of a point of the unit circle, which is from 0 to half a turn.
    fn half(self) -> Self {
        let x = f64::midpoint(1.0, self.x).max(0.0).sqrt();
        // Of a small angle the cosine says too little.
        let y = if x > 0.5 { self.y / (2.0 * x) } else { f64::midpoint(1.0, -self.x).max(0.0).sqrt() };
        Self { x, y }
    }

    /// Where on the unit circle a part of a turn, from 0 to 1, leads to.
    fn of_turn(mut part: f64) -> Self {
        let (mut at, mut step) = (Self { x: 1.0, y: 0.0 }, Self { x: -1.0, y: 0.0 });
        // Half a turn, a quarter, an eighth, ..., as the part's binary digits say.
        for _ in 0..40 {
            part *= 2.0;
            if part >= 1.0 {
                part -= 1.0;
                at = at.turned(step);
            }
            step = step.half();
        }
        at
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
            // From the top.
            let on = Point::of_turn((at as f64 / count as f64 + 0.75).fract());
            Point { x: radius * on.x, y: radius * on.y }
        })
        .collect();
    let steps = if is_dense(map) { 0 } else { STEPS };
    for step in 0..steps {
        let reach = STEP_MAX * (1.0 - f64::from(step) / f64::from(steps));
        let forces = forces(map, &points);
        for (point, force) in points.iter_mut().zip(forces) {
            let length = force.length().max(1e-6);
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
    // Twice the axis's angle.
    let double = Point { x: xx - yy, y: 2.0 * xy };
    let length = double.length();
    if length < 1e-9 {
        return points; // As long as wide.
    }
    let half = Point { x: double.x / length, y: double.y.abs() / length }.half();
    let back = Point { y: -half.y.copysign(double.y), ..half };
    points.iter().map(|at| at.turned(back)).collect()
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
    fn a_turn_by_square_roots_is_a_turn() {
        for step in 0..=360 {
            let (part, at) = (f64::from(step) / 361.0, Point::of_turn(f64::from(step) / 361.0));
            let (sin, cos) = (part * std::f64::consts::TAU).sin_cos();
            assert!((at.x - cos).abs() < 1e-9 && (at.y - sin).abs() < 1e-9, "{part}: {at:?}");
        }
    }

    #[test]
    fn a_row_of_routers_lies_along_the_picture_however_it_stood() {
        for step in 0..24 {
            let direction = Point::of_turn(f64::from(step) / 24.0);
            let row =
                (0..5).map(|at| Point { x: direction.x * f64::from(at), y: direction.y * f64::from(at) });
            let laid = lengthwise(row.collect());
            assert!(laid.iter().all(|at| (at.y - laid[0].y).abs() < 1e-9), "{step}: {laid:?}");
            assert!((laid[4].x - laid[0].x).abs() > 3.9, "{step}: {laid:?}");
        }
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

//! Moves routers of a picture apart until no name covers another router or its
//! name: where they stand says who hears whom, what they are called is to be read.

use super::layout::Point;

/// Rounds after which a crowd that finds no room stays as it is.
const ROUNDS_MAX: u32 = 500;
/// One round in so many moves pairs the longer way: out of where the shorter one
/// leads round and round.
const ASTRAY_EVERY: u32 = 20;
/// Left free between two.
const GAP: f64 = 6.0;

/// Less than that is none.
const LEAST: f64 = 0.01;

/// What a router takes around its place, name included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// To the left and to the right.
    pub(super) beside: f64,
    pub(super) above: f64,
    pub(super) below: f64,
}

/// What all have to stay within.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) width: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Extent {
    /// How far two stand into each other in both directions; `None`: not at all.
    fn overlap(self, at: Point, other: Self, there: Point) -> Option<(f64, f64)> {
        let across = self.beside + other.beside + GAP - (there.x - at.x).abs();
        let down = if there.y >= at.y { self.below + other.above } else { self.above + other.below };
        let down = down + GAP - (there.y - at.y).abs();
        (across > LEAST && down > LEAST).then_some((across, down))
    }

    fn clamp(self, at: &mut Point, room: Room) {
        at.x = at.x.min(room.width - self.beside).max(self.beside);
        at.y = at.y.min(room.bottom - self.below).max(room.top + self.above);
    }
}

/// Moves each pair that overlaps apart, mostly the shorter way, again and again.
pub(super) fn spread(points: &mut [Point], extents: &[Extent], room: Room) {
    for round in 1..=ROUNDS_MAX {
        let is_astray = round % ASTRAY_EVERY == 0;
        let mut has_moved = false;
        for one in 0..points.len() {
            for other in one + 1..points.len() {
                let (at, there) = (points[one], points[other]);
                let Some((across, down)) = extents[one].overlap(at, extents[other], there) else { continue };
                has_moved = true;
                if (across < down) != is_astray {
                    let by = across / 2.0 * if there.x >= at.x { 1.0 } else { -1.0 };
                    (points[one].x, points[other].x) = (at.x - by, there.x + by);
                } else {
                    let by = down / 2.0 * if there.y >= at.y { 1.0 } else { -1.0 };
                    (points[one].y, points[other].y) = (at.y - by, there.y + by);
                }
                extents[one].clamp(&mut points[one], room);
                extents[other].clamp(&mut points[other], room);
            }
        }
        if !has_moved {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { width: 960.0, top: 60.0, bottom: 700.0 };
    const EXTENT: Extent = Extent { beside: 70.0, above: 29.0, below: 66.0 };

    fn overlaps(points: &[Point], extents: &[Extent]) -> usize {
        let pairs = (0..points.len()).flat_map(|one| (one + 1..points.len()).map(move |other| (one, other)));
        let overlap = |(one, other): &(usize, usize)| {
            extents[*one].overlap(points[*one], extents[*other], points[*other])
        };
        pairs.filter_map(|pair| overlap(&pair)).count()
    }

    #[test]
    fn what_stands_apart_stays_where_it_is() {
        let mut points = [Point { x: 100.0, y: 200.0 }, Point { x: 400.0, y: 300.0 }];
        spread(&mut points, &[EXTENT; 2], ROOM);
        assert_eq!(points, [Point { x: 100.0, y: 200.0 }, Point { x: 400.0, y: 300.0 }]);
    }

    #[test]
    fn a_dozen_on_one_spot_find_their_places_within_the_room() {
        // Given twelve routers in a corner, a little apart, so that there is a direction to go,
        let mut points: Vec<_> =
            (0..12).map(|at| Point { x: 900.0 + f64::from(at), y: 650.0 - f64::from(at * at) }).collect();
        assert!(overlaps(&points, &[EXTENT; 12]) > 60);
        // then none covers another, and all are there.
        spread(&mut points, &[EXTENT; 12], ROOM);
        assert_eq!(overlaps(&points, &[EXTENT; 12]), 0, "{points:?}");
        for point in points {
            assert!((70.0..=890.0).contains(&point.x) && (89.0..=634.0).contains(&point.y), "{point:?}");
        }
    }
}

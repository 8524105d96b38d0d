//! The range of a movie's values, and the pixels that stand alone far beyond all others: cosmic rays, flashes of the detector.

use crate::analysis::nearby::square;
use ndarray::ArrayView2;

/// A share of the pixels, one in so many, may lie beyond the level that the others reach.
pub(super) const RARE: usize = 1000;
/// A pixel stands alone if it lies so much farther from the other end of the range than that level, and than its neighbours.
const FAR: f64 = 1.5;
/// Neighbours that may be struck with it: the next brightest one must be ordinary.
const STRUCK: usize = 2;
/// Steps of the values by which it must exceed them: with few electrons a pixel the largest counts are always alone.
const COUNTS: f64 = 4.0;

/// Smallest and largest values of a movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extremes {
    /// Of all pixels.
    pub all: [f64; 2],
    /// Of those that do not stand alone.
    pub common: [f64; 2],
    /// Pixels that stand alone.
    pub alone: usize,
}

/// The extremes, from the smallest and the largest value (h, w) that each pixel has in any frame.
///
/// A pixel stands alone if its largest value lies 1.5 times as far above the low end of the range as what one pixel in a thousand exceeds and as its third
/// brightest neighbour; the same downwards. A column of atoms, however bright, spreads over its neighbours.
pub(super) fn extremes(least: ArrayView2<'_, f64>, most: ArrayView2<'_, f64>) -> Extremes {
    let high = most.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = least.iter().copied().fold(f64::INFINITY, f64::min);
    let mut found = Extremes {
        all: [low, high],
        common: [low, high],
        alone: 0,
    };
    // Downwards is upwards with the sign changed.
    let down = least.mapv(|v| -v);
    let (Some(up), Some(below)) = (Body::of(most), Body::of(down.view())) else {
        return found;
    };
    let above = |i: usize, j: usize| up.is_alone(most, [i, j], -below.level);
    let under = |i: usize, j: usize| below.is_alone(down.view(), [i, j], -up.level);
    let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
    for ((i, j), &v) in most.indexed_iter() {
        let alone = [above(i, j), under(i, j)];
        if !alone[0] {
            highest = highest.max(v);
        }
        if !alone[1] {
            lowest = lowest.min(least[[i, j]]);
        }
        found.alone += usize::from(alone[0] || alone[1]);
    }
    if found.alone > 0 && lowest < highest {
        found.common = [lowest, highest];
    }
    found
}

/// What most pixels reach.
struct Body {
    /// One pixel in a thousand exceeds it.
    level: f64,
    /// Smallest difference between the largest values of two pixels.
    step: f64,
}

impl Body {
    /// Nothing of no pixels, or of one value in all.
    fn of(values: ArrayView2<'_, f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let level = *sorted.get(sorted.len().checked_sub(1 + sorted.len().div_ceil(RARE))?)?;
        let step = sorted.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0);
        let step = step.fold(f64::INFINITY, f64::min);
        step.is_finite().then_some(Body { level, step })
    }

    /// Whether a pixel lies far above all others, as seen from the `other` end of the range.
    fn is_alone(&self, values: ArrayView2<'_, f64>, [i, j]: [usize; 2], other: f64) -> bool {
        let here = values[[i, j]];
        let beyond = |level: f64| here - other > FAR * (level - other) && here - level > COUNTS * self.step;
        // Nearly all pixels end here.
        if !(self.level > other && beyond(self.level)) {
            return false;
        }
        let near = square((i, j), 1, values.dim()).filter(|at| *at != (i, j));
        let mut around: Vec<f64> = near.map(|at| values[at]).collect();
        around.sort_unstable_by(|a, b| b.total_cmp(a));
        around.get(STRUCK).is_none_or(|&v| beyond(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Columns of atoms with sigma 1.8 px over a background with some noise: smallest and largest values.
    fn lattice() -> (Array2<f64>, Array2<f64>) {
        let most = Array2::from_shape_fn((96, 110), |(y, x)| {
            let near = |v: usize| (v as f64 + 5.0) % 10.0 - 5.0;
            let column = (-(near(y).powi(2) + near(x).powi(2)) / 6.48).exp();
            300.0 + (14_000.0 * column).round() + ((y * 31 + x * 17) % 23) as f64
        });
        (most.mapv(|v| v - 250.0), most)
    }

    #[test]
    fn a_movie_without_lone_pixels_keeps_its_extremes() {
        let (least, mut most) = lattice();
        let found = extremes(least.view(), most.view());
        assert_eq!((found.all, found.alone), (found.common, 0));
        // An atom on top of a column, three times as bright: it is as wide as the column.
        for ((y, x), v) in most.indexed_iter_mut() {
            let d = (y as f64 - 50.0).powi(2) + (x as f64 - 60.0).powi(2);
            *v += 28_000.0 * (-d / 6.48).exp();
        }
        let found = extremes(least.view(), most.view());
        assert_eq!((found.common[1], found.alone), (most[[50, 60]], 0));
    }

    #[test]
    fn pixels_that_stand_alone_are_left_out() {
        let (least, most) = lattice();
        let clean = extremes(least.view(), most.view()).all;
        // One on a column, one between columns; two beside each other.
        for at in [vec![[50, 60]], vec![[45, 55]], vec![[0, 0]], vec![[45, 55], [45, 56]]] {
            let mut struck = most.clone();
            at.iter().for_each(|&[y, x]| struck[[y, x]] = 29_000.0);
            let found = extremes(least.view(), struck.view());
            assert_eq!(
                found,
                Extremes {
                    all: [clean[0], 29_000.0],
                    common: clean,
                    alone: at.len()
                },
                "{at:?}"
            );
        }
        let mut dead = least.clone();
        dead[[33, 44]] = -9_000.0;
        let found = extremes(dead.view(), most.view());
        assert_eq!((found.all[0], found.common, found.alone), (-9_000.0, clean, 1));
    }

    #[test]
    fn few_counts_and_few_pixels_are_taken_as_they_are() {
        // Electrons one by one: the largest count is always alone.
        let counts = Array2::from_shape_fn((64, 64), |(y, x)| match (y * 64 + x) % 900 {
            0 => 1.0,
            7 if y == 21 => 3.0,
            k => f64::from(u8::from(k % 3 == 0)),
        });
        for most in [
            counts,
            Array2::zeros((8, 8)),
            Array2::zeros((0, 0)),
            Array2::from_elem((1, 1), 5.0),
        ] {
            let least = most.mapv(|v| v * 0.0);
            let found = extremes(least.view(), most.view());
            assert_eq!((found.all, found.alone), (found.common, 0));
        }
    }
}

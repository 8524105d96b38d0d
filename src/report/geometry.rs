//! How a map of any size becomes a picture of readable size.

use ndarray::{Array2, ArrayView2};

/// Pixels of the figure that a map should fill, at most.
pub(super) const TARGET: usize = 800;
/// Largest side of a drawn map; larger maps are averaged down.
const LARGEST: usize = 1600;
/// Smallest side: a line scan stays visible.
const SMALLEST: usize = 24;

/// Whole-number scaling from data pixels to figure pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Geometry {
    rows: usize,
    cols: usize,
    /// Data pixels averaged into one, per axis; 1 for all but very large maps.
    step: usize,
    /// Figure pixels per (reduced) data pixel.
    fy: usize,
    fx: usize,
}

impl Geometry {
    /// For a map of `rows` × `cols` in about `target` pixels.
    pub(super) fn new(rows: usize, cols: usize, target: usize) -> Self {
        let largest = rows.max(cols).max(1);
        let step = largest.div_ceil(LARGEST.max(target));
        let (r, c) = (rows.div_ceil(step).max(1), cols.div_ceil(step).max(1));
        let factor = (target / r.max(c)).max(1);
        let least = |n: usize| factor.max(SMALLEST.min(target).div_ceil(n));
        Geometry {
            rows,
            cols,
            step,
            fy: least(r),
            fx: least(c),
        }
    }
    /// As [`Geometry::new`] for small pictures: the scale that comes nearest to `target`, which may be exceeded.
    pub(super) fn nearest(rows: usize, cols: usize, target: usize) -> Self {
        let largest = rows.max(cols).max(1);
        let factor = ((target as f64 / largest as f64).round() as usize).max(1);
        Geometry::new(
            rows,
            cols,
            if factor * largest <= 2 * target {
                factor * largest
            } else {
                target
            },
        )
    }
    pub(super) fn width(&self) -> usize {
        self.cols.div_ceil(self.step).max(1) * self.fx
    }
    pub(super) fn height(&self) -> usize {
        self.rows.div_ceil(self.step).max(1) * self.fy
    }
    /// Figure pixels per data pixel along x.
    pub(super) fn per_pixel(&self) -> f64 {
        self.fx as f64 / self.step as f64
    }
    /// Where data position (y, x), origin at the centre of the first pixel, lies in the picture, as (x, y).
    pub(super) fn position(&self, y: f64, x: f64) -> (f64, f64) {
        ((x + 0.5) * self.per_pixel(), (y + 0.5) * self.fy as f64 / self.step as f64)
    }
    /// Index of the reduced data pixel under picture pixel (x, y).
    pub(super) fn source(&self, x: usize, y: usize) -> (usize, usize) {
        (y / self.fy, x / self.fx)
    }
    /// Where the picture shows a reduced data pixel: (x, y) of its first pixel, and width and height.
    pub(super) fn cell(&self, row: usize, col: usize) -> ([usize; 2], [usize; 2]) {
        ([col * self.fx, row * self.fy], [self.fx, self.fy])
    }
    /// The data, averaged over blocks if it is too large to draw; NaN is left out of the means.
    pub(super) fn reduce(&self, data: ArrayView2<'_, f64>) -> Array2<f64> {
        if self.step == 1 {
            return data.to_owned();
        }
        Array2::from_shape_fn((self.rows.div_ceil(self.step), self.cols.div_ceil(self.step)), |(r, c)| {
            let block = |i: usize, end: usize| i * self.step..((i + 1) * self.step).min(end);
            let (mut sum, mut count) = (0.0, 0usize);
            for value in data
                .slice(ndarray::s![block(r, self.rows), block(c, self.cols)])
                .iter()
                .filter(|v| !v.is_nan())
            {
                sum += value;
                count += 1;
            }
            if count == 0 { f64::NAN } else { sum / count as f64 }
        })
    }
    /// Every `step`-th label: labels cannot be averaged.
    pub(super) fn thin(&self, labels: ArrayView2<'_, i32>) -> Array2<i32> {
        labels
            .slice(ndarray::s![..;self.step as isize, ..;self.step as isize])
            .to_owned()
    }
}

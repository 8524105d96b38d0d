//! Tiles on the CPU: a matrix product for Euclidean and cosine distances, module `differences` for sums and maxima of differences.

use super::differences::{self, Square};
use super::{Bounds, Metric, Tiles};
use crate::backend::cpu::isa::Isa;
use crate::error::Result;
use ndarray::ArrayView2;
use ndarray::linalg::general_mat_mul;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Points of a block.
const BLOCK: usize = 512;
/// Half a unit in the last place.
const UNIT: f32 = 6.0e-8;

/// Points ready for tiles.
pub struct Prepared<'a> {
    isa: Isa,
    metric: Metric,
    coordinates: usize,
    /// Centred (Euclidean), of unit length (cosine), or as they are.
    points: Cow<'a, [f32]>,
    /// |p|² of each, for products.
    squares: Vec<f32>,
    relative: f32,
    absolute: Vec<f32>,
}

impl<'a> Prepared<'a> {
    /// `points` (n, coordinates) in C order.
    pub fn new(points: &'a [f32], coordinates: usize, metric: Metric) -> Self {
        let n = points.len() / coordinates;
        let (points, coordinates, product) = match metric {
            Metric::Euclidean => (Cow::Owned(centred(points, coordinates)), coordinates, true),
            Metric::Cosine => (Cow::Owned(unit(points, coordinates)), coordinates + 1, true),
            _ => (Cow::Borrowed(points), coordinates, false),
        };
        let terms = coordinates as f32;
        let (squares, absolute, relative) = if product {
            let square = |p: &[f32]| p.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32;
            let squares: Vec<f32> = points.par_chunks_exact(coordinates).map(square).collect();
            // The product adds runs of at most 256 terms, then their sums; |a·b| is at most half of |a|² + |b|². Preparing the points and
            // adding the three terms costs a few more roundings of numbers of that size.
            let error = UNIT * (terms.min(256.0) + terms / 256.0 + 16.0);
            let absolute = squares.iter().map(|s| error * s + f32::MIN_POSITIVE).collect();
            (squares, absolute, 4.0 * UNIT)
        } else {
            let relative = match metric {
                Metric::Chebyshev => 4.0 * UNIT,
                _ => UNIT * (terms + 4.0),
            };
            (Vec::new(), vec![f32::MIN_POSITIVE; n], relative)
        };
        Prepared {
            isa: Isa::active(),
            metric,
            coordinates,
            points,
            squares,
            relative,
            absolute,
        }
    }

    fn rows(&self, range: Range<usize>) -> &[f32] {
        &self.points[range.start * self.coordinates..range.end * self.coordinates]
    }

    fn product(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [f32]) {
        let (n, m) = (rows.len(), columns.len());
        let matrix = |range: Range<usize>| ArrayView2::from_shape((range.len(), self.coordinates), self.rows(range));
        let (Ok(a), Ok(b)) = (matrix(rows.clone()), matrix(columns.clone())) else {
            return;
        };
        let Ok(mut product) = ndarray::ArrayViewMut2::from_shape((n, m), &mut *out) else {
            return;
        };
        general_mat_mul(-2.0, &a, &b.t(), 0.0, &mut product);
        let of_columns = &self.squares[columns];
        for (row, &own) in out.chunks_exact_mut(m).zip(&self.squares[rows]) {
            for (d, &other) in row.iter_mut().zip(of_columns) {
                *d += own + other;
            }
        }
    }
}

impl Tiles for Prepared<'_> {
    fn tile(&self, rows: Range<usize>, columns: Range<usize>, limits: [&[f32]; 2], out: &mut [f32]) -> Result<()> {
        let maximum = match self.metric {
            Metric::Euclidean | Metric::Cosine => {
                self.product(rows, columns, out);
                return Ok(());
            }
            Metric::Chebyshev => true,
            Metric::Manhattan => false,
        };
        let square = Square {
            coordinates: self.coordinates,
            rows: self.rows(rows.clone()),
            columns: self.rows(columns.clone()),
            limits,
            bounds: self.bounds().of(rows.start, columns.start),
        };
        differences::tile(self.isa, maximum, &square, out);
        Ok(())
    }
    fn block(&self) -> usize {
        BLOCK
    }
    fn bounds(&self) -> Bounds<'_> {
        Bounds::new(self.relative, &self.absolute)
    }
}

/// The points about their mean: distances stay, and products have less to cancel.
fn centred(points: &[f32], coordinates: usize) -> Vec<f32> {
    let mut mean = vec![0.0f64; coordinates];
    for point in points.chunks_exact(coordinates) {
        mean.iter_mut().zip(point).for_each(|(m, v)| *m += f64::from(*v));
    }
    let n = (points.len() / coordinates).max(1) as f64;
    let mean: Vec<f32> = mean.into_iter().map(|m| (m / n) as f32).collect();
    let mut out = points.to_vec();
    out.par_chunks_exact_mut(coordinates)
        .for_each(|p| p.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m));
    out
}

/// The points brought to unit length, with one coordinate more, which is 1 for points that are zero and 0 for others: so points of zero are
/// at one place, across from all others.
pub(super) fn unit(points: &[f32], coordinates: usize) -> Vec<f32> {
    let mut out = vec![0.0; points.len() / coordinates * (coordinates + 1)];
    let both = out
        .par_chunks_exact_mut(coordinates + 1)
        .zip(points.par_chunks_exact(coordinates));
    both.for_each(|(to, from)| {
        let length = from.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if length > 0.0 {
            to.iter_mut()
                .zip(from)
                .for_each(|(t, &v)| *t = (f64::from(v) / length) as f32);
        } else {
            to[coordinates] = 1.0;
        }
    });
    out
}

//! The k nearest other points of every point, exactly.
//!
//! Tiles of float32 distances *propose*: each comes with a bound of its rounding error, and every point that may belong to the k nearest is
//! kept. The distances of those few are computed again in float64, and order and choice follow from these, ties by the smaller index. So
//! results do not depend on tiles, threads, CPU or backend: they are those of a brute-force search in float64.
//!
//! | [`Metric`] | distance of a and b | tiles on the CPU |
//! |---|---|---|
//! | `Euclidean` | √Σ (aᵢ − bᵢ)² | matrix product of centred rows, \|a\|² + \|b\|² − 2 a·b |
//! | `Chebyshev` | max \|aᵢ − bᵢ\| | 16 points in the lanes of a vector, given up once both points have enough nearer ones |
//! | `Manhattan` | Σ \|aᵢ − bᵢ\| | the same |
//! | `Cosine` | 1 − a·b/(\|a\| \|b\|); between zero vectors 0, with one zero vector 1 | product of unit rows |
//!
//! Each pair of blocks is computed once and serves both. Memory beyond the points: a centred or unit copy where the metric needs one, some
//! kilobyte a point of candidates (12 bytes for each of four times the neighbours asked for and 48), and tiles of about 1 MiB a thread. Of points with many equally near
//! others (duplicates, integers) the candidates are settled in float64 as they come.
//!
//! The search looks at all pairs. [`approximate`] does not, for scans of so many positions that this takes too long.

pub mod cpu;
mod descent;
mod differences;
pub mod gpu;
mod select;

pub use descent::approximate;

use crate::backend::stage::Work;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

/// Distance between points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    #[default]
    Euclidean,
    Chebyshev,
    Manhattan,
    Cosine,
}

impl Metric {
    /// As flags and messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Euclidean => "euclidean",
            Metric::Chebyshev => "chebyshev",
            Metric::Manhattan => "manhattan",
            Metric::Cosine => "cosine",
        }
    }

    /// The distance in float64, the same bits both ways.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f64 {
        match self {
            Metric::Euclidean => select::lanes(a, b, 0.0, |s, d| s + d * d, |a, b| a + b).sqrt(),
            Metric::Manhattan => select::lanes(a, b, 0.0, |s, d| s + d.abs(), |a, b| a + b),
            Metric::Chebyshev => select::lanes(a, b, 0.0, |s, d| if d.abs() > s { d.abs() } else { s }, f64::max),
            Metric::Cosine => {
                let [ab, aa, bb] = select::products(a, b);
                match (aa > 0.0, bb > 0.0) {
                    (true, true) => (1.0 - ab / (aa.sqrt() * bb.sqrt())).max(0.0),
                    (false, false) => 0.0,
                    _ => 1.0,
                }
            }
        }
    }

    /// Work on one pair of points of so many coordinates.
    pub fn work(self, coordinates: usize) -> Work {
        let each = match self {
            Metric::Euclidean | Metric::Cosine => 2,
            Metric::Chebyshev | Metric::Manhattan => 3,
        };
        // A pair serves both its points.
        Work {
            read: 0,
            written: 0,
            operations: (each * coordinates as u64).div_ceil(2),
        }
    }
}

/// The nearest other points of every point, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// (n, k)
    pub index: Array2<u32>,
    /// (n, k)
    pub distance: Array2<f64>,
}

/// How far float32 distances may be off: one of points i and j by rel·d + abs_i + abs_j.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    relative: f32,
    rows: &'a [f32],
    columns: &'a [f32],
}

impl<'a> Bounds<'a> {
    /// `absolute` of all points.
    fn new(relative: f32, absolute: &'a [f32]) -> Self {
        Bounds {
            relative,
            rows: absolute,
            columns: absolute,
        }
    }

    /// For a tile that starts at these points.
    fn of(self, row: usize, column: usize) -> Self {
        Bounds {
            rows: &self.rows[row..],
            columns: &self.columns[column..],
            ..self
        }
    }

    /// The least and the most that distance `d` of a row and a column can be.
    #[inline(always)]
    fn around(&self, d: f32, row: usize, column: usize) -> [f32; 2] {
        let error = self.relative * d + (self.rows[row] + self.columns[column]);
        [d - error, d + error]
    }
}

/// What proposes: float32 distances of any two ranges of points, in any monotone scale.
pub(crate) trait Tiles: Sync {
    /// Distances of points `rows` to points `columns`, row after row. Those that are above the limit of their row and above that of their
    /// column may be too small, as long as the least they can be stays above both.
    fn tile(&self, rows: Range<usize>, columns: Range<usize>, limits: [&[f32]; 2], out: &mut [f32]) -> Result<()>;
    /// Points of a block.
    fn block(&self) -> usize;
    /// What the distances may be off.
    fn bounds(&self) -> Bounds<'_>;
}

/// The `k` nearest others of each of `points` (n, coordinates) on the CPU, by rayon's threads.
///
/// # Errors
/// [`Error::Parameter`] for a `k` of 0 or not below n, and for coordinates that are not finite; [`Error::Cancelled`].
pub fn neighbors(points: ArrayView2<'_, f32>, k: usize, metric: Metric, control: &Control) -> Result<Neighbors> {
    check(points, k)?;
    let points = points.as_standard_layout();
    let flat = points.as_slice().unwrap_or(&[]);
    let prepared = cpu::Prepared::new(flat, points.ncols(), metric);
    select::search(flat, points.ncols(), k, metric, &prepared, control)
}

/// What every backend asks of its input.
fn check(points: ArrayView2<'_, f32>, k: usize) -> Result<()> {
    let (n, coordinates) = points.dim();
    if k == 0 || k >= n {
        let what = format!(
            "{} with {n} points: from 2 (with the point itself) up to the number of points",
            k + 1
        );
        return Err(Error::parameter("--neighbors", what));
    }
    if coordinates == 0 || u32::try_from(n).is_err() {
        return Err(Error::parameter("points", format!("{n} points of {coordinates} features")));
    }
    if let Some(row) = points.rows().into_iter().position(|r| r.iter().any(|v| !v.is_finite())) {
        let what = format!("point {row} has a feature that is not a finite number");
        return Err(Error::parameter("points", what));
    }
    Ok(())
}

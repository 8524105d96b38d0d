//! Which features neighbouring positions share.
//!
//! Of the peaks of a standard-deviation map with few electrons many are noise, and so are features there. What neighbours do not share tells no
//! cluster of neighbours from another; scaled to its mean size, it hides what does.

use super::grid::Grid;
use ndarray::{ArrayView2, s};
use rayon::prelude::*;

/// Fewest pairs of neighbours that say something: of fewer, even the halves of a clear partition share their features by hardly more than chance may.
const LEAST_PAIRS: usize = 45;
/// Standard deviations of chance that a shared feature exceeds.
const CHANCE: f64 = 3.0;
/// Fewer shared features than this may be chance.
const LEAST_SHARED: usize = 4;
/// Share of features, one in so many, that may be noise and hide nothing.
const HARMLESS: usize = 10;
/// Columns that one thread works on.
const STRIPE: usize = 32;

/// Columns of `values` (positions of `grid` × P) that neighbouring positions share, ascending; all of them where there are less than 45 pairs of
/// neighbours or at most one in ten that is none. `None` where less than four are shared, which may be chance.
///
/// A column is shared if Moran's I (P. A. P. Moran, *Biometrika* 37 (1950) 17), the mean product of two neighbours' deviations over the
/// variance, exceeds 3/√pairs, three standard deviations of what it is for values in any order. The position that adds most to it is left
/// out: of values that are zero nearly everywhere a single pair of neighbours would do.
pub fn shared_columns(values: ArrayView2<'_, f32>, grid: &Grid) -> Option<Vec<usize>> {
    let (n, p) = values.dim();
    let all = || (0..p).collect();
    let pairs = (0..grid.len()).map(|i| grid.neighbours(i).count()).sum::<usize>() / 2;
    if n != grid.len() || pairs < LEAST_PAIRS {
        return Some(all());
    }
    let stripes: Vec<Vec<usize>> = (0..p)
        .into_par_iter()
        .step_by(STRIPE)
        .map(|first| {
            let stripe = values.slice(s![.., first..(first + STRIPE).min(p)]);
            let scores = scores(stripe, grid, pairs);
            let above = scores.into_iter().enumerate().filter(|(_, z)| *z > CHANCE);
            above.map(|(k, _)| first + k).collect()
        })
        .collect();
    let shared = stripes.concat();
    let harmless = (p - shared.len()) * HARMLESS <= p;
    match shared.len() {
        _ if harmless => Some(all()),
        0..LEAST_SHARED => None,
        _ => Some(shared),
    }
}

/// Moran's I of each column in standard deviations of chance, without the position that adds most.
fn scores(values: ArrayView2<'_, f32>, grid: &Grid, pairs: usize) -> Vec<f64> {
    let (n, p) = values.dim();
    let mut mean = vec![0.0; p];
    for row in values.rows() {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v));
    }
    mean.iter_mut().for_each(|m| *m /= n as f64);
    let (mut squares, mut products, mut most) = (vec![0.0; p], vec![0.0; p], vec![0.0f64; p]);
    let mut around = vec![0.0; p];
    for (i, row) in values.rows().into_iter().enumerate() {
        around.fill(0.0);
        for j in grid.neighbours(i) {
            let other = values.row(j as usize).into_iter().zip(&mean);
            around.iter_mut().zip(other).for_each(|(a, (v, m))| *a += f64::from(*v) - m);
        }
        for (k, (v, a)) in row.iter().zip(&around).enumerate() {
            let v = f64::from(*v) - mean[k];
            squares[k] += v * v;
            products[k] += v * a;
            most[k] = most[k].max(v * a);
        }
    }
    // Every pair was counted from both sides.
    let score = |k: usize| (products[k] / 2.0 - most[k]) / (squares[k] / n as f64 * (pairs as f64).sqrt());
    (0..p).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Source;
    use ndarray::Array2;

    /// Counts of a region of 5 × 5 positions, of noise, of two neighbours alone, none.
    fn values() -> Array2<f32> {
        let mut numbers = Source::new(5, 0).sequence(0);
        Array2::from_shape_fn((20 * 20, 60), |(i, k)| {
            let (y, x) = (i / 20, i % 20);
            match k % 4 {
                0 => f32::from((3..8).contains(&y) && (9..14).contains(&x)) * 3.0 + numbers.normal() as f32,
                1 => numbers.normal() as f32,
                2 => f32::from(y == 11 && (x == 5 || x == 6)) * 7.0,
                _ => 0.0,
            }
        })
    }

    #[test]
    fn noise_and_pairs_are_not_shared() {
        let (values, grid) = (values(), Grid::full([20, 20]).unwrap());
        assert_eq!(shared_columns(values.view(), &grid), Some((0..60).step_by(4).collect()));
        // A region of interest: the same positions in another order, and some less.
        let frames: Vec<u64> = (40..400).rev().collect();
        let rows: Vec<usize> = frames.iter().map(|&f| f as usize).collect();
        let part = values.select(ndarray::Axis(0), &rows);
        let grid = Grid::selected([20, 20], &frames).unwrap();
        assert_eq!(shared_columns(part.view(), &grid), Some((0..60).step_by(4).collect()));
    }

    /// Two halves of a small scan, among noise.
    #[test]
    fn small_scans_share_features_too() {
        let mut numbers = Source::new(7, 0).sequence(0);
        let values = Array2::from_shape_fn((8 * 9, 40), |(i, k)| {
            let side = f32::from(k % 4 == 0 && i % 9 >= 4) * 4.0;
            side + numbers.normal() as f32
        });
        let grid = Grid::full([8, 9]).unwrap();
        assert_eq!(shared_columns(values.view(), &grid), Some((0..40).step_by(4).collect()));
    }

    #[test]
    fn what_is_too_little_to_say_so() {
        let values = values();
        let noise = values.select(ndarray::Axis(1), &[1, 5, 9, 13, 0, 4, 8]);
        let grid = Grid::full([20, 20]).unwrap();
        assert_eq!(shared_columns(noise.view(), &grid), None);
        let few = Grid::full([3, 4]).unwrap();
        assert_eq!(shared_columns(values.slice(s![..12, ..]), &few), Some((0..60).collect()));
        // One in ten hides nothing, two do.
        let shared: Vec<usize> = (0..36).step_by(4).collect();
        let with = |noise: &[usize]| shared_columns(values.select(ndarray::Axis(1), &[&shared, noise].concat()).view(), &grid);
        assert_eq!(with(&[1]), Some((0..10).collect()));
        assert_eq!(with(&[1, 5]), Some((0..9).collect()));
    }
}

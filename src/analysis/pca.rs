//! Principal components of tall or wide matrices: a few, without forming a covariance matrix.
//!
//! Subspace iteration with Rayleigh–Ritz steps (G. Golub, C. Van Loan, *Matrix Computations*, 4th ed., section 8.2.4) on the centred matrix,
//! which is only ever multiplied from both sides. Sums run in a fixed order, so that bits do not depend on threads.
//!
//! How many components stand out of noise is told by the law of Marčenko and Pastur for noise of a different variance σ² in every column (V.
//! Marčenko, L. Pastur, *Math. USSR Sb.* 1 (1967) 457; J. Silverstein, S. Choi, *J. Multivar. Anal.* 54 (1995) 295): with n rows, f columns and
//! the mean ⟨⟩ over columns, eigenvalues of the covariance of pure noise end at the minimum over a > max σ² of a + (f/n) a ⟨σ²/(a − σ²)⟩.
//! σ² is what the components before leave of each column.

use super::symmetric::eigen;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::rng::Source;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Vectors beyond the wanted ones that the iteration carries.
const GUARD: usize = 6;
/// Rounds at most, and the relative change of eigenvalues at which they end.
const ROUNDS: usize = 60;
const TOLERANCE: f64 = 1e-7;
/// Columns that one thread works on.
const STRIPE: usize = 32;

/// The leading principal components of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// (columns, components) of unit length; the entry of largest size of each is positive.
    pub vectors: Array2<f64>,
    /// Variance along each component, largest first.
    pub variances: Vec<f64>,
    /// (rows, components)
    pub scores: Array2<f64>,
    /// Variance of each column.
    pub column_variances: Vec<f64>,
    /// Their sum.
    pub total: f64,
}

impl Components {
    /// How many of the components stand out of the noise: the first ones that exceed what noise alone would give.
    pub fn significant(&self) -> usize {
        let rows = self.scores.nrows() as f64;
        // The largest eigenvalue of noise fluctuates about its limit by this order.
        let margin = 1.0 + 3.0 * rows.powf(-2.0 / 3.0);
        let mut noise = self.column_variances.clone();
        for (k, &variance) in self.variances.iter().enumerate() {
            if variance <= margin * noise_edge(&noise, rows) {
                return k;
            }
            for (n, v) in noise.iter_mut().zip(self.vectors.column(k)) {
                *n = (*n - variance * v * v).max(0.0);
            }
        }
        self.variances.len()
    }
}

/// Where the eigenvalues of the covariance of noise end, `noise` its variance in each column.
fn noise_edge(noise: &[f64], rows: f64) -> f64 {
    let largest = noise.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return 0.0;
    }
    let at = |a: f64| a + a / rows * noise.iter().map(|s| s / (a - s)).sum::<f64>();
    // The function is convex on a > max σ²; its minimum lies below max σ² (1 + √(f/n)) · 2. Golden section.
    let step = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (
        largest * (1.0 + 1e-9),
        largest * 2.0 * (1.0 + (noise.len() as f64 / rows).sqrt()),
    );
    for _ in 0..60 {
        let (b, c) = (high - step * (high - low), low + step * (high - low));
        if at(b) < at(c) {
            high = c;
        } else {
            low = b;
        }
    }
    at((low + high) / 2.0)
}

/// The `wanted` leading components of `values` (rows, columns); fewer where the matrix has less rank.
///
/// # Errors
/// [`Error::Parameter`] without rows or columns; [`Error::Cancelled`].
pub fn principal(values: ArrayView2<'_, f32>, wanted: usize, control: &Control) -> Result<Components> {
    let (n, f) = values.dim();
    if n == 0 || f == 0 {
        return Err(Error::parameter(
            "features",
            format!("{n} rows of {f} columns have no components"),
        ));
    }
    let (mean, variance) = moments(values);
    let total = variance.iter().sum();
    let width = (wanted + GUARD).min(f).min(n);
    // Vectors as rows of each column's entry: (columns, width).
    let source = Source::new(0, 0);
    let mut basis = Array2::from_shape_vec(
        (f, width),
        (0..f)
            .flat_map(|c| {
                let mut numbers = source.sequence(c as u64);
                (0..width).map(move |_| numbers.normal()).collect::<Vec<_>>()
            })
            .collect(),
    )
    .map_err(|e| Error::Internal(format!("components: {e}")))?;
    orthonormalise(&mut basis);
    let mut before = vec![0.0; width];
    let mut variances = vec![0.0; width];
    for _ in 0..ROUNDS {
        control.check()?;
        let scores = project(values, &mean, &basis);
        let image = back(values, &mean, &scores);
        // basisᵀ C basis, C the covariance.
        let small = product(&basis, &image).mapv(|v| v / n as f64);
        let (found, turn) = eigen(&small);
        basis = image.dot(&turn);
        orthonormalise(&mut basis);
        variances = found;
        let change = variances
            .iter()
            .zip(&before)
            .take(wanted.min(width))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        if change <= TOLERANCE * variances[0].abs() {
            break;
        }
        before.clone_from(&variances);
    }
    // The last turn within the final basis.
    let scores = project(values, &mean, &basis);
    let (found, turn) = eigen(&product(&scores, &scores).mapv(|v| v / n as f64));
    variances.clone_from(&found);
    let largest = variances.first().copied().unwrap_or(0.0);
    let rank = variances.iter().take_while(|v| **v > 1e-14 * largest && **v > 0.0).count();
    let keep = wanted.min(rank);
    let mut vectors = basis.dot(&turn).slice(ndarray::s![.., ..keep]).to_owned();
    let mut scores = scores.dot(&turn).slice(ndarray::s![.., ..keep]).to_owned();
    for k in 0..keep {
        let largest = vectors
            .column(k)
            .iter()
            .fold(0.0_f64, |m, v| if v.abs() > m.abs() { *v } else { m });
        if largest < 0.0 {
            vectors.column_mut(k).mapv_inplace(|v| -v);
            scores.column_mut(k).mapv_inplace(|v| -v);
        }
    }
    variances.truncate(keep);
    Ok(Components {
        mean,
        vectors,
        variances,
        scores,
        column_variances: variance,
        total,
    })
}

/// Mean and population variance of every column.
fn moments(values: ArrayView2<'_, f32>) -> (Vec<f64>, Vec<f64>) {
    let (n, f) = values.dim();
    let stripes: Vec<Vec<(f64, f64)>> = (0..f)
        .into_par_iter()
        .step_by(STRIPE)
        .map(|first| {
            let columns = first..(first + STRIPE).min(f);
            let stripe = values.slice(ndarray::s![.., columns.clone()]);
            let mut mean = vec![0.0; columns.len()];
            for row in stripe.rows() {
                mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v));
            }
            mean.iter_mut().for_each(|m| *m /= n as f64);
            let mut variance = vec![0.0; columns.len()];
            for row in stripe.rows() {
                for (s, (v, m)) in variance.iter_mut().zip(row.iter().zip(&mean)) {
                    *s += (f64::from(*v) - m).powi(2);
                }
            }
            mean.into_iter().zip(variance).map(|(m, v)| (m, v / n as f64)).collect()
        })
        .collect();
    stripes.into_iter().flatten().unzip()
}

/// (X − mean) B, (rows, width).
fn project(values: ArrayView2<'_, f32>, mean: &[f64], basis: &Array2<f64>) -> Array2<f64> {
    let width = basis.ncols();
    let mut scores = Array2::zeros((values.nrows(), width));
    let basis = basis.as_standard_layout();
    let flat = basis.as_slice().unwrap_or(&[]);
    scores
        .outer_iter_mut()
        .into_par_iter()
        .zip(values.outer_iter().into_par_iter())
        .for_each(|(mut out, row)| {
            let mut sums = vec![0.0; width];
            for ((v, m), b) in row.iter().zip(mean).zip(flat.chunks_exact(width)) {
                let v = f64::from(*v) - m;
                sums.iter_mut().zip(b).for_each(|(s, b)| *s += v * b);
            }
            out.iter_mut().zip(sums).for_each(|(o, s)| *o = s);
        });
    scores
}

/// (X − mean)ᵀ S, (columns, width).
pub(super) fn back(values: ArrayView2<'_, f32>, mean: &[f64], scores: &Array2<f64>) -> Array2<f64> {
    let (f, width) = (values.ncols(), scores.ncols());
    let flat = scores.as_slice().unwrap_or(&[]);
    let mut image = vec![0.0; f * width];
    image.par_chunks_mut(STRIPE * width).enumerate().for_each(|(stripe, image)| {
        let first = stripe * STRIPE;
        let count = image.len() / width;
        let columns = values.slice(ndarray::s![.., first..first + count]);
        for (row, scores) in columns.rows().into_iter().zip(flat.chunks_exact(width)) {
            for ((v, m), to) in row.iter().zip(&mean[first..]).zip(image.chunks_exact_mut(width)) {
                let v = f64::from(*v) - m;
                to.iter_mut().zip(scores).for_each(|(t, s)| *t += v * s);
            }
        }
    });
    Array2::from_shape_fn((f, width), |(c, k)| image[c * width + k])
}

/// AᵀB of two tall matrices.
fn product(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let width = a.ncols();
    let mut sums = Array2::<f64>::zeros((width, b.ncols()));
    for (a, b) in a.rows().into_iter().zip(b.rows()) {
        for (mut to, a) in sums.rows_mut().into_iter().zip(a) {
            to.iter_mut().zip(b).for_each(|(t, b)| *t += a * b);
        }
    }
    sums
}

/// Makes the columns orthonormal, twice for accuracy; a column that vanishes is set to zero.
fn orthonormalise(basis: &mut Array2<f64>) {
    for k in 0..basis.ncols() {
        for _ in 0..2 {
            for l in 0..k {
                let overlap: f64 = basis.column(l).iter().zip(basis.column(k)).map(|(a, b)| a * b).sum();
                let (other, mut own) = basis.multi_slice_mut((ndarray::s![.., l], ndarray::s![.., k]));
                own.scaled_add(-overlap, &other);
            }
        }
        let norm = basis.column(k).iter().map(|v| v * v).sum::<f64>().sqrt();
        let scale = if norm > f64::MIN_POSITIVE { 1.0 / norm } else { 0.0 };
        basis.column_mut(k).mapv_inplace(|v| v * scale);
    }
}

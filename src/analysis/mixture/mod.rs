//! Mixtures of Gaussians with full covariances, fitted by expectation and maximisation (A. Dempster, N. Laird, D. Rubin, *J. R. Stat. Soc. B* 39
//! (1977) 1; C. Bishop, *Pattern Recognition and Machine Learning* (2006), section 9.2.2), with the start and the end of scikit-learn's
//! `GaussianMixture`.
//!
//! Everything is float64; determinants exist as logarithms only. Sums over points run in blocks of fixed size that are added in their order,
//! so that the bits do not depend on threads.

mod kmeans;
mod triangle;

pub use kmeans::{KMeans, kmeans};

use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use triangle::Cholesky;

/// Points that one sum runs over.
pub(super) const BLOCK: usize = 256;

/// When and how a fit ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Added to the diagonal of every covariance.
    pub regularisation: f64,
    /// Change of the mean log-likelihood that counts as none.
    pub tolerance: f64,
    pub rounds: usize,
}

impl Default for Options {
    /// 10⁻⁶, 10⁻³, 100.
    fn default() -> Self {
        Options {
            regularisation: 1e-6,
            tolerance: 1e-3,
            rounds: 100,
        }
    }
}

/// A mixture of K Gaussians in D dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// (K), sum 1.
    pub weights: Vec<f64>,
    /// (K, D)
    pub means: Array2<f64>,
    /// K of (D, D)
    pub covariances: Vec<Array2<f64>>,
}

/// Where a fit starts.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Class of each point, 0 … K−1.
    Labels(&'a [usize], usize),
    /// The mixture itself.
    Mixture(&'a Mixture),
}

/// A mixture and how it describes the points.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    pub mixture: Mixture,
    /// Probability that a point belongs to a class, (N, K).
    pub responsibilities: Array2<f64>,
    /// The most probable class of each point.
    pub labels: Vec<usize>,
    /// Mean over the points of the logarithm of their probability density.
    pub mean_log_likelihood: f64,
    /// The same before each round.
    pub trace: Vec<f64>,
    pub converged: bool,
}

impl Fit {
    /// Schwarz's criterion −2 ln L + p ln N (the smaller the better), with p = K D(D+1)/2 + K D + K − 1 free parameters.
    pub fn bic(&self) -> f64 {
        let (n, k) = self.responsibilities.dim();
        let d = self.mixture.means.ncols();
        let free = k * d * (d + 1) / 2 + k * d + k - 1;
        -2.0 * n as f64 * self.mean_log_likelihood + free as f64 * (n as f64).ln()
    }
}

/// Fits a mixture to `points` (N, D) from a given start.
///
/// # Errors
/// [`Error::Parameter`] for points that are not finite, labels that do not fit, or a class without points from which a mean could be taken.
pub fn fit(points: ArrayView2<'_, f64>, start: Start<'_>, options: Options) -> Result<Fit> {
    let (n, d) = points.dim();
    if n == 0 || d == 0 || points.iter().any(|v| !v.is_finite()) {
        return Err(Error::parameter(
            "mixture",
            format!("{n} points of {d} values, all of which must be finite"),
        ));
    }
    let mut mixture = match start {
        Start::Labels(labels, classes) => {
            if labels.len() != n || classes == 0 || labels.iter().any(|&l| l >= classes) {
                return Err(Error::parameter(
                    "mixture",
                    format!("{} labels for {n} points and {classes} classes", labels.len()),
                ));
            }
            let mut certain = Array2::zeros((n, classes));
            labels.iter().enumerate().for_each(|(i, &l)| certain[[i, l]] = 1.0);
            maximisation(points, &certain, options.regularisation)
        }
        Start::Mixture(m) => {
            let k = m.weights.len();
            let square = m.covariances.iter().all(|c| c.dim() == (d, d));
            if k == 0 || m.means.dim() != (k, d) || m.covariances.len() != k || !square {
                return Err(Error::parameter(
                    "mixture",
                    format!("{k} classes to start from do not fit points of {d} values"),
                ));
            }
            m.clone()
        }
    };
    let (mut trace, mut converged) = (Vec::new(), false);
    for _ in 0..options.rounds {
        let (responsibilities, mean) = expectation(points, &mixture)?;
        mixture = maximisation(points, &responsibilities, options.regularisation);
        let change = trace.last().map_or(f64::INFINITY, |before| mean - before);
        trace.push(mean);
        if change.abs() < options.tolerance {
            converged = true;
            break;
        }
    }
    let (responsibilities, mean_log_likelihood) = expectation(points, &mixture)?;
    let labels = responsibilities.rows().into_iter().map(|row| largest(row.iter())).collect();
    Ok(Fit {
        mixture,
        responsibilities,
        labels,
        mean_log_likelihood,
        trace,
        converged,
    })
}

/// The best of several fits, each started from another k-means clustering of the points.
///
/// # Errors
/// As [`fit`], and fewer points than classes.
pub fn best_of(points: ArrayView2<'_, f64>, classes: usize, starts: usize, seed: u64, options: Options) -> Result<Fit> {
    let mut best: Option<Fit> = None;
    for start in 0..starts.max(1) {
        let of = kmeans(points, classes, 1, seed.wrapping_add(start as u64))?;
        let found = fit(points, Start::Labels(&of.labels, classes), options)?;
        if best
            .as_ref()
            .is_none_or(|b| found.mean_log_likelihood > b.mean_log_likelihood)
        {
            best = Some(found);
        }
    }
    best.ok_or_else(|| Error::Internal("a mixture without a start".into()))
}

fn largest<'a>(values: impl Iterator<Item = &'a f64>) -> usize {
    let best = values.enumerate().fold(
        (0, f64::NEG_INFINITY),
        |(at, most), (i, &v)| if v > most { (i, v) } else { (at, most) },
    );
    best.0
}

/// Responsibilities and the mean log-likelihood.
fn expectation(points: ArrayView2<'_, f64>, mixture: &Mixture) -> Result<(Array2<f64>, f64)> {
    let (n, d) = points.dim();
    let k = mixture.weights.len();
    let factors: Vec<Cholesky> = mixture
        .covariances
        .par_iter()
        .map(|c| {
            Cholesky::of(c).ok_or_else(|| {
                Error::parameter(
                    "mixture",
                    "a class has a covariance without inverse: raise its regularisation",
                )
            })
        })
        .collect::<Result<_>>()?;
    let constant: Vec<f64> = (0..k)
        .map(|c| mixture.weights[c].ln() - 0.5 * d as f64 * std::f64::consts::TAU.ln() - factors[c].half_log_determinant())
        .collect();
    let mut responsibilities = Array2::zeros((n, k));
    let sums: Vec<f64> = responsibilities
        .axis_chunks_iter_mut(Axis(0), BLOCK)
        .into_par_iter()
        .zip(points.axis_chunks_iter(Axis(0), BLOCK))
        .map(|(mut out, points)| {
            let mut away = Array2::zeros((d, points.nrows()));
            for c in 0..k {
                let mean = mixture.means.row(c);
                for ((mut to, values), m) in away.rows_mut().into_iter().zip(points.columns()).zip(mean) {
                    to.iter_mut().zip(values).for_each(|(t, v)| *t = v - m);
                }
                let distances = factors[c].distances2(away.view_mut());
                for (to, d2) in out.column_mut(c).iter_mut().zip(distances) {
                    *to = constant[c] - 0.5 * d2;
                }
            }
            let mut sum = 0.0;
            for mut out in out.rows_mut() {
                let top = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log = top + out.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
                out.mapv_inplace(|v| (v - log).exp());
                sum += log;
            }
            sum
        })
        .collect();
    Ok((responsibilities, sums.iter().sum::<f64>() / n as f64))
}

/// The mixture that suits the responsibilities best.
fn maximisation(points: ArrayView2<'_, f64>, responsibilities: &Array2<f64>, regularisation: f64) -> Mixture {
    let d = points.ncols();
    let k = responsibilities.ncols();
    // A class that nobody belongs to must not divide by zero.
    let sizes: Vec<f64> = responsibilities
        .sum_axis(Axis(0))
        .iter()
        .map(|s| s + 10.0 * f64::EPSILON)
        .collect();
    let whole: f64 = sizes.iter().sum();
    let mut means = Array2::zeros((k, d));
    for (point, shares) in points.rows().into_iter().zip(responsibilities.rows()) {
        for (mut mean, &share) in means.rows_mut().into_iter().zip(shares) {
            if share != 0.0 {
                mean.scaled_add(share, &point);
            }
        }
    }
    means
        .rows_mut()
        .into_iter()
        .zip(&sizes)
        .for_each(|(mut m, s)| m.mapv_inplace(|v| v / s));
    let covariances = (0..k)
        .into_par_iter()
        .map(|c| {
            let mut covariance = scatter(points, responsibilities.column(c), means.row(c).to_owned());
            covariance.mapv_inplace(|v| v / sizes[c]);
            covariance.diag_mut().mapv_inplace(|v| v + regularisation);
            covariance
        })
        .collect();
    Mixture {
        weights: sizes.iter().map(|s| s / whole).collect(),
        means,
        covariances,
    }
}

/// Σ share (x − mean)(x − mean)ᵀ over the points.
fn scatter(points: ArrayView2<'_, f64>, shares: ndarray::ArrayView1<'_, f64>, mean: Array1<f64>) -> Array2<f64> {
    let d = points.ncols();
    let mut sum = Array2::zeros((d, d));
    for (points, shares) in points
        .axis_chunks_iter(Axis(0), BLOCK)
        .zip(shares.axis_chunks_iter(Axis(0), BLOCK))
    {
        let used: Vec<usize> = (0..shares.len()).filter(|&i| shares[i] > 0.0).collect();
        if used.is_empty() {
            continue;
        }
        let away = Array2::from_shape_fn((used.len(), d), |(i, j)| {
            (points[[used[i], j]] - mean[j]) * shares[used[i]].sqrt()
        });
        sum += &away.t().dot(&away);
    }
    sum
}

//! The density term of densMAP: local radii in the data shall go with local radii in the embedding.
//!
//! A. Narayan, B. Berger, H. Cho, *Nat. Biotechnol.* 39 (2021) 765. With strengths μ and distances d of the edges,
//! r_i = ln(ε + Σ μ d²/Σ μ) is the radius in the data, R its standardised value over all points; with φ and the squared distances
//! D of the embedding q_i = ln(ε + Σ φ D/Σ φ) is the radius there. The objective gains −λ μ_tot C with
//! C = (1/n) Σ R q/s, s² = var q + shift.

use super::curve::Curve;
use super::graph::Graph;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Keeps logarithms of radii finite.
const EPSILON: f64 = 1e-8;

/// How strong the term is and when it acts.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Density {
    /// Weight λ.
    pub lambda: f64,
    /// Share of the epochs, counted from the end, in which the term acts.
    pub fraction: f64,
    /// Added to the variance of the radii in the embedding.
    pub variance_shift: f64,
}

impl Default for Density {
    /// λ = 2, the last 30 % of the epochs, 0.1: the published values.
    fn default() -> Self {
        Density {
            lambda: 2.0,
            fraction: 0.3,
            variance_shift: 0.1,
        }
    }
}

/// Logarithm of the local radius of every vertex in the data: ln(1e-8 + Σ μ d²/Σ μ) over its edges.
pub fn data_radii(graph: &Graph, distances: &[f64]) -> Vec<f64> {
    (0..graph.len())
        .map(|i| {
            let (mut weighted, mut weights) = (0.0, 0.0);
            for ((_, mu), d) in graph.row(i).zip(&distances[graph.start[i]..]) {
                weighted += mu * d * d;
                weights += mu;
            }
            (EPSILON + if weights > 0.0 { weighted / weights } else { 0.0 }).ln()
        })
        .collect()
}

/// Values minus their mean, over their population standard deviation; zeros if all are equal.
pub fn standardised(values: &[f64]) -> Vec<f64> {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
    values.iter().map(|v| (v - mean) * scale).collect()
}

/// What an epoch needs of the embedding as it was when the epoch began.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// q: logarithm of the local radius in the embedding.
    pub log_radius: Vec<f64>,
    /// P: Σ φ over both stored directions of the edges of each vertex.
    pub phi_sum: Vec<f64>,
    /// z = R − cov (q − mean q)/s².
    pub weight: Vec<f64>,
    /// Mean of q.
    pub mean: f64,
    /// s.
    pub deviation: f64,
    /// Σ R q/(n − 1).
    pub covariance: f64,
}

impl State {
    /// Radii of `embedding` (n, components) on the edges of `graph`, against the standardised radii `data` of the data.
    pub fn of(graph: &Graph, embedding: ArrayView2<f32>, data: &[f64], curve: Curve, density: &Density) -> State {
        let n = graph.len();
        let embedding = embedding.as_standard_layout();
        let (flat, dimensions) = (embedding.as_slice().unwrap_or(&[]), embedding.ncols());
        let radius = |i: usize| {
            let here = &flat[i * dimensions..][..dimensions];
            let (mut weighted, mut weights) = (0.0, 0.0);
            for (j, _) in graph.row(i) {
                let there = &flat[j * dimensions..][..dimensions];
                let square = squared_distance(here, there);
                let phi = curve.phi(square);
                // An edge is stored in both directions, and each of them counts for both its ends.
                weighted += 2.0 * phi * square;
                weights += 2.0 * phi;
            }
            let mean = if weights > 0.0 { weighted / weights } else { 0.0 };
            ((EPSILON + mean).ln(), weights)
        };
        let (log_radius, phi_sum): (Vec<f64>, Vec<f64>) = (0..n).into_par_iter().map(radius).unzip();
        let count = n.max(1) as f64;
        let mean = log_radius.iter().sum::<f64>() / count;
        let variance = log_radius.iter().map(|q| (q - mean).powi(2)).sum::<f64>() / count;
        let square = variance + density.variance_shift;
        let covariance = data.iter().zip(&log_radius).map(|(r, q)| r * q).sum::<f64>() / (count - 1.0).max(1.0);
        let weight = data
            .iter()
            .zip(&log_radius)
            .map(|(r, q)| r - covariance * (q - mean) / square)
            .collect();
        State {
            log_radius,
            phi_sum,
            weight,
            mean,
            deviation: square.sqrt(),
            covariance,
        }
    }

    /// Derivative of the radius of vertex `i` with respect to the squared distance of one of its edges, of which φ and D are given.
    #[inline]
    fn slope(&self, i: usize, phi: f64, h: f64, b: f64) -> f64 {
        phi / self.phi_sum[i] * ((1.0 - b * (1.0 - phi)) * (-self.log_radius[i]).exp() + h)
    }

    /// Coefficient G of the edge (i, j) of strength `mu`: the term moves i by 2 G (y_i − y_j) each time the edge is drawn.
    /// `scale` is λ μ_tot/(s n).
    #[inline]
    pub fn coefficient(&self, (i, j): (usize, usize), mu: f64, square: f64, curve: Curve, scale: f64) -> f64 {
        let phi = curve.phi(square);
        // a b D^(b−1)/(1 + a D^b)
        let h = if square > 0.0 {
            curve.a * curve.b * square.powf(curve.b - 1.0) * phi
        } else {
            0.0
        };
        let slopes = self.weight[i] * self.slope(i, phi, h, curve.b) + self.weight[j] * self.slope(j, phi, h, curve.b);
        scale / mu * slopes
    }
}

/// Squared distance of two positions, in float64.
#[inline]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum()
}

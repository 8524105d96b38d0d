//! Candidate lattice vectors of a cloud of points: what occurs often among the differences of its points.

use super::{Vector, angle, from_polar, length};
use crate::analysis::hdbscan::Hdbscan;
use crate::error::Result;
use ndarray::Array2;

/// Differences of all pairs of points in the half plane x > 0, or x = 0 and y ≥ 0, whose length is positive and between
/// `min_delta` and `max_delta`, shortest first.
pub fn differences(points: &[Vector], min_delta: f64, max_delta: f64) -> Vec<Vector> {
    let mut all = Vec::new();
    for (i, p) in points.iter().enumerate() {
        for q in &points[i + 1..] {
            let d = [p[0] - q[0], p[1] - q[1]];
            let d = if d[1] < 0.0 || (d[1] == 0.0 && d[0] < 0.0) {
                [-d[0], -d[1]]
            } else {
                d
            };
            let l = length(d);
            if l > 0.0 && l >= min_delta && l <= max_delta {
                all.push(d);
            }
        }
    }
    all.sort_by(|a, b| length(*a).total_cmp(&length(*b)));
    all
}

/// Centres of the clusters of `differences` in the plane of length (px) and angle (rad), shortest first: means weighted with
/// the membership probability. Clusters that scatter by more than `tolerance` (√(var length + var angle)) are left out.
///
/// # Errors
/// Those of [`Hdbscan::fit`].
pub fn clustered(differences: &[Vector], hdbscan: &Hdbscan, tolerance: f64) -> Result<Vec<Vector>> {
    let polar = Array2::from_shape_fn((differences.len(), 2), |(n, k)| {
        if k == 0 {
            length(differences[n])
        } else {
            angle(differences[n])
        }
    });
    let clusters = hdbscan.fit(polar.view())?;
    // Per cluster: members, plain sums, sums of squares about them, weighted sums.
    let mut centres = Vec::new();
    for label in 0..clusters.len() as i32 {
        let members = || (0..differences.len()).filter(|&n| clusters.labels[n] == label);
        let count = members().count() as f64;
        let total: f64 = members().map(|n| clusters.probabilities[n]).sum();
        let (mut variance, mut centre) = (0.0, [0.0; 2]);
        for k in 0..2 {
            let mean = members().map(|n| polar[[n, k]]).sum::<f64>() / count;
            variance += members().map(|n| (polar[[n, k]] - mean).powi(2)).sum::<f64>() / count;
            centre[k] = members().map(|n| clusters.probabilities[n] * polar[[n, k]]).sum::<f64>() / total;
        }
        // False for NaN: a cluster without weight.
        if variance.sqrt() <= tolerance && centre[0].is_finite() && centre[1].is_finite() {
            centres.push(centre);
        }
    }
    centres.sort_by(|a, b| a[0].total_cmp(&b[0]));
    Ok(centres.into_iter().map(|[length, angle]| from_polar(length, angle)).collect())
}

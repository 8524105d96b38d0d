//! k-means: Lloyd's iteration from k-means++ starts (D. Arthur, S. Vassilvitskii, *SODA* 2007, 1027), with several candidates for each
//! centre of which the one that lowers the sum most is taken.

use super::{BLOCK, largest};
use crate::error::{Error, Result};
use crate::rng::{Sequence, Source};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// What random numbers are for.
const PURPOSE: u8 = 64;
/// Rounds at most; the iteration ends before when no point changes sides.
const ROUNDS: usize = 300;

/// Clusters about their means.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// Cluster of each point.
    pub labels: Vec<usize>,
    /// (k, D)
    pub centres: Array2<f64>,
    /// Sum of the squared distances of points from their centres.
    pub inertia: f64,
}

/// The best of `starts` clusterings of `points` (N, D) into `k`.
///
/// # Errors
/// [`Error::Parameter`] for fewer points than clusters, or values that are not finite.
pub fn kmeans(points: ArrayView2<'_, f64>, k: usize, starts: usize, seed: u64) -> Result<KMeans> {
    let n = points.nrows();
    if k == 0 || n < k {
        return Err(Error::parameter("--classes", format!("{k} classes of {n} samples")));
    }
    if points.iter().any(|v| !v.is_finite()) {
        return Err(Error::parameter("--classes", "samples with values that are not finite"));
    }
    let source = Source::new(seed, PURPOSE);
    let mut best: Option<KMeans> = None;
    for start in 0..starts.max(1) {
        let centres = spread(points, k, &mut source.sequence(start as u64));
        let found = lloyd(points, centres);
        if best.as_ref().is_none_or(|b| found.inertia < b.inertia) {
            best = Some(found);
        }
    }
    best.ok_or_else(|| Error::Internal("k-means without a start".into()))
}

fn distance2(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Centres far from each other: each is a point, drawn with a probability as its squared distance from those before.
fn spread(points: ArrayView2<'_, f64>, k: usize, random: &mut Sequence) -> Array2<f64> {
    let n = points.nrows();
    let mut centres = Array2::zeros((k, points.ncols()));
    centres.row_mut(0).assign(&points.row(random.below(n)));
    let to = |c: usize| -> Vec<f64> {
        (0..n)
            .into_par_iter()
            .map(|i| distance2(points.row(i), points.row(c)))
            .collect()
    };
    let mut least: Vec<f64> = (0..n).map(|i| distance2(points.row(i), centres.row(0))).collect();
    let candidates = 2 + (k as f64).ln() as usize;
    for c in 1..k {
        let whole: f64 = least.iter().sum();
        let draws: Vec<usize> = (0..candidates)
            .map(|_| {
                let mut rest = random.unit() * whole;
                let at = least.iter().position(|d| {
                    rest -= d;
                    rest < 0.0
                });
                // All points coincide with a centre: any will do.
                at.unwrap_or_else(|| random.below(n))
            })
            .collect();
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for at in draws {
            let now: Vec<f64> = to(at).iter().zip(&least).map(|(a, b)| a.min(*b)).collect();
            let sum: f64 = now.iter().sum();
            if best.as_ref().is_none_or(|b| sum < b.0) {
                best = Some((sum, at, now));
            }
        }
        if let Some((_, at, now)) = best {
            centres.row_mut(c).assign(&points.row(at));
            least = now;
        }
    }
    centres
}

fn lloyd(points: ArrayView2<'_, f64>, mut centres: Array2<f64>) -> KMeans {
    let (n, k) = (points.nrows(), centres.nrows());
    let mut labels = vec![usize::MAX; n];
    let mut away = vec![0.0; n];
    for _ in 0..ROUNDS {
        let found: Vec<(usize, f64)> = (0..n)
            .into_par_iter()
            .with_min_len(BLOCK)
            .map(|i| {
                let to: Vec<f64> = centres.rows().into_iter().map(|c| -distance2(points.row(i), c)).collect();
                let at = largest(to.iter());
                (at, -to[at])
            })
            .collect();
        let changed = found.iter().zip(&labels).any(|((to, _), before)| to != before);
        for ((label, away), (to, distance)) in labels.iter_mut().zip(&mut away).zip(&found) {
            (*label, *away) = (*to, *distance);
        }
        if !changed {
            break;
        }
        let mut sizes = vec![0usize; k];
        centres.fill(0.0);
        for (point, &label) in points.axis_iter(Axis(0)).zip(&labels) {
            let mut centre = centres.row_mut(label);
            centre += &point;
            sizes[label] += 1;
        }
        for (c, &size) in sizes.iter().enumerate() {
            if size > 0 {
                centres.row_mut(c).mapv_inplace(|v| v / size as f64);
            } else {
                // An empty cluster moves to the point that is worst off.
                let far = largest(away.iter());
                centres.row_mut(c).assign(&points.row(far));
                away[far] = 0.0;
            }
        }
    }
    KMeans {
        inertia: away.iter().sum(),
        labels,
        centres,
    }
}

//! Ward's dendrogram of points that are not bound to a grid (J. H. Ward, *J. Am. Stat. Assoc.* 58 (1963) 236), as scipy's `linkage` gives it.

use super::tree::Tree;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Memory for `n` points: all distances once.
pub fn bytes(n: usize) -> u64 {
    8 * (n as u64) * (n as u64).saturating_sub(1) / 2
}

/// The merge tree of `points` (N, D) by ward's criterion. Distances are those of scipy: √(2 · increase of the sum of squares). The nearest pair merges first, found
/// along chains of nearest neighbours in O(N²) (D. Müllner, arXiv:1109.2378).
///
/// # Errors
/// [`Error::Parameter`] for values that are not finite, [`Error::Memory`] if the distances do not fit a quarter of the memory, [`Error::Cancelled`].
pub fn ward(points: ArrayView2<'_, f64>, control: &Control) -> Result<Tree> {
    let n = points.nrows();
    if n == 0 || points.iter().any(|v| !v.is_finite()) {
        return Err(Error::parameter(
            "linkage",
            format!("{n} points, all of whose values must be finite"),
        ));
    }
    if bytes(n) > control.memory / 4 {
        return Err(Error::Memory {
            what: format!("the distances of {n} points take {} MiB", bytes(n) >> 20),
        });
    }
    let dimensions = points.ncols();
    let flat: Vec<f64> = points.iter().copied().collect();
    let row = |i: usize| &flat[i * dimensions..(i + 1) * dimensions];
    let mut distances = vec![0.0; n * (n - 1) / 2];
    // One slice for the pairs of each point with those behind it.
    let mut rest = &mut distances[..];
    let mut of_point = Vec::with_capacity(n);
    for i in 0..n {
        let (own, others) = std::mem::take(&mut rest).split_at_mut(n - 1 - i);
        of_point.push(own);
        rest = others;
    }
    of_point.into_par_iter().enumerate().for_each(|(i, own)| {
        let a = row(i);
        own.iter_mut().zip(i + 1..n).for_each(|(d, j)| *d = distance(a, row(j)));
    });
    control.check()?;
    let merges = kodama::linkage(&mut distances, n, kodama::Method::Ward);
    let steps = merges.steps();
    let pair = |s: &kodama::Step<f64>| [s.cluster1 as u32, s.cluster2 as u32];
    Tree::new(
        n,
        steps.iter().map(pair).collect(),
        steps.iter().map(|s| s.dissimilarity).collect(),
    )
}

/// Distance of two points, in sixteen running sums, added in a fixed order.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    let tail: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| (a - b) * (a - b)).sum();
    (lanes.iter().sum::<f64>() + tail).sqrt()
}

/// The tree as rows (first, second, distance, number of points), scipy's linkage matrix.
pub fn rows(tree: &Tree) -> Array2<f64> {
    let n = tree.leaves();
    let mut sizes = vec![1.0; n];
    let mut out = Array2::zeros((tree.children().len(), 4));
    for (k, (&[a, b], &d)) in tree.children().iter().zip(tree.distances()).enumerate() {
        let size = sizes[a as usize] + sizes[b as usize];
        sizes.push(size);
        out.row_mut(k)
            .assign(&ndarray::arr1(&[f64::from(a.min(b)), f64::from(a.max(b)), d, size]));
    }
    out
}

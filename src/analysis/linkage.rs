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
    let mut distances: Vec<f64> = (0..n)
        .into_par_iter()
        .flat_map_iter(|i| {
            let a = points.row(i);
            (i + 1..n).map(move |j| {
                a.iter()
                    .zip(points.row(j))
                    .map(|(a, b)| (a - b) * (a - b))
                    .sum::<f64>()
                    .sqrt()
            })
        })
        .collect();
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

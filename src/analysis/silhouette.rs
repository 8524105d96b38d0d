//! How well points lie in their classes (P. J. Rousseeuw, *J. Comput. Appl. Math.* 20 (1987) 53).

use super::linkage::distance;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// The silhouette of each point, −1 … 1: (b − a) / max(a, b), a its mean distance from the others of its class and b the least mean distance from another
/// class. 0 for points that are alone in their class; negative labels count for nothing and get NaN. With fewer than two classes all are NaN.
pub fn silhouettes(points: ArrayView2<'_, f64>, labels: &[i32]) -> Vec<f64> {
    let classes = labels.iter().map(|&l| l + 1).max().unwrap_or(0).max(0) as usize;
    let mut sizes = vec![0usize; classes];
    labels
        .iter()
        .filter_map(|&l| usize::try_from(l).ok())
        .for_each(|l| sizes[l] += 1);
    let several = sizes.iter().filter(|&&s| s > 0).count() > 1;
    let dimensions = points.ncols();
    let flat: Vec<f64> = points.iter().copied().collect();
    let row = |i: usize| &flat[i * dimensions..(i + 1) * dimensions];
    (0..points.nrows())
        .into_par_iter()
        .map(|i| {
            let Some(own) = labels.get(i).and_then(|&l| usize::try_from(l).ok()).filter(|_| several) else {
                return f64::NAN;
            };
            if sizes[own] == 1 {
                return 0.0;
            }
            let mut sums = vec![0.0; classes];
            for (j, &label) in labels.iter().enumerate() {
                if let Ok(label) = usize::try_from(label) {
                    sums[label] += distance(row(i), row(j));
                }
            }
            let a = sums[own] / (sizes[own] - 1) as f64;
            let others = (0..classes).filter(|&c| c != own && sizes[c] > 0);
            let b = others.map(|c| sums[c] / sizes[c] as f64).fold(f64::INFINITY, f64::min);
            if a.max(b) == 0.0 { 0.0 } else { (b - a) / a.max(b) }
        })
        .collect()
}

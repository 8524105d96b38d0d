//! Pixels that one frame alone makes bright: cosmic rays, X-rays in the detector, sparks of its electronics.
//!
//! Such a frame carries most of its pixel's variance. A standard-deviation map then shows a maximum as high as a diffraction disk, and features
//! that see the pixel tell this frame from all others, whatever the crystals are. Static faults (hot pixels) are another matter: `--bad-pixels`.

use super::nearby::square;
use super::robust::median;
use ndarray::{Array2, ArrayView2};

/// Frames at least: of a few, one always carries much.
const FRAMES: u64 = 16;
/// Share of its pixel's variance that one frame carries at least.
const SHARE: f64 = 0.5;
/// A hit varies so many times more than pixels around it, the median of those at most [`AROUND`] away in y and x.
const STANDS_OUT: f64 = 5.0;
const AROUND: usize = 2;
/// At least so many of the smallest counts that the scan knows: where almost all counts are 0, a single electron is no hit.
const COUNTS: f64 = 10.0;

/// Pixels (y, x) that a single one of `frames` frames makes bright, by the mean, standard deviation and maximum of each pixel, in order of
/// their place. Pixels of crystals that show in one frame alone look the same where a disk covers a few pixels only.
pub fn hits(mean: ArrayView2<'_, f64>, std: ArrayView2<'_, f64>, max: ArrayView2<'_, f64>, frames: u64) -> Vec<[usize; 2]> {
    if frames < FRAMES || mean.dim() != std.dim() || max.dim() != std.dim() {
        return Vec::new();
    }
    let smallest = max.iter().copied().filter(|&v| v > 0.0).fold(f64::INFINITY, f64::min);
    let least = if smallest.is_finite() { COUNTS * smallest } else { 0.0 };
    let lonely = |at: (usize, usize)| {
        let (rise, s) = (max[at] - mean[at], std[at]);
        rise >= least && rise * rise >= SHARE * frames as f64 * s * s && s > STANDS_OUT * around(std, at, &[])
    };
    std.indexed_iter()
        .map(|(at, _)| at)
        .filter(|&at| lonely(at))
        .map(|(y, x)| [y, x])
        .collect()
}

/// Median about a pixel, without it and those of `without` (in order).
fn around(map: ArrayView2<'_, f64>, at: (usize, usize), without: &[[usize; 2]]) -> f64 {
    let other = |p: &(usize, usize)| *p != at && without.binary_search(&[p.0, p.1]).is_err();
    median(square(at, AROUND, map.dim()).filter(other).map(|p| map[p]))
}

/// `map` with what lies around `hits` in their place.
pub fn without(map: &Array2<f64>, hits: &[[usize; 2]]) -> Array2<f64> {
    let mut out = map.clone();
    for &[y, x] in hits {
        let value = around(map.view(), (y, x), hits);
        if value.is_finite() {
            out[[y, x]] = value;
        }
    }
    out
}

/// Takes hits out of features (frames × P): of each column the values furthest from its median, as many as `seen` says it may see hits, become
/// as far from it as the next one. Returns how many values changed.
pub fn clip(features: &mut Array2<f32>, seen: &[usize]) -> usize {
    let mut changed = 0;
    for (mut column, &hits) in features.columns_mut().into_iter().zip(seen) {
        if hits == 0 || hits >= column.len() / 2 {
            continue;
        }
        let centre = median(column.iter().map(|&v| f64::from(v)));
        let off = |v: f32| (f64::from(v) - centre).abs();
        let mut order: Vec<usize> = (0..column.len()).collect();
        order.sort_by(|&i, &j| off(column[j]).total_cmp(&off(column[i])).then(i.cmp(&j)));
        let limit = off(column[order[hits]]);
        for &i in &order[..hits] {
            let v = column[i];
            let clipped = (centre + limit.copysign(f64::from(v) - centre)) as f32;
            if clipped != v {
                column[i] = clipped;
                changed += 1;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_stand_alone() {
        let n = 100u64;
        let mut mean = Array2::from_elem((9, 9), 5.0);
        let mut std = Array2::from_elem((9, 9), 2.0);
        let mut max = Array2::from_elem((9, 9), 12.0);
        // One frame of a hundred has 1000 counts more.
        (mean[[4, 5]], std[[4, 5]], max[[4, 5]]) = (15.0, 99.5, 1005.0);
        // A disk of ten frames.
        for (y, x) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            (mean[[y, x]], std[[y, x]], max[[y, x]]) = (105.0, 300.0, 1005.0);
        }
        assert_eq!(hits(mean.view(), std.view(), max.view(), n), [[4, 5]]);
        assert!(hits(mean.view(), std.view(), max.view(), 10).is_empty());
        let cleaned = without(&std, &[[4, 5]]);
        assert_eq!((cleaned[[4, 5]], cleaned[[1, 1]]), (2.0, 300.0));

        // Single electrons in an empty scan.
        let (mut mean, mut std, mut max) = (Array2::zeros((9, 9)), Array2::zeros((9, 9)), Array2::zeros((9, 9)));
        (mean[[4, 5]], std[[4, 5]], max[[4, 5]]) = (0.01, 0.0995, 1.0);
        assert!(hits(mean.view(), std.view(), max.view(), n).is_empty());
        (mean[[1, 1]], std[[1, 1]], max[[1, 1]]) = (1.0, 9.95, 100.0);
        assert_eq!(hits(mean.view(), std.view(), max.view(), n), [[1, 1]]);
    }

    #[test]
    fn features_are_clipped_where_a_hit_may_be_seen() {
        let mut features = Array2::from_shape_fn((8, 2), |(i, _)| i as f32);
        features[[2, 0]] = 900.0;
        features[[2, 1]] = 900.0;
        let before = features.clone();
        assert_eq!(clip(&mut features, &[0, 0]), 0);
        assert_eq!(features, before);
        assert_eq!(clip(&mut features, &[1, 0]), 1);
        // About the median 4.5 the furthest other value is 0.
        assert_eq!(features[[2, 0]], 9.0);
        assert_eq!(features.column(1), before.column(1));
    }
}

//! Classes over the frame and over the movie: mean windows, counts, densities.

use super::super::detected::Detected;
use crate::analysis::Recipe;
use ndarray::{Array2, Array3, Axis, s};

/// Mean window of each class (K, s, s); NaN for those without windows.
pub(super) fn means(windows: &Array3<f32>, labels: &[i32], classes: usize) -> Array3<f64> {
    let (_, h, w) = windows.dim();
    let mut sums = Array3::<f64>::zeros((classes, h, w));
    let mut sizes = vec![0usize; classes];
    for (window, &label) in windows.outer_iter().zip(labels) {
        let mut sum = sums.index_axis_mut(Axis(0), label as usize);
        sum.zip_mut_with(&window, |s, v| *s += f64::from(*v));
        sizes[label as usize] += 1;
    }
    for (mut sum, size) in sums.outer_iter_mut().zip(sizes) {
        sum.mapv_inplace(|v| v / size as f64);
    }
    sums
}

/// Windows of each class in each frame (K, frames).
pub(super) fn counts(found: &Detected, labels: &[i32], classes: usize) -> Array2<i32> {
    let mut counts = Array2::zeros((classes, found.frames));
    for (&i, &label) in found.with_window().iter().zip(labels) {
        counts[[label as usize, found.index(i)]] += 1;
    }
    counts
}

/// Moving averages over `over` frames, about each frame with fewer at the ends; published: frames k … k + over − 1 for each k, so that there are `over` − 1 fewer.
pub(super) fn averages(counts: &Array2<i32>, over: usize, recipe: Recipe) -> Array2<f64> {
    let (classes, frames) = counts.dim();
    let row = |r: usize| -> Vec<f64> {
        match r {
            r if r < classes => counts.row(r).iter().map(|&c| f64::from(c)).collect(),
            _ => counts.columns().into_iter().map(|c| f64::from(c.sum())).collect(),
        }
    };
    let over = over.min(frames);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let rows: Vec<Vec<f64>> = (0..=classes)
        .map(|r| {
            let row = row(r);
            match recipe {
                Recipe::Published => row.windows(over).map(mean).collect(),
                Recipe::Default => {
                    let (before, after) = (over / 2, (over - 1) / 2);
                    let part = |f: usize| &row[f.saturating_sub(before)..(f + after + 1).min(frames)];
                    (0..frames).map(|f| mean(part(f))).collect()
                }
            }
        })
        .collect();
    Array2::from_shape_fn((classes + 1, rows[0].len()), |(r, f)| rows[r][f])
}

/// Where each class was seen. Default: each window adds a Gaussian of sum 1 and standard deviation [`blur`] about its centre, the drift taken out, divided by the number of frames.
/// Published: one in all pixels of the window, divided by the number of frames, the drift left in and rows and columns exchanged as the notebook stores it.
pub(super) fn density(found: &Detected, labels: &[i32], classes: usize, recipe: Recipe) -> Array3<f32> {
    let [h, w] = found.size;
    let side = found.windows.dim().1 as i64;
    let published = recipe == Recipe::Published;
    let mut density = Array3::<f32>::zeros(if published { (classes, w, h) } else { (classes, h, w) });
    let clip = |v: i64, n: usize| v.clamp(0, n as i64) as usize;
    let sigma = blur(found);
    let reach = (3.0 * sigma).ceil();
    for (&i, &label) in found.with_window().iter().zip(labels) {
        let mut map = density.index_axis_mut(Axis(0), label as usize);
        let (rows, columns) = map.dim();
        if published {
            let [y, x] = [found.x[i], found.y[i]].map(|v| (v - side as f64 / 2.0).round_ties_even() as i64);
            map.slice_mut(s![
                clip(y, rows)..clip(y + side, rows),
                clip(x, columns)..clip(x + side, columns)
            ])
            .mapv_inplace(|v| v + 1.0);
            continue;
        }
        let at = found.still(i);
        let range = |v: f64, n: usize| clip((v - reach).floor() as i64, n)..clip((v + reach).ceil() as i64 + 1, n);
        for y in range(at[0], rows) {
            for x in range(at[1], columns) {
                let d2 = (y as f64 - at[0]).powi(2) + (x as f64 - at[1]).powi(2);
                map[[y, x]] += ((-0.5 * d2 / (sigma * sigma)).exp() / (std::f64::consts::TAU * sigma * sigma)) as f32;
            }
        }
    }
    density.mapv_inplace(|v| v / found.frames as f32);
    density
}

/// Standard deviation in pixels of the spot that a window makes in a density.
fn blur(found: &Detected) -> f64 {
    (found.windows.dim().1 as f64 / 16.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_of_counts() {
        let counts = Array2::from_shape_fn((1, 6), |(_, f)| f as i32 * 6);
        let published = averages(&counts, 3, Recipe::Published);
        assert_eq!(published.row(0).to_vec(), [6.0, 12.0, 18.0, 24.0]);
        let about = averages(&counts, 3, Recipe::Default);
        assert_eq!(about.row(1).to_vec(), [3.0, 6.0, 12.0, 18.0, 24.0, 27.0]);
        // Fewer frames than are averaged over: all of them.
        assert_eq!(averages(&counts, 50, Recipe::Published).dim(), (2, 1));
    }
}

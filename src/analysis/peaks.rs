//! Maxima of a map.

use ndarray::ArrayView2;

/// A maximum of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Row.
    pub y: usize,
    /// Column.
    pub x: usize,
    /// Value of the map there.
    pub value: f64,
}

/// The `n` highest maxima of `map`, highest first, ties in C order; fewer if there are fewer.
///
/// A pixel is a maximum if it equals the largest value of its 3 × 3 neighbourhood and is above the smallest value of the map.
/// There is no other threshold and no minimum distance, so with a large `n` some maxima are noise, and every pixel of a
/// plateau counts. Pixels of the outermost rows and columns are none, since part of their neighbourhood is unknown; they
/// still hide lower neighbours. NaN is never a maximum and hides nothing. This is the rule of LiberTEM-blobfinder's
/// `get_peaks` (scikit-image's `peak_local_max`), for both recipes.
pub fn find_peaks(map: ArrayView2<f64>, n: usize) -> Vec<Peak> {
    let (h, w) = map.dim();
    if n == 0 || h < 3 || w < 3 {
        return Vec::new();
    }
    let lowest = map.iter().copied().fold(f64::INFINITY, f64::min);
    let mut peaks = Vec::new();
    let map = map.as_standard_layout();
    let values = map.as_slice().unwrap_or(&[]);
    for (y, rows) in values.windows(3 * w).step_by(w).enumerate() {
        let (above, row, below) = (&rows[..w], &rows[w..2 * w], &rows[2 * w..]);
        for x in 1..w - 1 {
            let value = row[x];
            let near = x - 1..x + 2;
            let hidden = |row: &[f64]| row[near.clone()].iter().any(|&v| v > value);
            // False for NaN.
            if value > lowest && !hidden(row) && !hidden(above) && !hidden(below) {
                peaks.push(Peak { y: y + 1, x, value });
            }
        }
    }
    // The sort is stable, so ties keep the order of the sweep.
    peaks.sort_by(|a, b| b.value.total_cmp(&a.value));
    peaks.truncate(n);
    peaks
}

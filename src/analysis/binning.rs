//! Images made smaller.

use ndarray::{Array2, ArrayView2, s};

/// Means of blocks of `bin` × `bin` pixels in float64; what is left at the bottom and right is dropped. `bin` is at least 1.
pub fn bin_mean(image: ArrayView2<'_, f64>, bin: usize) -> Array2<f64> {
    let (h, w) = (image.nrows() / bin, image.ncols() / bin);
    let area = (bin * bin) as f64;
    Array2::from_shape_fn((h, w), |(y, x)| {
        image.slice(s![y * bin..(y + 1) * bin, x * bin..(x + 1) * bin]).sum() / area
    })
}

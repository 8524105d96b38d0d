//! How the contrast of an image is shared out among spatial frequencies.

use super::fft2::forward;
use ndarray::ArrayView2;

/// Mean of |F|² over rings of one frequency, radius 0 to half the width less 1, in units of 1/width and 1/height alike: |F|² of the image without
/// its mean over its standard deviation, scaled so that white noise gives 1 everywhere. NaN for images without contrast.
pub fn radial_power(image: ArrayView2<'_, f64>) -> Vec<f64> {
    let (h, w) = image.dim();
    let n = (h * w) as f64;
    let mean = image.sum() / n;
    let deviation = (image.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let spectrum = forward(image.mapv(|v| (v - mean) / deviation).view()).values;
    let mut rings = vec![[0.0; 2]; w / 2];
    for ((ky, kx), z) in spectrum.indexed_iter() {
        let y = if 2 * ky >= h { ky as f64 - h as f64 } else { ky as f64 };
        // The other half of the spectrum is the same; the columns at both ends have no other.
        let count = if kx == 0 || 2 * kx == w { 1.0 } else { 2.0 };
        if let Some([sum, all]) = rings.get_mut(y.hypot(kx as f64) as usize) {
            *sum += count * z.norm_sqr() / n;
            *all += count;
        }
    }
    rings.iter().map(|[sum, all]| sum / all).collect()
}

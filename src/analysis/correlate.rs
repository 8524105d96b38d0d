//! Correlation of a summary map with a template, on the host in float64.

use super::fft2::{HalfSpectrum, forward, inverse};
use super::{Recipe, template::Template};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, Zip};

/// How well `map` (h × w: a standard deviation, its logarithm, a log-sum) resembles `template` at every pixel. No logarithm is
/// taken here. The borders wrap around.
///
/// [`Recipe::Default`]: the circular cross-correlation c\[p\] = Σ_d map\[p + d\] · t\[d\] with d = 0 at the template's centre
/// pixel (see [`Template::window`]), the same size as the map.
///
/// [`Recipe::Published`]: LiberTEM-blobfinder's `get_correlation`, fftshift(irfft2(rfft2(map) · rfft2(window))) with
/// [`Template::window_published`]. It is a convolution, so it differs for templates that are not point-symmetric; it is
/// off by (−1, −1) for odd images in even frames, and in frames of odd length by −1 along that axis; if the width is odd the
/// result has one column less.
///
/// # Errors
/// [`Error::Parameter`] if the map has no pixels or holds NaN or infinity, or if the template is larger than the map.
pub fn correlation_map(map: ArrayView2<f64>, template: &Template, recipe: Recipe) -> Result<Array2<f64>> {
    let (h, w) = map.dim();
    if h == 0 || w == 0 || (recipe == Recipe::Published && w < 2) {
        return Err(Error::parameter("map", format!("{h}×{w} pixels are too few to correlate")));
    }
    if let Some(((y, x), v)) = map.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::parameter(
            "map",
            format!("holds {v} at (y, x) = ({y}, {x}); replace bad pixels first (--bad-pixels)"),
        ));
    }
    template.check_frame(h, w)?;
    let HalfSpectrum { mut values } = forward(map);
    let (pattern, width) = match recipe {
        Recipe::Default => (forward(template.window(h, w).view()).values.mapv_into(|v| v.conj()), w),
        Recipe::Published => (forward(template.window_published(h, w).view()).values, 2 * (w / 2)),
    };
    Zip::from(&mut values).and(&pattern).for_each(|v, p| *v *= p);
    drop(pattern);
    Ok(shift(&inverse(HalfSpectrum { values }, width)))
}

/// Moves index (0, 0) to (h/2, w/2).
fn shift(image: &Array2<f64>) -> Array2<f64> {
    let (h, w) = image.dim();
    Array2::from_shape_fn((h, w), |(y, x)| image[[(y + h - h / 2) % h, (x + w - w / 2) % w]])
}

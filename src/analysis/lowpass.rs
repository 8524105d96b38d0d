//! Where a lattice image is brighter or darker than its surroundings: the image without its lattice, and labels from it.
//!
//! The published analysis subtracts a high-pass image from the frame; what is left is the image below the lattice's frequencies, in
//! which missing and additional atoms are dark and bright spots.

use super::fft2;
use super::robust::median_of;
use crate::analysis::Recipe;
use crate::backend::cpu::fft::smooth_from;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Zip};
use rustfft::num_complex::Complex;

/// Smallest side of an image.
const LEAST: usize = 8;
/// The filter passes everything below this share of the cut-off frequency, and nothing above the cut-off.
const FLAT: f64 = 0.2;
/// Pixels, times the mask ratio, over which the image fades out towards its edges.
const FADE: f64 = 3.0;
/// Where less than this share of the filter's weight falls into the image, the difference is drawn towards the mean.
const HELD: f64 = 0.5;

/// An image taken apart.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The spectrum with zero frequency at (h/2, w/2).
    pub spectrum: Array2<Complex<f64>>,
    /// The same without low frequencies.
    pub filtered: Array2<Complex<f64>>,
    /// The image minus its high-pass, scaled to [0, 1] by its extremes; zeros if nothing is left of it.
    pub image: Array2<f64>,
}

impl Difference {
    /// Whether the image showed nothing.
    pub fn is_flat(&self) -> bool {
        self.image.iter().all(|v| *v == 0.0)
    }
}

/// Subtracts the high-pass of `image` from it. `ratio`: frequencies below 1/ratio cycles a pixel count as low.
///
/// Default: the image less its mean fades out over 3 · ratio pixels towards every edge (sin²) and is surrounded by zeros; a centred low-pass
/// with a soft edge (1 up to 0.2 of the cut-off, then cos² down to 0) is divided by the same filter of the fading (normalised convolution), so
/// that edges and corners are neither dark nor wrapped around. Any size.
///
/// Published: a sharp disk of radius ⌊h/ratio⌋ around (h/2 − 1, w/2 − 1), one pixel off zero frequency, on the plain spectrum; the
/// real part of what remains is subtracted and the modulus taken. Square images only.
///
/// # Errors
/// [`Error::Parameter`] for a ratio that is no number from 2 on, images below 8 pixels, or not square for the published recipe;
/// [`Error::Format`] never. Values that are not finite count as the mean of the others.
pub fn difference(image: ArrayView2<'_, f64>, ratio: f64, recipe: Recipe) -> Result<Difference> {
    let (h, w) = image.dim();
    if !(ratio >= 2.0 && ratio <= h.min(w) as f64) {
        let what = format!(
            "{ratio} is not between 2 and the {} pixels of the frame's shorter side",
            h.min(w)
        );
        return Err(Error::parameter("--mask-ratio", what));
    }
    if h.min(w) < LEAST {
        return Err(Error::parameter(
            "frame",
            format!("{h} × {w} pixels; at least {LEAST} are needed"),
        ));
    }
    let image = finite(image);
    let mut d = match recipe {
        Recipe::Default => soft(&image, ratio),
        Recipe::Published if h != w => {
            return Err(Error::parameter(
                "--recipe",
                format!("the published filter takes square frames only, not {h} × {w}"),
            ));
        }
        Recipe::Published => sharp(&image, ratio),
    };
    let (low, high) = range(&d.image);
    // A flat image leaves rounding errors, which are no picture; even one of zeros does where its fading is not zero.
    let size = image.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let (least, most) = range(&image);
    let flat = high - low <= 1e-12 * size || most - least <= 1e-12 * size;
    let scale = if flat { 0.0 } else { 1.0 / (high - low) };
    d.image.mapv_inplace(|v| (v - low) * scale);
    Ok(d)
}

fn range(image: &Array2<f64>) -> (f64, f64) {
    image
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)))
}

fn finite(image: ArrayView2<'_, f64>) -> Array2<f64> {
    let (mut sum, mut n) = (0.0, 0u64);
    for &v in image.iter().filter(|v| v.is_finite()) {
        (sum, n) = (sum + v, n + 1);
    }
    let mean = if n > 0 { sum / n as f64 } else { 0.0 };
    image.mapv(|v| if v.is_finite() { v } else { mean })
}

/// The notebook's filter, arithmetic and offsets.
fn sharp(image: &Array2<f64>, ratio: f64) -> Difference {
    let (h, w) = image.dim();
    let mut spectrum = image.mapv(|v| Complex::new(v, 0.0));
    fft2::complex(&mut spectrum, false);
    let spectrum = fft2::shift(&spectrum, false);
    let mut filtered = spectrum.clone();
    let radius = (h as f64 / ratio) as usize;
    let (cy, cx) = ((h / 2).saturating_sub(1), (w / 2).saturating_sub(1));
    for ((y, x), v) in filtered.indexed_iter_mut() {
        let (dy, dx) = (y.abs_diff(cy), x.abs_diff(cx));
        // The mask's array has 2 · radius rows, so the disk has no point at −radius.
        let inside = y + radius > cy && x + radius > cx && y <= cy + radius && x <= cx + radius;
        if inside && dy * dy + dx * dx <= radius * radius {
            *v = Complex::default();
        }
    }
    let mut back = fft2::shift(&filtered, true);
    fft2::complex(&mut back, true);
    let image = Zip::from(image).and(&back).map_collect(|v, b| (v - b.re).abs());
    Difference {
        spectrum,
        filtered,
        image,
    }
}

/// How much of a pixel counts at each place of an axis.
fn fading(n: usize, over: f64) -> Array1<f64> {
    Array1::from_shape_fn(n, |i| {
        let d = (i.min(n - 1 - i) as f64 + 0.5) / over;
        if d < 1.0 {
            (std::f64::consts::FRAC_PI_2 * d).sin().powi(2)
        } else {
            1.0
        }
    })
}

fn soft(image: &Array2<f64>, ratio: f64) -> Difference {
    let (h, w) = image.dim();
    let over = (FADE * ratio).min(h.min(w) as f64 / 4.0);
    let (fy, fx) = (fading(h, over), fading(w, over));
    let total = fy.sum() * fx.sum();
    let mean = image.indexed_iter().map(|((y, x), v)| v * fy[y] * fx[x]).sum::<f64>() / total;
    // The real part carries the image, the imaginary part its fading: one transform for both.
    let pad = (4.0 * ratio).ceil() as usize;
    let (ph, pw) = (smooth_from(h + pad), smooth_from(w + pad));
    let mut values = Array2::<Complex<f64>>::zeros((ph, pw));
    for ((y, x), v) in image.indexed_iter() {
        let weight = fy[y] * fx[x];
        values[[y, x]] = Complex::new((v - mean) * weight, weight);
    }
    fft2::complex(&mut values, false);
    let frequency = |i: usize, n: usize| (if i <= n / 2 { i as f64 } else { i as f64 - n as f64 }) / n as f64;
    for ((y, x), v) in values.indexed_iter_mut() {
        *v *= pass(frequency(y, ph).hypot(frequency(x, pw)) * ratio);
    }
    fft2::complex(&mut values, true);
    let low = Array2::from_shape_fn((h, w), |(y, x)| {
        let v = values[[y, x]];
        v.re / v.im.max(HELD) + mean
    });
    // What the figures show: the faded image's spectrum in the frame's own size.
    let mut spectrum = Array2::from_shape_fn((h, w), |(y, x)| Complex::new((image[[y, x]] - mean) * fy[y] * fx[x], 0.0));
    fft2::complex(&mut spectrum, false);
    let spectrum = fft2::shift(&spectrum, false);
    let filtered = Array2::from_shape_fn((h, w), |(y, x)| {
        let f = |i: usize, n: usize| (i as f64 - (n / 2) as f64) / n as f64;
        spectrum[[y, x]] * (1.0 - pass(f(y, h).hypot(f(x, w)) * ratio))
    });
    Difference {
        spectrum,
        filtered,
        image: low,
    }
}

/// The filter at a frequency in units of the cut-off.
fn pass(f: f64) -> f64 {
    match f {
        f if f <= FLAT => 1.0,
        f if f < 1.0 => (std::f64::consts::FRAC_PI_2 * (f - FLAT) / (1.0 - FLAT)).cos().powi(2),
        _ => 0.0,
    }
}

/// Levels below and above which a pixel of a difference image belongs to a defect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    pub low: f64,
    pub high: f64,
}

impl Levels {
    /// `k` standard deviations to either side of the middle. Default: median and 1.4826 times the median absolute deviation, which single bright
    /// spots do not move. Published: mean and population standard deviation.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a `k` that is not positive.
    pub fn around(image: ArrayView2<'_, f64>, k: f64, recipe: Recipe) -> Result<Self> {
        if !(k > 0.0 && k.is_finite()) {
            return Err(Error::parameter("--sigma", format!("{k} is not above zero")));
        }
        let (middle, sigma) = match recipe {
            Recipe::Default => {
                let mut values: Vec<f64> = image.iter().copied().collect();
                let middle = median_of(&mut values);
                values.iter_mut().for_each(|v| *v = (*v - middle).abs());
                (middle, 1.4826 * median_of(&mut values))
            }
            Recipe::Published => {
                let n = image.len().max(1) as f64;
                let mean = image.sum() / n;
                let variance = image.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                (mean, variance.sqrt())
            }
        };
        Ok(Levels {
            low: middle - k * sigma,
            high: middle + k * sigma,
        })
    }

    /// 1 where the image is below the lower or above the upper level, else 0.
    pub fn labels(self, image: ArrayView2<'_, f64>) -> Array2<u8> {
        image.mapv(|v| u8::from(v < self.low || v > self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_images_show_nothing() {
        for recipe in [Recipe::Default, Recipe::Published] {
            for value in [0.0, 0.1, -3e5, f64::NAN] {
                let image = Array2::from_elem((61, 61), value);
                let d = difference(image.view(), 10.0, recipe).unwrap();
                assert!(d.is_flat(), "{recipe} {value}");
            }
            // As little as is needed to see something.
            let mut image = Array2::from_elem((61, 61), 0.1);
            image[[30, 28]] += 1e-6;
            assert!(!difference(image.view(), 10.0, recipe).unwrap().is_flat(), "{recipe}");
        }
    }
}

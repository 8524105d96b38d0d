//! Two-dimensional Fourier transforms of real float64 images of any size, keeping half of the spectrum as NumPy's `rfft2` does.

use ndarray::{Array2, ArrayView2};
use rustfft::{Fft, FftPlanner, num_complex::Complex};
use std::sync::Arc;

/// Columns that are transformed together, so that a cache line is used whole.
const COLUMNS: usize = 8;

/// Columns 0..=w/2 of the spectrum of an image of `h` × `w` pixels, in C order.
pub(crate) struct HalfSpectrum {
    pub(crate) values: Array2<Complex<f64>>,
}

/// The spectrum of `image`, which has at least one pixel.
pub(crate) fn forward(image: ArrayView2<f64>) -> HalfSpectrum {
    let (h, w) = image.dim();
    let mut planner = FftPlanner::new();
    let along = planner.plan_fft_forward(w);
    let mut scratch = vec![Complex::default(); along.get_inplace_scratch_len()];
    let mut buffer = vec![Complex::default(); w];
    let mut values = Array2::default((h, w / 2 + 1));
    for (row, mut out) in image.rows().into_iter().zip(values.rows_mut()) {
        buffer.iter_mut().zip(row).for_each(|(b, &v)| *b = Complex::new(v, 0.0));
        along.process_with_scratch(&mut buffer, &mut scratch);
        out.iter_mut().zip(&buffer).for_each(|(o, &b)| *o = b);
    }
    columns(&mut values, planner.plan_fft_forward(h));
    HalfSpectrum { values }
}

/// The image of a half spectrum, taken as that of an image `width` wide, normalised. NumPy's `irfft2` is told the width or
/// else assumes twice the number of columns less two, which is one too few for odd images. `width` is at least 1 and
/// width/2 below the number of columns.
pub(crate) fn inverse(spectrum: HalfSpectrum, width: usize) -> Array2<f64> {
    let mut values = spectrum.values;
    let h = values.nrows();
    let mut planner = FftPlanner::new();
    columns(&mut values, planner.plan_fft_inverse(h));
    let along = planner.plan_fft_inverse(width);
    let mut scratch = vec![Complex::default(); along.get_inplace_scratch_len()];
    let mut buffer = vec![Complex::default(); width];
    let mut image = Array2::zeros((h, width));
    let scale = 1.0 / (h as f64 * width as f64);
    for (row, mut out) in values.rows().into_iter().zip(image.rows_mut()) {
        // The spectrum of a real row is Hermitian: the other half follows, and k = 0 and k = width/2 are real.
        buffer[0] = Complex::new(row[0].re, 0.0);
        for k in 1..=width / 2 {
            buffer[width - k] = row[k].conj();
            buffer[k] = if 2 * k == width {
                Complex::new(row[k].re, 0.0)
            } else {
                row[k]
            };
        }
        along.process_with_scratch(&mut buffer, &mut scratch);
        out.iter_mut().zip(&buffer).for_each(|(o, b)| *o = b.re * scale);
    }
    image
}

/// Transforms all columns and rows of a spectrum in place; `inverse` is normalised.
pub(crate) fn complex(values: &mut Array2<Complex<f64>>, inverse: bool) {
    let (h, w) = values.dim();
    let mut planner = FftPlanner::new();
    let plan = |planner: &mut FftPlanner<f64>, n| {
        if inverse {
            planner.plan_fft_inverse(n)
        } else {
            planner.plan_fft_forward(n)
        }
    };
    let along = plan(&mut planner, w);
    let mut scratch = vec![Complex::default(); along.get_inplace_scratch_len()];
    for mut row in values.rows_mut() {
        if let Some(row) = row.as_slice_mut() {
            along.process_with_scratch(row, &mut scratch);
        }
    }
    columns(values, plan(&mut planner, h));
    if inverse {
        let scale = 1.0 / (h as f64 * w as f64);
        values.mapv_inplace(|v| v * scale);
    }
}

/// Moves zero frequency from (0, 0) to (h/2, w/2), or back with `inverse`.
pub(crate) fn shift<T: Clone>(values: &Array2<T>, inverse: bool) -> Array2<T> {
    let (h, w) = values.dim();
    let by = |n: usize| if inverse { n / 2 } else { n - n / 2 };
    Array2::from_shape_fn((h, w), |(y, x)| values[[(y + by(h)) % h, (x + by(w)) % w]].clone())
}

fn columns(values: &mut Array2<Complex<f64>>, fft: Arc<dyn Fft<f64>>) {
    let (h, w) = values.dim();
    let mut scratch = vec![Complex::default(); fft.get_inplace_scratch_len()];
    let mut buffer = vec![Complex::default(); h * COLUMNS];
    for first in (0..w).step_by(COLUMNS) {
        let n = COLUMNS.min(w - first);
        for y in 0..h {
            for c in 0..n {
                buffer[c * h + y] = values[[y, first + c]];
            }
        }
        fft.process_with_scratch(&mut buffer[..n * h], &mut scratch);
        for y in 0..h {
            for c in 0..n {
                values[[y, first + c]] = buffer[c * h + y];
            }
        }
    }
}

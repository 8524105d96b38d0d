//! Image quality, mean and standard deviation of each pattern.
//!
//! Image quality after N. C. Krieger Lassen (thesis, Technical University of Denmark, 1994), with the conventions of kikuchipy:
//! Q = 1 − (Σ|F| k² / Σ|F|) / (Σ k² / hw) over the Fourier transform F of the pattern without its mean, that is, the share of the power at
//! high frequencies that noise of the same strength would not have. Along an axis of n pixels the frequencies are taken as 1, 2, …, ⌊n/2⌋
//! and then −⌈n/2⌉, …, −1, and k² = k_y² + k_x² − 1, so that the constant part has k² = 1.
//!
//! The spectrum of real pixels is symmetric, so that frequencies 0 … ⌊h/2⌋ along y are enough when each stands for its opposite too.

pub mod cpu;
pub mod gpu;

use crate::backend::stage::Work;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::sync::Arc;

/// Largest edge of a pattern.
const MAX_EDGE: usize = 1 << 14;

/// Numbers for each pattern: quality, mean, population standard deviation.
pub const WIDTH: usize = 3;

/// Frequencies and their weights for patterns of one shape.
#[derive(Debug)]
pub struct Plan {
    frame: FrameShape,
    /// Leave the mean of a pattern out of its spectrum.
    normalise: bool,
    /// Σ k² / hw.
    most: f64,
}

/// Results of consecutive patterns: [`WIDTH`] numbers each.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub first: u64,
    pub values: Vec<f32>,
}

impl Plan {
    /// For patterns of `frame`; with `normalise` the mean does not count as power (that of bright patterns hides the rest).
    ///
    /// # Errors
    /// [`Error::Parameter`] for patterns without pixels or larger than 16384 pixels along an edge.
    pub fn new(frame: FrameShape, normalise: bool) -> Result<Arc<Plan>> {
        let (h, w) = (frame.height, frame.width);
        if h == 0 || w == 0 || h.max(w) > MAX_EDGE {
            let what = format!("{h} × {w} pixels: image quality takes 1 to {MAX_EDGE} along each edge");
            return Err(Error::parameter("patterns", what));
        }
        let squares = |n: usize| (0..n).map(|i| frequency(i, n).powi(2)).sum::<f64>();
        let sum = squares(h) * w as f64 + squares(w) * h as f64 - (h * w) as f64;
        Ok(Arc::new(Plan {
            frame,
            normalise,
            most: sum / (h * w) as f64,
        }))
    }

    /// Work on one pattern: a real transform along each row and a complex one down each column (5 n log₂ n operations a transform), and
    /// the power and its weights.
    pub fn work(&self) -> Work {
        let (h, w) = (self.frame.height as f64, self.frame.width as f64);
        let transforms = 2.5 * h * w * w.log2().max(1.0) + 2.5 * h * w * h.log2().max(1.0);
        Work {
            read: self.frame.bytes() as u64,
            written: 4 * WIDTH as u64,
            operations: (transforms + 4.0 * h * w) as u64,
        }
    }

    /// Rows of the spectrum that are computed.
    fn rows(&self) -> usize {
        self.frame.height / 2 + 1
    }

    /// How often the coefficient in row `ky` counts, and k² of it and its opposite together.
    fn weight(&self, ky: usize, kx: usize) -> [f64; 2] {
        let (h, w) = (self.frame.height, self.frame.width);
        let k2 = |y: usize, x: usize| frequency(y, h).powi(2) + frequency(x, w).powi(2) - 1.0;
        match ky == 0 || 2 * ky == h {
            true => [1.0, k2(ky, kx)],
            false => [2.0, k2(ky, kx) + k2(h - ky, (w - kx) % w)],
        }
    }

    /// The numbers of a pattern from Σ|F| and Σ|F| k² of the pattern without its mean, mean and standard deviation. No quality (NaN) for a
    /// pattern without contrast.
    fn numbers(&self, power: f64, weighted: f64, mean: f64, deviation: f64) -> [f32; WIDTH] {
        let constant = match self.normalise {
            true => 0.0,
            false => (self.frame.pixels() as f64 * mean).abs(),
        };
        let quality = match deviation > 0.0 {
            true => 1.0 - (weighted + constant) / (power + constant) / self.most,
            false => f64::NAN,
        };
        [quality as f32, mean as f32, deviation as f32]
    }
}

/// Frequency number `i` of `n`.
fn frequency(i: usize, n: usize) -> f64 {
    match i < n / 2 {
        true => (i + 1) as f64,
        false => i as f64 - n as f64,
    }
}

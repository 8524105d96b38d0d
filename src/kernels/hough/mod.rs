//! Bands of Kikuchi patterns as peaks of a Hough transform: threshold, lines counted, butterfly filter, maxima.
//!
//! Otsu's threshold (IEEE Trans. SMC 9, 1979) makes a pattern binary; every bright pixel votes for the lines ρ = x cos θ + y sin θ through it (Duda and
//! Hart, Comm. ACM 15, 1972); the butterfly filter of Krieger Lassen (Thesis, DTU, 1994) sharpens the crossings; maxima are bands. x runs to the right and y
//! **upwards** from the lowest row, pixel centres lie at whole numbers, ρ in pixels, −90° ≤ θ < 90°. All counts and filter responses are whole numbers, so
//! results are exact and do not depend on the order of anything.

pub mod cpu;
mod peaks;

pub use peaks::{Peak, find_peaks};

use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::sync::Arc;

/// The butterfly mask: rows along ρ, columns along θ. Symmetric both ways, so five rows and columns from the middle outwards.
pub(crate) const BUTTERFLY: [[i32; 5]; 5] = [
    [42, 42, 27, 11, 3],
    [42, 28, 19, 11, 3],
    [-22, -3, 4, 6, 3],
    [-22, -22, -13, -6, 1],
    [-22, -22, -22, -15, -10],
];

/// How bands are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Angles.
    pub theta: usize,
    /// Most bands of a pattern.
    pub peaks: usize,
    /// Pixels above this many times Otsu's threshold count.
    pub factor: f64,
    /// Grey values vote with their value instead of counting those above the threshold.
    pub grey: bool,
    /// As published: angles from −90° to +90° with both ends, though these are the same line, and a filter that does not go on from one end
    /// to the other.
    pub published: bool,
    /// Half widths of the box in which a peak is the largest: in ρ and θ bins.
    pub distance: [usize; 2],
    /// Least height of a peak in the range of the filtered transform.
    pub threshold: f64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            theta: 150,
            peaks: 12,
            factor: 1.15,
            grey: false,
            published: false,
            distance: [10, 15],
            threshold: 0.5,
        }
    }
}

/// Tables for one size of patterns, shared by all workers.
#[derive(Debug)]
pub struct Plan {
    pub(crate) frame: FrameShape,
    pub(crate) params: Params,
    /// Angles in radians.
    pub theta: Vec<f64>,
    /// Number of ρ bins and the one of ρ = 0.
    pub rhos: usize,
    pub offset: usize,
    /// ρ bin of each pixel for each angle.
    pub(crate) bins: Vec<u16>,
}

impl Plan {
    /// Angles and the bins of all pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] for numbers out of range, or for patterns so large that the tables would not fit.
    pub fn new(frame: FrameShape, params: &Params) -> Result<Arc<Plan>> {
        let n = params.theta;
        if !(9..=3600).contains(&n) {
            return Err(Error::parameter("--theta", format!("{n} angles are not between 9 and 3600")));
        }
        if !(1..=100).contains(&params.peaks) {
            return Err(Error::parameter(
                "--peaks",
                format!("{} is not between 1 and 100", params.peaks),
            ));
        }
        let factor = params.factor.is_finite() && params.factor > 0.0;
        if !factor || !(0.0..1.0).contains(&params.threshold) {
            let what = format!("{} and {} are no factor and threshold", params.factor, params.threshold);
            return Err(Error::parameter("--threshold", what));
        }
        let (h, w) = (frame.height, frame.width);
        let offset = (h as f64).hypot(w as f64).ceil() as usize;
        let (rhos, bytes) = (2 * offset + 1, 2 * n as u64 * frame.pixels() as u64);
        if rhos > usize::from(u16::MAX) || bytes > 1 << 30 {
            let what = format!(
                "{n} angles of patterns of {h}×{w} pixels need tables of {} MB: bin them first",
                bytes >> 20
            );
            return Err(Error::parameter("--theta", what));
        }
        let step = if params.published { n - 1 } else { n } as f64;
        let degrees = |k: usize| -90.0 + 180.0 * k as f64 / step;
        let theta: Vec<f64> = (0..n).map(|k| degrees(k).to_radians()).collect();
        let mut bins = Vec::with_capacity(n * h * w);
        for t in &theta {
            let (s, c) = t.sin_cos();
            for row in 0..h {
                let y = (h - 1 - row) as f64;
                // Rust rounds half away from zero, as C does.
                bins.extend((0..w).map(|x| ((c * x as f64 + s * y).round() + offset as f64) as u16));
            }
        }
        Ok(Arc::new(Plan {
            frame,
            params: params.clone(),
            theta,
            rhos,
            offset,
            bins,
        }))
    }

    /// Numbers for each pattern: three for each of the peaks, and the band quality.
    pub fn row(&self) -> usize {
        3 * self.params.peaks + 1
    }
}

/// Bands of some consecutive patterns, `peaks` for each, strongest first; missing ones are NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number of the first pattern in the selection.
    pub first: u64,
    /// (patterns, peaks, 3): height 0 … 1, θ in radians, ρ in pixels; then one number a pattern: band quality.
    pub values: Vec<f32>,
}

/// Otsu's threshold of grey values: the last value of the darker class.
pub fn otsu(counts: &[u32; 256]) -> usize {
    let first = counts.iter().position(|&c| c > 0).unwrap_or(0);
    let last = counts.iter().rposition(|&c| c > 0).unwrap_or(0);
    let total: f64 = counts.iter().map(|&c| f64::from(c)).sum();
    let moment: f64 = counts.iter().enumerate().map(|(v, &c)| v as f64 * f64::from(c)).sum();
    let (mut n, mut m, mut best) = (0.0, 0.0, (f64::NEG_INFINITY, first));
    for (v, &count) in counts.iter().enumerate().take(last).skip(first) {
        n += f64::from(count);
        m += v as f64 * f64::from(count);
        let between = n * (total - n) * (m / n - (moment - m) / (total - n)).powi(2);
        if between > best.0 {
            best = (between, v);
        }
    }
    best.1
}

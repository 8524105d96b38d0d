//! Bands of Kikuchi patterns as peaks of a Hough transform: threshold, lines counted, butterfly filter, maxima.
//!
//! Otsu's threshold (IEEE Trans. SMC 9, 1979) makes a pattern binary; every bright pixel votes for the lines ρ = x cos θ + y sin θ through it (Duda and
//! Hart, Comm. ACM 15, 1972); the butterfly filter of Krieger Lassen (Thesis, DTU, 1994) sharpens the crossings; maxima are bands. x runs to the right and y
//! **upwards** from the lowest row, pixel centres lie at whole numbers, ρ in pixels, −90° ≤ θ < 90°. All counts and filter responses are whole numbers, so
//! results are exact and do not depend on the order of anything.

pub mod cpu;
pub mod gpu;
mod peaks;

pub use peaks::{Peak, find_peaks};

use crate::backend::stage::Work;
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

/// Reach of the butterfly filter along θ and ρ.
pub(crate) const REACH: usize = 4;
/// Rows of a band of [`Order::Bands`].
pub(crate) const BAND_ROWS: usize = 8;

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
    /// ρ bin of each pixel for each angle, pixels in the order of that angle.
    pub(crate) bins: Vec<u16>,
    pub(crate) orders: Vec<Order>,
    /// Largest count that a bin can have.
    most: u32,
}

/// Orders of pixels in which neighbours mostly fall into different bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Along the rows: for lines that are rather upright.
    Rows,
    /// Down the columns of bands of [`BAND_ROWS`] rows: for lines that are rather level.
    Bands,
}

impl Order {
    /// Rows and columns of all pixels.
    fn pixels(self, h: usize, w: usize) -> impl Iterator<Item = (usize, usize)> {
        let rows = match self {
            Order::Rows => 1,
            Order::Bands => BAND_ROWS,
        };
        (0..h).step_by(rows).flat_map(move |top| {
            let rows = rows.min(h - top);
            (0..w * rows).map(move |i| (top + i % rows, i / rows))
        })
    }
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
        if !(params.factor.is_finite() && params.factor > 0.0) {
            return Err(Error::parameter("--factor", format!("{} is not above 0", params.factor)));
        }
        if !(0.0..1.0).contains(&params.threshold) {
            let what = format!("{} is not at least 0 and below 1", params.threshold);
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
        let (mut orders, mut most) = (Vec::with_capacity(n), 0);
        for t in &theta {
            let (s, c) = t.sin_cos();
            let order = if c.abs() < s.abs() { Order::Bands } else { Order::Rows };
            let mut counts = vec![0u32; rhos];
            bins.extend(order.pixels(h, w).map(|(row, x)| {
                let bin = bin_of([s, c], [h - 1 - row, x], offset);
                counts[usize::from(bin)] += 1;
                bin
            }));
            most = counts.into_iter().fold(most, u32::max);
            orders.push(order);
        }
        Ok(Arc::new(Plan {
            frame,
            params: params.clone(),
            theta,
            rhos,
            offset,
            bins,
            orders,
            most: if params.grey { 255 * most } else { most },
        }))
    }

    /// Patterns that the CPU looks at together: as many as fit a cache line with counts that are wide enough.
    pub fn group(&self) -> usize {
        match self.most {
            0..=0xff => 64,
            0x100..=0xffff => 32,
            _ => 16,
        }
    }

    /// Angle number `k`, which may lie beyond the ends, and whether its ρ runs the other way.
    pub(crate) fn row_at(&self, k: isize) -> (usize, bool) {
        let n = self.theta.len() as isize;
        match self.params.published {
            true => (k.clamp(0, n - 1) as usize, false),
            false => (k.rem_euclid(n) as usize, k < 0 || k >= n),
        }
    }

    fn field(&self) -> peaks::Field {
        peaks::Field {
            thetas: self.theta.len(),
            rhos: self.rhos,
            distance: self.params.distance,
            most: self.params.peaks,
        }
    }

    /// The brightest grey value that does not count, for Otsu's `threshold`.
    pub(crate) fn brightest_out(&self, threshold: usize) -> u8 {
        (self.params.factor * threshold as f64).floor().min(255.0) as u8
    }

    /// Appends the row of a pattern.
    pub(crate) fn write(&self, peaks: &[Peak], quality: f64, values: &mut Vec<f32>) {
        let rho = |p: &Peak| (p.rho as f64 - self.offset as f64) as f32;
        for i in 0..self.params.peaks {
            let row = peaks.get(i).map(|p| [p.value as f32, self.theta[p.theta] as f32, rho(p)]);
            values.extend(row.unwrap_or([f32::NAN; 3]));
        }
        values.push(quality as f32);
    }

    /// Work on one pattern: an addition for each pixel and angle, and 5 folded angles of 9 values for each bin, which symmetry makes 40 additions and
    /// 25 multiply-adds; 1 byte a pixel counts as a quarter of a number.
    pub fn work(&self) -> Work {
        let (n, pixels) = (self.theta.len() as u64, self.frame.pixels() as u64);
        Work {
            read: self.frame.bytes() as u64,
            written: 4 * self.row() as u64,
            operations: n * pixels * 64 / self.group() as u64 / 4 + n * self.rhos as u64 * 90,
        }
    }

    /// Numbers for each pattern: three for each of the peaks, and the band quality.
    pub fn row(&self) -> usize {
        3 * self.params.peaks + 1
    }
}

/// Bin of the pixel at (y, x), y upwards, for an angle with (sin, cos).
fn bin_of([s, c]: [f64; 2], [y, x]: [usize; 2], offset: usize) -> u16 {
    // Rust rounds half away from zero, as C does.
    ((c * x as f64 + s * y as f64).round() + offset as f64) as u16
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
    // Between-class variance as a fraction of whole numbers, so that every backend chooses the same; more pixels than detectors have may round.
    let total: u64 = counts.iter().map(|&c| u64::from(c)).sum();
    let moment: u64 = counts.iter().enumerate().map(|(v, &c)| v as u64 * u64::from(c)).sum();
    let (mut n, mut m, mut best) = (0u64, 0u64, ((0u128, 1u128), first));
    for (v, &count) in counts.iter().enumerate().take(last).skip(first) {
        n += u64::from(count);
        m += v as u64 * u64::from(count);
        let gap = (u128::from(m) * u128::from(total)).abs_diff(u128::from(n) * u128::from(moment));
        let (above, below) = (gap.saturating_mul(gap), u128::from(n) * u128::from(total - n));
        let ((best_above, best_below), _) = best;
        let larger = match (above.checked_mul(best_below), best_above.checked_mul(below)) {
            (Some(a), Some(b)) => a > b,
            _ => above as f64 / below as f64 > best_above as f64 / best_below as f64,
        };
        if larger {
            best = ((above, below), v);
        }
    }
    best.1
}

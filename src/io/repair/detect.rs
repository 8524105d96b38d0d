//! Dead and hot pixels, found from a few frames. A good pixel that is replaced is worse than a bad one that stays: the rules are strict.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::pixel::{FrameShape, Sample};
use crate::with_pixel;

/// Frames that are looked at, evenly over the scan.
const SAMPLES: u64 = 64;
/// Fewer frames say nothing about a pixel that does not change.
const MIN_SAMPLES: u64 = 8;
/// Counts that a dead pixel's neighbourhood must have had in all samples: below, zeros are chance.
const DEAD_COUNTS: f64 = 20.0;
/// Robust standard deviations, and standard deviations of counting, by which a hot pixel exceeds its neighbourhood.
const HOT_SIGMA: f64 = 20.0;
/// Share of a hot pixel's excess that its direct neighbours may show: more, and it is a sharp spot of the pattern.
const HOT_SHARE: f64 = 0.1;
/// Share of the frame's pixels above which the detection is not believed.
const MAX_SHARE: f64 = 0.01;

/// Bad pixels by kind, as pixel numbers in C order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub dead: Vec<u32>,
    pub hot: Vec<u32>,
    pub samples: u64,
}

impl Found {
    pub fn all(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.dead.iter().chain(&self.hot).copied().collect();
        all.sort_unstable();
        all
    }
    pub fn note(&self) -> String {
        let (dead, hot, n) = (self.dead.len(), self.hot.len(), self.samples);
        match dead + hot {
            0 => format!("no bad pixels were found in {n} frames"),
            all => {
                format!("{all} bad pixels ({dead} dead, {hot} hot) were found in {n} frames and are replaced by the local median")
            }
        }
    }
}

/// What the samples show of every pixel.
struct Moments {
    frame: FrameShape,
    samples: u64,
    mean: Vec<f64>,
    min: Vec<f32>,
    max: Vec<f32>,
}

/// Looks for bad pixels.
///
/// # Errors
/// Those of reading; [`Error::Memory`] for frames too large for the memory; [`Error::Parameter`] when more than 1 % would be bad.
pub(super) fn detect(scan: &dyn Scan, control: &Control) -> Result<Found> {
    let m = sample(scan, control)?;
    let found = judge(&m);
    let (bad, pixels) = (found.dead.len() + found.hot.len(), m.frame.pixels());
    if bad as f64 > (MAX_SHARE * pixels as f64).max(8.0) {
        let what = format!("auto would replace {bad} of {pixels} pixels, which is not credible; give a mask file");
        return Err(Error::parameter("--bad-pixels", what));
    }
    Ok(found)
}

fn sample(scan: &dyn Scan, control: &Control) -> Result<Moments> {
    let frame = scan.info().frame;
    let frames = scan.info().frames();
    let samples = frames.min(SAMPLES);
    let pixels = frame.pixels();
    if (pixels * 16 + frame.stride()) as u64 > control.memory / 2 {
        return Err(Error::Memory {
            what: format!("looking for bad pixels in frames of {pixels} pixels"),
        });
    }
    let mut buffer = vec![0u32; frame.stride() / 4];
    let mut m = Moments {
        frame,
        samples,
        mean: vec![0.0; pixels],
        min: vec![f32::INFINITY; pixels],
        max: vec![f32::NEG_INFINITY; pixels],
    };
    for i in 0..samples {
        control.check()?;
        // The middle of each of `samples` equal parts of the scan.
        let at = (i * 2 + 1) * frames / (2 * samples);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
        scan.read(&[at], frame.stride(), bytes, control)?;
        with_pixel!(frame.pixel, T => {
            let values: &[T] = bytemuck::cast_slice(&bytes[..frame.bytes()]);
            for (((v, sum), low), high) in values.iter().zip(&mut m.mean).zip(&mut m.min).zip(&mut m.max) {
                // Non-finite pixels are found frame by frame.
                let v = if v.to_f32().is_finite() { v.to_f32() } else { 0.0 };
                *sum += f64::from(v);
                *low = low.min(v);
                *high = high.max(v);
            }
        });
    }
    m.mean.iter_mut().for_each(|v| *v /= samples as f64);
    Ok(m)
}

fn judge(m: &Moments) -> Found {
    let (h, w) = (m.frame.height, m.frame.width);
    let n = m.samples as f64;
    let mut found = Found {
        samples: m.samples,
        ..Found::default()
    };
    let mut around = Vec::with_capacity(24);
    let mut deviations = Vec::with_capacity(24);
    for (p, &mean) in m.mean.iter().enumerate() {
        let (y, x) = (p / w, p % w);
        let (mut varying, mut near) = (0usize, 0usize);
        around.clear();
        for yy in y.saturating_sub(2)..(y + 3).min(h) {
            for xx in x.saturating_sub(2)..(x + 3).min(w) {
                let q = yy * w + xx;
                if q != p {
                    around.push(m.mean[q]);
                    varying += usize::from(m.min[q] < m.max[q]);
                }
            }
        }
        if around.len() < 5 {
            continue;
        }
        let local = middle(&mut around);
        let constant = m.min[p] == m.max[p];
        let counted = !m.frame.pixel.is_integer() || (local - mean) * n >= DEAD_COUNTS;
        if m.samples >= MIN_SAMPLES && constant && mean < local && counted && varying * 4 >= around.len() * 3 {
            // Float pixels have no counts: below everything around it, not only below the median.
            if m.frame.pixel.is_integer() || around.iter().all(|&v| mean < v) {
                found.dead.push(p as u32);
            }
            continue;
        }
        deviations.clear();
        deviations.extend(around.iter().map(|v| (v - local).abs()));
        let sigma = 1.4826 * middle(&mut deviations);
        let counting = if m.frame.pixel.is_integer() {
            ((local.max(0.0) + 1.0) / n).sqrt()
        } else {
            0.0
        };
        let excess = mean - local;
        if excess <= HOT_SIGMA * sigma.max(counting) || f64::from(m.min[p]) <= local {
            continue;
        }
        let mut quiet = 0usize;
        for yy in y.saturating_sub(1)..(y + 2).min(h) {
            for xx in x.saturating_sub(1)..(x + 2).min(w) {
                let q = yy * w + xx;
                if q != p {
                    near += 1;
                    quiet += usize::from(m.mean[q] - local < HOT_SHARE * excess);
                }
            }
        }
        if quiet * 4 >= near * 3 {
            found.hot.push(p as u32);
        }
    }
    found
}

/// Median of finite values, the upper of the middle two.
fn middle(values: &mut [f64]) -> f64 {
    let n = values.len() / 2;
    if values.is_empty() {
        0.0
    } else {
        *values.select_nth_unstable_by(n, f64::total_cmp).1
    }
}

//! CPU path: outputs and pairs are shared out among the threads; each is computed by one, in a fixed order.

use super::{Lists, Measure, Params, Stage, check};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::error::{Error, Result};
use crate::pixel::{Frames, Pixel, Sample};
use crate::with_pixel;
use rayon::prelude::*;

/// Pixels that are summed in float32 before they join a sum in float64.
const RUN: usize = 1024;

per_isa! {
    /// out += weight · frame
    fn add[T: Sample][T](frame: &[T], weight: f32, out: &mut [f32]) {
        for (o, v) in out.iter_mut().zip(frame) {
            *o += weight * v.to_f32();
        }
    }
}

per_isa! {
    /// out += weight · frame and total += weight where the frame is finite.
    fn add_finite(frame: &[f32], weight: f32, out: &mut [f32], total: &mut [f32]) {
        for ((o, t), &v) in out.iter_mut().zip(total).zip(frame) {
            let finite = v.abs() <= f32::MAX;
            *o += if finite { weight * v } else { 0.0 };
            *t += if finite { weight } else { 0.0 };
        }
    }
}

per_isa! {
    /// Σ a b over a run of at most RUN pixels.
    fn product(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 16];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a.iter().zip(b) {
            for l in 0..16 {
                lanes[l] += a[l] * b[l];
            }
        }
        for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane += a * b;
        }
        lanes.iter().sum()
    }
}

per_isa! {
    /// Σ (a − b)² over a run of at most RUN pixels.
    fn difference(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 16];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a.iter().zip(b) {
            for l in 0..16 {
                lanes[l] += (a[l] - b[l]) * (a[l] - b[l]);
            }
        }
        for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane += (a - b) * (a - b);
        }
        lanes.iter().sum()
    }
}

/// Frames as rows (frames, pixels) whose products are the measure, or whose squared differences are: times the root of the weights, and for
/// correlations without their mean, for all but differences of unit length; zeros without contrast.
///
/// # Errors
/// [`Error::Parameter`] for weights that do not fit, [`Error::Internal`] for frames of another shape.
pub fn rows(params: &Params, frames: Frames<'_>) -> Result<Vec<f32>> {
    check(params, frames)?;
    Ok(OnCpu::new(Isa::active(), params)?.rows(frames))
}

/// A stage on the CPU.
///
/// # Errors
/// [`Error::Parameter`] for weights that do not fit.
pub fn stage(params: &Params) -> Result<Box<dyn Stage>> {
    stage_with(Isa::active(), params)
}

/// [`stage`] on a given instruction set.
///
/// # Errors
/// As [`stage`].
pub fn stage_with(isa: Isa, params: &Params) -> Result<Box<dyn Stage>> {
    Ok(Box::new(OnCpu::new(isa, params)?))
}

struct OnCpu {
    isa: Isa,
    params: Params,
    /// Square roots of the pixels' weights, and the sum of the weights.
    roots: Vec<f32>,
    sum: f64,
}

impl OnCpu {
    fn new(isa: Isa, params: &Params) -> Result<OnCpu> {
        let (roots, sum) = params.roots()?;
        Ok(OnCpu {
            isa,
            params: params.clone(),
            roots,
            sum,
        })
    }

    fn rows(&self, frames: Frames<'_>) -> Vec<f32> {
        let pixels = self.params.frame.pixels();
        let mut rows = vec![0.0f32; frames.count() * pixels];
        rows.par_chunks_exact_mut(pixels)
            .enumerate()
            .for_each(|(i, row)| with_pixel!(self.params.frame.pixel, T => self.row::<T>(frames.frame(i), row)));
        rows
    }

    fn mean<T: Sample>(&self, frames: Frames<'_>, list: &[(u32, f32)], out: &mut [f32]) {
        out.fill(0.0);
        if T::PIXEL == Pixel::F32 {
            let mut total = vec![0.0; out.len()];
            for &(frame, weight) in list {
                add_finite(self.isa, frames.frame::<f32>(frame as usize), weight, out, &mut total);
            }
            out.iter_mut()
                .zip(&total)
                .for_each(|(o, &t)| *o = if t > 0.0 { *o / t } else { f32::NAN });
        } else {
            let mut total = 0.0;
            for &(frame, weight) in list {
                add(self.isa, frames.frame::<T>(frame as usize), weight, out);
                total += weight;
            }
            let total = if total > 0.0 { total } else { f32::NAN };
            out.iter_mut().for_each(|o| *o /= total);
        }
    }

    /// A frame as the measure takes it: times the root of the weights, and for correlations without its mean and of unit length.
    fn row<T: Sample>(&self, frame: &[T], out: &mut [f32]) {
        let finite = |v: f64| if v.is_finite() { v } else { 0.0 };
        let weighted = |v: &T, r: f32| f64::from(r) * finite(v.to_f64());
        let mean = match self.params.measure {
            Measure::Correlation => {
                let pixels = frame.iter().zip(&self.roots);
                pixels.map(|(v, &r)| f64::from(r) * weighted(v, r)).sum::<f64>() / self.sum
            }
            _ => 0.0,
        };
        let value = |v: &T, r: f32| match v.to_f64() {
            v if v.is_finite() => f64::from(r) * (v - mean),
            _ => 0.0,
        };
        let scale = match self.params.measure {
            Measure::Difference => 1.0,
            _ => {
                let squares: f64 = frame.iter().zip(&self.roots).map(|(v, &r)| value(v, r).powi(2)).sum();
                if squares > 0.0 { squares.sqrt().recip() } else { 0.0 }
            }
        };
        for ((o, v), &r) in out.iter_mut().zip(frame).zip(&self.roots) {
            *o = (value(v, r) * scale) as f32;
        }
    }
}

impl Stage for OnCpu {
    fn means(&mut self, frames: Frames<'_>, lists: &Lists) -> Result<Vec<f32>> {
        check(&self.params, frames)?;
        lists.check(frames.count())?;
        let pixels = self.params.frame.pixels();
        let mut out = vec![0.0; lists.len() * pixels];
        out.par_chunks_exact_mut(pixels)
            .enumerate()
            .for_each(|(i, out)| with_pixel!(self.params.frame.pixel, T => self.mean::<T>(frames, lists.of(i), out)));
        Ok(out)
    }

    fn pairs(&mut self, frames: Frames<'_>, pairs: &[[u32; 2]]) -> Result<Vec<f32>> {
        check(&self.params, frames)?;
        if let Some(p) = pairs.iter().flatten().find(|&&p| p as usize >= frames.count()) {
            return Err(Error::Internal(format!("pattern {p} of {}", frames.count())));
        }
        let pixels = self.params.frame.pixels();
        let rows = self.rows(frames);
        let row = |i: u32| rows[i as usize * pixels..(i as usize + 1) * pixels].chunks(RUN);
        let measure = |&[a, b]: &[u32; 2]| {
            let runs = row(a).zip(row(b));
            let sum: f64 = match self.params.measure {
                Measure::Difference => runs.map(|(a, b)| f64::from(difference(self.isa, a, b))).sum(),
                _ => runs.map(|(a, b)| f64::from(product(self.isa, a, b))).sum(),
            };
            sum as f32
        };
        Ok(pairs.par_iter().map(measure).collect())
    }
}

/// Host memory for each frame of a tile and each of its outputs, in bytes.
pub fn cost(params: &Params) -> [u64; 2] {
    let pixels = params.frame.pixels() as u64;
    [4 * pixels, 4 * pixels]
}

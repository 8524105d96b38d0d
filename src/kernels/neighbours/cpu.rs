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

/// Frames as rows (frames, pixels) whose products are the measure, or whose squared differences are, into `out`: times the root of the weights, and
/// for correlations without their mean, for all but differences of unit length; zeros without contrast.
///
/// # Errors
/// [`Error::Parameter`] for weights that do not fit, [`Error::Internal`] for frames or rows of another shape.
pub fn rows(params: &Params, frames: Frames<'_>, out: &mut [f32]) -> Result<()> {
    check(params, frames)?;
    let expected = frames.count() * params.frame.pixels();
    if out.len() != expected {
        return Err(Error::Internal(format!("rows of {} pixels, not {expected}", out.len())));
    }
    OnCpu::new(Isa::active(), params)?.rows(frames, out);
    Ok(())
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

    fn rows(&self, frames: Frames<'_>, out: &mut [f32]) {
        out.par_chunks_exact_mut(self.params.frame.pixels())
            .enumerate()
            .for_each(|(i, out)| {
                with_pixel!(self.params.frame.pixel, T => {
                    row::<T>(self.isa, self.params.measure, frames.frame(i), &self.roots, self.sum, out)
                })
            });
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
}

per_isa! {
    /// A frame as the measure takes it: times the root of the weights, and for correlations without its mean and of unit length. `total` is the
    /// sum of the weights. Sums are sixteen that run side by side.
    fn row[T: Sample][T](measure: Measure, frame: &[T], roots: &[f32], total: f64, out: &mut [f32]) {
        let value = |v: T, r: f32, mean: f64| {
            let v = v.to_f64();
            if v.is_finite() { f64::from(r) * (v - mean) } else { 0.0 }
        };
        let sum = |of: fn(f64, f64) -> f64, mean: f64| -> f64 {
            let mut sums = [0.0; 16];
            let ((frame, rest), (roots, rest_roots)) = (frame.as_chunks::<16>(), roots.as_chunks::<16>());
            for (v, r) in frame.iter().zip(roots) {
                for l in 0..16 {
                    sums[l] += of(value(v[l], r[l], mean), f64::from(r[l]));
                }
            }
            let rest = rest.iter().zip(rest_roots);
            let rest = rest.map(|(&v, &r)| of(value(v, r, mean), f64::from(r)));
            sums.into_iter().chain(rest).sum()
        };
        let mean = match measure {
            Measure::Correlation => sum(|v, root| v * root, 0.0) / total,
            _ => 0.0,
        };
        let scale = match measure {
            Measure::Difference => 1.0,
            _ => {
                let squares = sum(|v, _| v * v, mean);
                if squares > 0.0 { squares.sqrt().recip() } else { 0.0 }
            }
        };
        for ((o, &v), &r) in out.iter_mut().zip(frame).zip(roots) {
            *o = (value(v, r, mean) * scale) as f32;
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
        let mut rows = vec![0.0f32; frames.count() * pixels];
        self.rows(frames, &mut rows);
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

//! Upsampling: kernels of the trigonometric interpolation and the search of its highest point, one workgroup a peak.

use super::{THREADS, WORK, constants, fits};
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder};
use crate::error::{Error, Result};
use crate::kernels::correlate::{Plan, Recipe};
use std::f64::consts::TAU;

/// Where the maps lie.
pub(super) struct Layout {
    /// Words from one map to the next, and from a row to the next.
    pub plane: usize,
    pub pitch: usize,
    /// Words before the map, in what belongs to it.
    pub offset: usize,
    /// Maps come in pairs, imaginary part first.
    pub interleaved: bool,
}

/// The finer grid.
pub(super) struct Finer {
    pipeline: Pipeline,
    kernels: Buffer,
    /// Peaks of one dispatch.
    peaks: usize,
}

impl Finer {
    /// A grid `factor` times finer in maps of the plan's period.
    pub(super) fn new(gpu: &Gpu, plan: &Plan, factor: u32, layout: &Layout) -> Result<Self> {
        let (h, w) = plan.period();
        let points = (1.5 * f64::from(factor)).ceil() as usize;
        let published = plan.params.recipe == Recipe::Published;
        let room = fits(THREADS / 2);
        if w > room {
            return Err(Error::TooLargeForDevice(format!(
                "upsampling of correlations {w} pixels wide (at most {room})"
            )));
        }
        let work = (points * h * w + points * points * w) as u64 * if published { 4 } else { 1 };
        if work > WORK {
            return Err(Error::TooLargeForDevice(format!(
                "upsampling {factor} times of correlations of {h}×{w} pixels would block the device"
            )));
        }
        let rows = (room / w).min(points);
        let wgsl = [
            &constants(&[
                ("THREADS", THREADS),
                ("TEAMS", 1),
                ("HEIGHT", h),
                ("WIDTH", w),
                ("POINTS", points),
                ("FACTOR", factor as usize),
                ("ROWS", rows),
                ("PLANE", layout.plane),
                ("PITCH", layout.pitch),
                ("OFFSET", layout.offset),
            ]),
            &format!(
                "const INTERLEAVED = {};\nconst PUBLISHED = {published};\n\
                 fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {{\n    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);\n}}\n",
                layout.interleaved
            ),
            include_str!("../../../../shaders/common/group.wgsl"),
            include_str!("../../../../shaders/common/team.wgsl"),
            include_str!("../../../../shaders/correlate_finer.wgsl"),
        ]
        .concat();
        let kernels = kernels(plan.params.recipe, factor, points, [h, w]);
        Ok(Finer {
            pipeline: gpu.pipeline("correlate_finer", &wgsl, "finer", &[], 2, 1)?,
            kernels: gpu.buffer_with("interpolation", bytemuck::cast_slice(&kernels))?,
            peaks: (WORK / work.max(1)).clamp(1, 1 << 20) as usize,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kernels.size()
    }

    /// Refines the first `count` peaks.
    pub(super) fn encode(&self, rec: &mut Recorder<'_>, maps: &wgpu::Buffer, peaks: &wgpu::Buffer, count: usize) -> Result<()> {
        for first in (0..count).step_by(self.peaks) {
            let groups = (count - first).min(self.peaks);
            rec.dispatch(
                &self.pipeline,
                bytemuck::cast_slice(&[first as u32, (first + groups) as u32]),
                &[maps, &self.kernels, peaks],
                groups as u64,
            )?;
        }
        Ok(())
    }
}

/// K(whole displacement + fraction) for all whole displacements in a period and all points of the grid: real parts of y and x, then, in
/// the published form, imaginary ones. K is the sum of the frequencies from −n/2 to n/2 divided by n (half of each of ±n/2
/// for even n); published: −n/2 … n/2 − 1 along y, 0 … n/2 along x.
fn kernels(recipe: Recipe, factor: u32, points: usize, periods: [usize; 2]) -> Vec<f32> {
    let (mut real, mut imaginary) = (Vec::new(), Vec::new());
    for (axis, n) in periods.into_iter().enumerate() {
        let half = (n / 2) as i64;
        let frequencies: Vec<(i64, f64)> = match (recipe, axis) {
            (Recipe::Default, _) => (-half..=half)
                .map(|k| (k, if n.is_multiple_of(2) && k.abs() == half { 0.5 } else { 1.0 }))
                .collect(),
            (Recipe::Published, 0) => (-half..n.div_ceil(2) as i64).map(|k| (k, 1.0)).collect(),
            (Recipe::Published, _) => (0..=half).map(|k| (k, 1.0)).collect(),
        };
        for whole in 0..n {
            for p in 0..points {
                let t = whole as f64 + (p as f64 - (points / 2) as f64) / f64::from(factor);
                let (mut re, mut im) = (0.0, 0.0);
                for &(k, weight) in &frequencies {
                    let (s, c) = (TAU * k as f64 * t / n as f64).sin_cos();
                    re += weight * c;
                    im += weight * s;
                }
                real.push((re / n as f64) as f32);
                imaginary.push((im / n as f64) as f32);
            }
        }
    }
    if recipe == Recipe::Published {
        real.extend(imaginary);
    }
    real
}

//! CPU path: one thread works on one pattern from the raw pixels to the finished ones, in buffers that it keeps.

mod clahe;
mod lowpass;
mod median;
mod percentile;

use super::plan::{Fill, Plan, Ready};
use super::{Dynamic, Part, Static};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel, Sample};
use crate::with_pixel;
use lowpass::Lowpass;
use percentile::Select;
use std::sync::Arc;

/// One pattern on its way through the chain, and the buffers that steps share.
pub struct Worker {
    isa: Isa,
    plan: Arc<Plan>,
    /// The pattern as it is now, C order.
    pub(super) values: Vec<f32>,
    spare: Vec<f32>,
    lowpass: Lowpass,
    select: Select,
    clahe: clahe::Maps,
}

impl Worker {
    /// Buffers for patterns of `plan`.
    pub fn new(isa: Isa, plan: Arc<Plan>) -> Self {
        let pixels = plan.pixels();
        Worker {
            isa,
            values: vec![0.0; pixels],
            spare: vec![0.0; pixels],
            lowpass: Lowpass::default(),
            select: Select::default(),
            clahe: clahe::Maps::default(),
            plan,
        }
    }

    /// Runs the chain on one raw pattern; the result, before it is converted to the output type, is what [`Worker::values`] gives.
    /// Returns the number of pixels that had to be filled.
    pub fn run<T: Sample>(&mut self, raw: &[T]) -> u64 {
        let plan = self.plan.clone();
        let mut filled = self.begin(raw);
        for step in &plan.steps {
            filled += self.step(step);
        }
        filled
    }

    /// As [`Worker::run`], telling `each` the pattern after binning (step 0) and after every step.
    pub fn run_stages<T: Sample>(&mut self, raw: &[T], mut each: impl FnMut(usize, &[f32])) -> u64 {
        let plan = self.plan.clone();
        let mut filled = self.begin(raw);
        each(0, &self.values);
        for (i, step) in plan.steps.iter().enumerate() {
            filled += self.step(step);
            each(i + 1, &self.values);
        }
        filled
    }

    /// The pattern as float32, C order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Appends the pattern in the output type.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match self.plan.output {
            Pixel::U8 => {
                out.resize(start + self.values.len(), 0);
                to_u8(self.isa, &self.values, self.plan.round, &mut out[start..]);
            }
            Pixel::U16 => {
                // Bytes of a Vec<u8> may be odd in memory: pixels go through a small aligned piece.
                let mut piece = [0u16; 512];
                for values in self.values.chunks(512) {
                    to_u16(self.isa, values, self.plan.round, &mut piece[..values.len()]);
                    out.extend_from_slice(bytemuck::cast_slice(&piece[..values.len()]));
                }
            }
            _ => out.extend_from_slice(bytemuck::cast_slice(&self.values)),
        }
    }

    /// Binned float32 values with non-finite pixels filled.
    fn begin<T: Sample>(&mut self, raw: &[T]) -> u64 {
        let (plan, values) = (&*self.plan, &mut self.values[..]);
        if plan.bin == 1 {
            convert(self.isa, raw, values);
        } else {
            mean_blocks(self.isa, raw, plan.frame.width, plan.bin, plan.width, values);
        }
        if T::PIXEL == Pixel::F32 && !all_finite(self.isa, values) {
            return fill_missing(raw, plan, values);
        }
        0
    }

    fn step(&mut self, step: &Ready) -> u64 {
        let (isa, width) = (self.isa, self.plan.width);
        match step {
            Ready::Hot(factor) => {
                median::remove_hot(isa, &self.values, &mut self.spare, width, *factor);
                std::mem::swap(&mut self.values, &mut self.spare);
                0
            }
            Ready::Static { image, range, how, fill } => {
                match how {
                    Static::Divide => divide(isa, &mut self.values, image),
                    Static::Subtract => subtract(isa, &mut self.values, image, 1.0, 0.0),
                    Static::SubtractScaled => {
                        let [low, high] = extremes(isa, &self.values);
                        let scale = if range[1] > range[0] {
                            (high - low) / (range[1] - range[0])
                        } else {
                            0.0
                        };
                        subtract_scaled(isa, &mut self.values, image, range[0], scale, low);
                    }
                }
                fill_from(fill, &mut self.values)
            }
            Ready::Lowpass { axes, how } => {
                self.lowpass.run(isa, &self.values, width, axes);
                let low = self.lowpass.result(width);
                let rows = self.values.chunks_exact_mut(width).zip(low);
                match how {
                    Dynamic::Divide => rows.map(|(v, b)| u64::from(divide_low(isa, v, b))).sum(),
                    Dynamic::Subtract { scale } => {
                        rows.for_each(|(v, b)| subtract(isa, v, b, *scale, 0.0));
                        0
                    }
                    Dynamic::Background => {
                        rows.for_each(|(v, b)| v.copy_from_slice(b));
                        0
                    }
                }
            }
            Ready::LocalNorm { axes } => {
                self.local_norm(axes);
                0
            }
            Ready::Clahe(tiles) => {
                let range = extremes(isa, &self.values);
                self.clahe.run(tiles, range, &mut self.values, width);
                let range = extremes(isa, &self.values);
                stretch(isa, &mut self.values, range, [0.0, 1.0], false);
                0
            }
            Ready::Stretch { low, high, to, whole } => {
                let range = self.select.range(isa, &self.values, *low, *high);
                stretch(isa, &mut self.values, range, *to, *whole);
                0
            }
            Ready::Circle(inside) => {
                for (v, inside) in self.values.iter_mut().zip(inside) {
                    *v = if *inside { *v } else { 0.0 };
                }
                0
            }
        }
    }

    /// (x − mean) / deviation of the window around. The pattern's mean is taken out first, so that squares do not cancel.
    fn local_norm(&mut self, axes: &[super::plan::Axis; 2]) {
        let (isa, width) = (self.isa, self.plan.width);
        let mean = self.values.iter().map(|&v| f64::from(v)).sum::<f64>() / self.values.len() as f64;
        for v in &mut self.values {
            *v -= mean as f32;
        }
        self.lowpass.run(isa, &self.values, width, axes);
        self.spare.clear();
        self.spare.extend(self.lowpass.result(width).flatten());
        let squares: Vec<f32> = self.values.iter().map(|v| v * v).collect();
        self.lowpass.run(isa, &squares, width, axes);
        let second = self.lowpass.result(width).flatten();
        for ((v, &mean), &second) in self.values.iter_mut().zip(&self.spare).zip(second) {
            let variance = second - mean * mean;
            *v = if variance > 1e-16 {
                (*v - mean) / variance.sqrt()
            } else {
                0.0
            };
        }
    }
}

per_isa! {
    fn convert[T: Sample][T](raw: &[T], out: &mut [f32]) {
        for (o, v) in out.iter_mut().zip(raw) {
            *o = v.to_f32();
        }
    }
}

per_isa! {
    /// Means of blocks of `bin` × `bin` pixels: rows of a block from left to right, then their sums from top to bottom.
    fn mean_blocks[T: Sample][T](raw: &[T], width: usize, bin: usize, out_width: usize, out: &mut [f32]) {
        let area = (bin * bin) as f32;
        for (out, rows) in out.chunks_exact_mut(out_width).zip(raw.chunks(width * bin)) {
            out.fill(0.0);
            for row in rows.chunks_exact(width) {
                for (o, block) in out.iter_mut().zip(row.chunks_exact(bin)) {
                    let mut sum = 0.0;
                    for v in block {
                        sum += v.to_f32();
                    }
                    *o += sum;
                }
            }
            for o in out.iter_mut() {
                *o /= area;
            }
        }
    }
}

per_isa! {
    fn all_finite(values: &[f32]) -> bool {
        let mut bad = 0u32;
        for v in values {
            bad |= u32::from(v.to_bits() & 0x7f80_0000 == 0x7f80_0000);
        }
        bad == 0
    }
}

per_isa! {
    fn divide(values: &mut [f32], by: &[f32]) {
        for (v, b) in values.iter_mut().zip(by) {
            *v /= *b;
        }
    }
}

per_isa! {
    /// x / b; 0 where b is no positive or negative number. Counts these.
    fn divide_low(values: &mut [f32], by: &[f32]) -> u32 {
        let mut zeros = 0;
        for (v, &b) in values.iter_mut().zip(by) {
            let zero = b == 0.0;
            zeros += u32::from(zero);
            *v = if zero { 0.0 } else { *v / b };
        }
        zeros
    }
}

per_isa! {
    /// x − (scale·b + offset).
    fn subtract(values: &mut [f32], b: &[f32], scale: f32, offset: f32) {
        for (v, b) in values.iter_mut().zip(b) {
            *v -= scale * *b + offset;
        }
    }
}

per_isa! {
    /// x − ((b − least)·scale + offset).
    fn subtract_scaled(values: &mut [f32], b: &[f32], least: f32, scale: f32, offset: f32) {
        for (v, b) in values.iter_mut().zip(b) {
            *v -= (*b - least) * scale + offset;
        }
    }
}

per_isa! {
    /// Smallest and largest value.
    fn extremes(values: &[f32]) -> [f32; 2] {
        let (mut least, mut most) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
        let (chunks, rest) = values.as_chunks::<16>();
        for chunk in chunks {
            for l in 0..16 {
                least[l] = if chunk[l] < least[l] { chunk[l] } else { least[l] };
                most[l] = if chunk[l] > most[l] { chunk[l] } else { most[l] };
            }
        }
        let mut range = [f32::INFINITY, f32::NEG_INFINITY];
        for &v in least.iter().chain(rest) {
            range[0] = if v < range[0] { v } else { range[0] };
        }
        for &v in most.iter().chain(rest) {
            range[1] = if v > range[1] { v } else { range[1] };
        }
        range
    }
}

per_isa! {
    /// Clips to `range` and maps it to `to`.
    fn stretch(values: &mut [f32], range: [f32; 2], to: [f32; 2], whole: bool) {
        let [low, high] = range;
        let (width, span) = (high - low, to[1] - to[0]);
        for v in values.iter_mut() {
            let x = if *v < low { low } else { *v };
            let x = if x > high { high } else { x };
            let x = (x - low) / width * span + to[0];
            let x = if whole { x.trunc() } else { x };
            *v = if width > 0.0 { x } else { to[0] };
        }
    }
}

per_isa! {
    fn to_u8(values: &[f32], round: bool, out: &mut [u8]) {
        let half = if round { 0.5 } else { 0.0 };
        for (o, v) in out.iter_mut().zip(values) {
            *o = (*v + half) as u8;
        }
    }
}

per_isa! {
    fn to_u16(values: &[f32], round: bool, out: &mut [u16]) {
        let half = if round { 0.5 } else { 0.0 };
        for (o, v) in out.iter_mut().zip(values) {
            *o = (*v + half) as u16;
        }
    }
}

/// Replaces pixels by the mean of others. Returns how many.
fn fill_from(fill: &Fill, values: &mut [f32]) -> u64 {
    for (i, &at) in fill.pixels.iter().enumerate() {
        let sources = &fill.sources[fill.starts[i] as usize..fill.starts[i + 1] as usize];
        let sum: f32 = sources.iter().map(|&s| values[s as usize]).sum();
        values[at as usize] = sum / sources.len() as f32;
    }
    fill.pixels.len() as u64
}

/// Means over the finite pixels of each block, and of the smallest square around a block that has any; 0 if none has.
/// Returns the number of raw pixels that were not finite.
fn fill_missing<T: Sample>(raw: &[T], plan: &Plan, values: &mut [f32]) -> u64 {
    let (rows, columns, bin) = (plan.frame.height, plan.frame.width, plan.bin);
    let mean = |top: usize, left: usize, bottom: usize, right: usize| {
        let (mut sum, mut n) = (0.0, 0);
        for y in top..bottom {
            for v in &raw[y * columns + left..y * columns + right] {
                let v = v.to_f32();
                if v.is_finite() {
                    sum += v;
                    n += 1;
                }
            }
        }
        (n > 0).then(|| sum / n as f32)
    };
    for (i, out) in values.iter_mut().enumerate().filter(|(_, v)| !v.is_finite()) {
        let (y, x) = (i / plan.width * bin, i % plan.width * bin);
        let around = |r: usize| {
            mean(
                y.saturating_sub(r),
                x.saturating_sub(r),
                (y + bin + r).min(rows),
                (x + bin + r).min(columns),
            )
        };
        *out = (0..rows.max(columns)).find_map(around).unwrap_or(0.0);
    }
    raw.iter().filter(|v| !v.to_f32().is_finite()).count() as u64
}

/// The processed patterns since the last part.
struct Stage {
    worker: Worker,
    shape: FrameShape,
    part: Part,
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            let what = format!("patterns of {:?} given {:?}", self.shape, frames.shape());
            return Err(Error::Internal(what));
        }
        if self.part.count == 0 {
            self.part.first = frames.first();
        }
        for i in 0..frames.count() {
            self.part.filled += with_pixel!(self.shape.pixel, T => self.worker.run::<T>(frames.frame(i)));
            self.worker.write(&mut self.part.bytes);
        }
        self.part.count += frames.count();
        Ok(())
    }

    fn take(&mut self) -> Option<Part> {
        let empty = Part {
            first: 0,
            count: 0,
            bytes: Vec::new(),
            filled: 0,
        };
        let part = std::mem::replace(&mut self.part, empty);
        (part.count > 0).then_some(part)
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(self.take())
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// A stage for one worker on a shared plan.
pub fn stage(plan: Arc<Plan>) -> Box<dyn CpuStage<Part = Part>> {
    stage_with(Isa::active(), plan)
}

/// [`stage`] on a given instruction set.
pub fn stage_with(isa: Isa, plan: Arc<Plan>) -> Box<dyn CpuStage<Part = Part>> {
    Box::new(Stage {
        shape: plan.frame,
        worker: Worker::new(isa, plan),
        part: Part {
            first: 0,
            count: 0,
            bytes: Vec::new(),
            filled: 0,
        },
    })
}

/// Memory of one worker: its buffers and a leaf of results.
pub fn cost(plan: &Plan) -> Cost {
    let pixels = plan.pixels() as u64;
    Cost {
        // Two patterns, four padded ones of the low-pass, the sample of the percentiles.
        fixed: 4 * pixels * 7 + LEAF * pixels * plan.output.bytes() as u64,
        per_frame: 0,
    }
}

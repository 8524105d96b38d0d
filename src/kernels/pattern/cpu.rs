//! CPU path: one thread works on one pattern from the raw pixels to the finished ones, in buffers that it keeps. Of the usual chain, the static
//! background is divided by while pixels are converted, and the last stretch rides on the conversion back.

mod clahe;
mod fill;
mod lowpass;
mod median;
mod percentile;
mod point;

use super::plan::{Axis, Plan, Ready};
use super::{Dynamic, Part, Static};
use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{LANES, Lanes};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel, Sample};
use crate::with_pixel;
use fill::{fill_from, fill_missing};
use lowpass::Lowpass;
use percentile::Select;
use point::*;
use std::sync::Arc;

/// One pattern on its way through the chain, and the buffers that steps share.
pub struct Worker {
    isa: Isa,
    plan: Arc<Plan>,
    /// The pattern as it is now, C order; pixels of the last lanes beyond it mean nothing. Lanes lie as the low-pass likes them.
    values: Vec<Lanes>,
    spare: Vec<Lanes>,
    lowpass: Lowpass,
    select: Select,
    clahe: clahe::Maps,
}

/// The pixels of a pattern that lies in lanes.
fn pixels_of(lanes: &mut [Lanes], pixels: usize) -> &mut [f32] {
    &mut bytemuck::cast_slice_mut(lanes)[..pixels]
}

impl Worker {
    /// Buffers for patterns of `plan`.
    pub fn new(isa: Isa, plan: Arc<Plan>) -> Self {
        let lanes = plan.pixels().div_ceil(LANES);
        Worker {
            isa,
            values: vec![Lanes::ZERO; lanes],
            spare: vec![Lanes::ZERO; lanes],
            lowpass: Lowpass::default(),
            select: Select::default(),
            clahe: clahe::Maps::default(),
            plan,
        }
    }

    /// Runs the chain on one raw pattern and appends the result in the output type. Returns the number of pixels that had to be filled.
    pub fn run<T: Sample>(&mut self, raw: &[T], out: &mut Vec<u8>) -> u64 {
        let plan = self.plan.clone();
        let (mut filled, mut steps) = match plan.steps.split_first() {
            Some((
                Ready::Static {
                    image,
                    how: Static::Divide,
                    fill,
                    ..
                },
                rest,
            )) if plan.bin == 1 && T::PIXEL != Pixel::F32 => {
                let values = pixels_of(&mut self.values, plan.pixels());
                convert_divide(self.isa, raw, image, values);
                (fill_from(fill, values), rest)
            }
            _ => (self.begin(raw), &plan.steps[..]),
        };
        let mut finish = Finish {
            stretch: None,
            whole: false,
            round: plan.round,
        };
        let last = match steps.split_last() {
            Some((Ready::Stretch { low, high, to, whole }, before)) if plan.output != Pixel::F32 => {
                steps = before;
                Some((*low, *high, *to, *whole))
            }
            _ => None,
        };
        for step in steps {
            filled += self.step(step);
        }
        if let Some((low, high, to, whole)) = last {
            let range = self
                .select
                .range(self.isa, pixels_of(&mut self.values, plan.pixels()), low, high);
            finish.stretch = Some((range, to));
            finish.whole = whole;
        }
        self.write(&finish, out);
        filled
    }

    /// Runs the chain on one raw pattern, telling `each` the pattern after binning (step 0) and after every step.
    pub fn run_stages<T: Sample>(&mut self, raw: &[T], mut each: impl FnMut(usize, &[f32])) -> u64 {
        let plan = self.plan.clone();
        let mut filled = self.begin(raw);
        each(0, pixels_of(&mut self.values, plan.pixels()));
        for (i, step) in plan.steps.iter().enumerate() {
            filled += self.step(step);
            each(i + 1, pixels_of(&mut self.values, plan.pixels()));
        }
        filled
    }

    fn write(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        let start = out.len();
        let values = pixels_of(&mut self.values, self.plan.pixels());
        match self.plan.output {
            Pixel::U8 => {
                out.resize(start + values.len(), 0);
                to_integers(self.isa, values, finish, &mut out[start..]);
            }
            Pixel::U16 => {
                // Bytes of a Vec<u8> may be odd in memory: pixels go through a small aligned piece.
                let mut piece = [0u16; 512];
                for values in values.chunks(512) {
                    to_integers(self.isa, values, finish, &mut piece[..values.len()]);
                    out.extend_from_slice(bytemuck::cast_slice(&piece[..values.len()]));
                }
            }
            _ => out.extend_from_slice(bytemuck::cast_slice(values)),
        }
    }

    /// Binned float32 values with non-finite pixels filled.
    fn begin<T: Sample>(&mut self, raw: &[T]) -> u64 {
        let plan = &*self.plan;
        let values = pixels_of(&mut self.values, plan.pixels());
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
        let (isa, width, pixels) = (self.isa, self.plan.width, self.plan.pixels());
        let values = pixels_of(&mut self.values, pixels);
        match step {
            Ready::Hot(factor) => {
                median::remove_hot(isa, values, pixels_of(&mut self.spare, pixels), width, *factor);
                std::mem::swap(&mut self.values, &mut self.spare);
                0
            }
            Ready::Static { image, range, how, fill } => {
                match how {
                    Static::Divide => divide(isa, values, image),
                    Static::Subtract => subtract(isa, values, image, 1.0, 0.0),
                    Static::SubtractScaled => {
                        let [low, high] = extremes(isa, values);
                        let scale = if range[1] > range[0] {
                            (high - low) / (range[1] - range[0])
                        } else {
                            0.0
                        };
                        subtract_scaled(isa, values, image, range[0], scale, low);
                    }
                }
                fill_from(fill, values)
            }
            Ready::Lowpass { axes, how } => {
                self.lowpass.run(isa, values, width, axes);
                let low = self.lowpass.result(width);
                let rows = values.chunks_exact_mut(width).zip(low);
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
                let range = extremes(isa, values);
                self.clahe.run(tiles, range, values, width);
                let range = extremes(isa, values);
                stretch(isa, values, range, [0.0, 1.0], false);
                0
            }
            Ready::Stretch { low, high, to, whole } => {
                let range = self.select.range(isa, values, *low, *high);
                stretch(isa, values, range, *to, *whole);
                0
            }
            Ready::Circle(inside) => {
                for (v, inside) in values.iter_mut().zip(inside) {
                    *v = if *inside { *v } else { 0.0 };
                }
                0
            }
        }
    }

    /// (x − mean) / deviation of the window around. The pattern's mean is taken out first, so that squares do not cancel.
    fn local_norm(&mut self, axes: &[Axis; 2]) {
        let (isa, width, pixels) = (self.isa, self.plan.width, self.plan.pixels());
        let values = pixels_of(&mut self.values, pixels);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels as f64;
        for v in values.iter_mut() {
            *v -= mean as f32;
        }
        self.lowpass.run(isa, values, width, axes);
        let means = pixels_of(&mut self.spare, pixels);
        for (to, from) in means.chunks_exact_mut(width).zip(self.lowpass.result(width)) {
            to.copy_from_slice(from);
        }
        let squares: Vec<f32> = values.iter().map(|v| v * v).collect();
        self.lowpass.run(isa, &squares, width, axes);
        let second = self.lowpass.result(width).flatten();
        for ((v, &mut mean), &second) in values.iter_mut().zip(means).zip(second) {
            let variance = second - mean * mean;
            *v = if variance > 1e-16 {
                (*v - mean) / variance.sqrt()
            } else {
                0.0
            };
        }
    }
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
            self.part.filled += with_pixel!(self.shape.pixel, T => self.worker.run::<T>(frames.frame(i), &mut self.part.bytes));
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
        fixed: 4 * pixels * 8 + LEAF * pixels * plan.output.bytes() as u64,
        per_frame: 0,
    }
}

//! GPU path. Only peaks come back, 20 bytes each.
//!
//! *Fast* and *sparse* are one kernel from pixels to peaks: a crop with direct sums, or a pair of crops with one complex transform, in
//! 16 KiB of workgroup memory (44×44 crops and smaller). Of device memory a crop of n × n pixels touches its pixels (twice, the second
//! time out of a cache), tables that all crops share (taps, or spectrum and roots) and the peak; no correlation map. It takes
//! n²·t multiply-adds with t template values, or, with transforms of m points, half of 4m one-dimensional transforms.
//!
//! Larger crops and *full* go through a device buffer of 8 bytes for each point of a pair of images: rows write it, columns with the
//! product read and write it, windows read the rows they need and transform them back; see `passes.rs` for the bytes and for when
//! a map is written after all. With upsampling, maps of fast crops are kept for a kernel that searches the finer grid.
//!
//! Dispatches: one a round for fused crops (and one a block for the minima of sparse), four or five a round for the others, and one or more for upsampling. A
//! round has as many windows or pairs as fit a 64th of the device memory, 32 MiB at most, and 2³⁰ multiply-adds.
//!
//! Lengths, pairs and the order of additions are those of the CPU path. A GPU may contract multiplications and additions, so bits
//! differ between devices, and of two maxima equal within float32's accuracy the other one may be taken; with the same device,
//! blocks and memory change nothing.
//!
//! Lines of a transform must fit workgroup memory: 2048 points everywhere, 4096 or more on most GPUs. Longer ones, and single crops
//! whose sums would block the device, are [`Error::TooLargeForDevice`]: the pass runs on the CPU.

mod finer;
mod fused;
mod passes;
mod rounds;
mod transform;

use self::finer::Finer;
use self::fused::Fused;
use self::passes::Passes;
use self::rounds::{MOST_ROWS, Round, Rule};
use super::plan::{Spectral, Sums};
use super::{Method, Part, Peak, Plan};
use crate::backend::gpu::shader::{WORKGROUP_WORDS, ln_of_numbers, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Threads of a workgroup at most.
const THREADS: usize = crate::backend::gpu::shader::THREADS as usize;
/// Multiply-adds of one dispatch, and of one workgroup at most.
const WORK: u64 = 1 << 30;

/// A stage on `gpu`.
///
/// # Errors
/// [`Error::TooLargeForDevice`] as above, [`Error::Device`], [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, plan: &Arc<Plan>) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let work = match &plan.sums {
        Sums::Direct(d) => Work::Fused(Box::new(Fused::direct(gpu, plan, d)?)),
        Sums::Spectral(s) if plan.params.method == Method::Fast && Fused::takes(s) => {
            Work::Fused(Box::new(Fused::transforms(gpu, plan, s)?))
        }
        Sums::Spectral(s) => Work::Passes(Box::new(Passes::new(gpu, plan, s)?)),
    };
    let full = plan.params.method == Method::Full;
    let rule = match &work {
        Work::Fused(f) if f.together == 1 => Rule::Single { windows: f.capacity },
        Work::Fused(f) => Rule::Pairs { windows: f.capacity },
        Work::Passes(p) if full => Rule::Frames { pairs: p.pairs },
        Work::Passes(p) => Rule::Images { pairs: p.pairs },
    };
    let layout = match &work {
        Work::Fused(f) => &f.layout,
        Work::Passes(p) => &p.layout,
    };
    let finer = plan.params.upsample.map(|u| Finer::new(gpu, plan, u, layout)).transpose()?;
    let mut starts = Vec::with_capacity(plan.expected.len());
    let mut positions = Vec::new();
    for expected in &plan.expected {
        starts.push(positions.len() as u32);
        positions.extend_from_slice(expected);
    }
    let most = rule.most_windows(plan.most());
    Ok(Box::new(Stage {
        work,
        rule,
        finer,
        starts,
        common: Common {
            rows: gpu.buffer("correlation rows", 16 * (most.min(MOST_ROWS) + 1) as u64)?,
            positions: gpu.buffer_with("expected positions", bytemuck::cast_slice(&positions))?,
            peaks: gpu.buffer("peaks", (size_of::<Peak>() * most) as u64)?,
        },
        plan: plan.clone(),
    }))
}

enum Work {
    Fused(Box<Fused>),
    Passes(Box<Passes>),
}

/// Buffers of every form.
struct Common {
    rows: Buffer,
    positions: Buffer,
    peaks: Buffer,
}

struct Stage {
    plan: Arc<Plan>,
    work: Work,
    rule: Rule,
    finer: Option<Finer>,
    /// Where each label's positions begin.
    starts: Vec<u32>,
    common: Common,
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        let (fixed, per_frame) = match &self.work {
            Work::Fused(f) => (f.bytes(), f.per_frame()),
            Work::Passes(p) => (p.bytes(), 0),
        };
        let common = self.common.rows.size() + self.common.positions.size() + self.common.peaks.size();
        // And the peaks of a block on their way back.
        Cost {
            fixed: fixed + common + self.finer.as_ref().map_or(0, Finer::bytes),
            per_frame: per_frame + (self.plan.most() * size_of::<Peak>()) as u64,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        if let Work::Fused(f) = &mut self.work {
            f.begin(rec, block, self.plan.shape.pixels())?;
        }
        for round in rounds::rounds(&self.plan, &self.starts, self.rule, block.first, block.count) {
            rec.write(&self.common.rows, 0, bytemuck::cast_slice(&round.rows))?;
            let maps = match &self.work {
                Work::Fused(f) => {
                    f.encode(rec, block, &round, &self.common)?;
                    &f.store
                }
                Work::Passes(p) => {
                    p.encode(rec, block, &round, &self.common)?;
                    &p.planes
                }
            };
            if let Some(finer) = &self.finer {
                finer.encode(rec, maps, &self.common.peaks, round.windows)?;
            }
            rec.read(&self.common.peaks, 0, (round.windows * size_of::<Peak>()) as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let mut part = Part {
            first,
            offsets: Vec::with_capacity(count + 1),
            peaks: Vec::new(),
        };
        let mut total = 0;
        part.offsets.push(0);
        for i in 0..count {
            total += self.plan.expected(first + i as u64).len();
            part.offsets.push(total as u32);
        }
        part.peaks.reserve_exact(total);
        for read in reads {
            part.peaks.extend(bytemuck::pod_collect_to_vec::<u8, Peak>(read));
        }
        if part.peaks.len() != total {
            let found = part.peaks.len();
            return Err(Error::Internal(format!(
                "correlation: {found} peaks came back, expected {total}"
            )));
        }
        Ok(vec![(first / crate::pixel::LEAF, part)])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// Complex numbers that fit into workgroup memory beside `other` words.
const fn fits(other: usize) -> usize {
    (WORKGROUP_WORDS - other) / 2
}

/// Constants of a shader.
fn constants(values: &[(&str, usize)]) -> String {
    values.iter().map(|(name, v)| format!("const {name} = {v}u;\n")).collect()
}

/// What every shader that looks at pixels begins with.
fn pixels(plan: &Plan) -> String {
    [
        &prelude(plan.shape.pixel),
        &ln_of_numbers(),
        &constants(&[("FRAME_HEIGHT", plan.shape.height), ("FRAME_WIDTH", plan.shape.width)]),
        &format!("const ZERO_OUTSIDE = {};\n", fused::zero_outside(plan)),
        include_str!("../../../shaders/common/crop.wgsl"),
    ]
    .concat()
}

/// The template's spectrum in C order (ky, kx).
fn by_row(s: &Spectral) -> Vec<[f32; 2]> {
    let (my, mx) = (s.y.m, s.x.m);
    (0..my * mx).map(|i| s.spectrum[i % mx * my + i / mx]).collect()
}

//! GPU path: a round of patterns lies in two float32 buffers; each step is one to three dispatches over all of them. The static
//! background rides on the conversion, division on the columns of the low-pass, the last stretch on packing: the usual chain reads
//! and writes each pattern five times on the device, and once over the bus in each direction.

mod steps;
mod tables;

use super::Part;
use super::plan::{Plan, Ready};
use crate::backend::gpu::rounds::{Rounds, words_of};
use crate::backend::gpu::shader::lanes;
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::LEAF;
use std::sync::Arc;
use tables::{Pipelines, Tables, tables};

/// A stage on `gpu`.
///
/// # Errors
/// [`Error::Device`] when the frame is too large for this device, [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, plan: Arc<Plan>) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let pixels = plan.pixels() as u64;
    let words = plan.pixels().div_ceil(lanes(plan.output));
    let mut per_frame = 4 * pixels;
    // Raw pixels read, and weights of the longest window for each pixel.
    let mut work = (plan.frame.pixels() + 16 * plan.pixels()) as u64;
    for step in &plan.steps {
        match step {
            Ready::Clahe(t) => per_frame = per_frame.max(4 * (t.count[0] * t.count[1] * t.bins) as u64),
            Ready::Lowpass { axes, .. } | Ready::LocalNorm { axes } => {
                work = work.max(pixels * axes.iter().map(|a| a.weights.len() as u64).max().unwrap_or(0));
            }
            _ => {}
        }
    }
    let rounds = Rounds::new(gpu, per_frame, work);
    let frames = rounds.frames() as u64;
    // Only where a step needs them.
    let space = |label: &str, needed: fn(&Ready) -> bool| match plan.steps.iter().any(needed) {
        true => gpu.buffer(label, rounds.bytes()),
        false => gpu.buffer(label, 16),
    };
    let levels = space("grey-level maps", |s| matches!(s, Ready::Clahe(_)))?;
    let local = |s: &Ready| matches!(s, Ready::LocalNorm { .. });
    let aside = [space("means", local)?, space("mean squares", local)?];
    Ok(Box::new(Stage {
        pipelines: Pipelines::new(gpu, &plan)?,
        tables: plan.steps.iter().map(|s| tables(gpu, s)).collect::<Result<_>>()?,
        values: gpu.buffer("patterns", 4 * pixels * frames)?,
        other: gpu.buffer("patterns aside", 4 * pixels * frames)?,
        packed: gpu.buffer("packed patterns", 4 * words as u64 * frames)?,
        ranges: gpu.buffer("pattern ranges", 8 * frames)?,
        filled: gpu.buffer("filled pixels", 4 * frames)?,
        nothing: gpu.buffer("nothing", 16)?,
        levels,
        aside,
        words,
        rounds,
        plan,
    }))
}

struct Stage {
    plan: Arc<Plan>,
    pipelines: Pipelines,
    tables: Vec<Tables>,
    values: Buffer,
    other: Buffer,
    packed: Buffer,
    ranges: Buffer,
    filled: Buffer,
    levels: Buffer,
    /// Two more pattern buffers for the local normalisation.
    aside: [Buffer; 2],
    /// Stands where a step has no table.
    nothing: Buffer,
    /// Words of a packed pattern.
    words: usize,
    rounds: Rounds,
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        let buffers = [
            &self.values,
            &self.other,
            &self.packed,
            &self.levels,
            &self.aside[0],
            &self.aside[1],
        ];
        Cost {
            fixed: buffers.iter().map(|b| b.size()).sum(),
            // On their way back.
            per_frame: 4 * self.words as u64,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        for (from, count) in self.rounds.of(block.count) {
            self.begin(rec, block, from, count)?;
            for number in 0..self.plan.steps.len() {
                self.step(rec, number, count)?;
            }
            let round = if self.plan.round { 4 } else { 0 };
            let (flags, to) = match self.plan.steps.last() {
                Some(Ready::Stretch { to, whole, .. }) => (1 | if *whole { 2 } else { 0 }, *to),
                _ => (0, [0.0, 1.0]),
            };
            self.stretch(rec, &self.pipelines.pack, count, flags | round, to)?;
            rec.read(&self.packed, 0, 4 * (self.words * count) as u64)?;
            rec.read(&self.filled, 0, 4 * count as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let frame = self.plan.output().bytes();
        let fixed: u64 = self.plan.bad_background() as u64;
        let mut part = Part {
            first,
            count,
            bytes: Vec::with_capacity(count * frame),
            filled: fixed * count as u64,
        };
        for pair in reads.chunks_exact(2) {
            for pattern in pair[0].chunks_exact(4 * self.words) {
                part.bytes.extend_from_slice(&pattern[..frame]);
            }
            part.filled += words_of(pair[1]).iter().map(|&n| u64::from(n)).sum::<u64>();
        }
        if part.bytes.len() != count * frame {
            let what = format!("{} bytes of {count} patterns came back", part.bytes.len());
            return Err(Error::Internal(what));
        }
        Ok(vec![(first / LEAF, part)])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}

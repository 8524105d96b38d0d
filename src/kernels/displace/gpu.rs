//! GPU path: a stage that moves frames into a buffer of its own and hands them to another.

use super::{Move, Params, moved};
use crate::backend::gpu::shader::{THREADS, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::collections::VecDeque;

/// Frames are moved in groups of a multiple of this, as cuts inside a leaf must be.
const CUT: u64 = 8;

/// A stage that moves frames of `shape` and hands them to `inner`, a stage for frames of [`moved`] shape.
///
/// # Errors
/// [`Error::TooLargeForDevice`] when eight moved frames do not fit a binding, [`Error::Device`], [`Error::DeviceMemory`].
pub fn stage<P: 'static>(
    gpu: &Gpu,
    shape: FrameShape,
    params: &Params,
    inner: Box<dyn GpuStage<Part = P>>,
) -> Result<Box<dyn GpuStage<Part = P>>> {
    let stride = moved(shape).stride() as u64;
    if gpu.max_binding() / stride < CUT {
        let what = format!("moved frames of {} MiB do not fit this device's bindings", stride >> 20);
        return Err(Error::TooLargeForDevice(what));
    }
    let group = (gpu.output_bytes() / stride / CUT * CUT).max(CUT);
    let wgsl = prelude(shape.pixel) + include_str!("../../../shaders/displace.wgsl");
    Ok(Box::new(Stage {
        pipeline: gpu.pipeline(&format!("displace {}", shape.pixel), &wgsl, "displace", &[], 2, 1)?,
        moves: gpu.buffer("moves", group * size_of::<Move>() as u64)?,
        frames: gpu.buffer("moved frames", group * stride)?,
        group: group as usize,
        shape,
        params: params.clone(),
        flying: VecDeque::new(),
        inner,
    }))
}

struct Stage<P> {
    shape: FrameShape,
    params: Params,
    pipeline: Pipeline,
    moves: Buffer,
    frames: Buffer,
    /// Frames moved at a time.
    group: usize,
    /// For each block under way: first frame, number of frames and number of reads of each group.
    flying: VecDeque<Vec<(u64, usize, usize)>>,
    inner: Box<dyn GpuStage<Part = P>>,
}

impl<P> GpuStage for Stage<P> {
    type Part = P;

    fn cost(&self) -> Cost {
        let own = Cost {
            fixed: self.moves.size() + self.frames.size(),
            per_frame: 0,
        };
        self.inner.cost() + own
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let to = moved(self.shape);
        let chunks = (to.pixels() as u64).div_ceil(THREADS);
        let mut groups = Vec::new();
        for from in (0..block.count).step_by(self.group) {
            let (first, count) = (block.first + from as u64, self.group.min(block.count - from));
            let moves = (first..first + count as u64)
                .map(|n| self.params.of(n, self.shape))
                .collect::<Result<Vec<Move>>>()?;
            rec.write(&self.moves, 0, bytemuck::cast_slice(&moves))?;
            let params = [
                from as u32,
                count as u32,
                block.stride_words,
                (to.stride() / 4) as u32,
                to.height as u32,
                to.width as u32,
                chunks as u32,
            ];
            let buffers = [block.buffer, &self.moves, &self.frames];
            rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, count as u64 * chunks)?;
            let before = rec.reads();
            self.inner.encode(rec, &GpuBlock::new(to, first, count, &self.frames)?)?;
            groups.push((first, count, rec.reads() - before));
        }
        self.flying.push_back(groups);
        Ok(())
    }

    fn results(&mut self, first: u64, _count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, P)>> {
        let groups = self.flying.pop_front().unwrap_or_default();
        if groups.first().map(|g| g.0) != Some(first) || groups.iter().map(|g| g.2).sum::<usize>() != reads.len() {
            return Err(Error::Internal(format!(
                "results of another block than that of frame {first}"
            )));
        }
        let mut parts = Vec::new();
        let mut rest = reads;
        for (first, count, n) in groups {
            let (of_group, later) = rest.split_at(n);
            parts.extend(self.inner.results(first, count, of_group)?);
            rest = later;
        }
        Ok(parts)
    }

    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        self.inner.encode_finish(rec)
    }

    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<P>> {
        self.inner.finish(reads)
    }
}

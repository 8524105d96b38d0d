//! GPU path: a stage that rebins frames into a buffer of its own and hands them to another. A thread makes one value.

use super::{Params, Scale};
use crate::backend::gpu::shader::{THREADS, ln_of_numbers, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use std::collections::VecDeque;

/// Frames are rebinned in groups of a multiple of this, as cuts inside a leaf must be.
const CUT: u64 = 8;

/// A stage that rebins frames of `shape` and hands them to `inner`, a stage for frames of shape [`Params::output`].
///
/// # Errors
/// Those of [`Params::output`]; [`Error::TooLargeForDevice`] when eight rebinned frames do not fit a binding, [`Error::Device`],
/// [`Error::DeviceMemory`].
pub fn stage<P: 'static>(
    gpu: &Gpu,
    shape: FrameShape,
    params: &Params,
    inner: Box<dyn GpuStage<Part = P>>,
) -> Result<Box<dyn GpuStage<Part = P>>> {
    let to = params.output(shape)?;
    let (h, w) = params.binned(shape)?;
    let stride = to.stride() as u64;
    if gpu.max_binding() / stride < CUT {
        let what = format!("rebinned frames of {} MiB do not fit this device's bindings", stride >> 20);
        return Err(Error::TooLargeForDevice(what));
    }
    let group = (gpu.output_bytes() / stride / CUT * CUT).max(CUT);
    let exact = params.exact(shape);
    let head = format!(
        "const EXACT = {};\nconst SIGNED = {};\n",
        exact.is_some(),
        exact == Some(Pixel::I32)
    );
    let wgsl = prelude(shape.pixel) + &ln_of_numbers() + &head + include_str!("../../../shaders/rebin.wgsl");
    let chosen: Vec<u32> = match &params.pixels {
        Some(list) => list.to_vec(),
        None => (0..(h * w) as u32).collect(),
    };
    Ok(Box::new(Stage {
        pipeline: gpu.pipeline(&format!("rebin {}", shape.pixel), &wgsl, "rebin", &[], 2, 1)?,
        chosen: gpu.buffer_with("chosen pixels", bytemuck::cast_slice(&chosen))?,
        frames: gpu.buffer("rebinned frames", group * stride)?,
        group: group as usize,
        bins: (if shape.height == 1 { 1 } else { params.bin }, params.bin),
        out_width: w,
        shape,
        to,
        params: params.clone(),
        flying: VecDeque::new(),
        inner,
    }))
}

struct Stage<P> {
    shape: FrameShape,
    to: FrameShape,
    params: Params,
    bins: (usize, usize),
    out_width: usize,
    pipeline: Pipeline,
    chosen: Buffer,
    frames: Buffer,
    /// Frames rebinned at a time.
    group: usize,
    /// For each block under way: first frame, number of frames and number of reads of each group.
    flying: VecDeque<Vec<(u64, usize, usize)>>,
    inner: Box<dyn GpuStage<Part = P>>,
}

impl<P> GpuStage for Stage<P> {
    type Part = P;

    fn cost(&self) -> Cost {
        let own = Cost {
            fixed: self.chosen.size() + self.frames.size(),
            per_frame: 0,
        };
        self.inner.cost() + own
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let chunks = (self.to.pixels() as u64).div_ceil(THREADS);
        // 0: integers as they are.
        let mode = match (self.to.pixel, self.params.scale) {
            (Pixel::F32, Scale::Linear) => 1,
            (Pixel::F32, Scale::Log) => 2,
            (Pixel::F32, Scale::Log1p) => 3,
            (Pixel::F32, Scale::Root) => 4,
            _ => 0,
        };
        let mut groups = Vec::new();
        for from in (0..block.count).step_by(self.group) {
            let (first, count) = (block.first + from as u64, self.group.min(block.count - from));
            let params = [
                from as u32,
                count as u32,
                block.stride_words,
                (self.to.stride() / 4) as u32,
                self.shape.width as u32,
                self.to.pixels() as u32,
                self.out_width as u32,
                self.bins.0 as u32,
                self.bins.1 as u32,
                mode,
                self.params.factor.to_bits(),
                chunks as u32,
            ];
            let buffers = [block.buffer, &self.chosen, &self.frames];
            rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, count as u64 * chunks)?;
            let before = rec.reads();
            self.inner.encode(rec, &GpuBlock::new(self.to, first, count, &self.frames)?)?;
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

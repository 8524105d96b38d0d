//! GPU path: a stage that rebins frames into a buffer of its own and hands them to another. A thread makes one value.

use super::{Params, Scale};
use crate::backend::gpu::shader::{THREADS, ln_of_numbers, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::Result;
use crate::kernels::grouped::{self, Grouped};
use crate::pixel::{FrameShape, Pixel};

/// A stage that rebins frames of `shape` and hands them to `inner`, a stage for frames of shape [`Params::output`].
///
/// # Errors
/// Those of [`Params::output`]; [`crate::Error::TooLargeForDevice`] when eight rebinned frames do not fit a binding, [`crate::Error::Device`],
/// [`crate::Error::DeviceMemory`].
pub fn stage<P: 'static>(
    gpu: &Gpu,
    shape: FrameShape,
    params: &Params,
    inner: Box<dyn GpuStage<Part = P>>,
) -> Result<Box<dyn GpuStage<Part = P>>> {
    let to = params.output(shape)?;
    let (h, w) = params.binned(shape)?;
    let stride = to.stride() as u64;
    let group = grouped::group(gpu, "rebinned frames", stride)?;
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
        bins: (if shape.height == 1 { 1 } else { params.bin }, params.bin),
        out_width: w,
        shape,
        to,
        params: params.clone(),
        inner: Grouped::new(inner, group),
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
    inner: Grouped<P>,
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
        let (width, bins, factor) = (self.shape.width as u32, self.bins, self.params.factor.to_bits());
        let Stage {
            to,
            out_width,
            pipeline,
            chosen,
            frames,
            inner,
            ..
        } = self;
        inner.encode(rec, block, (frames, *to), |rec, from, _, count| {
            let params = [
                from as u32,
                count as u32,
                block.stride_words,
                (to.stride() / 4) as u32,
                width,
                to.pixels() as u32,
                *out_width as u32,
                bins.0 as u32,
                bins.1 as u32,
                mode,
                factor,
                chunks as u32,
            ];
            let buffers = [block.buffer, chosen, frames];
            rec.dispatch(pipeline, bytemuck::cast_slice(&params), &buffers, count as u64 * chunks)
        })
    }

    fn results(&mut self, first: u64, _count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, P)>> {
        self.inner.results(first, reads)
    }

    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        self.inner.encode_finish(rec)
    }

    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<P>> {
        self.inner.finish(reads)
    }
}

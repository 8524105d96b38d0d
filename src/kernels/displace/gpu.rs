//! GPU path: a stage that moves frames into a buffer of its own and hands them to another.

use super::{Move, Params, moved};
use crate::backend::gpu::shader::{THREADS, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::Result;
use crate::kernels::grouped::{self, Grouped};
use crate::pixel::FrameShape;

/// A stage that moves frames of `shape` and hands them to `inner`, a stage for frames of [`moved`] shape.
///
/// # Errors
/// [`crate::Error::TooLargeForDevice`] when eight moved frames do not fit a binding, [`crate::Error::Device`], [`crate::Error::DeviceMemory`].
pub fn stage<P: 'static>(
    gpu: &Gpu,
    shape: FrameShape,
    params: &Params,
    inner: Box<dyn GpuStage<Part = P>>,
) -> Result<Box<dyn GpuStage<Part = P>>> {
    let stride = moved(shape).stride() as u64;
    let group = grouped::group(gpu, "moved frames", stride)?;
    let wgsl = prelude(shape.pixel) + include_str!("../../../shaders/displace.wgsl");
    Ok(Box::new(Stage {
        pipeline: gpu.pipeline(&format!("displace {}", shape.pixel), &wgsl, "displace", &[], 2, 1)?,
        moves: gpu.buffer("moves", group * size_of::<Move>() as u64)?,
        frames: gpu.buffer("moved frames", group * stride)?,
        shape,
        params: params.clone(),
        inner: Grouped::new(inner, group),
    }))
}

struct Stage<P> {
    shape: FrameShape,
    params: Params,
    pipeline: Pipeline,
    moves: Buffer,
    frames: Buffer,
    inner: Grouped<P>,
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
        let Stage {
            shape,
            params,
            pipeline,
            moves,
            frames,
            inner,
        } = self;
        inner.encode(rec, block, (frames, to), |rec, from, first, count| {
            let of_group = (first..first + count as u64)
                .map(|n| params.of(n, *shape))
                .collect::<Result<Vec<Move>>>()?;
            rec.write(moves, 0, bytemuck::cast_slice(&of_group))?;
            let params = [
                from as u32,
                count as u32,
                block.stride_words,
                (to.stride() / 4) as u32,
                to.height as u32,
                to.width as u32,
                chunks as u32,
            ];
            let buffers = [block.buffer, moves, frames];
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

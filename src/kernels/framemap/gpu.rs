//! GPU path, a dispatch a round. Mapped frames come back with every block. Each pixel is read once; 4 bytes for each pixel of the output are written
//! (with a logarithm twice, and read once), and come back: the bus bounds this kernel.

use super::{Params, Part};
use crate::backend::gpu::rounds::{Rounds, floats_of};
use crate::backend::gpu::shader::{ln_of_numbers, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::Result;
use crate::pixel::FrameShape;

/// A stage on `gpu`.
///
/// # Errors
/// [`crate::Error::Parameter`] as [`Params::output`], [`crate::Error::TooLargeForDevice`],
/// [`crate::Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, shape: FrameShape, params: &Params) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let (height, width) = params.output(shape.height, shape.width)?;
    let pixels = height * width;
    let wgsl = prelude(shape.pixel) + &ln_of_numbers() + include_str!("../../../shaders/framemap.wgsl");
    let rounds = Rounds::new(gpu, pixels as u64 * 4, shape.pixels() as u64);
    Ok(Box::new(Stage {
        pipeline: gpu.pipeline(&format!("framemap {}", shape.pixel), &wgsl, "map_frame", &[], 1, 1)?,
        mapped: gpu.buffer("mapped frames", rounds.bytes())?,
        shape,
        params: *params,
        pixels,
        width,
        rounds,
    }))
}

struct Stage {
    shape: FrameShape,
    params: Params,
    pipeline: Pipeline,
    mapped: Buffer,
    /// Pixels and columns of the output.
    pixels: usize,
    width: usize,
    rounds: Rounds,
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        // Frames of a round on the device, and those of the block on their way back.
        Cost {
            fixed: self.rounds.bytes(),
            per_frame: self.pixels as u64 * 4,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        for (from, count) in self.rounds.of(block.count) {
            let params = [
                from as u32,
                count as u32,
                block.stride_words,
                self.shape.width as u32,
                self.pixels as u32,
                self.width as u32,
                self.params.bin as u32,
                u32::from(self.params.log),
            ];
            rec.dispatch(
                &self.pipeline,
                bytemuck::cast_slice(&params),
                &[block.buffer, &self.mapped],
                count as u64,
            )?;
            rec.read(&self.mapped, 0, (count * self.pixels * 4) as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let values = floats_of("framemap", reads, count * self.pixels)?;
        Ok(vec![(first / crate::pixel::LEAF, Part { first, count, values })])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}

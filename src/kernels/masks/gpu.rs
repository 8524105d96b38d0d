//! GPU path, a dispatch a round (mostly one a block). Products come back with every block, 4 bytes each; the mask stack stays on the
//! device.
//!
//! *Stamps* and *CSR*: one workgroup takes one frame and reads each pixel once into workgroup memory (stamps: up to 1024 masks; CSR: frames
//! of up to 15 KiB, larger ones are gathered through the cache); a multiply-add for each pixel that a mask touches, from workgroup memory.
//! *Dense*: a matrix product by tiles; each pixel is read once for 32 masks, each weight once for 8 frames or more.

use super::{MaskStack, Part};
use crate::backend::gpu::rounds::{Rounds, floats_of};
use crate::backend::gpu::shader::{THREADS, WORKGROUP_WORDS, lanes, prelude, staged_frame};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::Result;
use crate::pixel::FrameShape;

/// A stage on `gpu`.
///
/// # Errors
/// [`crate::Error::Parameter`] as [`MaskStack::check`], [`crate::Error::TooLargeForDevice`],
/// [`crate::Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, shape: FrameShape, params: &MaskStack) -> Result<Box<dyn GpuStage<Part = Part>>> {
    params.check(shape.height, shape.width)?;
    let masks = params.len();
    let words = shape.stride() / 4;
    let (pipeline, inputs, work, tiling) = match params {
        MaskStack::Stamps { stamp, positions } => {
            let (wgsl, per) = stamps_wgsl(shape, stamp.dim(), masks, gpu.tuning().workgroup_words);
            let pipeline = gpu.pipeline(&format!("masks_stamps {}", shape.pixel), &wgsl, "multiply", &[], 3, 1)?;
            let weights: Vec<f32> = stamp.iter().copied().collect();
            let mut by_row: Vec<[i32; 4]> = (0..).zip(positions).map(|(n, p)| [p[0], p[1], n, 0]).collect();
            by_row.sort_unstable();
            let inputs = vec![
                gpu.buffer_with("stamp positions", bytemuck::cast_slice(&by_row))?,
                gpu.buffer_with("stamp", bytemuck::cast_slice(&weights))?,
            ];
            let tiling = Tiling {
                frames: 1,
                masks: THREADS as usize * per,
            };
            (pipeline, inputs, (masks * stamp.len()) as u64, tiling)
        }
        MaskStack::Csr { indptr, indices, values } => {
            let threads = threads_per_mask(values.len(), masks);
            let wgsl = [
                &format!("const THREADS = {threads}u;\n"),
                &prelude(shape.pixel),
                &staged_frame(words, THREADS as usize),
                include_str!("../../../shaders/masks_csr.wgsl"),
            ]
            .concat();
            let pipeline = gpu.pipeline(&format!("masks_csr {}", shape.pixel), &wgsl, "multiply", &[], 4, 1)?;
            let inputs = vec![
                gpu.buffer_with("mask pointers", bytemuck::cast_slice(indptr))?,
                gpu.buffer_with("mask indices", bytemuck::cast_slice(indices))?,
                gpu.buffer_with("mask values", bytemuck::cast_slice(values))?,
            ];
            (
                pipeline,
                inputs,
                values.len() as u64,
                Tiling {
                    frames: 1,
                    masks: THREADS as usize / threads,
                },
            )
        }
        MaskStack::Dense { rows } => {
            // Few masks: more frames in a tile instead.
            let tile = masks.next_power_of_two().clamp(8, 32);
            let frames = THREADS as usize / tile;
            let wgsl = [
                &format!("const FRAMES = {frames}u;\nconst MASKS = {tile}u;\n"),
                &prelude(shape.pixel),
                include_str!("../../../shaders/masks_dense.wgsl"),
            ]
            .concat();
            let pipeline = gpu.pipeline(&format!("masks_dense {}", shape.pixel), &wgsl, "multiply", &[], 2, 1)?;
            let weights: Vec<f32> = rows.iter().copied().collect();
            let inputs = vec![gpu.buffer_with("masks", bytemuck::cast_slice(&weights))?];
            (
                pipeline,
                inputs,
                (masks.next_multiple_of(tile) * shape.pixels()) as u64,
                Tiling { frames, masks: tile },
            )
        }
    };
    let fixed = inputs.iter().map(|b| b.size()).sum();
    let rounds = Rounds::new(gpu, masks as u64 * 4, work);
    let products = gpu.buffer("mask products", rounds.bytes())?;
    let dense = matches!(params, MaskStack::Dense { .. });
    Ok(Box::new(Stage {
        shape,
        masks,
        dense,
        pipeline,
        inputs,
        tiling,
        rounds,
        products,
        fixed,
    }))
}

/// A power of two such that a thread has about 32 entries of an average mask.
fn threads_per_mask(entries: usize, masks: usize) -> usize {
    (entries / masks.max(1) / 32).max(1).next_power_of_two().min(THREADS as usize)
}

/// The kernel for stamps, and the masks of a thread. `words` of workgroup memory hold the stamp, unless that is large, and as many
/// rows of the frame as fit beside it.
fn stamps_wgsl(shape: FrameShape, stamp: (usize, usize), masks: usize, words: usize) -> (String, usize) {
    let per = match masks.div_ceil(THREADS as usize) {
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let size = stamp.0 * stamp.1;
    let stamp_staged = size <= WORKGROUP_WORDS / 4;
    let room = words - if stamp_staged { size } else { 1 };
    // A band may begin and end inside a word.
    let fits = ((room - 2) * lanes(shape.pixel) / shape.width).min(shape.height);
    let (staged, rows) = if fits > 0 { (true, fits) } else { (false, shape.height) };
    let band = (rows * shape.width).div_ceil(lanes(shape.pixel)) + 2;
    let constants = [
        ("HEIGHT", shape.height),
        ("WIDTH", shape.width),
        ("STAMP_HEIGHT", stamp.0),
        ("STAMP_WIDTH", stamp.1),
        ("PER", per),
        ("ROWS", rows),
        ("BAND", if staged { band } else { 1 }),
        ("STAMP", if stamp_staged { size } else { 1 }),
    ];
    let wgsl = [
        &constants.map(|(name, n)| format!("const {name} = {n}u;\n")).concat(),
        &format!("const STAGED = {staged};\nconst STAMP_STAGED = {stamp_staged};\n"),
        &prelude(shape.pixel),
        include_str!("../../../shaders/masks_stamps.wgsl"),
    ]
    .concat();
    (wgsl, per)
}

/// What one workgroup takes.
struct Tiling {
    frames: usize,
    masks: usize,
}

struct Stage {
    shape: FrameShape,
    masks: usize,
    dense: bool,
    pipeline: Pipeline,
    inputs: Vec<Buffer>,
    tiling: Tiling,
    rounds: Rounds,
    products: Buffer,
    /// Bytes of the stack.
    fixed: u64,
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        // Products of a round on the device, and those of the block on their way back.
        Cost {
            fixed: self.fixed + self.rounds.bytes(),
            per_frame: self.masks as u64 * 4,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let chunks = self.masks.div_ceil(self.tiling.masks);
        let mut buffers: Vec<&wgpu::Buffer> = vec![block.buffer];
        buffers.extend(self.inputs.iter().map(|b| &**b));
        buffers.push(&self.products);
        for (from, count) in self.rounds.of(block.count) {
            let (masks, chunks32) = (self.masks as u32, chunks as u32);
            let head = [from as u32, count as u32, block.stride_words];
            let mut params = head.to_vec();
            if self.dense {
                params.push(self.shape.pixels() as u32);
            }
            params.extend([masks, chunks32]);
            let groups = count.div_ceil(self.tiling.frames) as u64 * chunks as u64;
            rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, groups)?;
            rec.read(&self.products, 0, (count * self.masks * 4) as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let values = floats_of("masks", reads, count * self.masks)?;
        Ok(vec![(first / crate::pixel::LEAF, Part { first, values })])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}

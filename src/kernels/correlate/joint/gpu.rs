//! GPU path: a workgroup takes a frame, from pixels to the six numbers and their Fisher matrix (`shaders/correlate_joint.wgsl`).
//!
//! 6.7 KiB of workgroup memory hold the sums of 64 threads. The host lists the spots of every frame, so that both backends look at
//! the same windows; it adds the steps to the start in float64.

use super::normal::Equations;
use super::{AROUND, ENOUGH, FLOOR, Fit, Lattice, NOTHING, Params, Part, Range, STEPS, Settings, Status, base, enough, window};
use crate::backend::gpu::rounds::{Rounds, floats_of};
use crate::backend::gpu::shader::prelude_of_finite;
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, LEAF};

/// Words of a fit on the device.
const WORDS: usize = 32;
/// Bytes of a spot: in the list, and what is fitted for it alone.
const SPOT: usize = 16;
const OWN: usize = 32;
/// Operations for each pixel of a window in a step.
const WORK: u64 = 40;

/// A stage on `gpu`.
///
/// # Errors
/// [`Error::TooLargeForDevice`] for fits of the disks' shape and frames whose positions do not fit 16 bits, [`Error::Device`],
/// [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, shape: FrameShape, params: &Params) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let range = params.indices;
    let Settings { shape: disk, free_shape } = params.settings;
    if free_shape || shape.height.max(shape.width) > 1 << 16 || range.last.max(range.first.saturating_neg()) >= 1 << 15 {
        return Err(Error::TooLargeForDevice("joint fit of the disks' shape".into()));
    }
    let spots = |start: &Lattice| list(start, shape, range).count();
    let most = params.starts.iter().flatten().map(spots).max().unwrap_or(0).max(1);
    let edge = 2 * (disk.reach() + AROUND).ceil() as u64 + 1;
    let per_frame = (16 + 4 * WORDS + most * (SPOT + OWN)) as u64;
    let masked = bits(&params.masked, shape.pixels());
    let rounds = Rounds::new(gpu, per_frame, u64::from(STEPS) * most as u64 * edge * edge * WORK);
    let frames = rounds.bytes() / per_frame;
    let wgsl = [
        &prelude_of_finite(shape.pixel),
        &format!(
            "const STEPS = {STEPS}u;\nconst ENOUGH = f32({ENOUGH});\nconst NOTHING = f32({NOTHING:?});\n\
             const FLOOR = f32({FLOOR});\nconst FAR = 3.0e38;\nconst MASKED = {};\nconst PEDESTAL = f32({:?});\n",
            !params.masked.is_empty(),
            params.pedestal
        ),
        include_str!("../../../../shaders/correlate_joint.wgsl"),
    ]
    .concat();
    Ok(Box::new(Stage {
        shape,
        params: params.clone(),
        pipeline: gpu.pipeline(&format!("correlate_joint {}", shape.pixel), &wgsl, "fit", &[], 4, 2)?,
        rounds,
        masked: gpu.buffer_with("masked pixels", bytemuck::cast_slice(&masked))?,
        heads: gpu.buffer("frames to fit", frames * 16)?,
        spots: gpu.buffer("spots to fit", frames * (most * SPOT) as u64)?,
        own: gpu.buffer("disks", frames * (most * OWN) as u64)?,
        fits: gpu.buffer("joint fits", frames * 4 * WORDS as u64)?,
    }))
}

/// Indices of all spots in the frame, with the pixel nearest to each.
fn list(start: &Lattice, shape: FrameShape, range: Range) -> impl Iterator<Item = ([i32; 2], [f64; 2])> + use<> {
    let (start, h, w) = (*start, shape.height, shape.width);
    start
        .inside(h, w, 0.0, range)
        .filter_map(move |i| Some((i, base(&start, i, h, w)?)))
}

/// A bit for each pixel, from the lowest of each word on; one word if none is masked.
fn bits(masked: &[u32], pixels: usize) -> Vec<u32> {
    let mut words = vec![0u32; if masked.is_empty() { 1 } else { pixels.div_ceil(32) }];
    for &pixel in masked {
        if let Some(word) = words.get_mut(pixel as usize / 32) {
            *word |= 1 << (pixel % 32);
        }
    }
    words
}

struct Stage {
    shape: FrameShape,
    params: Params,
    pipeline: Pipeline,
    rounds: Rounds,
    masked: Buffer,
    heads: Buffer,
    spots: Buffer,
    own: Buffer,
    fits: Buffer,
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        Cost {
            fixed: self.rounds.bytes() + self.masked.size(),
            per_frame: 4 * WORDS as u64,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let disk = &self.params.settings.shape;
        let halves = |low: i32, high: i32| (low as u32 & 0xffff) | (high as u32) << 16;
        for (from, count) in self.rounds.of(block.count) {
            let (mut heads, mut spots) = (Vec::with_capacity(count), Vec::new());
            for i in from..from + count {
                let first = spots.len() as u32;
                let start = self.params.start(block.first + i as u64);
                let Some((start, window)) = start.and_then(|s| Some((s, window(disk, &s)?))) else {
                    heads.push([first, 0, 0, 0]);
                    continue;
                };
                for (index, base) in list(&start, self.shape, self.params.indices) {
                    let p = start.spot(index);
                    let rest = [0, 1].map(|k| ((p[k] - base[k]) as f32).to_bits());
                    spots.push([
                        halves(base[0] as i32, base[1] as i32),
                        halves(index[0], index[1]),
                        rest[0],
                        rest[1],
                    ]);
                }
                let number = spots.len() as u32 - first;
                let [window, enough] = [window * window, enough(window)].map(|v| (v as f32).to_bits());
                heads.push([first, number, window, enough]);
            }
            rec.write(&self.heads, 0, bytemuck::cast_slice(&heads))?;
            rec.write(&self.spots, 0, bytemuck::cast_slice(&spots))?;
            let params = [
                count as u32,
                from as u32,
                block.stride_words,
                self.shape.height as u32,
                self.shape.width as u32,
                (disk.radius as f32).to_bits(),
                (disk.edge as f32).to_bits(),
                u32::from(disk.smooth),
            ];
            let buffers: [&wgpu::Buffer; 6] = [block.buffer, &self.heads, &self.spots, &self.masked, &self.own, &self.fits];
            rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, count as u64)?;
            rec.read(&self.fits, 0, (count * 4 * WORDS) as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let values = floats_of("joint fit", reads, count * WORDS)?;
        let fits = (first..)
            .zip(values.chunks_exact(WORDS))
            .map(|(n, values)| self.fit(n, values));
        let part = Part {
            first,
            fits: fits.collect(),
        };
        Ok(vec![(first / LEAF, part)])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}

impl Stage {
    /// The fit of selected frame `n` from what the device found.
    fn fit(&self, n: u64, values: &[f32]) -> Fit {
        let shape = self.params.settings.shape;
        let v = |i: usize| f64::from(values[i]);
        let status = match values[28] {
            0.0 => Status::Converged,
            1.0 => Status::Slow,
            2.0 => Status::Lost,
            _ => Status::Undetermined,
        };
        let (Some(start), Status::Converged | Status::Slow) = (self.params.start(n), status) else {
            return Fit::failed(status, shape);
        };
        // Two unknowns see each other through their axes and the indices they go with.
        let element = |i: usize, j: usize| {
            let (one, two) = ((i / 2).min(j / 2), (i / 2).max(j / 2));
            v(6 + 3 * (one * (5 - one) / 2 + two) + i % 2 + j % 2)
        };
        let Some(covariance) = Equations::of(element).covariance() else {
            return Fit::failed(Status::Undetermined, shape);
        };
        let (pixels, spots) = (v(25), v(26));
        let moved = |from: [f64; 2], k: usize| [from[0] + v(k), from[1] + v(k + 1)];
        Fit {
            lattice: Lattice {
                zero: moved(start.zero, 0),
                a: moved(start.a, 2),
                b: moved(start.b, 4),
            },
            covariance,
            shape,
            chi2: v(24) / (pixels - 2.0 * spots - 6.0).max(1.0),
            scatter: v(29) / (v(30) - 6.0).max(1.0),
            spots: spots as u32,
            steps: v(27) as u32,
            status,
        }
    }
}

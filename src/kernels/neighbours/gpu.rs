//! GPU path. A tile is uploaded in the native pixel type. Means: a thread takes a pixel of an output; the neighbours of a list come from the
//! device's cache, since neighbouring outputs share most of them. Pairs: frames become float32 rows once, then a workgroup takes a pair.

use super::{Lists, Measure, Params, Stage, check};
use crate::backend::gpu::rounds::floats_of;
use crate::backend::gpu::shader::{THREADS, prelude, prelude_of_finite, total};
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder, UploadRing};
use crate::error::{Error, Result};
use crate::pixel::{Frames, Pixel};
use std::sync::Arc;

/// Multiply-adds of one dispatch at most.
const WORK: u64 = 1 << 30;

/// A stage on `gpu` for tiles of at most `frames` frames.
///
/// # Errors
/// [`Error::TooLargeForDevice`] if such tiles do not fit a binding, [`Error::Parameter`] for weights that do not fit,
/// [`Error::DeviceMemory`], [`Error::Device`].
pub fn stage(gpu: &Arc<Gpu>, params: &Params, frames: usize) -> Result<Box<dyn Stage>> {
    let (roots, sum) = params.roots()?;
    let bytes = (params.frame.stride() * frames) as u64;
    let rows = 4 * (params.frame.pixels() * frames) as u64;
    if bytes.max(rows) > gpu.max_binding() {
        let what = format!("tiles of {frames} patterns of {} KiB", params.frame.bytes() >> 10);
        return Err(Error::TooLargeForDevice(what));
    }
    let (pixel, measure) = (params.frame.pixel, params.measure);
    let native = prelude_of_finite(pixel);
    let kind = format!(
        "const CENTRED = {};\nconst UNIT = {};\n",
        measure == Measure::Correlation,
        measure != Measure::Difference
    );
    let means = native.clone() + include_str!("../../../shaders/neighbours_means.wgsl");
    let total = total("f32");
    let to_rows = native + &kind + &total + include_str!("../../../shaders/neighbours_rows.wgsl");
    let pairs = prelude(Pixel::F32) + &total + include_str!("../../../shaders/neighbours_pairs.wgsl");
    Ok(Box::new(OnGpu {
        params: params.clone(),
        means: gpu.pipeline(&format!("neighbours_means {pixel}"), &means, "mean", &[], 3, 1)?,
        to_rows: gpu.pipeline(&format!("neighbours_rows {pixel} {measure:?}"), &to_rows, "row", &[], 2, 1)?,
        pairs: gpu.pipeline("neighbours_pairs", &pairs, "pair", &[], 2, 1)?,
        ring: UploadRing::new(gpu, 1, bytes)?,
        frames: gpu.buffer("tile", bytes)?,
        rows: None,
        roots,
        sum,
        gpu: Arc::clone(gpu),
    }))
}

struct OnGpu {
    gpu: Arc<Gpu>,
    params: Params,
    means: Pipeline,
    to_rows: Pipeline,
    pairs: Pipeline,
    ring: UploadRing,
    frames: Buffer,
    /// Prepared rows and the roots of the weights, made when the first pairs come.
    rows: Option<[Buffer; 2]>,
    roots: Vec<f32>,
    sum: f64,
}

impl OnGpu {
    fn upload<'g>(&self, gpu: &'g Gpu, frames: Frames<'_>) -> Result<Recorder<'g>> {
        check(&self.params, frames)?;
        let staged = self.ring.stage(gpu, frames.bytes())?;
        let mut rec = Recorder::new(gpu)?;
        rec.upload(staged, &self.frames, 0)?;
        Ok(rec)
    }
    fn stride(&self) -> u32 {
        (self.params.frame.stride() / 4) as u32
    }
}

impl Stage for OnGpu {
    fn means(&mut self, frames: Frames<'_>, lists: &Lists) -> Result<Vec<f32>> {
        lists.check(frames.count())?;
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let gpu = Arc::clone(&self.gpu);
        let mut rec = self.upload(&gpu, frames)?;
        let pixels = self.params.frame.pixels();
        let longest = (0..lists.len()).map(|i| lists.of(i).len()).max().unwrap_or(1).max(1);
        let most = (gpu.output_bytes() / (4 * pixels as u64))
            .min(WORK / (pixels * longest) as u64)
            .max(1) as usize;
        let most = most.min(lists.len());
        let ends: Vec<u32> = std::iter::once(0).chain(lists.ends.iter().copied()).collect();
        let members: Vec<[u32; 2]> = lists.members.iter().map(|&(f, w)| [f, w.to_bits()]).collect();
        let ends_buffer = gpu.buffer("ends of lists", 4 * ends.len() as u64)?;
        let members_buffer = gpu.buffer("neighbours", 8 * members.len() as u64)?;
        let means = gpu.buffer("means", (4 * most * pixels) as u64)?;
        rec.write(&ends_buffer, 0, bytemuck::cast_slice(&ends))?;
        rec.write(&members_buffer, 0, bytemuck::cast_slice(&members))?;
        let chunks = (pixels as u64).div_ceil(THREADS);
        for first in (0..lists.len()).step_by(most) {
            let count = most.min(lists.len() - first);
            let params = [first as u32, count as u32, self.stride(), pixels as u32, chunks as u32];
            let buffers: [&wgpu::Buffer; 4] = [&self.frames, &ends_buffer, &members_buffer, &means];
            rec.dispatch(&self.means, bytemuck::cast_slice(&params), &buffers, count as u64 * chunks)?;
            rec.read(&means, 0, (4 * count * pixels) as u64)?;
        }
        let submission = rec.finish()?;
        submission.wait_with(|reads| floats_of("neighbours", reads, lists.len() * pixels))?
    }

    fn pairs(&mut self, frames: Frames<'_>, pairs: &[[u32; 2]]) -> Result<Vec<f32>> {
        if let Some(p) = pairs.iter().flatten().find(|&&p| p as usize >= frames.count()) {
            return Err(Error::Internal(format!("pattern {p} of {}", frames.count())));
        }
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let gpu = Arc::clone(&self.gpu);
        let mut rec = self.upload(&gpu, frames)?;
        let pixels = self.params.frame.pixels();
        let most = (self.frames.size() / self.params.frame.stride() as u64).max(1);
        let [rows, roots] = match &self.rows {
            Some(buffers) => buffers,
            None => {
                let roots = gpu.buffer("roots of weights", 4 * pixels as u64)?;
                rec.write(&roots, 0, bytemuck::cast_slice(&self.roots))?;
                self.rows.insert([gpu.buffer("rows", most * 4 * pixels as u64)?, roots])
            }
        };
        let count = frames.count() as u32;
        let weight = (1.0 / self.sum) as f32;
        let stride = (self.params.frame.stride() / 4) as u32;
        let params = [count, stride, pixels as u32, weight.to_bits()];
        let buffers: [&wgpu::Buffer; 3] = [&self.frames, roots, rows];
        rec.dispatch(&self.to_rows, bytemuck::cast_slice(&params), &buffers, u64::from(count))?;
        let pairs_buffer = gpu.buffer("pairs", 8 * pairs.len() as u64)?;
        let measures = gpu.buffer("measures", 4 * pairs.len() as u64)?;
        rec.write(&pairs_buffer, 0, bytemuck::cast_slice(pairs))?;
        let at_once = (WORK / pixels as u64).max(1) as usize;
        let squares = u32::from(self.params.measure == Measure::Difference);
        for first in (0..pairs.len()).step_by(at_once) {
            let upto = (first + at_once).min(pairs.len());
            let params = [upto as u32, first as u32, pixels as u32, squares];
            let buffers: [&wgpu::Buffer; 3] = [rows, &pairs_buffer, &measures];
            rec.dispatch(&self.pairs, bytemuck::cast_slice(&params), &buffers, (upto - first) as u64)?;
        }
        rec.read(&measures, 0, 4 * pairs.len() as u64)?;
        let submission = rec.finish()?;
        submission.wait_with(|reads| floats_of("neighbours", reads, pairs.len()))?
    }
}

/// Device memory for each frame of a tile, in bytes: the frame, its row, its part of what goes up and comes back.
pub fn cost(params: &Params) -> u64 {
    (params.frame.stride() + 4 * params.frame.pixels()) as u64
}

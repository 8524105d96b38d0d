//! GPU path, one dispatch a block. Every pixel is read once; an integer workgroup adds its frames' sums to the state, 8 words of traffic
//! for each pixel and at least 128 frames (below 3 % for 8-bit pixels with 400 frames a share), `f32` leaves write 8 to 20 bytes for 64 pixels read.
//! Operations: `unpack`, one addition, multiply-add with carry for Σx², two comparisons, so some 10 for each pixel. Integer state stays on the device for the whole pass; `f32` leaves come back one by one, a cut leaf waits in
//! a slot on the device.

use super::{Params, Part, Squares};
use crate::backend::gpu::leaves::leaf_runs;
use crate::backend::gpu::rounds::words_of;
use crate::backend::gpu::shader::{THREADS, lanes, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use std::borrow::Cow;
use std::collections::VecDeque;

/// A stage on `gpu`. For integers [`GpuStage::finish`] returns everything; for `f32` it returns the last leaf if that is
/// incomplete.
///
/// # Errors
/// [`Error::TooLargeForDevice`], [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, shape: FrameShape, params: &Params) -> Result<Box<dyn GpuStage<Part = Part>>> {
    if shape.pixel.is_integer() {
        Ok(Box::new(Exact::new(gpu, shape, *params)?))
    } else {
        Ok(Box::new(Float::new(gpu, shape, *params)?))
    }
}

fn constants(params: Params) -> [(&'static str, f64); 2] {
    [
        ("SQUARES", f64::from(u8::from(params.squares))),
        ("EXTREMA", f64::from(u8::from(params.extrema))),
    ]
}

/// At least `words` words of read `n`.
fn read_words<'a>(reads: &[&'a [u8]], n: usize, words: usize) -> Result<Cow<'a, [u32]>> {
    let found = words_of(reads.get(n).copied().unwrap_or_default());
    match found.len() >= words {
        true => Ok(found),
        false => Err(Error::Internal(format!(
            "statistics: read {n} has {} words, expected {words}",
            found.len()
        ))),
    }
}

/// Frames of one workgroup at most: narrow partial sums stay below 2³².
const MOST_SHARE: usize = 1 << 18;
/// Frames of one workgroup at least, so that what it adds to the state is little beside what it reads.
const LEAST_SHARE: usize = 128;
/// Frame columns of one workgroup, in words.
const COLUMNS: u64 = 32;

/// Frames of one workgroup, when `chunks` workgroups take all pixels of them and `busy` keep the device busy.
fn share(frames: usize, chunks: u64, busy: u64) -> usize {
    let shares = (busy / chunks.max(1)).clamp(1, (frames / LEAST_SHARE).max(1) as u64);
    frames.div_ceil(shares as usize).clamp(1, MOST_SHARE)
}

struct Exact {
    shape: FrameShape,
    params: Params,
    pipeline: Pipeline,
    sums: Buffer,
    squares: Buffer,
    extrema: Buffer,
    frames: u64,
}

impl Exact {
    fn new(gpu: &Gpu, shape: FrameShape, params: Params) -> Result<Self> {
        let wgsl = prelude(shape.pixel) + include_str!("../../../shaders/statistics_exact.wgsl");
        let label = format!("statistics_exact {}", shape.pixel);
        let plane = Self::plane(shape);
        Ok(Exact {
            pipeline: gpu.pipeline(&label, &wgsl, "accumulate", &constants(params), 1, 3)?,
            sums: gpu.buffer("pixel sums", 2 * plane)?,
            squares: gpu.buffer("pixel squares", Self::square_planes(shape, params) * plane)?,
            extrema: gpu.buffer("pixel extrema", if params.extrema { 2 * plane } else { 0 })?,
            shape,
            params,
            frames: 0,
        })
    }
    /// Bytes of one u32 per pixel of the padded frame.
    fn plane(shape: FrameShape) -> u64 {
        (shape.stride() * lanes(shape.pixel)) as u64
    }
    fn square_planes(shape: FrameShape, params: Params) -> u64 {
        match (params.squares, shape.pixel.bytes()) {
            (false, _) => 0,
            (true, 4) => 3,
            (true, _) => 2,
        }
    }
    /// Planes that come back: sums, squares, extrema.
    fn planes(&self) -> [u64; 3] {
        [
            2,
            Self::square_planes(self.shape, self.params),
            if self.params.extrema { 2 } else { 0 },
        ]
    }
}

impl GpuStage for Exact {
    type Part = Part;

    fn cost(&self) -> Cost {
        // State, and the same once more while it is read back.
        Cost {
            fixed: 2 * self.planes().iter().sum::<u64>() * Self::plane(self.shape),
            per_frame: 0,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let buffers: [&wgpu::Buffer; 4] = [block.buffer, &self.sums, &self.squares, &self.extrema];
        let chunks = u64::from(block.stride_words).div_ceil(COLUMNS);
        let share = share(block.count, chunks, rec.gpu.tuning().busy);
        let params = [0, block.count as u32, block.stride_words, chunks as u32, share as u32];
        let groups = chunks * block.count.div_ceil(share) as u64;
        rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, groups)?;
        self.frames += block.count as u64;
        if self.frames > u64::from(u32::MAX) {
            return Err(Error::parameter(
                "frames",
                "statistics of integers take at most 4294967295 frames",
            ));
        }
        Ok(())
    }

    fn results(&mut self, _first: u64, _count: usize, _reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        Ok(Vec::new())
    }

    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        if self.frames > 0 {
            for (buffer, planes) in [&self.sums, &self.squares, &self.extrema].into_iter().zip(self.planes()) {
                rec.read(buffer, 0, planes * Self::plane(self.shape))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<Part>> {
        if self.frames == 0 {
            return Ok(None);
        }
        let (pixels, padded) = (self.shape.pixels(), Self::plane(self.shape) as usize / 4);
        let planes = self.planes();
        let words = |n: usize| read_words(reads, n, planes[n] as usize * padded);
        let state = [words(0)?, words(1)?, words(2)?];
        let plane = |read: usize, n: usize| &state[read][n * padded..n * padded + pixels];
        let wide = |low: &[u32], high: &[u32]| -> Vec<u64> {
            low.iter()
                .zip(high)
                .map(|(&l, &h)| u64::from(h) << 32 | u64::from(l))
                .collect()
        };
        let squares = match planes[1] {
            0 => Squares::None,
            2 => Squares::Narrow(wide(plane(1, 0), plane(1, 1))),
            _ => {
                let low = wide(plane(1, 0), plane(1, 1));
                Squares::Wide(
                    low.into_iter()
                        .zip(plane(1, 2))
                        .map(|(l, &t)| u128::from(t) << 64 | u128::from(l))
                        .collect(),
                )
            }
        };
        let (min, max) = match planes[2] {
            0 => (Vec::new(), Vec::new()),
            _ => (plane(2, 0).iter().map(|&c| !c).collect(), plane(2, 1).to_vec()),
        };
        let sum = wide(plane(0, 0), plane(0, 1));
        Ok(Some(Part::Exact {
            pixel: self.shape.pixel,
            frames: self.frames,
            sum,
            squares,
            min,
            max,
        }))
    }
}

/// Slots of cut leaves, used in turn: a block may take one up and leave another.
const CARRIES: u64 = 2;
const NONE: u32 = u32::MAX;

struct Float {
    shape: FrameShape,
    params: Params,
    pipeline: Pipeline,
    slots: Buffer,
    table: Buffer,
    /// Finished leaves that fit beside the cut ones.
    room: u64,
    /// Slot that holds the cut leaf, and its frames so far.
    carry: u32,
    pending: u64,
    /// Finished leaves of the blocks whose results are still out.
    expected: VecDeque<Vec<u64>>,
}

impl Float {
    fn new(gpu: &Gpu, shape: FrameShape, params: Params) -> Result<Self> {
        if shape.pixel != Pixel::F32 {
            return Err(Error::Internal(format!("float statistics of {} pixels", shape.pixel)));
        }
        let wgsl = prelude(shape.pixel) + include_str!("../../../shaders/statistics_float.wgsl");
        let slot = Self::planes_of(params) * shape.stride() as u64;
        let room = (gpu.output_bytes() / slot).clamp(1, 256);
        Ok(Float {
            pipeline: gpu.pipeline("statistics_float", &wgsl, "accumulate", &constants(params), 2, 1)?,
            slots: gpu.buffer("leaf moments", (CARRIES + room) * slot)?,
            table: gpu.buffer("leaves", (room + 1) * 16)?,
            shape,
            params,
            room,
            carry: 0,
            pending: 0,
            expected: VecDeque::new(),
        })
    }
    fn planes_of(params: Params) -> u64 {
        2 + u64::from(params.squares) + 2 * u64::from(params.extrema)
    }
    fn planes(&self) -> u64 {
        Self::planes_of(self.params)
    }
    fn slot_bytes(&self) -> u64 {
        self.planes() * self.shape.stride() as u64
    }

    /// Turns one slot into what merges on the host.
    fn part(&self, frames: u64, slot: &[u32]) -> Part {
        let (pixels, stride) = (self.shape.pixels(), self.shape.stride() / 4);
        let plane = |n: usize| slot[n * stride..n * stride + pixels].iter().map(|&b| f32::from_bits(b));
        let n = frames as f64;
        let mean = plane(0)
            .zip(plane(1))
            .map(|(shift, s1)| f64::from(shift) + f64::from(s1) / n)
            .collect();
        let m2 = match self.params.squares {
            false => Vec::new(),
            true => plane(1)
                .zip(plane(2))
                .map(|(s1, s2)| (f64::from(s2) - f64::from(s1) * f64::from(s1) / n).max(0.0))
                .collect(),
        };
        let (min, max) = match (self.params.extrema, 2 + usize::from(self.params.squares)) {
            (false, _) => (Vec::new(), Vec::new()),
            (true, p) => (plane(p).collect(), plane(p + 1).collect()),
        };
        Part::Float {
            frames,
            mean,
            m2,
            min,
            max,
        }
    }
}

impl GpuStage for Float {
    type Part = Part;

    fn cost(&self) -> Cost {
        // Slots, and what a block reads back: one slot for 64 frames.
        let read_back = self.slot_bytes().div_ceil(crate::pixel::LEAF);
        Cost {
            fixed: (CARRIES + self.room + 1) * self.slot_bytes() + (self.room + 1) * 16,
            per_frame: read_back,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let runs: Vec<_> = leaf_runs(block.first, block.count).collect();
        let chunks = u64::from(block.stride_words).div_ceil(THREADS);
        let mut finished = Vec::new();
        let mut runs = &runs[..];
        let mut carry = self.carry;
        while !runs.is_empty() {
            // Only the last run of a block can be unfinished, and then it needs no room.
            let round = &runs[..runs.len().min(self.room as usize)];
            runs = &runs[round.len()..];
            let mut done = 0;
            let mut table: Vec<[u32; 4]> = Vec::with_capacity(round.len());
            for run in round {
                let load = if run.goes_on { self.carry } else { NONE };
                let store = if run.ends {
                    done += 1;
                    finished.push(run.leaf);
                    CARRIES as u32 + done - 1
                } else {
                    carry = 1 - self.carry;
                    carry
                };
                self.pending = match (run.ends, run.goes_on) {
                    (true, _) => 0,
                    (false, true) => self.pending + u64::from(run.count),
                    (false, false) => u64::from(run.count),
                };
                table.push([run.from, run.count, load, store]);
            }
            rec.write(&self.table, 0, bytemuck::cast_slice(&table))?;
            let params = [block.stride_words, chunks as u32, self.planes() as u32, 0];
            let groups = chunks * table.len() as u64;
            let buffers: [&wgpu::Buffer; 3] = [block.buffer, &self.table, &self.slots];
            rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, groups)?;
            rec.read(&self.slots, CARRIES * self.slot_bytes(), u64::from(done) * self.slot_bytes())?;
        }
        self.carry = carry;
        self.expected.push_back(finished);
        Ok(())
    }

    fn results(&mut self, _first: u64, _count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let leaves = self
            .expected
            .pop_front()
            .ok_or_else(|| Error::Internal("statistics: results without a block".into()))?;
        let slot = self.slot_bytes() as usize / 4;
        let mut parts = Vec::with_capacity(leaves.len());
        let mut leaves = leaves.into_iter();
        for read in reads {
            let words = words_of(read);
            for (state, leaf) in words.chunks_exact(slot).zip(&mut leaves) {
                parts.push((leaf, self.part(crate::pixel::LEAF, state)));
            }
        }
        match leaves.next() {
            None => Ok(parts),
            Some(leaf) => Err(Error::Internal(format!("statistics: leaf {leaf} did not come back"))),
        }
    }

    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        if self.pending > 0 {
            rec.read(&self.slots, u64::from(self.carry) * self.slot_bytes(), self.slot_bytes())?;
        }
        Ok(())
    }

    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<Part>> {
        match self.pending {
            0 => Ok(None),
            frames => Ok(Some(
                self.part(frames, &read_words(reads, 0, self.slot_bytes() as usize / 4)?),
            )),
        }
    }
}

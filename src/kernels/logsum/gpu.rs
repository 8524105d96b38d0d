//! GPU path: a minimum of every frame, then one sum per label and leaf. Finished leaves come back; the sums of a cut
//! leaf wait in slots on the device.
//!
//! Two dispatches a block (more only when finished sums do not fit 32 MiB). Each pixel is read twice, since no logarithm can be taken before the
//! frame's minimum is known; 4 bytes for each pixel, label and leaf of 64 frames are written and come back. Operations: a comparison for the
//! minimum, three for the product of shifted pixels, 29 for a logarithm and its addition shared by a group of frames
//! ([`super::group`]).

use super::{LabelSum, Params, Part, group};
use crate::backend::gpu::leaves::{LeafRun, leaf_runs};
use crate::backend::gpu::rounds::words_of;
use crate::backend::gpu::shader::{THREADS, lanes, ln_of_words, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, LEAF};
use std::collections::{BTreeMap, VecDeque};

/// A stage on `gpu`. [`GpuStage::finish`] returns the last leaf if that is incomplete.
///
/// # Errors
/// [`Error::TooLargeForDevice`], [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, shape: FrameShape, params: &Params) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let wgsl = prelude(shape.pixel);
    let minimum = wgsl.clone() + include_str!("../../../shaders/logsum_minimum.wgsl");
    let sum = wgsl + &ln_of_words() + include_str!("../../../shaders/logsum.wgsl");
    let most = most_labels(params);
    let plane = (shape.stride() * lanes(shape.pixel)) as u64;
    let room = (gpu.output_bytes() / plane).clamp(1, 1024);
    Ok(Box::new(Stage {
        minimum: gpu.pipeline(&format!("logsum_minimum {}", shape.pixel), &minimum, "minimum", &[], 1, 1)?,
        sum: gpu.pipeline(&format!("logsum {}", shape.pixel), &sum, "accumulate", &[], 4, 1)?,
        slots: gpu.buffer("log-sums", (2 * most + room) * plane)?,
        sums: gpu.buffer("log-sum table", (most + room) * 16)?,
        tables: None,
        shape,
        params: params.clone(),
        most,
        room,
        plane,
        carry: 0,
        end: 0,
        expected: VecDeque::new(),
    }))
}

const NONE: u32 = u32::MAX;

/// A sum that comes back: its leaf, label, frames.
type Expected = (u64, i32, u64);

struct Stage {
    shape: FrameShape,
    params: Params,
    minimum: Pipeline,
    sum: Pipeline,
    /// Slots: two sets of `most` for cut leaves, used in turn, and `room` for finished ones.
    slots: Buffer,
    /// Rows of one dispatch.
    sums: Buffer,
    /// Minima and order of the frames of a block, for up to this many frames.
    tables: Option<(usize, Buffer, Buffer)>,
    /// Most labels that one leaf has.
    most: u64,
    room: u64,
    /// Bytes of one sum.
    plane: u64,
    /// Set of slots that holds the cut leaf.
    carry: u32,
    /// Frames seen.
    end: u64,
    expected: VecDeque<Block>,
}

/// What the results of a block will be.
struct Block {
    sums: Vec<Expected>,
    /// Finished leaves, also those without any labelled frame.
    leaves: Vec<u64>,
}

/// The labels of a leaf in ascending order, with their frames before frame `end` of the selection.
fn labels_of(params: &Params, leaf: u64, end: u64) -> BTreeMap<i32, u64> {
    let mut labels = BTreeMap::new();
    for n in leaf * LEAF..(leaf + 1) * LEAF {
        let label = params.label(n);
        if label >= 0 {
            *labels.entry(label).or_insert(0) += u64::from(n < end);
        }
    }
    labels
}

/// Most labels in one leaf, at least 1.
fn most_labels(params: &Params) -> u64 {
    let frames = params.labels.as_ref().map_or(0, |l| l.len() as u64);
    (0..frames.div_ceil(LEAF))
        .map(|leaf| labels_of(params, leaf, 0).len() as u64)
        .max()
        .unwrap_or(1)
        .max(1)
}

/// The table of one block under construction.
struct Rows {
    order: Vec<[u32; 2]>,
    rows: Vec<[u32; 4]>,
    finished: u32,
}

impl Stage {
    fn slot_of_carry(&self, set: u32, rank: usize) -> u32 {
        set * self.most as u32 + rank as u32
    }

    /// Appends the sums of one leaf's frames in this block.
    fn add_leaf(&self, to: &mut Rows, block: &GpuBlock<'_>, run: LeafRun, expected: &mut Block) {
        let end = block.first + u64::from(run.from + run.count);
        let size = group(self.shape.pixel) as u64;
        for (rank, (&label, &frames)) in labels_of(&self.params, run.leaf, end).iter().enumerate() {
            let start = to.order.len() as u32;
            for frame in run.from..run.from + run.count {
                let n = block.first + u64::from(frame);
                if self.params.label(n) == label {
                    to.order.push([frame, (n % LEAF / size) as u32]);
                }
            }
            let load = if run.goes_on {
                self.slot_of_carry(self.carry, rank)
            } else {
                NONE
            };
            let store = if run.ends {
                expected.sums.push((run.leaf, label, frames));
                to.finished += 1;
                2 * self.most as u32 + (to.finished - 1) % self.room as u32
            } else {
                self.slot_of_carry(1 - self.carry, rank)
            };
            to.rows.push([start, to.order.len() as u32, load, store]);
        }
        if run.ends {
            expected.leaves.push(run.leaf);
        }
    }

    /// Buffers for blocks of `count` frames, grown when needed.
    fn tables(&mut self, gpu: &Gpu, count: usize) -> Result<()> {
        if self.tables.as_ref().is_none_or(|(n, _, _)| *n < count) {
            self.tables = None;
            let minima = gpu.buffer("frame minima", count as u64 * 4)?;
            let order = gpu.buffer("frame order", count as u64 * 8)?;
            self.tables = Some((count, minima, order));
        }
        Ok(())
    }

    fn values(&self, sum: &[u8]) -> Vec<f64> {
        words_of(sum)
            .iter()
            .take(self.shape.pixels())
            .map(|&b| f64::from(f32::from_bits(b)))
            .collect()
    }
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        let fixed = (2 * self.most + self.room) * self.plane + (self.most + self.room) * 16;
        // Minima and order on the device, and the finished sums of a block on their way back.
        Cost {
            fixed: fixed + self.most * self.plane,
            per_frame: 12 + (self.most * self.plane).div_ceil(LEAF),
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let mut expected = Block {
            sums: Vec::new(),
            leaves: Vec::new(),
        };
        let mut all = Rows {
            order: Vec::with_capacity(block.count),
            rows: Vec::new(),
            finished: 0,
        };
        let mut cut = false;
        for run in leaf_runs(block.first, block.count) {
            self.add_leaf(&mut all, block, run, &mut expected);
            cut = !run.ends;
        }
        self.tables(rec.gpu, block.count)?;
        let Some((_, minima, order)) = &self.tables else {
            return Err(Error::Internal("log-sum without tables".into()));
        };
        let count = block.count as u32;
        let params = [count, block.stride_words, self.shape.pixels() as u32, 0];
        if !all.order.is_empty() {
            rec.dispatch(
                &self.minimum,
                bytemuck::cast_slice(&params),
                &[block.buffer, minima],
                u64::from(count),
            )?;
            rec.write(order, 0, bytemuck::cast_slice(&all.order))?;
        }
        let chunks = u64::from(block.stride_words).div_ceil(THREADS);
        let base = 2 * self.most as u32;
        let mut rows = &all.rows[..];
        while !rows.is_empty() {
            // A round ends when the slots for finished sums are full; sums of a cut leaf come last and have their own.
            let mut done = 0;
            let mut taken = 0;
            for row in rows {
                if taken == (self.most + self.room) as usize || (row[3] >= base && done == self.room) {
                    break;
                }
                done += u64::from(row[3] >= base);
                taken += 1;
            }
            rec.write(&self.sums, 0, bytemuck::cast_slice(&rows[..taken]))?;
            let params = [block.stride_words, chunks as u32, 0, taken as u32];
            let buffers: [&wgpu::Buffer; 5] = [block.buffer, minima, order, &self.sums, &self.slots];
            rec.dispatch(&self.sum, bytemuck::cast_slice(&params), &buffers, chunks * taken as u64)?;
            rec.read(&self.slots, u64::from(base) * self.plane, done * self.plane)?;
            rows = &rows[taken..];
        }
        if cut {
            self.carry = 1 - self.carry;
        }
        self.end = block.first + block.count as u64;
        self.expected.push_back(expected);
        Ok(())
    }

    fn results(&mut self, _first: u64, _count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let block = self
            .expected
            .pop_front()
            .ok_or_else(|| Error::Internal("log-sum: results without a block".into()))?;
        let mut parts: BTreeMap<u64, Part> = block.leaves.iter().map(|&leaf| (leaf, Part::default())).collect();
        let mut sums = reads.iter().flat_map(|r| r.chunks_exact(self.plane as usize));
        for (leaf, label, frames) in block.sums {
            let sum = sums
                .next()
                .ok_or_else(|| Error::Internal(format!("log-sum: leaf {leaf} did not come back")))?;
            let values = self.values(sum);
            parts.entry(leaf).or_default().sums.insert(label, LabelSum { frames, values });
        }
        Ok(parts.into_iter().collect())
    }

    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        if !self.end.is_multiple_of(LEAF) {
            rec.read(
                &self.slots,
                u64::from(self.carry) * self.most * self.plane,
                self.most * self.plane,
            )?;
        }
        Ok(())
    }

    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<Part>> {
        if self.end.is_multiple_of(LEAF) {
            return Ok(None);
        }
        let mut part = Part::default();
        let mut sums = reads.iter().flat_map(|r| r.chunks_exact(self.plane as usize));
        for (label, frames) in labels_of(&self.params, self.end / LEAF, self.end) {
            let sum = sums
                .next()
                .ok_or_else(|| Error::Internal(format!("log-sum: label {label} did not come back")))?;
            if frames > 0 {
                part.sums.insert(
                    label,
                    LabelSum {
                        frames,
                        values: self.values(sum),
                    },
                );
            }
        }
        Ok(Some(part))
    }
}

//! Frames on their way to the device: a reader thread fills staging buffers, several threads each a run of frames, in pieces
//! that stay in the cache between reading and copying.

use super::flow::{Flow, Origin, Pace};
use super::kept::{Block, DeviceBlocks};
use super::{IN_FLIGHT, OnDevice, READ_AHEAD, Sweep};
use crate::backend::gpu::{Buffer, Staged, Staging, UploadRing};
use crate::engine::ahead::ReadAhead;
use crate::engine::cpu::leaf_in_memory;
use crate::engine::resident::{Bytes, Resident};
use crate::error::{Error, Result};
use crate::pixel::LEAF;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

/// Staging buffers: being filled, waiting, and in flight.
pub(super) const SLOTS: usize = 1 + READ_AHEAD + IN_FLIGHT;

/// Bytes that a thread reads before it copies them to staging memory: they are still in its cache.
const PIECE: usize = 1 << 20;

/// A block in a staging buffer.
struct Filled {
    first: u64,
    count: usize,
    staged: Staged,
}

impl Sweep<'_> {
    /// Works on what is on the device, then on the rest as it is read, in blocks of at most `block` frames.
    pub(super) fn stream<'g>(
        &'g self,
        flow: &mut Flow<'g>,
        workers: &mut OnDevice<'_>,
        kept: &mut DeviceBlocks,
        block: usize,
        pace: &Pace,
        resident: &Resident,
    ) -> Result<()> {
        let stride = self.work.job.frame.stride();
        let total = self.work.job.selection.len();
        let bytes = (block * stride) as u64;
        let ring = UploadRing::new(self.gpu, SLOTS, bytes)?;
        let begin = kept.end();
        let reading = AtomicU64::new(0);
        let mut passing: Vec<Buffer> = Vec::new();
        let mut stays = resident.keeps_on_device();
        let mut streamed = 0;
        let (full, filled) = sync_channel::<Result<Filled>>(READ_AHEAD);
        std::thread::scope(|scope| {
            // The receiver lives in this closure, so that leaving it early ends the reader.
            let filled = filled;
            let (ring, reading) = (&ring, &reading);
            scope.spawn(move || self.read_ahead(begin, ring, pace, resident, reading, &full));
            self.revisit(flow, workers, kept, pace)?;
            for item in filled.iter() {
                let Filled { first, count, staged } = item?;
                let size = (count * stride) as u64;
                let left = total - first;
                stays = stays && self.has_room(size, left * stride as u64, bytes, passing.len(), block);
                if stays {
                    let buffer = self.gpu.buffer("resident block", size)?;
                    flow.block(self.work, workers, (first, count), &buffer, Origin::Staged(staged), pace)?;
                    kept.blocks.push(Block { first, count, buffer });
                } else {
                    if passing.len() < IN_FLIGHT {
                        passing.push(self.gpu.buffer("block", bytes)?);
                    }
                    let buffer = &passing[streamed % IN_FLIGHT];
                    streamed += 1;
                    flow.block(self.work, workers, (first, count), buffer, Origin::Staged(staged), pace)?;
                }
            }
            Ok::<(), Error>(())
        })?;
        flow.times.read = reading.into_inner() as f64 * 1e-9;
        Ok(())
    }

    /// True if a block of `size` bytes can stay: all that is `left` can, or there is room beside the blocks that pass through.
    fn has_room(&self, size: u64, left: u64, block_bytes: u64, passing: usize, block: usize) -> bool {
        let taken = self.gpu.allocated() + (IN_FLIGHT * block) as u64 * self.cost.per_frame;
        let through = (IN_FLIGHT - passing) as u64 * block_bytes;
        taken + left <= self.gpu.budget() || taken + through + size <= self.gpu.budget()
    }

    /// Fills blocks in order until all are read or nobody wants them.
    fn read_ahead(
        &self,
        begin: u64,
        ring: &UploadRing,
        pace: &Pace,
        resident: &Resident,
        nanoseconds: &AtomicU64,
        full: &SyncSender<Result<Filled>>,
    ) {
        let total = self.work.job.selection.len();
        let ahead = ReadAhead::new(self.work.scan, self.work.job.selection);
        let mut first = begin;
        let most = (ring.bytes() / self.work.job.frame.stride().max(1) as u64) as usize;
        while first < total {
            let mut next = || {
                let slot = ring.slot(self.gpu)?;
                let begun = Instant::now();
                let count = (pace.frames().min(most) as u64).min(total - first) as usize;
                let bytes = (count * self.work.job.frame.stride()) as u64;
                let staged = slot.fill(self.gpu, bytes, |to| self.read_block(first, count, to, resident))?;
                nanoseconds.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                ahead.took((first + count as u64 - 1) / LEAF, bytes as usize, begun.elapsed());
                let filled = Filled { first, count, staged };
                first += count as u64;
                Ok(filled)
            };
            let result = next();
            let failed = result.is_err();
            if full.send(result).is_err() || failed {
                return;
            }
        }
    }

    /// Reads one block, several threads each a run of its frames.
    fn read_block(&self, first: u64, count: usize, to: &Staging<'_>, resident: &Resident) -> Result<()> {
        self.control.check()?;
        let stride = self.work.job.frame.stride();
        let info = self.work.scan.info();
        let together = info.together.clamp(1, count.max(1));
        let mut numbers = Vec::with_capacity(count);
        self.work.job.selection.frames(first..first + count as u64, &mut numbers);
        // Costly scans by leaves, as they are kept.
        let run = count.div_ceil(self.control.threads).next_multiple_of(together);
        let mut cuts = vec![0];
        while let Some(&at) = cuts.last().filter(|&&at| at < count) {
            let length = match info.costly {
                true => (LEAF - (first + at as u64) % LEAF) as usize,
                false => run,
            };
            cuts.push(count.min(at + length));
        }
        let piece = (PIECE / stride.max(1)).max(1).next_multiple_of(together);
        cuts.par_windows(2).try_for_each_init(
            || Bytes::new(0),
            |scratch, run| {
                let frames = &numbers[run[0]..run[1]];
                let mut part = to.part((run[0] * stride) as u64, (frames.len() * stride) as u64)?;
                let number = first + run[0] as u64;
                let is_leaf = number.is_multiple_of(LEAF) && frames.len() as u64 == LEAF;
                let kept = match is_leaf {
                    true => leaf_in_memory(self.work, number / LEAF, frames, resident, self.control)?,
                    false => None,
                };
                if let Some(leaf) = kept {
                    part.copy_from_slice(leaf.as_slice());
                    return Ok(());
                }
                for (n, some) in frames.chunks(piece).enumerate() {
                    let bytes = some.len() * stride;
                    scratch.grow(bytes);
                    let read = &mut scratch.as_mut_slice()[..bytes];
                    self.work.scan.read(some, stride, read, self.control)?;
                    let at = n * piece * stride;
                    part.slice(at..at + bytes).copy_from_slice(read);
                }
                Ok(())
            },
        )
    }
}

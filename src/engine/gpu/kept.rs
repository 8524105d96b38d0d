//! Frames that stayed on the device: worked on where they lie, in pieces where a whole block would keep the device too long.

use super::flow::{Flow, Origin, Pace};
use super::{IN_FLIGHT, OnDevice, PASSING, Sweep, whole};
use crate::backend::gpu::{Buffer, Gpu};
use crate::error::Result;
use std::sync::Arc;

/// The first blocks of one scan and selection, which stayed on the device after a pass.
pub(in crate::engine) struct DeviceBlocks {
    pub(super) gpu: Arc<Gpu>,
    pub(super) blocks: Vec<Block>,
}

/// Frames on the device.
pub(super) struct Block {
    pub first: u64,
    pub count: usize,
    pub buffer: Buffer,
}

impl DeviceBlocks {
    /// First frame that is not among them.
    pub(super) fn end(&self) -> u64 {
        self.blocks.last().map_or(0, |b| b.first + b.count as u64)
    }
    /// Frames of the largest block.
    pub(super) fn largest(&self) -> usize {
        self.blocks.iter().map(|b| b.count).max().unwrap_or(0)
    }
}

impl Sweep<'_> {
    /// Works on the blocks that are on the device. They are as large as suited the pass that brought them; one that takes longer over a
    /// frame does the beginning of a block where it lies and copies of the rest, a piece at a time.
    pub(super) fn revisit<'g>(
        &'g self,
        flow: &mut Flow<'g>,
        workers: &mut OnDevice<'_>,
        kept: &DeviceBlocks,
        pace: &Pace,
    ) -> Result<()> {
        let stride = self.work.job.frame.stride();
        let most = self.frames_of_a_copy(kept);
        let mut copies: Vec<Buffer> = Vec::new();
        let mut copied = 0;
        for block in &kept.blocks {
            let count = match most {
                0 => block.count,
                _ => pace.frames().min(block.count),
            };
            flow.block(self.work, workers, (block.first, count), &block.buffer, Origin::There, pace)?;
            let mut done = count;
            while done < block.count {
                let count = pace.frames().min(most).min(block.count - done);
                if copies.len() < IN_FLIGHT {
                    copies.push(self.gpu.buffer("part of a resident block", (most * stride) as u64)?);
                }
                let from = Origin::Resident(&block.buffer, (done * stride) as u64);
                let frames = (block.first + done as u64, count);
                flow.block(self.work, workers, frames, &copies[copied % IN_FLIGHT], from, pace)?;
                copied += 1;
                done += count;
            }
        }
        Ok(())
    }

    /// Frames of a piece that is copied at most.
    fn frames_of_a_copy(&self, kept: &DeviceBlocks) -> usize {
        let taken = self.gpu.allocated() + self.needs(kept);
        let room = self.gpu.budget().saturating_sub(taken);
        let most = PASSING.min(self.largest as usize);
        copied_frames(room, most, self.work.job.frame.stride(), kept.largest())
    }
}

/// Frames of `stride` bytes in each of the buffers that take copies: together at most `room` bytes, each at most `most` bytes and
/// `largest` frames; 0 without room for eight frames, which a buffer always may have.
fn copied_frames(room: u64, most: usize, stride: usize, largest: usize) -> usize {
    let stride = stride.max(1);
    let wanted = (most / stride).min(largest).max(8);
    match usize::try_from(room).unwrap_or(usize::MAX) / (IN_FLIGHT * stride) {
        0..8 => 0,
        frames => whole(frames.min(wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_take_the_room_there_is() {
        let mib = 1 << 20;
        // 16 KiB a frame: 1024 frames in 16 MiB, 341 where a third of the room holds so many, none in too little.
        assert_eq!(copied_frames(1 << 40, 16 * mib, 16 << 10, 4096), 1024);
        assert_eq!(copied_frames(1 << 40, 16 * mib, 16 << 10, 500), 448);
        assert_eq!(copied_frames(16 << 20, 16 * mib, 16 << 10, 4096), 320);
        assert_eq!(copied_frames(24 * (16 << 10), 16 * mib, 16 << 10, 4096), 8);
        assert_eq!(copied_frames(24 * (16 << 10) - 1, 16 * mib, 16 << 10, 4096), 0);
        // Frames larger than a block should be.
        assert_eq!(copied_frames(1 << 40, 16 * mib, 64 * mib, 8), 8);
    }
}

//! What a kernel offers a pass: a stage that takes frames in order and gives back parts of its result.
//!
//! A *part* is what one leaf (see [`crate::pixel::LEAF`]) contributes, or, for exact integer state, what all
//! frames seen by one worker contribute. Parts are small, live on the host, and merge by the same code
//! whether they come from blocks, threads or devices.

use crate::backend::gpu::{GpuBlock, Recorder};
use crate::error::Result;
use crate::pixel::Frames;

/// A part that two neighbours of the leaf tree can be joined into.
pub trait Merge {
    /// Appends `right`, which holds later frames. Exact state may ignore the order.
    fn merge(&mut self, right: Self);
}

/// Memory that a stage needs besides the block of frames itself, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Whatever the size of the block.
    pub fixed: u64,
    /// For each frame of a block.
    pub per_frame: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, o: Cost) -> Cost {
        Cost {
            fixed: self.fixed + o.fixed,
            per_frame: self.per_frame + o.per_frame,
        }
    }
}

/// Work of a kernel on one frame, the same on every backend: what rates, shares of a machine's limits and sizes of dispatches are
/// computed from. Each kernel states it in a function `work` beside its parameters.
///
/// What an algorithm needs is counted, not what an implementation adds to it (conversions, addresses, copies).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of pixels that are looked at, each once.
    pub read: u64,
    /// Bytes of results that leave the kernel with every frame; state that stays until the end does not count.
    pub written: u64,
    /// Additions, multiplications, comparisons and the like on 32-bit numbers; a multiply-add is two. Operations on narrower
    /// integers count by their width, since as many more of them fit a vector.
    pub operations: u64,
}

impl std::ops::Add for Work {
    type Output = Work;
    fn add(self, o: Work) -> Work {
        Work {
            read: self.read + o.read,
            written: self.written + o.written,
            operations: self.operations + o.operations,
        }
    }
}

/// A kernel's state in one worker thread.
pub trait CpuStage: Send {
    type Part;
    /// Takes frames that all belong to one leaf. A leaf arrives in one or several calls, in frame order;
    /// cuts inside a leaf are at multiples of 8 frames from its start. One worker sees whole leaves, in
    /// ascending but not necessarily consecutive order.
    fn frames(&mut self, frames: Frames<'_>) -> Result<()>;
    /// What need not wait for the end of the leaf. May be asked after each call of `frames`, so that whole frames of output do
    /// not pile up; what is not taken comes with `end_leaf`. Most kernels have nothing.
    fn take(&mut self) -> Option<Self::Part> {
        None
    }
    /// The leaf is complete: its part, or `None` when the state is exact and goes on.
    fn end_leaf(&mut self) -> Result<Option<Self::Part>>;
    /// No more leaves: what exact state holds.
    fn finish(&mut self) -> Result<Option<Self::Part>>;
}

/// A kernel's state on a device.
pub trait GpuStage: Send {
    type Part;
    /// Device memory it takes.
    fn cost(&self) -> Cost;
    /// Records the work for one block: dispatches, and [`Recorder::read`] for results that must come back.
    /// Blocks arrive in frame order; a cut inside a leaf is at a multiple of 8 frames from the leaf's start.
    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()>;
    /// The bytes of the reads that `encode` asked for, for the blocks in their order, one slice per read.
    /// Returns finished leaves with their numbers.
    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Self::Part)>>;
    /// After the last block: asks for reads of exact state.
    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()>;
    /// The bytes of those reads: exact state of all frames, or the last leaf if it was not full.
    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<Self::Part>>;
}

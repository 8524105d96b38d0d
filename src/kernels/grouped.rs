//! Stages on a device that make other frames of those they are shown and hand them on, a group at a time.

use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::collections::VecDeque;

/// Groups are a multiple of this, as cuts inside a leaf must be.
const CUT: u64 = 8;

/// How many frames of `stride` bytes, called `what` in messages, are made at a time.
///
/// # Errors
/// [`Error::TooLargeForDevice`] when eight of them do not fit a binding.
pub(super) fn group(gpu: &Gpu, what: &str, stride: u64) -> Result<u64> {
    if gpu.max_binding() / stride < CUT {
        let what = format!("{what} of {} MiB do not fit this device's bindings", stride >> 20);
        return Err(Error::TooLargeForDevice(what));
    }
    Ok((gpu.output_bytes() / stride / CUT * CUT).max(CUT))
}

/// The stage that gets the frames.
pub(super) struct Grouped<P> {
    inner: Box<dyn GpuStage<Part = P>>,
    group: usize,
    /// For each block under way: first frame, number of frames and number of reads of each group.
    flying: VecDeque<Vec<(u64, usize, usize)>>,
}

impl<P> Grouped<P> {
    /// `inner` gets `group` frames at a time.
    pub fn new(inner: Box<dyn GpuStage<Part = P>>, group: u64) -> Self {
        Grouped {
            inner,
            group: group as usize,
            flying: VecDeque::new(),
        }
    }

    pub fn cost(&self) -> Cost {
        self.inner.cost()
    }

    /// Has every group of `block` made by `make`, into `frames` of shape `to`, and shows it to the stage. `make` gets the number of the group's first frame in the
    /// block and in the pass, and how many there are.
    pub fn encode(
        &mut self,
        rec: &mut Recorder<'_>,
        block: &GpuBlock<'_>,
        (frames, to): (&Buffer, FrameShape),
        mut make: impl FnMut(&mut Recorder<'_>, usize, u64, usize) -> Result<()>,
    ) -> Result<()> {
        let mut groups = Vec::new();
        for from in (0..block.count).step_by(self.group) {
            let (first, count) = (block.first + from as u64, self.group.min(block.count - from));
            make(rec, from, first, count)?;
            let before = rec.reads();
            self.inner.encode(rec, &GpuBlock::new(to, first, count, frames)?)?;
            groups.push((first, count, rec.reads() - before));
        }
        self.flying.push_back(groups);
        Ok(())
    }

    pub fn results(&mut self, first: u64, reads: &[&[u8]]) -> Result<Vec<(u64, P)>> {
        let groups = self.flying.pop_front().unwrap_or_default();
        if groups.first().map(|g| g.0) != Some(first) || groups.iter().map(|g| g.2).sum::<usize>() != reads.len() {
            return Err(Error::Internal(format!(
                "results of another block than that of frame {first}"
            )));
        }
        let mut parts = Vec::new();
        let mut rest = reads;
        for (first, count, n) in groups {
            let (of_group, later) = rest.split_at(n);
            parts.extend(self.inner.results(first, count, of_group)?);
            rest = later;
        }
        Ok(parts)
    }

    pub fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        self.inner.encode_finish(rec)
    }

    pub fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<P>> {
        self.inner.finish(reads)
    }
}

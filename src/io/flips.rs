//! Files whose first row is the lowest of the image: rows are turned around as frames are read.

use super::stack::Stored;
use crate::control::Control;
use crate::error::Result;
use std::ops::Range;

/// Frames of `height` rows of `row` delivered bytes each, stored from the lowest row up.
pub(crate) struct Flipped<S> {
    pub stored: S,
    pub height: usize,
    pub row: usize,
}

impl<S: Stored> Stored for Flipped<S> {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        self.stored.read_run(first, count, stride, out, control)?;
        for frame in out.chunks_mut(stride).take(count) {
            let (upper, lower) = frame[..self.height * self.row].split_at_mut(self.height / 2 * self.row);
            let lower = lower.chunks_exact_mut(self.row).rev();
            upper
                .chunks_exact_mut(self.row)
                .zip(lower)
                .for_each(|(a, b)| a.swap_with_slice(b));
        }
        Ok(())
    }
    fn prefetch(&self, frames: Range<u64>) {
        self.stored.prefetch(frames);
    }
}
